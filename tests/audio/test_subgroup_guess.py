"""Guessing subgroups: names as they occur, and that every rule can decide."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmix.audio.subgroup_guess import OTHER, RULES, Rule, guess_notice, guess_subgroup, guess_subgroups, words_of

NAMES = {
    "01_Kick.wav": "drums",
    "02_KickIn.wav": "drums",
    "03_Snare Top.flac": "drums",
    "HiHat.wav": "drums",
    "hi_hat.wav": "drums",
    "Tom2.wav": "drums",
    "OHL.wav": "drums",
    "Overhead-R.wav": "drums",
    "DrumsRoom.wav": "drums",
    "05_Ride.wav": "drums",
    "Tambourine.wav": "drums",
    "Percussion4.wav": "drums",
    "BassDrum.wav": "drums",
    "13_BassDI.wav": "bass",
    "SynthBass.wav": "bass",
    "doublebass.wav": "bass",
    "ElecGtr1.wav": "guitars",
    "AcousticGtrMic.wav": "guitars",
    "E-Gitarre.wav": "guitars",
    "GtrRoom.wav": "guitars",
    "LeadGtr.wav": "guitars",
    "Piano.wav": "keys",
    "HammondLeslie.wav": "keys",
    "Synth3.wav": "synths",
    "Pad.wav": "synths",
    "Lead.wav": "synths",
    "Violins1.wav": "strings",
    "BassClarinet.wav": "brass and winds",
    "TenorSax.wav": "brass and winds",
    "LeadVox1.wav": "lead vocals",
    "Vocals.wav": "lead vocals",
    "BackingVox07.wav": "backing vocals",
    "Back Vocals.wav": "backing vocals",
    "BV 2.wav": "backing vocals",
    "Choir.wav": "backing vocals",
    "SFX1.wav": "effects",
    "Riser.wav": "effects",
    "Reverb Return.wav": "effects",
    "Bride.wav": OTHER,
    "Audio 12.wav": OTHER,
    "夜.wav": OTHER,
    ".wav": OTHER,
}


@pytest.mark.parametrize("name", NAMES)
def test_names_as_they_occur(name: str) -> None:
    assert guess_subgroup(name).bus == NAMES[name]


def test_words_are_cut_at_case_digits_and_punctuation() -> None:
    assert words_of("12_LeadVoxDT-2 (old).wav") == ["lead", "vox", "dt", "old"]
    assert words_of("GtrsDI.mp3") == ["gtrs", "di"]
    assert words_of("Überraschung.wav") == ["uberraschung"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.bus)
def test_every_word_of_a_rule_is_spelt_as_words_are_cut_and_can_decide(rule: Rule) -> None:
    for word in (*rule.words, *rule.parts):
        assert words_of(f"{word}.wav") == [word]
        name = f"{word} {rule.beside[0]}.wav" if rule.beside else f"{word}.wav"
        assert guess_subgroup(name).bus == rule.bus, word


@given(st.text(max_size=30))
def test_any_name_gets_a_bus(name: str) -> None:
    assert guess_subgroup(name).bus in {OTHER, *(rule.bus for rule in RULES)}


def test_the_notice_names_buses_counts_and_words() -> None:
    guesses = guess_subgroups(["Kick.wav", "Snare.wav", "Kick2.wav", "x.wav"])
    assert guess_notice(guesses) == (
        "Subgroups were guessed from the names of the tracks: drums 3 (kick, snare); other 1."
    )


def row_of(rule: Rule) -> str:
    """A rule as docs/collections.md shows it."""
    words = ", ".join([*(f"{part}-" for part in rule.parts), *rule.words])
    beside = f"; beside one of {', '.join(rule.beside)}" if rule.beside else ""
    return f"| {rule.bus} | {words}{beside} |"


def test_the_page_lists_every_rule_in_order() -> None:
    page = (Path(__file__).parents[2] / "docs" / "collections.md").read_text(encoding="utf-8")
    shown = page.split("| bus | words |\n|---|---|\n")[1].split("\n\n")[0]
    assert shown.splitlines() == [row_of(rule) for rule in RULES]
