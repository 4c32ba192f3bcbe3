"""Files on the ground floor: text in the encodings that editors write, names that are no text."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from graphmix.errors import GraphmixError, SongError
from graphmix.io import check_output, name_as_text, open_tensors, read_json, read_text, read_toml, write_json

TEXT = '{"name": "Söng"}'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_is_read_in_every_encoding_that_its_first_bytes_name(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "song.json"
    path.write_text(TEXT, encoding=encoding)
    assert read_text(path) == TEXT


def test_big_endian_text_is_read(tmp_path: Path) -> None:
    path = tmp_path / "song.json"
    path.write_bytes(b"\xfe\xff" + TEXT.encode("utf-16-be"))
    assert read_text(path) == TEXT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TEXT.encode("latin-1"), r"is not UTF-8 text; it may be Latin-1 or Windows-1252 \(byte 11\): save it as UTF-8"),
        (TEXT.encode("utf-16-le"), "looks like UTF-16 without a byte order mark"),
        (b"{\0}\0", "is not text; it looks like UTF-16 without"),
        (b"\xff\xfe" + b"\x00\xd8\x00", "is not UTF-16 text, as its first bytes say"),
        (b"\xff\x00abcdefgh", "may be no text at all"),
        (b"x" * 101, "is larger than 100 bytes"),
    ],
)
def test_text_of_unknown_encoding_is_refused_with_the_likely_one(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "song.json"
    path.write_bytes(content)
    with pytest.raises(SongError, match=f"song.json .*{message}"):
        read_text(path, 100, SongError)


def test_a_missing_text_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphmixError, match=r"gone\.json cannot be read \(No such file"):
        read_text(tmp_path / "gone.json")


def test_names_of_files_become_text() -> None:
    assert name_as_text("夜に.wav") == "夜に.wav"
    assert name_as_text("caf\udce9.wav") == "caf\\xe9.wav"
    assert name_as_text("half \ud800.wav").isascii()


def test_tensors_are_read_from_a_path_that_is_not_utf8(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "x.safetensors").write_bytes(save({"x": torch.arange(3)}, {"key": "value"}))
    with open_tensors(folder / "x.safetensors") as file:
        assert file.get_tensor("x").tolist() == [0, 1, 2]
        assert file.metadata() == {"key": "value"}
    with pytest.raises(FileNotFoundError), open_tensors(folder / "y.safetensors"):
        pass


def test_json_is_written_whole_or_not_at_all_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "values.json"
    write_json(path, {"name": "Söng", "loss": 0.5})
    assert read_json(path) == {"name": "Söng", "loss": 0.5}
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"loss": float("nan")})
    assert read_json(path)["loss"] == 0.5
    assert [entry.name for entry in tmp_path.iterdir()] == ["values.json"]
    with pytest.raises(GraphmixError, match="cannot write"):
        write_json(tmp_path / "nowhere" / "values.json", {})


@pytest.mark.parametrize("text", ["{", '{"a": 1, "a": 2}', "[" * 100_000, '"\\ud800"'])
def test_text_that_is_no_json_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "values.json"
    path.write_text(text)
    with pytest.raises(SongError, match=r"values\.json is not JSON"):
        read_json(path, error=SongError)


def test_toml_is_read_and_a_wrong_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "values.toml"
    path.write_text("[data]\nsongs = 3\n", encoding="utf-8-sig")
    assert read_toml(path) == {"data": {"songs": 3}}
    path.write_text("[data]\nsongs = \n")
    with pytest.raises(GraphmixError, match=r"values\.toml is no TOML .*line 2"):
        read_toml(path)


def test_an_output_replaces_a_file_only_by_force_and_never_a_folder(tmp_path: Path) -> None:
    path, other = tmp_path / "mix.wav", tmp_path / "link.wav"
    check_output(path)
    path.touch()
    other.symlink_to(path)
    with pytest.raises(GraphmixError, match=r"mix\.wav exists already; .*--force"):
        check_output(path)
    with pytest.raises(GraphmixError, match=r"link\.wav is a file that this command reads"):
        check_output(other, inputs=[path])
    check_output(path, inputs=[path], force=True)
    with pytest.raises(GraphmixError, match="is a folder"):
        check_output(tmp_path, force=True)
    with pytest.raises(GraphmixError, match="there is no folder"):
        check_output(tmp_path / "nowhere" / "mix.wav")
