"""Sessions rendered by the real Ardour, without a display or a sound card, where it is installed."""

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from numpy.typing import NDArray

from graphmix.errors import FileError

MISSING = "Ardour's command ardour7-export is not installed: install Debian's package ardour."
RESAMPLER_SAMPLES = 16
"""Under load the export takes this latency of Ardour's ports into account at times and at times not: all of the mix
then begins so much earlier, with the same content."""
COMMANDS = ("ardour8-export", "ardour7-export")
ATTEMPTS = 3
"""Ardour's export hangs at times while it starts or ends (seen with 7.3 on a busy machine): it is then tried again."""
START_SECONDS, SECONDS_PER_SECOND = 60.0, 3.0
"""How long a try may take, and for each second of the session more than that."""


def find_ardour() -> str | None:
    """Ardour's command for rendering; None where it is not installed."""
    return next(filter(None, map(shutil.which, COMMANDS)), None)


def render_ardour(folder: Path, name: str | None = None, seconds: float = 60.0) -> NDArray[np.float64]:
    """What Ardour plays over the range of a session, [2, samples].

    Args:
        folder: of the session.
        name: of the session; that of its folder by default.
        seconds: its length, which says how long Ardour may take.

    Raises:
        FileError: Ardour is not installed, or renders nothing.
    """
    command = find_ardour()
    if command is None:
        raise FileError(MISSING)
    name = name or folder.resolve().name
    said = ""
    for _ in range(ATTEMPTS):
        with TemporaryDirectory() as scratch:
            output = Path(scratch) / "mix.wav"
            arguments = [command, "-b", "float", "-o", str(output), str(folder), name]
            try:
                limit = START_SECONDS + SECONDS_PER_SECOND * seconds
                done = subprocess.run(arguments, capture_output=True, text=True, timeout=limit, check=False)
            except subprocess.TimeoutExpired:
                said = f"it took longer than {limit:.0f} s"
                continue
            said = (done.stdout + done.stderr).strip()[-500:]
            if output.is_file():
                return soundfile.read(output, always_2d=True)[0].T.copy()
    raise FileError(f"Ardour does not render {folder}: {said or 'it says nothing'}.")


def shifted_by_latency(
    rendered: NDArray[np.float64], expected: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both at the better of the export's two latencies, [2, samples] of one length each."""
    length = min(rendered.shape[1], expected.shape[1])
    pairs = [(rendered[:, : length - lag], expected[:, lag:length]) for lag in (0, RESAMPLER_SAMPLES)]
    return min(pairs, key=lambda pair: float(np.mean((pair[0] - pair[1]) ** 2)))
