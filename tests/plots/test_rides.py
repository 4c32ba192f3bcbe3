"""Gains that move, drawn over the time of a song."""

import pytest

from graphmix.errors import GraphmixError
from graphmix.plots import plot_rides


def test_each_curve_goes_through_its_breakpoints_and_stays_before_and_behind_them() -> None:
    figure = plot_rides({"voice": [(1.0, 0.0), (2.0, 4.0)], "mix": [(7.0, 0.0), (9.0, -90.0)]}, 10.0)
    axes = figure.axes[0]
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert lines["voice"] == [[0.0, 0.0], [1.0, 0.0], [2.0, 4.0], [10.0, 4.0]]
    assert lines["mix"] == [[0.0, 0.0], [7.0, 0.0], [9.0, -60.0], [10.0, -60.0]]
    assert axes.get_xlim() == (0, 10)
    assert axes.get_ylim() == (-63, 7)


def test_there_has_to_be_a_ride() -> None:
    with pytest.raises(GraphmixError, match="nothing to plot"):
        plot_rides({}, 3.0)
