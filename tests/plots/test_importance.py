"""Importance: each processor is a point, whatever the size of its loss increase."""

import math
from pathlib import Path

import pytest
from matplotlib.colors import to_hex

from graphmix.errors import GraphmixError
from graphmix.plots import color_of, plot_importance, save
from graphmix.plots.importance import plot_importances


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


def test_importances_have_a_panel_for_each_song_and_the_colours_of_types() -> None:
    figure = plot_importances({"one": [("gain", 0.9, 0.2), ("equalizer", 0.1, 0.0)], "$two$": [("gain", 0.5, 9.0)]})
    assert len(figure.axes) == 2
    assert to_hex(figure.axes[1].collections[0].get_facecolor()[0]) == color_of("gain")


@pytest.mark.parametrize("increases", [[0.0, 0.0, 0.0], [1e-300, 1e-300, 1e9], [-1e-30, 1e-30, 1e-30]])
def test_increases_of_nothing_and_of_all_sizes_are_drawn(increases: list[float], tmp_path: Path, recwarn) -> None:
    save(plot_importance([0.0, 0.5, 1.0], increases, ["gain"] * 3), tmp_path / "importance.png")
    points = [("gain", weight, increase) for weight, increase in zip([0.0, 0.5, 1.0], increases, strict=True)]
    save(plot_importances({"song": points, "empty": [], "nan": [("gain", 0.5, math.nan)]}), tmp_path / "all.png")
    assert not recwarn.list
