"""One song of a songbook, in memory: dry tracks, the console that mixes them, the mix.

A song depends on the settings and its index alone. Samples of dry tracks are those that 24 bits can hold, so that
what is measured and mixed is what will be read from the files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphmix.errors import SongError
from graphmix.processors.base import Processor
from graphmix.songbook.checks import is_silent, why_rejected
from graphmix.songbook.condition import at_level, draw_condition, spoil
from graphmix.songbook.effects import Setting, draw_gear
from graphmix.songbook.features import frame_levels
from graphmix.songbook.loops import LoopLibrary, cut_loop
from graphmix.songbook.material import RealMaterial
from graphmix.songbook.mixing import LEAD_LOUDNESS_DB, Mixed, mix_session, render_whole
from graphmix.songbook.playing import Audio, play
from graphmix.songbook.random_order import mix_in_random_order
from graphmix.songbook.real_song import RealTracks, make_tracks
from graphmix.songbook.record import make_record
from graphmix.songbook.roles import ROLES, Role, find_role
from graphmix.songbook.score import GENRES, Form, Genre, draw_form, write_part
from graphmix.songbook.scores import ScoreError
from graphmix.songbook.session import MixingStyle, Session, draw_style
from graphmix.songbook.settings import SongbookSettings
from graphmix.songbook.topology import PlannedTrack, draw_topology

QUANTUM = 2.0**-23
"""The last bit of 24."""
CROWD_DB = 3.5
ATTEMPTS = 8
"""So often a song of real material is drawn before its material is given up."""
_SAME_TUNE = {"double": "vocal"}
_NAMES = ("C", "C sharp", "D", "E flat", "E", "F", "F sharp", "G", "A flat", "A", "B flat", "B")


@dataclass(frozen=True)
class BookSong:
    """One song.

    Args:
        index: in the songbook.
        artist: number of the artist.
        genre: of the artist; None where the parts are loops.
        session: dry tracks, roles, subgroups.
        style: of the artist's engineer.
        mixed: the true graph and the mix.
        facts: tempo, key, conditions, files of loops: for reading, not for deciding (JSON values).
    """

    index: int
    artist: int
    genre: str | None
    session: Session
    style: MixingStyle
    mixed: Mixed
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """As its folder is called."""
        return song_name(self.index)


def song_name(index: int) -> str:
    """Folder of a song.

    >>> song_name(17)
    'song_00017'
    """
    return f"song_{index:05d}"


def make_song(
    settings: SongbookSettings,
    index: int,
    loops: LoopLibrary | None = None,
    effects: Sequence[Processor] = (),
    material: RealMaterial | None = None,
) -> BookSong:
    """Make one song.

    Args:
        settings: of the songbook.
        index: of the song, 0 or more; it needs no other songs.
        loops: files in place of the synthesized parts.
        effects: captured effects; a share of the tracks passes through one of them on its way to the console.
        material: real scores and samples in place of composed and synthesized parts; not together with loops.

    Raises:
        SongError: a loop or sample that cannot be read, or material of which no song can be made.
    """
    artist = settings.artist_of(index)
    genre = GENRES[int(np.random.default_rng(settings.stream("form", artist)).integers(len(GENRES)))]
    rng = np.random.default_rng(settings.stream("form", artist, index))
    low, high = settings.seconds
    seconds = min(high, max(low, round(float(rng.uniform(low, high)), 1)))
    if material is not None:
        return _real_song(settings, index, genre, seconds, effects, material)
    form = draw_form(rng, genre, seconds)
    available = None if loops is None else loops.files.keys()
    rng = np.random.default_rng(settings.stream("topology", index))
    planned = draw_topology(rng, settings.min_tracks, settings.max_tracks, available)
    clean, sources = _clean_tracks(settings, index, form, [t for members in planned.values() for t in members], loops)
    facts: dict[str, Any] = {"seconds": seconds}
    facts |= {"loops": sources} if loops else {"bpm": round(form.bpm, 1), "key": _NAMES[form.root % 12]}
    tracks = RealTracks(planned, clean, facts)
    return _mixed_song(settings, index, None if loops else genre.name, tracks, effects)


def _real_song(
    settings: SongbookSettings,
    index: int,
    genre: Genre,
    seconds: float,
    effects: Sequence[Processor],
    material: RealMaterial,
) -> BookSong:
    """The first attempt that its checks accept; its facts say why others were rejected."""
    rejected: list[str] = []
    for attempt in range(ATTEMPTS):
        try:
            tracks = make_tracks(settings, index, attempt, material, genre, seconds)
        except ScoreError as error:
            rejected.append(f"unreadable: {error}")
            continue
        flat = [track.name for members in tracks.planned.values() for track in members]
        mono = (np.mean(np.atleast_2d(audio), axis=0) for audio in tracks.clean)
        silent = [name for name, audio in zip(flat, mono, strict=True) if is_silent(audio, settings.sample_rate)]
        if silent:  # before it is mixed: no gain would make it as loud as its part should be
            rejected.append(f"silent: {silent[0]}")
            continue
        song = _mixed_song(settings, index, genre.name, tracks, effects)
        if settings.mode in ("console", "gain"):  # the others are rendered whole already
            song = replace(song, mixed=render_whole(song.session, song.mixed))
        reason = why_rejected(song.session.stems, song.mixed.mix, settings.sample_rate)
        if reason is None:
            return replace(song, facts={"seconds": seconds, **song.facts, "rejected": rejected})
        rejected.append(reason)
    raise SongError(
        f"no song {index} can be made of this material: {ATTEMPTS} attempts were rejected, the last one as "
        f"{rejected[-1]!r}."
    )


def _mixed_song(
    settings: SongbookSettings, index: int, genre: str | None, tracks: RealTracks, effects: Sequence[Processor]
) -> BookSong:
    """The tracks as they arrive, mixed by the artist's engineer."""
    artist = settings.artist_of(index)
    flat = [track for members in tracks.planned.values() for track in members]
    stems = _arrived(settings, index, flat, tracks.clean)
    ending = "." + settings.audio_format
    session = Session(
        stems={track.name + ending: stem for track, stem in zip(flat, stems, strict=True)},
        roles={track.name + ending: track.role for track in flat},
        subgroups={bus: tuple(track.name + ending for track in members) for bus, members in tracks.planned.items()},
        sample_rate=settings.sample_rate,
        gear=_gear(settings, index, [track.name + ending for track in flat], effects),
        effects=tuple(effects),
    )
    style = draw_style(settings.stream("artist", artist), settings.style_spread)
    if settings.mode == "random-order":
        mixed = mix_in_random_order(session, style, settings.random_types, settings.stream("order", index))
    else:
        mixed = mix_session(
            session, style, settings.chance, settings.stream("chance", index), gain_only=settings.mode == "gain"
        )
    if settings.mode == "record":
        families = {track: find_role(role).family for track, role in session.roles.items()}
        mixed = make_record(session, mixed, families, np.random.default_rng(settings.stream("record", index)))
    mixed = replace(mixed, graph=_with_provenance(mixed, settings, index))
    return BookSong(index, artist, genre, session, style, mixed, tracks.facts)


def _gear(
    settings: SongbookSettings, index: int, tracks: Sequence[str], effects: Sequence[Processor]
) -> dict[str, Setting]:
    """The captured effect of each track that has one."""
    seeds = [settings.stream("effect", index, place) for place in range(len(tracks))]
    drawn = [draw_gear(np.random.default_rng(seed), effects, settings.effect_share) for seed in seeds]
    return {track: gear for track, gear in zip(tracks, drawn, strict=True) if gear is not None}


def _clean_tracks(
    settings: SongbookSettings, index: int, form: Form, tracks: list[PlannedTrack], loops: LoopLibrary | None
) -> tuple[list[Audio], list[str]]:
    """Each track as it was played, and of loops the files."""
    numbers = {role: number for number, role in enumerate(ROLES)}
    clean, sources = [], []
    for place, track in enumerate(tracks):
        playing = np.random.default_rng(settings.stream("playing", index, place))
        if loops is not None:
            audio, source = cut_loop(loops, track.role, playing, form.seconds, settings.sample_rate)
            sources.append(source)
        else:
            tune = _SAME_TUNE.get(track.role, track.role)
            score = np.random.default_rng(settings.stream("score", index, numbers[tune], track.copy))
            audio = play(track.role, write_part(tune, form, score), form, playing, settings.sample_rate)
        clean.append(audio)
    return clean, sources


def _arrived(settings: SongbookSettings, index: int, tracks: list[PlannedTrack], clean: list[Audio]) -> list[Tensor]:
    """The tracks with their faults and levels, in 24 bits, [1 or 2, samples] each."""
    roles = [find_role(track.role) for track in tracks]
    stems = []
    for place, (role, audio) in enumerate(zip(roles, clean, strict=True)):
        rng = np.random.default_rng(settings.stream("condition", index, place))
        condition = draw_condition(role, rng)
        others = [c for k, c in enumerate(clean) if k != place and roles[k].family == role.family]
        audio = spoil(audio, condition, role, others, rng, settings.sample_rate)
        audio = at_level(audio, _usual_level(role) - condition.fader_db - _level(audio, settings.sample_rate))
        stems.append(in_24_bits(audio))
    return stems


def _usual_level(role: Role) -> float:
    """Where the fader would stand at 0 dB in a song of usual size, whose tracks are mixed softer."""
    return LEAD_LOUDNESS_DB + role.loudness_db - CROWD_DB


def _level(audio: Audio, sample_rate: int) -> float:
    """Mean level in dB of the frames that sound."""
    levels = frame_levels(audio.mean(axis=0), sample_rate)
    loud = levels[levels > levels.max() - 30]
    return float(10 * np.log10(np.mean(10 ** (loud / 10))))


def in_24_bits(audio: Audio) -> Tensor:
    """The nearest samples that a 24-bit file holds, float32."""
    return torch.from_numpy((np.round(audio / QUANTUM) * QUANTUM).astype(np.float32))


def _with_provenance(mixed: Mixed, settings: SongbookSettings, index: int) -> Any:
    graph = mixed.graph
    provenance = {
        "song": song_name(index),
        "made_by": "graphmix songbook",
        "num_samples": mixed.mix.size(1),
        "seed": settings.seed,
        "index": index,
        "mode": settings.mode,
        "chance": settings.chance,
    }
    graph.info = replace(graph.info, provenance=provenance)
    return graph
