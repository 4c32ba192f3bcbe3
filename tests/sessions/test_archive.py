"""Archives of strangers: what is damaged is said of the archive, and nothing else is."""

import zipfile
from pathlib import Path

import pytest

from graphmix.errors import FileError
from graphmix.sessions.archive import open_archive, read_member


def packed(folder: Path) -> Path:
    path = folder / "project.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("project.xml", b"<Project/>" * 500)
    return path


@pytest.mark.parametrize("error", [OSError("no space left"), RuntimeError("a fault of ours")])
def test_an_error_of_what_is_done_with_an_archive_is_not_taken_for_one_of_the_archive(tmp_path, error):
    with pytest.raises(type(error), match=str(error)), open_archive(packed(tmp_path)):
        raise error


def test_a_member_that_is_damaged_is_one_clear_line(tmp_path):
    path = packed(tmp_path)
    content = bytearray(path.read_bytes())
    content[45:60] = bytes(15)  # of the packed data
    path.write_bytes(content)
    with open_archive(path) as archive, pytest.raises(FileError, match=r"cannot read .*project\.zip"):
        read_member(archive, "project.xml", 1 << 20)


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"no archive")
    with pytest.raises(FileError, match=r"cannot read .*x\.zip"), open_archive(tmp_path / "x.zip"):
        pass
