"""Packages that songbooks of real scores and samples need, and that graphmix does not install by itself."""

from importlib import import_module
from typing import Any

from graphmix.errors import SongError

_PURPOSES = {
    "music21": "reading scores in MusicXML, Humdrum or ABC",
    "pretty_midi": "reading MIDI files",
    "fluidsynth": "playing soundfonts",
}
INSTALL = "pip install 'graphmix[songs]'"


def load_extra(module: str) -> Any:
    """Import an optional package.

    Raises:
        SongError: it is not installed, or the library that it binds is missing.
    """
    purpose = _PURPOSES[module]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        package = "pyfluidsynth" if module == "fluidsynth" else module
        raise SongError(f"{purpose} needs the package {package}: {INSTALL}.") from None
    except ImportError as error:  # pyfluidsynth without its library
        raise SongError(
            f"{purpose} needs the library FluidSynth ({error}): install libfluidsynth, on Debian and Ubuntu "
            "apt install libfluidsynth3."
        ) from None
