"""Evaluation of models beside one another on the same songs: one row for each model and song.

Every model mixes every song as :func:`graphmix.training.propose` does, whole, at its own sample rate. The result is
compared with the song's mix (:mod:`graphmix.search.mix_measures`) and, where it is known, with the true graph
(:mod:`graphmix.evaluation.agreement`). Means and tables are made by :mod:`graphmix.evaluation.scores`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from graphmix.audio.files import read_audio
from graphmix.audio.song import Song
from graphmix.chain_string import join_chain, split_chain
from graphmix.datasets.records import Record, find_record_folders
from graphmix.datasets.splits import artist_key
from graphmix.errors import GraphmixError
from graphmix.evaluation.agreement import Agreement, agree
from graphmix.evaluation.scores import COLUMNS, OF_GRAPHS, Score
from graphmix.graph.consoles import CONSOLE_CHAIN
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.estimator import Estimator
from graphmix.processors.rack import Rack
from graphmix.search.mix_measures import compare_mixes
from graphmix.songs.collection import SongFiles, open_collection
from graphmix.training.data import artist_of, load_audio, load_truth, songs_in
from graphmix.training.proposal import propose


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
    progress: Callable[[int, int], object] | None = None,
) -> Iterator[Score]:
    """Every model on every song, song by song.

    Args:
        models: name -> model.
        songs: see :func:`songs_to_evaluate`.
        trained_on: name -> artists of the training songs, from its checkpoint; see :func:`artists_of`.
        chain: of the console in which decisions on keeping are counted, as far as a true graph has the types.
        progress: called with the number of pairs done, and of all pairs.
    """
    trained_on = trained_on or {}
    done, total = 0, len(models) * len(songs)
    for song in songs:
        loaded: dict[int, tuple[Song, MixGraph | None]] = {}
        for name, model in models.items():
            rate = model.sample_rate
            if rate not in loaded:
                loaded[rate] = song.load(rate)
            numbers, agreement = score_song(model, *loaded[rate], chain)
            yield Score(name, song.song_id, song.artist in trained_on.get(name, frozenset()), numbers, agreement)
            done += 1
            if progress is not None:
                progress(done, total)


@torch.no_grad()
def score_song(
    model: Estimator, song: Song, true: MixGraph | None, chain: str = CONSOLE_CHAIN
) -> tuple[dict[str, float | None], Agreement | None]:
    """All :data:`COLUMNS` of one model on one song with a mix, and how its graph agrees with the true one."""
    assert song.mix is not None, "songs without a mix are not evaluated"
    proposal = propose(model, song)
    target = read_audio(song.mix, 0, song.num_samples, song.sample_rate)
    numbers: dict[str, float | None] = dict.fromkeys(COLUMNS)
    numbers |= compare_mixes(prediction=proposal.mix, target=target, sample_rate=song.sample_rate)
    numbers["seconds"] = sum(proposal.seconds.values())
    if true is None or proposal.graph is None:
        return numbers, None
    captured = [p for p in model.rack if p.node_type.source]
    digests = {p.node_type.digest for p in captured}
    asked = split_chain(chain)
    types = [
        t for t in true.types.types if (t.digest in digests if t.source else not {t.letter, t.name}.isdisjoint(asked))
    ]
    shared = [t.letter or t.name for t in types if t.source]  # a capture that the model lacks has no place there
    own = {kind for t in types for kind in (t.letter, t.name)}
    chain = join_chain([*shared, *(kind for kind in asked if kind in own and kind not in shared)])
    rack = Rack.for_types(types, true.sample_rate, captured)
    agreement = agree(proposal.graph, true, song.subgroups, rack, chain)
    return numbers | {name: getattr(agreement, name) for name in OF_GRAPHS}, agreement


def artists_of(description: Mapping[str, Any]) -> frozenset[str]:
    """Artists that a checkpoint was trained on, from its description; empty where they are unknown."""
    training = description.get("training") or {}
    artists = training.get("artists") if isinstance(training, Mapping) else None
    return frozenset(artists) if isinstance(artists, list) else frozenset()
