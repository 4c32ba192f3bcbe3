"""The benchmarks' results as text and as a picture, and their logs."""

import json
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
WORDS = ("graph", "type", "contender", "computes", "work", "round", "until")
COLOURS = {
    "floor": "#b8b8b8",
    "graphmix": "#1f6f8b",
    "grafx_exact": "#e2a24a",
    "grafx": "#b5523b",
    "dasp": "#7a9e4f",
    "torchcomp": "#8d6fb0",
    "pedalboard": "#5b5b5b",
}


def read_log(path: Path | None) -> list[dict[str, Any]]:
    """The lines of a log of JSON: none where there is no log, and without a last line that was cut off by a kill.

    Logs of older versions call a history "course".
    """
    if path is None or not path.exists():
        return []
    rows = []
    for text in path.read_text().splitlines():
        try:
            row = json.loads(text)
        except ValueError:
            continue
        if "course" in row:
            row["history"] = row.pop("course")
        rows.append(row)
    return rows


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
    plt = _pyplot()
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


def print_trials(result: Row) -> None:
    """Passes and leave-one-out losses, then the rounds beside brute force by full renders."""
    console = Console(width=150)
    size = f"{result['song']} ({result['tracks']}, {result['subgroups']}), {result['processors']} processors"
    segments = f"{result['segments']} of {result['of_segments']} segments"
    table = make_table(f"{size}, {segments}", ("work", "s", "full passes as before", "full passes as now"))
    works = {"fresh": "full pass as before", "pass": "full pass as now", "leave-one-out": "all leave-one-out losses"}
    for job, label in works.items():
        own = result[job]
        text = escape(f"{own['median']:.3f} [{own['min']:.3f}, {own['max']:.3f}]")
        table.add_row(label, text, *(f"{own['median'] / result[other]['median']:.1f}" for other in ("fresh", "pass")))
    console.print(table)
    columns = ("round", "s", "begin", "end", "× faster", "trials", "segments", "put back", "ρ", "L_a trials", "L_a")
    table = make_table(f"one pruning round, τ = {result['tolerance']}, each a single run", columns)
    fitted = result["console"]
    table.add_row("(fitted console)", *[""] * 7, "0", f"{fitted['L_a_trials']:.4f}", f"{fitted['L_a']:.4f}")
    for label, own in result["rounds"].items():
        faster = f"{own['times_faster']:.1f}" if "times_faster" in own else "–"
        seconds = [f"{own[key]:.1f}" for key in ("seconds", "begin_s", "restore_s")]
        counts = [str(own[key]) for key in ("trials", "segments_rendered", "restored")]
        losses = [f"{own[key]:.4f}" for key in ("L_a_trials", "L_a")]
        table.add_row(label, *seconds, faster, *counts, f"{own['rho']:.3f}", *losses)
    console.print(table)
    print_conditions(result, console)


def save_trials(result: Row, path: Path) -> None:
    """Bars of seconds for each round, with what it came to."""
    plt = _pyplot()
    rounds = result["rounds"]
    labels = [f"{label}\nρ {own['rho']:.2f}, L_a {own['L_a']:.4f}" for label, own in rounds.items()]
    figure, axes = plt.subplots(figsize=(9, 1.5 + 0.5 * len(rounds)), layout="constrained")
    draw_bars(axes, labels, {"graphmix": [own["seconds"] for own in rounds.values()]})
    axes.set_title(f"one pruning round, {result['song']}, {result['processors']} processors, {_threads(result)}")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def print_mining(result: Row) -> None:
    """Where the recipe ends, and when graphmix is there."""
    console = Console(width=130)
    size = f"{result['song']} ({result['tracks']}, {result['subgroups']}), {result['processors']} processors"
    columns = ("contender", "until", "steps", "trials", "s", "× faster", "L_a", "ρ", "peak GB")
    table = make_table(f"mining {size}", columns)
    for name, own in _miners(result):
        until = "its end" if own is result["grafx_exact"] else "target met" if own["reached"] else "end: NOT met"
        faster = f"{own['times_faster']:.1f}" if own.get("times_faster") else "–"
        numbers = [f"{own['seconds']:.1f}", faster, f"{own['L_a']:.4f}", f"{own['rho']:.3f}", f"{own['peak_gb']:.2f}"]
        table.add_row(name, until, str(own["step"]), str(own["trials"]), *numbers)
    console.print(table)
    settings = result["grafx_exact"]["settings"]
    budget = f"{settings['steps']} steps, then pruning and {settings['round_steps']} steps {settings['rounds']} times"
    console.print(f"The recipe is scaled down: {budget}.", highlight=False)
    print_conditions(result, console)


def save_mining(result: Row, path: Path) -> None:
    """L_a and pruning ratio against seconds; dotted is the target."""
    plt = _pyplot()
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 7), sharex=True, layout="constrained")
    for name, own in _miners(result):
        seconds = [point["seconds"] for point in own["history"]]
        for axes, key in ((above, "L_a"), (below, "rho")):
            axes.step(seconds, [point[key] for point in own["history"]], ".-", where="post", label=name)
    for axes, key, label in ((above, "L_a", "L_a over the song"), (below, "rho", "pruning ratio")):
        axes.axhline(result["target"][key], color="#b8b8b8", linestyle=":")
        axes.set_ylabel(label)
    above.set_title(f"mining {result['song']}, {_threads(result)}")
    above.legend(frameon=False)
    below.set_xscale("log")
    below.set_xlabel("seconds")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _miners(result: Row) -> list[tuple[str, Row]]:
    """The recipe, then graphmix by policy."""
    own = [(f"graphmix, {policy}", numbers) for policy, numbers in result["graphmix"].items()]
    return [("the paper's recipe on GRAFX, exact", result["grafx_exact"]), *own]


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    return plt


def print_conditions(row: Row, console: Console) -> None:
    """Under what the numbers were measured."""
    packages = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
    runs = "Single runs" if row["repeats"] == 1 else f"Medians of {row['repeats']} [min, max]"
    text = f"{runs}; {_threads(row)}; {row['cpu']}; {packages}."
    console.print(text, markup=False, highlight=False)


def make_table(title: str, columns: Sequence[str]) -> Table:
    """An empty table whose numbers stand to the right."""
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="left" if column in WORDS else "right")
    return table


def save_steps(rows: Sequence[Row], path: Path) -> None:
    """Bars of seconds for each graph, step and forward side by side, with multiples of the floor."""
    plt = _pyplot()
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
