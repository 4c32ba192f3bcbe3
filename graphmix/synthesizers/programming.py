"""From a sound to a patch: candidates, the nearest of them refined by gradient descent through the graph, pruning.

A candidate is a random patch of :mod:`graphmix.synthesizers.presets`, or one of a collection, played at the sound's
pitch and level. The refinement is the search's own training (:class:`graphmix.search.fit.Training`) of the patch's
numbers; choices stay what the candidate has. Pruning is the search's own, too: modules go without which the sound is as
near (:class:`graphmix.search.pruning.Search`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.audio.files import AudioInfo
from graphmix.audio.segments import evaluation_segments
from graphmix.audio.song import Song
from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.progress import Listener, Silent
from graphmix.render.renderer import Renderer
from graphmix.search.fit import Training
from graphmix.search.objective import Objective
from graphmix.search.parametrization import RawGraph
from graphmix.search.policies import Candidate as PruningCandidate
from graphmix.search.policies import LeaveOneOut
from graphmix.search.pruning import Search
from graphmix.search.search_state import ScoredGraph, SearchState
from graphmix.search.settings import SearchSettings
from graphmix.synthesizers.instruments import SYNTHESIZERS
from graphmix.synthesizers.presets import random_patch
from graphmix.synthesizers.sounds import Sound, log_spectral_distance
from graphmix.synthesizers.synthesizer import Synthesizer, Value

BATCH = 8
"""Candidates that are rendered at once."""
REFINED = 2
"""The nearest candidates of a synthesizer that are refined, for a share of the steps each; the best of them goes on."""
FIRST_SHARE = 0.2
LEAST_LEVEL_DB = -50.0
TOLERANCE = 0.003
_LEVEL = "amplifier.level_db"
SETTINGS = SearchSettings(
    steps=200, rounds=0, learning_rate=0.02, own_rates=False, final_rate=0.1, gain_staging=0.0, evaluate_every=20
)
Values = Mapping[str, Value]


class SoundObjective(Objective):
    """The loss of a graph of generators against one sound, which is rendered as a whole, from its beginning.

    Args:
        sound: what to match.
        rack: at its sample rate.
    """

    def __init__(self, sound: Sound, rack: Rack) -> None:
        samples = len(sound.audio)
        mix = AudioInfo(Path("sound"), sound.sample_rate, 2, samples)
        audio = sound.audio.expand(1, 2, -1).contiguous()
        super().__init__(Song("sound", Path(), sound.sample_rate, (), {}, mix, samples, _decoded=audio), rack)
        self.warmup, self.length = 0, samples
        self.segments = evaluation_segments(samples, 0, samples)


@dataclass(frozen=True)
class Candidate:
    """A patch that was tried.

    Args:
        synthesizer: its name.
        values: of the patch.
        distance: log-spectral distance from the sound, in dB.
    """

    synthesizer: str
    values: Values
    distance: float


@dataclass(frozen=True)
class Programmed:
    """A patch for a sound.

    Args:
        synthesizer: its name.
        graph: the patch, with its note.
        audio: what it sounds like, [samples].
        distance: log-spectral distance from the sound, in dB.
        proposed: the same of the candidate that it comes from.
        history: (step, loss) of the refinement.
    """

    synthesizer: str
    graph: MixGraph
    audio: Tensor
    distance: float
    proposed: float
    history: tuple[tuple[int, float], ...]

    @property
    def values(self) -> dict[str, Value]:
        """Of the patch."""
        return SYNTHESIZERS[self.synthesizer].read(self.graph)


def play(graphs: Sequence[MixGraph], samples: int, renderer: Renderer) -> Tensor:
    """What patches sound like, [graphs, samples]: the left of two equal channels."""
    batch = Batch.from_data_list(list(graphs))
    with torch.no_grad():
        return renderer(batch, torch.zeros(0, 2, samples))[:, 0]


def compare(sound: Sound, graph: MixGraph, renderer: Renderer) -> tuple[Tensor, float]:
    """What a patch sounds like beside a sound, [samples], and its log-spectral distance in dB."""
    audio = play([graph], len(sound.audio), renderer)
    return audio[0], float(log_spectral_distance(audio, sound.audio)[0])


def with_level(values: Values, change_db: float) -> dict[str, Value]:
    """The patch at another level."""
    return {**values, _LEVEL: float(values[_LEVEL]) + change_db}


def _possible(synthesizer: Synthesizer, values: Values, change_db: float) -> float:
    """A change of level within the range of the amplifier."""
    p = synthesizer.by_name[_LEVEL]
    return min(max(float(values[_LEVEL]) + change_db, p.low), p.high) - float(values[_LEVEL])


def try_patches(
    sound: Sound, synthesizer: Synthesizer, patches: Sequence[Values], listener: Listener | None = None
) -> list[Candidate]:
    """Play patches at the pitch and level of a sound; the nearest one first."""
    renderer = Renderer(Rack.generators(sound.sample_rate))
    listener = listener or Silent()
    found = []
    level = _level(sound.audio)
    for begin in range(0, len(patches), BATCH):
        part = patches[begin : begin + BATCH]
        played = play([_graph(sound, synthesizer, values) for values in part], len(sound.audio), renderer)
        gains = [_possible(synthesizer, v, level - _level(audio)) for v, audio in zip(part, played, strict=True)]
        scaled = played * torch.tensor([10 ** (gain / 20) for gain in gains])[:, None]
        distances = log_spectral_distance(scaled, sound.audio)
        for values, gain, distance in zip(part, gains, distances.tolist(), strict=True):
            if math.isfinite(distance):
                found.append(Candidate(synthesizer.name, with_level(values, gain), distance))
        listener.progress(begin + len(part))
    return sorted(found, key=lambda candidate: candidate.distance)


def random_patches(synthesizer: Synthesizer, count: int, seed: int) -> list[dict[str, Value]]:
    """Patches of the distributions of :mod:`graphmix.synthesizers.presets`."""
    rng = np.random.default_rng([seed, *synthesizer.name.encode()])
    return [random_patch(synthesizer, rng) for _ in range(count)]


def program(
    sound: Sound,
    synthesizers: Sequence[Synthesizer],
    *,
    candidates: int = 200,
    steps: int = 200,
    seed: int = 0,
    proposals: Mapping[str, Values] | None = None,
    listener: Listener | None = None,
) -> list[Programmed]:
    """Find a patch of each synthesizer for a sound; the nearest one first.

    Args:
        sound: to imitate.
        synthesizers: which may do it.
        candidates: random patches that each of them tries.
        steps: of the refinement.
        seed: of the candidates.
        proposals: name of a synthesizer -> a patch that a model proposes, one more candidate.
        listener: shown the progress.
    """
    listener = listener or Silent()
    results = []
    for synthesizer in synthesizers:
        listener.phase(f"{synthesizer.name}: candidates", candidates)
        patches: list[Values] = [*random_patches(synthesizer, candidates, seed)]
        if proposals is not None and synthesizer.name in proposals:
            patches.append(proposals[synthesizer.name])
        tried = try_patches(sound, synthesizer, patches, listener)
        listener.phase(f"{synthesizer.name}: refining", steps)
        results.append(refine(sound, synthesizer, tried[:REFINED], steps, listener))
    return sorted(results, key=lambda result: result.distance)


def refine(
    sound: Sound,
    synthesizer: Synthesizer,
    candidates: Sequence[Candidate],
    steps: int,
    listener: Listener | None = None,
) -> Programmed:
    """Refine candidates by gradient descent: each for a part of the steps, the best one to the end.

    Args:
        sound: to imitate.
        synthesizer: whose patches they are.
        candidates: one or more.
        steps: in all.
        listener: shown the progress.

    Returns:
        The refined patch, or the nearest candidate where that is nearer.

    Raises:
        GraphmixError: there is no candidate.
    """
    listener = listener or Silent()
    if not candidates:
        raise GraphmixError(f"no patch of {synthesizer.name!r} that was tried made a sound; try more candidates.")
    nearest = min(candidates, key=lambda candidate: candidate.distance)
    objective = SoundObjective(sound, Rack.generators(sound.sample_rate))
    first = round(FIRST_SHARE * steps) if len(candidates) > 1 else 0
    started = []
    for candidate in candidates:
        graph = _graph(sound, synthesizer, _audible(candidate.values))
        started.append(_descend(objective, synthesizer, graph, first, listener, 0))
    graph, history = min(started, key=lambda entry: entry[1][-1][1])
    done = first * len(candidates)
    graph, more = _descend(objective, synthesizer, graph, max(0, steps - done), listener, done)
    history = (*history, *((step + first, loss) for step, loss in more[1:]))
    audio, distance = compare(sound, graph, objective.renderer)
    if distance > nearest.distance:  # the loss of the search is another one
        graph = _graph(sound, synthesizer, nearest.values)
        audio, distance = compare(sound, graph, objective.renderer)
    return Programmed(synthesizer.name, graph, audio, distance, nearest.distance, history)


class _Removable(LeaveOneOut):
    """Leave-one-out over some of the nodes."""

    def __init__(self, nodes: Sequence[int]) -> None:
        self.nodes = frozenset(nodes)

    def begin(self, candidates: Sequence[PruningCandidate], round_index: int, seed: int) -> None:
        """Sort those by importance."""
        super().begin([c for c in candidates if c.node in self.nodes], round_index, seed)


def prune_patch(sound: Sound, synthesizer: Synthesizer, graph: MixGraph, tolerance: float = TOLERANCE) -> MixGraph:
    """A patch without the modules that its sound does not need.

    Args:
        sound: that the patch imitates.
        synthesizer: whose patch it is.
        graph: the patch.
        tolerance: by how much the loss may grow with each of them, as in a search.

    Returns:
        The smaller graph, which :meth:`Synthesizer.read` still reads.
    """
    objective = SoundObjective(sound, Rack.generators(sound.sample_rate))
    settings = replace(SETTINGS, steps=0, rounds=1, round_steps=0, policy="leave-one-out", tolerance=tolerance)
    whole = ScoredGraph(graph, objective.evaluate(graph))
    policy = _Removable([i for i, name in enumerate(graph.names) if name in synthesizer.removable])
    search = Search(objective, settings, SearchState(whole, "trials", step=0, best=whole), policy=policy)
    search.begin_pruning()
    return search.run().current.graph


def _descend(
    objective: Objective, synthesizer: Synthesizer, graph: MixGraph, steps: int, listener: Listener, done: int
) -> tuple[MixGraph, tuple[tuple[int, float], ...]]:
    training = Training(objective, graph, replace(SETTINGS, steps=max(1, steps)), 0, steps)
    hold_choices(training.raw, synthesizer)
    history = [(0, float(training.best_loss.total))]
    while not training.done:
        evaluated = training.advance()
        if evaluated is not None:
            history.append((training.step, float(training.best_loss.total)))
        listener.progress(done + training.step, None, loss=training.last_train_loss)
    return training.best_graph, tuple(history)


def hold_choices(raw: RawGraph, synthesizer: Synthesizer) -> None:
    """Keep the choices, the note and the dry/wet weights of a patch as they are: their gradients are set to zero."""
    graph = raw.graph()
    modules = {module.name: module for module in synthesizer.modules}
    for kind, values in raw.params.items():
        mask = torch.ones_like(values)
        for row, node in enumerate(graph.nodes_of(kind).tolist()):
            module = modules.get(graph.names[node])
            if module is None:  # the note
                mask[row] = 0
                continue
            for name in (*module.fixed, *(name for options in module.choices.values() for name in options)):
                mask[row, graph.type_of(node).columns(name)] = 0
        values.register_hook(lambda gradient, mask=mask: gradient * mask)
    raw.weights.register_hook(torch.zeros_like)


def _audible(values: Values) -> dict[str, Value]:
    """The patch with all levels high enough for gradients to find out whether more of a module is wanted."""
    levels = {n: max(float(v), LEAST_LEVEL_DB) for n, v in values.items() if n.endswith(".level_db")}
    return {**values, **levels}


def _graph(sound: Sound, synthesizer: Synthesizer, values: Values) -> MixGraph:
    return synthesizer.patch(values, sound.sample_rate, pitch=sound.pitch, length_ms=sound.length_ms)


def _level(audio: Tensor) -> float:
    return 10 * math.log10(float(audio.square().mean()) + 1e-20)
