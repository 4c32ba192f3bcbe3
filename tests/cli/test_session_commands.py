"""``graphmix export`` and ``graphmix import`` as a user runs them, with bad input too."""

import zipfile

import numpy as np
import pytest
import soundfile

pytest.importorskip("defusedxml", reason="sessions are read with defusedxml")

from graphmix.graph.storage import load_graph, save_graph
from tests.cli.conftest import a_graph


@pytest.fixture
def graph_file(tmp_path):
    return save_graph(a_graph(), tmp_path / "graph.safetensors")


@pytest.mark.parametrize("arguments", [["--to", "dawproject"], ["--to", "ardour", "--how", "editable"]])
def test_a_graph_goes_out_and_comes_back(program, song_folder, graph_file, tmp_path, arguments):
    place = tmp_path / "session"
    done = program("export", graph_file, song_folder, "-o", place, "--sample-rate", 44100, *arguments)
    assert done.status == 0, done.err
    assert "session" in done.out + done.err
    back = program("import", place, "-o", tmp_path / "again")
    assert back.status == 0, back.err
    again, graph = load_graph(tmp_path / "again" / "graph.safetensors"), a_graph()
    assert sorted(again.edges()) == sorted(graph.edges())
    assert again.node_type.tolist() == [again.types.index(graph.type_of(n).name) for n in range(graph.num_nodes)]
    assert len(list((tmp_path / "again" / "dry").iterdir())) == len(graph.input_names)


def test_a_folder_that_holds_something_and_a_check_without_ardour_are_one_line(
    program, song_folder, graph_file, tmp_path, monkeypatch
):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    done = program("export", graph_file, song_folder, "-o", tmp_path / "full", "--to", "dawproject")
    assert (done.status, "is no empty folder" in done.err) == (2, True)
    monkeypatch.setattr("graphmix.sessions.headless.COMMANDS", ("no-such-command",))
    done = program("export", graph_file, song_folder, "-o", tmp_path / "new", "--check")
    assert (done.status, "is not installed" in done.err) == (2, True)
    assert not (tmp_path / "new").exists()


def packed(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), content)
    return path


CLIP = (
    '<Project version="1.0"><Structure><Track id="t" name="x"><Channel id="c" role="regular"/></Track></Structure>'
    '<Arrangement><Lanes timeUnit="seconds"><Lanes track="t"><Clips><Clip time="0" duration="1">'
    '<Audio sampleRate="48000" channels="1" duration="1"><File path="{path}"/></Audio></Clip></Clips></Lanes></Lanes>'
    "</Arrangement></Project>"
)
CASES = {
    "no audio file": ({"project_xml": CLIP.format(path="audio/no.wav")}, "there is no file"),
    "climbs out": ({"project_xml": CLIP.format(path="../../x.wav")}, "leads out of the project"),
    "entities": ({"project_xml": '<!DOCTYPE x [<!ENTITY a "b">]>' + CLIP.format(path="x.wav")}, "XML entities"),
    "gigabytes": ({"project_xml": b" " * ((64 << 20) + 1)}, "unpacks to"),
}


@pytest.mark.parametrize("case", CASES)
def test_harmful_projects_are_one_line_and_leave_nothing(program, tmp_path, case):
    files, message = CASES[case]
    done = program("import", packed(tmp_path / "x.dawproject", **files), "-o", tmp_path / "song")
    assert done.status == 2
    assert message in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["x.dawproject"]


def test_what_is_no_session_is_one_line(program, tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(10), 48000)
    done = program("import", tmp_path / "x.wav", "-o", tmp_path / "song")
    assert (done.status, "sessions are read from" in " ".join(done.err.split())) == (2, True)
