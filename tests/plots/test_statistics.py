from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from graphmix.errors import GraphmixError
from graphmix.plots import color_of
from graphmix.plots.statistics import (
    COUNTS,
    draw_statistics,
    plot_counts,
    plot_courses,
    plot_importances,
    plot_ratios,
    plot_repeats,
    plot_tradeoff,
)

TYPES = ["gain", "equalizer"]


def record(collection: str, ratio: float, **changes: Any) -> dict[str, Any]:
    numbers = {key: 10 for key in COUNTS} | {"pruning_ratio": ratio, "audio_loss": 0.4}
    ratios = {"pruning_ratio_gain": ratio / 2, "pruning_ratio_equalizer": None}
    return {"collection": collection, **numbers, **ratios, **changes}


RECORDS = [record("box", 0.5), record("box", 0.7, tracks=30), record("chest", 0.9, audio_loss=0.8)]
TRACE = [
    {"event": "train", "step": 0, "loss": 1.0, "wet": {"gain": 1.0, "equalizer": 0.5}},
    {"event": "trial", "step": 100, "round": 1},
    {"event": "round", "step": 100, "round": 1, "ratio": {"gain": 0.0, "equalizer": 0.5, "all": 0.25}, "loss": 0.5},
    {"event": "train", "step": 150, "loss": 0.5, "wet": {"gain": 0.8, "equalizer": None}},
]


def test_every_song_is_counted_once_in_each_histogram() -> None:
    figure = plot_counts(RECORDS)
    assert len(figure.axes) == len(COUNTS)
    for axes in figure.axes:
        assert sum(patch.get_height() for patch in axes.patches) == 3


def test_means_of_histograms_are_over_all_songs() -> None:
    lines = {line.get_gid(): line for axes in plot_counts(RECORDS).axes for line in axes.lines}
    assert lines["mean-pruning_ratio"].get_xdata()[0] == pytest.approx(0.7)
    assert lines["mean-tracks"].get_xdata()[0] == pytest.approx(50 / 3)


def test_ratios_have_a_bar_at_each_collections_mean() -> None:
    (axes,) = plot_ratios(RECORDS, TYPES).axes
    lines = {line.get_gid(): line for line in axes.lines}
    assert lines["mean-pruning_ratio-box"].get_ydata() == pytest.approx([0.6, 0.6])
    assert lines["mean-pruning_ratio_gain-chest"].get_ydata() == pytest.approx([0.45, 0.45])
    assert not [name for name in lines if "equalizer" in name], "nobody has a ratio for it"


def test_courses_have_a_line_for_each_song_and_type() -> None:
    figure = plot_courses([("one", TRACE), ("two", TRACE)], TYPES)
    ratios, weights = figure.axes[:3], figure.axes[3:]
    assert [len(axes.lines) for axes in ratios] == [2, 2, 2]
    assert ratios[0].lines[0].get_ydata() == pytest.approx([0, 0.25, 0.25])
    assert weights[0].lines[0].get_ydata() == pytest.approx([0.75, 0.8])
    assert weights[2].lines[0].get_xdata() == pytest.approx([0])


def test_importances_have_a_panel_for_each_song_and_the_colours_of_types() -> None:
    figure = plot_importances({"one": [("gain", 0.9, 0.2), ("equalizer", 0.1, 0.0)], "$two$": [("gain", 0.5, 9.0)]})
    assert len(figure.axes) == 2
    assert to_hex(figure.axes[1].collections[0].get_facecolor()[0]) == color_of("gain")


def test_tradeoff_averages_the_songs_that_have_all_tolerances() -> None:
    points = [("a", 0.01, 0.5, 0.0), ("a", 0.1, 0.2, 0.1), ("b", 0.01, 0.3, 0.02), ("b", 0.1, 0.0, 0.1)]
    points += [("c", 0.1, 0.9, 9.0)]
    names = ("song_id", "tolerance", "remaining", "loss increase")
    records = [dict(zip(names, p, strict=True)) | {"policy": "hybrid", "settings": str(p[1])} for p in points]
    (axes,) = plot_tradeoff(records).axes
    mean = next(line for line in axes.lines if line.get_gid() == "mean-hybrid")
    assert mean.get_xdata() == pytest.approx([0.4, 0.1])
    assert mean.get_ydata() == pytest.approx([0.01, 0.1])


def test_repeats_colour_what_each_run_keeps() -> None:
    kept = {"seed 0": {("kick", "gain", 0), ("bus", "equalizer", 0)}, "seed 1": {("kick", "gain", 0)}}
    figure = plot_repeats("song", kept, [0.5, 0.6])
    image = np.asarray(figure.axes[0].images[0].get_array())
    assert image.shape == (2, 2, 3)
    assert to_hex(image[1, 0]) == to_hex(image[1, 1]) == color_of("gain")
    assert to_hex(image[0, 0]) == color_of("equalizer")
    assert to_hex(image[0, 1]) == "#ffffff"
    assert "1 of 2 processors are kept by every run" in figure.get_suptitle()


def test_only_what_there_is_data_for_is_drawn() -> None:
    data = {
        "settings": "s",
        "records": RECORDS,
        "types": TYPES,
        "courses": [],
        "importance": {},
        "repeats": [],
        "tradeoff": [],
    }
    assert set(draw_statistics(data)) == {"counts", "ratios"}


@pytest.mark.parametrize("draw", [plot_counts, plot_courses, plot_importances, plot_tradeoff])
def test_nothing_to_draw_is_told(draw: Any) -> None:
    with pytest.raises(GraphmixError, match="nothing to plot"):
        draw([], TYPES) if draw is plot_courses else draw([])
