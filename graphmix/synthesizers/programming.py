"""From a sound to a patch: candidates, the nearest of them refined by trials and gradient descent, pruning.

A candidate is a random patch of :mod:`graphmix.synthesizers.presets`, or one of a collection, played at the sound's
pitch and level; :mod:`graphmix.synthesizers.refinement` goes on from the nearest ones. Pruning is the search's own:
modules go without which the sound is as near (:class:`graphmix.search.pruning.Search`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from graphmix.audio.files import AudioInfo
from graphmix.audio.segments import evaluation_segments
from graphmix.audio.song import Song
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.progress import Listener, Silent
from graphmix.search.objective import Objective
from graphmix.search.policies import Candidate as PruningCandidate
from graphmix.search.policies import LeaveOneOut
from graphmix.search.pruning import Search
from graphmix.search.search_state import ScoredGraph, SearchState
from graphmix.search.settings import SearchSettings
from graphmix.synthesizers.candidates import Candidate, Values, compare, note_graph, random_patches, try_patches
from graphmix.synthesizers.instruments import SYNTHESIZERS
from graphmix.synthesizers.modules import Value
from graphmix.synthesizers.refinement import Refinement
from graphmix.synthesizers.sounds import Sound
from graphmix.synthesizers.synthesizer import Synthesizer

TOLERANCE = 0.003
GIVEN_UP = 1.5
"""A synthesizer that is so many times as far as the nearest one after the first stage is not refined further."""
SETTINGS = SearchSettings(steps=200, rounds=0, own_rates=False, gain_staging=0.0)
Saved = Callable[[Mapping[str, Any]], None]
"""Given the states of all synthesizers by name, from which :func:`program` resumes."""


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
class Programmed:
    """A patch for a sound.

    Args:
        synthesizer: its name.
        graph: the patch, with its note.
        audio: what it sounds like, [samples].
        distance: log-spectral distance from the sound, in dB.
        proposed: the same of the candidate that it comes from.
        history: (step, distance) of the refinement.
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


def program(
    sound: Sound,
    synthesizers: Sequence[Synthesizer],
    *,
    candidates: int = 200,
    steps: int = 200,
    seed: int = 0,
    proposals: Mapping[str, Sequence[Values]] | None = None,
    listener: Listener | None = None,
    resume: Mapping[str, Any] | None = None,
    on_save: Saved | None = None,
) -> list[Programmed]:
    """Find a patch of each synthesizer for a sound; the nearest one first.

    Of several synthesizers only those go through all steps that are near after the first stage of the refinement.

    Args:
        sound: to imitate.
        synthesizers: which may do it.
        candidates: random patches that each of them tries.
        steps: of the refinement.
        seed: of the candidates and the trials.
        proposals: name of a synthesizer -> patches that a model proposes, more candidates.
        listener: shown the progress.
        resume: what ``on_save`` was given by a call with the same arguments.
        on_save: given states from which a later call resumes.
    """
    listener = listener or Silent()
    states: dict[str, Any] = dict(resume or {})
    refinements = []
    for synthesizer in synthesizers:
        known = states.get(synthesizer.name)
        tried = [Candidate(synthesizer.name, {}, 0.0)]  # replaced by what is restored
        if known is None:
            patches: list[Values] = [*random_patches(synthesizer, candidates, seed)]
            patches += (proposals or {}).get(synthesizer.name, ())
            listener.phase(f"{synthesizer.name}: candidates", len(patches))
            tried = try_patches(sound, synthesizer, patches, listener)
        refinement = Refinement(sound, synthesizer, tried, steps, seed=seed, listener=listener)
        if known is not None:
            refinement.restore(known)
        refinements.append(refinement)

    def go_on(refinement: Refinement, until: int) -> None:
        def keep() -> None:
            states[refinement.synthesizer.name] = refinement.state()
            if on_save is not None:
                on_save(states)

        listener.phase(f"{refinement.synthesizer.name}: refining", steps, refinement.step)
        refinement.run(until, keep)

    for refinement in refinements:
        go_on(refinement, 1)
    nearest = min(refinement.after[0] for refinement in refinements)
    for refinement in refinements:
        if refinement.after[0] <= GIVEN_UP * nearest:
            go_on(refinement, len(refinement.stages))
    return sorted((_programmed(refinement) for refinement in refinements), key=lambda result: result.distance)


def refine(
    sound: Sound,
    synthesizer: Synthesizer,
    candidates: Sequence[Candidate],
    steps: int,
    listener: Listener | None = None,
    *,
    seed: int = 0,
    trials: bool = True,
) -> Programmed:
    """Refine the nearest of the candidates; see :mod:`graphmix.synthesizers.refinement`.

    Args:
        sound: to imitate.
        synthesizer: whose patches they are.
        candidates: one or more.
        steps: in all.
        listener: shown the progress.
        seed: of the trials.
        trials: False for gradient descent alone, which leaves choices as they are.

    Returns:
        The refined patch, never farther than the nearest candidate.

    Raises:
        GraphmixError: there is no candidate.
    """
    refinement = Refinement(sound, synthesizer, candidates, steps, seed=seed, trials=trials, listener=listener)
    refinement.run()
    return _programmed(refinement)


def _programmed(refinement: Refinement) -> Programmed:
    sound, synthesizer, best = refinement.sound, refinement.synthesizer, refinement.best
    graph = note_graph(sound, synthesizer, best.values)
    audio, distance = compare(sound, graph, refinement.renderer)
    return Programmed(synthesizer.name, graph, audio, distance, refinement.proposed, tuple(refinement.history))


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
