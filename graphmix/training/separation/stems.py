"""The stems of a song's sources: dry as recorded, or wet as they stand in the mix of a known graph.

A *wet* stem is what the graph makes of the tracks of one source while all others are silent. Compressors that several
sources share would work harder in the true mix; so a mixture is the sum of its stems and nothing else, which is what
a separator has to take apart. Stems are kept in a folder as 16-bit integers and a scale, since rendering them takes
longer than a step of training.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from graphmix.audio.files import read_audio, read_info
from graphmix.errors import GraphmixError
from graphmix.graph.storage import load_graph
from graphmix.io import open_tensors, write_atomically
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.training.separation.sources import SourceSong

FULL_SCALE = 32767.0


def load_stems_of(song: SourceSong, sources: Sequence[str], sample_rate: int, *, wet: bool = True) -> Tensor:
    """The stems of a song, [sources, 2, samples]; zeros of a source that it does not have.

    Args:
        song: with its tracks by source.
        sources: their order.
        sample_rate: in Hz.
        wet: as they stand in the mix, where the song's graph is known.

    Raises:
        GraphmixError: a graph for another rate, or that does not fit the tracks; a file that cannot be read.
    """
    infos = {name: read_info(path) for tracks in song.tracks.values() for name, path in tracks.items()}
    length = max(info.num_samples_at(sample_rate) for info in infos.values())
    stems = torch.zeros(len(sources), 2, length)
    if wet and song.graph is not None:
        return _wet_stems(song, sources, sample_rate, stems)
    for row, source in zip(stems, sources, strict=True):
        for name in song.tracks.get(source, {}):
            row += read_audio(infos[name], 0, length, sample_rate)
    return stems


@torch.no_grad()
def _wet_stems(song: SourceSong, sources: Sequence[str], sample_rate: int, stems: Tensor) -> Tensor:
    assert song.graph is not None, "only a graph makes stems wet"
    graph = load_graph(song.graph)
    if graph.sample_rate != sample_rate:
        raise GraphmixError(
            f"{song.graph} is made for {graph.sample_rate} Hz and the separator for {sample_rate} Hz; make the songs "
            "at the separator's rate, set model.sample_rate, or learn from dry stems (data.wet = false)."
        )
    renderer, names = Renderer(Rack.for_types(graph.types.types, sample_rate)), graph.input_names
    for row, source in zip(stems, sources, strict=True):
        tracks = song.tracks.get(source, {})
        if not tracks:
            continue
        inputs = torch.zeros(len(names), 2, stems.size(-1))
        for name, path in tracks.items():
            if name not in names:
                raise GraphmixError(f"{song.graph} has no input for the track {name!r}; was the graph made for it?")
            inputs[names.index(name)] = read_audio(read_info(path), 0, stems.size(-1), sample_rate)
        row.copy_(renderer(graph, inputs).sum(dim=0))
    return stems


class StemStore:
    """Stems of songs, rendered once and kept in a folder and, as integers, in memory.

    Args:
        folder: where they are kept; None keeps them in memory alone.
        sources: their order.
        sample_rate: in Hz.
        wet: as :func:`load_stems_of`.
    """

    def __init__(self, folder: Path | None, sources: Sequence[str], sample_rate: int, *, wet: bool = True) -> None:
        self.folder, self.sources, self.sample_rate, self.wet = folder, tuple(sources), sample_rate, wet
        self._kept: dict[tuple[str, str], tuple[Tensor, float]] = {}

    def prepare(self, song: SourceSong) -> None:
        """Render and keep the stems of a song."""
        self._stored(song)

    def num_samples(self, song: SourceSong) -> int:
        """How long a song is."""
        return self._stored(song)[0].size(-1)

    def read(self, song: SourceSong, source: int, start: int, length: int) -> Tensor:
        """A stretch of one stem, [2, length]; after its end is silence."""
        values, scale = self._stored(song)
        part = values[source, :, start : start + length].to(torch.float32) * (scale / FULL_SCALE)
        return torch.nn.functional.pad(part, (0, length - part.size(-1)))

    def whole(self, song: SourceSong) -> Tensor:
        """All stems of a song, [sources, 2, samples]."""
        values, scale = self._stored(song)
        return values.to(torch.float32) * (scale / FULL_SCALE)

    def _stored(self, song: SourceSong) -> tuple[Tensor, float]:
        key = (song.collection, song.id)
        if key not in self._kept:
            path = None if self.folder is None else self.folder / f"{self._digest(song)}.safetensors"
            kept = None if path is None else _read(path)
            if kept is None:
                stems = load_stems_of(song, self.sources, self.sample_rate, wet=self.wet)
                scale = max(float(stems.abs().max()), 1e-9)
                kept = (stems * (FULL_SCALE / scale)).round().to(torch.int16), scale
                if path is not None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_atomically(path, save({"stems": kept[0], "scale": torch.tensor(scale, dtype=torch.float64)}))
            self._kept[key] = kept
        return self._kept[key]

    def _digest(self, song: SourceSong) -> str:
        """What a file of stems depends on."""
        files = [
            f"{source} {name} {path.resolve()} {path.stat().st_size}"
            for source, tracks in song.tracks.items()
            for name, path in tracks.items()
        ]
        graph = str(song.graph.resolve()) if song.graph is not None and self.wet else ""
        text = "\n".join([*self.sources, str(self.sample_rate), graph, *files])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _read(path: Path) -> tuple[Tensor, float] | None:
    """What a file of stems holds; None where it has to be made (again)."""
    if not path.is_file():
        return None
    try:
        with open_tensors(path) as file:
            return file.get_tensor("stems").clone(), float(file.get_tensor("scale"))
    except (SafetensorError, KeyError, OSError):
        return None
