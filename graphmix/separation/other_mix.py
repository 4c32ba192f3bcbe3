"""Another mix of the same song, whose difference from the first one helps to separate it."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphmix.audio.correlation import RELATED_POWER, whitened
from graphmix.audio.files import AudioInfo, read_audio
from graphmix.models.masks.block_separation import TwoMixes
from graphmix.search.mine_song import digest_file

COMPARED_SECONDS = 60
"""Of the middle of the song, in which the lag is looked for."""
_TINY = 1e-30


@dataclass(frozen=True)
class OtherMix:
    """Another mix, and where it lies against the first.

    Args:
        info: its file.
        sample_rate: of the first mix, at which it is read.
        lag: by how many samples it is late against the first mix.
        is_related: False where the two do not correlate at any lag; then it is not used.
    """

    info: AudioInfo
    sample_rate: int
    lag: int
    is_related: bool

    def read(self, start: int, length: int, channels: int) -> Tensor:
        """Samples at the same time as those of the first mix, [channels, length]."""
        audio = read_audio(self.info, start + self.lag, length, self.sample_rate)
        return audio if channels == 2 else audio.mean(0, keepdim=True)

    @property
    def identity(self) -> dict[str, Any]:
        """By what a run with it differs from others."""
        return {"mix": digest_file(self.info.path), "lag": self.lag}


@torch.no_grad()
def place_other_mix(first: AudioInfo, other: AudioInfo, offset_seconds: float = 0.0) -> OtherMix:
    """Where another mix lies, by the correlation of their mid channels, whitened by the phase transform.

    Args:
        first: the mix that is separated.
        other: the other one, at any rate.
        offset_seconds: how late it is, as far as the user knows; the lag is looked for around it.
    """
    rate, begin = first.sample_rate, round(offset_seconds * first.sample_rate)
    length = min(first.num_samples, COMPARED_SECONDS * rate)
    start = (first.num_samples - length) // 2
    one, two = (
        read_audio(info, place, length, rate).mean(0).numpy()
        for info, place in ((first, start), (other, start + begin))
    )
    if not one.any() or not two.any():
        return OtherMix(other, rate, begin, False)
    size = 1 << math.ceil(math.log2(2 * length))
    correlation = whitened(np.fft.rfft(two, size).astype(np.complex64), one, size)
    place = int(np.abs(correlation).argmax())
    lag = place if place < size // 2 else place - size
    return OtherMix(other, rate, begin + lag, float(correlation[place]) ** 2 >= RELATED_POWER)


def describe_two_mixes(about: TwoMixes, other: OtherMix) -> dict[str, Any]:
    """What ``separation.json`` says of the other mix: its name, its lag, and what it gave."""
    found: dict[str, Any] = {
        "file": other.info.path.name,
        "lag_ms": round(1000 * other.lag / other.sample_rate, 3),
        "related": other.is_related,
        **asdict(about),
    }
    if about.used:
        for name in ("before", "after"):
            ratio = getattr(about, name) / max(about.energy, _TINY)
            found[f"{name}_db"] = round(10 * math.log10(max(ratio, 1e-12)), 1)
    return found


def say_two_mixes(found: dict[str, Any]) -> str:
    """The same as a sentence for the user."""
    name = found["file"]
    if not found["related"]:
        return f"{name} does not correlate with the mix at any lag: the mix was separated without it."
    share = 100 * found["share"] / max(found["blocks"], 1)
    if not found["used"]:
        return (
            f"The mix was separated without {name}: what differs between the two does not tell the sources apart "
            f"({share:.0f} % of the sound changes by the gain of one source)."
        )
    blocks = "" if found["used"] == found["blocks"] else f" in {found['used']} of {found['blocks']} blocks"
    return (
        f"{name} was used as well{blocks}: {share:.0f} % of the sound changes by the gain of one source. Of {name}, "
        f"stems at these gains leave {found['after_db']:.1f} dB; by masks alone it was {found['before_db']:.1f} dB."
    )
