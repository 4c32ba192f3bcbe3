"""Many patches in a folder: random ones of one or more synthesizers, each with a note, that sound and differ.

``patches.json`` says what the folder holds; ``SYNTH/000000.safetensors`` and so on are the graphs. Audio is rendered
when it is asked for. A run that was stopped goes on, and any number of workers writes the same files: a patch depends
on the seed, the synthesizer and its number, and on those before it where two would sound alike.
"""

import json
import multiprocessing
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph, save_graph
from graphmix.io import read_json, to_json, write_json
from graphmix.processes import start_worker
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from graphmix.synthesizers.instruments import SYNTHESIZERS
from graphmix.synthesizers.presets import random_patch
from graphmix.synthesizers.sounds import power_spectra
from graphmix.synthesizers.synthesizer import SAMPLE_RATE, VERSION, Synthesizer

INFO = "patches.json"
PITCHES = (36, 84)
LENGTHS_MS = (150.0, 2500.0)
VELOCITIES = (0.3, 1.0)
SECONDS = 3.0
QUIETEST_DB, LOUDEST = -60.0, 4.0
"""Level of a note over a second, and peak, beyond which a patch is drawn again."""
NEAREST_DB = 1.0
"""Patches whose features are nearer than this count as one sound."""
SPLITS = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}
"""By the last digit of a patch's number."""
_ATTEMPTS = 50
_CHUNK = 16
Features = NDArray[np.float32]


def write_patches(
    out: str | Path,
    synthesizers: Sequence[Synthesizer],
    count: int,
    seed: int = 0,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write patches that are not there yet.

    Args:
        out: the folder.
        synthesizers: whose patches.
        count: of each of them.
        seed: of all random choices.
        workers: processes.
        progress: called with the patches done and wanted.

    Raises:
        GraphmixError: the folder holds something else, or patches of another seed.
    """
    out = Path(out)
    _begin(out, seed)
    done, wanted = 0, count * len(synthesizers)
    for synthesizer in synthesizers:
        known: list[Features] = []
        for index, (graph, features) in enumerate(_drawn(synthesizer.name, range(count), seed, workers)):
            attempt = 0
            while any(_distance(features, other) < NEAREST_DB for other in known) and attempt < _ATTEMPTS:
                attempt += 1
                graph, features = draw(synthesizer.name, index, seed, attempt * _ATTEMPTS)
            known.append(features)
            path = _path(out, synthesizer.name, index)
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                save_graph(graph, path)
            done += 1
            if (index + 1) % _CHUNK == 0:
                _note_count(out, seed, synthesizer.name, index + 1)
            if progress is not None:
                progress(done, wanted)
        _note_count(out, seed, synthesizer.name, count)
    return out


def _note_count(out: Path, seed: int, name: str, count: int) -> None:
    counts = _counts(out)
    counts[name] = max(count, counts.get(name, 0))
    write_json(out / INFO, {"seed": seed, "version": VERSION, "counts": counts})


def _begin(out: Path, seed: int) -> None:
    if not out.exists() or not any(out.iterdir()):
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / INFO, {"seed": seed, "version": VERSION, "counts": {}})
        return
    info = _info(out)
    if info["seed"] != seed or info["version"] != VERSION:
        raise GraphmixError(
            f"{out} holds patches with seed {info['seed']} and version {info['version']}, not {seed} and {VERSION}. "
            "Choose another --out."
        )


def _info(folder: Path) -> dict[str, Any]:
    if not (folder / INFO).is_file():
        raise GraphmixError(f"{folder} has no {INFO}: it is no folder of patches. Write one by `graphmix patches`.")
    info = read_json(folder / INFO, error=GraphmixError, fix="write the patches again")
    if not isinstance(info, dict) or not {"seed", "version", "counts"} <= info.keys():
        raise GraphmixError(f"{folder / INFO} is damaged: it lacks seed, version or counts.")
    return info


def _counts(folder: Path) -> dict[str, int]:
    return {str(name): int(number) for name, number in _info(folder)["counts"].items()}


def _path(folder: Path, name: str, index: int) -> Path:
    return folder / name / f"{index:06}.safetensors"


def _drawn(name: str, indices: Sequence[int], seed: int, workers: int) -> Iterator[tuple[MixGraph, Features]]:
    chunks = [list(indices[begin : begin + _CHUNK]) for begin in range(0, len(indices), _CHUNK)]
    if workers == 1 or len(chunks) < 2:
        for chunk in chunks:
            yield from draw_many(name, chunk, seed)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker, initargs=(1,)) as pool:
        for found in pool.map(draw_many, [name] * len(chunks), chunks, [seed] * len(chunks)):
            yield from found


def draw_many(name: str, indices: Sequence[int], seed: int) -> list[tuple[MixGraph, Features]]:
    """Several patches, as :func:`draw`."""
    return [draw(name, index, seed) for index in indices]


def draw(name: str, index: int, seed: int, first: int = 0) -> tuple[MixGraph, Features]:
    """The first audible one of some random patches, with its note, and what it sounds like.

    Args:
        name: of the synthesizer.
        index: number of the patch.
        seed: of all.
        first: number of the first attempt.
    """
    synthesizer = SYNTHESIZERS[name]
    for attempt in range(first, first + _ATTEMPTS):
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), index, attempt])
        values = random_patch(synthesizer, rng)
        low, high = np.log(LENGTHS_MS)
        graph = synthesizer.patch(
            values,
            pitch=float(rng.integers(PITCHES[0], PITCHES[1] + 1)),
            length_ms=float(np.exp(rng.uniform(low, high))),
            velocity=float(rng.uniform(*VELOCITIES)),
        )
        audio = play_patch(graph)
        level = 10 * float(audio[:SAMPLE_RATE].square().mean().clamp(min=1e-20).log10())
        if level > QUIETEST_DB and float(audio.abs().max()) < LOUDEST:
            return graph, features_of(audio)
    raise GraphmixError(f"{_ATTEMPTS} random patches of {name!r} were silent; its distributions are wrong.")


@cache
def _renderer(sample_rate: int) -> Renderer:
    """One for all patches, which keeps the plans of those that are wired alike."""
    return Renderer(Rack.generators(sample_rate))


def play_patch(graph: MixGraph, seconds: float = SECONDS) -> Tensor:
    """What a patch sounds like, mono, [samples]."""
    with torch.no_grad():
        return _renderer(graph.sample_rate)(graph, torch.zeros(0, 2, round(seconds * graph.sample_rate)))[0, 0]


def features_of(audio: Tensor) -> Features:
    """Levels in dB of about 30 bands of equal ratio in 8 stretches of time, [240]."""
    power = power_spectra(audio)
    edges = np.unique(np.round(np.geomspace(2, power.size(0), 33)).astype(int))
    bands = torch.stack([power[a:b].mean(0) for a, b in pairwise(edges)])
    pooled = torch.nn.functional.adaptive_avg_pool1d(bands, 8)
    levels: Features = (10 * (pooled + 1e-6).log10()).flatten().numpy()
    return levels


def _distance(a: Features, b: Features) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


class PatchSet(Dataset[MixGraph]):
    """Patches of a folder as a data set of graphs; :meth:`audio` plays one.

    Args:
        folder: written by :func:`write_patches`.
        split: ``"train"``, ``"validation"``, ``"test"``, or all.
        synthesizers: names; all that the folder has if not given.

    Raises:
        GraphmixError: the folder holds no patches, or none of that split or synthesizer.
    """

    def __init__(self, folder: str | Path, split: str | None = None, synthesizers: Sequence[str] | None = None) -> None:
        self.folder = Path(folder)
        if split is not None and split not in SPLITS:
            raise GraphmixError(f"there is no split {split!r}; the splits are: {', '.join(SPLITS)}.")
        counts = _counts(self.folder)
        missing = [name for name in synthesizers or () if name not in counts]
        if missing:
            raise GraphmixError(f"{self.folder} has no patches of {missing[0]!r}; it has: {', '.join(counts)}.")
        self.items = [
            (name, index)
            for name in synthesizers or counts
            for index in range(counts[name])
            if split is None or index % 10 in SPLITS[split]
        ]
        if not self.items:
            raise GraphmixError(f"{self.folder} has no patches{'' if split is None else f' in the {split} split'}.")

    def description(self) -> dict[str, Any]:
        """What tells this set from others: seed and version of the patches, how many of each synthesizer."""
        info = _info(self.folder)
        counts = {name: sum(1 for other, _ in self.items if other == name) for name in dict(self.items)}
        return {"seed": info["seed"], "version": info["version"], "counts": counts}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> MixGraph:
        return load_graph(_path(self.folder, *self.items[index]))

    def audio(self, index: int, seconds: float = SECONDS) -> Tensor:
        """What a patch sounds like with its note, mono at 44.1 kHz, [samples]."""
        return play_patch(self[index], seconds)

    def __repr__(self) -> str:
        return f"PatchSet({json.loads(to_json(str(self.folder)))}, {len(self)} patches)"
