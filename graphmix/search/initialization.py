"""Where a search starts: a console that sounds like the levelled and equalized sum, with fitted thresholds.

Neutral processors are the identity; delays and reverbs, which have no neutral setting, start almost dry. The track
levels are the best of three baselines, evaluated by the loss that is to be minimised; the tracks' equalizers come
from spectra, where that loss confirms them.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from graphmix.audio.song import Song
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.strips import find_returns
from graphmix.processors.base import Processor
from graphmix.processors.rack import Rack
from graphmix.render.schedule import Stage
from graphmix.search.effect_start import captured_in, find_effects
from graphmix.search.levels import power_gains, waveform_gains, with_levels
from graphmix.search.losses import LossTerms
from graphmix.search.objective import Objective, mean_terms
from graphmix.search.spectra import equalizer_gains, with_equalizers
from graphmix.spec import DB_PER_NEPER

FRAME_SECONDS = 0.02
"""Of the levels to which thresholds are fitted."""


class Start(Protocol):
    """Another start than the usual one: sets the console before the first step, and says what it is called."""

    @property
    def name(self) -> str:
        """What ``run.json`` and ``metrics.json`` call it."""

    def check(self, console: MixGraph) -> None:
        """Refuse a console of which it can set nothing, before any computation.

        Raises:
            SearchError: and why.
        """

    def __call__(self, console: MixGraph, song: Song, rack: Rack, seed: int) -> MixGraph:
        """The console, set for this song; all on the CPU."""


@dataclass(frozen=True)
class Baseline:
    """A mix without effects: the plain sum, or gains and panning by least squares."""

    name: str
    graph: MixGraph
    gains: Tensor | None
    loss: LossTerms
    evaluated: LossTerms
    """On the segments on which losses are evaluated; the same where that is the whole song."""
    played: Tensor | None = None
    """Tracks that pass through a captured effect, bool [tracks]."""


def find_baselines(objective: Objective, with_gains: bool) -> list[Baseline]:
    """The plain sum and, if wanted, two levelled ones, each with its loss over the whole song; sum first."""
    song = objective.song
    everything = {"sum": song.track_names}
    plain = mixing_console(objective.rack, everything, "")
    made: list[tuple[str, MixGraph, Tensor | None]] = [("plain sum", plain, None)]
    if with_gains:
        levelled = _tracks_through(objective, "gain")
        for name, solve in (("waveform", waveform_gains), ("power", power_gains)):
            gains = solve(objective)
            made.append((f"levels by {name}", with_levels(levelled, gains, song.track_names), gains))
    losses = objective.evaluate_each([graph for _, graph, _ in made], objective.segments)
    places = objective.places(objective.evaluated)
    terms = [(mean_terms(x, objective.segments), mean_terms(x[places], objective.evaluated)) for x in losses]
    return [Baseline(*parts, *own) for parts, own in zip(made, terms, strict=True)]


def start_graph(console: MixGraph, objective: Objective, baselines: list[Baseline], seed: int) -> MixGraph:
    """The console as a search starts with it: the best baseline, equalized, effects ready but bypassed."""
    graph = with_start_values(console, objective.rack, seed)
    best = min(baselines, key=lambda baseline: float(baseline.loss.total))
    if best.gains is not None:
        graph = with_levels(graph, best.gains, objective.song.track_names)
    graph, best = _with_effects(graph, objective, best)
    graph = _with_equalizers(graph, objective, best)
    return with_fitted_thresholds(graph.to(objective.device), objective).cpu()


def with_start_values(console: MixGraph, rack: Rack, seed: int) -> MixGraph:
    """Every processor at its start value and dry/wet weight: a console that does nothing yet."""
    graph = console.clone()
    generator = torch.Generator().manual_seed(seed)
    for processor in rack:
        name = processor.node_type.name
        if graph.params[name].size(0):  # not numel: a capture without controls has a width of 0
            graph.params[name] = processor.start(graph.params[name], generator)
            graph.wet[graph.nodes_of(name)] = processor.start_wet
    graph.wet[find_returns(graph)] = 1.0  # a return carries the effect alone; the sends to it are closed
    return graph


def start_from_levels(console: MixGraph, song: Song, rack: Rack, *, seed: int = 0) -> MixGraph:
    """A console ready for :func:`graphmix.search.fit`: the best levelled sum of the song's tracks, equalized.

    Args:
        console: e.g. from :func:`graphmix.graph.mixing_console`; its inputs are named after the song's tracks.
        song: with a mix, at the rack's sample rate.
        rack: the processors.
        seed: of the delays' random start.
    """
    objective = Objective(song, rack)
    with_gains = "gain" in console.params and console.params["gain"].size(0) > 0
    return start_graph(console, objective, find_baselines(objective, with_gains), seed)


def _with_effects(graph: MixGraph, objective: Objective, baseline: Baseline) -> tuple[MixGraph, Baseline]:
    """The captured effects on the tracks where least squares finds them, if the loss over the song confirms them."""
    found = find_effects(objective) if baseline.gains is not None else None
    if found is None:
        return graph, baseline
    tracks = objective.song.track_names
    alone = with_levels(_tracks_through(objective, *found.weights, "gain"), found.gains, tracks)
    alone.wet[torch.cat([alone.nodes_of(name) for name in found.weights])] = 0.0
    alone = found.on(alone, tracks)
    loss = objective.evaluate(alone)
    if loss.total >= baseline.evaluated.total:
        return graph, baseline
    graph = with_levels(found.on(graph, tracks), found.gains, tracks)
    return graph, Baseline("levels through effects", alone, found.gains, loss, loss, found.played)


def _with_equalizers(graph: MixGraph, objective: Objective, baseline: Baseline) -> MixGraph:
    """The tracks' equalizers from spectra, if the loss over the song confirms them."""
    if not graph.params.get("equalizer", torch.zeros(0)).numel():
        return graph
    tracks, gain_db = objective.song.track_names, equalizer_gains(objective, baseline.gains)
    if captured_in(objective):  # spectra of dry tracks do not know what effects add: the console itself decides
        if baseline.played is not None:
            gain_db[baseline.played] = 0.0
        equalized = with_equalizers(graph, gain_db, tracks)
        return equalized if objective.evaluate(equalized).total < objective.evaluate(graph).total else graph
    alone = _tracks_through(objective, "equalizer")
    if baseline.gains is not None:
        alone = with_levels(_tracks_through(objective, "equalizer", "gain"), baseline.gains, tracks)
    alone = with_equalizers(alone, gain_db, tracks)
    return (
        with_equalizers(graph, gain_db, tracks) if objective.evaluate(alone).total < baseline.evaluated.total else graph
    )


def _tracks_through(objective: Objective, *chain: str) -> MixGraph:
    """Each track through these processors, and their sum."""
    graph = MixGraph(objective.rack.types, objective.song.sample_rate)
    out = graph.add("out", name="mix")
    for track in objective.song.track_names:
        graph.chain(graph.add("in", name=track), *(graph.add(kind) for kind in chain), out)
    return graph


@torch.no_grad()
def with_fitted_thresholds(graph: MixGraph, objective: Objective) -> MixGraph:
    """Fit the thresholds of processors that have some to the levels that come into their nodes."""
    adaptive = {p.node_type.name: p for p in objective.rack if type(p).fit_levels is not Processor.fit_levels}
    adaptive = {name: p for name, p in adaptive.items() if graph.params[name].numel()}
    if not adaptive:
        return graph
    frame = round(FRAME_SECONDS * graph.sample_rate)
    here = graph.clone().to(objective.device)
    plan = objective.renderer.plan(here)
    levels_in: dict[str, list[list[Tensor]]] = {name: [[] for _ in graph.params[name]] for name in adaptive}
    for segment in objective.evaluated:
        scored = slice(segment.score_from, segment.score_to)

        def observe(stage: Stage, signal: Tensor, _: Tensor, scored: slice = scored) -> None:
            if stage.kind in adaptive:
                detector = signal.unflatten(0, (-1, stage.inlets))[:, -1].mean(1)[:, scored]
                for row, levels in zip(stage.rows.tolist(), frame_levels(detector, frame), strict=True):
                    levels_in[stage.kind][row].append(levels.cpu())

        stems = objective.song.read(segment.start, segment.length).stems
        sources = objective.stems_for(graph, stems).to(objective.device)
        objective.renderer.run(plan, here, sources, observe, position=segment.start)
    for name, processor in adaptive.items():
        graph.params[name] = processor.fit_levels(graph.params[name], [torch.cat(levels) for levels in levels_in[name]])
    return graph


def frame_levels(detector: Tensor, frame: int) -> Tensor:
    """Levels in dB of successive frames, [nodes, samples] -> [nodes, frames]."""
    frames = detector[:, : detector.size(1) // frame * frame].unflatten(1, (-1, frame))
    return (frames.square().mean(-1) + 1e-12).log() * (DB_PER_NEPER / 2)
