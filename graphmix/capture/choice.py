"""Which network to train: the one that follows the device best after a few steps.

An impulse response is solved, and grey boxes begin with what can be solved and tried
(:mod:`graphmix.capture.grey_box_start`), so that a short trial says which of them suits a device. Their starting points
alone do not: of an overdrive the best filter is closer to it than an untrained grey box.
"""

import math
from collections.abc import Mapping, Sequence

from graphmix.capture.fit import FitState, fit_effect
from graphmix.capture.recording import Recording
from graphmix.capture.settings import CaptureSettings
from graphmix.progress import Listener, Silent

TRIAL_STEPS = 200
"""Of the optimizer; some seconds."""
ENOUGH = 1e-3
"""An error-to-signal ratio at which no further network is tried."""


class _Trial(Silent):
    """Shows the steps of a trial as a phase of their own."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def progress(self, done: int, total: int | None = None, **numbers: float) -> None:
        """As it comes."""
        self.listener.progress(done, total, **numbers)


def choose_network(
    recordings: Sequence[Recording],
    candidates: Mapping[str, CaptureSettings],
    names: Sequence[str] = (),
    *,
    listener: Listener | None = None,
) -> tuple[FitState, dict[str, float]]:
    """Try several networks, one after the other until one is good enough.

    Args:
        recordings: aligned; all at one rate.
        candidates: settings of each network, by name.
        names: of the device's controls.
        listener: shown the progress.

    Returns:
        The state of the best, with its name, from which :func:`~graphmix.capture.fit.fit_effect` goes on with its
        settings; and the error-to-signal ratio of each that was tried, on audio that training does not use.

    Raises:
        CaptureError: recordings that are too short.
    """
    listener = listener or Silent()
    state, errors = FitState(), dict[str, float]()
    for name, settings in candidates.items():
        steps = min(TRIAL_STEPS, settings.steps)
        listener.phase(f"trying {name}", steps)
        tried = fit_effect(recordings, settings, names, listener=_Trial(listener), pause=steps).state
        if not errors or tried.best < min(errors.values(), default=math.inf):
            state = tried
            state.chosen = name
        errors[name] = tried.best
        if tried.best <= ENOUGH:
            break
    return state, errors
