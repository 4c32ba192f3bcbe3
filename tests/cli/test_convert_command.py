"""``graphmix convert`` from file to file and folder."""

import json

from typer.testing import CliRunner

from graphmix.cli import app as cli_app
from graphmix.graph import MixGraph, load_graph, save_graph
from graphmix.processors import Rack

RUNNER = CliRunner()


def graph_file(folder):
    graph = MixGraph(Rack.standard(30000).types, 30000)
    tone, gate = graph.add("equalizer", gain_db=-3.0), graph.add("equalizer", wet=0.0)
    graph.chain(graph.add("in", "voice"), tone, gate, graph.add("out"))
    return save_graph(graph, folder / "graph.safetensors")


def test_a_graph_is_converted_into_a_folder_with_its_table(tmp_path):
    path = graph_file(tmp_path)
    result = RUNNER.invoke(cli_app.app, ["convert", str(path), "-o", str(tmp_path / "out"), "--to", "parametric"])
    assert result.exit_code == 0, result.output
    assert "1 of 2 nodes converted" in result.output
    rows = json.loads((tmp_path / "out" / "conversions.json").read_text())
    assert [row["becomes"] for row in rows] == [["parametric_eq"], []]
    assert load_graph(tmp_path / "out" / "graph.json").type_of(0).name == "parametric_eq"
    again = RUNNER.invoke(cli_app.app, ["convert", str(path), "-o", str(tmp_path / "out")])
    assert again.exit_code != 0


def test_a_file_is_not_replaced_and_a_bad_error_is_refused(tmp_path):
    path = graph_file(tmp_path)
    taken = tmp_path / "taken.json"
    taken.write_text("mine")
    assert RUNNER.invoke(cli_app.app, ["convert", str(path), "-o", str(taken)]).exit_code != 0
    assert taken.read_text() == "mine"
    out = tmp_path / "out.json"
    assert RUNNER.invoke(cli_app.app, ["convert", str(path), "-o", str(out), "--max-error", "-1"]).exit_code != 0
    assert not out.exists()
