"""The reference renderer: slow, plain, float64, node by node. Its result is taken as true; the fast one must agree.

Source: appendix B and C of the pruning paper and the docstrings of the processors, written a second time in
NumPy and SciPy. It shares constants and the reverb's noise with them, and no arithmetic.

Conventions. Signals live on an unbounded time axis: an input is its segment [0, samples), and zero elsewhere.
*Linear* processors keep all of their output, before the segment and after it. *General* processors
(compressors and gates) receive and return the segment alone, and so do the output nodes. Dry/wet is equation 2,
``w f(u) + (1 - w) u`` with the signal at the first inlet as u; nodes with several outlets have none. Signals
that meet at an inlet add up (equation 28b), and an inlet without an edge receives silence.

Not for: gradients, or long songs; see :class:`graphmix.render.Renderer`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, firwin, kaiser_beta, sosfilt

from graphmix.dsp.dynamics import ENERGY_FLOOR
from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import topological_order
from graphmix.graph.validation import validate
from graphmix.processors.align import HALF
from graphmix.processors.delay import FILTER_SECONDS as DELAY_FILTER_SECONDS
from graphmix.processors.delay import NUM_TAPS, SEGMENT_SECONDS
from graphmix.processors.filters import FILTER_SECONDS
from graphmix.processors.graphic import THIRD_OCTAVE_RING_SECONDS
from graphmix.processors.recursive import RING_SECONDS
from graphmix.processors.reverb import REVERB_SECONDS, WINDOW_SECONDS, reverb_noise
from graphmix.processors.signals import as_signal
from graphmix.render import reference_colour as colour
from graphmix.render.reference_dynamics import STUDIO, limiter
from graphmix.render.reference_filters import SECTIONS, Design
from graphmix.render.reference_rates import converted

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Signal:
    """A stereo signal on the unbounded time axis, zero outside of its samples.

    Args:
        start: time of the first sample; negative before the segment.
        samples: left and right, [2, n].
    """

    start: int
    samples: Array

    @property
    def stop(self) -> int:
        """Time just after the last sample."""
        return self.start + self.samples.shape[1]

    def cut(self, start: int, stop: int) -> Array:
        """What lies in [start, stop), [2, stop - start]."""
        result = np.zeros((2, stop - start))
        first, last = max(start, self.start), min(stop, self.stop)
        if first < last:
            result[:, first - start : last - start] = self.samples[:, first - self.start : last - self.start]
        return result

    def scaled(self, factor: float) -> "Signal":
        """The same, louder or softer."""
        return Signal(self.start, factor * self.samples)

    def convolved(self, taps: Array, start: int) -> "Signal":
        """Full linear convolution of each channel with taps [2, n], the first of them at time ``start``."""
        if not self.samples.size:
            return self
        return Signal(self.start + start, fftconvolve(self.samples, taps, axes=1))


SILENCE = Signal(0, np.zeros((2, 0)))


def add(signals: Iterable[Signal]) -> Signal:
    """The sum of signals, as long as all of them together."""
    sounding = [s for s in signals if s.samples.size]
    if not sounding:
        return SILENCE
    start, stop = min(s.start for s in sounding), max(s.stop for s in sounding)
    return Signal(start, sum((s.cut(start, stop) for s in sounding), np.zeros((2, stop - start))))


Values = Mapping[str, Array]
"""The physical values of one node by the name of the parameter."""
Linear = Callable[[Signal, Values, int], list[Signal]]
"""(what comes in, values, sample rate) -> one signal for each outlet."""
General = Callable[[Array, Values, int], Array]
"""(audio [inlets, 2, samples], values, sample rate) -> [2, samples], or [outlets, 2, samples] for several."""


def amplitude(db: Array) -> Array:
    """Decibels to amplitude."""
    return np.power(10.0, db / 20)


# --- levels: equations 10 and 11


def gain(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """Gain and panning (equation 10)."""
    left, right = amplitude(values["gain_db"])
    return [Signal(u.start, np.stack([left * u.samples[0], right * u.samples[1]]))]


def imager(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """Stereo imager (equation 11)."""
    left, right = u.samples
    mid, side = left + right, amplitude(values["side_db"]) * (left - right)
    return [Signal(u.start, np.stack([(mid + side) / 2, (mid - side) / 2]))]


# --- zero-phase filters: equation 12


def nearest_odd(samples: float) -> int:
    """The odd number nearest to a duration."""
    return 2 * round((samples - 1) / 2) + 1


def zero_phase(magnitude: Array) -> Array:
    """Inverse DFT of (N + 1) / 2 real bins, Hann-windowed: N taps with time zero in the middle."""
    half = len(magnitude) - 1
    taps = 2 * half + 1
    n, k = np.arange(-half, half + 1), np.arange(1, half + 1)
    cosines = np.cos(2 * np.pi * (np.outer(n, k) % taps) / taps)
    hann = 0.5 + 0.5 * np.cos(2 * np.pi * n / (taps - 1))
    return hann * (magnitude[0] + 2 * cosines @ magnitude[1:]) / taps


def equalizer(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """Equalizer (equations 12 and 13)."""
    taps = zero_phase(amplitude(values["gain_db"]))
    return [u.convolved(np.stack([taps, taps]), -(len(taps) // 2))]


def crossover(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """Bands between squared Butterworth magnitudes, which add up to 1 at every frequency."""
    taps = nearest_odd(FILTER_SECONDS * sample_rate)
    frequency = np.arange((taps + 1) // 2) * sample_rate / taps
    edges = [np.zeros(len(frequency))]
    edges += [1 / (1 + (frequency / corner) ** 4) for corner in sorted(values["frequency_hz"])]
    edges += [np.ones(len(frequency))]
    bands = [zero_phase(above - below) for below, above in pairwise(edges)]
    return [u.convolved(np.stack([band, band]), -(taps // 2)) for band in bands]


def recursive(kind: str, design: Design) -> Linear:
    """Sections in a row; of what rings on, half a second behind the input is kept (of narrow bells two)."""
    ring = THIRD_OCTAVE_RING_SECONDS if kind == "graphic_eq" else RING_SECONDS

    def run(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
        padded = np.pad(u.samples, ((0, 0), (0, round(ring * sample_rate))))
        return [Signal(u.start, sosfilt(design(values, sample_rate), padded, axis=1))]

    return run


def fir_filter(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """A band by SciPy's windowed design."""
    taps, names = nearest_odd(FILTER_SECONDS * sample_rate), ("low_hz", "high_hz", "inside_db", "outside_db")
    first, second, inside, outside = (float(values[name][0]) for name in names)
    window = ("kaiser", kaiser_beta(float(values["attenuation_db"][0])))
    band = firwin(taps, sorted((first, second)), window=window, pass_zero=False, scale=False, fs=sample_rate)
    response = (amplitude(np.array(inside)) - amplitude(np.array(outside))) * band
    response[taps // 2] += amplitude(np.array(outside))
    return [u.convolved(np.stack([response, response]), -(taps // 2))]


# --- time-based effects: equations 14, 15 and 24


def unit_energy(response: Array) -> Array:
    """Scale left and right together so that their energies have mean 1."""
    return response / np.sqrt(np.mean(np.sum(response**2, axis=1)))


def delay_taps(values: Values, sample_rate: int) -> tuple[Array, int]:
    """Filtered echoes (equation 24), and the time of the first sample."""
    segment = 2 * round(SEGMENT_SECONDS * sample_rate / 2)
    width = nearest_odd(DELAY_FILTER_SECONDS * sample_rate)
    delays = values["delay_ms"].reshape(2, NUM_TAPS)
    filters = values["filter_db"].reshape(2, NUM_TAPS, (width + 1) // 2)
    response = np.zeros((2, NUM_TAPS * segment + width - 1))
    for channel in range(2):
        for tap in range(NUM_TAPS):
            # A delay outside of the tap's own 100 ms counts from their beginning, as on a circle.
            inside = round(delays[channel, tap] * sample_rate / 1000 % segment)
            at = tap * segment + min(inside, segment - 1)
            response[channel, at : at + width] += zero_phase(amplitude(filters[channel, tap]))
    return unit_energy(response), -(width // 2)


def delay(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """Multitap delay."""
    return [u.convolved(*delay_taps(values, sample_rate))]


def masked_noise(noise: Array, initial_db: Array, decay_db_per_s: Array, sample_rate: int) -> Array:
    """STFT, mask (equations 14 and 15), inverse STFT: one channel of noise, the same length."""
    size = 2 * round(WINDOW_SECONDS * sample_rate / 2)
    hop = size // 2
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    padded = np.concatenate([np.zeros(hop), noise, np.zeros(2 * size)])  # frame m is centered at time m * hop
    summed, weight = np.zeros(len(padded)), np.zeros(len(padded))
    for m in range(1 + len(noise) // hop):
        frame = slice(m * hop, m * hop + size)
        mask = amplitude(initial_db + decay_db_per_s * (m * hop / sample_rate))
        spectrum = np.fft.rfft(window * padded[frame]) * np.append(mask, mask[-1])
        summed[frame] += window * np.fft.irfft(spectrum, size)
        weight[frame] += window**2
    kept = slice(hop, hop + len(noise))
    return np.asarray(summed[kept] / weight[kept])


def reverb_taps(values: Values, sample_rate: int) -> Array:
    """Left and right response of the reverb from time zero on, [2, 2 seconds]."""
    noise = reverb_noise(sample_rate)
    assert noise.shape == (2, round(REVERB_SECONDS * sample_rate)), "the noise is as long as the response"
    initial, decay = values["initial_db"].reshape(2, -1), values["decay_db_per_s"].reshape(2, -1)
    mid, side = (masked_noise(noise[x], initial[x], decay[x], sample_rate) for x in range(2))
    return unit_energy(np.stack([mid + side, mid - side]))


def reverb(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    """Reverb."""
    return [u.convolved(reverb_taps(values, sample_rate), 0)]


# --- dynamics: equations 16 to 23, levels and ratios in dB


def envelope(energy: Array, attack_ms: float, release_ms: float, sample_rate: int) -> Array:
    """Equations 16 and 17: one time constant while the energy rises, another while it falls."""
    attack, release = (np.exp(-1 / (ms / 1000 * sample_rate)) for ms in (attack_ms, release_ms))
    result, state = np.empty(len(energy)), 0.0
    for n, x in enumerate(energy.tolist()):
        alpha = attack if x > state else release
        state = alpha * state + (1 - alpha) * x
        result[n] = state
    return result


def level_db(detector: Array, values: Values, sample_rate: int) -> Array:
    """Level of the mid channel that a compressor or a gate goes by."""
    attack = float(values["attack_ms" if "attack_ms" in values else "time_ms"][0])
    release = float(values["release_ms" if "release_ms" in values else "time_ms"][0])
    mid = (detector[0] + detector[1]) / 2
    return np.asarray(10 * np.log10(envelope(mid**2, attack, release, sample_rate) + ENERGY_FLOOR))


def compressed_level(level: Array, values: Values) -> Array:
    """Output level of a compressor (equations 20 and 21); half of the knee's width is the paper's W."""
    threshold, ratio, half = values["threshold_db"], values["ratio"], values["knee_db"] / 2
    above = threshold + (level - threshold) / ratio
    bent = level + (1 / ratio - 1) * (level - threshold + half) ** 2 / (4 * half)
    return np.where(level >= threshold + half, above, np.where(level < threshold - half, level, bent))


def gated_level(level: Array, values: Values) -> Array:
    """Output level of a gate (equations 20 and 23)."""
    threshold, ratio, half = values["threshold_db"], values["ratio"], values["knee_db"] / 2
    below = threshold + ratio * (level - threshold)
    bent = level + (1 - ratio) * (level - threshold - half) ** 2 / (4 * half)
    return np.where(level >= threshold + half, level, np.where(level < threshold - half, below, bent))


def compressor(audio: Array, values: Values, sample_rate: int) -> Array:
    """Compressor (equation 22). The last inlet is the detector's: its own input, or a sidechain."""
    level = level_db(audio[-1], values, sample_rate)
    return amplitude(compressed_level(level, values) - level) * audio[0]


def noisegate(audio: Array, values: Values, sample_rate: int) -> Array:
    """Noise gate."""
    level = level_db(audio[-1], values, sample_rate)
    return amplitude(gated_level(level, values) - level) * audio[0]


def send(audio: Array, values: Values, sample_rate: int) -> Array:
    """Send: what comes into the first inlet, and a share of the second."""
    return np.asarray(audio[0] + amplitude(values["gain_db"])[:, None] * audio[1])


# --- alignment


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


# --- rides


def ride(audio: Array, values: Values, sample_rate: int) -> Array:
    """A gain through breakpoints over time; of those at one time the first counts."""
    time, first = np.unique(values["time_s"], return_index=True)
    gain = np.interp(np.arange(audio.shape[-1]) / sample_rate, time, values["gain_db"][first])
    return amplitude(gain) * audio[0]


TAPS: Mapping[str, Callable[[Values, int], tuple[Array, int]]] = {
    "delay": delay_taps,
    "reverb": lambda values, rate: (reverb_taps(values, rate), 0),
    **colour.TAPS,
}
"""Types whose response may be made at another rate: left and right taps, and the time of the first."""


def by_taps(kind: str) -> Linear:
    """A type that is given by its taps."""
    return lambda u, values, rate: [u.convolved(*TAPS[kind](values, rate))]


def by_matrix(kind: str) -> Linear:
    """A type that is a matrix on (left, right)."""
    return lambda u, values, rate: [Signal(u.start, colour.MATRICES[kind](values) @ u.samples)]


LINEAR: Mapping[str, Linear] = {
    "gain": gain,
    "imager": imager,
    "equalizer": equalizer,
    "crossover": crossover,
    "fir_filter": fir_filter,
    "delay": delay,
    "reverb": reverb,
    **{name: recursive(name, design) for name, design in SECTIONS.items()},
    **{kind: by_taps(kind) for kind in colour.TAPS},
    **{kind: by_matrix(kind) for kind in colour.MATRICES},
}
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
