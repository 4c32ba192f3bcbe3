"""The reference renderer: slow, plain, float64, node by node. Its result is taken as true; the fast one must agree.

Source: appendix B and C of the pruning paper and the docstrings of the processors, written a second time in
NumPy and SciPy; linear processors, dynamics and colour have files of their own. It shares constants and the reverb's
noise with them, and no arithmetic.

Conventions. Signals live on an unbounded time axis: an input is its segment [0, samples), and zero elsewhere.
*Linear* processors keep all of their output, before the segment and after it. *General* processors
(compressors and gates) receive and return the segment alone, and so do the output nodes. Dry/wet is equation 2,
``w f(u) + (1 - w) u`` with the signal at the first inlet as u; nodes with several outlets have none. Signals
that meet at an inlet add up (equation 28b), and an inlet without an edge receives silence.

Not for: gradients, or long songs; see :class:`graphmix.render.Renderer`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import topological_order
from graphmix.graph.validation import validate
from graphmix.processors.align import HALF
from graphmix.processors.signals import as_signal
from graphmix.render import reference_colour as colour
from graphmix.render.reference_dynamics import STUDIO, compressor, limiter, noisegate
from graphmix.render.reference_linear import LINEAR, TAPS
from graphmix.render.reference_rates import converted
from graphmix.render.reference_signals import Array, General, Linear, Signal, Values, add, amplitude

# --- sends, alignment, rides


def send(audio: Array, values: Values, sample_rate: int) -> Array:
    """Send: what comes into the first inlet, and a share of the second."""
    return np.asarray(audio[0] + amplitude(values["gain_db"])[:, None] * audio[1])


def align(audio: Array, values: Values, sample_rate: int) -> Array:
    """A delay by whole samples and a windowed sinc for the rest, and a polarity."""
    place = np.arange(audio.shape[-1])
    wanted = float(values["delay_ms"][0]) * sample_rate / 1000
    taps = np.arange(round(wanted) - HALF, round(wanted) + HALF + 1)
    inside = np.clip(1 - ((taps - wanted) / (HALF + 0.5)) ** 2, 0, None)
    kernel = np.sinc(taps - wanted) * np.i0(8 * np.sqrt(inside)) / np.i0(8)
    sign = -1.0 if values["polarity"][0] < 0 else 1.0
    result = np.zeros_like(audio[0])
    for tap, weight in zip(taps.tolist(), kernel.tolist(), strict=True):
        source = place - tap
        known = (source >= 0) & (source < len(place))
        result[:, known] += sign * weight * audio[0][:, source[known]]
    return result


def ride(audio: Array, values: Values, sample_rate: int) -> Array:
    """A gain through breakpoints over time; of those at one time the first counts."""
    time, first = np.unique(values["time_s"], return_index=True)
    gain = np.interp(np.arange(audio.shape[-1]) / sample_rate, time, values["gain_db"][first])
    return amplitude(gain) * audio[0]


GENERAL: Mapping[str, General] = {
    "align": align,
    "compressor": compressor,
    "noisegate": noisegate,
    "ballistic_compressor": compressor,
    "ballistic_gate": noisegate,
    "limiter": limiter,
    "send": send,
    "sidechain_compressor": compressor,
    "ride": ride,
    **STUDIO,
    **colour.GENERAL,
}


# --- the graph


@dataclass(frozen=True)
class Node:
    """One node, read out of the graph's tensors; ``inputs`` are (inlet, source, outlet).

    ``base_rate`` is that of :class:`graphmix.spec.NodeType`.
    """

    kind: str
    inlets: int
    outlets: int
    wet: float
    values: Values
    inputs: list[tuple[int, int, int]]
    base_rate: int = 0

    def resampled(self, u: Signal, sample_rate: int) -> list[Signal]:
        """A response that is made at another rate."""
        top_db = float(self.values["top_db"][0]) if "top_db" in self.values else None
        taps, start = TAPS[self.kind](self.values, self.base_rate)
        return [u.convolved(*converted(taps, start, self.base_rate, sample_rate, top_db))]


def read_nodes(graph: MixGraph) -> list[Node]:
    """All nodes in node order."""
    params = {name: values.detach().cpu().double().numpy() for name, values in graph.params.items()}
    wet = graph.wet.detach().cpu().double().numpy()
    nodes: list[Node] = []
    seen: dict[str, int] = {}
    for i, index in enumerate(graph.node_type.tolist()):
        kind = graph.types[index]
        row = seen.get(kind.name, 0)
        seen[kind.name] = row + 1
        values = {p.name: params[kind.name][row][kind.columns(p.name)] for p in kind.parameters}
        nodes.append(Node(kind.name, len(kind.inlets), len(kind.outlets), float(wet[i]), values, [], kind.base_rate))
    for source, target, outlet, inlet in graph.edges():
        nodes[target].inputs.append((inlet, source, outlet))
    return nodes


def _placed(node: Node, seconds: float) -> Node:
    """The node as it is for a signal that begins so many seconds into the song."""
    if node.kind == "ride":
        return replace(node, values={**node.values, "time_s": node.values["time_s"] - seconds})
    if {"rate_hz", "phase", "spread"} <= node.values.keys():
        phase = node.values["phase"] + node.values["rate_hz"] * seconds
        return replace(node, values={**node.values, "phase": phase % 1.0})
    return node


def dry_wet(node: Node, dry: Signal, processed: list[Signal]) -> list[Signal]:
    """Equation 2, for nodes with one outlet."""
    if node.outlets > 1:
        return processed
    return [add([processed[0].scaled(node.wet), dry.scaled(1 - node.wet)])]


def render_reference(
    graph: MixGraph,
    sources: NDArray[np.floating],
    extra: Mapping[str, General] | None = None,
    extra_linear: Mapping[str, Linear] | None = None,
    position: int = 0,
) -> Array:
    """Render a graph, or a batch of graphs, node by node in float64.

    Args:
        graph: any valid graph.
        sources: signals of the input nodes in node order, [inputs, 2, samples].
        extra: functions for general processors of your own, by type name; they replace graphmix's.
        extra_linear: the same for linear ones, which receive and return all of the time axis.
        position: where in the song the sources begin, in samples.

    Returns:
        Signals of the output nodes in node order, [outputs, 2, samples].

    Raises:
        GraphError: for an invalid graph, sources of the wrong shape or a type without a function.

    Example:
        >>> from graphmix.processors import Rack
        >>> graph = MixGraph(Rack.console("g").types)
        >>> graph = graph.chain(graph.add("in"), graph.add("gain", gain_db=[20, 0]), graph.add("out"))
        >>> render_reference(graph, np.ones((1, 2, 3)))
        array([[[10., 10., 10.],
                [ 1.,  1.,  1.]]])
    """
    nodes = [_placed(node, position / graph.sample_rate) for node in read_nodes(validate(graph))]
    sources = as_signal(sources, "sources").detach().cpu().numpy()
    count = sum(node.kind == "in" for node in nodes)
    if sources.ndim != 3 or sources.shape[:2] != (count, 2) or sources.shape[2] == 0:
        raise GraphError(f"sources have shape {list(sources.shape)}, expected [{count}, 2, samples].")
    linear, general = {**LINEAR, **(extra_linear or {})}, {**GENERAL, **(extra or {})}
    samples, rate = sources.shape[2], graph.sample_rate
    unused = iter(sources.astype(np.float64))
    outputs = {i: [Signal(0, next(unused))] for i, node in enumerate(nodes) if node.kind == "in"}
    for i in topological_order(len(nodes), graph.edges()):
        node = nodes[i]
        incoming = [
            add(outputs[source][outlet] for port, source, outlet in node.inputs if port == inlet)
            for inlet in range(node.inlets)
        ]
        if node.kind in ("mix", "out"):
            outputs[i] = incoming
        elif node.kind in general:
            audio = np.stack([signal.cut(0, samples) for signal in incoming])
            processed = general[node.kind](audio, node.values, rate).reshape(node.outlets, 2, samples)
            outputs[i] = dry_wet(node, Signal(0, audio[0]), [Signal(0, outlet) for outlet in processed])
        elif node.base_rate:
            outputs[i] = dry_wet(node, incoming[0], node.resampled(incoming[0], rate))
        elif node.kind in linear:
            outputs[i] = dry_wet(node, incoming[0], linear[node.kind](incoming[0], node.values, rate))
        elif node.kind != "in":
            raise GraphError(f"{graph.describe(i)} has no reference; pass a function for its type as extra.")
    mixes = [outputs[i][0].cut(0, samples) for i, node in enumerate(nodes) if node.kind == "out"]
    return np.stack(mixes) if mixes else np.zeros((0, 2, samples))
