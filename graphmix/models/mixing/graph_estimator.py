r"""Graph estimators: a graph neural network on the full console of a song.

The console over the active tracks is the input graph. A node begins as the sum of embeddings of its type, its depth and
its height, and of the song's context (mean of the track embeddings, number of tracks, in reverse mode the mix); input
nodes (or all) add their tracks' embeddings. Layers of PyG pass messages along edges, with the direction as edge
feature:

================  ===============================================================================================
``gine``          GINEConv (Hu et al. 2020), mean over neighbours
``gatv2``         GATv2Conv (Brody et al. 2022)
``transformer``   TransformerConv (Shi et al. 2021)
``gps``           GPSConv (Rampášek et al. 2022): GINEConv, and attention between all nodes of a song
================  ===============================================================================================

Heads (:mod:`graphmix.models.heads`) then predict for each processor whether it stays, its weight and its parameters.
Where subgroups are unknown, links between tracks and bus slots (:mod:`graphmix.models.mixing.subgroups`) come first.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import AliasChoices, Field, model_validator
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.nn import GATv2Conv, GINEConv, GPSConv, TransformerConv

from graphmix.graph.mixgraph import MixGraph
from graphmix.models.config import ModelConfig, NeuralConfig
from graphmix.models.heads import Heads, JointHead, PerTypeHeads
from graphmix.models.mixing.canonical import EmbeddedSong, canonical_buses
from graphmix.models.mixing.console_input import EDGE_KINDS, LARGEST_DEPTH, console_input, upstream_shares
from graphmix.models.mixing.estimator import register
from graphmix.models.mixing.neural import NeuralEstimator, song_means
from graphmix.models.mixing.outputs import Outputs
from graphmix.models.mixing.stems import Stems
from graphmix.models.mixing.subgroups import BusLinks, buses_from, link_loss
from graphmix.models.mixing.wiring import full_console
from graphmix.processors.rack import Rack
from graphmix.spec import STRUCTURAL

_COUNT_UNIT = math.log(10)
"""Ten tracks are one unit of the context's last number."""


class GraphEstimatorConfig(NeuralConfig):
    """A graph estimator.

    Args:
        gnn: ``"gine"``, ``"gatv2"``, ``"transformer"`` or ``"gps"``.
        channels: size of a node embedding, a multiple of ``heads``.
        layers: of message passing.
        heads: of attention.
        dropout: in training.
        head: ``"per-type"``, a decoder for each node type, or ``"joint"``, a padded one for all.
        head_hidden: units of the decoders' hidden layer.
        conditioned_nodes: nodes that are conditioned on track embeddings. ``"inputs"``: each input on its own track's.
            ``"all"``: every node on the mean embedding of the tracks upstream of it, and the heads once more on that
            and on the song's context, as the DMC's are.
        shortcuts: join the head of each chain with all of its processors in the network's input.
        predict_subgroups: link tracks to buses where subgroups are unknown; else all share one bus.
        bus_slots: the most buses that can be predicted.
    """

    name: Literal["graph"] = "graph"
    gnn: Literal["gine", "gatv2", "transformer", "gps"] = "gps"
    channels: int = Field(default=96, ge=1)
    layers: int = Field(default=3, ge=1)
    heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    head: Literal["per-type", "joint"] = "per-type"
    head_hidden: int = Field(default=128, ge=1)
    conditioned_nodes: Literal["inputs", "all"] = Field(
        default="inputs", validation_alias=AliasChoices("conditioned_nodes", "heard_by")
    )
    shortcuts: bool = True
    predict_subgroups: bool = False
    bus_slots: int = Field(default=8, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.channels % self.heads:
            raise ValueError(f"channels is {self.channels} and heads {self.heads}; make it a multiple")
        return self


def _mlp(size: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, 2 * channels), nn.ReLU(), nn.Linear(2 * channels, channels))


class MessageLayer(nn.Module):
    """One layer: normalize, convolve over neighbours, add; normalize, feed forward, add.

    Args:
        kind: of the convolution.
        channels: size of a node embedding.
        heads: of attention.
        dropout: in training.

    Shape:
        x [nodes, channels], edge_attr [edges, channels] -> [nodes, channels]
    """

    def __init__(self, kind: str, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(channels), nn.LayerNorm(channels)
        sizes = channels, channels // heads, heads
        self.convolution: nn.Module
        if kind == "gine":
            self.convolution = GINEConv(_mlp(channels, channels), edge_dim=channels, aggr="mean")
        elif kind == "gatv2":
            self.convolution = GATv2Conv(*sizes, edge_dim=channels, add_self_loops=False)
        else:
            self.convolution = TransformerConv(*sizes, edge_dim=channels)
        self.think = _mlp(channels, channels)  # the feed-forward part; checkpoints hold the name
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """One round of messages."""
        x = x + self.dropout(self.convolution(self.before(x), edge_index, edge_attr=edge_attr))
        return x + self.dropout(self.think(self.between(x)))


class GraphNetwork(nn.Module):
    """Layers of message passing on a batch of consoles.

    Args:
        config: sizes.
        num_types: node types, structural ones included.
        embedding: size of a track embedding.
        context: size of the context of a song, on which every node is conditioned.
    """

    def __init__(self, config: GraphEstimatorConfig, num_types: int, embedding: int, context: int) -> None:
        super().__init__()
        channels = config.channels
        self.global_attention = config.gnn == "gps"
        self.condition_all = config.conditioned_nodes == "all"
        self.of_type = nn.Embedding(num_types, channels)
        self.of_depth = nn.Embedding(LARGEST_DEPTH + 1, channels)
        self.of_height = nn.Embedding(LARGEST_DEPTH + 1, channels)
        self.of_edge = nn.Embedding(EDGE_KINDS, channels)
        self.of_track, self.of_song = nn.Linear(embedding, channels), nn.Linear(context, channels)
        self.layers = nn.ModuleList(self._layer(config) for _ in range(config.layers))
        self.last = nn.LayerNorm(channels)

    @staticmethod
    def _layer(config: GraphEstimatorConfig) -> nn.Module:
        channels, heads, dropout = config.channels, config.heads, config.dropout
        if config.gnn != "gps":
            return MessageLayer(config.gnn, channels, heads, dropout)
        local = GINEConv(_mlp(channels, channels), edge_dim=channels, aggr="mean")
        layer: nn.Module = GPSConv(channels, local, heads, dropout, norm="layer_norm", norm_kwargs={"mode": "node"})
        return layer

    def forward(self, batch: Any, tracks: Tensor, context: Tensor) -> Tensor:
        """Node embeddings.

        Args:
            batch: of :func:`console_input`.
            tracks: track embeddings in node order, of the inputs [inputs, embedding] or of all [nodes, embedding].
            context: of each song, [songs, context].

        Returns:
            [nodes, channels]
        """
        x = self.of_type(batch.node_type) + self.of_depth(batch.depth) + self.of_height(batch.height)
        x = x + self.of_song(context).to(x.dtype)[batch.batch]
        tracks = self.of_track(tracks).to(x.dtype)
        inputs = (batch.node_type == 0).nonzero().flatten()
        x = x + tracks if self.condition_all else x.index_add(0, inputs, tracks)
        edges = self.of_edge(batch.edge_kind)
        for layer in self.layers:
            if self.global_attention:
                x = layer(x, batch.edge_index, batch.batch, edge_attr=edges)
            else:
                x = layer(x, batch.edge_index, edges)
        embeddings: Tensor = self.last(x)
        return embeddings


@register
class GraphEstimator(NeuralEstimator):
    """A graph neural network that sets and prunes the full console of a song.

    Args:
        config: its size.
        rack: processors of your own.

    Example:
        >>> estimator = GraphEstimator(GraphEstimatorConfig(chain="eg")).eval()
        >>> stems = Stems(torch.randn(2, 2, 30000), ("bass", "voice"), 30000, {"band": ("bass", "voice")})
        >>> estimator.console(stems).num_nodes
        10
    """

    config_type: ClassVar[type[ModelConfig]] = GraphEstimatorConfig
    config: GraphEstimatorConfig

    def __init__(self, config: ModelConfig, rack: Rack | None = None) -> None:
        super().__init__(config, rack)
        full_console(self.rack.types, {"": ("",)}, self.config.chain, self.sample_rate)  # refuses what fits no chain
        embedding = self.encoder.embedding
        context = embedding * (2 if self.config.reverse else 1) + 1
        self.network = GraphNetwork(self.config, len(STRUCTURAL) + len(self.rack.names), embedding, context)
        self.heads = self._make_heads(embedding + context if self.config.conditioned_nodes == "all" else 0)
        self.links = BusLinks(embedding + context, self.config.bus_slots) if self.config.predict_subgroups else None

    def _make_heads(self, conditioning: int) -> Heads:
        sizes, channels, hidden = self.basis.sizes, self.config.channels + conditioning, self.config.head_hidden
        if self.config.head == "joint":
            return JointHead(self.rack, sizes, channels, hidden)
        return PerTypeHeads(self.rack, sizes, channels, hidden)

    def outputs_of(self, songs: Sequence[EmbeddedSong]) -> Outputs:
        """Outputs of the heads for each node of the full consoles."""
        context = self._contexts(songs)
        links = self._bus_logits(songs, context)
        consoles = [self._console(song, None if links is None else links[i]) for i, song in enumerate(songs)]
        inputs = [console_input(console, self.config.shortcuts) for console in consoles]
        batch: Any = Batch.from_data_list(inputs).to(self.device)
        pairs = zip(songs, consoles, strict=True)
        if self.config.conditioned_nodes == "all":
            tracks = torch.cat([_upstream_means(song, console) for song, console in pairs])
            nodes = self.network(batch, tracks, context)
            embeddings = torch.cat([nodes, tracks.to(nodes.dtype), context.to(nodes.dtype)[batch.batch]], dim=1)
        else:
            embeddings = self.network(batch, torch.cat([_in_node_order(*pair) for pair in pairs]), context)
        predicted = self.heads(embeddings, batch.node_type)
        return Outputs(
            consoles=tuple(consoles),
            tracks=tuple(song.names for song in songs),
            silent=tuple(song.silent for song in songs),
            keep_logit=predicted.keep_logit,
            wet_logit=predicted.wet_logit,
            coefficients=predicted.coefficients,
            bus_logits=links,
            offsets=self.offsets_of(consoles, songs),
        )

    def _contexts(self, songs: Sequence[EmbeddedSong]) -> Tensor:
        """Mean of the tracks, in reverse mode the mix, and how many tracks there are, [songs, context]."""
        means = song_means([song.tracks for song in songs])
        counts = means.new_tensor([[math.log(max(1, song.num_tracks)) / _COUNT_UNIT] for song in songs])
        mixes = [torch.stack([song.mix for song in songs if song.mix is not None])] if self.config.reverse else []
        return torch.cat([means, *mixes, counts], dim=1)

    def _bus_logits(self, songs: Sequence[EmbeddedSong], context: Tensor) -> tuple[Tensor, ...] | None:
        """Links of the tracks of each song to the bus slots; None where they are not predicted."""
        if self.links is None:
            return None
        counts = [song.num_tracks for song in songs]
        of_song = torch.repeat_interleave(torch.tensor(counts, device=context.device))
        seen = torch.cat([torch.cat([song.tracks for song in songs]), context[of_song]], dim=1)
        logits: Tensor = self.links(seen)
        return tuple(logits.split(counts))

    def _console(self, song: EmbeddedSong, bus_logits: Tensor | None) -> MixGraph:
        """The full console over the active tracks, on known, predicted or no subgroups."""
        subgroups = song.subgroups
        if subgroups is None and bus_logits is not None:
            subgroups = buses_from(bus_logits, song.names)
        buses = canonical_buses(song.names, subgroups)
        return full_console(self.rack.types, buses, self.config.chain, self.sample_rate)

    @property
    def loss_terms(self) -> frozenset[str]:
        """Subgroups as well, where they are predicted."""
        return super().loss_terms | ({"subgroups"} if self.config.predict_subgroups else set())

    def structure_losses(
        self,
        songs: Sequence[EmbeddedSong],
        graphs: Sequence[MixGraph],
        outputs: Outputs | None,
        terms: Collection[str],
    ) -> dict[str, Tensor]:
        """``subgroups``: see :meth:`subgroup_loss`."""
        assert outputs is not None, "a model with heads has outputs"
        return {"subgroups": self.subgroup_loss(outputs, songs)} if "subgroups" in terms else {}

    def subgroup_loss(self, outputs: Outputs, songs: Sequence[Stems | EmbeddedSong]) -> Tensor:
        """Mean cross entropy of the predicted buses over the songs whose subgroups are known, a 0-dim tensor."""
        known = [
            link_loss(logits, names, stems.subgroups)
            for logits, names, stems in zip(outputs.bus_logits or (), outputs.tracks, songs, strict=False)
            if stems.subgroups is not None and names
        ]
        return torch.stack(known).mean() if known else outputs.keep_logit.sum() * 0


def _upstream_means(song: EmbeddedSong, console: MixGraph) -> Tensor:
    """Mean embedding of the tracks upstream of each node, [nodes, size]."""
    return upstream_shares(console).to(song.tracks) @ _in_node_order(song, console)


def _in_node_order(song: EmbeddedSong, console: MixGraph) -> Tensor:
    """Embeddings of the tracks in the order of the console's inputs, [inputs, size]."""
    row = {name: i for i, name in enumerate(song.names)}
    order = [row[name] for name in console.input_names]
    return song.tracks[torch.tensor(order, dtype=torch.long, device=song.tracks.device)]
