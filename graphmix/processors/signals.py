"""What counts as an audio signal: floating-point tensors on the device of what processes them."""

import numpy as np
import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.spec import NodeType

PRECISIONS = (torch.float32, torch.float64)
"""In which signals are computed; half precision is too coarse for envelopes and long responses."""


def as_signal(audio: Tensor | np.ndarray, name: str, device: torch.device | None = None) -> Tensor:
    """Audio as a float32 or float64 tensor: float16 and bfloat16 become float32, NumPy arrays tensors.

    Args:
        audio: of any shape.
        name: its name in messages, e.g. ``"sources"``.
        device: on which it is expected; an array is moved there, a tensor has to be there.

    Raises:
        GraphError: neither a tensor nor an array; integers, booleans or complex numbers; another device.

    Example:
        >>> as_signal(np.zeros((1, 2, 3), dtype=np.float16), "sources").dtype
        torch.float32
    """
    if isinstance(audio, np.ndarray):
        try:
            audio = torch.from_numpy(np.ascontiguousarray(audio)).to(device)
        except TypeError:
            raise GraphError(f"{name}: {audio.dtype} found; audio is float32, from -1 to 1 at full scale.") from None
    if not isinstance(audio, Tensor):
        raise GraphError(f"{name}: {type(audio).__name__} found; give a tensor or a NumPy array.")
    if device is not None and audio.device != device:
        raise GraphError(
            f"{name}: found on {audio.device}, but the graph is on {device}; move one of them, e.g. by .to('{device}')."
        )
    if audio.dtype in PRECISIONS:
        return audio
    if audio.is_complex():
        raise GraphError(f"{name}: complex numbers found; audio is real: give samples, no spectra.")
    if not audio.is_floating_point():
        raise GraphError(
            f"{name}: {str(audio.dtype).removeprefix('torch.')} found; audio is float32, from -1 to 1 at full scale: "
            "divide 16-bit samples by 32768."
        )
    return audio.float()


def check_shapes(node_type: NodeType, audio: Tensor, params: Tensor) -> None:
    """Refuse what a processor would read beyond the end of: compiled loops do not look where an array ends.

    Args:
        node_type: of the processor.
        audio: [nodes, 2, samples], with several inlets [nodes, inlets, 2, samples].
        params: [nodes, width].

    Raises:
        GraphError: with the shapes.
    """
    name, inlets = node_type.name, len(node_type.inlets)
    inner = (2,) if inlets <= 1 else (inlets, 2)
    if inlets and (audio.dim() != len(inner) + 2 or tuple(audio.shape[1:-1]) != inner):
        expected = ", ".join(map(str, inner))
        raise GraphError(
            f"{name}: audio has shape {list(audio.shape)}, expected [nodes, {expected}, samples]; put a mono "
            "signal on both channels."
        )
    if params.dim() != 2 or params.size(1) != node_type.width or len(params) != len(audio):
        raise GraphError(
            f"{name}: parameters have shape {list(params.shape)}, expected {[len(audio), node_type.width]}: a row of "
            f"{node_type.width} values for each of {len(audio)} nodes."
        )
