"""A wide console: the chains of a search begin with all types that may be there, ``--search wide``.

What stands in a chain from the beginning is fitted together with all else, and pruning decides among types by what each
does for the loss. A type that comes later by a move has a few steps, beside settings that were fitted without it: it
has to be better at once than what had taken its part. So the console of such a search has each chain with those of
``types`` that it lacks:

- filters behind the chain's last filter;
- echoes and rooms behind its fader, or at its end;
- all others, which are dynamics, saturation, modulation and width, before the fader, in the order of ``types``.

One pass of moves, before the last round, then changes the order: until then there is enough to choose from. A step
costs more than on the usual console, by what its types cost: saturation and modulation are dear.
"""

from dataclasses import replace

from graphmix.chain_string import join_chain, split_chain
from graphmix.errors import SearchError
from graphmix.processors.gear import FILTERS, SPACES
from graphmix.processors.rack import Rack
from graphmix.search.moves_stage import chosen_processors
from graphmix.search.settings import EVERY_TYPE, SearchSettings

MOST_TYPES = 16
"""Types of a chain."""


def widen(settings: SearchSettings, rack: Rack) -> tuple[str, Rack]:
    """The chain of a search's tracks and buses, and a rack that has all of its types.

    Args:
        settings: of the search.
        rack: of its chains.

    Raises:
        SearchError: a type that cannot be brought in; of a wide search no types, or too many.
    """
    chosen = chosen_processors(settings, rack)
    if not settings.is_wide:
        return settings.chain, rack
    if settings.types in ("", EVERY_TYPE):
        raise SearchError(f"a wide console has all types that are named, and types are {settings.types!r}: name some.")
    names = {t.letter: t.name for t in rack.types if t.letter}
    chain = [names.get(kind, kind) for kind in split_chain(settings.chain)]
    missing = [name for name in chosen if name not in chain]
    count = len(chain) + len(missing)
    if count > MOST_TYPES:
        raise SearchError(f"a wide console with {count} types in a chain: {MOST_TYPES} at the most.")
    if not missing:
        return settings.chain, rack
    for name in missing:
        if name not in rack:
            rack = rack.with_processor(chosen[name])
    letters = {name: letter for letter, name in names.items()}
    return join_chain(letters.get(name, name) for name in _joined(chain, missing)), rack


def wide_settings(settings: SearchSettings) -> SearchSettings:
    """Settings of the search on a wide console.

    A hybrid policy gives way to ``leave-one-out``: of many types that can do nearly the same, those that matter least
    go first, whatever their dry/wet weights. Only the loss decides: what tracks sound like on a console that is far
    from the mix is nothing that removals have to keep to.

    Example:
        >>> wide = wide_settings(SearchSettings(audible_db=1.0))
        >>> wide.policy, wide.audible_db
        ('leave-one-out', 0.0)
    """
    policy = "leave-one-out" if settings.policy == "hybrid" else settings.policy
    return replace(settings, policy=policy, audible_db=0.0)


def _joined(chain: list[str], more: list[str]) -> list[str]:
    """A chain with more types, each where one of its family usually stands."""
    filters, spaces = ({kind().node_type.name for kind in family} for family in (FILTERS, SPACES))
    fader = chain.index("gain") if "gain" in chain else len(chain)
    behind = max((k for k, name in enumerate(chain) if name in filters | {"equalizer"}), default=-1) + 1
    inserted = [
        (behind, [name for name in more if name in filters]),
        (fader, [name for name in more if name not in filters | spaces]),
        (min(fader + 1, len(chain)), [name for name in more if name in spaces]),
    ]
    joined: list[str] = []
    for place in range(len(chain) + 1):
        joined += [name for at, names in inserted if at == place for name in names]
        joined += chain[place : place + 1]
    return joined
