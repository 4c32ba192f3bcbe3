"""The sheet of settings: every processor in words, every equalizer with its curve."""

import numpy as np
import pytest
from torch_geometric.data import Batch

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.tables import Reduction
from graphmix.plots import plot_settings
from graphmix.processors import Rack

RACK = Rack.standard(30000)


def graph() -> MixGraph:
    graph = MixGraph(RACK.types, 30000)
    tilt = np.linspace(-6, 6, RACK["equalizer"].node_type.width).tolist()
    nodes = [graph.add("equalizer", gain_db=tilt, wet=0.5), graph.add("compressor", wet=0.5), graph.add("gain")]
    return graph.chain(graph.add("in", name="a $1 track"), *nodes, graph.add("out", name="mix"))


def test_every_processor_is_written_and_every_equalizer_drawn() -> None:
    figure = plot_settings(graph(), {1: Reduction(2.0, 6.5)}, "song")
    sheet, curve = figure.axes
    text = " ".join(t.get_text() for t in sheet.texts)
    for expected in ("song", "a $1 track", "low", "takes off 2.0 dB on average, 6.5 dB at most, 50 % wet", "fader"):
        assert expected in text
    frequency, gain = (np.asarray(values, dtype=float) for values in curve.lines[1].get_data())
    known = np.linspace(-6, 6, 1024)
    wanted = 20 * np.log10(0.5 * 10 ** (np.interp(frequency, np.arange(1024) * 30000 / 2047, known) / 20) + 0.5)
    assert np.abs(gain - wanted).max() < 0.01
    assert (frequency[0], frequency[-1]) == pytest.approx((20, 15000))


def test_nothing_lies_outside_of_the_sheet() -> None:
    figure = plot_settings(graph())
    figure.canvas.draw()
    whole = figure.bbox
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1


def test_a_batch_is_refused() -> None:
    with pytest.raises(GraphError, match="one graph with nodes"):
        plot_settings(Batch.from_data_list([graph()]))
