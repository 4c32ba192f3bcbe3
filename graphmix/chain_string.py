"""Chains of processors as one string: a letter for each, or a name in brackets where letters run out.

``e[parametric_eq]cg`` is an equalizer, a parametric equalizer, a compressor and a gain. Letters and names are those of
node types; see :class:`graphmix.spec.NodeType`.
"""

from collections.abc import Iterable

from graphmix.errors import GraphError


def split_chain(chain: str, what: str = "chain") -> list[str]:
    """Letters and names of a chain, in its order.

    Args:
        chain: the string; may be empty.
        what: what it is called in errors.

    Raises:
        GraphError: a bracket without its partner, or no name between two of them.

    Example:
        >>> split_chain("e[parametric_eq]cg")
        ['e', 'parametric_eq', 'c', 'g']
    """
    if not isinstance(chain, str):
        raise GraphError(f"{what} is a {type(chain).__name__}; it is a string such as 'ecg' or 'e[parametric_eq]cg'.")
    kinds, place = list[str](), 0
    while place < len(chain):
        end = place + 1
        if chain[place] == "[":
            closed = chain.find("]", place)
            if closed < 0 or "[" in chain[end:closed]:
                raise GraphError(f"the bracket at place {end} of {what} {chain!r} is not closed; end the name by ']'.")
            if closed == end:
                raise GraphError(f"the brackets at place {end} of {what} {chain!r} are empty; write a name in them.")
            kinds.append(chain[end:closed])
            end = closed + 1
        elif chain[place] == "]":
            raise GraphError(f"the bracket at place {end} of {what} {chain!r} closes nothing; write '[' before a name.")
        else:
            kinds.append(chain[place])
        place = end
    return kinds


def join_chain(kinds: Iterable[str]) -> str:
    """The string of letters and names: the inverse of :func:`split_chain`.

    Example:
        >>> join_chain(["e", "parametric_eq", "c"])
        'e[parametric_eq]c'
    """
    return "".join(kind if len(kind) == 1 else f"[{kind}]" for kind in kinds)
