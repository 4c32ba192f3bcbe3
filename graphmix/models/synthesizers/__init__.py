"""Networks that propose the patch of a sound."""

from graphmix.models.synthesizers.outputs import common_values
from graphmix.models.synthesizers.programmer import (
    Programmer,
    ProgrammerConfig,
    load_programmer,
    note_features,
    save_programmer,
)

__all__ = ["Programmer", "ProgrammerConfig", "common_values", "load_programmer", "note_features", "save_programmer"]
