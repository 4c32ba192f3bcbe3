"""``graphmix songbook`` with real scores and samples: what it writes, reports and refuses."""

from pathlib import Path

import pytest

from tests.cli.conftest import Program
from tests.songbook.real_material import write_material
from tests.songbook.test_soundfont import needs_fluidsynth

pytest.importorskip("music21", reason="music21 is not installed")
pytest.importorskip("pretty_midi", reason="pretty_midi is not installed")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_material(tmp_path_factory.mktemp("material"))


@needs_fluidsynth
def test_the_command_writes_and_reports(program: Program, places: dict[str, Path], tmp_path: Path) -> None:
    given = ("--scores", places["scores"], "--soundfont", places["soundfont"], "--drumkits", places["kits"])
    small = ("--songs", 2, "--max-tracks", 5, "--seconds", 3, 3, "--sample-rate", 16000)
    outcome = program("songbook", "--out", tmp_path / "book", *small, *given)
    assert outcome.status == 0, outcome.err
    assert "songs rejected" in outcome.out
    assert program("check", tmp_path / "book" / "song_00000").status == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--split", "test"), "a split is one of scores and instruments: add --scores"),
        (("--scores", "{empty}"), "holds no scores"),
        (("--soundfont", "{midi}"), "is no soundfont"),
        (("--drumkits", "{empty}"), "holds no drum kits"),
        (("--drumkits", "{kits}", "--loops", "{empty}"), "leave out --loops or the others"),
    ],
)
def test_bad_material_is_one_clear_line(
    program: Program, places: dict[str, Path], tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    names = {"empty": tmp_path / "empty", "midi": places["scores"] / "song0.mid", **places}
    outcome = program("songbook", "--out", tmp_path / "out", *(option.format(**names) for option in options))
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert message in outcome.err
    assert not (tmp_path / "out").exists()
