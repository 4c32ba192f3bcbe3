"""``metrics.json``: what came out of mining one song, in numbers.

``audio_loss`` and its terms count silent segments as :class:`graphmix.search.MixLoss` says, given the song's level;
``audio_loss_paper`` divides by each segment's own norm, as the paper does, and is the same where no segment is silent.
JSON has no infinity: a signal-to-distortion ratio is null where it is infinite, and ``exact_match`` says whether that
is because the mined mix equals the song's mix or because one of the two is silent.

``audio_loss``, ``baselines`` and ``console_loss`` are L_a of the paper whatever the search minimised; where that was
something else, ``objective`` has its name and values.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from graphmix import __version__
from graphmix.audio.song import Song
from graphmix.errors import SearchError
from graphmix.graph.mixgraph import MixGraph
from graphmix.io import decode_text
from graphmix.search.losses import LossTerms, sdr, si_sdr
from graphmix.search.objective import Objective
from graphmix.search.rounds import count_processors, pruning_ratio
from graphmix.search.search_state import SearchState
from graphmix.search.settings import SearchSettings
from graphmix.search.whole_song import Sampled

METRICS = "metrics.json"
"""The file's name in the folder of a mined song."""
_VERSIONS = ("torch", "torchaudio", "torch_geometric", "auraloss", "numpy")
_OLD_KEYS = {"simple_answers": "baselines", "is_simple_answer": "is_baseline"}
"""Keys in the files of older versions -> their names today."""


@dataclass(frozen=True)
class SongSource:
    """Where a song comes from, for later readers of its metrics.

    Args:
        song_id: unique in its collection.
        collection: name of the collection.
        artist: of the song.
    """

    song_id: str
    collection: str | None = None
    artist: str | None = None


def read_metrics(folder: str | Path) -> dict[str, Any]:
    """The metrics of a mined song, with today's keys, whichever version wrote them.

    Args:
        folder: of the song.

    Raises:
        SearchError: the file is missing, damaged, or something else.
    """
    path = Path(folder) / METRICS
    try:
        return translate_metrics(json.loads(decode_text(path.read_bytes(), str(path), SearchError)))
    except OSError as error:
        raise SearchError(f"cannot read {path}: {error.strerror or error}.") from None
    except SearchError:
        raise
    except (ValueError, AttributeError, RecursionError):
        raise SearchError(f"{path} is damaged. Delete it to finish the run again.") from None


def translate_metrics(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same metrics with today's keys.

    >>> translate_metrics({"simple_answers": {"plain sum": 1.5}})
    {'baselines': {'plain sum': 1.5}}
    """
    return {_OLD_KEYS.get(key, key): value for key, value in values.items()}


@dataclass(frozen=True)
class ReportedLosses:
    """L_a of a result and of its fitted console, whatever the search minimised.

    Args:
        paper: the song with the paper's loss.
        result: of the search.
        console: fitted, before pruning; where the search evaluated some segments only, estimated.
    """

    paper: Objective
    result: LossTerms
    console: float


def report_losses(objective: Objective, state: SearchState, sampled: Sampled | None = None) -> ReportedLosses:
    """L_a at the end of a search; evaluated where it is not what the search minimised."""
    assert state.console is not None, "the console was fitted"
    paper = objective.of_the_paper()
    if paper is objective:
        console = float(state.console.terms.total) if sampled is None else sampled.console.value
        return ReportedLosses(paper, state.result.terms, console)
    result, fitted = (paper.evaluate_whole(scored.graph) for scored in (state.result, state.console))
    return ReportedLosses(paper, result, float(fitted.total))


def mining_metrics(
    graph: MixGraph,
    objective: Objective,
    settings: SearchSettings,
    state: SearchState,
    reported: ReportedLosses,
    sampled: Sampled | None = None,
) -> dict[str, Any]:
    """What the search says of itself: losses, processors, time, settings.

    Args:
        graph: the result.
        objective: of the search.
        settings: of the search.
        state: of the search at its end.
        reported: of the same state.
        sampled: what the search evaluated on some of the segments.
    """
    song, loss, paper = objective.song, reported.result, reported.paper
    of_the_paper = paper.evaluate(graph, paper.segments, of_the_paper=True) if paper.has_silence else loss
    minimised = {} if paper is objective else {"objective": _describe_objective(objective, settings, state, sampled)}
    names = ("audio_loss", "left_right_loss", "mid_loss", "side_loss")
    return {
        "song": song.name,
        **{name: round(value, 6) for name, value in zip(names, loss.to_list(), strict=True)},
        "audio_loss_paper": round(float(of_the_paper.total), 6),
        "baselines": {name: round(value, 6) for name, value in state.baseline_losses.items()},
        "console_loss": round(reported.console, 6),
        **({} if sampled is None else {"sampled": sampled.describe()}),
        **minimised,
        **_describe_end(state),
        "tracks": song.num_tracks,
        "subgroups": len(song.subgroups),
        "processors_before": sum(state.counts.values()),
        "processors_left": sum(count_processors(graph).values()),
        "left_by_type": count_processors(graph),
        "pruning_ratio": pruning_ratio(graph, state.counts),
        "is_baseline": state.is_baseline,
        "seconds": {name: round(value, 2) for name, value in state.seconds.items()},
        "steps": state.step,
        "settings": settings.to_dict(),
        "seed": settings.seed,
        "device": str(objective.device),
        "versions": {"graphmix": __version__} | {name: version(name) for name in _VERSIONS},
        "notices": list(song.notices),
    }


def _describe_end(state: SearchState) -> dict[str, Any]:
    """What a search was at when its minutes were over, if they were; and what came of moves and slots."""
    found: dict[str, Any] = {}
    for record in state.trace:
        if record["event"] == "stopped":
            found["stopped"] = {"minutes": record["minutes"], "where": record["where"]}
        if record["event"] == "moves":
            before = found.setdefault("moves", {"tried": 0, "kept": 0})
            found["moves"] = {name: before[name] + record[name] for name in before}
        if record["event"] == "relaxed":
            found["relaxed"] = {"runs": record["runs"], "kept": record["kept"]}
    return found


def _describe_objective(
    objective: Objective, settings: SearchSettings, state: SearchState, sampled: Sampled | None
) -> dict[str, Any]:
    """What the search minimised: its name, its values, and of the result each part without its weight."""
    assert state.console is not None, "the console was fitted"
    console = state.console.terms.total if sampled is None else sampled.console.value
    values = {"loss": state.result.terms.total, "console_loss": console}
    if state.baseline is not None:
        values["baseline_loss"] = state.baseline.terms.total
    parts = objective.parts(state.result.graph)
    return {
        "name": settings.objective,
        **{name: round(float(value), 6) for name, value in values.items()},
        "parts": {name: round(float(terms.total), 6) for name, terms in parts.items()},
    }


def distortion_metrics(*, prediction: Tensor, target: Tensor) -> dict[str, Any]:
    """Signal-to-distortion ratios of a mix [2, samples] in dB, null where infinite, and whether it is the target."""
    ratios = {
        "si_sdr_db": si_sdr(prediction=prediction, target=target),
        "sdr_db": sdr(prediction=prediction, target=target),
    }
    values = {name: float(ratio) for name, ratio in ratios.items()}
    rounded = {name: round(value, 3) if math.isfinite(value) else None for name, value in values.items()}
    return rounded | {"exact_match": values["sdr_db"] == math.inf}


def describe_source(song: Song, source: SongSource) -> dict[str, Any]:
    """Which song it is, and which files, by absolute paths."""
    return {
        "song_id": source.song_id,
        "collection": source.collection,
        "artist": source.artist,
        "mix": None if song.mix is None else str(song.mix.path.absolute()),
        "tracks": {track.name: str(track.info.path.absolute()) for track in song.tracks},
        "subgroups": {bus: list(members) for bus, members in song.subgroups.items()},
        **({"offset": song.offset / song.sample_rate} if song.offset else {}),
    }
