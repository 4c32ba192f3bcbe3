"""General MIDI and the roles of a songbook: which program plays which role, and which key strikes which drum.

Source. General MIDI System Level 1 (MIDI Manufacturers Association, 1991): 128 programs in families of eight, and a
percussion map from key 35 to 81. Programs count from 0, as they are sent.
"""

from collections.abc import Mapping

_RANGES: tuple[tuple[int, int, tuple[str, ...]], ...] = (
    (0, 5, ("electric piano",)), (6, 7, ("electric piano", "pluck")), (8, 10, ("arpeggio", "blips")),
    (11, 12, ("arpeggio", "electric piano")), (13, 13, ("arpeggio", "blips")), (14, 14, ("arpeggio",)),
    (15, 15, ("pluck", "arpeggio")), (16, 21, ("organ",)), (22, 22, ("lead",)), (23, 23, ("organ",)),
    (24, 27, ("strum", "pluck")), (28, 28, ("pluck",)), (29, 30, ("strum",)), (32, 37, ("bass",)),
    (38, 39, ("sub bass", "bass")), (40, 42, ("lead", "strings")), (43, 43, ("bass",)), (44, 44, ("strings",)),
    (45, 46, ("pluck",)), (48, 51, ("strings",)), (52, 54, ("vocal", "double", "backing vocal")),
    (55, 55, ("stabs",)), (56, 57, ("lead", "stabs")), (58, 58, ("bass",)), (59, 60, ("lead",)), (61, 63, ("stabs",)),
    (64, 68, ("lead",)), (69, 69, ("lead", "pad")), (70, 70, ("bass", "lead")), (71, 75, ("lead",)),
    (76, 77, ("lead", "pad")), (78, 79, ("lead",)), (80, 81, ("lead", "arpeggio", "stabs")), (82, 84, ("lead",)),
    (85, 85, ("vocal", "double", "backing vocal")), (86, 86, ("lead", "stabs")), (87, 87, ("sub bass", "bass")),
    (88, 90, ("pad", "stabs")), (91, 91, ("backing vocal", "pad")), (92, 94, ("pad",)), (95, 95, ("pad", "riser")),
    (96, 96, ("blips", "arpeggio")), (97, 97, ("pad", "riser")), (98, 98, ("arpeggio", "blips")),
    (99, 99, ("pad", "riser")), (100, 100, ("arpeggio", "pluck")), (101, 101, ("riser", "pad")), (102, 102, ("blips",)),
    (103, 103, ("riser", "pad")), (104, 108, ("pluck",)), (109, 111, ("lead",)), (112, 115, ("blips",)),
    (119, 119, ("riser",)), (122, 122, ("riser",)),
)  # fmt: skip

PROGRAM_ROLES: Mapping[int, tuple[str, ...]] = {
    program: roles for first, last, roles in _RANGES for program in range(first, last + 1)
}
"""Program -> roles that it can play, the most usual first; sound effects play none."""

DRUM_CHANNEL, DRUM_BANK = 9, 128

_KEYS: dict[str, tuple[int, ...]] = {
    "kick": (36, 35), "snare": (38, 40), "rim": (37,), "clap": (39,), "hats": (42, 44), "open hats": (46,),
    "low tom": (41, 43), "mid tom": (45, 47), "high tom": (48, 50), "ride": (51, 53, 59), "crash": (49, 57, 52, 55),
    "low conga": (64, 61, 66), "high conga": (63, 60, 62, 65), "shaker": (70, 54, 69, 82), "low block": (77, 56, 68),
    "high block": (76, 75, 67),
}  # fmt: skip

PIECE_KEYS: Mapping[str, tuple[int, ...]] = _KEYS
"""Piece of a drum kit -> keys that strike it, the most usual first."""

KEY_PIECES: Mapping[int, str] = {key: piece for piece, keys in _KEYS.items() for key in keys}
"""The inverse of :data:`PIECE_KEYS`."""

ROLE_PIECES: Mapping[str, tuple[str, ...]] = {
    "kick": ("kick",), "snare": ("snare", "rim"), "hats": ("hats", "open hats"), "clap": ("clap",),
    "toms": ("low tom", "mid tom", "high tom"), "ride": ("ride",), "crash": ("crash",),
    "congas": ("low conga", "high conga"), "shaker": ("shaker",), "woodblock": ("low block", "high block"),
}  # fmt: skip
"""Role of a drum or percussion track -> pieces that it holds."""

RANGES: Mapping[str, tuple[int, int]] = {
    "bass": (28, 52), "sub bass": (24, 45), "electric piano": (48, 79), "organ": (48, 79), "pluck": (45, 76),
    "strum": (43, 74), "pad": (48, 79), "strings": (50, 84), "arpeggio": (55, 88), "stabs": (50, 79),
    "lead": (60, 88), "vocal": (53, 77), "double": (53, 77), "backing vocal": (53, 79), "blips": (62, 96),
    "riser": (48, 84),
}  # fmt: skip
"""Role -> pitches between which its parts lie best."""


def role_of_program(program: int) -> str | None:
    """The most usual role of a program; None of a sound effect.

    >>> role_of_program(33)
    'bass'
    """
    roles = PROGRAM_ROLES.get(program)
    return roles[0] if roles else None
