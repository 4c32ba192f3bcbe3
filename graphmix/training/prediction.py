"""Mixing by a model, from files to files: a folder of dry tracks in, graph, sound, metrics and pictures out.

The output folder holds ``graph.safetensors``, ``graph.json``, ``mix.wav``, ``metrics.json`` and ``plots/``, as mining
leaves them. A model that makes sound without a graph leaves no graph files. Several variants lie in folders of their
own, with ``variants.json`` beside them.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from graphmix import __version__
from graphmix.audio.files import read_audio, write_audio
from graphmix.audio.segments import MIN_SCORED_SAMPLES
from graphmix.audio.song import Song, load_stems
from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import read_header, save_graph
from graphmix.io import check_output, finite, part_files, read_json, write_json
from graphmix.models.mixing.estimator import Estimator
from graphmix.search.metrics import SongSource, describe_source
from graphmix.search.mine_song import choose_device
from graphmix.search.mix_measures import compare_mixes, describe_mix
from graphmix.search.rounds import count_processors
from graphmix.training.checkpoint import load_estimator
from graphmix.training.decisions import describe as describe_decisions
from graphmix.training.decisions import read_decisions
from graphmix.training.proposal import Proposal, Wishes, propose, propose_variants
from graphmix.training.reference_style import read_reference
from graphmix.training.rules import Rules

_MADE_HERE = ("graph.safetensors", "graph.json", "mix.wav", "metrics.json", "report.html", "plots")
_VARIANT, _VARIANTS = "variant_", "variants.json"
USUAL_RULES = Rules()
"""All of them, as a proposal keeps them where nothing else is said."""
_METRICS_KEYS = {"song", "model", "config", "tracks", "processors"}
"""By which ``metrics.json`` is known as that of a prediction."""


@dataclass(frozen=True)
class Predicted:
    """A mixed song: the proposal, the content of ``metrics.json``, and the folder."""

    proposal: Proposal
    metrics: dict[str, Any]
    folder: Path


def predict(
    stems: str | Path | Song,
    model: str | Path | Estimator,
    out: str | Path,
    *,
    device: str = "auto",
    plots: bool = True,
    force: bool = False,
    rules: Rules | None = USUAL_RULES,
    keep: Sequence[str] = (),
    reference: str | Path | None = None,
) -> Predicted:
    """Mix a folder of dry tracks, and write the files that mining would write.

    Args:
        stems: a folder of dry tracks, or of a song, or the loaded song at the model's rate.
        model: a name or path as :func:`graphmix.training.load_estimator` takes it, or the model itself.
        out: output folder; made if it is not there.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, …
        plots: whether to draw the graph and the spectrograms.
        force: write into a folder that holds other files than those of an earlier prediction, and replace those of
            equal names.
        rules: that the graph keeps; None: it stays as the model proposed it.
        keep: decisions that stay as they are, ``TRACK=SETTING`` each; see :mod:`graphmix.training.decisions`.
        reference: a mix of another song, to whose style the mix is brought closer.

    Raises:
        GraphmixError: bad input, or an output folder that holds something else.
    """
    folder = Path(out)
    _check_folder(folder, force)
    asked = _asked(stems, model, device, folder, force, (rules, keep, reference))
    return _write(folder, propose(asked.estimator, asked.song, asked.wishes), asked, plots)


def predict_variants(
    stems: str | Path | Song,
    model: str | Path | Estimator,
    out: str | Path,
    count: int,
    *,
    seed: int = 0,
    device: str = "auto",
    plots: bool = True,
    force: bool = False,
    rules: Rules | None = USUAL_RULES,
    keep: Sequence[str] = (),
    reference: str | Path | None = None,
) -> list[Predicted]:
    """Several mixes of the same tracks, the most probable first: folders ``variant_1``, … and ``variants.json``.

    Args:
        stems: as of :func:`predict`, as are the others.
        model: one that knows more than one answer.
        out: output folder.
        count: of mixes.
        seed: of the draws.
        device: where to compute.
        plots: whether to draw pictures of each.
        force: write into a folder that holds other files.
        rules: that every graph keeps.
        keep: decisions that stay as they are.
        reference: a mix of another song.

    Raises:
        GraphmixError: as :func:`predict`, or a model with one answer alone.
    """
    folder = Path(out)
    _check_variants(folder, force)
    asked = _asked(stems, model, device, folder, force, (rules, keep, reference))
    proposals = propose_variants(asked.estimator, asked.song, count, seed, asked.wishes)
    _make(folder)
    for old in sorted(folder.glob(f"{_VARIANT}*")):
        if old.is_dir() and _is_prediction(old):
            shutil.rmtree(old)
    made = []
    for number, proposal in enumerate(proposals, 1):
        made.append(_write(folder / f"{_VARIANT}{number}", proposal, asked, plots))
    rows = [{"folder": p.folder.name, "score": p.proposal.score, "mix": p.metrics["mix"]} for p in made]
    write_json(
        folder / _VARIANTS, finite({"song": asked.song.name, "model": asked.name, "seed": seed, "variants": rows})
    )
    return made


@dataclass(frozen=True)
class _Asked:
    """What is to be predicted: the model under its name, the song, and what is wanted beside."""

    name: str
    estimator: Estimator
    song: Song
    wishes: Wishes
    reference: str | None


def _asked(
    stems: str | Path | Song,
    model: str | Path | Estimator,
    device: str,
    folder: Path,
    force: bool,
    wanted: tuple[Rules | None, Sequence[str], str | Path | None],
) -> _Asked:
    name = model.config.name if isinstance(model, Estimator) else str(model)
    estimator = model if isinstance(model, Estimator) else load_estimator(model, choose_device(device))
    song = stems if isinstance(stems, Song) else load_stems(stems, estimator.sample_rate)
    inputs = [track.info.path for track in song.tracks] + ([song.mix.path] if song.mix is not None else [])
    for name_here in _MADE_HERE[:-1]:
        if any((folder / name_here).exists() and path.samefile(folder / name_here) for path in inputs):
            check_output(folder / name_here, inputs=inputs, force=force)
    rules, keep, path = wanted
    decisions = read_decisions(keep, song.track_names)
    reference = None if path is None else read_reference(path, estimator.sample_rate)
    shown = None if path is None else Path(path).name
    return _Asked(name, estimator, song, Wishes(decisions, reference, rules), shown)


def _write(folder: Path, proposal: Proposal, asked: _Asked, plots: bool) -> Predicted:
    """The files of one proposal."""
    song, name, estimator = asked.song, asked.name, asked.estimator
    started = time.perf_counter()
    _make(folder)
    target = None if song.mix is None else read_audio(song.mix, 0, song.num_samples, song.sample_rate)
    if proposal.graph is not None:
        graph = _with_provenance(proposal.graph, song, name, _wanted(proposal, asked))
        proposal = replace(proposal, graph=graph)
        save_graph(graph, folder / "graph.safetensors")
        save_graph(graph, folder / "graph.json")
    write_audio(folder / "mix.wav", proposal.mix, song.sample_rate)
    if plots:
        _draw(folder / "plots", song, name, proposal, target)
    proposal.seconds["writing"] = time.perf_counter() - started
    metrics = finite(_metrics(song, name, estimator, proposal, target) | _wanted(proposal, asked))
    write_json(folder / "metrics.json", metrics)
    return Predicted(proposal, metrics, folder)


def _wanted(proposal: Proposal, asked: _Asked) -> dict[str, Any]:
    """What was wanted beside the model's proposal and what came of it, JSON values."""
    found: dict[str, Any] = {}
    if proposal.changes:
        found["rules"] = list(proposal.changes)
    if asked.wishes.decisions:
        found["kept"] = describe_decisions(asked.wishes.decisions)
    if proposal.style is not None:
        found["reference"] = {"file": asked.reference, **{name: dict(own) for name, own in proposal.style.items()}}
    if proposal.score is not None:
        found["score"] = round(proposal.score, 4)
    return found


def _check_variants(folder: Path, force: bool) -> None:
    """Nothing but earlier variants may lie in the output folder."""
    if not folder.is_dir() or force:
        return
    for path in sorted(folder.iterdir()):
        ours = path.name == _VARIANTS or (path.name.startswith(_VARIANT) and _is_prediction(path))
        if not ours:
            raise GraphmixError(
                f"output folder {folder} holds something else ({path.name!r}). Choose an empty one, or add --force to "
                "write into it all the same."
            )


def _check_folder(folder: Path, force: bool) -> None:
    """Nothing but an earlier prediction may lie in the output folder."""
    try:
        names = sorted(path.name for path in folder.iterdir() if path not in part_files(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise GraphmixError(f"cannot use output folder {folder}: {error.strerror or error}.") from None
    foreign = next((name for name in names if name not in _MADE_HERE), None)
    if foreign is None and names and not _is_prediction(folder):
        foreign = names[0]
    if foreign is not None and not force:
        raise GraphmixError(
            f"output folder {folder} holds something else ({foreign!r}). Choose an empty one, or add --force to write "
            "into it all the same."
        )


def _is_prediction(folder: Path) -> bool:
    with suppress(GraphmixError):
        metrics = read_json(folder / "metrics.json")
        return isinstance(metrics, dict) and metrics.keys() >= _METRICS_KEYS
    with suppress(GraphmixError):  # one that was interrupted has only its graph
        provenance = read_header(folder / "graph.safetensors").get("provenance")
        return isinstance(provenance, dict) and str(provenance.get("made_by")).endswith(" predict")
    return False


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GraphmixError(f"cannot write to output folder {folder}: {error.strerror or error}.") from None


def _with_provenance(graph: MixGraph, song: Song, model: str, wanted: Mapping[str, Any]) -> MixGraph:
    graph = graph.clone()
    provenance = {
        "song": song.name,
        "made_by": f"graphmix {__version__} predict",
        "model": model,
        "num_samples": song.num_samples,
        **wanted,
    }
    graph.info = replace(graph.info, provenance=provenance)
    return graph


def _metrics(song: Song, name: str, estimator: Estimator, proposal: Proposal, target: Tensor | None) -> dict[str, Any]:
    graph = proposal.graph
    metrics: dict[str, Any] = {
        "song": song.name,
        "model": name,
        "config": estimator.config.model_dump(mode="json"),
        "tracks": song.num_tracks,
        "subgroups": len(song.subgroups),
        "processors": None if graph is None else sum(count_processors(graph).values()),
        "by_type": None if graph is None else count_processors(graph),
        "mix": {key: round(value, 3) for key, value in describe_mix(proposal.mix, song.sample_rate).items()},
        "peak": round(float(proposal.mix.abs().max()), 4),
        "seconds": {key: round(value, 3) for key, value in proposal.seconds.items()},
        "notices": [*song.notices, *_rate_notice(song)],
        "source": describe_source(song, SongSource(song.name)),
    }
    if target is not None and song.num_samples >= MIN_SCORED_SAMPLES:
        differences = compare_mixes(prediction=proposal.mix, target=target, sample_rate=song.sample_rate)
        metrics["against_mix"] = {key: round(value, 4) for key, value in differences.items()}
    return metrics


def _rate_notice(song: Song) -> list[str]:
    """A notice on tracks of unequal rates, which are often a mistake, though each is resampled by itself."""
    rates = sorted({track.info.sample_rate for track in song.tracks})
    if len(rates) < 2:
        return []
    return [f"the tracks are at {', '.join(map(str, rates))} Hz; each was resampled to {song.sample_rate} Hz."]


def _draw(folder: Path, song: Song, model: str, proposal: Proposal, target: Tensor | None) -> None:
    """``graph.svg`` and ``graph.png``, and ``spectrograms.png`` where the song has a mix to compare with."""
    from graphmix import plots  # here: matplotlib is loaded only where something is drawn

    folder.mkdir(exist_ok=True)
    figures: dict[str, Any] = {}
    if proposal.graph is not None:
        figures["graph.svg"] = figures["graph.png"] = plots.plot_graph(proposal.graph, f"{song.name}: by {model}")
    if target is not None:
        figures["spectrograms.png"] = plots.plot_match(target, {model: proposal.mix}, song.sample_rate)
    for file, figure in figures.items():
        plots.save(figure, folder / file)
