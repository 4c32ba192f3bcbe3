"""A synthesizer: a graph of generators with named parameters, and patches, the graphs with their values.

A synthesizer has *modules*, the named nodes of a graph, and wires between them. Its parameters are those of the modules
(``"filter.cutoff_hz"``, ``"op1.times_ms.2"``) and *choices*, which set several of them together (the waveform of an
oscillator) or the wires themselves (the algorithm of an FM synthesizer).

A *patch* is a :class:`graphmix.graph.MixGraph` whose nodes are named after the modules: it is rendered, drawn, pruned
and saved like any other graph, and :meth:`Synthesizer.read` says what is set to what.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import torch
from torch import Tensor
from torch_geometric.data import Batch

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.melody import MOST_NOTES
from graphmix.processors.rack import Rack
from graphmix.spec import MIX, NodeType
from graphmix.synthesizers.modules import SOURCES, Module, PatchParameter, Source, Value, is_removable, labels_of
from graphmix.synthesizers.notes import Note, check_notes

SAMPLE_RATE = 44100
NOTE, MELODY = "note", "melody"
"""The module that every synthesizer has: the key that is pressed. It is no part of a patch."""
LEVEL = "amplifier.level_db"
"""The parameter that every synthesizer has: the level of the whole."""
VERSION = 1
"""Of the modules and their parameters: patches of another version are refused."""
Wire = tuple[str, str]
"""From ``"module"`` or ``"module:outlet"`` to ``"module"`` or ``"module:inlet"``."""


_Sources = Mapping[str, Sequence[Sequence[Source]]]


@cache
def _generators(sample_rate: int) -> tuple[NodeType, ...]:
    return tuple(Rack.generators(sample_rate).types)


@dataclass(frozen=True)
class Synthesizer:
    """Modules, and how they are wired.

    Args:
        name: e.g. ``"subtractive"``.
        modules: beside the note.
        wires: the choices of the whole synthesizer -> wires, of which some may depend on them.
        choices: such choices and their options, e.g. ``{"algorithm": ("1", …, "32")}``.
    """

    name: str
    modules: tuple[Module, ...]
    wires: Callable[[Mapping[str, str]], list[Wire]]
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def parameters(self) -> tuple[PatchParameter, ...]:
        """All parameters, in order."""
        types = {node_type.name: node_type for node_type in (*Rack.generators(SAMPLE_RATE).types, MIX)}
        table = [PatchParameter(name, options=options) for name, options in self.choices.items()]
        for module in self.modules:
            taken = {*module.fixed, *(name for names in module.choices.values() for name in names)}
            table += [PatchParameter(f"{module.name}.{name}", options=o) for name, o in module.choices.items()]
            for p in types[module.kind].parameters:
                if p.name in taken:
                    continue
                start = module.starts.get(p.name, p.neutral)
                table += [PatchParameter(n, p.unit, p.low, p.high, start, p.curve) for n in labels_of(module.name, p)]
            table += [PatchParameter(f"{module.name}.wet")] * module.has_wet
        return tuple(table)

    @cached_property
    def by_name(self) -> Mapping[str, PatchParameter]:
        """Parameters by name."""
        return {p.name: p for p in self.parameters}

    @cached_property
    def names_by_module(self) -> Mapping[str, list[str]]:
        """Names of parameters that belong together; the level of the whole, :data:`LEVEL`, is none of them."""
        groups: dict[str, list[str]] = {}
        for p in self.parameters:
            if p.name != LEVEL:
                groups.setdefault(p.name.split(".")[0], []).append(p.name)
        return groups

    @property
    def width(self) -> int:
        """Numbers of a :meth:`vector`."""
        return sum(p.size for p in self.parameters)

    @cached_property
    def removable(self) -> frozenset[str]:
        """Modules that can be taken out of a patch, as some of their values do the same."""
        return frozenset(module.name for module in self.modules if is_removable(module))

    def __repr__(self) -> str:
        return f"Synthesizer({self.name!r}, {len(self.parameters)} parameters)"

    def defaults(self) -> dict[str, Value]:
        """Neutral values, and of each choice the first option."""
        return {p.name: p.options[0] if p.options else p.neutral for p in self.parameters}

    def patch(
        self,
        values: Mapping[str, Value] | None = None,
        sample_rate: int = SAMPLE_RATE,
        *,
        pitch: float = 60.0,
        length_ms: float = 2000.0,
        start_ms: float = 0.0,
        velocity: float = 0.8,
        notes: Sequence[Note] = (),
    ) -> MixGraph:
        """The graph of a patch, with one note, or with several that are played one by one.

        Args:
            values: by name; what is not given has its default.
            sample_rate: of the graph, in Hz.
            pitch: MIDI note number.
            length_ms: as long as the key is down.
            start_ms: when it goes down.
            velocity: 0 to 1.
            notes: in place of the four above; of several the node has the type ``melody``.

        Raises:
            GraphError: a name that the synthesizer does not have, a value out of range.
            GraphmixError: notes that cannot be played.
        """
        notes = check_notes(notes or [Note(pitch, length_ms, start_ms, velocity)])
        settings = {**self.defaults(), **self._checked(values or {})}
        return self._filled([settings], self._of_notes(notes, settings, sample_rate).clone(), notes, sample_rate)

    def batch(self, patches: Sequence[Mapping[str, Value]], sample_rate: int, notes: Sequence[Note]) -> MixGraph:
        """A batch of patches that are wired equally, with the same notes; made faster than one by one.

        Args:
            patches: values by name, one or more; of each what is not given has its default.
            sample_rate: of the graphs, in Hz.
            notes: that are played.

        Raises:
            GraphError: as of :meth:`patch`, or choices of the whole synthesizer that differ.
            GraphmixError: notes that cannot be played.
        """
        notes = check_notes(notes)
        defaults = self.defaults()
        settings = [{**defaults, **self._checked(values)} for values in patches]
        wirings = {self._wiring(own) for own in settings}
        if len(wirings) != 1:
            raise GraphError(
                f"{len(settings)} patches of {self.name!r} are wired in {len(wirings)} ways, and a batch has one: "
                f"batch those of equal {', '.join(self.choices) or 'wiring'}, one or more."
            )
        key: tuple[int | str, ...] = (len(settings), sample_rate, len(notes) > 1, *wirings.pop())
        if key not in self._batches:
            self._batches[key] = Batch.from_data_list([self._of_notes(notes, settings[0], sample_rate)] * len(settings))
        return self._filled(settings, copy.copy(self._batches[key]), notes, sample_rate)

    def wiring(self, values: Mapping[str, Value]) -> tuple[str, ...]:
        """The choices of the whole synthesizer in a patch: patches with equal ones are wired equally."""
        return self._wiring({**{name: options[0] for name, options in self.choices.items()}, **values})

    def _wiring(self, settings: Mapping[str, Value]) -> tuple[str, ...]:
        return tuple(str(settings[name]) for name in self.choices)

    def _of_notes(self, notes: Sequence[Note], settings: Mapping[str, Value], sample_rate: int) -> MixGraph:
        """A graph without values, which must not be changed."""
        keys, chosen = NOTE if len(notes) == 1 else MELODY, self._wiring(settings)
        key: tuple[int | str, ...] = (sample_rate, keys, *chosen)
        if key not in self._blanks:
            self._blanks[key] = self._blank(sample_rate, keys, chosen)
        return self._blanks[key]

    def _filled(
        self, patches: Sequence[Mapping[str, Value]], graph: MixGraph, notes: Sequence[Note], sample_rate: int
    ) -> MixGraph:
        """A graph, or a batch, with the values of its patches."""
        if sample_rate not in self._known_sources:
            self._known_sources[sample_rate] = self._sources(sample_rate)
        graph.params = dict(graph.params)
        for kind, rows in self._known_sources[sample_rate].items():
            values = [[source.value(settings) for source in row] for settings in patches for row in rows]
            graph.params[kind] = torch.tensor(values)
        graph.params[NOTE if len(notes) == 1 else MELODY] = _keys(notes).repeat(len(patches), 1)
        wet = graph.wet.clone().view(len(patches), -1)
        for number, module in enumerate(self.modules, start=1):
            if module.has_wet:
                wet[:, number] = torch.tensor([float(settings[f"{module.name}.wet"]) for settings in patches])
        graph.wet = wet.flatten()
        return graph

    @cached_property
    def _blanks(self) -> dict[tuple[int | str, ...], MixGraph]:
        """Graphs without values, which take longer to make than the values do."""
        return {}

    @cached_property
    def _batches(self) -> dict[tuple[int | str, ...], MixGraph]:
        """Batches of them."""
        return {}

    @cached_property
    def _known_sources(self) -> dict[int, "_Sources"]:
        """By sample rate."""
        return {}

    def _blank(self, sample_rate: int, keys: str, chosen: tuple[str, ...]) -> MixGraph:
        other = MELODY if keys == NOTE else NOTE
        graph = MixGraph([t for t in _generators(sample_rate) if t.name != other], sample_rate)
        nodes = {NOTE: graph.add(keys, name=NOTE)}
        nodes |= {module.name: graph.add(module.kind, module.name) for module in self.modules}
        nodes["out"] = graph.add("out", name="out")
        choices = dict(zip(self.choices, chosen, strict=True))
        for source, target in self.wires(choices):
            (a, _, outlet), (b, _, inlet) = source.partition(":"), target.partition(":")
            graph.connect(nodes[a], nodes[b], outlet or 0, inlet or 0)
        graph.info = replace(graph.info, provenance={"synthesizer": self.name, "version": VERSION, **choices})
        return graph

    def _sources(self, sample_rate: int) -> "_Sources":
        """Where the rows of each type's parameters come from."""
        types = {node_type.name: node_type for node_type in _generators(sample_rate)}
        found: dict[str, list[list[Source]]] = {}
        for module in self.modules:
            if module.kind not in types:
                continue
            choice_of = {name: choice for choice, names in module.choices.items() for name in names}
            row = []
            for p in types[module.kind].parameters:
                if p.name in choice_of:
                    row.append(Source(f"{module.name}.{choice_of[p.name]}", option=p.name))
                elif p.name in module.fixed:
                    row += [Source("", fixed=module.fixed[p.name])] * p.size
                else:
                    row += [Source(label, high=p.high) for label in labels_of(module.name, p)]
            found.setdefault(module.kind, []).append(row)
        return found

    def numbers(self) -> dict[str, list[tuple[str, int, int]]]:
        """Names of the numbers of a patch, with the row and the column of its type's parameters in which each stands.

        Under ``""`` those that are dry/wet weights, with the node.
        """
        found: dict[str, list[tuple[str, int, int]]] = {}
        for kind, rows in self._sources(SAMPLE_RATE).items():
            places = [
                (source.label, row, column)
                for row, sources in enumerate(rows)
                for column, source in enumerate(sources)
                if source.label and not source.option
            ]
            found |= {kind: places} if places else {}
        wet = [(f"{m.name}.wet", node, 0) for node, m in enumerate(self.modules, start=1) if m.has_wet]
        return found | ({"": wet} if wet else {})

    def read(self, graph: MixGraph) -> dict[str, Value]:
        """The values of a patch.

        Modules that were pruned from it have the values at which they do nothing.

        Raises:
            GraphError: the graph is no patch of this synthesizer, or of another version of it, or lacks a module that
                it cannot be without.
        """
        about = graph.provenance
        if about.get("synthesizer") != self.name:
            raise GraphError(f"the graph is a patch of {about.get('synthesizer')!r}, not of {self.name!r}.")
        if about.get("version") != VERSION:
            raise GraphError(
                f"the patch was made by version {about.get('version')} of {self.name!r}, and this is {VERSION}: "
                "its parameters have changed since."
            )
        choices: dict[str, Value] = {name: str(about.get(name)) for name in self.choices}
        self._checked(choices)
        values = self.defaults() | choices
        node_of = {name: node for node, name in enumerate(graph.names)}
        for module in self.modules:
            node = node_of.get(module.name)
            if node is None or (not module.has_wet and float(graph.wet[node]) == 0):
                values |= self._without(module, graph)
                continue
            values |= {f"{module.name}.wet": float(graph.wet[node])} if module.has_wet else {}
            node_type = graph.type_of(node)
            if not node_type.is_processor:
                continue
            row = int((graph.nodes_of(node_type.name) == node).nonzero()[0])
            numbers = graph.params[node_type.name][row]
            for choice, names in module.choices.items():
                weights = [float(numbers[node_type.columns(name)][0]) for name in names]
                values[f"{module.name}.{choice}"] = names[weights.index(max(weights))]
            for p in node_type.parameters:
                for label, number in zip(labels_of(module.name, p), numbers[node_type.columns(p.name)], strict=True):
                    if label in values:
                        of = self.by_name[label]
                        values[label] = min(max(float(number), of.low), of.high)
        return values

    def _without(self, module: Module, graph: MixGraph) -> dict[str, Value]:
        """The values at which a module is what it is without it: a source is silent, all else a wire.

        Raises:
            GraphError: there are no such values.
        """
        if module.name not in self.removable:
            raise GraphError(
                f"the patch lacks its {module.name!r}, and {self.name!r} has no values that stand for that."
            )
        values: dict[str, Value] = {}
        for p in graph.types.by_letter(module.kind).parameters:
            silent = {"level_db": p.low, "depth": 0.0} if module.kind in SOURCES else {}
            for label in labels_of(module.name, p):
                if label in self.by_name:
                    values[label] = silent.get(p.name, p.neutral)
        return values | ({f"{module.name}.wet": 0.0} if module.has_wet else {})

    def vector(self, values: Mapping[str, Value]) -> Tensor:
        """Values for a network: numbers from 0 to 1 on their own scales, choices as one-hot groups, [width]."""
        parts = []
        for p in self.parameters:
            value = values[p.name]
            if p.options:
                parts += [float(option == value) for option in p.options]
            else:
                low, high, here = (float(p.curve.raw(torch.tensor(float(x)))) for x in (p.low, p.high, value))
                parts.append((here - low) / (high - low))
        return torch.tensor(parts)

    def values_of(self, vector: Tensor) -> dict[str, Value]:
        """The inverse of :meth:`vector`; of a choice the option with the largest number."""
        values: dict[str, Value] = {}
        for p, part in zip(self.parameters, vector.split([p.size for p in self.parameters]), strict=True):
            if p.options:
                values[p.name] = p.options[int(part.argmax())]
            else:
                low, high = (float(p.curve.raw(torch.tensor(edge))) for edge in (p.low, p.high))
                raw = low + float(part.clamp(0, 1)[0]) * (high - low)
                values[p.name] = min(max(float(p.curve.physical(torch.tensor(raw))), p.low), p.high)
        return values

    def _checked(self, values: Mapping[str, Value]) -> Mapping[str, Value]:
        for name, value in values.items():
            p = self.by_name.get(name)
            if p is None:
                raise GraphError(f"{self.name!r} has no parameter {name!r}; see its `parameters`.")
            if p.options and value not in p.options:
                raise GraphError(f"{name} is {value!r}; it is one of {', '.join(p.options)}.")
            if not p.options and (isinstance(value, str) or not p.low <= value <= p.high):
                unit = f" {p.unit}" if p.unit else ""
                raise GraphError(f"{name} is {value!r}; it is a number between {p.low:g} and {p.high:g}{unit}.")
        return values


def _keys(notes: Sequence[Note]) -> Tensor:
    """The row of parameters of the node of the keys."""
    if len(notes) == 1:
        return torch.tensor([[notes[0].pitch, notes[0].start_ms, notes[0].length_ms, notes[0].velocity]])
    unused = [(60.0, 0.0, 500.0, 0.0)] * (MOST_NOTES - len(notes))
    rows = [(n.pitch, n.start_ms, n.length_ms, n.velocity) for n in notes]
    return torch.tensor([*rows, *unused]).T.reshape(1, -1)
