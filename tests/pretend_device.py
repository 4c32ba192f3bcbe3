"""A device that is none: tensors that say they are elsewhere, compute on the CPU, and notice what waits for the host.

On a GPU the host runs ahead of the device, until it asks for a value or hands over memory: then it waits until all is
computed. A :class:`Pretender` carries its values in a CPU tensor and calls itself ``meta``, so that code takes its
branches for other devices. Inside :class:`PretendDevice`, ``on_device`` moves there; what would make the host wait
is listed in :attr:`PretendDevice.waits`. What a real device does not accept is an error here as well: operations
between it and the CPU, but for a single number.
"""

import traceback
from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")
aten = torch.ops.aten
READS = (aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default)
READS += (aten._unique2.default, aten.unique_dim.default, aten.unique_consecutive.default)
PHYSICAL = {aten._conj.default: torch.conj_physical, aten._neg_view.default: torch.neg}
COPIES = (aten._to_copy.default, aten.copy_.default)


class Pretender(Tensor):
    """A tensor that says it is on ``meta`` and keeps its values."""

    @staticmethod
    def __new__(cls, values: Tensor) -> "Pretender":
        return Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
            requires_grad=values.requires_grad,
        )

    def __init__(self, values: Tensor) -> None:
        self.values = values.detach()

    def __repr__(self) -> str:
        return f"Pretender({self.values})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError("pretended tensors live inside a PretendDevice")


class _Numbers(TorchFunctionMode):
    """Tensors from numbers are made on the host and copied, and numbers of a tensor are copied first."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.tensor and torch.device(kwargs.get("device") or "cpu") == DEVICE:
            return func(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        if func is Tensor.tolist and isinstance(args[0], Pretender):
            return args[0].cpu().tolist()
        if func in (Tensor.data_ptr, Tensor.untyped_storage) and isinstance(args[0], Pretender):
            return func(args[0].values)
        return func(*args, **kwargs)


class PretendDevice(TorchDispatchMode):
    """Lets code believe in the device, counts launches, and lists what would make the host wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.launches: Counter[str] = Counter()
        self._from_numbers = _Numbers()

    def __enter__(self) -> "PretendDevice":
        self._from_numbers.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._from_numbers.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, Tensor)]
        here = [t for t in tensors if isinstance(t, Pretender)]
        if not here and kwargs.get("device") != DEVICE:
            return func(*args, **kwargs)
        self._note(func, args, kwargs, tensors)
        goes_to = kwargs.get("device")
        if goes_to is not None:
            kwargs["device"] = torch.device("cpu")
        if func in PHYSICAL:  # the bit that says "conjugate me when you are read" would be lost here
            return Pretender(PHYSICAL[func](*tree_map(_values, args)))
        inner = tree_map(_values, args), tree_map(_values, kwargs)
        result = func(*inner[0], **inner[1])
        if goes_to is not None and torch.device(goes_to).type == "cpu":
            return result
        outer = tree_map(_pretend, result)
        return return_and_correct_aliasing(func, args, kwargs, outer) if here else outer

    def _note(self, func: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> None:
        if not _is_view(func):
            self.launches[func.overloadpacket.__name__] += 1
        elsewhere = [t for t in tensors if not isinstance(t, Pretender)]
        masks = func.overloadpacket in (aten.index, aten.index_put, aten.index_put_) and any(
            t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1]
        )
        moves = func in COPIES and (elsewhere or torch.device(kwargs.get("device") or DEVICE) != DEVICE)
        quietly = kwargs.get("non_blocking") or (func is COPIES[1] and len(args) > 2 and args[2])
        if func in READS or masks or (moves and not quietly):
            self._wait(str(func))
        elif elsewhere and not moves:
            assert all(t.dim() == 0 for t in elsewhere), f"{func} of tensors on two devices"

    def _wait(self, what: str) -> None:
        frames = [f for f in traceback.extract_stack() if "/graphmix/" in f.filename]
        place = f" in {frames[-1].filename}:{frames[-1].lineno}: {frames[-1].line}" if frames else ""
        self.waits.append(what + place)


def _is_view(func: Any) -> bool:
    returns = func._schema.returns
    return any(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def _values(x: Any) -> Any:
    return x.values if isinstance(x, Pretender) else x


def _pretend(x: Any) -> Any:
    return Pretender(x) if isinstance(x, Tensor) and not isinstance(x, Pretender) else x


def on_device(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The same tensors there, without being noted."""
    return tuple(Pretender(t) for t in tensors)


def on_host(tensor: Tensor) -> Tensor:
    """The values of a pretended tensor."""
    return _values(tensor)
