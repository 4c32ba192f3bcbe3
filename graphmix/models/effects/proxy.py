"""A neural network that imitates a channel strip: a node type like any other, with the settings as its parameters.

The Differentiable Mixing Console (Steinmetz et al. 2021) estimates the settings of effects that need not be
differentiable. It trains a network to imitate them, freezes it, and lets gradients flow through it to the settings.
Here the effects are :class:`graphmix.models.effects.strip.ChannelStrip` and the network is
:class:`graphmix.models.effects.tcn.TCN`; its training is in :mod:`graphmix.models.effects.pretraining`.

A proxy is a file of safetensors whose header holds its sizes as JSON.
"""

import json
from os import PathLike
from pathlib import Path
from typing import Self

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import save as to_safetensors
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.io import open_tensors, to_json, write_atomically
from graphmix.models.effects.effect import load_weights
from graphmix.models.effects.strip import STRIP_TYPE, unit_settings
from graphmix.models.effects.tcn import TCN, TCNConfig
from graphmix.processors.base import Processor

HEADER = "graphmix_proxy"
SHIPPED = Path(__file__).parent.parent / "pretrained" / "proxy.safetensors"
"""The proxy that comes with graphmix."""


class TCNProxy(Processor):
    """A network that imitates equalizer, compressor and reverb as a function of ten settings.

    Args:
        sample_rate: in Hz; a proxy is trained for one rate.
        config: sizes of the network, at the same rate; the defaults of :class:`TCNConfig` if not given.

    Params:
        equalizer_db [nodes, 4], threshold_db, ratio, time_ms, reverb_wet, reverb_ms, reverb_db [nodes, 1]: as
            :mod:`graphmix.models.effects.strip` explains them.

    Shape:
        audio [nodes, 2, samples] -> the same.

    A new one has random weights and does nearly nothing; :func:`load_proxy` gives a trained one. The weights are fixed,
    except during pretraining (:func:`graphmix.models.effects.pretraining.pretrain_proxy`): gradients flow through them
    to the settings and to the audio alone.

    Raises:
        ValueError: the config is for another rate.

    Example:
        >>> proxy = TCNProxy()
        >>> proxy(torch.zeros(1, 2, 500), STRIP_TYPE.neutral()[None]).abs().max()
        tensor(0.)
    """

    def __init__(self, sample_rate: int = 30000, config: TCNConfig | None = None) -> None:
        super().__init__(sample_rate)
        config = TCNConfig(sample_rate=sample_rate) if config is None else config
        if config.sample_rate != sample_rate:
            raise ValueError(f"the network is for {config.sample_rate} Hz and the proxy for {sample_rate} Hz")
        self.node_type = STRIP_TYPE
        self.network = TCN(config, STRIP_TYPE.width)
        self.freeze()

    @property
    def config(self) -> TCNConfig:
        """Sizes of the network."""
        return self.network.config

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        dtype = self.network.lift.dtype
        return self.network(audio.to(dtype), unit_settings(params).to(dtype)).to(audio.dtype)

    def memory(self, params: Tensor) -> tuple[int, int]:
        """As far as kernels and levels reach."""
        return self.network.reach

    def freeze(self) -> Self:
        """Fix the weights."""
        self.requires_grad_(False)
        return self.eval()


def save_proxy(proxy: TCNProxy, path: str | PathLike[str]) -> Path:
    """Write a proxy as ``.safetensors``, atomically, and return the path.

    Raises:
        GraphmixError: the file cannot be written.
    """
    path = Path(path)
    header = {"version": 1, "config": proxy.config.model_dump(mode="json")}
    tensors = {name: value.detach().cpu().contiguous() for name, value in proxy.network.state_dict().items()}
    write_atomically(path, to_safetensors(tensors, {HEADER: to_json(header)}))
    return path


def load_proxy(path: str | PathLike[str] | None = None) -> TCNProxy:
    """Read what :func:`save_proxy` wrote, frozen; the one that comes with graphmix by default.

    Raises:
        GraphmixError: names the file and what is wrong with it.
    """
    path = SHIPPED if path is None else Path(path)
    if not path.is_file():
        raise GraphmixError(f"cannot load {path}: there is no such file; benchmarks/proxy.py --save writes one.")
    try:
        with open_tensors(path) as file:
            header = (file.metadata() or {}).get(HEADER)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, no mapping
    except SafetensorError as error:
        raise GraphmixError(f"cannot load {path}: the file is damaged or cut off ({error}).") from None
    except OSError as error:
        raise GraphmixError(f"cannot load {path}: {error.strerror or error}.") from None
    config = _config(path, header)
    with torch.random.fork_rng(devices=[]):
        proxy = TCNProxy(config.sample_rate, config)
    try:
        load_weights(proxy.network, tensors)
    except GraphmixError as error:
        raise GraphmixError(f"cannot load {path}: {error}") from None
    return proxy.freeze()


def _config(path: Path, header: str | None) -> TCNConfig:
    if header is None:
        raise GraphmixError(f"cannot load {path}: this is no proxy; the file holds other tensors.")
    try:
        plain = json.loads(header)
        return TCNConfig.model_validate(plain["config"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GraphmixError(f"cannot load {path}: its header is damaged ({reason}).") from None
