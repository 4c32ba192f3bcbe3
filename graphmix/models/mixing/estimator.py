"""The interface of all models that propose a mix: ``estimator(stems) -> MixGraph``.

A model hears each track (:meth:`Estimator.describe`), and makes a graph of what it has heard
(:meth:`Estimator.graphs_of`). Between the two lies an :class:`EmbeddedSong` for each song, so that a song that is too
long to be heard at once is heard block by block (:meth:`Estimator.forward_blocks`).

Laws, which hold to the last bit on one device:

* Permuting the tracks permutes the proposal: the graph is the same, its inputs are found by name, and so is its mix.
* A silent track gets a bare edge to the output, and changes nothing else.
* One track, any number of tracks, any sample rate, and songs without subgroups work.

Proposals are differentiable: gradients flow from the renderer through ``graph.params`` and ``graph.wet``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.config import ModelConfig, NeuralConfig
from graphmix.models.encoders import build_encoder, build_features
from graphmix.models.features import LEVELS, SILENCE, Levels, LogMel
from graphmix.models.mixing.basis import RawBasis
from graphmix.models.mixing.canonical import CanonicalSong, EmbeddedSong, canonical_song, join_blocks
from graphmix.models.mixing.gain_staging import GainStaging, Offsets, offsets_of, put_back
from graphmix.models.mixing.responses import RESPONSES, ResponseEncoder, Responses, staged_responses
from graphmix.models.mixing.stems import Stems, resample
from graphmix.models.mixing.wiring import set_console
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer


class Described(NamedTuple):
    """What a model makes of a song's sound.

    Args:
        tracks: [active tracks, size].
        mix: [size], or None.
        excess_db: see :class:`EmbeddedSong`.
    """

    tracks: Tensor
    mix: Tensor | None = None
    excess_db: Tensor | None = None


SOFTENED = ("equalizer", "compressor", "noisegate")
"""What :attr:`NeuralConfig.soften_from` applies to."""
HEARD_FROM = 0.02
"""Probability of staying from which a processor is rendered in training."""
MODELS: dict[str, type["Estimator"]] = {}
"""All models by the name that their configuration has."""
Model = TypeVar("Model", bound="Estimator")


def register(model: type[Model]) -> type[Model]:
    """Class decorator: enter a model into :data:`MODELS` under the default of its configuration's ``name``."""
    MODELS[str(model.config_type.model_fields["name"].default)] = model
    return model


def build_estimator(config: ModelConfig) -> "Estimator":
    """An untrained model; PyTorch's random numbers make its weights.

    Raises:
        GraphmixError: a name that is unknown (the known ones are listed), or a chain that cannot be built.
    """
    if config.name not in MODELS:
        raise GraphmixError(f"there is no model {config.name!r}; give one of: {', '.join(sorted(MODELS))}.")
    return MODELS[config.name](config)


class Estimator(nn.Module):
    """A model that proposes a graph for the tracks of a song.

    In evaluation mode a call gives the proposal, a sparse graph; in training mode, as :meth:`console`, the soft graph
    that the audio loss is taken of. Graphs are at the model's sample rate, on the model's device. Their inputs are
    named after the tracks, and need not be in the order of the stems: :meth:`Stems.sources` finds the signals.

    Args:
        config: its size.
        rack: processors of your own for the letters of the chain; by default graphmix's.
    """

    config_type: ClassVar[type[ModelConfig]] = ModelConfig
    config: ModelConfig
    rack: Rack

    def __init__(self, config: ModelConfig, rack: Rack | None = None) -> None:
        super().__init__()
        if not isinstance(config, self.config_type):
            wanted, given = self.config_type.__name__, type(config).__name__
            raise GraphmixError(f"{type(self).__name__} takes a {wanted}, not a {given}.")
        self.config = config
        self.rack = self.make_rack() if rack is None else rack
        self._renderer = (Renderer(self.rack),)  # in a tuple: it has no weights of its own
        self.register_buffer("_anchor", torch.zeros(0), persistent=False)

    def make_rack(self) -> Rack:
        """The processors of the graphs that are proposed."""
        return Rack.console(self.config.chain, self.config.sample_rate)

    @property
    def sample_rate(self) -> int:
        """Of the proposed graphs, in Hz."""
        return self.config.sample_rate

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.get_buffer("_anchor").device

    # --- what a model has to say

    def describe(self, songs: Sequence[CanonicalSong]) -> list[Described]:
        """What each song sounds like; nothing, unless a model listens."""
        nothing = self.get_buffer("_anchor")
        return [Described(nothing.new_zeros(len(song.names), 0)) for song in songs]

    def graphs_of(self, songs: Sequence[EmbeddedSong], *, soft: bool) -> list[MixGraph]:
        """Graphs from what was heard: soft consoles, or sparse proposals."""
        raise GraphmixError(f"the model {self.config.name!r} proposes no graph; call its method mix for its sound.")

    def fit_graphs(self, graphs: Iterable[MixGraph]) -> None:
        """Take from the true graphs of the training songs what needs no gradient; nothing, unless a model does."""

    def fit_songs(self, examples: Iterable[tuple[Stems, MixGraph]]) -> None:
        """The same from training songs (or stretches of them) and their true graphs."""

    # --- what can be asked

    def forward(self, stems: Stems | Sequence[Stems]) -> MixGraph | list[MixGraph]:
        """Propose a graph for each song: sparse in evaluation mode, soft in training mode."""
        return self._graphs(stems, soft=self.training)

    def console(self, stems: Stems | Sequence[Stems]) -> MixGraph | list[MixGraph]:
        """The soft graph: nothing is removed, each weight is its dry/wet weight times the probability that it stays."""
        return self._graphs(stems, soft=True)

    def _graphs(self, stems: Stems | Sequence[Stems], soft: bool) -> MixGraph | list[MixGraph]:
        if isinstance(stems, Stems):
            return self.graphs_of(self.embed([stems]), soft=soft)[0]
        return self.graphs_of(self.embed(stems), soft=soft) if stems else []

    def embed(self, songs: Sequence[Stems]) -> list[EmbeddedSong]:
        """Hear songs, all tracks of all of them in one pass."""
        return self.embed_canonical([canonical_song(stems) for stems in songs])

    def embed_canonical(self, songs: Sequence[CanonicalSong]) -> list[EmbeddedSong]:
        """The same of songs whose tracks are sorted already."""
        return [
            EmbeddedSong(song.names, song.digests, song.silent, song.subgroups, tracks, mix, song.samples, excess_db)
            for song, (tracks, mix, excess_db) in zip(songs, self.describe(songs), strict=True)
        ]

    def forward_blocks(self, blocks: Iterable[Stems]) -> MixGraph:
        """Propose a graph for one song that is heard block by block: embeddings are averaged over the blocks.

        Args:
            blocks: successive stretches of the same tracks.
        """
        song = join_blocks([self.embed([block])[0] for block in blocks])
        return self.graphs_of([song], soft=self.training)[0]

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

    def outputs(self, batch: Sequence[Stems]) -> "Outputs":
        """What the heads say of each node, for losses on parameters.

        Raises:
            GraphmixError: the model has no heads.
        """
        return self.outputs_of(self.embed(batch))

    def outputs_of(self, songs: Sequence[EmbeddedSong]) -> "Outputs":
        """As :meth:`outputs`, from what was heard."""
        raise GraphmixError(f"the model {self.config.name!r} has no heads; it is trained on audio, or not at all.")


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a model says of each node of the full graphs over the active tracks of some songs.

    Nodes of all songs stand one after the other, N in all.

    Args:
        consoles: a graph for each song on the CPU, with neutral parameters: what can be kept, and its names.
        tracks: names of the active tracks of each song, in canonical order.
        silent: names of the silent tracks of each song; they are in no console.
        keep_logit: log odds that a node stays, [N]; 0 for inputs, mixes and outputs.
        wet_logit: of its dry/wet weight, [N].
        coefficients: of its parameters, {type: [nodes of the type, k]}, rows in node order.
        bus_logits: for models that predict subgroups, of each song [active tracks, slots]; else None.
        offsets: what is added to the parameters, {type: [nodes of the type, width]}, for models that hear tracks at
            the standard level; see :mod:`graphmix.models.mixing.gain_staging`.
    """

    consoles: tuple[MixGraph, ...]
    tracks: tuple[tuple[str, ...], ...]
    silent: tuple[tuple[str, ...], ...]
    keep_logit: Tensor
    wet_logit: Tensor
    coefficients: Mapping[str, Tensor]
    bus_logits: tuple[Tensor, ...] | None = None
    offsets: Offsets | None = None

    @property
    def node_type(self) -> Tensor:
        """Types of all nodes, [N], on the CPU."""
        return torch.cat([console.node_type for console in self.consoles])

    def split(self) -> Iterator["Outputs"]:
        """The outputs of each song."""
        sizes = [console.node_type.numel() for console in self.consoles]
        keep, wet = self.keep_logit.split(sizes), self.wet_logit.split(sizes)
        rows = split_rows(self.consoles, self.coefficients)
        offsets = None if self.offsets is None else split_rows(self.consoles, self.offsets)
        for i, console in enumerate(self.consoles):
            logits = None if self.bus_logits is None else self.bus_logits[i : i + 1]
            parts = self.tracks[i : i + 1], self.silent[i : i + 1], keep[i], wet[i], rows[i], logits
            yield Outputs((console,), *parts, None if offsets is None else offsets[i])


def split_rows(consoles: Sequence[MixGraph], values: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    """Rows of each type by graph: {type: [nodes of all graphs, ...]} -> {type: [nodes, ...]} for each graph."""
    parts = {name: v.split([c.params[name].size(0) for c in consoles]) for name, v in values.items()}
    return [{name: part[i] for name, part in parts.items()} for i in range(len(consoles))]


class NeuralEstimator(Estimator):
    """A model with an encoder, shared by all tracks, and heads that speak in coefficients of raw parameters.

    A subclass has :meth:`outputs_of`; the rest follows.

    Args:
        config: its size.
        rack: processors of your own.
    """

    config_type: ClassVar[type[ModelConfig]] = NeuralConfig
    config: NeuralConfig

    def __init__(self, config: ModelConfig, rack: Rack | None = None) -> None:
        super().__init__(config, rack)
        self.front_end = build_features(self.config.encoder, self.config.sample_rate, self.config.mels)
        self.encoder = build_encoder(self.config.encoder, self.config.mels)
        self.basis = RawBasis(self.rack, self.config.components)
        if self.config.gain_staging:
            of_frames = isinstance(self.front_end, LogMel)
            self.staging = GainStaging(self.config.sample_rate, self.config.mels, of_frames)
        if self.config.responses:
            encoder, mels = self.config.encoder, self.config.mels
            self.responses = Responses(self.config.sample_rate, mels)
            self.response_encoder = ResponseEncoder(mels, 16 * encoder.width, encoder.embedding)

    def fit_graphs(self, graphs: Iterable[MixGraph]) -> None:
        """Fit the basis of the parameters."""
        self.basis.fit(graphs)

    def features(self, stems: Stems) -> Stems:
        """The same stems with their features, which a later call then need not compute."""
        if self.config.responses:
            return self._features_of_all(stems)
        audio = resample(stems.audio, stems.sample_rate, self.sample_rate)
        mix = stems.mix
        if mix is not None:
            mix = self.front_end(resample(mix[None], stems.sample_rate, self.sample_rate).to(self.device))
        return replace(stems, features=self.front_end(audio.to(self.device)), mix_features=mix)

    def _features_of_all(self, stems: Stems) -> Stems:
        """Where they depend on the other tracks as well: of those that sound, in canonical order."""
        song = self.hear(replace(stems, features=None, mix_features=None))
        assert song.features is not None, "just computed"
        features = by_track(song.features, song.names, stems.names)
        return replace(stems, features=features, mix_features=song.mix_features)

    def hear(self, stems: Stems) -> CanonicalSong:
        """A song as this model hears it: the tracks that sound, in canonical order, with their features."""
        song = canonical_song(stems)
        mix = self._mix_features_of(song) if self.config.reverse else None
        return replace(song, features=self._features_of(song), mix_features=mix)

    def describe(self, songs: Sequence[CanonicalSong]) -> list[Described]:
        """Embeddings of all tracks, and of the mixes in reverse mode."""
        seen = [self._features_of(song) for song in songs]
        tracks = [own[:, :, :LEVELS] for own in seen] if self.config.responses else seen
        mixes = [self._mix_features_of(song) for song in songs] if self.config.reverse else []
        responses = [own[:, :, LEVELS:] for own in seen] if self.config.responses else []
        excess: list[Tensor | None] = [None] * len(songs)
        if self.config.gain_staging:
            levels = [self.staging.excess_db(own) for own in tracks]
            tracks = [self.staging.staged(own, level) for own, level in zip(tracks, levels, strict=True)]
            responses = [staged_responses(own, level) for own, level in zip(responses, levels, strict=False)]
            excess = [*levels]
        embedded = self.encoder.encode([*tracks, *mixes])
        own, heard = embedded[: len(songs)], [mix[0] for mix in embedded[len(songs) :]]
        if self.config.responses:
            own = [part + self.response_encoder(told) for part, told in zip(own, responses, strict=True)]
        return [Described(part, heard[i] if heard else None, excess[i]) for i, part in enumerate(own)]

    def _features_of(self, song: CanonicalSong) -> Tensor:
        if song.features is None:
            audio = song.audio_at(self.sample_rate).to(self.device)
            features: Tensor = self.front_end(audio)
            if self.config.responses:
                features = torch.cat([features, self.responses(audio, self._mix_of(song)[0])], dim=2)
            return features
        bands = self.config.mels + isinstance(self.front_end, Levels)
        rows = LEVELS + RESPONSES if self.config.responses else None
        shape = song.features.shape
        if len(shape) != 4 or shape[3] != bands or rows not in (None, shape[2]):
            raise GraphmixError(
                f"the features of the stems have shape {list(shape)}, expected [tracks, 2, {rows or 'frames'}, "
                f"{bands}]; compute them by the model's own method features."
            )
        return song.features.to(self.device)

    def _mix_features_of(self, song: CanonicalSong) -> Tensor:
        if song.mix_features is not None:
            return song.mix_features.to(self.device)
        features: Tensor = self.front_end(self._mix_of(song))
        return features

    def _mix_of(self, song: CanonicalSong) -> Tensor:
        """[1, 2, samples] at the model's rate."""
        mix = song.mix_at(self.sample_rate)
        if mix is None:
            raise GraphmixError(
                f"the model {self.config.name!r} hears the mix as well (reverse = true) and these stems have none; "
                "give a song with its mix, or a model without reverse."
            )
        return mix.to(self.device)

    def graphs_of(self, songs: Sequence[EmbeddedSong], *, soft: bool) -> list[MixGraph]:
        """Graphs from what was heard."""
        return self.graphs_from(self.outputs_of(songs), soft=soft)

    def settings(self, coefficients: Mapping[str, Tensor], offsets: Offsets | None) -> dict[str, Tensor]:
        """Physical values from what the heads say, {type: [nodes, width]}."""
        params = self.basis.decode_all(coefficients)
        return params if offsets is None else put_back(params, offsets, self.rack)

    def _softened(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """The same of a proposal, where what the model is not sure of may be turned down, and then surely stays."""
        wet, keep = _weights(outputs)
        softened_from = self.config.soften_from
        if softened_from is None:
            return wet, keep
        names = [t.name in SOFTENED for t in outputs.consoles[0].types.types]
        own = torch.tensor(names)[outputs.node_type].to(keep.device)
        stays = own & (keep >= softened_from)
        wet = torch.where(stays, wet * keep, wet)
        return wet, torch.where(own, stays.to(keep), keep)

    def offsets_of(self, consoles: Sequence[MixGraph], songs: Sequence[EmbeddedSong]) -> Offsets | None:
        """What tracks that were heard at the standard level need to be put back; rows of all graphs, in their order."""
        if not self.config.gain_staging:
            return None
        found = []
        for console, song in zip(consoles, songs, strict=True):
            assert song.excess_db is not None, "the model hears tracks at the standard level"
            found.append(offsets_of(console, song.names, song.excess_db))
        return {name: torch.cat([own[name] for own in found]) for name in self.rack.names}

    def graphs_from(self, outputs: Outputs, *, soft: bool, in_training: bool = False) -> list[MixGraph]:
        """Graphs from what the heads say: soft consoles, or sparse proposals.

        Args:
            outputs: of some songs.
            soft: see :meth:`console`.
            in_training: of soft consoles, those that are rendered for a loss: without what is surely dropped, which
                costs time and is not heard, and with tracks in the middle as they are when the model is used.
        """
        center_db = 0.0 if soft and not in_training else self.config.center_db
        keep_from = self.config.keep_from if not soft else HEARD_FROM if in_training else 0.0
        params = split_rows(outputs.consoles, self.settings(outputs.coefficients, outputs.offsets))
        return [
            set_console(
                song.consoles[0],
                song.silent[0],
                params[i],
                *(_weights(song) if soft else self._softened(song)),
                soft=soft,
                model=self.config.name,
                center_db=center_db,
                keep_from=keep_from,
            )
            for i, song in enumerate(outputs.split())
        ]


def _weights(outputs: "Outputs") -> tuple[Tensor, Tensor]:
    """Dry/wet weight of each node, and the probability that it stays."""
    return outputs.wet_logit.sigmoid(), outputs.keep_logit.sigmoid()


def by_track(values: Tensor, tracks: Sequence[str], names: Sequence[str]) -> Tensor:
    """Rows of some tracks among those of all names; the others look like silence."""
    row = {name: i for i, name in enumerate(names)}
    rows = torch.tensor([row[name] for name in tracks], dtype=torch.long, device=values.device)
    return values.new_full((len(names), *values.shape[1:]), SILENCE).index_copy(0, rows, values)


def song_means(tracks: Sequence[Tensor]) -> Tensor:
    """Mean over the tracks of each song, [tracks, size] each -> [songs, size]; zero for a song without tracks."""
    return torch.stack([own.sum(0) / max(1, own.size(0)) for own in tracks])
