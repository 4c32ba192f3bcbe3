"""Separating one mix: from its file to a song folder.

When it is done the folder holds ``mix.wav``, ``stems/`` with a file for each source and one for the rest,
``song.json``, and ``separation.json`` (written last); ``run.json`` says from the beginning which separation it is. The
stems add up to the mix exactly. All files are float WAV with the rate and the channels of the mix. Run again, a
finished folder is left alone and an unfinished one is resumed: until the end, raw samples and a checkpoint lie in
``unfinished/``.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from graphmix import __version__
from graphmix.audio.files import AudioInfo, checked_blocks, read_audio, read_info, write_audio_blocks
from graphmix.audio.song import SILENT_PEAK
from graphmix.errors import GraphmixError, RunError, SongError
from graphmix.io import open_tensors, read_json, to_json, write_atomically, write_json
from graphmix.locks import not_writable
from graphmix.models.masks.block_separation import AT_ONCE, REST, BlockSeparator, TwoMixes, stems_of, with_rest
from graphmix.models.masks.files import DEFAULT, load_separator
from graphmix.models.masks.node import digest_of
from graphmix.models.masks.separator import MaskEstimator
from graphmix.progress import Listener, Silent
from graphmix.runs import RunFolder, RunStatus, first_difference
from graphmix.search.mine_song import choose_device, digest_file
from graphmix.separation.mix_file import find_mix
from graphmix.separation.other_mix import OtherMix, describe_two_mixes, place_other_mix, say_two_mixes

RESULT = "separation.json"
MIX, STEMS, UNFINISHED = "mix.wav", "stems", "unfinished"
_MADE_HERE = (RESULT, MIX, STEMS, UNFINISHED, "song.json", "run.json", "report.html")
SAVE_EVERY_SECONDS = 5.0
_HEADER = "graphmix_separation"


@dataclass(frozen=True)
class Separated:
    """A separated mix: what ``separation.json`` says, its folder, and whether it was there already."""

    about: dict[str, Any]
    folder: Path
    already_done: bool = False

    def __repr__(self) -> str:
        return f"Separated({self.about['song']!r}, {', '.join(self.about['stems'])}, in {str(self.folder)!r})"


@dataclass(frozen=True)
class _Job:
    """One separation: the mix, the model at its rate, the stems wanted, and what the user is to know."""

    mix: AudioInfo
    name: str
    separator: BlockSeparator
    chosen: tuple[str, ...]
    device: torch.device
    notices: tuple[str, ...]
    other: OtherMix | None = None

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems; the rest is last."""
        return (*self.chosen, REST)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the model's sources."""
        return self.separator.model.sources


def separate(
    mix: str | Path,
    out: str | Path,
    model: str | Path | MaskEstimator = DEFAULT,
    *,
    sources: Sequence[str] = (),
    iterations: int = 0,
    other: str | Path | None = None,
    offset_seconds: float = 0.0,
    device: str = "auto",
    force: bool = False,
    listener: Listener | None = None,
) -> Separated:
    """Separate a mix into a folder, or resume it.

    Args:
        mix: an audio file of any length and rate, or a folder with a mix.
        out: output folder.
        model: as :func:`graphmix.models.masks.load_separator` takes it, or the model itself.
        sources: become stems of their own, all else is the rest; by default all of the model.
        iterations: of the Wiener filter; 0 does without.
        other: another mix of the same song, at other gains of its sources: an audio file, or a folder with a mix. Where
            the two tell the sources apart the first one is separated by both (:mod:`graphmix.dsp.two_mixes`).
        offset_seconds: how late the other mix is, if much; what is missing is found.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, …
        force: replace an earlier separation, and write into a folder that holds something else.
        listener: shown the progress.

    Raises:
        SongError: a mix that cannot be read, or is silent.
        GraphmixError: no such model or source.
        RunError: an output folder that holds something else.
        FolderBusyError: another process is at work in the folder.
    """
    listener, folder = listener or Silent(), Path(out)
    job = _prepare(mix, model, sources, iterations, choose_device(device))
    if other is not None:
        job = replace(job, other=place_other_mix(job.mix, find_mix(other)[0], offset_seconds))
    run = {"separation": {
        "mix": digest_file(job.mix.path), "model": digest_of(job.separator.model), "sources": list(job.chosen),
        "iterations": iterations,
    }}  # fmt: skip
    if job.other is not None:
        run["separation"]["other"] = job.other.identity
    output = RunFolder(folder, run, RESULT, _difference, lambda _: force)
    status = _status(output, job, force)
    if status is RunStatus.FINISHED and not force:
        return _load_finished(folder)
    with output.hold():
        if force:
            _clear(folder)
        elif output.status() is RunStatus.FINISHED:
            return _load_finished(folder)
        output.begin()
        return _work(folder, run, job, listener)


def _prepare(
    mix: str | Path, model: str | Path | MaskEstimator, sources: Sequence[str], iterations: int, device: torch.device
) -> _Job:
    """Everything that can be wrong with what the user gave, before any file is written."""
    if iterations < 0:
        raise GraphmixError(f"iterations is {iterations}; give 0 or more.")
    loaded = model if isinstance(model, MaskEstimator) else load_separator(model)[0]
    known = stems_of(loaded.sources)[:-1]
    for name in sources:
        if name not in known:
            raise GraphmixError(f"there is no source {name!r}; this separator has: {', '.join(known)}.")
    info, name = find_mix(mix)
    separator = BlockSeparator(loaded.eval().to(device), info.sample_rate, iterations)
    chosen = tuple(source for source in known if source in sources or not sources)
    return _Job(info, name, separator, chosen, device, tuple(_notices(info, separator)))


def _notices(mix: AudioInfo, separator: BlockSeparator) -> Iterator[str]:
    """What is done to a mix that is not what the model was trained on."""
    if mix.sample_rate > separator.own_rate:
        yield (
            f"The mix has {mix.sample_rate} Hz and the separator {separator.own_rate} Hz: it is resampled, and what "
            f"lies above {separator.own_rate / 2000:g} kHz stays in the rest."
        )
    elif mix.sample_rate < separator.own_rate:
        yield f"The mix has {mix.sample_rate} Hz and the separator {separator.own_rate} Hz: it is resampled."
    if mix.channels < separator.model.channels:
        yield "The mix is mono and the separator was trained on stereo: it is given two equal channels."
    elif mix.channels > separator.model.channels:
        yield "The mix is stereo and the separator was trained on mono: left and right are separated each for itself."


def _status(output: RunFolder, job: _Job, force: bool) -> RunStatus:
    if any(job.mix.path.samefile(made) for made in _made(output.path) if made.is_file()):
        raise RunError(f"{job.mix.path} would be replaced by its own copy; choose another output folder.")
    try:
        return output.status()
    except RunError:
        if force:
            return RunStatus.NEW
        raise


def _made(folder: Path) -> Iterator[Path]:
    """Files that a separation has written into a folder."""
    for name in _MADE_HERE:
        if (folder / name).is_dir():
            yield from (folder / name).iterdir()
        elif (folder / name).exists():
            yield folder / name


def _clear(folder: Path) -> None:
    """Remove what an earlier separation left."""
    try:
        for path in list(_made(folder)):
            path.unlink()
        for name in (STEMS, UNFINISHED):
            if (folder / name).is_dir() and not any((folder / name).iterdir()):
                (folder / name).rmdir()
    except OSError as error:
        raise not_writable(folder, error) from None


def _difference(found: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    theirs, own = found["separation"], json.loads(to_json(ours["separation"]))
    if theirs["mix"] != own["mix"]:
        return "the separation of another mix. Choose another output folder, or add --force to replace it."
    different = first_difference(theirs, own)
    if different is None:
        return None
    name, before, now = different
    return f"this mix separated with {name} = {before}, not {now}. Choose another folder, or --force to replace it."


def _load_finished(folder: Path) -> Separated:
    about = read_json(folder / RESULT, error=RunError, fix="delete it to finish the separation again")
    if not isinstance(about, dict) or not about.keys() >= {"song", "stems", "seconds", "notices"}:
        raise RunError(f"{folder / RESULT} is damaged. Delete it to finish the separation again.")
    return Separated(about, folder, already_done=True)


# --- the work


def _work(folder: Path, run: Mapping[str, Any], job: _Job, listener: Listener) -> Separated:
    started = time.perf_counter()
    try:
        for name in (STEMS, UNFINISHED):
            (folder / name).mkdir(exist_ok=True)
    except OSError as error:
        raise not_writable(folder, error) from None
    if not (folder / MIX).exists():
        listener.phase("reading", None)
        try:
            _copy_mix(job.mix, folder / MIX)
        except SongError:  # of a mix that cannot be used nothing stays behind
            _clear(folder)
            raise
    mix = read_info(folder / MIX)
    raw = [folder / UNFINISHED / f"{index}.f32" for index in range(len(job.stems))]
    checkpoint = folder / UNFINISHED / "checkpoint.safetensors"
    _separate(mix, raw, checkpoint, run, job, listener)
    two_mixes = describe_two_mixes(job.separator.two_mixes, job.other) if job.other else None
    listener.phase("writing", len(raw))
    files = [f"{_file_name(name)}.wav" for name in job.stems]
    shares = dict[str, float]()
    for done, (path, name, file) in enumerate(zip(raw, job.stems, files, strict=True), 1):
        energy = _Energy(_raw_blocks(path, mix.channels))
        write_audio_blocks(folder / STEMS / file, energy, mix.sample_rate, mix.channels, mix.num_samples)
        shares[name] = energy.value
        listener.progress(done)
    whole = _Energy(checked_blocks(mix))
    for _ in whole:
        pass
    subgroups = {name: [file] for name, file in zip(job.stems, files, strict=True)}
    write_json(folder / "song.json", {"name": job.name, "mix": MIX, "stems": STEMS, "subgroups": subgroups})
    about = {
        "song": job.name,
        "stems": {
            name: {"file": f"{STEMS}/{file}", "share_of_energy": round(shares[name] / max(whole.value, 1e-30), 6)}
            for name, file in zip(job.stems, files, strict=True)
        },
        "model": {"sources": list(job.sources), "sample_rate": job.separator.own_rate, **run["separation"]},
        "sample_rate": mix.sample_rate,
        "channels": mix.channels,
        "duration": mix.num_samples / mix.sample_rate,
        "notices": [*job.notices, *([say_two_mixes(two_mixes)] if two_mixes else [])],
        **({"two_mixes": two_mixes} if two_mixes else {}),
        "seconds": round(time.perf_counter() - started, 2),
        "versions": {"graphmix": __version__, "torch": str(torch.__version__)},
    }
    write_json(folder / RESULT, about)
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    return Separated(about, folder)


def _copy_mix(info: AudioInfo, path: Path) -> None:
    """Write the mix as float WAV, every sample checked.

    Raises:
        SongError: it is silent, or cannot be decoded.
    """
    peak = 0.0

    def blocks() -> Iterator[Tensor]:
        nonlocal peak
        for block in checked_blocks(info):
            peak = max(peak, float(block.abs().max()))
            yield block
        if peak < SILENT_PEAK:
            raise SongError(f"{info.path} is silent (its peak is {peak:.1e}): there is nothing to separate.")

    write_audio_blocks(path, blocks(), info.sample_rate, info.channels, info.num_samples)


@torch.no_grad()
def _separate(
    mix: AudioInfo, raw: Sequence[Path], checkpoint: Path, run: Mapping[str, Any], job: _Job, listener: Listener
) -> None:
    """Append the samples of all stems to their raw files, from where an interrupted run stopped."""
    separator, length = job.separator, mix.num_samples
    step = AT_ONCE * separator.hop
    done, tail, separator.two_mixes = _resume(checkpoint, raw, run, mix.channels)
    other = job.other if job.other is not None and job.other.is_related else None
    total = max(1, round(length / mix.sample_rate))
    listener.phase("separating (seconds)", total, round(done / mix.sample_rate))
    saved = time.monotonic()
    while done < length:
        is_last = length - done <= step + separator.overlap
        part = min(step + separator.overlap, length - done)
        audio = read_audio(mix, done, part)[None, : mix.channels]
        beside = None if other is None else other.read(done, part, mix.channels)[None].to(job.device)
        sources, tail = separator(audio.to(job.device), tail, 0 if is_last else step, beside)
        stems = with_rest(audio, sources.cpu(), job.sources, job.chosen)[0]
        count = length - done if is_last else step
        for path, stem in zip(raw, stems, strict=True):
            with path.open("ab") as file:
                file.write(stem[:, :count].T.contiguous().numpy().tobytes())
        done += count
        if not is_last and time.monotonic() - saved > SAVE_EVERY_SECONDS:
            _save(checkpoint, raw, run, done, tail, separator.two_mixes)
            saved = time.monotonic()
        listener.progress(min(total, round(done / mix.sample_rate)))


def _save(
    checkpoint: Path, raw: Sequence[Path], run: Mapping[str, Any], done: int, tail: Tensor, two_mixes: TwoMixes
) -> None:
    for path in raw:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    head = to_json({"run": dict(run), "done": done, "two_mixes": asdict(two_mixes)})
    write_atomically(checkpoint, save({"tail": tail.cpu().contiguous()}, {_HEADER: head}))


def _resume(
    checkpoint: Path, raw: Sequence[Path], run: Mapping[str, Any], channels: int
) -> tuple[int, Tensor | None, TwoMixes]:
    """How many samples are done, the tail, and what another mix gave; the raw files are cut to that length."""
    nothing = 0, None, TwoMixes()
    done, tail, two_mixes = nothing
    try:
        with open_tensors(checkpoint) as file:
            head = json.loads((file.metadata() or {})[_HEADER])
            if head["run"] == json.loads(to_json(dict(run))):
                tail, two_mixes = file.get_tensor("tail").clone(), TwoMixes(**head["two_mixes"])
                done = int(head["done"])
        if any(path.stat().st_size < done * channels * 4 for path in raw):
            done, tail, two_mixes = nothing
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        done, tail, two_mixes = nothing  # no file, or damaged: it holds nothing that cannot be computed again
    for path in raw:
        path.touch()
        os.truncate(path, done * channels * 4)
    return done, tail, two_mixes


def _raw_blocks(path: Path, channels: int) -> Iterator[Tensor]:
    """Samples of a raw file, [channels, samples] at a time."""
    with path.open("rb") as file:
        while content := file.read(channels * 4 << 18):
            samples = np.frombuffer(content, dtype=np.float32).reshape(-1, channels)
            yield torch.from_numpy(samples.T.copy())


class _Energy:
    """Passes blocks on and adds up their energy."""

    def __init__(self, blocks: Iterator[Tensor]) -> None:
        self.blocks, self.value = blocks, 0.0

    def __iter__(self) -> Iterator[Tensor]:
        for block in self.blocks:
            self.value += float(block.double().square().sum())
            yield block


def _file_name(source: str) -> str:
    """A source's name as that of a file."""
    return "".join(c if c.isalnum() or c in " -_.,()&+" else "_" for c in source).strip(" .") or "source"
