"""The autoregressive decoder of prototypes: a transformer over inputs and decoded nodes, with pointers for edges.

Inputs are tokens made of track embeddings, and have no order of their own; they attend to one another. Each decoded
node is a token made of its type, its place and its sources, and attends to the inputs and to the nodes before it. The
last token's state gives the type of the next node. Its edges are then chosen one after the other by a pointer network:
the node's query against the keys of all places, conditioned on the edges chosen so far. What the partial graph does not
allow has probability zero.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphmix.models.mixing.partial_graph import DecodingSteps, EdgeChoice, PartialGraph, one_hot_sets
from graphmix.spec import TypeTable

_COUNTS = 3
"""Numbers that a state is conditioned on: open places, room, decoded nodes; each as the logarithm of one more."""
_HINTS = 2
"""Learned biases of each type for a place: that it leads nowhere yet, that it was decoded last."""


class Encoding(NamedTuple):
    """A partial graph with p places, encoded by the transformer.

    Args:
        states: predict the node at a place, for the places from the first after the inputs to one after the last,
            [p - inputs + 1, channels].
        places: output of the transformer for each place, [p, channels].
        tokens: its input, [p, channels].
    """

    states: Tensor
    places: Tensor
    tokens: Tensor


class LogProbabilities(NamedTuple):
    """Log-probabilities of all choices of a graph: types [nodes], and edges [choices]."""

    types: Tensor
    edges: Tensor


class PrototypeNet(nn.Module):
    """Probabilities of types and edges, given the embeddings of the inputs and the nodes decoded so far.

    Args:
        size: width of the conditioning of an input.
        types: of the graphs.
        channels: of a token.
        heads: of attention.
        layers: of the transformer.
        dropout: in training.
    """

    def __init__(
        self, size: int, types: TypeTable, channels: int = 128, heads: int = 4, layers: int = 3, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.types, self.channels = types, channels
        outlets = max(len(t.outlets) for t in types.types)
        inlets = max(len(t.inlets) for t in types.types)
        self.of_input = nn.Sequential(nn.Linear(size, channels), nn.GELU(), nn.Linear(channels, channels))
        self.of_type = nn.Embedding(len(types), channels)
        self.of_sources = nn.Linear(channels, channels)
        self.start = nn.Parameter(0.02 * torch.randn(channels))
        layer = nn.TransformerEncoderLayer(
            channels, heads, 4 * channels, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, layers, nn.LayerNorm(channels), enable_nested_tensor=False)
        self.of_open = nn.Linear(channels, channels)
        self.of_counts = nn.Linear(_COUNTS, channels)
        self.next_type = nn.Linear(channels, len(types))
        self.as_type = nn.Embedding(len(types), channels)
        self.query = nn.Sequential(nn.Linear(channels, channels), nn.GELU(), nn.Linear(channels, channels))
        self.of_chosen = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels)
        self.inlet = nn.Parameter(0.02 * torch.randn(inlets, channels))
        self.outlet = nn.Parameter(0.02 * torch.randn(outlets, channels))
        self.hints = nn.Embedding(len(types), _HINTS)
        self.stop = nn.Linear(channels, 1)

    def encode(self, conditioning: Tensor, partial: PartialGraph) -> Encoding:
        """Encode a partial graph.

        Args:
            conditioning: of each input, [inputs, size].
            partial: with as many inputs.
        """
        inputs = partial.num_inputs
        tokens = self.of_input(conditioning)
        kinds = torch.tensor(partial.node_type[inputs:], dtype=torch.long, device=conditioning.device)
        if kinds.numel():
            tokens = torch.cat([tokens, self.of_type(kinds) + _positions(kinds.numel(), tokens)])
        sources = _source_means(partial, tokens)
        tokens = tokens + torch.cat([torch.zeros_like(sources[:inputs]), self.of_sources(sources[inputs:])])
        sequence = torch.cat([tokens[:inputs], self.start[None], tokens[inputs:]])
        seen = self.transformer(sequence[None], mask=_blocked(inputs, len(sequence)).to(conditioning.device))[0]
        return Encoding(seen[inputs:], torch.cat([seen[:inputs], seen[inputs + 1 :]]), tokens)

    def states(self, encoding: Encoding, nodes: Tensor, opened: Tensor, room: Tensor) -> Tensor:
        """States that some nodes are predicted from, [nodes, channels].

        Args:
            encoding: of a partial graph.
            nodes: numbers of the nodes, 0 for the first after the inputs, [nodes].
            opened: places that led nowhere before each, bool [nodes, places].
            room: how many nodes there was room for, [nodes].
        """
        weights = opened.to(encoding.tokens.dtype)
        count = weights.sum(1)
        counts = torch.stack([count, room.to(count), nodes.to(count)], dim=1).log1p()
        mean = (weights @ encoding.tokens) / count.clamp(min=1)[:, None]
        return encoding.states[nodes] + self.of_open(mean) + self.of_counts(counts)

    def type_log_probabilities(self, states: Tensor, allowed: Tensor) -> Tensor:
        """Log-probabilities of all types for each node, [nodes, types]; minus infinity where not allowed."""
        return self.next_type(states).masked_fill(~allowed, -torch.inf).log_softmax(1)

    def edge_log_probabilities(
        self,
        encoding: Encoding,
        states: Tensor,
        partial: PartialGraph,
        choices: Sequence[EdgeChoice],
        chosen: Tensor,
        opened: Tensor,
    ) -> Tensor:
        """Log-probabilities of all edges, and last of none, for each choice, [choices, edges + 1].

        Args:
            encoding: of the partial graph.
            states: of the node of each choice, [choices, channels].
            partial: whose places the edges come from.
            choices: of edges.
            chosen: places that the node was connected from before, bool [choices, places].
            opened: places that led nowhere before the node, bool [choices, places].
        """
        device = states.device
        kinds = torch.tensor([choice.kind for choice in choices], device=device)
        weights = chosen.to(states.dtype)
        connected = (weights @ encoding.places) / weights.sum(1).clamp(min=1)[:, None]
        query = self.query(states + self.as_type(kinds)) + self.of_chosen(connected)
        keys = self.key(encoding.places)[:, None] + self.outlet
        scores = torch.einsum("cid,pod->cipo", query[:, None] + self.inlet, keys) / math.sqrt(self.channels)
        before = torch.tensor([choice.place for choice in choices], device=device)
        latest = torch.arange(len(encoding.places), device=device) == before[:, None] - 1
        hints = torch.stack([opened & ~chosen, latest], dim=2).to(states.dtype) @ self.hints(kinds)[:, :, None]
        scores = (scores + hints[:, None]).flatten(1)
        scores = torch.cat([scores, self.stop(query)], dim=1)
        allowed = partial.ports.allowed(choices, partial.node_type).to(device)
        return scores.masked_fill(~allowed, -torch.inf).log_softmax(1)

    def forward(self, conditioning: Tensor, steps: DecodingSteps, encoding: Encoding | None = None) -> LogProbabilities:
        """Log-probabilities of all choices of a graph, each given those before: teacher forcing.

        Args:
            conditioning: of each input, [inputs, size].
            steps: the choices that decode the graph.
            encoding: of that graph, if it is known.
        """
        partial, device = steps.partial, conditioning.device
        encoding = self.encode(conditioning, partial) if encoding is None else encoding
        nodes = torch.arange(steps.kinds.numel(), device=device)
        opened, of_node = steps.open.to(device), steps.of_node.to(device)
        states = self.states(encoding, nodes, opened, steps.room.to(device))
        types = self.type_log_probabilities(states, steps.allowed.to(device))
        edges = self.edge_log_probabilities(
            encoding, states[of_node], partial, steps.choices, steps.chosen.to(device), opened[of_node]
        )
        return LogProbabilities(
            types.gather(1, steps.kinds.to(device)[:, None])[:, 0],
            edges.gather(1, steps.targets.to(device)[:, None])[:, 0],
        )

    def next_types(self, encoding: Encoding, partial: PartialGraph) -> tuple[Tensor, Tensor]:
        """State of the node that comes next, [1, channels], and log-probabilities of its type, [types]."""
        device = encoding.states.device
        nodes = torch.tensor([len(partial.edges)], device=device)
        room = torch.tensor([partial.room - len(partial.edges)], device=device)
        opened = one_hot_sets([partial.open], partial.place).to(device)
        state = self.states(encoding, nodes, opened, room)
        allowed = torch.tensor([partial.types_allowed()], device=device)
        return state, self.type_log_probabilities(state, allowed)[0]

    def next_edges(
        self, encoding: Encoding, state: Tensor, partial: PartialGraph, choice: EdgeChoice, chosen: Sequence[int]
    ) -> Tensor:
        """Log-probabilities of the next edge of the next node, and last of none, [edges + 1]."""
        device = state.device
        taken = one_hot_sets([chosen], partial.place).to(device)
        opened = one_hot_sets([partial.open], partial.place).to(device)
        return self.edge_log_probabilities(encoding, state, partial, [choice], taken, opened)[0]


def _source_means(partial: PartialGraph, tokens: Tensor) -> Tensor:
    """Mean of the source tokens of each place, over its edges, [places, channels]; zeros for inputs."""
    pairs = [
        (target, edge.source, 1 / len(edges))
        for target, edges in enumerate(partial.edges, start=partial.num_inputs)
        for edge in edges
    ]
    targets = torch.tensor([target for target, _, _ in pairs], dtype=torch.long, device=tokens.device)
    sources = torch.tensor([source for _, source, _ in pairs], dtype=torch.long, device=tokens.device)
    shares = torch.tensor([share for _, _, share in pairs], device=tokens.device, dtype=tokens.dtype)
    return torch.zeros_like(tokens).index_add(0, targets, tokens[sources] * shares[:, None])


def _blocked(inputs: int, length: int) -> Tensor:
    """Attention mask: tokens that come later, bool [length, length]; inputs attend to one another."""
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    later[:inputs, :inputs] = False
    return later


def _positions(count: int, like: Tensor) -> Tensor:
    """Positional encoding: sines and cosines of the number of each node, [count, channels]."""
    half = like.size(1) // 2
    rates = torch.exp(torch.arange(half, device=like.device) * (-math.log(1000.0) / max(1, half)))
    angles = torch.arange(count, device=like.device)[:, None] * rates
    waves = torch.cat([angles.sin(), angles.cos()], dim=1).to(like.dtype)
    return torch.nn.functional.pad(waves, (0, like.size(1) - 2 * half))
