"""Capturing a device: from recordings to a folder with its model, how good it is, and pictures.

When it is done the folder holds ``effect.safetensors`` (a node type for any graph), ``effect.nam`` where the network
has that form, ``metrics.json`` (written last), ``history.csv`` and ``plots/``; ``run.json`` says from the beginning
which capture it is, and ``checkpoint.safetensors`` is there while it trains. Run again, a finished folder is left alone
and an unfinished one is resumed.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from graphmix.capture.choice import choose_network
from graphmix.capture.fit import FitState, FittedEffect, fit_effect, split
from graphmix.capture.losses import esr, esr_by_level, mean_error_ratio
from graphmix.capture.recording import CaptureError, Recording, check_controls, load_pair
from graphmix.capture.settings import CaptureSettings, presets
from graphmix.errors import GraphmixError
from graphmix.io import finite, open_tensors, read_json, to_json, write_atomically, write_json
from graphmix.models.effects import EffectModel, load_effect, save_effect, save_nam
from graphmix.models.effects.nam import check_metadata, describe_for_nam
from graphmix.progress import Listener, Silent
from graphmix.runs import RunFolder, RunStatus, first_difference
from graphmix.search.mine_song import digest_file

RESULT, EFFECT, CHECKPOINT = "metrics.json", "effect.safetensors", "checkpoint.safetensors"
GOOD_SELF_ESR = 0.01
"""A device that differs from itself by more was recorded badly, or changes in time."""
GRADES = ((0.01, "excellent"), (0.035, "good"), (0.1, "usable"), (math.inf, "poor"))
"""Error-to-signal ratios as Neural Amp Modeler's users read them."""
_HEADER = "graphmix_capture"
_NEEDED = frozenset({"model", "esr", "grade", "self_esr", "notices", "weights", "steps", "seconds", "nam"})


@dataclass(frozen=True)
class Pair:
    """Files of one take: dry, wet, and the settings of the device's controls."""

    dry: Path
    wet: Path
    controls: Mapping[str, float]


@dataclass(frozen=True)
class Captured:
    """A captured device: its model, ``metrics.json``, its folder, and whether it was there already."""

    model: EffectModel
    metrics: dict[str, Any]
    folder: Path
    already_done: bool = False

    def __repr__(self) -> str:
        return f"Captured({self.metrics['model']}, esr={self.metrics['esr']}, {self.folder})"


def capture(
    pairs: Sequence[Pair],
    out: str | Path,
    settings: CaptureSettings | Mapping[str, CaptureSettings] | None = None,
    *,
    gear: Mapping[str, Any] | None = None,
    latency: int | None = None,
    channel: int | None = None,
    listener: Listener | None = None,
    on_notice: Callable[[str], None] | None = None,
    plots: bool = True,
) -> Captured:
    """Capture a device into a folder, or resume it.

    Args:
        pairs: recordings; with several settings of its controls they make one model with controls.
        out: output folder.
        settings: of a network, or of several by name, of which the best in a short trial is trained; the drafts
            of ``auto`` by default (:func:`graphmix.capture.settings.presets`).
        gear: metadata for a ``.nam`` file: ``name``, ``gear_make``, ``gear_model``, ``gear_type``, ``tone_type``, …
        latency: samples by which wet lies behind dry; measured if not given.
        channel: the one that is learned of recordings with two, 1 or 2.
        listener: shown the progress.
        on_notice: given each sentence on the recordings and on the choice of a network, before the training begins.
        plots: draw pictures.

    Raises:
        CaptureError, SongError: bad recordings.
        GraphmixError: metadata that the format does not know.
        RunError: an output folder that holds something else.
        FolderBusyError: another process is at work in the folder.
    """
    listener, folder = listener or Silent(), Path(out)
    settings = presets("auto") if settings is None else settings
    candidates = {"": settings} if isinstance(settings, CaptureSettings) else dict(settings)
    if not pairs:
        raise CaptureError("there is no pair of recordings; give a dry and a wet file.")
    check_metadata(gear or {})
    run: dict[str, Any] = {"pairs": [_describe(pair) for pair in pairs], "settings": _merged(list(candidates.values()))}
    if latency is not None:
        run["latency"] = latency
    if channel is not None:
        run["channel"] = channel
    output = RunFolder(folder, run, RESULT, _difference)
    if output.status() is RunStatus.FINISHED:
        return _load_finished(folder)
    listener.phase("reading", None)
    recordings = [load_pair(pair.dry, pair.wet, pair.controls, latency=latency, channel=channel) for pair in pairs]
    names = check_controls(recordings)
    if on_notice is not None:
        for notice in _notices(recordings):
            on_notice(notice)
    with output.hold():
        if output.status() is RunStatus.FINISHED:
            return _load_finished(folder)
        output.begin()
        state = _read_checkpoint(folder / CHECKPOINT, run)

        def keep(state: FitState) -> None:
            _write_checkpoint(folder / CHECKPOINT, run, state)

        if state is None and len(candidates) > 1:
            state, errors = choose_network(recordings, candidates, names, listener=listener)
            keep(state)
            if on_notice is not None:
                on_notice(_choice(state.chosen, errors))
        chosen = candidates[state.chosen] if state is not None and state.chosen else next(iter(candidates.values()))
        fitted = fit_effect(recordings, chosen, names, state=state, listener=listener, save=keep)
        return _finish(folder, pairs, recordings, names, chosen, fitted, gear or {}, listener, plots)


def _choice(chosen: str, errors: Mapping[str, float]) -> str:
    found = ", ".join(f"{name} {error:.2g}" for name, error in errors.items())
    return f"{chosen} is trained on, the closest to the device after a trial (error-to-signal ratios: {found})."


def _notices(recordings: Sequence[Recording]) -> list[str]:
    """What was found in the recordings, in sentences that say in which, if there are several."""
    number = len(recordings)
    where = [f"recording {i}: " if number > 1 else "" for i in range(1, number + 1)]
    return [place + text for place, recording in zip(where, recordings, strict=True) for text in recording.notices]


def _describe(pair: Pair) -> dict[str, Any]:
    try:
        files = {"dry": digest_file(pair.dry), "wet": digest_file(pair.wet)}
    except OSError as error:
        raise CaptureError(f"cannot read {error.filename}: {error.strerror}.") from None
    return {**files, "controls": dict(pair.controls)}


def _source(pair: Pair) -> dict[str, Any]:
    """The files of a take, by absolute paths."""
    return {"dry": str(pair.dry.absolute()), "wet": str(pair.wet.absolute()), "controls": dict(pair.controls)}


def _merged(candidates: Sequence[CaptureSettings]) -> dict[str, Any]:
    """Settings of all candidates: one value where they agree, else a list of theirs."""
    tables = [settings.model_dump(mode="json") for settings in candidates]
    columns = {key: [table[key] for table in tables] for key in tables[0]}
    return {key: values[0] if all(v == values[0] for v in values) else values for key, values in columns.items()}


def _difference(found: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    if found["pairs"] != ours["pairs"] or any(found.get(key) != ours.get(key) for key in ("latency", "channel")):
        return "a capture of other recordings. Choose another --out."
    different = first_difference(found["settings"], json.loads(to_json(ours["settings"])))
    if different is None:
        return None
    name, theirs, our = different
    return f"this capture with {name} = {theirs}, not {our}. Choose another --out, or the same settings to resume it."


def grade(value: float) -> str:
    """What an error-to-signal ratio means to a user."""
    return next(word for limit, word in GRADES if value <= limit)


def _shortened(value: float) -> float:
    """Six significant digits."""
    return float(f"{value:.6g}")


def _finish(
    folder: Path,
    pairs: Sequence[Pair],
    recordings: Sequence[Recording],
    names: Sequence[str],
    settings: CaptureSettings,
    fitted: FittedEffect,
    gear: Mapping[str, Any],
    listener: Listener,
    plots: bool,
) -> Captured:
    listener.phase("writing", None)
    model, state = fitted.model, fitted.state
    dry, wet, out = _unused_parts(model, recordings, names, settings)
    metrics: dict[str, Any] = {
        "model": model.config.model,
        "esr": _shortened(sum(fitted.esr) / len(fitted.esr)),
        "grade": grade(sum(fitted.esr) / len(fitted.esr)),
        "esr_by_pair": [_shortened(value) for value in fitted.esr],
        "esr_pre_emphasized": _shortened(float(esr(prediction=out, target=wet, pre_emphasis=settings.pre_emphasis))),
        "mean_error_ratio": _shortened(mean_error_ratio(prediction=out, target=wet)),
        "esr_by_level": esr_by_level(prediction=out, target=wet, audio=dry),
        "self_esr": [recording.self_esr for recording in recordings],
        "latency": [recording.latency for recording in recordings],
        "notices": _notices(recordings),
        "controls": list(names),
        "weights": sum(value.numel() for value in model.parameters()),
        "sample_rate": model.config.sample_rate,
        "steps": state.step,
        "seconds": round(state.seconds, 2),
        "settings": settings.model_dump(mode="json"),
        "source": [_source(pair) for pair in pairs],
    }
    about = {"gear": dict(gear), "esr": metrics["esr"], "self_esr": metrics["self_esr"], "steps": state.step}
    save_effect(model, folder / EFFECT, about)
    _save_nam(model, folder, wet, out, {**gear}, metrics)
    _write_history(folder / "history.csv", state)
    if plots:
        from graphmix.capture.pictures import draw_plots

        draw_plots(folder / "plots", model, dry, wet, out, state.history)
    write_json(folder / RESULT, finite(metrics))
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return Captured(model, metrics, folder)


@torch.no_grad()
def _unused_parts(
    model: EffectModel, recordings: Sequence[Recording], names: Sequence[str], settings: CaptureSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """What training did not use, of all recordings: dry, wet, and the model's output, [1, samples] each."""
    dry, wet, out = list[Tensor](), list[Tensor](), list[Tensor]()
    for recording in recordings:
        part = split(recording, settings.validation, names)[1]
        dry.append(part.dry[:1])
        wet.append(part.wet[:1])
        out.append(model(part.dry[:1], part.controls[None]))
    return torch.cat(dry, -1), torch.cat(wet, -1), torch.cat(out, -1)


def _save_nam(
    model: EffectModel, folder: Path, wet: Tensor, out: Tensor, gear: dict[str, Any], metrics: dict[str, Any]
) -> None:
    try:
        describe_for_nam(model)
    except GraphmixError as error:
        metrics["nam"] = str(error)
        return
    loudness = 10 * math.log10(float(out.square().mean()) + 1e-12)
    training = {"validation_esr": metrics["esr"], "self_esr": metrics["self_esr"], "latency": metrics["latency"]}
    metadata = {"loudness": round(loudness, 2), "gain": round(_gain(wet), 3), **gear, "training": training}
    save_nam(model, folder / "effect.nam", finite(metadata))
    metrics["nam"] = "effect.nam"


def _gain(wet: Tensor) -> float:
    """How dense the output is, 0 to 1: its level relative to its peak, as the format's gain goes."""
    peak = float(wet.abs().max())
    return min(1.0, float(wet.abs().mean()) / peak) if peak > 0 else 0.0


def _write_history(path: Path, state: FitState) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("step", "seconds", "training_loss", "validation_esr"))
    rows.writerows([value if math.isfinite(value) else "" for value in row] for row in state.history)
    write_atomically(path, text.getvalue().encode())


def _load_finished(folder: Path) -> Captured:
    metrics = read_json(folder / RESULT, error=CaptureError, fix="delete it to finish the capture again")
    if not isinstance(metrics, dict) or not metrics.keys() >= _NEEDED:
        raise CaptureError(f"{folder / RESULT} is damaged. Delete it to finish the capture again.")
    return Captured(load_effect(folder / EFFECT)[0], metrics, folder, already_done=True)


# --- checkpoints


def _write_checkpoint(path: Path, run: Mapping[str, Any], state: FitState) -> None:
    carried = {str(i): value for i, value in enumerate(state.carried)}
    groups = {
        "weights": state.weights, "best": state.best_weights, "optimizer": state.optimizer, "carried": carried,
    }  # fmt: skip
    tensors = {f"{g}.{name}": value.contiguous() for g, values in groups.items() for name, value in values.items()}
    head = {"run": run, "step": state.step, "seconds": state.seconds, "looks": state.looks, "history": state.history}
    head["chosen"] = state.chosen
    write_atomically(path, save(tensors, {_HEADER: to_json(finite(head))}))


def _read_checkpoint(path: Path, run: Mapping[str, Any]) -> FitState | None:
    if not path.exists():
        return None
    try:
        with open_tensors(path) as file:
            head = json.loads((file.metadata() or {})[_HEADER])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118, no mapping
        if head["run"] != json.loads(to_json(run)):
            raise CaptureError(f"{path} belongs to another capture. Delete it, or choose another --out.")
        state = FitState(head["step"], head["seconds"], [tuple(row) for row in head["history"]], looks=head["looks"])
        state.chosen = head["chosen"]
        state.history = [tuple(math.inf if x is None else x for x in row) for row in state.history]  # type: ignore[misc]
        carried = dict[str, Tensor]()
        groups = {
            "weights": state.weights, "best": state.best_weights, "optimizer": state.optimizer, "carried": carried,
        }  # fmt: skip
        for name, value in tensors.items():
            group, key = name.split(".", 1)
            groups[group][key] = value
        state.carried = tuple(carried[key] for key in sorted(carried, key=int))
    except CaptureError:
        raise
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise CaptureError(f"{path} is damaged ({error}); delete it to begin again.") from None
    state.best = min((row[3] for row in state.history), default=math.inf)
    return state
