"""Sessions rendered by Ardour's command line, where it is installed."""

from pathlib import Path

import numpy as np
import pytest

from graphmix.sessions.headless import find_ardour, render_ardour, shifted_by_latency

needs_ardour = pytest.mark.skipif(
    find_ardour() is None, reason="needs Debian's package ardour, which renders the session"
)


def render(folder: Path) -> np.ndarray:
    """What Ardour plays over the range of a session of seconds, [2, samples]."""
    return render_ardour(folder, seconds=5)


def error_db(rendered: np.ndarray, expected: np.ndarray) -> float:
    """RMS of the difference in dB re the RMS of what is expected, at the better of the export's two latencies."""
    assert rendered.shape == expected.shape
    got, wanted = shifted_by_latency(rendered, expected)
    return float(10 * np.log10(np.mean((got - wanted) ** 2) / np.mean(expected**2)))
