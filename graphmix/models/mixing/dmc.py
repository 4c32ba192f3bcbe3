r"""The Differentiable Mixing Console (Steinmetz, Pons, Pascual, Serrà, ICASSP 2021).

.. math:: e_i = \mathrm{encoder}(x_i), \quad c = \tfrac1n \sum_i e_i, \quad p_i = \mathrm{MLP}([e_i, c]), \quad
    \hat y = \sum_i T(x_i, p_i)

All tracks share all weights, and each is conditioned on the others by the context c, the mean of the embeddings. The
transformation network T is a chain of graphmix's own differentiable processors (the paper's first variant is ``"g"``,
gain and panning), or the pretrained proxy network (its second): one node type among others. So a DMC is a
:class:`MixGraph` of fixed topology, in -> chain -> out for each track, and nothing is ever dropped.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad

from graphmix.chain_string import split_chain
from graphmix.errors import GraphmixError
from graphmix.graph.consoles import mixing_console
from graphmix.models.config import ModelConfig, NeuralConfig
from graphmix.models.effects.proxy import load_proxy
from graphmix.models.heads import START_WEIGHT, soft_limit, start_wet_logits
from graphmix.models.mixing.canonical import EmbeddedSong
from graphmix.models.mixing.estimator import register
from graphmix.models.mixing.neural import NeuralEstimator, song_means
from graphmix.models.mixing.outputs import KEPT_LOGIT, Outputs
from graphmix.models.mixing.wiring import flat_console
from graphmix.processors.rack import Rack
from graphmix.spec import TypeTable

PROXY_CHAIN = "proxy"
"""Chain of one node, the pretrained proxy of equalizer, compressor and reverb."""
PROXY_LETTER = "p"


class DMCConfig(NeuralConfig):
    """A DMC.

    Args:
        chain: the processors on each track, e.g. ``"g"``, or ``"proxy"``.
        hidden: units of the post-processor's hidden layers.
        layers: how many hidden layers.
        dropout: between them, in training.
    """

    name: Literal["dmc"] = "dmc"
    chain: str = Field(default="g", min_length=1)
    hidden: int = Field(default=256, ge=1)
    layers: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


@register
class DMC(NeuralEstimator):
    """Differentiable Mixing Console: encoder, mean context, concatenation, shared MLP, fixed chain.

    Args:
        config: its size.
        rack: processors of your own, e.g. ``Rack([proxy])`` with a proxy that you trained.

    Example:
        >>> from graphmix.models.mixing.stems import Stems
        >>> dmc = DMC(DMCConfig(chain="g")).eval()
        >>> stems = Stems(torch.randn(2, 2, 30000), ("bass", "voice"), 30000)
        >>> dmc(stems).params["gain"].shape
        torch.Size([2, 2])
    """

    config_type: ClassVar[type[ModelConfig]] = DMCConfig
    config: DMCConfig
    wet_start: Tensor

    def __init__(self, config: ModelConfig, rack: Rack | None = None) -> None:
        super().__init__(config, rack)
        self.chain = PROXY_LETTER if self.config.chain == PROXY_CHAIN else self.config.chain
        mixing_console(self.rack, {"": ("",)}, self.chain)  # refuses what fits no chain
        table = TypeTable(self.rack.types)
        places = [table.index(kind) for kind in split_chain(self.chain)]
        self.kinds = tuple(self.rack.names[place] for place in places)
        starts = start_wet_logits(self.rack)[-len(self.rack.names) :]
        self.register_buffer("wet_start", starts[torch.tensor(places)], persistent=False)
        self.widths = [1 + self.basis.sizes[kind] for kind in self.kinds]
        self.post_processor = self._make_post_processor()

    def make_rack(self) -> Rack:
        """The chain's processors; for the proxy the frozen network that comes with graphmix."""
        if self.config.chain != PROXY_CHAIN:
            return super().make_rack()
        proxy = load_proxy()
        if proxy.sample_rate != self.config.sample_rate:
            raise GraphmixError(
                f"the proxy is for {proxy.sample_rate} Hz and the model for {self.config.sample_rate} Hz; set "
                f"sample_rate to {proxy.sample_rate}."
            )
        return Rack([proxy])

    def _make_post_processor(self) -> nn.Sequential:
        size = self.encoder.embedding * (3 if self.config.reverse else 2)
        layers: list[nn.Module] = []
        for _ in range(self.config.layers):
            layers += [nn.Linear(size, self.config.hidden), nn.ReLU(), nn.Dropout(self.config.dropout)]
            size = self.config.hidden
        last = nn.Linear(size, sum(self.widths))
        nn.init.normal_(last.weight, std=START_WEIGHT)
        nn.init.zeros_(last.bias)
        return nn.Sequential(*layers, last)

    @property
    def loss_terms(self) -> frozenset[str]:
        """As of all models with heads, but for the terms of nodes that are dropped."""
        return super().loss_terms - {"keep", "sparsity"}

    def outputs_of(self, songs: Sequence[EmbeddedSong]) -> Outputs:
        """Outputs of the post-processor for the chain of each track; no node is ever dropped."""
        counts = [song.num_tracks for song in songs]
        context = song_means([song.tracks for song in songs])
        if self.config.reverse:
            mixes = [song.mix for song in songs if song.mix is not None]
            context = torch.cat([context, torch.stack(mixes)], dim=1)
        of_song = torch.repeat_interleave(torch.tensor(counts, device=context.device))
        features = torch.cat([torch.cat([song.tracks for song in songs]), context[of_song]], dim=1)
        numbers = self.post_processor(features).to(self.wet_start.dtype).split(self.widths, dim=1)
        wet = torch.stack([part[:, 0] for part in numbers], dim=1) + self.wet_start
        coefficients = {}
        for kind in self.rack.names:
            own = [soft_limit(part[:, 1:]) for part, other in zip(numbers, self.kinds, strict=True) if other == kind]
            nothing = wet.new_zeros(0, self.basis.sizes[kind])
            coefficients[kind] = torch.stack(own, dim=1).flatten(0, 1) if own else nothing  # track by track
        consoles = [flat_console(self.rack.types, song.names, self.chain, self.sample_rate) for song in songs]
        return Outputs(
            consoles=tuple(consoles),
            tracks=tuple(song.names for song in songs),
            silent=tuple(song.silent for song in songs),
            keep_logit=_of_nodes(torch.full_like(wet, KEPT_LOGIT), counts),
            wet_logit=_of_nodes(wet, counts),
            coefficients=coefficients,
            offsets=self.offsets_of(consoles, songs),
        )


def _of_nodes(values: Tensor, counts: Sequence[int]) -> Tensor:
    """Values of the chains of all tracks [tracks, chain] by node [N]: 0 for inputs and for the output of each song."""
    with_inputs = pad(values, (1, 0)).split(list(counts))
    return torch.cat([part for own in with_inputs for part in (own.flatten(), values.new_zeros(1))])
