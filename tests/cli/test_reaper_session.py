"""``graphmix export --to reaper`` and ``graphmix import``."""

from pathlib import Path

import pytest

pytest.importorskip("rpp", reason="REAPER projects are read with rpp")

from graphmix.graph.storage import load_graph


def test_a_graph_becomes_a_project_and_a_song_again(program, song_folder, graph_file, tmp_path):
    outcome = program("export", graph_file, song_folder / "dry", "-o", tmp_path / "tiny", "--to", "reaper")
    assert outcome.status == 0, outcome.err
    assert f"{tmp_path / 'tiny'}: reaper session, 1.0 s at 30000 Hz, 2 tracks" in outcome.out.replace("\n", " ")
    assert sorted(path.name for path in (tmp_path / "tiny").iterdir()) == ["Effects", "Media", "tiny.RPP"]
    outcome = program("import", tmp_path / "tiny" / "tiny.RPP", "-o", tmp_path / "back")
    assert (outcome.status, outcome.err) == (0, "")
    assert "2 tracks in dry/" in outcome.out.replace("\n", " ")
    graph, back = load_graph(graph_file), load_graph(tmp_path / "back" / "graph.safetensors")
    assert (back.names, sorted(back.edges())) == (graph.names, sorted(graph.edges()))


def test_what_is_no_project_is_one_line(program, tmp_path: Path):
    (tmp_path / "song.RPP").write_text("<Project\n", "utf-8")
    outcome = program("import", tmp_path / "song.RPP", "-o", tmp_path / "back")
    assert outcome.status == 2
    assert "is no REAPER project" in outcome.err
    assert not (tmp_path / "back").exists()
