"""Whole voices in one compiled loop: all nodes of a few notes, a block of samples after the other.

What :mod:`graphmix.render.programs` makes of a graph is a list of instructions for each group of notes, and this runs
it. Signals between nodes are *slots* of one block each, which stay in the processor's cache; only the sound that leaves
goes through memory. All notes of a group have the same instructions with settings of their own, so that the recursions
of their filters run side by side (:mod:`graphmix.dsp.filter_states`). The loops are those of the nodes' own modules.

Conventions: float32, no gradients. An instruction is a row of :data:`COLUMNS` numbers: its code, the slots of up to
five inlets, the slot it writes to. The number of a slot that is the same for all samples is written as its complement
(``~slot``); slot 0 is such a one and is 0.
"""

import numba
import numpy as np

from graphmix.dsp.filter_states import CHUNK, LANES, ROOM, recur, set_states, states_of
from graphmix.dsp.low_frequency import SETTINGS as LFO_SETTINGS
from graphmix.dsp.low_frequency import oscillate
from graphmix.dsp.moving_filter import SETTINGS as FILTER_SETTINGS
from graphmix.dsp.moving_filter import add_outputs, prepare
from graphmix.dsp.operators import SETTINGS as OPERATOR_SETTINGS
from graphmix.dsp.operators import play_row as play_operator
from graphmix.dsp.oscillator_forward import CHUNK as OSCILLATOR_CHUNK
from graphmix.dsp.oscillator_forward import SETTINGS as OSCILLATOR_SETTINGS
from graphmix.dsp.oscillator_forward import play_row as play_oscillator
from graphmix.dsp.segments import STATE, follow

CONSTANT, HOLD, SUM, PRODUCT, NOISE, ENVELOPE, LFO, OSCILLATOR, FILTER, OPERATOR, OUT = range(11)
"""Settings of each:

* a value; a height, and from which sample to which it lasts; none (the sum of two inlets);
* p and q of ``x * (p + q * c)`` with the inlets x and c; the gain of the noise that is added to an inlet;
* as ``SETTINGS`` of :mod:`graphmix.dsp.low_frequency`; those of an oscillator or of an operator, and the rate; those of
  a filter and its center; an operator has an envelope behind it;
* envelopes: how many segments, curvature, amounts of the velocity and of itself, levels, times;
* which row of the result an output is.
"""
INLETS, COLUMNS, SETTINGS, STATES = 5, 7, 24, 9
"""Of an instruction: most inlets, all numbers, most settings, most numbers that it remembers."""
BLOCK = 4096
"""Samples; a whole number of those that all loops take at a time, so that these begin at the same ones as elsewhere."""
_OUTLET = 1 + INLETS
_LFO, _FILTER = len(LFO_SETTINGS), len(FILTER_SETTINGS)
_OSCILLATOR, _OPERATOR = len(OSCILLATOR_SETTINGS), len(OPERATOR_SETTINGS)
_CHUNKS = BLOCK // OSCILLATOR_CHUNK


@numba.njit(cache=True, error_model="numpy", inline="always")
def _signal(slots: np.ndarray, number: int, count: int) -> np.ndarray:
    """What is in a slot: so many samples, or one."""
    return slots[number, :count] if number >= 0 else slots[~number, :1]


@numba.njit(cache=True, error_model="numpy")
def _hold(c: np.ndarray, n: int, out: np.ndarray) -> None:
    for i in range(out.size):
        out[i] = c[0] if (n + i >= c[1]) & (n + i < c[2]) else 0.0


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _sum(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    if a.size == out.size and b.size == out.size:
        for i in range(out.size):
            out[i] = a[i] + b[i]
    else:
        for i in range(out.size):
            out[i] = a[0 if a.size == 1 else i] + b[0 if b.size == 1 else i]


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _product(x: np.ndarray, control: np.ndarray, c: np.ndarray, out: np.ndarray) -> None:
    p, q = c[0], c[1]
    if x.size == out.size and control.size == out.size:
        for i in range(out.size):
            out[i] = x[i] * (p + q * control[i])
    else:
        for i in range(out.size):
            out[i] = x[0 if x.size == 1 else i] * (p + q * control[0 if control.size == 1 else i])


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _add_noise(dry: np.ndarray, wave: np.ndarray, gain: float, out: np.ndarray) -> None:
    for i in range(out.size):
        out[i] = dry[0 if dry.size == 1 else i] + gain * wave[i]


@numba.njit(cache=True, error_model="numpy")
def _follow(gate: np.ndarray, c: np.ndarray, dry: np.ndarray, state: np.ndarray, out: np.ndarray) -> None:
    """An envelope; see :data:`CONSTANT`."""
    segments = int(c[0])
    levels, times = c[4 : 5 + segments], c[5 + segments : 5 + 2 * segments]
    follow(gate, levels, times, c[1], c[2], c[3], dry, state, out)


@numba.njit(cache=True, error_model="numpy")
def _send(signal: np.ndarray, out: np.ndarray) -> None:
    """One signal to both channels."""
    for channel in range(out.shape[0]):
        for i in range(out.shape[1]):
            out[channel, i] = signal[0 if signal.size == 1 else i]


@numba.njit(cache=True, error_model="numpy")
def _play_node(
    own: np.ndarray, slots: np.ndarray, n: int, count: int, c: np.ndarray, short: np.ndarray, state: np.ndarray,
    wave: np.ndarray, tables: np.ndarray, frames: np.ndarray, limits: np.ndarray, begins: np.ndarray,
    level: np.ndarray, mix: np.ndarray,
) -> None:  # fmt: skip
    """One instruction of one note, but those of filters; ``short`` are its settings in float32."""
    code, a, b = own[0], _signal(slots, own[1], count), _signal(slots, own[2], count)
    out = _signal(slots, own[_OUTLET], count)
    if code == CONSTANT:
        out[0] = c[0]
    elif code == HOLD:
        _hold(c, n, out)
    elif code == SUM:
        _sum(a, b, out)
    elif code == PRODUCT:
        _product(a, b, short, out)
    elif code == NOISE:
        _add_noise(a, wave[n : n + count], short[0], out)
    elif code == ENVELOPE:
        _follow(b, c, a, state[:STATE], out)
    elif code == LFO:
        oscillate(a, c[:_LFO], float(n), out)
    elif code == OSCILLATOR:
        modulation, shape, moved = (
            _signal(slots, own[3], count), _signal(slots, own[4], count), _signal(slots, own[5], count)
        )  # fmt: skip
        play_oscillator(
            a, b, modulation, shape, moved, short[:_OSCILLATOR], tables, frames, limits, c[_OSCILLATOR], state[:2],
            begins, out,
        )  # fmt: skip
    elif code == OPERATOR:
        pitch, gate = _signal(slots, own[3], count), _signal(slots, own[4], count)
        _follow(gate, c[_OPERATOR + 1 :], slots[0, :1], state[4 : 4 + STATE], level[:count])
        nothing = np.empty((0, 4))
        play_operator(a, b, pitch, level[:count], short[:_OPERATOR], c[_OPERATOR], state[:4], nothing, out)
    else:
        _send(a, mix[int(c[0]), :, n : n + count])


@numba.njit(cache=True, error_model="numpy", fastmath={"contract"})
def _filter(
    own: np.ndarray, slots: np.ndarray, rows: np.ndarray, count: int, settings: np.ndarray, states: np.ndarray,
    coefficients: np.ndarray, work: np.ndarray,
) -> None:  # fmt: skip
    """The filters of all notes of a group."""
    lanes = rows.size
    for n in range(0, count, CHUNK):
        size = min(CHUNK, count - n)
        for k in range(lanes):
            room, c = work[k * ROOM : (k + 1) * ROOM], settings[rows[k]]
            x, pitch = _signal(slots[k], own[1], count), _signal(slots[k], own[2], count)
            modulation = _signal(slots[k], own[3], count)
            prepare(x[n : n + size], pitch, modulation, c[:_FILTER], c[_FILTER], n, coefficients, room)
            set_states(room, states[rows[k]])
        recur(work, lanes, size)
        for k in range(lanes):
            s1, s2 = states_of(work[k * ROOM : (k + 1) * ROOM], size)
            states[rows[k], 0], states[rows[k], 1] = s1[size], s2[size]
            x, out = _signal(slots[k], own[1], count), _signal(slots[k], own[_OUTLET], count)
            add_outputs(x[n : n + size], settings[rows[k], :_FILTER], s1, s2, out[n : n + size])


@numba.njit(cache=True, error_model="numpy")
def _play_group(
    program: np.ndarray, rows: np.ndarray, needed: np.ndarray, slots: np.ndarray, settings: np.ndarray,
    short: np.ndarray, states: np.ndarray, wave: np.ndarray, tables: np.ndarray, frames: np.ndarray,
    limits: np.ndarray, mix: np.ndarray,
) -> None:  # fmt: skip
    """All instructions of a few notes."""
    begins, level = np.empty(_CHUNKS), np.empty(BLOCK, np.float32)
    coefficients, work = np.empty((3, CHUNK), np.float32), np.empty(LANES * ROOM)
    for n in range(0, mix.shape[2], BLOCK):
        count = min(BLOCK, mix.shape[2] - n)
        for i in range(program.shape[0]):
            if program[i, 0] == FILTER:
                if n < needed[i].max():
                    _filter(program[i], slots, rows[i], count, settings, states, coefficients, work)
                continue
            for k in range(rows.shape[1]):
                row = rows[i, k]
                if n < needed[i, k]:
                    _play_node(
                        program[i], slots[k], n, count, settings[row], short[row], states[row], wave, tables, frames,
                        limits, begins, level, mix,
                    )  # fmt: skip


@numba.njit(parallel=True, cache=True, error_model="numpy")
def play(
    program: np.ndarray, rows: np.ndarray, needed: np.ndarray, first: np.ndarray, lanes: np.ndarray, size: int,
    settings: np.ndarray, short: np.ndarray, states: np.ndarray, wave: np.ndarray, tables: np.ndarray,
    frames: np.ndarray, limits: np.ndarray, mix: np.ndarray,
) -> None:  # fmt: skip
    """Run the instructions of all groups.

    Args:
        program: [instructions, COLUMNS], those of one group after those of the other.
        rows: which row of the settings each note's instruction has, [instructions, notes of a group].
        needed: how many samples of it are, [instructions, notes of a group].
        first: where each group begins, and where the last one ends.
        lanes: how many notes each group has.
        size: slots.
        settings, short: [nodes, SETTINGS], in both precisions.
        states: [nodes, STATES], zero.
        wave: the noise, [samples].
        tables, frames, limits: see :class:`graphmix.dsp.oscillator.Bank`.
        mix: the result, [outputs, 2, samples].
    """
    for group in numba.prange(lanes.size):
        own, notes = slice(first[group], first[group + 1]), lanes[group]
        slots = np.zeros((notes, size, BLOCK), np.float32)
        _play_group(
            program[own], np.ascontiguousarray(rows[own, :notes]), np.ascontiguousarray(needed[own, :notes]), slots,
            settings, short, states, wave, tables, frames, limits, mix,
        )  # fmt: skip
