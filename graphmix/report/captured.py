"""The page of a captured device: what went in, what the device and its model make of it, and the model's curves."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphmix.capture.fit import split
from graphmix.capture.measures import LEVELS_DB, harmonics_by_level, step_response, transfer_curve
from graphmix.capture.recording import load_pair
from graphmix.capture.run import EFFECT
from graphmix.errors import GraphmixError
from graphmix.io import read_json
from graphmix.models.effects import EffectModel, load_effect
from graphmix.progress import Listener
from graphmix.report.chart import Axis, Chart, Series
from graphmix.report.error_map import level_maps
from graphmix.report.page import Content, Limits, Table, Version
from graphmix.report.sound import prepare
from graphmix.report.stretches import choose_stretch
from graphmix.runs import RUN

_LEAST_DB = -110.0
_PER_DEVICE = 60.0
"""Seconds of it that the model plays at most."""


def describe_captured(folder: Path, limits: Limits, listener: Listener) -> Content:
    """What the page of a captured device shows.

    Args:
        folder: of the run.
        limits: of the page.
        listener: shown the progress.

    Raises:
        GraphmixError: files that are missing or damaged.
    """
    listener.phase("report: playing the model", None)
    metrics = read_json(folder / "metrics.json")
    model = load_effect(folder / EFFECT)[0]
    notices = [str(notice) for notice in metrics.get("notices", [])]
    versions: list[Version] = []
    rate = model.config.sample_rate
    try:
        dry, wet, out = _unused(folder, metrics, model)
        stretch = choose_stretch(wet, rate, min(_PER_DEVICE, limits.stretch(3, 0, wet.size(1) / rate)))
        for name, audio, note in (
            ("device", wet, "recorded"),
            ("model", out, "captured"),
            ("dry", dry, "what went in"),
        ):
            versions.append(Version(name, prepare(stretch.cut(audio, rate), rate, stretch.start), note))
        seconds = wet.size(1) / rate
    except GraphmixError as error:
        notices.append(f"Without the recordings, and so without sound: {error}")
        seconds = 0.0
    esr = metrics["esr"]
    return Content(
        title=folder.name,
        kind="captured",
        lead=f"A {metrics['model']} of {metrics['weights']} weights; its error on audio that training did not use is "
        f"{'not finite' if esr is None else f'{esr:.5f}'} of the device's energy, which is {metrics['grade']}.",
        facts=_facts(metrics, rate),
        versions=versions,
        song_seconds=seconds,
        maps=level_maps([v.sound for v in versions]) if versions else None,
        charts=[_transfer(model), _harmonics(model), _step(model), *_by_level(metrics), *_learning(folder)],
        tables=_takes(metrics),
        notices=notices,
    )


@torch.no_grad()
def _unused(folder: Path, metrics: dict[str, Any], model: EffectModel) -> tuple[Tensor, Tensor, Tensor]:
    """What training did not use of the first recording: dry, wet, and the model's output, [2, samples] each."""
    source = metrics.get("source")
    if not isinstance(source, list) or not source:
        raise GraphmixError("the run does not say which files it was made of.")
    first, run = source[0], read_json(folder / RUN)
    names = list(metrics.get("controls", []))
    recording = load_pair(
        first["dry"], first["wet"], first["controls"], latency=metrics["latency"][0], channel=run.get("channel")
    )
    part = split(recording, float(metrics["settings"]["validation"]), names)[1]
    out = model(part.dry[:1], part.controls[None])
    return tuple(x[:1].expand(2, -1) for x in (part.dry, part.wet, out))  # type: ignore[return-value]


def _facts(metrics: dict[str, Any], rate: int) -> list[tuple[str, str]]:
    selves = [value for value in metrics.get("self_esr", []) if value is not None]
    return [
        ("network", str(metrics["model"])),
        ("error-to-signal ratio", "not finite" if metrics["esr"] is None else f"{metrics['esr']:.5f}"),
        ("grade", str(metrics["grade"])),
        ("device against itself", f"{max(selves):.5f}" if selves else "not measured"),
        ("controls", ", ".join(metrics.get("controls", [])) or "none"),
        ("training", f"{metrics['steps']} {'step' if metrics['steps'] == 1 else 'steps'}, {metrics['seconds']:.0f} s"),
        ("sample rate", f"{rate / 1000:g} kHz"),
        ("plugin file", "effect.nam" if metrics.get("nam") == "effect.nam" else "none"),
    ]


def _transfer(model: EffectModel) -> Chart:
    curve = transfer_curve(model)
    points = [(round(float(x), 4), round(float(y), 4)) for x, y in zip(curve.inputs, curve.outputs, strict=True)]
    high = max(1.0, float(np.abs(curve.outputs).max()))
    series = [
        Series("output = input", [(-1, -1), (1, 1)], "dashed"),
        Series("model", points[:: max(1, len(points) // 400)]),
    ]
    words = f"A sine of 110 Hz at full scale comes out with a peak of {float(np.abs(curve.outputs).max()):.2f}."
    return Chart("Transfer curve", Axis("input", -1, 1), Axis("output", -high, high), series, words)


def _harmonics(model: EffectModel) -> Chart:
    table = harmonics_by_level(model)
    series = []
    for number, own in enumerate(table.T, 1):
        points = [(float(level), round(float(y), 2)) for level, y in zip(LEVELS_DB, own, strict=True) if y >= _LEAST_DB]
        if points:
            series.append(Series("fundamental" if number == 1 else f"harmonic {number}", points))
    return Chart(
        "Harmonics of a sine of 440 Hz", Axis("level of the input / dB", float(LEVELS_DB[0]), float(LEVELS_DB[-1])),
        Axis("amplitude / dB", _LEAST_DB, max(0.0, float(table.max()))), series,
        f"At 0 dB the third harmonic has {table[-1][2]:.0f} dB." if table.shape[1] > 2 else "",
    )  # fmt: skip


def _step(model: EffectModel) -> Chart:
    samples = step_response(model)
    time = 1000 * np.arange(len(samples)) / model.config.sample_rate
    stride = max(1, len(samples) // 400)
    points = [(round(float(x), 3), round(float(y), 5)) for x, y in zip(time[::stride], samples[::stride], strict=True)]
    low, high = min(0.0, float(samples.min())), max(0.3, float(samples.max()))
    x, y = Axis("time / ms", 0, float(time[-1])), Axis("output", low, 1.05 * high)
    return Chart("Response to a step to -12 dB", x, y, [Series("model", points)], "")


def _by_level(metrics: dict[str, Any]) -> list[Chart]:
    rows = [(float(level), float(error)) for level, error in metrics.get("esr_by_level", []) if error is not None]
    points = [(level, round(math.log10(max(error, 1e-9)), 3)) for level, error in rows]
    if len(points) < 2:
        return []
    return [
        Chart("Error by level", Axis("level of the input / dB", points[0][0], points[-1][0]),
              Axis("log10 of the error ratio", min(-4.0, *(y for _, y in points)), max(0.0, *(y for _, y in points))),
              [Series("error", points)], "-1.5 and below is good, -2 and below excellent.")
    ]  # fmt: skip


def _learning(folder: Path) -> list[Chart]:
    """The error over the time of training, from ``history.csv``."""
    path = folder / "history.csv"
    if not path.is_file():
        return []
    points = []
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        cells = line.split(",")
        if len(cells) == 4 and cells[3] and float(cells[3]) > 0:
            points.append((round(float(cells[1]), 2), round(math.log10(float(cells[3])), 3)))
    if len(points) < 2:
        return []
    low, high = min(y for _, y in points), max(y for _, y in points)
    return [
        Chart("Learning curve", Axis("training time / s", 0, points[-1][0]),
              Axis("log10 of the error ratio", low - 0.1, high + 0.1), [Series("error", points)],
              f"Best {10**low:.5f}.")
    ]  # fmt: skip


def _takes(metrics: dict[str, Any]) -> list[Table]:
    """Error of each recording, where there are several."""
    errors = metrics.get("esr_by_pair", [])
    if len(errors) < 2:
        return []
    sources = metrics.get("source") or [{}] * len(errors)
    rows = []
    for source, error in zip(sources, errors, strict=False):
        setting = ", ".join(f"{name} {value:g}" for name, value in source.get("controls", {}).items())
        rows.append([Path(str(source.get("wet", "?"))).name, setting, "–" if error is None else f"{error:.5f}"])
    return [Table("Recordings", ("recording", "controls", "error-to-signal ratio"), rows)]
