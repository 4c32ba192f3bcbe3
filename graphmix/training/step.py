"""What one step of a training computes: segments of songs in, terms of the loss out.

A module of its own, so that Fabric (and DDP) see one ``forward`` whose parameters are the model's. Which terms there
are depends on what a model can say: models with heads are compared with true graphs and heard through the renderer,
models that write graphs are told the true ones, models of sound alone are heard.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from graphmix.audio.segments import encoder_blocks
from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.autoregressive import AutoregressiveEstimator
from graphmix.models.mixing.canonical import CanonicalSong, EmbeddedSong
from graphmix.models.mixing.dmc import DMC
from graphmix.models.mixing.estimator import Estimator
from graphmix.models.mixing.graph_estimator import GraphEstimator
from graphmix.models.mixing.neural import NeuralEstimator
from graphmix.models.mixing.outputs import Outputs
from graphmix.models.mixing.stems import Stems
from graphmix.spec import STRUCTURAL
from graphmix.training.config import LossConfig
from graphmix.training.data import Batch, Example, SongSegments
from graphmix.training.losses import audio_loss, class_weights, parameter_terms, sparsity_term
from graphmix.training.matching import ConsoleTarget, console_target

OF_NODES = ("keep", "wet", "coefficients", "sparsity")
"""Terms that need heads."""
Features = tuple[Tensor | None, Tensor | None]
Heard = dict[tuple[str, str], list[tuple[int, CanonicalSong]]]
"""What was heard of songs: (how, graph file) -> (first sample, what) of each block."""
Ticker = Callable[[int], object]
"""Is told how much is done."""


class TrainingStep(nn.Module):
    """A model and what its proposals cost.

    Args:
        estimator: the model.
        loss: weights of the terms.
        feature_bytes: what kept features may take; see :attr:`Example.comes_again`.

    Raises:
        GraphmixError: a term that this model has nothing to say to.
    """

    weights: Tensor
    heard: bool = True
    """Whether :meth:`forward` renders sound, where the loss has a term of it."""

    def __init__(self, estimator: Estimator, loss: LossConfig, feature_bytes: int = 1 << 30) -> None:
        super().__init__()
        self.estimator, self.loss = estimator, loss
        self.register_buffer("weights", torch.ones(len(STRUCTURAL) + len(estimator.rack.names), 2), persistent=False)
        self.active = {name: weight for name, weight in loss.model_dump().items() if weight > 0}
        self._room = feature_bytes
        self._heard_songs: dict[str, list[tuple[int, CanonicalSong]]] = {}
        self._features: dict[tuple[str, int], Features] = {}
        self._targets: dict[tuple[str, tuple[str, ...]], ConsoleTarget] = {}
        self._check()

    @property
    def judged(self) -> tuple[str, ...]:
        """Names of what :meth:`judge` gives."""
        return ("total", *self.active, "proposal")

    @property
    def needs_audio(self) -> bool:
        """Whether :meth:`forward` needs the sound of its segments, and not what was heard of their songs alone."""
        return not self._heard_songs or (self.heard and "audio" in self.active)

    @property
    def _has_heads(self) -> bool:
        return isinstance(self.estimator, NeuralEstimator) and not isinstance(self.estimator, AutoregressiveEstimator)

    def _check(self) -> None:
        model = self.estimator
        predicts = isinstance(model, GraphEstimator) and model.config.predict_subgroups
        able = {"audio": True, "sequence": isinstance(model, AutoregressiveEstimator), "subgroups": predicts}
        able |= dict.fromkeys(OF_NODES, self._has_heads)
        able |= dict.fromkeys(("keep", "sparsity"), self._has_heads and not isinstance(model, DMC))  # it drops nothing
        wrong = next((name for name in self.active if not able[name]), None)
        if wrong is not None:
            raise GraphmixError(
                f"the model {model.config.name!r} has nothing to say to the term loss.{wrong} = "
                f"{self.active[wrong]:g}; set it to 0."
            )

    # --- before the first step

    def prepare(self, songs: SongSegments, fit: bool, progress: Ticker = int) -> None:
        """Take from the training songs what no gradient gives: bases, means, memories, class weights.

        Args:
            songs: of the training.
            fit: whether the model is new; else only what belongs to the loss is prepared.
            progress: told how many graphs were read.
        """
        for index in range(len(songs)):
            songs.truth(index)
            progress(index + 1)
        if self.active.get("keep"):
            config = self.estimator.config
            self.weights.copy_(class_weights(songs.truths(), self.estimator.rack, config.chain))
        if fit:
            fit_estimator(self.estimator, songs)

    def hear(self, songs: SongSegments, progress: Ticker = int, known: Heard | None = None) -> None:
        """From now on, tell the model of whole songs, not of segments; those of any other song are an error.

        Of a long song it is told of the block in which a segment lies, one of those in which a song is heard when the
        model is used.

        Args:
            songs: whose features are computed here, and kept.
            progress: told how many songs were heard.
            known: what was heard before, which is not computed again; what is heard now is added.

        Raises:
            GraphmixError: the features take more memory than there may be.
        """
        if not isinstance(self.estimator, NeuralEstimator):
            return
        known = {} if known is None else known
        for index, record in enumerate(songs.records):
            path = str(record.graph_path)
            key = self.estimator.features_key, path
            if key not in known:
                song = songs.song(index)
                blocks = encoder_blocks(song.num_samples, song.sample_rate)
                known[key] = [(start, self._heard(Stems.from_song(song, start, length))) for start, length in blocks]
            self._heard_songs[path] = known[key]
            songs.lengths[index] = sum(heard.samples for _, heard in known[key])
            self._room -= sum(_bytes_of((heard.features, heard.mix_features)) for _, heard in known[key])
            if self._room < 0:
                raise GraphmixError(
                    f"the features of {index + 1} of {len(songs)} songs take all the memory for features; set "
                    'data.hear to "segment", or use the encoder "statistics".'
                )
            progress(index + 1)

    # --- a step

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Terms of the loss, 0-dim; through ``"total"`` gradients flow."""
        terms, _ = self._terms(batch.examples, self.heard)
        total = self._total(terms)
        if not total.requires_grad:  # nothing but silence; every process needs a gradient all the same
            total = total + 0 * next(p for p in self.estimator.parameters() if p.requires_grad).sum()
        return {"total": total, **{name: term.detach() for name, term in terms.items()}}

    @torch.no_grad()
    def judge(self, batch: Batch) -> dict[str, float]:
        """The terms, and ``"proposal"``: the audio loss of what is proposed when the model is used. For evaluation."""
        terms, outputs = self._terms(batch.examples, heard=True)
        mixes = self._mixes(batch.examples, outputs, soft=False)
        proposal = self._audio(batch.examples, mixes)
        numbers = {"total": self._total(terms), **terms, "proposal": proposal}
        return {name: float(number) for name, number in numbers.items()}

    def _total(self, terms: dict[str, Tensor]) -> Tensor:
        return torch.stack([self.active[name] * term.float() for name, term in terms.items()]).sum()

    def _terms(self, examples: Sequence[Example], heard: bool) -> tuple[dict[str, Tensor], Outputs | None]:
        """The active terms, and what the heads said, if the model has any."""
        model = self.estimator
        songs = self._embedded(examples)
        outputs = model.outputs_of(songs) if self._has_heads else None
        terms: dict[str, Tensor] = {}
        if "sequence" in self.active:
            assert isinstance(model, AutoregressiveEstimator), "checked when this was made"
            terms["sequence"] = model.teacher_forcing_loss_of(songs, [example.graph for example in examples])
        with torch.autocast(model.device.type, enabled=False):  # neither the renderer nor a basis is for half the bits
            if outputs is not None:
                terms |= self._of_nodes(outputs, songs, examples)
            if heard and "audio" in self.active:
                mixes = self._mixes(examples, outputs, soft=self._has_heads)
                terms["audio"] = self._audio(examples, mixes)
        return {name: terms[name] for name in self.active if name in terms}, outputs

    def _of_nodes(
        self, outputs: Outputs, songs: Sequence[EmbeddedSong], examples: Sequence[Example]
    ) -> dict[str, Tensor]:
        model = self.estimator
        assert isinstance(model, NeuralEstimator), "only these have heads"
        terms: dict[str, Tensor] = {}
        if any(name in self.active for name in ("keep", "wet", "coefficients")):
            pairs = zip(examples, outputs.consoles, strict=True)
            targets = [self._target(example, console) for example, console in pairs]
            terms |= parameter_terms(outputs, targets, model.basis, self.weights)
        if "sparsity" in self.active:
            terms["sparsity"] = sparsity_term(outputs)
        if "subgroups" in self.active:
            assert isinstance(model, GraphEstimator), "checked when this was made"
            terms["subgroups"] = model.subgroup_loss(outputs, songs)
        return terms

    def _target(self, example: Example, console: MixGraph) -> ConsoleTarget:
        """What a console should be set to; kept, for a song has few consoles: one for each set of silent tracks."""
        key = example.place[0], tuple(console.names)
        if key not in self._targets:
            self._targets[key] = console_target(example.graph, console)
        return self._targets[key]

    def _mixes(self, examples: Sequence[Example], outputs: Outputs | None, soft: bool) -> list[Tensor]:
        """The sound of what the model proposes for each song, [2, samples] each."""
        model, stems = self.estimator, [example.audible for example in examples]
        if outputs is None:
            return [model.mix(self._with_features(example)) for example in examples]
        assert isinstance(model, NeuralEstimator), "only these have heads"
        graphs = model.graphs_from(outputs, soft=soft, in_training=True)
        return [model.render(graph, song) for graph, song in zip(graphs, stems, strict=True)]

    def _audio(self, examples: Sequence[Example], mixes: Sequence[Tensor]) -> Tensor:
        rate = self.estimator.sample_rate
        losses = [audio_loss(mix, e.audible, e.warmup, rate) for mix, e in zip(mixes, examples, strict=True)]
        return torch.stack(losses).mean()

    def _embedded(self, examples: Sequence[Example]) -> list[EmbeddedSong]:
        """What a model with an encoder hears of the songs."""
        if not isinstance(self.estimator, NeuralEstimator):
            return []
        if self._heard_songs:
            return self.estimator.embed_canonical([self._heard_around(example) for example in examples])
        return self.estimator.embed([self._with_features(example) for example in examples])

    def _with_features(self, example: Example) -> Stems:
        """The stems of an example with their features, in all 32 bits; those that will be wanted again are kept."""
        model, stems = self.estimator, example.audible
        if not isinstance(model, NeuralEstimator):
            return stems
        kept = self._features.get(example.place)
        if kept is None:
            kept = self._features_of(stems)
            if example.comes_again and _bytes_of(kept) <= self._room:
                self._room -= _bytes_of(kept)
                self._features[example.place] = kept
        return replace(stems, features=kept[0], mix_features=kept[1])

    def _heard_around(self, example: Example) -> CanonicalSong:
        """The block of the song in which the middle of a segment lies."""
        path, start = example.place
        parts = self._heard_songs[path]
        middle = start + example.length // 2
        return parts[max(0, bisect_right(parts, middle, key=lambda part: part[0]) - 1)][1]

    def _heard(self, stems: Stems) -> CanonicalSong:
        """A stretch of a song as the model hears it, without its sound; in the memory of the CPU."""
        model = self.estimator
        assert isinstance(model, NeuralEstimator), "only these have features"
        with torch.autocast(model.device.type, enabled=False):
            song = model.analyze(stems)
        assert song.features is not None, "just computed"
        mix = None if song.mix_features is None else song.mix_features.cpu()
        nothing = song.audio.new_zeros(len(song.names), 2, 0)
        return replace(song, audio=nothing, mix=None, features=song.features.cpu(), mix_features=mix)

    def _features_of(self, stems: Stems) -> Features:
        """Of the tracks and, in reverse mode, of the mix; in the memory of the CPU."""
        model = self.estimator
        assert isinstance(model, NeuralEstimator), "only these have features"
        with torch.autocast(model.device.type, enabled=False):
            seen = model.features(stems if model.config.reverse else replace(stems, mix=None))
        tracks, mix = (None if part is None else part.cpu() for part in (seen.features, seen.mix_features))
        return tracks, mix


def _bytes_of(features: Features) -> int:
    return sum(part.numel() * part.element_size() for part in features if part is not None)


def fit_estimator(estimator: Estimator, songs: SongSegments) -> None:
    """Fit what is fitted and not descended to: the basis of the parameters, or a whole baseline."""
    estimator.fit_graphs(graph for graph, _ in songs.truths())
    estimator.fit_songs(whole_songs(songs))


def whole_songs(songs: SongSegments) -> Iterator[tuple[Stems, MixGraph]]:
    """Each song from its beginning to its end, and its true graph."""
    for index in range(len(songs)):
        yield Stems.from_song(songs.song(index)), songs.truth(index)[0]
