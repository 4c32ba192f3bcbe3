"""What no proposal does because no engineer would: a rewrite of a proposed graph, so that the graph keeps the rules.

1. *Low parts in the middle.* Whatever a kick or a bass passes that pans is centered; what is left of an imbalance, by
   the recording or by effects, is made up for by the track's fader. Not where the user has decided the place.
2. *No side channel from a mono mix.* Where all tracks that sound are mono and nothing pans them, an imager behind the
   sum takes away what delays and reverbs put into the side channel.
3. *Headroom.* A fader behind the sum brings loudness (BS.1770) into a range and true peaks below a ceiling; where the
   two contradict each other, a true-peak limiter before the output lets both hold.
4. *No gate on sustained parts.* Gates and expanders behind a track that never pauses are removed.

Kick and bass are known by their names (:mod:`graphmix.audio.subgroup_guess`). The rules hold for every estimator, since
they read nothing but the graph and the song.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from graphmix.audio.loudness import LOWEST_LUFS, loudness
from graphmix.audio.song import SILENT_PEAK, Song
from graphmix.audio.subgroup_guess import guess_subgroup, words_of
from graphmix.dsp.true_peak import REACH, true_peaks
from graphmix.graph.editing import bypass_nodes, insert_after, insert_before, remove_nodes, with_type
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.topology import follow, neighbours, reachable
from graphmix.models.mixing.autoregressive import part_with_tracks
from graphmix.processors.base import Processor
from graphmix.processors.levels import LEVEL_RANGE_DB, Gain, Imager
from graphmix.processors.limiter import TruePeakLimiter
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song

GATES = ("noisegate", "ballistic_gate", "expander")
HEADROOM = "headroom"
"""Name of the nodes that the rules put behind the sum."""
MONO_DB = -60.0
"""Side against mid from which a signal counts as mono."""
BALANCE_DB = 0.5
"""Difference of left and right that is left alone."""
_KICKS = ("kick", "kik", "kk", "bd", "bassdrum", "kickdrum")
_PANS = {"gain": "gain_db", "pan": "position", "balance": "position", "rotation": "angle_deg", "haas": "later_ms"}
_PANS |= {"auto_pan": "depth"}
"""Types that place what passes them, and the parameter that does it."""
_SPACES = ("delay", "reverb", "feedback_delay", "feedback_network", "velvet_reverb", "early_reflections")
_EFFECTS = (*_SPACES, "chorus", "flanger", "vibrato", "phaser", "tremolo")
"""Types whose left and right differ by themselves."""
_MOST_MOVED_DB = 20.0
_BLOCK_SECONDS = 0.05
_QUIET_DB, _PAUSE_DB, _SUSTAINED = 60.0, 15.0, 0.95
_MARGIN_DB = 0.05
_WORTH_LU = 0.1
_SECONDS_AT_ONCE = 20


@dataclass(frozen=True)
class Rules:
    """Which rules a proposal keeps.

    Args:
        centered: kick and bass in the middle.
        mono: no side channel from a mono mix.
        gates: no gate on sustained parts.
        peak_db: highest true peak, in dB re full scale; None: any.
        lufs: softest and loudest integrated loudness, in LUFS; None: any.
        placed: names of tracks whose place the user has decided.
    """

    centered: bool = True
    mono: bool = True
    gates: bool = True
    peak_db: float | None = -1.0
    lufs: tuple[float, float] | None = (-30.0, -10.0)
    placed: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Ruled:
    """A proposal that keeps the rules: its graph, the processors for it, its sound, and what was changed, in words."""

    graph: MixGraph
    rack: Rack
    mix: Tensor
    changes: tuple[str, ...]


def rack_of(graph: MixGraph, rack: Rack) -> Rack:
    """The processors of a rewritten graph, those of a model's rack before graphmix's own."""
    if all(t in rack.types for t in graph.types.types if t.is_processor):
        return rack
    return Rack.for_types(graph.types.types, graph.sample_rate, tuple(rack))


@torch.no_grad()
def apply_rules(graph: MixGraph, song: Song, rack: Rack, rules: Rules) -> Ruled:
    """A proposed graph, rewritten so that it keeps the rules; the given one is not changed.

    Args:
        graph: on the CPU, at the song's rate.
        song: its tracks.
        rack: processors of the graph, e.g. the model's.
        rules: to keep.
    """
    changes: list[str] = []
    if rules.gates:
        graph = _without_gates(graph, song, changes)
    low = _low_parts(graph, song, rules.placed) if rules.centered else []
    graph = _centered(graph, low, changes) if low else graph
    mix = render_song(graph, song, rack_of(graph, rack))
    if rules.mono and width_db(mix) > MONO_DB and pans_nothing(graph) and is_mono(song):
        graph = _behind_sum(graph, Imager(graph.sample_rate), side_db=LEVEL_RANGE_DB[0])
        mix = render_song(graph, song, rack_of(graph, rack))
        changes.append("nothing is panned and all tracks are mono: the side channel was silenced")
    unbalanced = graph
    for name in low:
        graph = _balanced(graph, song, rack, name, changes)
    if graph is not unbalanced:
        mix = render_song(graph, song, rack_of(graph, rack))
    graph, mix = _with_headroom(graph, mix, song, rack, rules, changes)
    return Ruled(graph, rack_of(graph, rack), mix, tuple(changes))


# --- gates


def sustained_tracks(song: Song) -> set[str]:
    """Names of the tracks that never pause: of blocks of 50 ms at most 60 dB below their loud ones (the 95th
    percentile), 95 % are less than 15 dB below these. Silent tracks are none."""
    return {name for name, levels in _block_levels(song).items() if _is_sustained(levels)}


def _is_sustained(levels: Tensor) -> bool:
    if not levels.numel():
        return False
    loud = float(levels.quantile(0.95))
    sounding = levels[levels > loud - _QUIET_DB]
    return float((sounding > loud - _PAUSE_DB).double().mean()) >= _SUSTAINED


def _block_levels(song: Song) -> dict[str, Tensor]:
    """Levels of blocks of each track in dB, without blocks of digital silence."""
    size = round(_BLOCK_SECONDS * song.sample_rate)
    powers: list[Tensor] = []
    step = size * round(_SECONDS_AT_ONCE / _BLOCK_SECONDS)
    for begin in range(0, song.num_samples - size + 1, step):
        stems = song.read(begin, min(step, song.num_samples - begin)).stems
        powers.append(stems.square().mean(1).unfold(1, size, size).mean(2))
    together = torch.cat(powers, 1).double() if powers else torch.zeros(song.num_tracks, 0, dtype=torch.float64)
    least = SILENT_PEAK**2
    rows = zip(song.track_names, together, strict=True)
    return {name: 10 * row[row > least].log10() for name, row in rows}


def _without_gates(graph: MixGraph, song: Song, changes: list[str]) -> MixGraph:
    gates = [node for kind in GATES if kind in graph.types.names for node in graph.nodes_of(kind).tolist()]
    gates = [node for node in gates if float(graph.wet[node]) > 0]
    if not gates:
        return graph
    sustained = sustained_tracks(song)
    before, _ = neighbours(graph.node_type.numel(), graph.edges())
    names = graph.names
    inputs = {node: names[node] for node in graph.nodes_of("in").tolist()}
    wrong = [g for g in gates if any(inputs[n] in sustained for n in reachable(before, [g]) & inputs.keys())]
    if wrong:
        changes.append(f"{len(wrong)} of {len(gates)} gates stood behind tracks that never pause and were removed")
        graph = remove_nodes(graph, wrong)
    return graph


# --- the middle


def is_low_part(name: str) -> bool:
    """Whether a track is a kick or a bass, by its name.

    >>> is_low_part("04_old_kik_ds.flac"), is_low_part("Bass DI"), is_low_part("snare")
    (True, True, False)
    """
    words = words_of(name)
    joined = [one + other for one, other in pairwise(words)]
    kick = any(word in _KICKS or "kick" in word for word in [*words, *joined])
    return kick or guess_subgroup(name).bus == "bass"


def balance_db(audio: Tensor) -> float:
    """Level of left above right, in dB; 0 for silence, never beyond ±100."""
    left, right = (float(power) + 1e-20 for power in audio.double().square().sum(1))
    return max(-100.0, min(100.0, 10 * math.log10(left / right)))


def pans_nothing(graph: MixGraph) -> bool:
    """Whether no processor of a graph places what passes it."""
    return not any(_placements(graph, range(graph.node_type.numel())))


def _placements(graph: MixGraph, nodes: Iterable[int]) -> Iterator[int]:
    """Those of some nodes that place what passes them off the middle."""
    for node in nodes:
        name = graph.type_of(node).name
        if name not in _PANS or float(graph.wet[node]) == 0:
            continue
        values = graph.parameter(node, _PANS[name])
        if float((values[0] - values[-1]).abs() if name == "gain" else values.abs().max()) > 1e-4:
            yield node


def _low_parts(graph: MixGraph, song: Song, placed: frozenset[str]) -> list[str]:
    """Kicks and basses that sound and whose place is not decided."""
    sounding = {name for name, levels in _block_levels(song).items() if levels.numel()}
    return [name for name in graph.input_names if is_low_part(name) and name in sounding and name not in placed]


def _centered(graph: MixGraph, low: list[str], changes: list[str]) -> MixGraph:
    """The graph without what places some tracks off the middle."""
    inputs = dict(zip(graph.input_names, graph.nodes_of("in").tolist(), strict=True))
    _, after = neighbours(graph.node_type.numel(), graph.edges())
    wrong = set(_placements(graph, reachable(after, [inputs[name] for name in low])))
    if not wrong:
        return graph
    graph = graph.clone()
    rows = graph.rows().tolist()
    for node in wrong:
        kind = graph.type_of(node)
        values = graph.params[kind.name][rows[node], kind.columns(_PANS[kind.name])]
        values.copy_(values.mean() if kind.name == "gain" else torch.zeros_like(values))
    changes.append(f"{len(wrong)} processors that placed {', '.join(low)} off the middle were centered")
    return graph


def _balanced(graph: MixGraph, song: Song, rack: Rack, name: str, changes: list[str]) -> MixGraph:
    """Bring a track to the middle: by its fader; else as a mono track, without the effects that move it."""
    alone = song.alone(name)

    def off_middle(candidate: MixGraph) -> float:
        part = part_with_tracks(candidate, [name])
        return balance_db(render_song(part, alone, rack_of(part, rack), song.num_samples))

    first = off_middle(graph)
    if abs(first) <= BALANCE_DB:
        return graph
    found, off = _by_fader(graph, name, first, off_middle)
    if abs(off) > BALANCE_DB:
        start = int(graph.nodes_of("in")[graph.input_names.index(name)])
        found = _inserted(graph, start, Imager(graph.sample_rate), side_db=LEVEL_RANGE_DB[0])
        found, off = _by_fader(found, name, off_middle(found), off_middle)
    effects = _effects_behind(found, name) if abs(off) > BALANCE_DB else []
    for node in effects:
        found = bypass_nodes(found, [node])
        found, off = _by_fader(found, name, off_middle(found), off_middle)
        if abs(off) <= BALANCE_DB:
            break
    changes.append(f"{name} was {abs(first):.1f} dB off the middle and was brought there")
    return found


def _by_fader(
    graph: MixGraph, name: str, off: float, off_middle: Callable[[MixGraph], float]
) -> tuple[MixGraph, float]:
    """The difference of a track's two gains that brings it to the middle, by secants, and what is left in dB."""
    if abs(off) <= BALANCE_DB:
        return graph, off
    graph, _, row = own_fader(graph, name)
    last, moved, best, least = (0.0, off), -off, graph, off
    for _ in range(5):
        moved = max(-_MOST_MOVED_DB, min(_MOST_MOVED_DB, moved))
        candidate = graph.clone()
        candidate.params["gain"][row] += torch.tensor([moved / 2, -moved / 2])
        left = off_middle(candidate)
        if abs(left) < abs(least):
            best, least = candidate, left
        slope = (left - last[1]) / (moved - last[0]) if moved != last[0] else 0.0
        if abs(least) <= BALANCE_DB / 2 or abs(slope) < 0.02:
            break
        last, moved = (moved, left), moved - left / slope
    return best, least


def _effects_behind(graph: MixGraph, name: str) -> list[int]:
    """Effects that a track passes whose left and right differ, the nearest first."""
    _, after = neighbours(graph.node_type.numel(), graph.edges())
    start = int(graph.nodes_of("in")[graph.input_names.index(name)])
    order, reached = [start], {start}
    for node in order:
        for other in after[node]:
            if other not in reached:
                reached.add(other)
                order.append(other)
    return [node for node in order if graph.type_of(node).name in _EFFECTS and float(graph.wet[node]) > 0]


def own_fader(graph: MixGraph, track: str) -> tuple[MixGraph, int, int]:
    """The first gain node that a track alone goes through, made where there is none: graph, node, row of parameters."""
    before, after = neighbours(graph.node_type.numel(), graph.edges())
    start = int(graph.nodes_of("in")[graph.input_names.index(track)])
    for node in follow(after, start):
        if not graph.type_of(node).is_processor or len(before[node]) > 1:
            break
        if graph.type_of(node).name == "gain":
            if float(graph.wet[node]) < 1:
                graph = _wholly_wet(graph, node)
            return graph, node, int(graph.rows()[node])
    graph = _inserted(graph, start, Gain(graph.sample_rate))
    return graph, graph.node_type.numel() - 1, graph.params["gain"].size(0) - 1


def _wholly_wet(graph: MixGraph, node: int) -> MixGraph:
    """The same gain without a dry part."""
    graph = graph.clone()
    row, wet = int(graph.rows()[node]), float(graph.wet[node])
    amplitude = 1 - wet + wet * 10 ** (graph.params["gain"][row] / 20)
    graph.params["gain"][row] = (20 * amplitude.log10()).clamp(*LEVEL_RANGE_DB)
    graph.wet[node] = 1.0
    return graph


def _inserted(graph: MixGraph, node: int, processor: Processor, **parameters: float) -> MixGraph:
    """The graph with a processor behind a node, for all that the node fed."""
    return insert_after(with_type(graph, processor.node_type), node, processor.node_type.name, "", **parameters)


# --- behind the sum


def width_db(mix: Tensor) -> float:
    """Energy of side against mid in dB, at least -200; that of silence is -200."""
    left, right = mix.double()
    mid, side = float((left + right).square().sum()), float((left - right).square().sum())
    return 10 * math.log10(max(side / mid, 1e-20)) if mid > 0 else (-200.0 if side == 0 else 200.0)


def is_mono(song: Song) -> bool:
    """Whether every track has the same on left and right."""
    step = _SECONDS_AT_ONCE * song.sample_rate
    energies = torch.zeros(2, song.num_tracks, dtype=torch.float64)
    for begin in range(0, song.num_samples, step):
        stems = song.read(begin, min(step, song.num_samples - begin)).stems.double()
        energies[0] += (stems[:, 0] + stems[:, 1]).square().sum(1)
        energies[1] += (stems[:, 0] - stems[:, 1]).square().sum(1)
    return bool((energies[1] <= energies[0] * 10 ** (MONO_DB / 10)).all())


def peak_db(mix: Tensor) -> float:
    """True peak in dB re full scale, at least -200; [2, samples]."""
    step, highest = 1 << 19, 1e-10
    for begin in range(0, mix.size(1), step):
        part = mix[:, max(0, begin - REACH) : begin + step + REACH]
        highest = max(highest, float(true_peaks(part[None]).max()))
    return 20 * math.log10(highest)


def _behind_sum(graph: MixGraph, processor: Processor, **parameters: float) -> MixGraph:
    graph = with_type(graph, processor.node_type)
    for out in graph.nodes_of("out").tolist():
        graph = insert_before(graph, out, processor.node_type.name, name=HEADROOM, **parameters)
    return graph


def _with_headroom(
    graph: MixGraph, mix: Tensor, song: Song, rack: Rack, rules: Rules, changes: list[str]
) -> tuple[MixGraph, Tensor]:
    """A fader behind the sum, and a limiter where a fader cannot do it."""
    lufs, peak = loudness(mix, song.sample_rate), peak_db(mix)
    if lufs <= LOWEST_LUFS:  # silence has no level to bring anywhere
        return graph, mix
    low, high = rules.lufs or (-math.inf, math.inf)
    ceiling = math.inf if rules.peak_db is None else rules.peak_db - _MARGIN_DB
    gain = min(max(0.0, low + _MARGIN_DB - lufs), high - _MARGIN_DB - lufs) if not low <= lufs <= high else 0.0
    if peak + gain > ceiling and lufs + (ceiling - peak) < low:
        return _limited(graph, song, rack, low - lufs, ceiling, low, changes)
    gain = min(gain, ceiling - peak)
    if gain:
        graph = _behind_sum(graph, Gain(graph.sample_rate), gain_db=gain)
        mix = mix * 10 ** (gain / 20)
        changes.append(f"headroom: {gain:+.1f} dB behind the sum ({lufs:.1f} LUFS, true peak {peak:.1f} dB before)")
    return graph, mix


def _limited(
    graph: MixGraph, song: Song, rack: Rack, gain: float, ceiling: float, low: float, changes: list[str]
) -> tuple[MixGraph, Tensor]:
    """A fader and a limiter; the fader rises until the limited sum is loud enough."""
    reached = -math.inf
    for _ in range(8):
        gain += _MARGIN_DB
        made = _behind_sum(graph, Gain(graph.sample_rate), gain_db=gain)
        made = _behind_sum(made, TruePeakLimiter(graph.sample_rate), ceiling_db=ceiling - _MARGIN_DB)
        mix = render_song(made, song, rack_of(made, rack))
        before, reached = reached, loudness(mix, song.sample_rate)
        if reached >= low or reached < before + _WORTH_LU:
            break
        gain += low - reached
    if reached < low:
        changes.append(f"headroom: peaks alone are left, and they cannot be louder than {reached:.1f} LUFS")
    changes.append(f"headroom: {gain:+.1f} dB and a true-peak limiter behind the sum, whose peaks stood out too far")
    return made, mix
