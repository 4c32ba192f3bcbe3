"""A search that starts from what a model proposes: ``graphmix mine --start estimator``.

A model in reverse mode encodes the tracks *and* the mix, and predicts in a second what the usual start finds by least
squares, spectra and several renderings of the song. Its soft console (nothing removed, each dry/wet weight times the
probability that the processor stays) is transferred to the console of the search: corresponding nodes take its
parameters, others their start values.

With a model that takes responses (:mod:`graphmix.models.mixing.responses`), faders and panorama of the tracks are read
off them; equalizers are the mean of those read off and of those that :mod:`graphmix.search.spectra` finds in few steps.
Whether the model's other processors are taken as well is decided by the loss in one segment of the song.
"""

from pathlib import Path

import torch
from torch import Tensor

from graphmix.audio.segments import EvalSegment
from graphmix.audio.song import Song
from graphmix.errors import GraphmixError, SearchError
from graphmix.graph.editing import remove_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.features import LEVELS
from graphmix.models.mixing.estimator import Estimator
from graphmix.models.mixing.neural import by_track
from graphmix.processors.rack import Rack
from graphmix.search.initialization import with_start_values
from graphmix.search.levels import with_levels
from graphmix.search.objective import Objective
from graphmix.search.parametrization import MIN_WEIGHT
from graphmix.search.spectra import equalizer_gains, with_equalizers
from graphmix.training.checkpoint import load_estimator
from graphmix.training.matching import carry_over, match_nodes
from graphmix.training.proposal import blocks_of

DEFAULT_MODEL = "reverse"
"""The checkpoint that ``--start estimator`` means; it comes with graphmix."""
_WORD = "estimator"
_MEASURED = ("equalizer", "imager", "gain")
_SPECTRA_STEPS, _SPECTRA_FRAMES = 30, 256
_INAUDIBLE = 0.05
"""A processor that is less wet is left out where two starts are compared."""


class EstimatorStart:
    """A start of a search: a console in, the same console with a model's settings out.

    Args:
        model: the model, or its name or path as :func:`graphmix.training.load_estimator` takes it.
        name: of the start in ``run.json`` and ``metrics.json``.
    """

    def __init__(self, model: Estimator | str | Path = DEFAULT_MODEL, name: str | None = None) -> None:
        self.estimator = model if isinstance(model, Estimator) else load_estimator(model)
        default = f"{_WORD}:{self.estimator.config.name if isinstance(model, Estimator) else model}"
        self.name = default if name is None else name

    def check(self, console: MixGraph) -> None:
        """Check that the model can set some processor of a console.

        Raises:
            SearchError: it is at another rate than the model, or has none of the model's processors.
        """
        estimator = self.estimator
        if console.sample_rate != estimator.sample_rate:
            raise SearchError(
                f"the start {self.name} works at {estimator.sample_rate} Hz and the search at {console.sample_rate} "
                f"Hz; use --sample-rate {estimator.sample_rate}, or the usual start."
            )
        known = any(console.nodes_of(name).numel() for name in estimator.rack.names if name in console.params)
        if console.processors.numel() and not known:
            raise self._useless()

    def _useless(self) -> SearchError:
        return SearchError(
            f"the start {self.name} sets none of the processors of this console; use a model with the same chain, or "
            "the usual start."
        )

    @torch.no_grad()
    def __call__(self, console: MixGraph, song: Song, rack: Rack, seed: int = 0) -> MixGraph:
        """The console with the model's settings.

        Args:
            console: of the search, on the CPU; its inputs are named after the song's tracks.
            song: with its mix, at the rate of the model.
            rack: processors of the console.
            seed: of the start values of all other processors.

        Raises:
            SearchError: the song is at another rate than the model, or the model sets nothing in this console.
        """
        self.check(console)
        proposal, responses = soft_console(self.estimator, song)
        start = with_start_values(console, rack, seed)
        if not bool((match_nodes(proposal, start) >= 0).any()) and console.processors.numel():
            raise self._useless()
        graph = carry_over(proposal, start)
        if responses is not None:
            graph = self._measured(start, graph, Objective(song, rack), responses)
        # at zero a node would get no gradient, and what the model is nearly sure to drop may still be wanted
        graph.wet = torch.where(graph.prunable, graph.wet.clamp(MIN_WEIGHT, 1.0), graph.wet)
        return graph

    def _measured(self, start: MixGraph, proposed: MixGraph, objective: Objective, responses: Tensor) -> MixGraph:
        """The start with measured levels and equalizers of the tracks, with or without the model's other effects."""
        assert self.estimator.responses is not None, "responses were measured"
        tracks = objective.song.track_names
        bins = start.params["equalizer"].size(1) if "equalizer" in start.params else 0
        gains, curves = self.estimator.responses.read_off(responses, max(1, bins))
        graphs = [with_levels(graph, gains, tracks) for graph in (start, with_linear_of(start, proposed))]
        if bins:
            found = equalizer_gains(objective, gains, _SPECTRA_STEPS, _SPECTRA_FRAMES)
            curves = (curves + found) / 2
            graphs = [with_equalizers(graph, curves, tracks) for graph in graphs]
        segment = segment_to_compare(objective)
        losses = [float(objective.evaluate(audible_part(graph), [segment]).total) for graph in graphs]
        return graphs[losses.index(min(losses))]


def segment_to_compare(objective: Objective) -> EvalSegment:
    """The segment nearest to the middle of the song in which its mix sounds; the middle one if there is none."""
    middle = len(objective.segments) // 2
    by_distance = sorted(range(len(objective.segments)), key=lambda place: abs(place - middle))
    for place in by_distance:
        sounding = objective.target(objective.segments[place]).sounding
        if sounding is None or all(bool((factor[:, 0] >= 1).all()) for factor in sounding):  # left and right
            return objective.segments[place]
    return objective.segments[middle]


def audible_part(graph: MixGraph) -> MixGraph:
    """The graph without processors that are nearly dry or neutral."""
    neutral = torch.zeros(graph.node_type.numel(), dtype=torch.bool)
    for t in graph.types.types:
        if t.is_processor:
            neutral[graph.nodes_of(t.name)] = (graph.params[t.name] == t.neutral()).all(1)
    return remove_nodes(graph, (graph.prunable & (neutral | (graph.wet < _INAUDIBLE))).nonzero().flatten())


def with_linear_of(start: MixGraph, proposed: MixGraph) -> MixGraph:
    """A proposal whose equalizers, imagers and gains are those of a start, which do nothing yet."""
    graph = proposed.clone()
    for name in _MEASURED:
        if name in graph.params:
            graph.params[name] = start.params[name].clone()
            nodes = graph.nodes_of(name)
            graph.wet[nodes] = start.wet[nodes]
    return graph


def soft_console(estimator: Estimator, song: Song) -> tuple[MixGraph, Tensor | None]:
    """Settings that a model proposes, all nodes kept, and the responses of the tracks if it takes them; on the CPU.

    A long song is encoded in blocks. Its responses are those of the whole song, by one least squares: a mean over
    blocks would count a track that rests in one of them as turned down there.
    """
    was_training = estimator.training
    estimator.eval()
    try:
        embedded, responses = [], []
        for block in blocks_of(song):
            analyzed = estimator.analyze(block)
            embedded += estimator.embed_canonical([analyzed])
            if estimator.responses is not None:
                assert analyzed.features is not None, "just computed"
                responses.append(by_track(analyzed.features[:, :, LEVELS:].cpu(), analyzed.names, block.names))
        graph = estimator.graphs_of([estimator.join(embedded)], soft=estimator.has_heads)[0].clone().cpu()
        if not responses:
            return graph, None
        return graph, responses[0] if len(responses) == 1 else _measure_song(estimator, song)
    finally:
        estimator.train(was_training)


def _measure_song(estimator: Estimator, song: Song) -> Tensor:
    """Responses of all tracks over a song of several blocks, in the song's order, [tracks, 2, 2, mels + 1]."""
    assert estimator.responses is not None, "the model takes responses"
    device = estimator.device
    pairs = ((block.audio.to(device), block.mix.to(device)) for block in blocks_of(song) if block.mix is not None)
    return estimator.responses.measure(pairs).cpu()


def parse_start(text: str) -> EstimatorStart | None:
    """The value of ``--start``: ``"levels"``, the usual start (None), or ``"estimator"`` or ``"estimator:MODEL"``.

    Raises:
        GraphmixError: something else, or a model that is not there.
    """
    kind, _, model = text.partition(":")
    if text == "levels":
        return None
    if kind != _WORD:
        raise GraphmixError(f"there is no start {text!r}; give levels, estimator, or estimator:MODEL.")
    return EstimatorStart(model or DEFAULT_MODEL)
