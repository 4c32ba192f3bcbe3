"""The losses of a search over the whole song, where it evaluated only some of its segments.

The result is evaluated on all segments, so that its loss is known, and with it whether a baseline is better, which was
evaluated on all from the beginning. The loss of the fitted console, which has many more processors, is estimated from
the segments of the search and from that of the result on all.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from graphmix.search.chosen_segments import Estimate, estimate_whole
from graphmix.search.objective import Objective, mean_terms
from graphmix.search.search_state import ScoredGraph, SearchState


@dataclass(frozen=True)
class Sampled:
    """What was evaluated on some of the segments.

    Args:
        segments: how many.
        of: how many the song has.
        console: loss of the fitted console over the song.
        searched: loss of the result on these segments, as the search knew it.
    """

    segments: int
    of: int
    console: Estimate
    searched: float

    def describe(self) -> dict[str, float | None]:
        """For ``metrics.json``, where too few segments give no confidence: null."""
        within = self.console.within
        return {
            "segments": self.segments,
            "of": self.of,
            "audio_loss_of_segments": round(self.searched, 6),
            "console_loss_within": round(within, 6) if math.isfinite(within) else None,
        }


def score_whole(objective: Objective, state: SearchState) -> Sampled | None:
    """Replace the loss of a search's result by that over the whole song; None where that is known already.

    Args:
        objective: of the search.
        state: of the search at its end.
    """
    if not objective.is_sampled:
        return None
    assert state.console is not None, "the console was fitted"
    losses = objective.evaluate_each([state.current.graph], objective.segments)[0]
    places, evaluated = objective.places(objective.evaluated), objective.evaluated
    console = objective.evaluate_each([state.console.graph], evaluated)[0]
    weights, everywhere = ([float(s.weight) for s in segments] for segments in (evaluated, objective.segments))
    every = _totals(losses)
    estimate = estimate_whole(_totals(console), weights, [every[i] for i in places], every, everywhere)
    searched = float(mean_terms(losses[places], evaluated).total)
    state.current = ScoredGraph(state.current.graph, mean_terms(losses, objective.segments))
    return Sampled(len(evaluated), len(objective.segments), estimate, searched)


def _totals(losses: Tensor) -> list[float]:
    return losses[:, 0].tolist()
