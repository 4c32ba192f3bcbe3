"""Where a search starts: a console that sounds like the levelled sum, with thresholds amid what they hear.

Neutral processors are the identity; delays and reverbs, which have no neutral setting, start almost dry. The track
levels are the best of three simple answers, judged by the loss that is to be minimised.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from graphmix.graph.console import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.base import Processor
from graphmix.processors.levels import Gain
from graphmix.search.levels import power_gains, waveform_gains, with_levels
from graphmix.search.losses import LossTerms
from graphmix.search.objective import Objective
from graphmix.spec import DB_PER_NEPER

_FRAME_SECONDS = 0.02


@dataclass(frozen=True)
class SimpleAnswer:
    """A mix without effects: the plain sum, or gains and panning by least squares."""

    name: str
    graph: MixGraph
    gains: Tensor | None
    loss: LossTerms


def simple_answers(objective: Objective, with_gains: bool) -> list[SimpleAnswer]:
    """The plain sum and, if wanted, two levelled ones, each with its loss over the song; sum first."""
    song = objective.song
    types = list(objective.rack.types)
    everything = {"sum": song.track_names}
    plain = mixing_console(types, everything, "", song.sample_rate)
    answers = [SimpleAnswer("plain sum", plain, None, objective.evaluate(plain))]
    if with_gains:
        levelled = MixGraph(types, song.sample_rate)
        out = levelled.add("out", name="mix")
        for track in song.track_names:
            levelled.chain(levelled.add("in", name=track), levelled.add(Gain().node_type.letter), out)
        for name, solve in (("waveform", waveform_gains), ("power", power_gains)):
            gains = solve(objective)
            graph = with_levels(levelled, gains, song.track_names)
            answers.append(SimpleAnswer(f"levels by {name}", graph, gains, objective.evaluate(graph)))
    return answers


def start_graph(console: MixGraph, objective: Objective, answers: list[SimpleAnswer], seed: int) -> MixGraph:
    """The console as a search starts with it: the best simple answer, effects ready but not yet heard."""
    graph = console.clone()
    generator = torch.Generator().manual_seed(seed)
    for processor in objective.rack:
        name = processor.node_type.name
        if graph.params[name].numel():
            graph.params[name] = processor.start(graph.params[name], generator)
            graph.wet[graph.nodes_of(name)] = processor.start_wet
    best = min(answers, key=lambda answer: float(answer.loss.total))
    if best.gains is not None:
        graph = with_levels(graph, best.gains, objective.song.track_names)
    return _with_fitted_thresholds(graph, objective)


@torch.no_grad()
def _with_fitted_thresholds(graph: MixGraph, objective: Objective) -> MixGraph:
    """Show every processor that asks the levels of what comes into its nodes."""
    listeners = {
        p.node_type.name: p for p in objective.rack if type(p).fit_levels is not Processor.fit_levels
    }
    listeners = {name: p for name, p in listeners.items() if graph.params[name].numel()}
    if not listeners:
        return graph
    heard: dict[str, list[Tensor]] = {name: [] for name in listeners}
    frame = round(_FRAME_SECONDS * graph.sample_rate)
    plan = objective.renderer.plan(graph)
    order = {stage.kind: [] for stage in plan.stages}  # type: dict[str, list[Tensor]]
    for segment in objective.segments:
        parts: dict[str, list[Tensor]] = {name: [] for name in listeners}

        def observe(stage: object, signal: Tensor, parts: dict[str, list[Tensor]] = parts) -> None:
            kind = getattr(stage, "kind", "")
            if kind not in listeners:
                return
            inlets = getattr(stage, "inlets", 1)
            detector = signal.unflatten(0, (-1, inlets))[:, -1].mean(1)[
                :, segment.score_from : segment.score_to
            ]
            frames = detector[:, : detector.size(1) // frame * frame].unflatten(1, (-1, frame))
            energy = frames.square().mean(-1)
            parts[kind].append((energy + 1e-12).log() * (DB_PER_NEPER / 2))

        stems = objective.song.read(segment.start, segment.length).stems
        sources = objective.stems_for(graph, stems).to(objective.device)
        objective.renderer.run(plan, graph, sources, observe)
        for name, levels in parts.items():
            heard[name].append(torch.cat(levels))
    for stage in plan.stages:
        if stage.kind in listeners:
            order[stage.kind].append(stage.rows)
    for name, processor in listeners.items():
        levels = torch.cat(heard[name], dim=1)
        by_row = torch.empty_like(levels)
        by_row[torch.cat(order[name])] = levels
        graph.params[name] = processor.fit_levels(graph.params[name], list(by_row))
    return graph
