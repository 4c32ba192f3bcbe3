"""Sessions rendered by Ardour's command line, where it is installed."""

from pathlib import Path

import numpy as np
import pytest

from graphmix.sessions.headless import find_ardour, render_ardour

CONVOLVER = any(
    (Path(folder) / "zeroconvo.lv2").is_dir() for folder in ("/usr/lib/lv2", "/usr/lib/x86_64-linux-gnu/lv2")
)
needs_ardour = pytest.mark.skipif(
    find_ardour() is None or not CONVOLVER, reason="needs Debian's ardour and x42-plugins, which render the session"
)
RESAMPLER_SAMPLES = 16
"""Under load the export takes this latency of Ardour's ports into account at times and at times not: all of the mix
then begins so much earlier, with the same content."""


def render(folder: Path) -> np.ndarray:
    """What Ardour plays over the range of a session of seconds, [2, samples]."""
    return render_ardour(folder, seconds=5)


def error_db(rendered: np.ndarray, expected: np.ndarray) -> float:
    """RMS of the difference in dB re the RMS of what is expected, at the better of the export's two latencies."""
    length = expected.shape[1]
    assert rendered.shape == expected.shape
    errors = []
    for lag in (0, RESAMPLER_SAMPLES):
        difference = rendered[:, : length - lag] - expected[:, lag:]
        errors.append(np.sqrt(np.mean(difference**2) / np.mean(expected**2)))
    return float(20 * np.log10(min(errors)))
