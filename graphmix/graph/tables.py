"""What a graph does, in an engineer's units: for each track and each subgroup its chain of processors.

A *chain* begins at an input, at a mix or wherever edges branch or meet, and goes on for as long as one edge leads
from one processor to the next. Every node is in exactly one chain, so that any graph can be shown. Long parameters
are summarised by what an engineer would say of them:

* equalizer: mean gain in dB over octave bands from 63 Hz up to half the sample rate;
* delay: its three strongest taps, with their level in the response, which has unit energy;
* ride: its breakpoints in order;
* reverb: seconds to fall by 60 dB below 250 Hz, up to 4 kHz and above; side level relative to mid.

The summaries go by the names and sizes of parameters and assume their frequencies to be equally spaced from 0 to
half the sample rate, as those of graphmix's own processors are. Types that are not known are shown as
``name value unit``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from graphmix.graph.mixgraph import MixGraph
from graphmix.spec import NodeType, ParameterSpec
from graphmix.text import natural_key

OCTAVES_HZ = (63, 125, 250, 500, 1000, 2000, 4000, 8000, 16000)
"""Nominal centers of octave bands (IEC 61260)."""
REVERB_EDGES_HZ = (250.0, 4000.0)
REVERB_SECONDS = 2.0
"""Length of the reverb's response, over which energies are summed."""
NUM_STRONGEST = 3
_MANY = 4
"""A parameter with more values than this is shown by its range and mean."""


@dataclass(frozen=True)
class ProcessorRow:
    """One processor: its index in the graph, its type, its settings as text and its dry/wet weight."""

    node: int
    type: NodeType
    settings: str
    wet: float


@dataclass(frozen=True)
class ChainRow:
    """A chain of processors.

    Attributes:
        node: index of its first node: the input, mix, output or first processor.
        kind: ``"track"``, ``"subgroup"``, ``"output"`` or ``"other"``, a chain that begins at a processor.
        label: name of the input, mix, output or first processor.
        inputs: what leads into its first node.
        processors: in the order of the signal; empty if none.
        outputs: where its last node leads.
    """

    node: int
    kind: str
    label: str
    inputs: tuple[str, ...]
    processors: tuple[ProcessorRow, ...]
    outputs: tuple[str, ...]


def describe_graph(graph: MixGraph) -> list[ChainRow]:
    """The chains of a graph: tracks in natural order of their names, as a song has them, subgroups, others, outputs."""
    n = graph.node_type.numel()
    kinds = [graph.types[index] for index in graph.node_type.tolist()]
    before: list[list[str]] = [[] for _ in range(n)]
    after: list[list[str]] = [[] for _ in range(n)]
    successor: dict[int, int] = {}
    labels = _labels(graph, kinds)
    edges = graph.edges()
    for source, target, outlet, inlet in edges:
        a, b = kinds[source], kinds[target]
        before[target].append(labels[source] + (f".{a.outlets[outlet]}" if len(a.outlets) > 1 else ""))
        after[source].append(labels[target] + (f".{b.inlets[inlet]}" if len(b.inlets) > 1 else ""))
    for source, target, _, _ in edges:
        if len(after[source]) == 1 and len(before[target]) == 1 and kinds[target].is_processor:
            successor[source] = target
    inner, rows = set(successor.values()), graph.rows().tolist()
    order = {"track": 0, "subgroup": 1, "other": 2, "output": 3}
    chains = []
    for start in range(n):
        if start in inner:
            continue
        nodes = [start]
        while nodes[-1] in successor:
            nodes.append(successor[nodes[-1]])
        processors = [_processor_row(graph, node, rows[node]) for node in nodes if kinds[node].is_processor]
        kind = {"in": "track", "mix": "subgroup", "out": "output"}.get(kinds[start].name, "other")
        ends = tuple(before[start]), tuple(processors), tuple(after[nodes[-1]])
        chains.append(ChainRow(start, kind, labels[start], *ends))
    return sorted(chains, key=lambda chain: (order[chain.kind], *_place_in_song(chain)))


def _place_in_song(chain: ChainRow) -> tuple[Any, ...]:
    """Tracks in natural order, whose nodes may be numbered by subgroup; all else by its number."""
    return natural_key(chain.label) if chain.kind == "track" else (chain.node,)


def as_table(graph: MixGraph) -> Table:
    """:func:`describe_graph` as a table for the terminal."""
    table = Table(title=_title(graph))
    table.add_column("node", justify="right", no_wrap=True)
    table.add_column("chain", overflow="fold")
    table.add_column("processor", no_wrap=True)
    table.add_column("settings", overflow="fold")
    table.add_column("wet", justify="right", no_wrap=True)
    for chain in describe_graph(graph):
        heading = Text(f"{chain.label} ({chain.kind})" if chain.kind != "output" else chain.label, style="bold")
        where = f"from {', '.join(chain.inputs)}" if chain.inputs else ""
        if chain.outputs:
            where += f"{'; ' if where else ''}to {', '.join(chain.outputs)}"
        number = "" if chain.kind == "other" else str(chain.node)
        table.add_row(number, heading, "", Text(where, style="dim"), "")
        for row in chain.processors:
            name = f"{row.type.letter} {row.type.name}"
            table.add_row(str(row.node), "", Text(name), Text(row.settings), f"{100 * row.wet:.3g} %")
        table.add_section()
    return table


def _title(graph: MixGraph) -> str:
    counts = [(graph.nodes_of(t.name).numel(), t.name) for t in graph.types.types]
    nodes = ", ".join(f"{count} {name}" for count, name in counts if count)
    edges = graph.edge_index.size(1)
    return f"{graph.node_type.numel()} nodes ({nodes}), {edges} edges, {graph.sample_rate} Hz"


def _labels(graph: MixGraph, kinds: list[NodeType]) -> list[str]:
    return [name or f"{kind.name} {node}" for node, (name, kind) in enumerate(zip(graph.names, kinds, strict=True))]


def _processor_row(graph: MixGraph, node: int, row: int) -> ProcessorRow:
    node_type = graph.types[int(graph.node_type[node])]
    stored = graph.params[node_type.name][row].detach().double().cpu().numpy()
    values = {p.name: stored[node_type.columns(p.name)] for p in node_type.parameters}
    names, summarise = _SUMMARIES.get(node_type.name, ((), None))
    if summarise is not None and names == tuple(values):
        text = summarise(values, graph.sample_rate)
    else:
        text = ", ".join(_plain(p, values[p.name]) for p in node_type.parameters)
    return ProcessorRow(node, node_type, text, float(graph.wet[node]))


# --- summaries: physical values by name, sample rate -> text

Values = dict[str, np.ndarray]


def _plain(parameter: ParameterSpec, values: np.ndarray) -> str:
    """``threshold -21.3 dB``; the unit is not repeated in the name."""
    name = parameter.name.removesuffix("_" + parameter.unit.lower().replace("/", "_per_")).replace("_", " ")
    unit = f" {parameter.unit}" if parameter.unit else ""
    if parameter.name == "ratio" and not unit:
        unit = ":1"
    if len(values) > _MANY:
        spread = f"{_short(values.min())} to {_short(values.max())}"
        return f"{name} {spread}{unit} ({len(values)} values, mean {_short(values.mean())})"
    return f"{name} {', '.join(_short(value) for value in values)}{unit}"


def _short(value: float) -> str:
    """One decimal for levels, three digits for what is small or large."""
    if value == 0 or 1 <= abs(value) < 1000:
        return f"{value:.1f}".removesuffix(".0")
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.0f}"


def _gain(values: Values, sample_rate: int) -> str:
    left, right = values["gain_db"]
    return f"L {left:+.1f} dB R {right:+.1f} dB"


def _equalizer(values: Values, sample_rate: int) -> str:
    gain = values["gain_db"]
    frequency = np.arange(len(gain)) * (sample_rate / max(2 * len(gain) - 1, 1))
    parts = []
    for center in OCTAVES_HZ:
        if center >= sample_rate / 2:
            break
        band = (frequency >= center / math.sqrt(2)) & (frequency < center * math.sqrt(2))
        mean = gain[band].mean() if band.any() else np.interp(center, frequency, gain)
        parts.append(f"{center // 1000}k {mean:+.1f}" if center >= 1000 else f"{center} {mean:+.1f}")
    return "  ".join(parts) + " dB"


def _delay(values: Values, sample_rate: int) -> str:
    delay = values["delay_ms"].reshape(2, -1)
    magnitude = 10 ** (values["filter_db"].reshape(*delay.shape, -1) / 20)
    weight = np.full(magnitude.shape[-1], 2.0)
    weight[0] = 1.0  # the other frequencies also stand for their negatives
    energy = (magnitude**2 * weight).sum(-1) / weight.sum()
    level = 10 * np.log10(np.maximum(energy / (energy.sum() / 2), 1e-30))
    strongest = np.argsort(-level, axis=None, kind="stable")[:NUM_STRONGEST]
    taps = [np.unravel_index(index, delay.shape) for index in strongest]
    return ", ".join(f"{'LR'[tap[0]]} {delay[tap]:.0f} ms {level[tap]:+.1f} dB" for tap in taps)


def _reverb(values: Values, sample_rate: int) -> str:
    initial, decay = (values[name].reshape(2, -1) for name in ("initial_db", "decay_db_per_s"))
    frequency = np.arange(initial.shape[1]) * (sample_rate / 2 / initial.shape[1])
    band = np.digitize(frequency, REVERB_EDGES_HZ)
    times = []
    for index, label in enumerate(("low", "mid", "high")):
        if (band == index).any():
            mean = decay[:, band == index].mean()
            times.append(f"{label} {-60 / mean:.2f} s" if mean < -1e-3 else f"{label} > 60 s")
    rate = np.maximum(-decay * (math.log(10) / 10), 1e-9)
    energy = (10 ** (initial / 10) * -np.expm1(-rate * REVERB_SECONDS) / rate).sum(1)
    side_db = 10 * np.log10(max(energy[1] / energy[0], 1e-30))
    return f"RT60 {', '.join(times)}; side {side_db:+.1f} dB to mid"


def _ride(values: Values, sample_rate: int) -> str:
    """``-3.0 dB to 1.20 s, +1.0 dB at 2.00 s, -60.0 dB from 9.50 s``."""
    times, first = np.unique(values["time_s"], return_index=True)
    gains = values["gain_db"][first]
    if len(times) == 1:
        return f"{gains[0]:+.1f} dB"
    words = ["to", *["at"] * (len(times) - 2), "from"]
    return ", ".join(f"{g:+.1f} dB {word} {t:.2f} s" for g, word, t in zip(gains, words, times, strict=True))


_SUMMARIES: dict[str, tuple[tuple[str, ...], Callable[[Values, int], str]]] = {
    "gain": (("gain_db",), _gain),
    "ride": (("time_s", "gain_db"), _ride),
    "equalizer": (("gain_db",), _equalizer),
    "delay": (("delay_ms", "radius", "filter_db"), _delay),
    "reverb": (("initial_db", "decay_db_per_s"), _reverb),
}
"""Type name -> the parameters that the summary needs, and the summary."""
