"""An autoregressive decoder of graphs, node by node, so that graphs outside of any console can be proposed.

It first decodes the prototype, types and edges (:mod:`graphmix.models.mixing.autoregressive_network`), then, given the
whole prototype, the parameters: messages run along the edges in both directions, and the heads of the other models
predict dry/wet weights and coefficients. That order, and a transformer for it, are those of "Blind estimation of audio
processing graph" (Lee et al., ICASSP 2023).

It is trained on true graphs by teacher forcing (:meth:`AutoregressiveEstimator.teacher_forcing_loss`). The structure of
its proposals has no gradient; their parameters have, in training mode too.
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import SAGEConv

from graphmix.errors import GraphError, GraphmixError
from graphmix.graph.editing import keep_nodes, retype
from graphmix.graph.mixgraph import GraphInfo, MixGraph
from graphmix.graph.topology import neighbours, reachable
from graphmix.models.config import ModelConfig, NeuralConfig
from graphmix.models.heads import NodeOutputs, PerTypeHeads
from graphmix.models.mixing.autoregressive_network import PrototypeNet
from graphmix.models.mixing.canonical import EmbeddedSong
from graphmix.models.mixing.decoding import beam_search, decode, sampler
from graphmix.models.mixing.estimator import Variant, register
from graphmix.models.mixing.linearize import GraphSequence, linearize
from graphmix.models.mixing.neural import NeuralEstimator
from graphmix.models.mixing.outputs import Outputs
from graphmix.models.mixing.partial_graph import DecodingSteps, PartialGraph, decoding_steps
from graphmix.models.mixing.stems import Stems
from graphmix.models.mixing.wiring import full_console, set_console
from graphmix.processors.rack import Rack
from graphmix.spec import STRUCTURAL, TypeTable


class AutoregressiveConfig(NeuralConfig):
    """An autoregressive estimator; ``chain`` is the processors that it may use.

    Args:
        channels: of a token.
        heads: of attention; they divide the channels.
        layers: of the transformer.
        rounds: of messages along the edges before the parameters.
        hidden: units of the heads.
        dropout: in training.
        nodes: the most nodes of a proposal, beside its inputs,
        nodes_per_track: and so many more for each track.
        fan_out: the most edges that leave an outlet of a proposal; 1 for songs whose graphs have no sends and no
            parallel chains, any number by default. The graphs that it is trained on are not bound by it.
        decoding: ``"greedy"``, ``"beam"`` or ``"sample"``.
        beam: partial graphs kept by beam search.
        temperature: of sampling.
        seed: of sampling; the same song and seed give the same graph.
    """

    name: Literal["autoregressive"] = "autoregressive"
    channels: int = Field(default=128, ge=2)
    heads: int = Field(default=4, ge=1)
    layers: int = Field(default=3, ge=1)
    rounds: int = Field(default=2, ge=0)
    hidden: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    nodes: int = Field(default=16, ge=1)
    nodes_per_track: float = Field(default=8.0, ge=0)
    fan_out: int | None = Field(default=None, ge=1)
    decoding: Literal["greedy", "beam", "sample"] = "greedy"
    beam: int = Field(default=4, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.channels % self.heads:
            raise ValueError(f"channels is {self.channels} and heads {self.heads}; make it a multiple")
        return self


class EdgeMessages(nn.Module):
    """Messages along the edges and against them (GraphSAGE, Hamilton et al. 2017), beside a residual connection.

    Args:
        channels: of a node.
        rounds: how many.
    """

    def __init__(self, channels: int, rounds: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(rounds))
        self.along = nn.ModuleList(SAGEConv(channels, channels) for _ in range(rounds))
        self.against = nn.ModuleList(SAGEConv(channels, channels) for _ in range(rounds))

    def forward(self, nodes: Tensor, edge_index: Tensor) -> Tensor:
        """Nodes [nodes, channels], edges [2, edges] -> [nodes, channels]."""
        for norm, along, against in zip(self.norms, self.along, self.against, strict=True):
            normed = norm(nodes)
            nodes = nodes + functional.gelu(along(normed, edge_index) + against(normed, edge_index.flip(0)))
        return nodes


@register
class AutoregressiveEstimator(NeuralEstimator):
    """Decodes a graph node by node: prototype first, parameters second.

    Its proposals are valid even untrained; see :mod:`graphmix.models.mixing.partial_graph`.

    Args:
        config: its size.
        rack: processors of your own for the letters of the chain.

    Example:
        >>> model = AutoregressiveEstimator(AutoregressiveConfig(chain="eg", nodes_per_track=1)).eval()
        >>> graph = model(Stems(torch.randn(2, 2, 30000), ("bass", "voice"), 30000))
        >>> sorted(graph.input_names)
        ['bass', 'voice']
    """

    config_type: ClassVar[type[ModelConfig]] = AutoregressiveConfig
    has_heads: ClassVar[bool] = False
    config: AutoregressiveConfig

    def __init__(self, config: ModelConfig, rack: Rack | None = None) -> None:
        super().__init__(config, rack)
        self.types = TypeTable((*STRUCTURAL, *self.rack.types))
        size = self.encoder.embedding * (3 if self.config.reverse else 2)
        own = self.config
        self.net = PrototypeNet(size, self.types, own.channels, own.heads, own.layers, own.dropout)
        self.messages = EdgeMessages(own.channels, own.rounds)
        self.heads = PerTypeHeads(self.rack, self.basis.sizes, own.channels, own.hidden)

    # --- proposals

    def graphs_of(self, songs: Sequence[EmbeddedSong], *, soft: bool) -> list[MixGraph]:
        """One graph for each song, soft or not, since a decoded graph has nothing to drop."""
        return [self._proposal(song) for song in songs]

    def outputs_of(self, songs: Sequence[EmbeddedSong]) -> Outputs:
        """There is no full console that heads could predict.

        Raises:
            GraphmixError: always.
        """
        raise GraphmixError(f"the model {self.config.name!r} fills no console; train it by teacher_forcing_loss.")

    @property
    def loss_terms(self) -> frozenset[str]:
        """Audio, and the likelihood of true graphs."""
        return frozenset({"audio", "sequence"})

    def structure_losses(
        self,
        songs: Sequence[EmbeddedSong],
        graphs: Sequence[MixGraph],
        outputs: Outputs | None,
        terms: Collection[str],
    ) -> dict[str, Tensor]:
        """``sequence``: see :meth:`teacher_forcing_loss`."""
        return {"sequence": self.teacher_forcing_loss_of(songs, graphs)} if "sequence" in terms else {}

    def room(self, num_tracks: int) -> int:
        """How many nodes a graph for so many tracks may have beside the inputs."""
        return self.config.nodes + int(self.config.nodes_per_track * num_tracks)

    def decode(self, song: EmbeddedSong) -> PartialGraph:
        """A prototype for a song with active tracks, by the configured ``decoding``."""
        conditioning, room = self.conditioning(song), self.room(song.num_tracks)
        partial = PartialGraph(self.types, song.num_tracks, room, fan_out=self.config.fan_out)
        if self.config.decoding == "beam":
            return beam_search(self.net, conditioning, partial, self.config.beam).partial
        if self.config.decoding == "sample":
            generator = torch.Generator().manual_seed(self.config.seed)
            return decode(self.net, conditioning, partial, sampler(generator, self.config.temperature)).partial
        return decode(self.net, conditioning, partial).partial

    def conditioning(self, song: EmbeddedSong) -> Tensor:
        """Conditioning of each input: its embedding, the mean of all, and the mix's in reverse mode, [tracks, size]."""
        context = [song.tracks.mean(0, keepdim=True)]
        if self.config.reverse:
            assert song.mix is not None, "a model in reverse mode embeds the mix"
            context.append(song.mix[None])
        return torch.cat([song.tracks, *(part.expand(song.num_tracks, -1) for part in context)], dim=1)

    @property
    def has_variants(self) -> bool:
        """Any number, by sampling."""
        return True

    @torch.no_grad()
    def variants_of(self, song: EmbeddedSong, count: int, seed: int) -> list[Variant]:
        """Graphs sampled at the configured temperature, with the mean log-probability of a node."""
        if not song.num_tracks:
            return [Variant(self._proposal(song), 0.0)] * count
        generator = torch.Generator().manual_seed(seed)
        room, drawn = self.room(song.num_tracks), []
        for _ in range(count):
            partial = PartialGraph(self.types, song.num_tracks, room, fan_out=self.config.fan_out)
            pick = sampler(generator, self.config.temperature)
            decoded = decode(self.net, self.conditioning(song), partial, pick)
            nodes = max(1, decoded.partial.place - song.num_tracks)
            drawn.append(Variant(self._graph(song, decoded.partial), decoded.log_probability / nodes))
        return drawn

    def _proposal(self, song: EmbeddedSong) -> MixGraph:
        if not song.num_tracks:
            empty = full_console(self.rack.types, {}, "", self.sample_rate)
            nothing = torch.ones(1, device=self.device)
            return set_console(empty, song.silent, {}, nothing, nothing, soft=False, model=self.config.name)
        return self._graph(song, self.decode(song))

    def _graph(self, song: EmbeddedSong, partial: PartialGraph) -> MixGraph:
        """The graph of a prototype, with its settings."""
        graph = partial.to_graph(self.sample_rate)
        self._name_inputs(graph, song)
        outputs = self._settings(self.net.encode(self.conditioning(song), partial).places, graph)
        params = self.settings(outputs.coefficients, self.offsets_of([graph], [song]))
        wet = outputs.wet_logit.sigmoid()
        keep = torch.ones_like(wet)
        name, center_db = self.config.name, self.config.center_db
        return set_console(graph, song.silent, params, wet, keep, soft=False, model=name, center_db=center_db)

    def _settings(self, places: Tensor, graph: MixGraph) -> NodeOutputs:
        """Outputs of the heads for each node of a prototype, whose nodes are numbered as decoded."""
        nodes = self.messages(places, graph.edge_index.to(places.device))
        outputs: NodeOutputs = self.heads(nodes, graph.node_type.to(places.device))
        return outputs

    # --- training

    def teacher_forcing_loss(self, songs: Sequence[Stems], graphs: Sequence[MixGraph], settings: float = 1.0) -> Tensor:
        """Negative log-likelihood of true graphs, and the error of their parameters; the mean over the songs, 0-dim.

        The first part is a mean over choices; the second is the mean absolute error of dry/wet weights and the smooth
        mean absolute error of coefficients, for the true prototype.

        Args:
            songs: stems, with the mix in reverse mode.
            graphs: the true graph of each, at the model's rate; inputs are named after the tracks.
            settings: weight of the second part.

        Raises:
            GraphError: a graph with several outputs, without an active track, of another rate, or with processors that
                the model does not have.
        """
        return self.teacher_forcing_loss_of(self.embed(songs), graphs, settings)

    def teacher_forcing_loss_of(
        self, songs: Sequence[EmbeddedSong], graphs: Sequence[MixGraph], settings: float = 1.0
    ) -> Tensor:
        """As :meth:`teacher_forcing_loss`, from embeddings."""
        losses = []
        for song, graph in zip(songs, graphs, strict=True):
            if not song.num_tracks:
                continue
            sequence = self.sequence(graph, song.names)
            steps = decoding_steps(sequence, self.room(song.num_tracks))
            losses.append(self._loss(song, sequence, steps, settings))
        return torch.stack(losses).mean() if losses else torch.zeros((), device=self.device, requires_grad=True)

    def sequence(self, graph: MixGraph, names: Sequence[str]) -> GraphSequence:
        """A true graph in decoding order, with this model's types and without tracks that are not named.

        Args:
            graph: inputs are named after the tracks.
            names: of the active tracks, in canonical order.

        Raises:
            GraphError: as :meth:`teacher_forcing_loss`.
        """
        if graph.sample_rate != self.sample_rate:
            raise GraphError(
                f"the graph is at {graph.sample_rate} Hz and the model {self.config.name!r} at {self.sample_rate} Hz; "
                "train on graphs of its rate."
            )
        part = part_with_tracks(retype(copy.copy(graph).cpu(), self.types), names)
        node_of = dict(zip(part.input_names, part.nodes_of("in").tolist(), strict=True))
        return linearize(part, [node_of[name] for name in names])

    def _loss(self, song: EmbeddedSong, sequence: GraphSequence, steps: DecodingSteps, settings: float) -> Tensor:
        conditioning = self.conditioning(song)
        encoding = self.net.encode(conditioning, steps.partial)
        likelihood = self.net(conditioning, steps, encoding)
        choices = torch.cat([likelihood.types, likelihood.edges])
        graph = sequence.to_graph()
        self._name_inputs(graph, song)
        outputs = self._settings(encoding.places, graph)
        prunable = graph.prunable.to(conditioning.device)
        wet_error = (outputs.wet_logit.sigmoid() - graph.wet.to(conditioning.device)).abs()[prunable]
        errors = [wet_error] if wet_error.numel() else []
        errors += list(self._coefficient_errors(outputs.coefficients, graph, song))
        return torch.stack([-choices.mean(), *(settings * error.mean() for error in errors)]).sum()

    def _name_inputs(self, graph: MixGraph, song: EmbeddedSong) -> None:
        """Name the inputs of a decoded graph, its first nodes, after the song's tracks; its last node is the output."""
        nodes = graph.node_type.numel() - song.num_tracks - 1
        graph.info = GraphInfo(self.types, self.sample_rate, (*song.names, *[""] * nodes, "mix"))

    def _coefficient_errors(self, outputs: Mapping[str, Tensor], graph: MixGraph, song: EmbeddedSong) -> list[Tensor]:
        """Smooth absolute errors of the coefficients of each type that the graph has."""
        errors = []
        offsets = self.offsets_of([graph], [song])
        for name, coefficients in outputs.items():
            if coefficients.numel():
                params = graph.params[name].to(coefficients.device)
                wanted = self.basis.encode(name, params if offsets is None else params - offsets[name])
                errors.append(functional.smooth_l1_loss(coefficients, wanted.to(coefficients), reduction="none"))
        return errors


def part_with_tracks(graph: MixGraph, names: Sequence[str]) -> MixGraph:
    """The part of a graph that some tracks reach: other inputs are removed, and with them what only they reach.

    Raises:
        GraphError: a track that is no input of the graph.
    """
    inputs, have = graph.nodes_of("in").tolist(), graph.input_names
    missing = next((name for name in names if name not in have), None)
    if missing is not None:
        raise GraphError(f"the graph has no input {missing!r}; its inputs are: {', '.join(have[:6])}.")
    wanted = set(names)
    starts = [node for node, name in zip(inputs, have, strict=True) if name in wanted]
    _, after = neighbours(graph.node_type.numel(), graph.edges())
    kept = reachable(after, [*starts, *graph.nodes_of("out").tolist()])
    return graph if len(kept) == graph.node_type.numel() else keep_nodes(graph, sorted(kept))
