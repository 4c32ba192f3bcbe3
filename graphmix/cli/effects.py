"""Effects on the command line: captured ones, ``--effect a=amp.safetensors``, and plugins, ``p=plugin:Compressor``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphmix.errors import GraphmixError

if TYPE_CHECKING:
    from graphmix.graph.mixgraph import MixGraph
    from graphmix.processors.base import Processor
    from graphmix.processors.rack import Rack


def rack_for(graph: "MixGraph", given: Sequence[str]) -> "Rack":
    """The processors of a graph, its captured effects from the files that options name.

    Raises:
        GraphmixError: an effect that is missing or another, an option that the graph has no use for.
    """
    from graphmix.processors.rack import Rack

    effects = load_effects(given, graph.sample_rate)
    rack = Rack.for_types(graph.types.types, graph.sample_rate, effects)
    used = {node_type.digest: node_type for node_type in graph.types.types if node_type.source}
    for effect in effects:
        own = effect.node_type
        if own.digest not in used:
            names = ", ".join(f"{t.name!r} from {t.source}" for t in used.values()) or "none"
            raise GraphmixError(
                f"--effect {own.letter}: the graph does not use {own.source}; its captured effects are: {names}."
            )
    return rack


def load_effects(given: Sequence[str], sample_rate: int) -> "list[Processor]":
    """The effects that options name, each as ``letter=FILE`` or ``letter=plugin:NAME``.

    A captured effect whose name is taken has its letter added to it.

    Raises:
        GraphmixError: a text of another form, a letter twice, a file that cannot be read.
    """
    if not given:
        return []
    from graphmix.models.effects.captured import effect_from_text
    from graphmix.processors.rack import Rack

    taken = set(Rack.standard(sample_rate).names)
    effects: list[Processor] = []
    for letter, text in files_of(given).items():
        effect = effect_from_text(text, letter, sample_rate)
        if effect.node_type.name in taken:
            effect = effect_from_text(text, letter, sample_rate, f"{effect.node_type.name}_{letter}")
        taken.add(effect.node_type.name)
        effects.append(effect)
    return effects


def files_of(given: Sequence[str]) -> dict[str, str]:
    """Letter -> file or plugin of each option.

    Raises:
        GraphmixError: a text of another form, a letter twice.
    """
    files: dict[str, str] = {}
    for text in given:
        letter, equals, path = text.partition("=")
        if not equals or len(letter) != 1 or not path:
            raise GraphmixError(
                f"--effect {text}: write a letter and a file or plugin, as in --effect a=amp.safetensors."
            )
        if letter in files:
            raise GraphmixError(f"--effect: letter {letter!r} stands for {files[letter]} and {path}; choose another.")
        files[letter] = path
    return files
