"""Features of segments and of whole songs for models with an encoder: computed once, kept in memory.

An encoder sees either the segment that is rendered, or the whole song (of a long one the block around the segment, as
when the model is used). Features are in 32 bits, in the memory of the CPU, and bounded in size.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from graphmix.audio.segments import ENCODER_SECONDS, encoder_blocks
from graphmix.errors import GraphmixError
from graphmix.models.mixing.canonical import CanonicalSong, EmbeddedSong
from graphmix.models.mixing.estimator import Estimator
from graphmix.models.mixing.stems import Stems
from graphmix.training.data import Example, SongSegments

SongFeatures = dict[tuple[str, str], list[tuple[int, CanonicalSong]]]
"""Features of whole songs: (settings of the features, graph file) -> (first sample, features) of each block."""
Ticker = Callable[[int], object]
"""Called with the number of things done."""
_Pair = tuple[Tensor | None, Tensor | None]


class FeatureStore:
    """Features of the examples of a training.

    Args:
        estimator: whose features these are; one without an encoder has none.
        size_bytes: how much kept features may take; see :attr:`Example.comes_again`.
    """

    def __init__(self, estimator: Estimator, size_bytes: int = 1 << 30) -> None:
        self.estimator = estimator
        self._room = size_bytes
        self._songs: dict[str, list[tuple[int, CanonicalSong]]] = {}
        self._segments: dict[tuple[str, int], _Pair] = {}

    @property
    def has_songs(self) -> bool:
        """Whether features of whole songs are kept, so that none of segments are needed."""
        return bool(self._songs)

    def encode_songs(
        self,
        songs: SongSegments,
        progress: Ticker = int,
        known: SongFeatures | None = None,
        block_seconds: float = ENCODER_SECONDS,
    ) -> None:
        """Give the encoder whole songs from now on, not segments; examples of any other song are an error.

        Args:
            songs: whose features are computed here, and kept.
            progress: called with the number of songs done.
            known: features computed before, which are not computed again; new ones are added.
            block_seconds: length of the blocks of a long song.

        Raises:
            GraphmixError: the features take more memory than there may be.
        """
        if not self.estimator.has_encoder:
            return
        known = {} if known is None else known
        for index, record in enumerate(songs.records):
            path = str(record.graph_path)
            key = self.estimator.features_key, path
            if key not in known:
                song = songs.song(index)
                blocks = encoder_blocks(song.num_samples, song.sample_rate, block_seconds)
                known[key] = [(start, self._analyzed(Stems.from_song(song, start, length))) for start, length in blocks]
            self._songs[path] = known[key]
            songs.lengths[index] = sum(block.samples for _, block in known[key])
            self._room -= sum(_bytes_of((block.features, block.mix_features)) for _, block in known[key])
            if self._room < 0:
                raise GraphmixError(
                    f"the features of {index + 1} of {len(songs)} songs take all the memory for features; set "
                    'data.encode to "segment", or use the encoder "statistics".'
                )
            progress(index + 1)

    def embed(self, examples: Sequence[Example]) -> list[EmbeddedSong]:
        """Embeddings of the tracks of each example; none of a model without an encoder."""
        if not self.estimator.has_encoder:
            return []
        if self.has_songs:
            return self.estimator.embed_canonical([self._block_around(example) for example in examples])
        return self.estimator.embed([self.with_features(example) for example in examples])

    def with_features(self, example: Example) -> Stems:
        """The stems of an example with their features, if there are any; those that come again are kept."""
        stems = example.audible
        if not self.estimator.has_encoder:
            return stems
        kept = self._segments.get(example.place)
        if kept is None:
            kept = self._features_of(stems)
            if example.comes_again and _bytes_of(kept) <= self._room:
                self._room -= _bytes_of(kept)
                self._segments[example.place] = kept
        return replace(stems, features=kept[0], mix_features=kept[1])

    def _block_around(self, example: Example) -> CanonicalSong:
        """The block of the song in which the middle of a segment lies."""
        path, start = example.place
        blocks = self._songs[path]
        middle = start + example.length // 2
        return blocks[max(0, bisect_right(blocks, middle, key=lambda block: block[0]) - 1)][1]

    def _analyzed(self, stems: Stems) -> CanonicalSong:
        """The tracks that sound with their features, without their sound."""
        with torch.autocast(self.estimator.device.type, enabled=False):
            song = self.estimator.analyze(stems)
        assert song.features is not None, "a model with an encoder has features"
        mix = None if song.mix_features is None else song.mix_features.cpu()
        nothing = song.audio.new_zeros(len(song.names), 2, 0)
        return replace(song, audio=nothing, mix=None, features=song.features.cpu(), mix_features=mix)

    def _features_of(self, stems: Stems) -> _Pair:
        """Features of the tracks and, in reverse mode, of the mix."""
        with torch.autocast(self.estimator.device.type, enabled=False):
            known = self.estimator.features(stems if self.estimator.needs_mix else replace(stems, mix=None))
        tracks, mix = (None if part is None else part.cpu() for part in (known.features, known.mix_features))
        return tracks, mix


def _bytes_of(features: _Pair) -> int:
    return sum(part.numel() * part.element_size() for part in features if part is not None)
