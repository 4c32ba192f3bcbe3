from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from graphmix.errors import GraphmixError
from graphmix.plots import color_of, save
from graphmix.plots.statistics import (
    COUNTS,
    draw_statistics,
    plot_counts,
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
    assert not [name for name in lines if "equalizer" in name], "there is no ratio for it"


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
        "histories": [],
        "importance": {},
        "repeats": [],
        "tradeoff": [],
    }
    assert set(draw_statistics(data)) == {"counts", "ratios"}


@pytest.mark.parametrize("draw", [plot_counts, plot_tradeoff])
def test_nothing_to_draw_is_an_error(draw: Any) -> None:
    with pytest.raises(GraphmixError, match="nothing to plot"):
        draw([])


ODD = "$夜$ 🎸 caf\udce9 \x07"


def test_odd_names_and_graphs_without_processors_are_drawn(tmp_path: Path, recwarn) -> None:
    one = {**record(ODD, 0.0), "song_id": ODD, "policy": ODD, "tolerance": 0.1, "settings": ODD}
    one |= {"remaining": 1.0, "loss increase": 0.0}
    data = {
        "settings": ODD,
        "records": [one],
        "types": TYPES,
        "histories": [(ODD, [{"event": "round", "round": 0, "step": 0, "loss": 0.5, "ratio": {}}])],
        "importance": {ODD: [("gain", 1.0, 0.0)]},
        "repeats": [
            (ODD, {"seed 0": {(ODD, "gain", 0)}, "seed 1": set()}, [0.5, 0.5]),
            (ODD, {"a": set(), "b": set()}, []),
        ],
        "tradeoff": [one, {**one, "settings": "other", "tolerance": 0.2}],
    }
    figures = draw_statistics(data)
    assert set(figures) == {"counts", "ratios", "histories", "importance", "tradeoff", "repeats_1", "repeats_2"}
    for name, figure in figures.items():
        for extension in ("png", "svg", "pdf") if name == "tradeoff" else ("png",):
            save(figure, tmp_path / f"{name}.{extension}")
    figures["counts"].savefig(tmp_path / "by matplotlib.png")
    assert [str(warning.message) for warning in recwarn.list] == []
