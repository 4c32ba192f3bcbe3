"""``graphmix stats``: tables on the terminal, CSV files and pictures in a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table as Grid
from rich.text import Text

from graphmix.cli.terminal import new_console, say, say_notices
from graphmix.evaluation.runs import read_runs
from graphmix.evaluation.statistics import TYPE_ORDER, Table, tables, write_statistics

_LETTERS = dict(zip(TYPE_ORDER, "gsercnd", strict=True))
_NOT_SHOWN = ("runs", "tradeoff")


def run_stats(folders: Sequence[Path], out: Path | None = None, force: bool = False) -> None:
    """``graphmix stats``.

    Args:
        folders: outputs of ``mine`` and ``mine-all``.
        out: where CSV files and pictures go; ``statistics`` in the first folder by default.
        force: replace files of these names in `out` that earlier statistics did not write.

    Raises:
        SearchError: there is no mined song, or ``out`` cannot be made.
        FileError: files in ``out`` would be replaced.
    """
    console = new_console(wide=True)
    runs, notices = read_runs(folders)
    say_notices(console, notices)
    for table in tables(runs):
        if table.name not in _NOT_SHOWN:
            console.print(_as_grid(table))
    out = folders[0] / "statistics" if out is None else out
    written = write_statistics(runs, out, force=force)
    names = ", ".join(path.name for path in written)
    say(console, f"{len(runs)} runs; in {out}/: {names}")


def _as_grid(table: Table) -> Grid:
    if table.name == "sizes":
        table = _joined(table)
    grid = Grid(title=Text(table.title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(table.columns):
        is_number = any(isinstance(row[number], (int, float)) for row in table.rows)
        grid.add_column(_short(heading), justify="right" if is_number else "left", no_wrap=is_number)
    for row in table.rows:
        grid.add_row(*(Text(_cell(value)) for value in row))
    return grid


def _joined(table: Table) -> Table:
    """Mean, least and most in one column."""
    columns = [name for name in table.columns if not name.endswith((" min", " max"))]
    rows = []
    for row in table.rows:
        of = dict(zip(table.columns, row, strict=True))
        joined = [f"{of[name]:.1f} ({of[f'{name} min']}–{of[f'{name} max']})" for name in columns[3:]]
        rows.append((*row[:3], *joined))
    return Table(table.name, "mean (least–most)", tuple(columns), rows)


def _short(heading: str) -> str:
    """ρ of a type by its letter, as in the paper."""
    name = heading.removeprefix("ρ ")
    return f"ρ_{_LETTERS[name]}" if name in _LETTERS else heading


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}".removesuffix(".000") if isinstance(value, float) else str(value)
