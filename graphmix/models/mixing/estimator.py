"""The interface of all models that propose a mix: ``estimator(stems) -> MixGraph``.

An estimator embeds each track (:meth:`Estimator.embeddings_of`) and makes a graph of the embeddings
(:meth:`Estimator.graphs_of`). Between the two lies an :class:`EmbeddedSong` for each song, so that a song that is too
long to be encoded at once is encoded block by block (:meth:`Estimator.forward_blocks`).

What an estimator can do is declared by its class, so that training, prediction and evaluation need not know which it
is: :attr:`~Estimator.proposes_graph`, :attr:`~Estimator.has_encoder`, :attr:`~Estimator.has_heads`,
:attr:`~Estimator.needs_training`, :attr:`~Estimator.needs_mix` and :attr:`~Estimator.loss_terms`.

Laws, which hold to the last bit on one device:

* Permuting the tracks permutes the proposal: its parameters and its mix are the same.
* A silent track gets a bare edge to the output, and changes nothing else.
* One track, any number of tracks, any sample rate, and songs without subgroups work.

Proposals are differentiable: gradients flow from the renderer through ``graph.params`` and ``graph.wet``.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from graphmix.chain_string import split_chain
from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.config import ModelConfig
from graphmix.models.effects.captured import effect_from_text
from graphmix.models.mixing.basis import RawBasis
from graphmix.models.mixing.canonical import (
    CanonicalSong,
    EmbeddedSong,
    canonical_song,
    in_song_order,
    join_blocks,
    weighted_mean,
)
from graphmix.models.mixing.outputs import Outputs
from graphmix.models.mixing.responses import Responses
from graphmix.models.mixing.stems import Stems
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer


class Embeddings(NamedTuple):
    """Embeddings of a song.

    Args:
        tracks: [active tracks, size].
        mix: [size], or None.
        excess_db: see :class:`EmbeddedSong`.
    """

    tracks: Tensor
    mix: Tensor | None = None
    excess_db: Tensor | None = None


class Variant(NamedTuple):
    """One of several proposals for a song.

    Args:
        graph: as :meth:`Estimator.graphs_of` gives it.
        score: logarithm of its probability, for each decision; comparable between variants of one song.
    """

    graph: MixGraph
    score: float


MODELS: dict[str, type["Estimator"]] = {}
"""All models by the name that their configuration has."""
Model = TypeVar("Model", bound="Estimator")
"""A class of estimators."""


def register(model: type[Model]) -> type[Model]:
    """Class decorator: enter a model into :data:`MODELS` under the default of its configuration's ``name``."""
    MODELS[str(model.config_type.model_fields["name"].default)] = model
    return model


def build_estimator(config: ModelConfig, rack: Rack | None = None) -> "Estimator":
    """An untrained model; PyTorch's random numbers make its weights.

    Args:
        config: its size.
        rack: processors of your own for the letters of the chain; by default graphmix's, and the configuration's
            effects.

    Raises:
        GraphmixError: a name that is unknown (the known ones are listed), or a chain that cannot be built.
    """
    if config.name not in MODELS:
        raise GraphmixError(f"there is no model {config.name!r}; give one of: {', '.join(sorted(MODELS))}.")
    return MODELS[config.name](config, rack)


class Estimator(nn.Module):
    """A model that proposes a graph for the tracks of a song.

    In evaluation mode a call gives the proposal, a sparse graph; in training mode, as :meth:`console`, the soft graph
    that the audio loss is taken of. Graphs are at the model's sample rate, on the model's device. Their inputs are
    named after the tracks; :meth:`Stems.sources` finds the signals.

    Args:
        config: its size.
        rack: processors of your own for the letters of the chain; by default graphmix's.
    """

    config_type: ClassVar[type[ModelConfig]] = ModelConfig
    proposes_graph: ClassVar[bool] = True
    """Whether a call gives a graph; else there is only :meth:`mix`."""
    has_encoder: ClassVar[bool] = False
    """Whether :meth:`features` and :meth:`analyze` compute features that can be kept and used again."""
    has_heads: ClassVar[bool] = False
    """Whether there are :meth:`outputs` for each node of a console, and a :attr:`basis` of their coefficients."""
    needs_training: ClassVar[bool] = True
    """Whether it is of no use before it is trained."""
    config: ModelConfig
    rack: Rack
    basis: RawBasis
    responses: Responses | None
    """What measures each track's gain in the mix, for models with ``responses``."""

    def __init__(self, config: ModelConfig, rack: Rack | None = None) -> None:
        super().__init__()
        if not isinstance(config, self.config_type):
            wanted, given = self.config_type.__name__, type(config).__name__
            raise GraphmixError(f"{type(self).__name__} takes a {wanted}, not a {given}.")
        self.config = config
        self.rack = self.make_rack() if rack is None else rack
        self.responses = None
        self._renderer = (Renderer(self.rack),)  # in a tuple: it has no weights of its own
        self.register_buffer("_anchor", torch.zeros(0), persistent=False)

    def make_rack(self) -> Rack:
        """The processors of the graphs that are proposed, captured effects from their files, and plugins."""
        config = self.config
        effects = [effect_from_text(text, letter, config.sample_rate) for letter, text in config.effects.items()]
        unused = next((letter for letter in config.effects if letter not in split_chain(config.chain)), None)
        if unused is not None:
            raise GraphmixError(f"chain {config.chain!r} has no letter {unused!r} for its effect; add it to the chain.")
        return Rack.console(config.chain, config.sample_rate, effects)

    @property
    def sample_rate(self) -> int:
        """Sample rate of the proposed graphs, in Hz."""
        return self.config.sample_rate

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.get_buffer("_anchor").device

    @property
    def needs_mix(self) -> bool:
        """Whether stems must come with their mix."""
        return False

    @property
    def has_variants(self) -> bool:
        """Whether it knows a distribution of mixes of a song, from which :meth:`variants_of` draws."""
        return False

    @property
    def loss_terms(self) -> frozenset[str]:
        """Terms of :class:`graphmix.training.config.LossConfig` that the model can be trained on."""
        return frozenset({"audio"})

    @property
    def features_key(self) -> str:
        """Settings that features depend on: models with equal keys have equal features of a song."""
        return self.config.name

    # --- what a subclass defines

    def embeddings_of(self, songs: Sequence[CanonicalSong]) -> list[Embeddings]:
        """Embeddings of each song; without numbers, unless a model has any."""
        nothing = self.get_buffer("_anchor")
        return [Embeddings(nothing.new_zeros(len(song.names), 0)) for song in songs]

    def graphs_of(self, songs: Sequence[EmbeddedSong], *, soft: bool) -> list[MixGraph]:
        """Graphs from embeddings: soft consoles, or sparse proposals."""
        raise GraphmixError(f"the model {self.config.name!r} proposes no graph; call its method mix for its sound.")

    def variants_of(self, song: EmbeddedSong, count: int, seed: int) -> list[Variant]:
        """Several proposals for a song, drawn by probability.

        Args:
            song: embedded.
            count: of proposals.
            seed: of the draws.

        Raises:
            GraphmixError: the model has one proposal for a song.
        """
        raise GraphmixError(
            f"the model {self.config.name!r} has one proposal for a song and no others to draw from; train one with "
            "modes = 2 or more under [model], or use an autoregressive model."
        )

    def likely(self, songs: Sequence[EmbeddedSong]) -> Sequence[EmbeddedSong]:
        """Songs as a model with several modes embeds them for its most probable answer; by default as they are."""
        return songs

    def outputs_of(self, songs: Sequence[EmbeddedSong]) -> Outputs:
        """As :meth:`outputs`, from embeddings."""
        raise GraphmixError(f"the model {self.config.name!r} has no heads; it is trained on audio, or not at all.")

    def graphs_from(self, outputs: Outputs, *, soft: bool, in_training: bool = False) -> list[MixGraph]:
        """Graphs from the outputs of the heads: soft consoles, or sparse proposals.

        Args:
            outputs: of some songs.
            soft: see :meth:`console`.
            in_training: soft consoles as they are rendered for a loss.

        Raises:
            GraphmixError: the model has no heads.
        """
        raise GraphmixError(f"the model {self.config.name!r} has no heads; it is trained on audio, or not at all.")

    def structure_losses(
        self,
        songs: Sequence[EmbeddedSong],
        graphs: Sequence[MixGraph],
        outputs: Outputs | None,
        terms: Collection[str],
    ) -> dict[str, Tensor]:
        """The terms of the loss on structure that this model alone can compute, 0-dim tensors; by default none.

        Args:
            songs: embedded.
            graphs: the true graph of each.
            outputs: of the same songs, if the model has heads.
            terms: names of those that are wanted; others are left out.
        """
        return {}

    def fit_graphs(self, graphs: Iterable[MixGraph]) -> None:
        """Fit in closed form, to the true graphs of the training songs, what needs no gradient; by default nothing."""

    def fit_songs(self, examples: Iterable[tuple[Stems, MixGraph]]) -> None:
        """The same from training songs (or stretches of them) and their true graphs."""

    def analyze(self, stems: Stems) -> CanonicalSong:
        """The tracks that sound, in canonical order; with their features, if the model has an encoder."""
        return canonical_song(stems)

    def features(self, stems: Stems) -> Stems:
        """The same stems with their features, which a later call then need not compute."""
        return stems

    # --- what can be asked

    def forward(self, stems: Stems | Sequence[Stems]) -> MixGraph | list[MixGraph]:
        """Propose a graph for each song: sparse in evaluation mode, soft in training mode."""
        return self._graphs(stems, soft=self.training)

    def console(self, stems: Stems | Sequence[Stems]) -> MixGraph | list[MixGraph]:
        """The soft graph: nothing is removed, each weight is its dry/wet weight times the probability that it stays."""
        return self._graphs(stems, soft=True)

    def _graphs(self, stems: Stems | Sequence[Stems], soft: bool) -> MixGraph | list[MixGraph]:
        songs = [stems] if isinstance(stems, Stems) else stems
        graphs = self.graphs_of(self.embed(songs), soft=soft) if songs else []
        ordered = [in_song_order(graph, song.names) for graph, song in zip(graphs, songs, strict=True)]
        return ordered[0] if isinstance(stems, Stems) else ordered

    def embed(self, songs: Sequence[Stems]) -> list[EmbeddedSong]:
        """Embed songs, all tracks of all of them in one pass."""
        return self.embed_canonical([canonical_song(stems) for stems in songs])

    def embed_canonical(self, songs: Sequence[CanonicalSong]) -> list[EmbeddedSong]:
        """The same for songs whose tracks are sorted already."""
        return [
            EmbeddedSong(
                names=song.names,
                digests=song.digests,
                silent=song.silent,
                subgroups=song.subgroups,
                tracks=own.tracks,
                mix=own.mix,
                samples=song.samples,
                excess_db=own.excess_db,
                energy=song.energy,
                mix_energy=song.mix_energy,
            )
            for song, own in zip(songs, self.embeddings_of(songs), strict=True)
        ]

    def pool(self, parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
        """One embedding of a track from those of the blocks in which it is active: their weighted mean."""
        return weighted_mean(parts, weights)

    def join(self, blocks: Sequence[EmbeddedSong]) -> EmbeddedSong:
        """One song from successive parts of it; see :func:`graphmix.models.mixing.canonical.join_blocks`."""
        return join_blocks(blocks, self.pool)

    def forward_blocks(self, blocks: Iterable[Stems]) -> MixGraph:
        """Propose a graph for one song that comes in blocks, over which embeddings are pooled.

        Args:
            blocks: successive stretches of the same tracks.
        """
        tracks: tuple[str, ...] = ()
        embedded = []
        for block in blocks:
            tracks = tracks or block.names
            embedded += self.embed([block])
        return in_song_order(self.graphs_of([self.join(embedded)], soft=self.training)[0], tracks)

    def render(self, graph: MixGraph, stems: Stems) -> Tensor:
        """The sound of a graph that this model proposed, at the model's rate, [2, samples]; differentiable."""
        sources = stems.sources(graph).to(graph.wet.device)
        mix: Tensor = self._renderer[0](graph, sources)
        return mix.sum(0)

    def mix(self, stems: Stems) -> Tensor:
        """Propose a graph and render it, [2, samples] at the model's rate; differentiable."""
        graph = self.forward(stems)
        assert isinstance(graph, MixGraph), "one song gives one graph"
        return self.render(graph, stems)

    def outputs(self, batch: Sequence[Stems]) -> Outputs:
        """Predictions of the heads for each node, for losses on parameters.

        Raises:
            GraphmixError: the model has no heads.
        """
        return self.outputs_of(self.likely(self.embed(batch)))
