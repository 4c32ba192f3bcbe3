"""Sessions rendered by the real Ardour, without a display or a sound card, where it is installed."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from threading import Thread
from time import monotonic, sleep

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
SETTLE_SECONDS, POLL_SECONDS = 1.0, 0.1
"""How long Ardour waits with a loaded session before it exports, and how often that is looked at."""


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
            limit = START_SECONDS + SECONDS_PER_SECOND * seconds
            try:
                said = run_when_settled(arguments, limit).strip()[-500:]
            except subprocess.TimeoutExpired:
                said = f"it took longer than {limit:.0f} s"
                continue
            if output.is_file():
                return soundfile.read(output, always_2d=True)[0].T.copy()
    raise FileError(f"Ardour does not render {folder}: {said or 'it says nothing'}.")


def run_when_settled(arguments: Sequence[str], limit: float) -> str:
    """Run Ardour's export, held for a moment before it begins; returns what it says.

    Ardour 7.3 loads the session and exports at once, while its engine's thread may still have to work out the latencies
    of routes and ports; on a busy machine it exports with those of before, and tracks are shifted against each other.
    Between the two it prints a line, so here its output is a pipe that is full until it has waited there.

    Args:
        arguments: the command, as for :func:`subprocess.run`.
        limit: seconds.

    Raises:
        subprocess.TimeoutExpired: it takes longer.
    """
    output, end = os.pipe()
    filled = _fill(end)
    with (
        os.fdopen(output, "rb") as pipe,
        TemporaryFile() as errors,
        subprocess.Popen(arguments, stdout=end, stderr=errors) as process,
    ):
        os.close(end)
        begin, said = monotonic(), [b""]
        while process.poll() is None and monotonic() - begin < limit and not _rests(process.pid):
            pass
        reader = Thread(target=lambda: said.append(pipe.read()), daemon=True)
        reader.start()
        try:
            process.wait(max(POLL_SECONDS, begin + limit - monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            reader.join(SETTLE_SECONDS)
        errors.seek(0)
        return (said[-1][filled:] + errors.read()).decode(errors="replace")


def _fill(end: int) -> int:
    """Fill a pipe; returns the number of bytes."""
    os.set_blocking(end, False)
    filled = 0
    try:
        while True:
            filled += os.write(end, bytes(4096))
    except BlockingIOError:
        os.set_blocking(end, True)
    return filled


def _rests(process: int) -> bool:
    """Whether the first thread of a process does nothing for a moment; True at once where that cannot be seen."""
    begin, before = monotonic(), None
    while monotonic() - begin < SETTLE_SECONDS:
        try:
            fields = Path(f"/proc/{process}/task/{process}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return True
        state, used = fields[0], fields[11:13]
        sleep(POLL_SECONDS)
        if state != "S" or before not in (None, used):
            return False
        before = used
    return True


def shifted_by_latency(
    rendered: NDArray[np.float64], expected: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both at the better of the export's two latencies, [2, samples] of one length each."""
    length = min(rendered.shape[1], expected.shape[1])
    pairs = [(rendered[:, : length - lag], expected[:, lag:length]) for lag in (0, RESAMPLER_SAMPLES)]
    return min(pairs, key=lambda pair: float(np.mean((pair[0] - pair[1]) ** 2)))
