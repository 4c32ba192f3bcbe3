"""The network that writes prototypes: a transformer over inputs and written nodes, with pointers for edges.

Inputs are tokens made of sound, and have no order of their own; they see one another. Each written node is a token made
of its type, its place and its sources, and sees the inputs and what was written before. From what the last token has
seen follows the type of the next node. Each of its edges is then pointed at, one after the other, by the node's query
among the keys of all places; a choice knows what the node was connected to before. What a draft does not allow has
probability zero.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphmix.models.mixing.partial_graph import Draft, EdgeChoice, Transcript, one_hot_sets
from graphmix.spec import TypeTable

_COUNTS = 3
"""Numbers that a state is told: open places, room, written nodes; each as the logarithm of one more."""
_HINTS = 2
"""What each type thinks of a place: that it leads nowhere yet, that it was written last."""


class Read(NamedTuple):
    """What the transformer makes of a draft with p places.

    Args:
        states: predictors of the node at place p, for the places from the first after the inputs to one after the last,
            [p - inputs + 1, channels].
        places: what each place is, [p, channels].
        tokens: the same before the transformer has looked around, [p, channels].
    """

    states: Tensor
    places: Tensor
    tokens: Tensor


class LogProbabilities(NamedTuple):
    """Of all choices of a transcript: of types [nodes], and of edges [choices]."""

    types: Tensor
    edges: Tensor


class PrototypeNet(nn.Module):
    """Probabilities of types and edges, from the sound of the inputs and what is written.

    Args:
        size: numbers that describe an input.
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

    def read(self, heard: Tensor, draft: Draft) -> Read:
        """Look at a draft.

        Args:
            heard: numbers that describe each input, [inputs, size].
            draft: with as many inputs.
        """
        inputs = draft.num_inputs
        tokens = self.of_input(heard)
        kinds = torch.tensor(draft.node_type[inputs:], dtype=torch.long, device=heard.device)
        if kinds.numel():
            tokens = torch.cat([tokens, self.of_type(kinds) + _positions(kinds.numel(), tokens)])
        sources = _source_means(draft, tokens)
        tokens = tokens + torch.cat([torch.zeros_like(sources[:inputs]), self.of_sources(sources[inputs:])])
        sequence = torch.cat([tokens[:inputs], self.start[None], tokens[inputs:]])
        seen = self.transformer(sequence[None], mask=_blocked(inputs, len(sequence)).to(heard.device))[0]
        return Read(seen[inputs:], torch.cat([seen[:inputs], seen[inputs + 1 :]]), tokens)

    def states(self, read: Read, nodes: Tensor, opened: Tensor, room: Tensor) -> Tensor:
        """What each of some nodes is predicted from, [nodes, channels].

        Args:
            read: of a draft.
            nodes: numbers of the nodes, 0 for the first after the inputs, [nodes].
            opened: places that led nowhere before each, bool [nodes, places].
            room: how many nodes there was room for, [nodes].
        """
        weights = opened.to(read.tokens.dtype)
        count = weights.sum(1)
        counts = torch.stack([count, room.to(count), nodes.to(count)], dim=1).log1p()
        mean = (weights @ read.tokens) / count.clamp(min=1)[:, None]
        return read.states[nodes] + self.of_open(mean) + self.of_counts(counts)

    def type_log_probabilities(self, states: Tensor, allowed: Tensor) -> Tensor:
        """Of all types for each node, [nodes, types]; minus infinity where not allowed."""
        return self.next_type(states).masked_fill(~allowed, -torch.inf).log_softmax(1)

    def edge_log_probabilities(
        self, read: Read, states: Tensor, draft: Draft, choices: Sequence[EdgeChoice], chosen: Tensor, opened: Tensor
    ) -> Tensor:
        """Of all edges, and last of none, for each choice, [choices, edges + 1].

        Args:
            read: of the draft.
            states: of the node of each choice, [choices, channels].
            draft: whose places the edges come from.
            choices: of edges.
            chosen: places that the node was connected from before, bool [choices, places].
            opened: places that led nowhere before the node, bool [choices, places].
        """
        device = states.device
        kinds = torch.tensor([choice.kind for choice in choices], device=device)
        weights = chosen.to(states.dtype)
        connected = (weights @ read.places) / weights.sum(1).clamp(min=1)[:, None]
        query = self.query(states + self.as_type(kinds)) + self.of_chosen(connected)
        keys = self.key(read.places)[:, None] + self.outlet
        scores = torch.einsum("cid,pod->cipo", query[:, None] + self.inlet, keys) / math.sqrt(self.channels)
        before = torch.tensor([choice.place for choice in choices], device=device)
        latest = torch.arange(len(read.places), device=device) == before[:, None] - 1
        hints = torch.stack([opened & ~chosen, latest], dim=2).to(states.dtype) @ self.hints(kinds)[:, :, None]
        scores = (scores + hints[:, None]).flatten(1)
        scores = torch.cat([scores, self.stop(query)], dim=1)
        allowed = draft.ports.allowed(choices, draft.node_type).to(device)
        return scores.masked_fill(~allowed, -torch.inf).log_softmax(1)

    def forward(self, heard: Tensor, transcript: Transcript, read: Read | None = None) -> LogProbabilities:
        """Log-probabilities of all choices of a graph, each given those before: teacher forcing.

        Args:
            heard: numbers that describe each input, [inputs, size].
            transcript: how the graph is written.
            read: of its draft, if it has been looked at before.
        """
        draft, device = transcript.draft, heard.device
        read = self.read(heard, draft) if read is None else read
        nodes = torch.arange(transcript.kinds.numel(), device=device)
        opened, of_node = transcript.open.to(device), transcript.of_node.to(device)
        states = self.states(read, nodes, opened, transcript.room.to(device))
        types = self.type_log_probabilities(states, transcript.allowed.to(device))
        edges = self.edge_log_probabilities(
            read, states[of_node], draft, transcript.choices, transcript.chosen.to(device), opened[of_node]
        )
        return LogProbabilities(
            types.gather(1, transcript.kinds.to(device)[:, None])[:, 0],
            edges.gather(1, transcript.targets.to(device)[:, None])[:, 0],
        )

    def next_types(self, read: Read, draft: Draft) -> tuple[Tensor, Tensor]:
        """State of the node that comes next, [1, channels], and log-probabilities of its type, [types]."""
        device = read.states.device
        nodes = torch.tensor([len(draft.edges)], device=device)
        room = torch.tensor([draft.room - len(draft.edges)], device=device)
        opened = one_hot_sets([draft.open], draft.place).to(device)
        state = self.states(read, nodes, opened, room)
        allowed = torch.tensor([draft.types_allowed()], device=device)
        return state, self.type_log_probabilities(state, allowed)[0]

    def next_edges(self, read: Read, state: Tensor, draft: Draft, choice: EdgeChoice, chosen: Sequence[int]) -> Tensor:
        """Log-probabilities of the next edge of the next node, and last of none, [edges + 1]."""
        device = state.device
        taken = one_hot_sets([chosen], draft.place).to(device)
        opened = one_hot_sets([draft.open], draft.place).to(device)
        return self.edge_log_probabilities(read, state, draft, [choice], taken, opened)[0]


def _source_means(draft: Draft, tokens: Tensor) -> Tensor:
    """Mean of the tokens that each place hears, by edges, [places, channels]; zeros for inputs."""
    pairs = [
        (target, edge.source, 1 / len(edges))
        for target, edges in enumerate(draft.edges, start=draft.num_inputs)
        for edge in edges
    ]
    targets = torch.tensor([target for target, _, _ in pairs], dtype=torch.long, device=tokens.device)
    sources = torch.tensor([source for _, source, _ in pairs], dtype=torch.long, device=tokens.device)
    shares = torch.tensor([share for _, _, share in pairs], device=tokens.device, dtype=tokens.dtype)
    return torch.zeros_like(tokens).index_add(0, targets, tokens[sources] * shares[:, None])


def _blocked(inputs: int, length: int) -> Tensor:
    """What a token must not see, bool [length, length]: what comes later; inputs see one another."""
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    later[:inputs, :inputs] = False
    return later


def _positions(count: int, like: Tensor) -> Tensor:
    """Sines and cosines of the number of each node, [count, channels]."""
    half = like.size(1) // 2
    rates = torch.exp(torch.arange(half, device=like.device) * (-math.log(1000.0) / max(1, half)))
    angles = torch.arange(count, device=like.device)[:, None] * rates
    waves = torch.cat([angles.sin(), angles.cos()], dim=1).to(like.dtype)
    return torch.nn.functional.pad(waves, (0, like.size(1) - 2 * half))
