"""The results of a mined song: the files that describe its mix, and what is read back from them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from graphmix import __version__
from graphmix.audio.files import write_audio
from graphmix.audio.song import Song
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.graph.tables import Reductions
from graphmix.io import write_json
from graphmix.processors.base import Processor
from graphmix.render.blocks import render_song
from graphmix.rewrite.simplify import simplify
from graphmix.runs import RunFolder
from graphmix.search.alignment import NO_ALIGNMENT, Alignment
from graphmix.search.full_band import Finished, finish
from graphmix.search.importance import measure_importance
from graphmix.search.metrics import (
    METRICS,
    SongSource,
    describe_source,
    distortion_metrics,
    mining_metrics,
    read_metrics,
    report_losses,
)
from graphmix.search.objective import Objective
from graphmix.search.reductions import KEY as REDUCTIONS
from graphmix.search.reductions import measure_reductions, plain_reductions
from graphmix.search.residual import Unexplained
from graphmix.search.rides import describe_rides
from graphmix.search.rounds import count_processors
from graphmix.search.search_state import SearchState
from graphmix.search.settings import SearchSettings
from graphmix.search.whole_song import Sampled

CONSOLE = "console.safetensors"
"""The fitted console, before pruning, at the rate of the search; nodes in the trace are numbered as in it."""
USUAL_START = "levels"
"""Name of the start by least squares and spectra."""


@dataclass(frozen=True)
class Mined:
    """A mined song: its graph, its metrics (as in ``metrics.json``), and whether it was there already."""

    graph: MixGraph
    metrics: dict[str, Any]
    folder: Path
    already_done: bool = False

    def __repr__(self) -> str:
        loss, left = self.metrics["audio_loss"], self.metrics["processors_left"]
        song, before = self.metrics["song"], self.metrics["processors_before"]
        return f"Mined({song!r}, loss {loss:.4f}, {left} of {before} processors, in {str(self.folder)!r})"


def load_finished(folder: Path) -> Mined:
    """What an earlier run left in a folder."""
    return Mined(load_graph(folder / "graph.safetensors"), read_metrics(folder), folder, already_done=True)


def write_results(
    output: RunFolder,
    objective: Objective,
    settings: SearchSettings,
    state: SearchState,
    source: SongSource,
    *,
    plots: bool,
    unexplained: Unexplained | None = None,
    alignment: Alignment = NO_ALIGNMENT,
    own: Song | None = None,
    effects: Sequence[Processor] = (),
    sampled: Sampled | None = None,
) -> Mined:
    """Write everything; ``metrics.json`` last, whose presence says that the folder is done.

    Args:
        output: the run's folder.
        objective: of the search.
        settings: of the search.
        state: of the search at its end.
        source: of the song.
        plots: draw pictures.
        unexplained: what the tracks do not explain of the mix.
        alignment: how the tracks of the objective's song were moved.
        own: the song as its files have it, whose rate the result is brought to; None: that of the search.
        effects: processors of the rack beside graphmix's own.
        sampled: what the search evaluated on some of the segments.
    """
    started, folder, song, result = time.perf_counter(), output.path, objective.song, state.result
    simple = simplify(result.graph, objective.rack)
    reported = report_losses(objective, state, sampled)
    graph = _with_provenance(simple, song, settings, float(reported.result.total), source)
    mix = render_song(graph, song, objective.rack)
    target = song.read_mix(0, song.num_samples)
    reductions = measure_reductions(graph, song, objective.rack)
    whole = alignment.complete(graph)
    finished = (
        Finished(whole, mix, song, {})
        if own is None
        else finish(whole, mix, own, effects, song.sample_rate, settings.objective)
    )
    whole = finished.graph
    save_graph(whole, folder / "graph.safetensors")
    save_graph(whole, folder / "graph.json")
    _save_console(folder / CONSOLE, alignment, song, settings, state, reported.console, source)
    write_audio(folder / "mix.wav", finished.mix, whole.sample_rate)
    if plots:
        wanted = target if finished.mix is mix else finished.song.read_mix(0, finished.song.num_samples)
        _write_plots(folder / "plots", whole, objective, state, reported.console, finished.mix, wanted, reductions)
    state.seconds["writing"] = time.perf_counter() - started
    metrics = mining_metrics(graph, objective, settings, state, reported, sampled)
    metrics |= {"start": output.run.get("start", USUAL_START), "source": describe_source(song, source)}
    metrics |= distortion_metrics(prediction=mix, target=target)
    if unexplained is not None:
        metrics["unexplained"] = unexplained.describe() | {"is_track": "residual" in output.run}
    metrics["processors_absorbed"] = sum(count_processors(result.graph).values()) - metrics["processors_left"]
    if reductions:
        metrics[REDUCTIONS] = plain_reductions(reductions)
    if finished.about:
        metrics["full_band"] = finished.about
    if alignment or alignment.lags.drift_ppm:
        metrics["alignment"] = alignment.describe()
    if found := describe_rides(graph):
        metrics["rides"] = found
    write_json(folder / METRICS, metrics)
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    return Mined(whole, metrics, folder)


def _save_console(
    path: Path,
    alignment: Alignment,
    song: Song,
    settings: SearchSettings,
    state: SearchState,
    loss: float,
    source: SongSource,
) -> None:
    """The fitted console, for the tracks as they are."""
    assert state.console is not None, "the console was fitted"
    save_graph(alignment.complete(_with_provenance(state.console.graph, song, settings, loss, source)), path)


def _write_plots(
    folder: Path,
    graph: MixGraph,
    objective: Objective,
    state: SearchState,
    console_loss: float,
    mix: torch.Tensor,
    target: torch.Tensor,
    reductions: Reductions,
) -> None:
    from graphmix.search.pictures import draw_plots, make_folder

    assert state.console is not None, "the console was fitted"
    make_folder(folder)
    importance = measure_importance(objective, state.console.graph)
    if importance.types:
        importance.write(folder / "importance.csv")
    draw_plots(folder, graph, state, importance, console_loss, mix, target, reductions)


def _with_provenance(
    graph: MixGraph, song: Song, settings: SearchSettings, loss: float, source: SongSource
) -> MixGraph:
    """The graph with a word on where it comes from; no paths, so that a file's bytes do not depend on them."""
    graph = graph.clone()
    provenance = {
        "song": song.name,
        "made_by": f"graphmix {__version__} mine",
        "audio_loss": round(loss, 6),
        "num_samples": song.num_samples,
        "tracks": list(song.track_names),
        "settings": settings.to_dict(),
    }
    known = {"song_id": source.song_id, "collection": source.collection, "artist": source.artist}
    provenance |= {key: value for key, value in known.items() if value is not None}
    info = graph.info
    graph.info = type(info)(info.types, info.sample_rate, info.names, provenance)
    return graph
