"""What objects show of themselves in a notebook."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from torch_geometric.data import Batch

from graphmix.audio import load_song, load_stems
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render import schedule
from tests.small_song import RATE, TRACKS, hidden_graph, write_tiny_song


def test_a_graph_shows_its_picture() -> None:
    svg = hidden_graph()._repr_svg_()
    assert svg is not None
    assert svg.lstrip().startswith("<?xml")
    assert 'id="node-0"' in svg


def test_what_has_no_picture_shows_none() -> None:
    assert MixGraph(Rack.console("g").types)._repr_svg_() is None
    assert Batch.from_data_list([hidden_graph(), hidden_graph()])._repr_svg_() is None


@pytest.mark.parametrize("mix", [True, False])
def test_a_song_shows_a_player_and_its_tracks(tmp_path: Path, mix: bool) -> None:
    folder = write_tiny_song(tmp_path / "song", name="a <b>")
    song = load_song(folder, RATE) if mix else load_stems(folder / "dry", RATE)
    html = song._repr_html_()
    assert re.search(r'<audio controls src="data:audio/ogg;base64,[A-Za-z0-9+/]{1000}', html)
    assert all(track in html for track in TRACKS[1:])
    assert ("the mix" if mix else "the sum of the tracks") in html
    assert "<b>a <b>" not in html


def test_a_plan_shows_its_stages() -> None:
    graph = hidden_graph()
    plan = schedule(graph, Rack.for_types(graph.types.types, RATE))
    html = plan._repr_html_()
    assert html.count("<tr>") == len(plan.stages) + 1
    assert all(f"<td>{stage.kind}</td>" in html for stage in plan.stages)


def test_pictures_are_drawn_only_when_they_are_shown() -> None:
    code = "import sys, graphmix.graph, graphmix.audio, graphmix.render; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
