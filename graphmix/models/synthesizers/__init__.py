"""Networks that propose the patch of a sound."""

from graphmix.models.synthesizers.programmer import (
    Programmer,
    ProgrammerConfig,
    load_programmer,
    note_features,
    save_programmer,
)

__all__ = ["Programmer", "ProgrammerConfig", "load_programmer", "note_features", "save_programmer"]
