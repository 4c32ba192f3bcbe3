import math
from pathlib import Path
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from graphmix.errors import GraphmixError
from graphmix.plots import color_of, plot_importance, plot_pruning, save

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


def test_each_processor_is_a_point_in_the_colour_of_its_type() -> None:
    figure = plot_importance([0.1, 0.5, 0.9], [0.0, 0.01, -0.002], ["gain", "e", "gain"])
    axes = figure.axes[0]
    points = {c.get_label(): c for c in axes.collections}
    assert set(points) == {"gain (2)", "equalizer (1)"}
    assert points["gain (2)"].get_offsets().tolist() == [[0.1, 0.0], [0.9, -0.002]]
    assert to_hex(points["equalizer (1)"].get_facecolor()[0]) == color_of("equalizer")
    assert [line.get_gid() for line in axes.lines] == ["zero"]
    assert axes.get_yscale() == "linear"


def test_one_very_important_processor_does_not_hide_the_others() -> None:
    figure = plot_importance([0.1, 0.5, 0.9, 1.0], [0.001, -0.001, 0.002, 3.0], ["gain", "delay", "$user$", "gain"])
    assert figure.axes[0].get_yscale() == "symlog"


def test_importance_is_drawn_from_nothing_but_zeros(tmp_path: Path) -> None:
    save(plot_importance([0.0], [0.0], ["gain"]), tmp_path / "importance.pdf")


@pytest.mark.parametrize(
    ("weights", "increases", "types", "message"),
    [
        ([], [], [], "no processor to plot"),
        ([0.1], [0.1, 0.2], ["gain"], "1 weights, 2 loss increases and 1 types"),
        ([0.1], [math.inf], ["gain"], "processor 0 has weight 0.1 and increase inf"),
    ],
)
def test_bad_importances_are_refused(weights: list, increases: list, types: list, message: str) -> None:
    with pytest.raises(GraphmixError, match=message):
        plot_importance(weights, increases, types)
