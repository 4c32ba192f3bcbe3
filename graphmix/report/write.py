"""The page of a run: which kind of run a folder holds, and the file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from graphmix.errors import FileError, GraphmixError
from graphmix.io import read_json, write_atomically
from graphmix.processors.base import Processor
from graphmix.progress import Listener, Silent
from graphmix.report.page import Content, Limits, build

REPORT = "report.html"
_METRICS, _SEPARATION = "metrics.json", "separation.json"


def find_run(folder: str | Path) -> Path:
    """The folder of a run: the given one, or ``mined`` in the folder of a demo.

    Raises:
        GraphmixError: it holds no finished run.
    """
    folder = Path(folder)
    for path in (folder, folder / "mined"):
        if (path / _METRICS).is_file() or (path / _SEPARATION).is_file():
            return path
    raise GraphmixError(
        f"{folder} holds no finished run of mine, predict, program, capture or separate: {_METRICS} is missing."
    )


def write_report(
    run: str | Path,
    out: str | Path | None = None,
    *,
    limits: Limits | None = None,
    song: str | Path | None = None,
    effects: Sequence[Processor] = (),
    listener: Listener | None = None,
) -> Path:
    """Write the page of a finished run, and return its path.

    Args:
        run: its folder.
        out: the file; ``report.html`` in the folder by default.
        limits: how large it may become.
        song: folder of the song, if its files are not where they were.
        effects: captured effects and plugins of the graph.
        listener: shown the progress.

    Raises:
        GraphmixError: no finished run, or a file that cannot be written.
    """
    folder, limits, listener = find_run(run), limits or Limits(), listener or Silent()
    path = Path(run) / REPORT if out is None else Path(out)
    if not path.absolute().parent.is_dir():
        raise FileError(f"{path}: there is no folder {path.absolute().parent}; make it first.")
    content = describe_run(folder, limits, listener, None if song is None else Path(song), effects)
    listener.phase("report: writing", None)
    write_atomically(path, build(content, limits).encode())
    return path


def describe_run(
    folder: Path, limits: Limits, listener: Listener, song: Path | None = None, effects: Sequence[Processor] = ()
) -> Content:
    """What the page of a finished run shows, by what its folder holds.

    Raises:
        GraphmixError: none of the kinds that are known.
    """
    if (folder / _SEPARATION).is_file():
        from graphmix.report.separated import describe_separated

        return describe_separated(folder, limits, listener)
    metrics = read_json(folder / _METRICS)
    kind = _kind_of(metrics)
    if kind == "mined":
        from graphmix.report.mined import describe_mined

        return describe_mined(folder, limits, listener, song=song, effects=effects)
    if kind == "predicted":
        from graphmix.report.predicted import describe_predicted

        return describe_predicted(folder, limits, listener, song=song)
    if kind == "programmed":
        from graphmix.report.programmed import describe_programmed

        return describe_programmed(folder, limits, listener, sound=song)
    from graphmix.report.captured import describe_captured

    return describe_captured(folder, limits, listener)


_KEYS: dict[str, set[str]] = {
    "mined": {"audio_loss", "baselines"},
    "predicted": {"song", "model", "config", "tracks"},
    "programmed": {"synthesizer", "distance_db"},
    "captured": {"model", "esr", "grade"},
}
"""By which ``metrics.json`` is known."""


def _kind_of(metrics: Any) -> str:
    keys = {"simple_answers": "baselines"}
    found = {keys.get(key, key) for key in metrics} if isinstance(metrics, dict) else set()
    for kind, needed in _KEYS.items():
        if needed <= found:
            return kind
    raise GraphmixError(f"its {_METRICS} is none of mine, predict, program or capture.")


def try_report(
    run: str | Path, say: Callable[[str], None], *, effects: Sequence[Processor] = (), listener: Listener | None = None
) -> None:
    """Write the page of a run that has just ended; what goes wrong is said, and loses nothing of the run.

    Args:
        run: its folder.
        say: given a sentence.
        effects: captured effects and plugins of the graph.
        listener: shown the progress.
    """
    try:
        path = write_report(run, effects=effects, listener=listener)
    except Exception as error:  # whatever it is: the run is done, and its files are there
        reason = " ".join(str(error).split()) or type(error).__name__
        say(f"note: the run is complete, but its {REPORT} could not be written: {reason}")
        return
    say(f"listen and look: {path}")
