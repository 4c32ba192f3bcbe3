"""Names of files as text."""

import os

import pytest

from graphmix.errors import SongError
from graphmix.text import name_as_text


@pytest.mark.parametrize("name", ["kick.wav", "café.wav", "鼓 🥁.wav", "", "back\\slash.wav"])
def test_valid_unicode_stays_as_it_is(name):
    assert name_as_text(name) == name


def test_bytes_that_are_no_unicode_are_written_out():
    assert name_as_text(os.fsdecode(b"caf\xe9 \xc3\xa9.wav")) == "caf\\xe9 é.wav"


def test_half_a_surrogate_pair_is_written_out():
    assert name_as_text("a\ud800b") == "a\\ud800b"
    assert name_as_text("\ud800\udce9") == "\\ud800\\udce9"


@pytest.mark.parametrize("name", ["\udcff", "\ud800", "a\udc80é\udfff"])  # noqa: PT014, ruff takes lone surrogates for one another
def test_the_result_can_be_stored_and_does_not_change_again(name):
    name_as_text(name).encode("utf-8")
    assert name_as_text(name_as_text(name)) == name_as_text(name)


def test_messages_of_errors_can_be_printed():
    name = os.fsdecode(b"caf\xe9.wav")
    error = SongError(f"{name} is damaged: copy it again.")
    assert str(error) == "caf\\xe9.wav is damaged: copy it again."
