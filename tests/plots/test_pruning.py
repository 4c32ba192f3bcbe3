import math
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from graphmix.errors import GraphmixError
from graphmix.plots import color_of, plot_pruning, save
from graphmix.plots.pruning import plot_histories

TRACE: list[dict[str, Any]] = [
    {"event": "train", "step": 0, "loss": 1.0, "wet": {"gain": 0.5, "reverb": 0.5}},
    {"event": "train", "step": 100, "loss": 0.6, "wet": {"gain": 0.7, "reverb": 0.2}},
    {"event": "evaluate", "step": 100, "loss": 0.55},
    {
        "event": "trial",
        "round": 0,
        "step": 100,
        "candidates": ["reverb 3"],
        "type": "reverb",
        "loss_before": 0.55,
        "loss_after": 0.56,
        "kept": True,
        "seconds": 0.1,
    },
    {
        "event": "round",
        "round": 0,
        "step": 100,
        "ratio": {"gain": 0.0, "reverb": 0.5, "all": 0.25},
        "loss": 0.56,
        "processors": 3,
    },
    {"event": "train", "step": 150, "loss": 0.5, "wet": {"gain": 0.7, "reverb": None}},
    {
        "event": "round",
        "round": 1,
        "step": 150,
        "ratio": {"gain": 0.5, "reverb": 1.0, "all": 0.75},
        "loss": 0.57,
        "processors": 1,
    },
    {"event": "train", "step": 200, "loss": 0.49},
    {"event": "saved", "path": "somewhere"},
]

SHORT = [
    {"event": "train", "step": 0, "loss": 1.0, "wet": {"gain": 1.0, "equalizer": 0.5}},
    {"event": "trial", "step": 100, "round": 1},
    {"event": "round", "step": 100, "round": 1, "ratio": {"gain": 0.0, "equalizer": 0.5, "all": 0.25}, "loss": 0.5},
    {"event": "train", "step": 150, "loss": 0.5, "wet": {"gain": 0.8, "equalizer": None}},
]
TYPES = ["gain", "equalizer"]


def lines(figure: Figure, panel: int) -> dict[str, Any]:
    return {line.get_gid(): line for line in figure.axes[panel].lines}


def test_ratios_hold_from_round_to_round_and_start_at_zero() -> None:
    ratio = lines(plot_pruning(TRACE), 0)
    assert set(ratio) == {"type-gain", "type-reverb", "all"}
    assert ratio["all"].get_xdata() == pytest.approx([0, 100, 150, 200])
    assert ratio["all"].get_ydata() == pytest.approx([0, 0.25, 0.75, 0.75])
    assert ratio["all"].get_drawstyle() == "steps-post"


def test_weights_are_drawn_by_type_while_there_are_any() -> None:
    weights = lines(plot_pruning(TRACE), 1)
    assert weights["type-gain"].get_ydata() == pytest.approx([0.5, 0.7, 0.7])
    assert weights["type-reverb"].get_ydata() == pytest.approx([0.5, 0.2])
    assert to_hex(weights["type-gain"].get_color()) == color_of("g")


def test_losses_of_training_evaluation_and_rounds_are_drawn() -> None:
    losses = lines(plot_pruning(TRACE), 2)
    assert losses["train"].get_ydata() == pytest.approx([1.0, 0.6, 0.5, 0.49])
    assert losses["evaluate"].get_ydata() == pytest.approx([0.55])
    assert losses["round"].get_xdata() == pytest.approx([100, 150])


def test_pruning_phases_are_yellow_in_every_panel() -> None:
    second = [{**record, "step": record["step"] + 200} for record in TRACE if record["event"] in ("trial", "round")]
    for trace, expected in ((TRACE, [(100, 150)]), ([*TRACE, *second], [(100, 150), (300, 350)])):
        for axes in plot_pruning(trace).axes:
            spans = [patch for patch in axes.patches if patch.get_gid() == "pruning-phase"]
            assert [(p.get_x(), p.get_x() + p.get_width()) for p in spans] == expected


def test_a_trace_of_evaluations_alone_is_drawn(tmp_path: Path) -> None:
    path = save(plot_pruning([{"event": "evaluate", "step": 3, "loss": math.nan}]), tmp_path / "trace.png")
    assert path.stat().st_size > 1000


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"event": "train", "step": 1}, r"record 0 of the trace \(train\) has loss None"),
        ({"event": "evaluate", "step": "one", "loss": 0.1}, "has step 'one'"),
        ({"event": "trial", "step": 1}, "has round None"),
        ({"event": "round", "round": 0, "step": 1, "loss": 0.1}, "needs numbers by type"),
        ({"event": "round", "round": 0, "step": 1, "loss": 0.1, "ratio": {"gain": "much"}}, "has gain 'much'"),
        ({"step": 1}, "has no event"),
        ({"event": "saved"}, "nothing to plot"),
    ],
)
def test_a_bad_record_is_named(record: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphmixError, match=message):
        plot_pruning([record])


def test_an_empty_trace_is_refused() -> None:
    with pytest.raises(GraphmixError, match="nothing to plot"):
        plot_pruning([])


def test_histories_have_a_line_for_each_song_and_type() -> None:
    figure = plot_histories([("one", SHORT), ("two", SHORT)], TYPES)
    ratios, weights = figure.axes[:3], figure.axes[3:]
    assert [len(axes.lines) for axes in ratios] == [2, 2, 2]
    assert ratios[0].lines[0].get_ydata() == pytest.approx([0, 0.25, 0.25])
    assert weights[0].lines[0].get_ydata() == pytest.approx([0.75, 0.8])
    assert weights[2].lines[0].get_xdata() == pytest.approx([0])


def unchanged(steps: tuple[int, ...], loss: float = 0.5) -> list[dict[str, Any]]:
    """A search whose rounds removed nothing and changed no loss."""
    trace: list[dict[str, Any]] = [{"event": "train", "step": steps[0], "loss": loss, "wet": {"gain": 1.0}}]
    for number, step in enumerate(steps):
        ratio = {"gain": 0.0, "all": 0.0}
        trace.append({"event": "round", "round": number, "step": step, "loss": loss, "ratio": ratio, "processors": 3})
    return trace


@pytest.mark.parametrize("steps", [(0,), (0, 0), (5, 5, 9)])
@pytest.mark.parametrize("loss", [0.0, 0.5])
def test_rounds_that_changed_nothing_are_drawn(steps: tuple[int, ...], loss: float, tmp_path: Path, recwarn) -> None:
    figure = plot_pruning(unchanged(steps, loss))
    save(figure, tmp_path / "pruning.png")
    assert not recwarn.list
    ratios, weights, losses = figure.axes
    assert [text.get_text() for text in ratios.texts] == ["no processor was removed"]
    total = lines(figure, 0)["all"].get_xdata()
    assert max(total) > min(total), "a line of no length cannot be seen"
    assert lines(figure, 1)["type-gain"].get_marker() == "o"
    assert weights.get_ylim() == pytest.approx((-0.03, 1.03))
    low, high = losses.get_ylim()
    assert low == 0
    assert high > loss
    for axes in figure.axes:
        assert all(patch.get_width() > 0 for patch in axes.patches)


def test_a_loss_of_null_or_nan_has_no_point(tmp_path: Path) -> None:
    trace = [{**TRACE[0], "loss": None}, {**TRACE[1], "loss": math.nan, "wet": {"gain": None}}, *TRACE[2:]]
    figure = plot_pruning(trace)
    assert lines(figure, 2)["train"].get_ydata() == pytest.approx([0.5, 0.49])
    only = plot_pruning([{"event": "train", "step": 1, "loss": None, "wet": {}}])
    assert [text.get_text() for axes in only.axes for text in axes.texts] == [
        "no pruning round", "no weights recorded", "no finite loss",
    ]  # fmt: skip
    save(only, tmp_path / "pruning.png")


def test_histories_of_searches_that_changed_nothing_are_drawn(tmp_path: Path) -> None:
    figure = plot_histories([("one", unchanged((0,))), ("two", SHORT), ("three", [])], TYPES)
    save(figure, tmp_path / "histories.png")
    assert [len(axes.lines) for axes in figure.axes[:3]] == [2, 2, 1]
