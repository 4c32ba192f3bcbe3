"""The tracks of a song of real scores and samples, as they were recorded: which tracks, who plays what, the sound.

A song depends on settings, index and material. A song that its checks reject (:mod:`graphmix.songbook.checks`) is
drawn again with the next attempt's random numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator

from graphmix.songbook.arrangement import Assigned, arrange, drum_strokes
from graphmix.songbook.drumkit import Kit, piece_or_spare
from graphmix.songbook.excerpt import Excerpt, draw_excerpt
from graphmix.songbook.general_midi import PIECE_KEYS, ROLE_PIECES
from graphmix.songbook.material import VOCAL_ROLES, RealMaterial
from graphmix.songbook.microphones import draw_setup, place_strokes, plan_microphones, record_drums
from graphmix.songbook.performance import draw_hand, perform
from graphmix.songbook.playing import Audio, faded, play, resampled, widened
from graphmix.songbook.recording import draw_recording, record
from graphmix.songbook.roles import MICROPHONES, find_role
from graphmix.songbook.score import Form, Genre, Note, draw_form
from graphmix.songbook.scores import RealScore, ScoreFile, read_score
from graphmix.songbook.settings import SongbookSettings
from graphmix.songbook.soundfont import PlayedNote, play_preset
from graphmix.songbook.synth import SYNTH_RATE, Samples
from graphmix.songbook.topology import PlannedTrack, draw_topology
from graphmix.songbook.voices import WIDE_ROLES

_MICROPHONE_SHARE = 0.75
"""Songs whose drums are a set before microphones; in the others each track is one piece alone."""
_LAYER_SHARE = 0.2
"""Tracks that two instruments play together."""
_VOICE_ALONE, _VOICE_LAYERED = 0.15, 0.45
"""Shares of vocals that the built-in singing voice sings, alone and together with a preset."""
_SCORE_DRAWS = 3
_SIDE_DB = -26.0
"""A preset whose side channel is softer than that is mono."""
_SET_PIECES = tuple(p for role in ("kick", "snare", "hats", "toms", "ride", "crash") for p in ROLE_PIECES[role])


@dataclass(frozen=True)
class RealTracks:
    """Tracks as they were recorded.

    Args:
        planned: bus -> its tracks.
        clean: sound of each track in that order, at the songbook's rate.
        facts: score, excerpt, instruments (JSON values).
    """

    planned: dict[str, list[PlannedTrack]]
    clean: list[Audio]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Seeds:
    """Random numbers of one attempt at a song."""

    settings: SongbookSettings
    index: int
    attempt: int

    def rng(self, purpose: str, *numbers: int) -> Generator:
        return np.random.default_rng(self.of(purpose, *numbers))

    def of(self, purpose: str, *numbers: int) -> tuple[int, ...]:
        return self.settings.stream(purpose, self.index, self.attempt, *numbers)


def make_tracks(
    settings: SongbookSettings, index: int, attempt: int, material: RealMaterial, genre: Genre, seconds: float
) -> RealTracks:
    """The tracks of one attempt at a song.

    Args:
        settings: of the songbook.
        index: of the song.
        attempt: from 0.
        material: scores and instruments.
        genre: of the artist: grooves of the drums, tempo where the score has none.
        seconds: of the song.

    Raises:
        SongError: a score or a sample that cannot be read.
    """
    seeds = _Seeds(settings, index, attempt)
    excerpt, facts = _excerpt(seeds, material, genre, seconds)
    topology = settings.stream("topology", index) if attempt == 0 else seeds.of("topology")
    planned = draw_topology(np.random.default_rng(topology), settings.min_tracks, settings.max_tracks, material.roles)
    drums = _DrumSet.draw(seeds, material)
    if drums.has_microphones:
        planned = {bus: plan_microphones(its) if _is_drums(its) else its for bus, its in planned.items()}
    tracks = [track for its in planned.values() for track in its]
    instruments: dict[str, Any] = {}
    assigned = arrange(excerpt, tracks, seeds.of("arrangement"))
    recorded = drums.record(excerpt, tracks, seeds)
    clean = []
    for place, (track, part) in enumerate(zip(tracks, assigned, strict=True)):
        rng = seeds.rng("playing", place)
        if place in recorded:
            audio, instruments[track.name] = recorded[place]
        elif track.role in ROLE_PIECES:
            audio, instruments[track.name] = _piece(excerpt, track, material, drums, rng, seeds)
        else:
            audio, instruments[track.name] = _pitched(excerpt.form, excerpt.beats_per_bar, track, part, material, rng)
        rng = seeds.rng("recording", place)
        role = find_role(track.role)
        audio = record(audio, draw_recording(role, rng), rng)
        clean.append(_at_rate(audio, settings.sample_rate, round(seconds * settings.sample_rate)))
    facts["instruments"] = instruments
    return RealTracks(planned, clean, facts)


def _is_drums(tracks: Sequence[PlannedTrack]) -> bool:
    return find_role(tracks[0].role).family == "drums"


def _excerpt(seeds: _Seeds, material: RealMaterial, genre: Genre, seconds: float) -> tuple[Excerpt, dict[str, Any]]:
    """What the song is arranged from, and where it is from."""
    rng = seeds.rng("excerpt")
    if material.scores is None:
        form = draw_form(rng, genre, seconds)
        return Excerpt((), form, 4, 0, 0), {"bpm": round(form.bpm, 1)}
    file, score = _score(material, rng)
    excerpt = draw_excerpt(score, genre, seconds, rng)
    facts = {
        "score": file.name,
        "score_digest": file.digest,
        "score_split": file.split,
        "first_bar": excerpt.first_bar,
        "transposition": excerpt.transposition,
        "bpm": round(excerpt.form.bpm, 1),
        "beats_per_bar": excerpt.beats_per_bar,
    }
    return excerpt, facts


def _score(material: RealMaterial, rng: Generator) -> tuple[ScoreFile, RealScore]:
    """A score; one of a single part is put back a few times, since most of its song would have to be composed."""
    for _ in range(_SCORE_DRAWS):
        file = material.draw_score(rng)
        score = read_score(file)
        if len(score.parts) > 1:
            break
    return file, score


def _pitched(
    form: Form, beats_per_bar: int, track: PlannedTrack, part: Assigned, material: RealMaterial, rng: Generator
) -> tuple[Audio, dict[str, Any]]:
    """A track that is no drum, [1 or 2, samples] at the synthesizers' rate, and what plays it."""
    notes = part.notes or [Note(0.0, 2.0, 60.0, 0.7)]
    presets = material.presets_of(track.role)
    facts: dict[str, Any] = {"part": part.source, "played_by": []}
    chance = float(rng.random())
    sings = track.role in VOCAL_ROLES and chance < _VOICE_ALONE + _VOICE_LAYERED
    layers: list[Audio] = []
    if presets and not (sings and chance < _VOICE_ALONE):
        count = 2 if not sings and len(presets) > 1 and rng.random() < _LAYER_SHARE else 1
        for layer, chosen in enumerate(rng.choice(len(presets), count, replace=False)):
            preset = presets[int(chosen)]
            hand = draw_hand(rng)
            played = perform(notes, form, beats_per_bar, hand, rng)
            audio = play_preset(material.soundfont_of(preset), preset, played, form.seconds)
            layers.append(_scaled(audio, -float(rng.uniform(1, 8)) if layer else 0.0))
            facts["played_by"].append(preset.to_dict())
    if sings or not layers:
        audio = play(track.role, notes, form, rng, SYNTH_RATE)
        layers.append(_scaled(audio, -float(rng.uniform(0, 6)) if layers else 0.0))
        facts["played_by"].append({"synthesis": track.role})
    total = sum(np.broadcast_to(layer, (2, layer.shape[1])) for layer in layers)
    return _mono_or_stereo(np.asarray(total), track.role, rng), facts


def _scaled(audio: Audio, level_db: float) -> Audio:
    """A layer at a level, relative to others."""
    rms = float(np.sqrt(np.mean(np.square(audio)))) + 1e-9
    return audio * (10 ** (level_db / 20) * 0.1 / rms)


def _mono_or_stereo(audio: Audio, role: str, rng: Generator) -> Audio:
    """As it would be recorded: most parts in mono, wide ones in stereo."""
    mid, side = (audio[0] + audio[1]) / 2, (audio[0] - audio[1]) / 2
    if role not in WIDE_ROLES:
        return mid[None]
    if np.mean(np.square(side)) > 10 ** (_SIDE_DB / 10) * np.mean(np.square(mid)):
        return audio
    return widened(mid, rng, SYNTH_RATE) if rng.random() < 0.5 else mid[None]


@dataclass(frozen=True)
class _DrumSet:
    """The drums of a song: a kit, which of its instruments, and whether microphones stand before it."""

    kit: Kit | None
    choice: int
    has_microphones: bool

    @classmethod
    def draw(cls, seeds: _Seeds, material: RealMaterial) -> "_DrumSet":
        rng = seeds.rng("drums")
        kits = material.full_kits
        if not kits:
            return cls(None, 0, False)
        kit = kits[int(rng.integers(len(kits)))]
        return cls(kit, int(rng.integers(1000)), bool(rng.random() < _MICROPHONE_SHARE))

    def record(
        self, excerpt: Excerpt, tracks: Sequence[PlannedTrack], seeds: _Seeds
    ) -> dict[int, tuple[Audio, dict[str, Any]]]:
        """The tracks of microphones, by their place among all."""
        places = [k for k, track in enumerate(tracks) if _is_microphone(track)]
        if self.kit is None or not self.has_microphones or not places:
            return {}
        rng = seeds.rng("drums", 1)
        roles = {"kick", "snare", "hats"} | {tracks[k].role for k in places}
        roles |= {role for role in ("toms", "ride", "crash") if rng.random() < 0.45}
        hand = draw_hand(rng, is_drum=True)
        length = round(excerpt.form.seconds * SYNTH_RATE)
        pieces: dict[str, Samples] = {}
        for role in (role for role in ROLE_PIECES if role in roles):
            strokes = drum_strokes(excerpt, role, seeds.rng("score", *_number(role)))
            pieces |= _sound(self.kit, self.choice, strokes, excerpt, hand, rng, length)
        of_set = {piece: sound for piece, sound in pieces.items() if piece in _SET_PIECES}
        audio = record_drums(of_set, [tracks[k] for k in places], draw_setup(rng), rng)
        facts = {"part": _drum_source(excerpt), "played_by": [{"kit": self.kit.name}], "microphone": True}
        return {k: (a, dict(facts)) for k, a in zip(places, audio, strict=True)}


def _is_microphone(track: PlannedTrack) -> bool:
    """Whether a track of drums is a microphone and not a sample of one piece."""
    return track.role in MICROPHONES or (
        track.role in ("kick", "snare", "hats", "toms", "ride", "crash") and not track.name.endswith("_sample")
    )


def _number(role: str) -> tuple[int]:
    return (list(ROLE_PIECES).index(role),)


def _drum_source(excerpt: Excerpt) -> str:
    return "the score's drums" if excerpt.drums else "composed"


def _piece(
    excerpt: Excerpt, track: PlannedTrack, material: RealMaterial, drums: _DrumSet, rng: Generator, seeds: _Seeds
) -> tuple[Audio, dict[str, Any]]:
    """One role of drums or percussion alone, [1, samples]; a sample track of a set doubles it with another kit."""
    strokes = drum_strokes(excerpt, track.role, seeds.rng("score", *_number(track.role), track.copy))
    facts: dict[str, Any] = {"part": _drum_source(excerpt)}
    kits = material.kits_of(track.role)
    if not kits:
        notes = [Note(n.beat, n.beats, _voice_pitch(piece, n), n.velocity) for piece, n in strokes]
        audio = play(track.role, notes, excerpt.form, rng, SYNTH_RATE)
        return audio, {**facts, "played_by": [{"synthesis": track.role}]}
    own = drums.kit if drums.kit in kits and not track.name.endswith("_sample") and track.copy == 0 else None
    kit = own or kits[int(rng.integers(len(kits)))]
    choice = drums.choice if own else int(rng.integers(1000))
    length = round(excerpt.form.seconds * SYNTH_RATE)
    hand = draw_hand(rng, is_drum=True)
    sounds = _sound(kit, choice, strokes, excerpt, hand, rng, length)
    audio = np.asarray(sum(sounds.values(), np.zeros(length)))
    return audio[None], {**facts, "played_by": [{"kit": kit.name}]}


def _voice_pitch(piece: str, note: Note) -> float:
    """The pitch of a built-in voice for a stroke; composed strokes have their own."""
    pitches = {"low tom": 43, "mid tom": 46, "high tom": 50, "low conga": 55, "high conga": 62}
    return float(pitches.get(piece, note.pitch))


def _sound(
    kit: Kit, choice: int, strokes: Sequence[tuple[str, Note]], excerpt: Excerpt, hand: Any, rng: Generator, length: int
) -> dict[str, Samples]:
    """Each piece of a kit alone; the two hats end one another."""
    found: dict[str, list[tuple[PlayedNote, Samples]]] = {}
    for piece, note in strokes:
        there = piece_or_spare(kit, piece)
        if there is None:
            continue
        played = perform([Note(note.beat, note.beats, PIECE_KEYS[piece][0], note.velocity)], excerpt.form,
                         excerpt.beats_per_bar, hand, rng)[0]  # fmt: skip
        name = "hats" if there == "open hats" else there
        found.setdefault(name, []).append((played, kit.strike(there, played.velocity, choice, rng)))
    return {piece: place_strokes(its, length, is_hat=piece == "hats") for piece, its in found.items()}


def _at_rate(audio: Audio, sample_rate: int, length: int) -> Audio:
    """At the songbook's rate, with a soft end."""
    channels = [resampled(channel, SYNTH_RATE, sample_rate, length) for channel in audio]
    return faded(np.stack(channels), sample_rate)
