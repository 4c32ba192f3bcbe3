"""The benchmarks' results as text and as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Row = Mapping[str, Any]
LABELS = {
    "floor": "floor",
    "graphmix": "graphmix",
    "grafx_exact": "GRAFX, exact",
    "grafx": "GRAFX 0.6",
    "dasp": "dasp-pytorch",
    "torchcomp": "torchcomp",
    "pedalboard": "pedalboard",
}
WORDS = ("graph", "type", "contender", "computes")
COLOURS = {
    "floor": "#b8b8b8",
    "graphmix": "#1f6f8b",
    "grafx_exact": "#e2a24a",
    "grafx": "#b5523b",
    "dasp": "#7a9e4f",
    "torchcomp": "#8d6fb0",
    "pedalboard": "#5b5b5b",
}


def print_steps(rows: Sequence[Row]) -> None:
    """Seconds of step and forward, each with its multiple of the floor, and peak memory."""
    console = Console(width=150)
    for job, suffix in (("training step", "_s"), ("forward without gradients", "_forward_s")):
        table = make_table(job, ("graph", "processors", *(LABELS[name] for name in ("floor", *_names(rows)))))
        for row in rows:
            cells = [_seconds(row, name, suffix) for name in ("floor", *_names(rows))]
            table.add_row(_graph(row), str(row["processors"]), *cells)
        console.print(table)
    table = make_table("peak memory in GB, and what the imports alone take", ("graph", *map(LABELS.get, _names(rows))))
    for row in rows:
        cells = [f"{row[f'{name}_peak_gb']:.2f} ({row[f'{name}_libraries_gb']:.2f})" for name in _names(rows)]
        table.add_row(_graph(row), *cells)
    console.print(table)
    print_conditions(rows[0], console)


def print_growth(rows: Sequence[Row]) -> None:
    """Seconds of a step for each track, and peak memory."""
    console = Console(width=120)
    table = make_table("training step", ("graph", "processors", "s / step", "ms / track", "ms / chain", "peak GB"))
    for row in rows:
        seconds, tracks = row["graphmix_s"], row["tracks"]
        table.add_row(
            _graph(row),
            str(row["processors"]),
            escape(f"{seconds:.3f} [{row['graphmix_s_min']:.3f}, {row['graphmix_s_max']:.3f}]"),
            f"{1000 * seconds / tracks:.1f}",
            f"{1000 * seconds / (tracks + row['subgroups']):.1f}",
            f"{row['graphmix_peak_gb']:.2f}",
        )
    console.print(table)
    print_conditions(rows[0], console)


def print_processors(result: Row) -> None:
    """For each type and contender: seconds, how many times ours, and what it computes."""
    console = Console(width=140)
    columns = ("type", "contender", "forward, ms", "× ours", "with backward, ms", "× ours", "computes")
    table = make_table(f"{result['nodes']} nodes, 3.8 s of stereo at 30 kHz", columns)
    for kind, contenders in result["types"].items():
        for name, own in contenders.items():
            cells = []
            for job in ("forward", "both"):
                cells += _milliseconds(own, contenders["graphmix"], job)
            table.add_row(kind if name == "graphmix" else "", LABELS[name], *cells, own["note"])
        table.add_section()
    console.print(table)
    example = next(iter(result["types"].values()))["graphmix"]["forward"]
    print_conditions({**result, "repeats": example["repeats"]}, console)


def _milliseconds(own: Row, ours: Row, job: str) -> tuple[str, str]:
    if job not in own:
        return "–", "–"
    numbers = own[job]
    text = f"{1000 * numbers['median']:.1f} [{1000 * numbers['min']:.1f}, {1000 * numbers['max']:.1f}]"
    if numbers["repeats"] == 1:
        text = f"{1000 * numbers['median']:.0f}, once"
    same_work = own["nodes"] == ours["nodes"]
    return escape(text), f"{numbers['median'] / ours[job]['median']:.1f}" if same_work else "–"


def save_processors(result: Row, path: Path) -> None:
    """Bars of seconds for each type, forward and with backward side by side."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    types = list(result["types"])
    names = [name for name in LABELS if any(name in own for own in result["types"].values())]
    bars = sum(len(own) + 1 for own in result["types"].values())
    figure, both = plt.subplots(1, 2, figsize=(12, 1.5 + 0.18 * bars), layout="constrained")
    for axes, job, title in zip(both, ("forward", "both"), ("forward", "forward and backward"), strict=True):
        seconds = {
            name: [own.get(name, {}).get(job, {}).get("median") for own in result["types"].values()] for name in names
        }
        draw_bars(axes, types, seconds)
        axes.set_title(f"{title}, {result['nodes']} nodes, {_threads(result)}")
    add_legend(figure, names)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def print_conditions(row: Row, console: Console) -> None:
    """Under what the numbers were measured."""
    packages = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
    text = f"Medians of {row['repeats']} [min, max]; {_threads(row)}; {row['cpu']}; {packages}."
    console.print(text, markup=False, highlight=False)


def make_table(title: str, columns: Sequence[str]) -> Table:
    """An empty table whose numbers stand to the right."""
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="left" if column in WORDS else "right")
    return table


def save_steps(rows: Sequence[Row], path: Path) -> None:
    """Bars of seconds for each graph, step and forward side by side, with multiples of the floor."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    names = [name for name in ("floor", *_names(rows)) if f"{name}_s" in rows[0]]
    figure, both = plt.subplots(
        1, 2, figsize=(12, 1.5 + 0.2 * (len(names) + 1) * len(rows)), sharey=True, layout="constrained"
    )
    for axes, job, suffix in zip(
        both, ("training step", "forward without gradients"), ("_s", "_forward_s"), strict=True
    ):
        draw_bars(axes, [_graph(row) for row in rows], {n: [row[n + suffix] for row in rows] for n in names})
        axes.set_title(f"{job}, {_threads(rows[0])}")
    add_legend(figure, names)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_bars(axes: Any, groups: Sequence[str], seconds: Mapping[str, Sequence[float | None]]) -> None:
    """Horizontal bars on a logarithmic axis, in groups, the first group on top; a missing number leaves no gap."""
    place, ticks = 0.0, []
    for group in range(len(groups)):
        present = [(name, values[group]) for name, values in seconds.items() if values[group]]
        floor = dict(present).get("floor")
        ticks.append(place + (len(present) - 1) / 2)
        for name, value in present:
            axes.barh(place, value, 0.95, color=COLOURS[name])
            times = f"  ×{value / floor:.1f}" if floor and name != "floor" else ""
            text = f" {value:.2f} s" if value >= 1 else f" {1000 * value:.3g} ms"
            axes.text(value, place, text + times, va="center", fontsize=7)
            place += 1
        place += 1
    axes.set_yticks(ticks, groups)
    axes.set_ylim(place - 0.5, -1)
    axes.set_xscale("log")
    axes.set_xlabel("seconds; × multiple of the floor" if "floor" in seconds else "seconds")
    shortest, longest = (end(v for values in seconds.values() for v in values if v) for end in (min, max))
    axes.set_xlim(shortest / 2, longest * 6)


def add_legend(figure: Any, names: Sequence[str]) -> None:
    """Which colour is who, below everything."""
    from matplotlib.patches import Patch

    handles = [Patch(color=COLOURS[name], label=LABELS[name]) for name in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(names), frameon=False)


def _names(rows: Sequence[Row]) -> list[str]:
    return [name for name in ("graphmix", "grafx_exact", "grafx") if f"{name}_s" in rows[0]]


def _graph(row: Row) -> str:
    return f"{row['graph']} ({row['tracks']}, {row['subgroups']})"


def _seconds(row: Row, name: str, suffix: str) -> str:
    seconds, key = row[name + suffix], name + suffix
    text = escape(f"{seconds:.3f} [{row[key + '_min']:.3f}, {row[key + '_max']:.3f}]")
    if name == "floor":
        return text
    own = row["graphmix" + suffix]
    against = f", {seconds / own:.1f} × ours" if name != "graphmix" else ""
    return f"{text}\n{seconds / row['floor' + suffix]:.2f} × floor{against}"


def _threads(row: Row) -> str:
    return "1 thread" if row["threads"] == 1 else f"{row['threads']} threads"
