"""Computation of one training step: segments of songs in, terms of the loss out.

A module of its own, so that Fabric (and DDP) see one ``forward`` whose parameters are the model's. Models with heads
are compared with the true graphs node by node and rendered; all others have the terms that they declare
(:attr:`graphmix.models.Estimator.loss_terms`).
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.estimator import Estimator
from graphmix.models.mixing.neural import NeuralEstimator
from graphmix.models.mixing.outputs import Outputs
from graphmix.models.mixing.stems import Stems
from graphmix.spec import STRUCTURAL
from graphmix.training.config import LossConfig
from graphmix.training.data import Batch, Example, SongSegments
from graphmix.training.features import FeatureStore, SongFeatures, Ticker
from graphmix.training.losses import audio_loss, class_weights, parameter_terms, song_level_of, sparsity_term
from graphmix.training.matching import ConsoleTarget, check_effects, console_target
from graphmix.training.relative_losses import density_term, relative_terms, spectrum_term


class TrainingStep(nn.Module):
    """A model and the loss of its proposals.

    Args:
        estimator: the model.
        loss: weights of the terms.
        feature_bytes: how much kept features may take; see :attr:`Example.comes_again`.

    Raises:
        GraphmixError: a term that the model cannot be trained on.
    """

    weights: Tensor
    with_audio: bool = True
    """Whether :meth:`forward` renders sound, where the loss has a term for it."""

    def __init__(self, estimator: Estimator, loss: LossConfig, feature_bytes: int = 1 << 30) -> None:
        super().__init__()
        self.estimator, self.loss = estimator, loss
        self.register_buffer("weights", torch.ones(len(STRUCTURAL) + len(estimator.rack.names), 2), persistent=False)
        self.active = {name: weight for name, weight in loss.model_dump().items() if weight > 0}
        self._features = FeatureStore(estimator, feature_bytes)
        self._levels: dict[str, Tensor] = {}
        self._targets: dict[tuple[str, tuple[str, ...]], ConsoleTarget] = {}
        wrong = next((name for name in self.active if name not in estimator.loss_terms), None)
        if wrong is not None:
            raise GraphmixError(
                f"the model {estimator.config.name!r} cannot be trained on the term loss.{wrong} = "
                f"{self.active[wrong]:g}; set it to 0."
            )

    @property
    def judged(self) -> tuple[str, ...]:
        """Names of the numbers of :meth:`judge`."""
        return ("total", *self.active, "proposal")

    @property
    def needs_audio(self) -> bool:
        """Whether :meth:`forward` needs the sound of its segments, rather than kept features of their songs alone."""
        rendered = "audio" in self.active or "spectrum" in self.active
        return not self._features.has_songs or (self.with_audio and rendered)

    # --- before the first step

    def prepare(self, songs: SongSegments, fit: bool, progress: Ticker = int) -> None:
        """Take from the training songs what no gradient gives: bases, means, memories, class weights.

        Args:
            songs: of the training.
            fit: whether the model is new; else only what belongs to the loss is prepared.
            progress: called with the number of graphs read.
        """
        for index in range(len(songs)):
            graph, _ = songs.truth(index)
            check_effects(graph, self.estimator.rack, songs.records[index].graph_path)
            progress(index + 1)
        if self.active.get("keep"):
            config = self.estimator.config
            self.weights.copy_(class_weights(songs.truths(), self.estimator.rack, config.chain))
        if fit:
            fit_estimator(self.estimator, songs)

    def encode_songs(self, songs: SongSegments, progress: Ticker = int, known: SongFeatures | None = None) -> None:
        """Give the encoder whole songs from now on; see :meth:`FeatureStore.encode_songs`."""
        self._features.encode_songs(songs, progress, known)

    # --- a step

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Terms of the loss, 0-dim; through ``"total"`` gradients flow."""
        terms, _ = self._terms(batch.examples, self.with_audio)
        total = self._total(terms)
        if not total.requires_grad:  # nothing but silence; every process needs a gradient all the same
            total = total + 0 * next(p for p in self.estimator.parameters() if p.requires_grad).sum()
        return {"total": total, **{name: term.detach() for name, term in terms.items()}}

    @torch.no_grad()
    def judge(self, batch: Batch) -> dict[str, float]:
        """The terms, and ``"proposal"``: the audio loss of what is proposed when the model is used. For evaluation."""
        terms, outputs = self._terms(batch.examples, with_audio=True)
        mixes = self._mixes(batch.examples, outputs, soft=False)
        proposal = self._audio(batch.examples, mixes)
        numbers = {"total": self._total(terms), **terms, "proposal": proposal}
        return {name: float(number) for name, number in numbers.items()}

    def _total(self, terms: dict[str, Tensor]) -> Tensor:
        return torch.stack([self.active[name] * term.float() for name, term in terms.items()]).sum()

    def _terms(self, examples: Sequence[Example], with_audio: bool) -> tuple[dict[str, Tensor], Outputs | None]:
        """The active terms, and the outputs of the heads, if the model has any."""
        model = self.estimator
        songs = self._features.embed(examples)
        outputs = model.outputs_of(model.likely(songs)) if model.has_heads else None
        terms = model.structure_losses(songs, [example.graph for example in examples], outputs, self.active)
        with torch.autocast(model.device.type, enabled=False):  # neither the renderer nor a basis is for half the bits
            if outputs is not None:
                terms |= self._node_terms(outputs, examples)
            if "density" in self.active and outputs is not None:
                assert isinstance(model, NeuralEstimator), "only these have modes"
                pairs = zip(examples, outputs.consoles, strict=True)
                terms["density"] = density_term(model, songs, [self._target(*pair) for pair in pairs])
            if with_audio and ("audio" in self.active or "spectrum" in self.active):
                mixes = self._mixes(examples, outputs, soft=model.has_heads)
                terms |= {"audio": self._audio(examples, mixes)} if "audio" in self.active else {}
                terms |= {"spectrum": self._spectrum(examples, mixes)} if "spectrum" in self.active else {}
        return {name: terms[name] for name in self.active if name in terms}, outputs

    def _node_terms(self, outputs: Outputs, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Terms that compare the outputs of the heads with the true graphs node by node."""
        terms: dict[str, Tensor] = {}
        if any(name in self.active for name in ("keep", "wet", "coefficients")):
            pairs = zip(examples, outputs.consoles, strict=True)
            targets = [self._target(example, console) for example, console in pairs]
            terms |= parameter_terms(outputs, targets, self.estimator.basis, self.weights)
        if "sparsity" in self.active:
            terms["sparsity"] = sparsity_term(outputs)
        if "levels" in self.active or "pan" in self.active:
            graphs = self.estimator.graphs_from(outputs, soft=True, in_training=True)
            terms |= relative_terms(graphs, [example.graph for example in examples], outputs.tracks)
        return terms

    def _spectrum(self, examples: Sequence[Example], mixes: Sequence[Tensor]) -> Tensor:
        rate, terms = self.estimator.sample_rate, []
        for mix, example in zip(mixes, examples, strict=True):
            target = example.audible.mix
            assert target is not None, "songs without a mix are not trained on"
            terms.append(spectrum_term(mix[:, example.warmup :], target[:, example.warmup :], rate))
        return torch.stack(terms).mean()

    def _target(self, example: Example, console: MixGraph) -> ConsoleTarget:
        """Settings that a console should have; kept, since a song has a console for each set of silent tracks only."""
        key = example.place[0], tuple(console.names)
        if key not in self._targets:
            self._targets[key] = console_target(example.graph, console)
        return self._targets[key]

    def _mixes(self, examples: Sequence[Example], outputs: Outputs | None, soft: bool) -> list[Tensor]:
        """The sound of the model's proposal for each song, [2, samples] each."""
        model = self.estimator
        if outputs is None:
            return [model.mix(self._features.with_features(example)) for example in examples]
        graphs = model.graphs_from(outputs, soft=soft, in_training=True)
        return [model.render(graph, example.audible) for graph, example in zip(graphs, examples, strict=True)]

    def _audio(self, examples: Sequence[Example], mixes: Sequence[Tensor]) -> Tensor:
        rate = self.estimator.sample_rate
        losses = [
            audio_loss(mix, example.audible, example.warmup, rate, self._song_level(example))
            for mix, example in zip(mixes, examples, strict=True)
        ]
        return torch.stack(losses).mean()

    def _song_level(self, example: Example) -> Tensor:
        """Level of the example's song; measured once."""
        path = example.place[0]
        if path not in self._levels:
            self._levels[path] = song_level_of(example, self.estimator.sample_rate)
        return self._levels[path]


def fit_estimator(estimator: Estimator, songs: SongSegments) -> None:
    """Fit in closed form what no gradient moves: the basis of the parameters, or a whole baseline."""
    estimator.fit_graphs(graph for graph, _ in songs.truths())
    estimator.fit_songs(whole_songs(songs))


def whole_songs(songs: SongSegments) -> Iterator[tuple[Stems, MixGraph]]:
    """Each song from its beginning to its end, and its true graph."""
    for index in range(len(songs)):
        yield Stems.from_song(songs.song(index)), songs.truth(index)[0]
