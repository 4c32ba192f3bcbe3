"""Spectrograms of patches, as networks that propose patches see them; rendered once, and kept beside the patches."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from graphmix.errors import FileError
from graphmix.io import write_atomically
from graphmix.models.features import mel_filters
from graphmix.models.synthesizers import note_features
from graphmix.progress import Listener, Silent
from graphmix.synthesizers.instruments import SYNTHESIZERS
from graphmix.synthesizers.patch_set import PatchSet, play_patch
from graphmix.synthesizers.sounds import power_spectra
from graphmix.synthesizers.synthesizer import SAMPLE_RATE

CACHE = "images"
CACHE_EVERY = 500
FLOOR_DB = -80.0


@dataclass(frozen=True)
class Sounds:
    """What a training sees of a folder of patches.

    Args:
        images: mel spectrograms, [sounds, mels, frames].
        which: number of the synthesizer, [sounds].
        notes: pitches and lengths, as :func:`graphmix.models.synthesizers.note_features` has them, [sounds, 2].
        vectors: patches, padded, [sounds, width].
    """

    images: Tensor
    which: Tensor
    notes: Tensor
    vectors: Tensor

    def __getitem__(self, rows: Tensor | slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.images[rows], self.which[rows], self.notes[rows], self.vectors[rows]


def mel_images(audio: Tensor, mels: int, frames: int) -> Tensor:
    """Mel spectrograms in dB re their own maximum, from 0 (80 dB below it) to 1, [sounds, mels, frames]."""
    power = power_spectra(audio)
    filters = mel_filters(SAMPLE_RATE, 2 * (power.size(-2) - 1), mels)
    bands = torch.nn.functional.adaptive_avg_pool1d(filters.t() @ power, frames)
    level = 10 * bands.clamp(min=1e-12).log10()
    return ((level - level.amax((-2, -1), keepdim=True)) / -FLOOR_DB + 1).clamp(min=0)


def patch_images(patches: PatchSet, mels: int, frames: int, listener: Listener | None = None) -> Sounds:
    """Spectrograms and vectors of patches; rendered once, and kept in the folder of the patches."""
    listener = listener or Silent()
    names = list(dict.fromkeys(name for name, _ in patches.items))
    width = max(SYNTHESIZERS[name].width for name in names)
    images, which, notes, vectors = list[Tensor](), list[int](), list[Tensor](), list[Tensor]()
    listener.phase("spectrograms", len(patches))
    cached = {name: _read_cache(patches.folder, name, mels, frames) for name in names}
    for i, (name, index) in enumerate(patches.items):
        known, graph = cached[name], patches[i]
        if index not in known:
            audio = play_patch(graph)
            known[index] = mel_images(audio[None], mels, frames)[0]
            if (i + 1) % CACHE_EVERY == 0:
                _write_cache(patches.folder, name, mels, frames, known)
        synthesizer = SYNTHESIZERS[name]
        vector = synthesizer.vector(synthesizer.read(graph))
        images.append(known[index])
        which.append(names.index(name))
        notes.append(graph.params["note"][0, [0, 2]])
        vectors.append(torch.nn.functional.pad(vector, (0, width - len(vector))))
        listener.progress(i + 1)
    for name, known in cached.items():
        _write_cache(patches.folder, name, mels, frames, known)
    features = note_features(*torch.stack(notes).unbind(1))
    return Sounds(torch.stack(images), torch.tensor(which), features, torch.stack(vectors))


def _cache(folder: Path, name: str, mels: int, frames: int) -> Path:
    return folder / CACHE / f"{name}_{mels}x{frames}.safetensors"


def _read_cache(folder: Path, name: str, mels: int, frames: int) -> dict[int, Tensor]:
    path = _cache(folder, name, mels, frames)
    if not path.exists():
        return {}
    try:
        stored = load_file(path)
        return dict(zip(stored["indices"].tolist(), stored["images"], strict=True))
    except (SafetensorError, KeyError, ValueError, OSError):  # it can be made again
        return {}


def _write_cache(folder: Path, name: str, mels: int, frames: int, known: Mapping[int, Tensor]) -> None:
    path = _cache(folder, name, mels, frames)
    indices = sorted(known)
    tensors = {"indices": torch.tensor(indices), "images": torch.stack([known[i] for i in indices])}
    with suppress(OSError, FileError):  # a folder that cannot be written is no obstacle
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, save(tensors))
