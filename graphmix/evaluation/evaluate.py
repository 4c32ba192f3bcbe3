"""Evaluation of models beside one another on the same songs: one row for each model and song.

Every model mixes every song as :func:`graphmix.training.propose` does, whole, at its own sample rate. The result is
compared with the song's mix (:mod:`graphmix.search.mix_measures`, :mod:`graphmix.evaluation.mix_features`,
:mod:`graphmix.evaluation.track_levels`) and, where it is known, with the true graph
(:mod:`graphmix.evaluation.agreement`). Means and tables are made by :mod:`graphmix.evaluation.scores` and
:mod:`graphmix.evaluation.comparison`.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from graphmix.audio.loudness import loudness
from graphmix.audio.song import Song
from graphmix.chain_string import join_chain, split_chain
from graphmix.datasets.records import Record, find_record_folders
from graphmix.datasets.splits import artist_key
from graphmix.errors import GraphmixError
from graphmix.evaluation.agreement import Agreement, agree
from graphmix.evaluation.human_mix import MINED, HumanMix, MinedFolder, render_mined
from graphmix.evaluation.mix_features import FEATURES, mix_features
from graphmix.evaluation.scores import COLUMNS, LEVELLED, OF_GRAPHS, TRACK_LEVEL, Score
from graphmix.evaluation.track_levels import (
    TrackLevels,
    level_error,
    levels_of_graph,
    levels_of_mix,
    role_errors,
)
from graphmix.graph.consoles import CONSOLE_CHAIN
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.estimator import Estimator
from graphmix.processors.rack import Rack
from graphmix.search.mix_measures import compare_mixes, song_loss
from graphmix.songs.collection import SongFiles, open_collection
from graphmix.training.data import artist_of, load_audio, load_truth, songs_in
from graphmix.training.proposal import Wishes, propose
from graphmix.training.rules import Rules, rack_of

DEFAULT_RATE = 30000
"""Rate in Hz at which mined graphs are compared where no model says another."""


@dataclass(frozen=True)
class EvaluationSong:
    """A song for evaluation: with its mix, and with its true graph where that is known.

    Args:
        song_id: in its collection.
        artist: that splits keep together.
        source: where it is.
    """

    song_id: str
    artist: str
    source: Record | SongFiles

    def load(self, sample_rate: int) -> tuple[Song, MixGraph | None]:
        """The song at a sample rate, and its true graph, if it is known.

        Raises:
            GraphmixError: files that cannot be used.
        """
        if isinstance(self.source, SongFiles):
            return self.source.load(sample_rate), None
        graph, subgroups = load_truth(self.source, sample_rate)
        return load_audio(self.source, sample_rate, subgroups), graph


def songs_to_evaluate(folder: str | Path, max_tracks: int | None = None) -> list[EvaluationSong]:
    """Songs with a mix in a folder: a songbook or mined songs (with true graphs), a collection, or one song.

    Args:
        folder: to look in.
        max_tracks: leave out songs with more tracks.

    Raises:
        GraphmixError: the folder holds none.
    """
    folder = Path(folder)
    if folder.is_dir() and find_record_folders(folder):
        return [EvaluationSong(r.song_id, artist_of(r), r) for r in songs_in([folder], max_tracks)]
    found = [song for song in open_collection(folder).usable if song.layout.mix is not None]
    songs = [song for song in found if max_tracks is None or len(song.layout.tracks) <= max_tracks]
    if not songs:
        raise GraphmixError(f"{folder} holds no song with a mix to compare with; give a songbook or a collection.")
    return [EvaluationSong(s.id, artist_key(s.artist, s.id, s.collection), s) for s in songs]


def evaluate(
    models: Mapping[str, Estimator],
    songs: Sequence[EvaluationSong],
    *,
    trained_on: Mapping[str, frozenset[str]] | None = None,
    chain: str = CONSOLE_CHAIN,
    mined: MinedFolder | None = None,
    rules: Rules | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Iterator[Score]:
    """Every model on every song, song by song, and what was mined of the songs.

    Args:
        models: name -> model.
        songs: see :func:`songs_to_evaluate`.
        trained_on: name -> artists of the training songs, from its checkpoint; see :func:`artists_of`.
        chain: of the console in which decisions on keeping are counted, as far as a true graph has the types.
        mined: where graphs are that were mined of the songs' own mixes; rows of :data:`MINED` are theirs.
        rules: that proposals keep; none by default.
        progress: called with the number of pairs done, and of all pairs.
    """
    trained_on = trained_on or {}
    done, total = 0, (len(models) + (mined is not None)) * len(songs)
    for song in songs:
        loaded: dict[int, HumanMix] = {}
        for name, model in [*models.items(), *([(MINED, None)] if mined is not None else [])]:
            rate = DEFAULT_RATE if model is None else model.sample_rate
            if model is None and loaded:
                rate = next(iter(loaded))
            if rate not in loaded:
                loaded[rate] = _load(song, rate, mined)
            in_training = song.artist in trained_on.get(name, frozenset())
            if model is not None:
                yield score_model(name, song.song_id, model, loaded[rate], chain, rules, in_training)
            elif loaded[rate].mined is not None:
                yield score_mined(song.song_id, loaded[rate])
            done += 1
            if progress is not None:
                progress(done, total)


def _load(song: EvaluationSong, rate: int, mined: MinedFolder | None) -> HumanMix:
    loaded, graph = song.load(rate)
    return HumanMix(loaded, graph, None if mined is None else mined.graph(loaded))


def score_model(
    name: str,
    song_id: str,
    model: Estimator,
    human: HumanMix,
    chain: str = CONSOLE_CHAIN,
    rules: Rules | None = None,
    in_training: bool = False,
) -> Score:
    """One model on one song.

    Args:
        name: of the model, as the caller names it.
        song_id: of the song.
        model: at the rate of the song.
        human: the song's own mix.
        chain: see :func:`evaluate`.
        rules: that the proposal keeps.
        in_training: whether the model was trained on songs of this artist.
    """
    proposal = propose(model, human.song, None if rules is None else Wishes(rules=rules))
    own = model.rack if model.device.type == "cpu" else copy.deepcopy(model.rack).cpu()  # proposals are on the CPU
    rack = None if proposal.graph is None else rack_of(proposal.graph, own)
    numbers, features, levels = _compare(proposal.mix, proposal.graph, human, rack)
    numbers["seconds"] = sum(proposal.seconds.values())
    agreement = None
    if human.graph is not None and proposal.graph is not None:
        agreement = _agreement(proposal.graph, human.graph, human.song, model.rack, chain)
        numbers |= {column: getattr(agreement, column) for column in OF_GRAPHS}
    roles = role_errors(levels, human.levels)
    source = human.level_source
    return Score(name, song_id, in_training, numbers, agreement, features, human.features, roles, source)


def score_mined(song_id: str, human: HumanMix) -> Score:
    """What was mined of a song's own mix, rendered again."""
    assert human.mined is not None, "the caller has looked"
    mix = render_mined(human.mined, human.song)
    numbers, features, levels = _compare(mix, human.mined, human, None)
    roles = role_errors(levels, human.levels)
    return Score(MINED, song_id, False, numbers, None, features, human.features, roles, human.level_source)


def _compare(
    mix: Tensor, graph: MixGraph | None, human: HumanMix, rack: Rack | None
) -> tuple[dict[str, float | None], dict[str, float], TrackLevels]:
    """All :data:`COLUMNS` that a mix has, its features, and the relative levels of its tracks."""
    song = human.song
    numbers: dict[str, float | None] = dict.fromkeys(COLUMNS)
    numbers |= compare_mixes(prediction=mix, target=human.audio, sample_rate=song.sample_rate)
    gain = 10 ** ((human.lufs - loudness(mix, song.sample_rate)) / 20)
    numbers[LEVELLED] = song_loss(prediction=mix * gain, target=human.audio, sample_rate=song.sample_rate)
    features = mix_features(mix, song.sample_rate)
    numbers |= {name: abs(features[name] - human.features[name]) for name in FEATURES}
    if graph is None:
        levels = levels_of_mix(song, mix)
    elif graph.sample_rate == song.sample_rate:
        levels = levels_of_graph(graph, song, rack, mix)
    else:
        levels = levels_of_graph(graph, song.at_rate(graph.sample_rate), rack)
    numbers[TRACK_LEVEL] = level_error(levels, human.levels)
    return numbers, features, levels


def _agreement(graph: MixGraph, true: MixGraph, song: Song, own_rack: Rack, chain: str) -> Agreement:
    """How a proposal agrees with the true graph."""
    captured = [p for p in own_rack if p.node_type.source]
    digests = {p.node_type.digest for p in captured}
    asked = split_chain(chain)
    types = [
        t for t in true.types.types if (t.digest in digests if t.source else not {t.letter, t.name}.isdisjoint(asked))
    ]
    shared = [t.letter or t.name for t in types if t.source]  # a capture that the model lacks has no place there
    own = {kind for t in types for kind in (t.letter, t.name)}
    chain = join_chain([*shared, *(kind for kind in asked if kind in own and kind not in shared)])
    rack = Rack.for_types(types, true.sample_rate, captured)
    return agree(graph, true, song.subgroups, rack, chain)


def artists_of(description: Mapping[str, Any]) -> frozenset[str]:
    """Artists that a checkpoint was trained on, from its description; empty where they are unknown."""
    training = description.get("training") or {}
    artists = training.get("artists") if isinstance(training, Mapping) else None
    return frozenset(artists) if isinstance(artists, list) else frozenset()
