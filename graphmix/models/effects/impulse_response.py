"""An impulse response of the user's as a node type: an audio file in the place of a captured device."""

import warnings
from hashlib import sha256
from os import PathLike
from pathlib import Path

from graphmix.audio.files import AUDIO_EXTENSIONS, read_audio, read_info
from graphmix.dsp.resampling import can_resample
from graphmix.errors import GraphError
from graphmix.models.effects.captured import named_node
from graphmix.processors.spaces import Convolution

_NAME = "impulse_response"


def is_impulse_response(path: str | PathLike[str]) -> bool:
    """Whether a path has the ending of an audio file."""
    return Path(path).suffix.lower() in AUDIO_EXTENSIONS


def impulse_response(
    path: str | PathLike[str], letter: str, sample_rate: int = 30000, name: str | None = None
) -> Convolution:
    """The impulse response in an audio file, as a processor.

    Args:
        path: mono or stereo, at any rate; at another than the graph's it is resampled, with a warning that says so.
        letter: of the node type in chains; none that graphmix uses itself.
        sample_rate: of the graph, in Hz.
        name: of the node type; by default the file's name.

    Raises:
        GraphmixError: a file that cannot be read or holds no sound, a rate that has too little in common with the
            graph's, a letter or name that cannot be used.
    """
    path = Path(path)
    info = read_info(path)
    if not can_resample(info.sample_rate, sample_rate):
        raise GraphError(
            f"{path} is at {info.sample_rate} Hz and the graph at {sample_rate} Hz: no resampler connects two rates "
            "with so little in common. Export the impulse response at another rate."
        )
    taps = read_audio(info)[: info.channels]
    digest = sha256(taps.contiguous().numpy().tobytes() + str(info.sample_rate).encode()).hexdigest()[:16]
    source = f"{path.name} {digest}"
    processor = named_node(
        path, letter, name, (_NAME, _NAME),
        lambda name: Convolution(taps, name, letter, sample_rate, info.sample_rate, source),
    )  # fmt: skip
    if info.sample_rate != sample_rate:
        warnings.warn(
            f"{path} is at {info.sample_rate} Hz and is resampled to the graph's {sample_rate} Hz.", stacklevel=2
        )
    return processor
