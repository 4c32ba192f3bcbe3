"""Mixing by a model, from files to files: a folder of dry tracks in, graph, sound, metrics and pictures out.

The output folder holds ``graph.safetensors``, ``graph.json``, ``mix.wav``, ``metrics.json`` and ``plots/``, as mining
leaves them. A model that makes sound without a graph leaves no graph files.
"""

import time
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
from graphmix.training.proposal import Proposal, propose

_MADE_HERE = ("graph.safetensors", "graph.json", "mix.wav", "metrics.json", "report.html", "plots")
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

    Raises:
        GraphmixError: bad input, or an output folder that holds something else.
    """
    folder = Path(out)
    _check_folder(folder, force)
    name = model.config.name if isinstance(model, Estimator) else str(model)
    estimator = model if isinstance(model, Estimator) else load_estimator(model, choose_device(device))
    song = stems if isinstance(stems, Song) else load_stems(stems, estimator.sample_rate)
    inputs = [track.info.path for track in song.tracks] + ([song.mix.path] if song.mix is not None else [])
    for name_here in _MADE_HERE[:-1]:
        if any((folder / name_here).exists() and path.samefile(folder / name_here) for path in inputs):
            check_output(folder / name_here, inputs=inputs, force=force)
    proposal = propose(estimator, song)
    started = time.perf_counter()
    _make(folder)
    target = None if song.mix is None else read_audio(song.mix, 0, song.num_samples, song.sample_rate)
    if proposal.graph is not None:
        graph = _with_provenance(proposal.graph, song, name)
        proposal = replace(proposal, graph=graph)
        save_graph(graph, folder / "graph.safetensors")
        save_graph(graph, folder / "graph.json")
    write_audio(folder / "mix.wav", proposal.mix, song.sample_rate)
    if plots:
        _draw(folder / "plots", song, name, proposal, target)
    proposal.seconds["writing"] = time.perf_counter() - started
    metrics = finite(_metrics(song, name, estimator, proposal, target))
    write_json(folder / "metrics.json", metrics)
    return Predicted(proposal, metrics, folder)


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


def _with_provenance(graph: MixGraph, song: Song, model: str) -> MixGraph:
    graph = graph.clone()
    provenance = {
        "song": song.name,
        "made_by": f"graphmix {__version__} predict",
        "model": model,
        "num_samples": song.num_samples,
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
