"""Guess the subgroup of a track from its name, by a list of stated rules.

A name is cut into words at digits, punctuation and changes from lower to upper case: ``04_HiHatOH2.wav`` is
*hi*, *hat*, *oh*. The first rule of :data:`RULES` with a word that fits decides. A rule has *parts*, which
fit anywhere in a word (*kick* in *kickdrum*), and whole *words*, for those that are too short or too common as
parts (*oh*, *ride*). Words that no rule knows make the bus *other*.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

OTHER = "other"
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")


@dataclass(frozen=True)
class Rule:
    """A bus and what makes a track one of it; with `beside`, one of those must be among the words too."""

    bus: str
    parts: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guess:
    """The bus of a track, and the word of its name that decided (empty where no rule knew one)."""

    bus: str
    word: str = ""


_VOICE_PARTS = ("vocal", "voice", "voix", "singer", "stimme")
_VOICE_WORDS = ("vox", "voc", "vocs", "voz", "rap", "mc", "adlib", "adlibs")
_BACKING = ("backing", "back", "background", "bg", "bkg", "harmony", "harmonies", "harm", "group", "crowd")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


RULES = (
    Rule("backing vocals", ("choir", "chorus"), _words("bgv bgvs bgvox bvox bvoc bv bvs gang")),
    Rule("backing vocals", _VOICE_PARTS, _VOICE_WORDS, beside=_BACKING),
    Rule("lead vocals", _VOICE_PARTS, (*_VOICE_WORDS, "lv", "ldvox", "leadvox")),
    Rule(
        "brass and winds",
        _words("brass trumpet trombone saxophone flute clarinet oboe bassoon harmonica woodwind"),
        _words("horn horns tpt tbn tuba tubas sax saxes piccolo whistle recorder melodica"),
    ),
    Rule(
        "drums",
        _words("kick snare hihat cymbal crash splash overhead drum perc tambourin shaker conga bongo cajon cowbell")
        + _words("timbale djembe tabla maraca schlagzeug timpani taiko rimshot vibraslap sleighbell rainstick pandeir"),
        _words("kik kk bd snr sn sd hat hats hh tom toms floor rack ride china oh ohs ohl ohr kit clap claps snap")
        + _words("snaps rim sidestick tamb guiro cabasa triangle gong stick sticks block"),
    ),
    Rule("effects", _words("riser whoosh downlifter uplifter foley"), _words("sfx sweep drop impact")),
    Rule("bass", ("bass",), _words("sub subs baixo bajo")),
    Rule(
        "strings",
        _words("string violin viola cello fiddle orchestra"),
        _words("strs vln vla vlc quartet harp pizz"),
    ),
    Rule(
        "guitars",
        _words("guitar gitar banjo mandolin ukulele ukelele dobro bouzouki sitar"),
        _words("gtr gtrs gt gits guit eg ag acgtr elecgtr acoustic uke slide steel strat tele lespaul strum strums")
        + _words("riff powerchords oud"),
    ),
    Rule(
        "keys",
        _words("piano keyboard rhodes wurli organ hammond harpsi accordion celest mellotron glock marimba xylophone")
        + _words("vibraphone clavinet"),
        _words("keys key pno pn ep clav clavi leslie vibes bell bells kalimba"),
    ),
    Rule(
        "synths",
        _words("synth sequenc theremin arpegg vocoder"),
        _words("syn pad pads arp arps lead leads pluck saw seq stab stabs moog juno"),
    ),
    Rule("drums", (), _words("room rooms beat beats loop loops break breaks")),
    Rule(
        "effects",
        _words("reverb ambien atmos noise sample scratch texture reverse"),
        _words("fx verb delay echo hit hits rev swell swells transition amb"),
    ),
)
"""In this order; the first that fits decides."""


def words_of(name: str) -> list[str]:
    """The words of a file's name without its extension, lower case and without accents.

    >>> words_of("04_HiHatOH2.wav")
    ['hi', 'hat', 'oh']
    """
    stem = re.sub(r"\.\w{2,5}$", "", unicodedata.normalize("NFKD", name))
    plain = "".join(letter for letter in stem if not unicodedata.combining(letter))
    return [word.casefold() for word in _WORDS.findall(plain)]


def guess_subgroup(name: str) -> Guess:
    """Guess the bus of a track.

    >>> guess_subgroup("07_BassDrum.wav")
    Guess(bus='drums', word='drum')
    >>> guess_subgroup("12_BackingVox03.wav").bus, guess_subgroup("09_BassSynth.wav").bus
    ('backing vocals', 'bass')
    """
    words = words_of(name)
    joined = ["".join(pair) for pair in pairwise(words)]  # "Hi Hat" is hihat too
    for rule in RULES:
        if rule.beside and not set(words) & set(rule.beside):
            continue
        for word in [*words, *joined]:
            if word in rule.words:
                return Guess(rule.bus, word)
            part = next((part for part in rule.parts if part in word), None)
            if part:
                return Guess(rule.bus, part)
    return Guess(OTHER)


def guess_subgroups(names: Iterable[str]) -> dict[str, Guess]:
    """Guess the bus of each track, in order."""
    return {name: guess_subgroup(name) for name in names}


def guess_notice(guesses: dict[str, Guess]) -> str:
    """Say in one sentence which buses were guessed, with how many tracks, by which words."""
    parts = []
    for bus in dict.fromkeys(guess.bus for guess in guesses.values()):
        members = [guess for guess in guesses.values() if guess.bus == bus]
        words = list(dict.fromkeys(guess.word for guess in members if guess.word))
        parts.append(f"{bus} {len(members)}" + (f" ({', '.join(words)})" if words else ""))
    return f"Subgroups were guessed from the names of the tracks: {'; '.join(parts)}."
