"""YAML of strangers: texts only, bounded, every key once."""

from pathlib import Path

import pytest

from graphmix.audio.yaml_documents import read_yaml
from graphmix.errors import SongError


def written(folder: Path, text: str) -> Path:
    path = folder / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("text", ["a: [No, 1979]\nb: ~\n", "{a: [No, 1979], b: ~}"])
def test_all_values_are_texts_in_both_styles(tmp_path: Path, text: str) -> None:
    assert read_yaml(written(tmp_path, text)) == {"a": ["No", "1979"], "b": "~"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "cannot be read as YAML"),
        ("a: 1\na: 2", "the key 'a' is there twice"),
        ("[" * 100 + "]" * 100, "nested more than 16 deep"),
        ("[" * 100_000, "nested more than 16 deep|cannot be read as YAML"),
        ("? {a: b}\n: c", "cannot be read as YAML"),
        ("a: *gone", "cannot be read as YAML"),
        ("x" * 2000, "is larger than 1000 bytes"),
    ],
)
def test_what_cannot_be_used_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SongError, match=message):
        read_yaml(written(tmp_path, text), most=1000 if len(text) == 2000 else 1 << 20)


def test_tags_run_no_code(tmp_path: Path) -> None:
    text = "a: !!python/object/apply:os.system [echo]\nb: !!int 3"
    assert read_yaml(written(tmp_path, text)) == {"a": ["echo"], "b": "3"}


def test_a_repeated_key_may_be_let_pass(tmp_path: Path) -> None:
    assert read_yaml(written(tmp_path, "a: 1\na: 2"), unique=False) == {"a": "2"}
