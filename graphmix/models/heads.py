"""Heads: decisions and parameters of each node from its embedding, in the two designs of multi-task programming.

The seed (Faronbi et al., "Exploring approaches to multi-task automatic synthesizer programming", ICASSP 2023) compares
a joint encoder with a decoder for each synthesizer, masked to its own, and a joint encoder with
one decoder whose output is padded to the longest parameter vector. Here a node type takes the place of a synthesizer.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphmix.processors.rack import Rack
from graphmix.spec import STRUCTURAL

COEFFICIENT_LIMIT = 8.0
"""Bound of the coefficients in standard deviations, approached softly."""
START_WET_LOGIT = 2.0
"""Dry/wet logit of an untrained head: 0.88, or 0.12 for processors with which a search starts dry."""
START_WEIGHT = 0.01
"""Standard deviation of the weights of an untrained last layer: the first proposal is the mean of the basis."""


class NodeOutputs(NamedTuple):
    """Outputs of a head for each node.

    Args:
        keep_logit: log odds that it stays, [nodes]; 0 for inputs, mixes and outputs, as are the next.
        wet_logit: logit of the dry/wet weight, [nodes].
        coefficients: parameters in the basis, {type: [nodes of the type, k]}, rows in node order.
    """

    keep_logit: Tensor
    wet_logit: Tensor
    coefficients: dict[str, Tensor]


def soft_limit(values: Tensor) -> Tensor:
    """Values bent into (-8, 8); near 0 they stay what they are."""
    return COEFFICIENT_LIMIT * torch.tanh(values / COEFFICIENT_LIMIT)


def start_wet_logits(rack: Rack) -> Tensor:
    """Dry/wet logit of each type in an untrained model, [types]; structural types come first."""
    starts = [2 * START_WET_LOGIT * (processor.start_wet - 0.5) for processor in rack]
    return torch.tensor([0.0] * len(STRUCTURAL) + starts)


def decoder(size: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two layers, of which the last one starts near zero."""
    last = nn.Linear(hidden, outputs)
    nn.init.normal_(last.weight, std=START_WEIGHT)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), last)


class Heads(nn.Module, ABC):
    """Node embeddings to decisions and parameters.

    Args:
        rack: the processors; type ``i`` of the rack is ``node_type == 3 + i``.
        sizes: coefficients of each type; ``sizes`` of a :class:`graphmix.models.mixing.basis.RawBasis`.

    Shape:
        embeddings [nodes, channels], node_type [nodes] -> :class:`NodeOutputs`
    """

    wet_start: Tensor

    def __init__(self, rack: Rack, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.names = rack.names
        self.sizes = dict(sizes)
        self.register_buffer("wet_start", start_wet_logits(rack), persistent=False)

    @abstractmethod
    def decode(self, name: str, node_type: int, embeddings: Tensor) -> Tensor:
        """Numbers for the nodes of one type: keep, wet, then k or more coefficients."""

    def forward(self, embeddings: Tensor, node_type: Tensor) -> NodeOutputs:
        """Decide on each node; each type is masked by itself."""
        keep = self.wet_start.new_zeros(embeddings.size(0))  # whatever autocast makes of the embeddings
        wet = torch.zeros_like(keep)
        coefficients = {}
        for index, name in enumerate(self.names, start=len(STRUCTURAL)):
            nodes = (node_type == index).nonzero().flatten()
            values = self.decode(name, index, embeddings.index_select(0, nodes)).to(keep.dtype)
            keep = keep.index_copy(0, nodes, values[:, 0])
            wet = wet.index_copy(0, nodes, values[:, 1] + self.wet_start[index])
            coefficients[name] = soft_limit(values[:, 2 : 2 + self.sizes[name]])
        return NodeOutputs(keep, wet, coefficients)


class PerTypeHeads(Heads):
    """Joint encoder, separate decoders: each node type has a decoder of its own, masked to its nodes.

    Args:
        rack: the processors.
        sizes: coefficients of each type.
        channels: size of a node embedding.
        hidden: size of the layer between.
    """

    def __init__(self, rack: Rack, sizes: Mapping[str, int], channels: int, hidden: int = 128) -> None:
        super().__init__(rack, sizes)
        self.decoders = nn.ModuleDict({name: decoder(channels, hidden, 2 + sizes[name]) for name in rack.names})

    def decode(self, name: str, node_type: int, embeddings: Tensor) -> Tensor:
        """By the decoder of the type."""
        values: Tensor = self.decoders[name](embeddings)
        return values


class JointHead(Heads):
    """Joint encoder, joint decoder: one decoder for all, padded to the longest parameter vector.

    The decoder is conditioned on the type by a learned embedding; outputs beyond a type's coefficients are masked.

    Args:
        rack: the processors.
        sizes: coefficients of each type.
        channels: size of a node embedding.
        hidden: size of the layer between.
    """

    def __init__(self, rack: Rack, sizes: Mapping[str, int], channels: int, hidden: int = 128) -> None:
        super().__init__(rack, sizes)
        self.type_embedding = nn.Embedding(len(STRUCTURAL) + len(rack.names), channels)
        self.decoder = decoder(2 * channels, hidden, 2 + max(sizes.values(), default=0))

    def decode(self, name: str, node_type: int, embeddings: Tensor) -> Tensor:
        """By the one decoder."""
        kind = self.type_embedding.weight[node_type].expand(embeddings.size(0), -1)
        values: Tensor = self.decoder(torch.cat([embeddings, kind.to(embeddings.dtype)], dim=1))
        return values
