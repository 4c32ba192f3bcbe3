"""Estimators with an encoder that all tracks share and heads that predict coefficients of raw parameters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.config import ModelConfig, NeuralConfig
from graphmix.models.encoders import build_encoder, build_features
from graphmix.models.features import LEVELS, SILENCE, Levels, LogMel
from graphmix.models.mixing.basis import RawBasis
from graphmix.models.mixing.canonical import CanonicalSong, EmbeddedSong, canonical_song
from graphmix.models.mixing.estimator import Embeddings, Estimator, Variant
from graphmix.models.mixing.gain_staging import GainStaging, Offsets, offsets_of, put_back
from graphmix.models.mixing.modes import Modes
from graphmix.models.mixing.outputs import Outputs, split_rows
from graphmix.models.mixing.responses import RESPONSES, ResponseEncoder, Responses, staged_responses
from graphmix.models.mixing.stems import Stems, resample
from graphmix.models.mixing.wiring import set_console
from graphmix.processors.rack import Rack

SOFTENED = ("equalizer", "compressor", "noisegate")
"""Types that :attr:`NeuralConfig.soften_from` applies to."""
RENDERED_FROM = 0.02
"""Probability of staying from which a processor is rendered in training."""


class NeuralEstimator(Estimator):
    """A model with an encoder, shared by all tracks, and heads that predict coefficients of raw parameters.

    A subclass has :meth:`outputs_of`; the rest follows.

    Args:
        config: its size.
        rack: processors of your own.
    """

    config_type: ClassVar[type[ModelConfig]] = NeuralConfig
    has_encoder: ClassVar[bool] = True
    has_heads: ClassVar[bool] = True
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
        self.modes: Modes | None = None
        if self.config.modes > 1:
            if not self.has_heads:
                raise GraphmixError(f"the model {self.config.name!r} has no heads, and so no modes; leave modes at 1.")
            self.modes = Modes(self.config.modes, self.encoder.embedding, self.basis.sizes)

    @property
    def needs_mix(self) -> bool:
        """In reverse mode."""
        return self.config.reverse

    @property
    def loss_terms(self) -> frozenset[str]:
        """Audio, all terms of nodes, what is relative among tracks; the density of settings, if there are modes."""
        terms = {"audio", "keep", "wet", "coefficients", "sparsity", "levels", "pan", "spectrum"}
        return frozenset(terms | ({"density"} if self.modes is not None else set()))

    @property
    def has_variants(self) -> bool:
        """With modes."""
        return self.modes is not None

    def likely(self, songs: Sequence[EmbeddedSong]) -> Sequence[EmbeddedSong]:
        """With modes: each song embedded for its most probable one."""
        if self.modes is None:
            return songs
        best = self.modes.log_weights(songs).argmax(1).tolist()
        return [self.modes.embedded(song, mode) for song, mode in zip(songs, best, strict=True)]

    def variants_of(self, song: EmbeddedSong, count: int, seed: int) -> list[Variant]:
        """With modes: draws of a mode and of settings around it, by the log-density of the draw per setting."""
        if self.modes is None:
            return super().variants_of(song, count, seed)
        generator = torch.Generator().manual_seed(seed)
        log_weights = self.modes.log_weights([song])[0].double().cpu()
        drawn = []
        for _ in range(count):
            mode = int(torch.multinomial(log_weights.exp(), 1, generator=generator))
            outputs, score = self.modes.draw(self.outputs_of([self.modes.embedded(song, mode)]), generator)
            graph = self.graphs_from(outputs, soft=False)[0]
            drawn.append(Variant(graph, score + float(log_weights[mode])))
        return drawn

    @property
    def features_key(self) -> str:
        """Settings that features depend on."""
        return self.config.features_key

    def fit_graphs(self, graphs: Iterable[MixGraph]) -> None:
        """Fit the basis of the parameters."""
        self.basis.fit(graphs)

    # --- features and embeddings

    def features(self, stems: Stems) -> Stems:
        """The same stems with their features, which a later call then need not compute."""
        if self.config.responses:
            return self._features_of_all(stems)
        audio = resample(stems.audio, stems.sample_rate, self.sample_rate)
        mix = stems.mix if self.needs_mix else None
        if mix is not None:
            mix = self.front_end(resample(mix[None], stems.sample_rate, self.sample_rate).to(self.device))
        return replace(stems, features=self.front_end(audio.to(self.device)), mix_features=mix)

    def _features_of_all(self, stems: Stems) -> Stems:
        """Features that depend on the other tracks as well, in the order of the stems."""
        song = self.analyze(replace(stems, features=None, mix_features=None))
        assert song.features is not None, "just computed"
        features = by_track(song.features, song.names, stems.names)
        return replace(stems, features=features, mix_features=song.mix_features)

    def analyze(self, stems: Stems) -> CanonicalSong:
        """The tracks that sound, in canonical order, with their features, and the mix's in reverse mode."""
        song = canonical_song(stems)
        mix = self._mix_features_of(song) if self.needs_mix else None
        return replace(song, features=self._features_of(song), mix_features=mix)

    def embeddings_of(self, songs: Sequence[CanonicalSong]) -> list[Embeddings]:
        """Embeddings of all tracks, and of the mixes in reverse mode."""
        features = [self._features_of(song) for song in songs]
        tracks = [own[:, :, :LEVELS] for own in features] if self.config.responses else features
        mixes = [self._mix_features_of(song) for song in songs] if self.needs_mix else []
        responses = [own[:, :, LEVELS:] for own in features] if self.config.responses else []
        excess: list[Tensor | None] = [None] * len(songs)
        if self.config.gain_staging:
            levels = [self.staging.excess_db(own) for own in tracks]
            tracks = [self.staging.staged(own, level) for own, level in zip(tracks, levels, strict=True)]
            responses = [staged_responses(own, level) for own, level in zip(responses, levels, strict=False)]
            excess = [*levels]
        embedded = self.encoder.encode([*tracks, *mixes])
        of_tracks, of_mixes = embedded[: len(songs)], [mix[0] for mix in embedded[len(songs) :]]
        if self.config.responses:
            of_tracks = [x + self.response_encoder(r) for x, r in zip(of_tracks, responses, strict=True)]
        return [Embeddings(x, of_mixes[i] if of_mixes else None, excess[i]) for i, x in enumerate(of_tracks)]

    def _features_of(self, song: CanonicalSong) -> Tensor:
        if song.features is None:
            audio = song.audio_at(self.sample_rate).to(self.device)
            features: Tensor = self.front_end(audio)
            if self.responses is not None:
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
                f"the model {self.config.name!r} takes the mix as well (reverse = true) and these stems have none; "
                "give a song with its mix, or a model without reverse."
            )
        return mix.to(self.device)

    # --- graphs

    def graphs_of(self, songs: Sequence[EmbeddedSong], *, soft: bool) -> list[MixGraph]:
        """Graphs from embeddings."""
        return self.graphs_from(self.outputs_of(self.likely(songs)), soft=soft)

    def graphs_from(self, outputs: Outputs, *, soft: bool, in_training: bool = False) -> list[MixGraph]:
        """Graphs from the outputs of the heads: soft consoles, or sparse proposals.

        Args:
            outputs: of some songs.
            soft: see :meth:`console`.
            in_training: soft consoles as they are rendered for a loss: without what is almost surely dropped, which
                costs time and is inaudible, and with tracks centered as they are when the model is used.
        """
        center_db = 0.0 if soft and not in_training else self.config.center_db
        keep_from = self.config.keep_from if not soft else RENDERED_FROM if in_training else 0.0
        params = split_rows(outputs.consoles, self.settings(outputs.coefficients, outputs.offsets))
        return [
            set_console(
                song.consoles[0],
                song.silent[0],
                params[i],
                *(song.weights() if soft else self._softened(song)),
                soft=soft,
                model=self.config.name,
                center_db=center_db,
                keep_from=keep_from,
            )
            for i, song in enumerate(outputs.split())
        ]

    def settings(self, coefficients: Mapping[str, Tensor], offsets: Offsets | None) -> dict[str, Tensor]:
        """Physical values from coefficients, {type: [nodes, width]}."""
        params = self.basis.decode_all(coefficients)
        return params if offsets is None else put_back(params, offsets, self.rack)

    def _softened(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """Weights and probabilities of a proposal; what is uncertain may be turned down, and then surely stays."""
        wet, keep = outputs.weights()
        softened_from = self.config.soften_from
        if softened_from is None:
            return wet, keep
        names = [t.name in SOFTENED for t in outputs.consoles[0].types.types]
        own = torch.tensor(names)[outputs.node_type].to(keep.device)
        stays = own & (keep >= softened_from)
        wet = torch.where(stays, wet * keep, wet)
        return wet, torch.where(own, stays.to(keep), keep)

    def offsets_of(self, consoles: Sequence[MixGraph], songs: Sequence[EmbeddedSong]) -> Offsets | None:
        """What gain staging took from tracks and their settings need back; rows of all graphs, in their order."""
        if not self.config.gain_staging:
            return None
        found = []
        for console, song in zip(consoles, songs, strict=True):
            assert song.excess_db is not None, "a model with gain staging measures it"
            found.append(offsets_of(console, song.names, song.excess_db))
        return {name: torch.cat([own[name] for own in found]) for name in self.rack.names}


def by_track(values: Tensor, tracks: Sequence[str], names: Sequence[str]) -> Tensor:
    """Rows of some tracks among those of all names; the others look like silence."""
    row = {name: i for i, name in enumerate(names)}
    rows = torch.tensor([row[name] for name in tracks], dtype=torch.long, device=values.device)
    return values.new_full((len(names), *values.shape[1:]), SILENCE).index_copy(0, rows, values)


def song_means(tracks: Sequence[Tensor]) -> Tensor:
    """Mean over the tracks of each song, [tracks, size] each -> [songs, size]; zero for a song without tracks."""
    return torch.stack([own.sum(0) / max(1, own.size(0)) for own in tracks])
