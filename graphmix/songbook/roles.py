"""What a track can be in a song, where its family stands, and what an engineer wants of it.

A role's wishes are the fixed part of every mixing decision: how loud it should be, where, how far away, how low it
may reach, how even its strokes should be. What the track is like decides how it gets there
(:mod:`graphmix.songbook.engineer`).

Conventions. Loudness in dB relative to the lead voice; places from -1 (left) to 1 (right); depth and echo are dry/wet
weights of a track that leaves gaps.
"""

from dataclasses import dataclass

from graphmix.errors import SongError


@dataclass(frozen=True)
class Role:
    """One kind of track.

    Args:
        name: as it appears in file names.
        family: what it shares a bus with.
        loudness_db: target relative to the lead.
        place: where it stands, -1 left to 1 right; others of its role stand opposite.
        depth: wet weight of its reverb, if it leaves gaps that a reverb can fill.
        decay_s: RT60 of that reverb.
        echo: wet weight of its delay, likewise.
        low_hz: lowest frequency that belongs to the role.
        bright_db: typical power from 2 to 10 kHz relative to 200 Hz to 2 kHz, in dB.
        peaky_db: by how much its spectrum typically stands out of its surroundings somewhere from 200 Hz to 8 kHz.
        even_db: by how much strokes may differ.
        time_ms: smoothing time of its compressor.
        width_db: target of side relative to mid, for a stereo track.
    """

    name: str
    family: str
    loudness_db: float
    place: float
    depth: float
    decay_s: float
    echo: float
    low_hz: float
    bright_db: float
    peaky_db: float
    even_db: float
    time_ms: float
    width_db: float = -9.0


_R = Role
_ROLES = (
    _R("kick", "drums", -3, 0.0, 0.0, 0.4, 0, 32, -29, -9, 9, 12),
    _R("snare", "drums", -3, 0.0, 0.16, 0.6, 0, 90, -4, 16.5, 17, 12),
    _R("hats", "drums", -12, 0.35, 0.05, 0.4, 0, 250, 20, 0, 12, 10),
    _R("clap", "drums", -8, -0.1, 0.2, 0.7, 0, 200, 6, 2, 10, 12),
    _R("toms", "drums", -7, -0.45, 0.14, 0.7, 0, 60, -18, 4, 8, 15),
    _R("ride", "drums", -13, -0.5, 0.08, 0.6, 0, 250, 18, 2, 11, 15),
    _R("crash", "drums", -13, 0.55, 0.12, 0.9, 0, 250, 15, -4, 24, 30),
    _R("congas", "percussion", -9, -0.5, 0.14, 0.6, 0, 80, -24, 17, 11, 15),
    _R("shaker", "percussion", -15, 0.6, 0.08, 0.5, 0, 400, 20, -3, 11, 12),
    _R("woodblock", "percussion", -14, 0.75, 0.16, 0.7, 0.12, 250, -4, 8, 5, 12),
    _R("bass", "bass", -3, 0.0, 0.0, 0.4, 0, 35, -21, 6, 7, 30),
    _R("sub bass", "bass", -6, 0.0, 0.0, 0.4, 0, 30, -39, 5, 8, 40),
    _R("electric piano", "keys", -7, -0.4, 0.1, 0.9, 0, 70, -27, 14, 6, 35),
    _R("organ", "keys", -10, 0.4, 0.12, 1.0, 0, 70, -5, 5, 5, 60),
    _R("pluck", "guitars", -7, 0.55, 0.12, 0.7, 0.1, 80, -2, 2.5, 9, 25),
    _R("strum", "guitars", -8, -0.65, 0.1, 0.8, 0, 80, -2, 2, 9, 30),
    _R("pad", "synths", -11, 0.0, 0.2, 1.4, 0, 90, -13, 11, 8, 80),
    _R("strings", "synths", -11, 0.0, 0.22, 1.5, 0, 110, -9, 8, 7, 80),
    _R("arpeggio", "synths", -10, 0.5, 0.1, 0.8, 0.28, 110, -13, 13, 9, 20),
    _R("stabs", "synths", -10, -0.4, 0.14, 0.7, 0.15, 110, -13, 11.5, 6, 25),
    _R("lead", "lead", -1, 0.0, 0.14, 1.0, 0.2, 120, -11, 12, 6, 35),
    _R("vocal", "vocals", 0, 0.0, 0.15, 1.0, 0.18, 90, -13, 11, 7, 35),
    _R("double", "vocals", -9, 0.5, 0.2, 1.0, 0, 110, -13, 11, 7, 35),
    _R("backing vocal", "backing", -9, -0.6, 0.24, 1.3, 0, 120, -13, 11, 7, 40),
    _R("riser", "effects", -14, 0.0, 0.18, 1.4, 0, 150, 12, -2, 24, 60),
    _R("blips", "effects", -14, 0.7, 0.16, 0.9, 0.3, 250, -12, 14, 8, 15),
)

ROLES: dict[str, Role] = {role.name: role for role in _ROLES}
"""Name -> role."""

MICROPHONES: dict[str, Role] = {
    role.name: role
    for role in (
        _R("overheads", "drums", -6, 0.0, 0.05, 0.6, 0, 60, 4, 4, 14, 20, -8),
        _R("room", "drums", -12, 0.0, 0.0, 0.8, 0, 60, -6, 4, 12, 40, -5),
    )
}
"""Roles of tracks that hold a whole drum set; songs of recorded drums have them."""

FAMILIES: dict[str, tuple[str, ...]] = {}
"""Family -> its roles, those that a small group has first."""
for _role in _ROLES:
    FAMILIES[_role.family] = (*FAMILIES.get(_role.family, ()), _role.name)

FAMILY_SIZES: dict[str, tuple[int, int]] = {
    "drums": (2, 20), "percussion": (1, 8), "bass": (1, 3), "keys": (1, 5), "guitars": (1, 10), "synths": (1, 10),
    "lead": (1, 2), "vocals": (1, 6), "backing": (2, 40), "effects": (1, 8),
}  # fmt: skip
"""How many tracks a bus of a family usually holds."""

BUS_DEPTH = {"drums": 0.05, "percussion": 0.08, "keys": 0.08, "guitars": 0.08, "synths": 0.08, "backing": 0.12}
"""Wet weight of a reverb on a whole bus, as :attr:`Role.depth`."""

BUS_BRIGHT_DB = {
    "drums": -3.0, "percussion": 0.0, "bass": -24.0, "keys": -17.0, "guitars": -13.0, "synths": -14.0, "lead": -13.0,
    "vocals": -15.0, "backing": -15.0, "effects": 0.0,
}  # fmt: skip
"""As :attr:`Role.bright_db`, of a bus."""


def find_role(name: str) -> Role:
    """The role of that name.

    Raises:
        SongError: there is none.
    """
    role = ROLES.get(name) or MICROPHONES.get(name)
    if role is None:
        raise SongError(f"there is no role {name!r}; choose one of: {', '.join(ROLES)}.")
    return role
