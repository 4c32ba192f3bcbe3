"""The renderer: a plan carried out as message passing.

Each stage gathers what its edges bring, sums it, changes domain where an edge crosses, processes all of its nodes
at once, and keeps the result as long as later stages read from it. Writing into one large buffer instead would copy it
for every read and make the backward pass ten times slower.
"""

from collections.abc import Callable
from typing import NamedTuple, Optional

import torch
from torch import Tensor
from torch_geometric.nn import MessagePassing
from torch_geometric.typing import OptPairTensor

from graphmix.dsp.matrix import multiply
from graphmix.dsp.response import apply_response
from graphmix.dsp.rows import sum_rows
from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validation import validate
from graphmix.processors.base import LTIProcessor, MatrixProcessor
from graphmix.processors.rack import Rack
from graphmix.processors.signals import as_signal
from graphmix.render.domain_conversion import Arrival, convert
from graphmix.render.domains import CHANNELS
from graphmix.render.places import Position, check_position, placed
from graphmix.render.programs import render_program
from graphmix.render.schedule import Plan, Stage, schedule
from graphmix.render.sequence import SequenceMethod
from graphmix.render.spans import find_needed, is_worth_it
from graphmix.render.voices import Leaves, find_voices, gather_inlets, join, play_stage, split

_CACHED_PLANS = 64
Observer = Callable[[Stage, Tensor, Tensor], None]
Responses = dict[tuple[int, int], Tensor]
"""Frequency responses by (stage, FFT length), of a graph that does not change and without gradients."""


class Rendered(NamedTuple):
    """What a rendering gives.

    Args:
        mix: one signal for each output node, [outputs, 2, samples].
        wet_energy: energy of the wet mid signal of each gain-staged node, [staged].
        dry_energy: energy of its input's mid signal, [staged].
    """

    mix: Tensor
    wet_energy: Tensor
    dry_energy: Tensor


class Renderer(MessagePassing):
    """Renders any DAG of processors, or a batch of them, differentiably.

    Gradients flow to the graph's parameters and weights and to the sources. The plan of a graph is kept as long
    as its structure stays the same.

    Args:
        rack: the processors.
        method: how to schedule; a beam search by default.

    Example:
        >>> from graphmix.graph import mixing_console
        >>> rack = Rack.console("g")
        >>> console = mixing_console(rack, {"bus": ["voice", "guitar"]}, chain="g")
        >>> Renderer(rack)(console, torch.ones(2, 2, 100)).shape
        torch.Size([1, 2, 100])
    """

    voices = True
    """Synthesizers' nodes get their inlets one by one; see :mod:`graphmix.render.voices`."""
    recursions_in_time = False
    """Recursive filters never multiply spectra; see :mod:`graphmix.processors.recursive`."""
    propagate_type = {"x": OptPairTensor}  # noqa: RUF012  (PyG reads it from the class)

    def __init__(self, rack: Rack, method: SequenceMethod | None = None) -> None:
        super().__init__(aggr="sum", node_dim=0)
        self.rack = rack
        self.method = method
        self._plans: dict[tuple[object, ...], Plan] = {}
        self._read: tuple[tuple[Tensor, ...], tuple[int, ...], tuple[bytes, ...]] | None = None

    def message(self, x: OptPairTensor) -> Tensor:
        """An edge changes nothing, so that no message needs to be written out."""
        return x[0]

    def aggregate(self, inputs: Tensor, edge_index: Tensor, dim_size: Optional[int] = None) -> Tensor:  # noqa: UP045
        """Sum the signals that come into the same inlet (equation 28b)."""
        # PyG's inspector cannot read `int | None`.
        return sum_rows(inputs, edge_index[0], edge_index[1], int(dim_size or 0))

    def forward(self, graph: MixGraph, sources: Tensor, position: Position = 0) -> Tensor:
        """Render.

        Args:
            graph: a graph or a PyG batch of graphs.
            sources: signals of the input nodes in node order, [inputs, 2, samples]: float32 or float64, on the graph's
                device. Half precision is rendered in float32, and NumPy arrays are taken as well.
            position: where in the song the sources begin, in samples: one for all, or one for each graph, [graphs].
                Only graphs with rides depend on it.

        Returns:
            Signals of the output nodes in node order, [outputs, 2, samples].

        Raises:
            GraphError: an invalid graph, another sample rate than the rack's, or sources of another shape, of integers
                or complex numbers, or on another device, or another number of positions than graphs.
        """
        return self.render(graph, sources, position).mix

    def render(self, graph: MixGraph, sources: Tensor, position: Position = 0) -> Rendered:
        """As :meth:`forward`, with the energies that gain-staging needs."""
        plan = self.plan(graph)
        check_position(graph, position)
        return self.run(plan, graph, self._checked(plan, graph, sources), position=position)

    def plan(self, graph: MixGraph) -> Plan:
        """The (validated, kept) plan of a graph."""
        device = graph.node_type.device
        # Shapes are part of the key, so that parameters from before an edit are refused and not misread.
        shapes = graph.wet.shape, *((name, values.shape, values.dtype) for name, values in graph.params.items())
        key = (*self._structure(graph), graph.types.names, graph.sample_rate, shapes, device)
        if key not in self._plans:
            plan = schedule(validate(graph), self.rack, self.method, self.recursions_in_time).to(device)
            while len(self._plans) >= _CACHED_PLANS:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = plan
        return self._plans[key]

    def _structure(self, graph: MixGraph) -> tuple[bytes, ...]:
        """Nodes, edges and ports as bytes; read from another device once, as long as they are the same tensors."""
        tensors = graph.node_type, graph.edge_index, graph.edge_port
        if graph.node_type.device.type == "cpu":
            return tuple(t.numpy().tobytes() for t in tensors)
        versions = tuple(t._version for t in tensors)
        known = self._read
        if known is None or known[1] != versions or any(a is not b for a, b in zip(known[0], tensors, strict=True)):
            known = self._read = tensors, versions, tuple(t.cpu().numpy().tobytes() for t in tensors)
        return known[2]

    def _checked(self, plan: Plan, graph: MixGraph, sources: Tensor) -> Tensor:
        """The sources as a tensor that can be rendered."""
        sources = as_signal(sources, "sources", graph.node_type.device)
        count = sum(stage.nodes.numel() for stage in plan.stages if stage.kind == "in")
        if sources.dim() != 3 or sources.size(0) != count or sources.size(1) != 2:
            raise GraphError(
                f"sources have shape {list(sources.shape)}, expected [{count}, 2, samples]: one stereo signal for "
                f"each of the graph's {count} inputs, in node order."
            )
        if sources.size(2) == 0:
            raise GraphError("the sources have no samples; give each input one sample or more.")
        return sources

    def run(
        self,
        plan: Plan,
        graph: MixGraph,
        sources: Tensor,
        observe: Observer | None = None,
        responses: Responses | None = None,
        position: Position = 0,
    ) -> Rendered:
        """Carry out a plan.

        Args:
            plan: of the graph.
            graph: parameters and weights.
            sources: as in :meth:`forward`.
            observe: is shown each stage with what comes into its nodes and what leaves them.
            responses: frequency responses that are known, and where new ones are kept, for the next segment of
                the same graph; an empty dictionary to begin with.
            position: as in :meth:`forward`.
        """
        energies: list[Tensor] = []
        mixes: list[tuple[Tensor, Tensor | Leaves]] = []
        one_by_one = self.voices and observe is None
        if one_by_one and (compiled := render_program(plan, self.rack, graph, sources)) is not None:
            return Rendered(compiled, *(sources.new_zeros(0, 2).unbind(1)))
        parts = split(plan, self.rack, sources.size(-1)) if one_by_one else (plan,)
        for part in parts:
            voices = find_voices(part, self.rack) if one_by_one else frozenset[int]()
            self._run_part(part, graph, sources, observe, responses, position, voices, mixes, energies)
        mix = self._joined(mixes, sources)
        staged = torch.cat(energies) if energies else sources.new_zeros(0, 2)
        return Rendered(mix, staged[:, 0], staged[:, 1])

    def _joined(self, mixes: list[tuple[Tensor, Tensor | Leaves]], sources: Tensor) -> Tensor:
        """The signals of all output nodes."""
        samples = sources.size(-1)
        if not mixes:
            return sources.new_zeros(0, 2, samples)
        if sources.device.type == "cpu" and any(isinstance(signal, Leaves) for _, signal in mixes):
            return join(mixes, samples)
        full = [(rows, s.full(samples) if isinstance(s, Leaves) else s) for rows, s in mixes]
        return in_node_order(full)

    def _run_part(
        self,
        plan: Plan,
        graph: MixGraph,
        sources: Tensor,
        observe: Observer | None,
        responses: Responses | None,
        position: Position,
        voices: frozenset[int],
        mixes: list[tuple[Tensor, Tensor | Leaves]],
        energies: list[Tensor],
    ) -> None:
        """Carry out a plan, and add what comes out, with its rows, and the energies."""
        outputs: dict[int, Tensor | Leaves] = {}
        last_reader = {c.source: i for i, stage in enumerate(plan.stages) for c in stage.inputs}
        signal: Tensor | Leaves
        samples = sources.size(-1)
        spared = voices and is_worth_it(plan, samples)
        needed = find_needed(plan, self.rack, graph, voices, samples) if spared else {}
        for i, stage in enumerate(plan.stages):
            if stage.kind == "in":
                every = stage.rows.numel() == sources.size(0)
                incoming = signal = sources if every else sources.index_select(0, stage.rows)
            elif i in voices:
                inlets = gather_inlets(plan, i, outputs)
                signal = play_stage(plan, i, self.rack, inlets, graph, sources, needed.get(i))
            else:
                incoming = self._gather(plan, i, outputs, sources)
                response = self._response(i, stage, incoming, graph, responses)
                signal, energy = self.process(stage, incoming, graph, response, position)
                energies.extend([] if energy is None else [energy])
            if observe is not None:
                assert isinstance(signal, Tensor), "an observer is shown all signals in full"
                observe(stage, incoming, signal)
            if stage.kind == "out":
                mixes.append((stage.rows, signal))
            outputs[i] = signal
            for source in [source for source in outputs if last_reader.get(source, i) <= i]:
                del outputs[source]

    def _gather(self, plan: Plan, index: int, outputs: dict[int, Tensor | Leaves], sources: Tensor) -> Tensor:
        """What comes into a stage, [nodes * inlets, 2, samples or bins], in its domain."""
        stage, inflow = plan.stages[index], plan.inflows[index]
        size, samples = stage.nodes.numel() * stage.inlets, sources.size(-1)
        arrivals = []
        for flow in inflow.flows:
            total: Tensor | None = None
            for edges in flow.edges:
                sent = outputs[edges.source]
                brought = sent.full(samples) if isinstance(sent, Leaves) else sent
                if not edges.passes_through:
                    edge_index = torch.stack([edges.rows, edges.targets])
                    brought = self.propagate(edge_index, x=(brought, None), size=(brought.size(0), flow.size))
                total = brought if total is None else total + brought
            assert total is not None, "a flow has edges"
            arrivals.append(Arrival(flow.fft_group, flow.cut, flow.rows, flow.slots, total))
        if not arrivals:
            arrivals.append(Arrival(None, False, None, None, sources.new_zeros(size, CHANNELS, samples)))
        return convert(plan, stage.fft_group, arrivals, inflow.entering, size, samples)

    def _response(
        self, index: int, stage: Stage, incoming: Tensor, graph: MixGraph, known: Responses | None
    ) -> Tensor | None:
        """Frequency response of an LTI stage that works on spectra, None for others."""
        processor = self.rack.get(stage.kind)
        if not isinstance(processor, LTIProcessor) or stage.fft_group is None:
            return None
        n_fft = 2 * (incoming.size(-1) - 1)
        response = None if known is None else known.get((index, n_fft))
        if response is None:
            response = processor.response(graph.params[stage.kind].index_select(0, stage.rows), n_fft)
            if known is not None:
                known[index, n_fft] = response
        return response

    def matrix(self, stage: Stage, graph: MixGraph) -> Tensor | None:
        """Matrices of a stage with dry/wet folded in, [nodes, 2, 2]; None where a stage is no matrix."""
        processor = self.rack.get(stage.kind)
        if not isinstance(processor, MatrixProcessor):
            return None
        matrix = processor.matrix(graph.params[stage.kind].index_select(0, stage.rows))
        eye = torch.eye(2, dtype=matrix.dtype, device=matrix.device)
        return torch.lerp(eye, matrix, graph.wet.index_select(0, stage.nodes)[:, None, None].to(matrix.dtype))

    def process(
        self,
        stage: Stage,
        signal: Tensor,
        graph: MixGraph,
        response: Tensor | None = None,
        position: Position = 0,
    ) -> tuple[Tensor, Tensor | None]:
        """What the nodes of a stage make of what comes in; with the energies (wet, dry) of nodes that are staged.

        Args:
            stage: of the graph's plan.
            signal: what comes in, [nodes * inlets, 2, samples or bins].
            graph: parameters and weights.
            response: of an LTI stage on spectra, at the bins of the signal.
            position: where in the song the signal begins; see :meth:`forward`.

        Returns:
            What leaves, [nodes * outlets, 2, samples or bins], and energies [nodes, 2] or None.
        """
        if stage.kind in ("mix", "out"):
            return signal, None
        matrix = self.matrix(stage, graph)
        if matrix is not None:
            return multiply(matrix, signal), None
        processor = self.rack[stage.kind]
        wet = graph.wet.index_select(0, stage.nodes)
        if isinstance(processor, LTIProcessor) and stage.fft_group is not None:
            assert response is not None, "an LTI stage on spectra has a response"
            if stage.outlets > 1:
                return (signal[:, None] * response).flatten(0, 1), None
            signal, energy = apply_response(signal, response, wet, 2 * (signal.size(-1) - 1))
            return signal, energy if processor.gain_staged else None
        params = placed(processor, graph.params[stage.kind].index_select(0, stage.rows), graph, stage.nodes, position)
        if stage.inlets > 1:
            signal = signal.unflatten(0, (-1, stage.inlets))
        if stage.outlets > 1:
            return processor(signal, params).flatten(0, 1), None
        return processor.mix(signal, params, wet)


def in_node_order(mixes: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The outputs of all stages of out nodes, by their rows; most methods run them as one stage."""
    if len(mixes) == 1:
        return mixes[0][1]
    rows, signals = (torch.cat(parts) for parts in zip(*mixes, strict=True))
    if rows.device.type == "cpu" and bool((rows[1:] > rows[:-1]).all()):  # elsewhere the device would be waited for
        return signals
    return signals.index_select(0, rows.argsort())
