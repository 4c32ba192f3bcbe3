"""A rack: the processors that a graph may use, by name."""

import copy
from collections.abc import Iterable, Iterator
from os import PathLike

from torch import nn

from graphmix.chain_string import split_chain
from graphmix.errors import GraphError
from graphmix.processors.base import LTIProcessor, MatrixProcessor, Processor
from graphmix.processors.gear import ADDED, CONSOLE_PROCESSORS, GENERATORS, MORE, VARIANTS
from graphmix.processors.resampled import RateBound
from graphmix.spec import STRUCTURAL, NodeType


class Rack(nn.Module):
    """Node type name -> processor.

    Args:
        processors: one for each node type; all at the same sample rate.
        sample_rate: in Hz, of a rack without processors; else it is theirs.

    Example:
        >>> Rack.console("eg", sample_rate=44100).names
        ('equalizer', 'gain')
    """

    def __init__(self, processors: Iterable[Processor], sample_rate: int = 30000) -> None:
        super().__init__()
        self._processors = nn.ModuleDict()
        for processor in processors:
            name = processor.node_type.name
            if name in self._processors:
                raise GraphError(f"two processors of this rack are called {name!r}; give each its own name.")
            _check_ports(processor)
            self._processors[name] = processor
        rates = {p.sample_rate for p in self}
        if len(rates) > 1:
            raise GraphError(f"the processors of this rack have sample rates {sorted(rates)}; use one rate.")
        self.sample_rate = rates.pop() if rates else sample_rate
        self._check_letters()

    def _check_letters(self) -> None:
        """Letters must differ from one another, and from those of inputs, mixes and outputs."""
        taken = {node_type.letter: node_type.name for node_type in STRUCTURAL}
        for node_type in self.types:
            if node_type.letter in ("[", "]"):
                raise GraphError(f"letter {node_type.letter!r} of {node_type.name} encloses names; choose another.")
            if node_type.letter and node_type.letter in taken:
                name = taken[node_type.letter]
                raise GraphError(f"letter {node_type.letter!r} of {node_type.name} is that of {name}; choose another.")
            taken[node_type.letter] = node_type.name

    @classmethod
    def console(cls, chain: str = "ecnsgdr", sample_rate: int = 30000, extra: Iterable[Processor] = ()) -> "Rack":
        """The processors of a chain, of graphmix and of ``extra`` (e.g. captured effects).

        Args:
            chain: letters, and names in brackets: ``e[parametric_eq]cg``.
            sample_rate: in Hz.
            extra: processors beside graphmix's own.

        Raises:
            GraphError: a letter or name that none of them has, or that two of them share.
        """
        kinds = split_chain(chain)
        own = [*cls.standard(sample_rate)]
        if any(len(kind) > 1 for kind in kinds):
            own += [kind(sample_rate) for kind in MORE]
        found = {p.node_type.name: p for p in own}
        found |= {p.node_type.letter: p for p in own if p.node_type.letter}
        for processor in extra:
            name, letter = processor.node_type.name, processor.node_type.letter
            if letter in found:
                taken = found[letter].node_type.name
                raise GraphError(f"letter {letter!r} of {name} is that of {taken}; choose another.")
            found.setdefault(name, processor)
            found |= {letter: processor} if letter else {}
            own.append(processor)
        unknown = next((kind for kind in kinds if kind not in found), None)
        if unknown is not None:
            what, known = "letter" if len(unknown) == 1 else "name", ", ".join(p.node_type.label for p in own)
            raise GraphError(f"unknown {what} {unknown!r} in chain {chain!r}; the processors are: {known}.")
        return cls(dict.fromkeys(found[kind] for kind in kinds), sample_rate)

    @classmethod
    def standard(cls, sample_rate: int = 30000) -> "Rack":
        """All processors of consoles that come with graphmix."""
        return cls(kind(sample_rate) for kind in (*CONSOLE_PROCESSORS, *VARIANTS))

    @classmethod
    def full(cls, sample_rate: int = 30000) -> "Rack":
        """All processors of graphmix but those that synthesizers are made of."""
        return cls(kind(sample_rate) for kind in (*CONSOLE_PROCESSORS, *VARIANTS, *ADDED, *MORE))

    @classmethod
    def generators(cls, sample_rate: int = 44100) -> "Rack":
        """What synthesizers are made of: notes, oscillators, operators, envelopes, amplifiers, filters."""
        return cls(kind(sample_rate) for kind in GENERATORS)

    def with_processor(self, processor: Processor) -> "Rack":
        """This rack with one more processor, e.g. of your own or :func:`graphmix.models.effects.captured_effect`."""
        return Rack([*self, processor], self.sample_rate)

    def with_effect(self, letter: str, path: str | PathLike[str], name: str | None = None) -> "Rack":
        """This rack with one more processor: the captured device or the separator of a file, at the rack's rate.

        Args:
            letter: of the node type in chains.
            path: ``.safetensors`` of graphmix or ``.nam`` of Neural Amp Modeler; of a separator also a folder that
                ``graphmix train separator`` wrote, or its name.
            name: of the node type; the file's name by default.

        Raises:
            GraphmixError: a file that cannot be read, a letter or name that the rack has already.
        """
        from graphmix.models.effects.captured import effect_from_file  # models stand above processors

        return self.with_processor(effect_from_file(path, letter, self.sample_rate, name))

    def with_separator(self, letter: str, path: str | PathLike[str] = "separator", name: str | None = None) -> "Rack":
        """This rack with one more processor: a separator, with an outlet for each source and one for the rest.

        Args:
            letter: of the node type.
            path: its file, a folder that ``graphmix train separator`` wrote, or the name of one that comes with
                graphmix.
            name: of the node type; the file's name by default.

        Raises:
            GraphmixError: no separator, a letter or name that the rack has already.
        """
        from graphmix.models.masks.node import separator_node  # models stand above processors

        return self.with_processor(separator_node(path, letter, self.sample_rate, name))

    @classmethod
    def for_types(cls, types: Iterable[NodeType], sample_rate: int, extra: Iterable[Processor] = ()) -> "Rack":
        """The processors for the node types of a graph, in their order.

        Args:
            types: of the graph.
            sample_rate: in Hz.
            extra: processors beside those that graphmix has, e.g. captured effects.

        Raises:
            GraphError: for a type that neither has, or has with other parameters or from another file.
        """
        extra = tuple(extra)
        types = tuple(types)
        own = [*cls.standard(sample_rate), *cls.generators(sample_rate), *(kind(sample_rate) for kind in ADDED)]
        known = {p.node_type.name: p for p in own}
        if any(t.is_processor and (t.name not in known or known[t.name].node_type != t) for t in types):
            known |= {p.node_type.name: p for p in (kind(sample_rate) for kind in MORE)}
        known |= {p.node_type.name: p for p in extra}
        chosen = []
        for node_type in types:
            if not node_type.is_processor:
                continue
            if node_type.source:
                chosen.append(_same_file(node_type, extra))
                continue
            if node_type.base_rate:
                chosen.append(_resampled(node_type, sample_rate))
                continue
            if node_type.name not in known:
                raise GraphError(
                    f"the graph uses {node_type.name!r}, which graphmix does not have; render it with a rack "
                    "that holds your processor."
                )
            found = known[node_type.name].node_type
            if found.source:
                raise GraphError(f"the graph's {node_type.name!r} is from graphmix, and the one given {found.source}.")
            if found != node_type:
                raise GraphError(
                    f"the graph's {node_type.name!r} has other ports or parameters than graphmix's at "
                    f"{sample_rate} Hz; it was made at another rate, by another version or by another rack."
                )
            chosen.append(known[node_type.name])
        return cls(chosen, sample_rate)

    def __getitem__(self, name: str) -> Processor:
        if name not in self._processors:
            raise GraphError(f"this rack has no {name!r}; it has: {', '.join(self.names)}.")
        processor = self._processors[name]
        assert isinstance(processor, Processor)
        return processor

    def get(self, name: str) -> Processor | None:
        """The processor of a type, or None for in, mix, out and what the rack lacks."""
        return self[name] if name in self else None  # noqa: SIM401 (self.get is this)

    def __contains__(self, name: str) -> bool:
        return name in self._processors

    def __iter__(self) -> Iterator[Processor]:
        return (self[name] for name in self._processors)

    @property
    def names(self) -> tuple[str, ...]:
        """Type names in order."""
        return tuple(self._processors)

    @property
    def types(self) -> tuple[NodeType, ...]:
        """Node types in order, for building graphs."""
        return tuple(processor.node_type for processor in self)


def _resampled(node_type: NodeType, sample_rate: int) -> Processor:
    """The processor of a type whose response is made at another rate.

    Raises:
        GraphError: graphmix has none that is this type at this rate.
    """
    for kind in (*CONSOLE_PROCESSORS, *VARIANTS, *MORE):
        if issubclass(kind, RateBound):
            found = kind(node_type.base_rate).at_rate(sample_rate)
            if found.node_type == node_type:
                return found
    raise GraphError(
        f"the graph's {node_type.name!r}, made at {node_type.base_rate} Hz, has other ports or parameters than "
        f"graphmix's at {sample_rate} Hz; it was made by another version or for another rate."
    )


def _same_file(node_type: NodeType, given: Iterable[Processor]) -> Processor:
    """The captured effect of a graph among those given: that of the same digest, whatever file and letter it has now.

    Raises:
        GraphError: none of them is it.
    """
    other = None
    for processor in given:
        own = processor.node_type
        if own.digest == node_type.digest and own.parameters == node_type.parameters:
            return processor if own == node_type else _as_type(processor, node_type)
        if own.source and (own.letter == node_type.letter or own.name == node_type.name):
            other = own
    if other is not None:
        raise GraphError(
            f"the graph's {node_type.name!r} is from {node_type.source}, and the one given from {other.source}: "
            f"another {'separator' if len(node_type.outlets) > 1 else 'capture'} sounds otherwise."
        )
    raise GraphError(
        f"the graph uses the {_kind(node_type)} {node_type.name!r}, from {node_type.source}; "
        f"give its file: --effect {node_type.letter}={_option(node_type)}."
    )


def _as_type(processor: Processor, node_type: NodeType) -> Processor:
    """The same processor, called as a graph calls it."""
    processor = copy.copy(processor)
    processor.node_type = node_type
    return processor


def sources_of(processors: Iterable[Processor]) -> dict[str, str]:
    """Letter -> file and digest of each captured effect, or the name of another processor: what a run depends on.

    Of a plugin also how its gradients are estimated.
    """
    return {p.node_type.letter: p.extra_repr() or p.node_type.source or p.node_type.name for p in processors}


def _kind(node_type: NodeType) -> str:
    """What a type of a file is, for messages."""
    return "captured effect" if len(node_type.outlets) == 1 else "separator"


def _option(node_type: NodeType) -> str:
    """What stands for an effect on the command line: all but the versions of a plugin, or a file."""
    plugin, versions, _ = node_type.source.partition(" (")
    return plugin if versions else "FILE"


def _check_ports(processor: Processor) -> None:
    """What the renderer takes for granted of linear processors."""
    node_type = processor.node_type
    single = isinstance(processor, LTIProcessor | MatrixProcessor)
    if single and len(node_type.inlets) != 1:
        raise GraphError(
            f"{node_type.name!r} is linear and has the inlets {list(node_type.inlets)}; it has one, or derive it "
            "from Processor."
        )
    if isinstance(processor, MatrixProcessor) and len(node_type.outlets) != 1:
        raise GraphError(
            f"{node_type.name!r} is a matrix and has the outlets {list(node_type.outlets)}; it has one, or derive it "
            "from LTIProcessor or Processor."
        )
    if processor.gain_staged and (isinstance(processor, MatrixProcessor) or len(node_type.outlets) != 1):
        raise GraphError(f"{node_type.name!r} cannot be gain-staged: it is a matrix or has several outlets.")
