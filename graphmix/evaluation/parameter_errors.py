"""By how much the settings of a found processor differ from the true one's, in physical units.

==============  =====================  ================================================================================
type            error                  of what
==============  =====================  ================================================================================
gain            ``level_db``           flat gain of the whole chain: gains, and the mean of its equalizers in dB
                ``balance_db``         half the difference of left and right
equalizer       ``shape_db``           mean absolute difference of the curves less their means, over octaves from 50 Hz
                ``low_cut_hz``         corner of a low cut, where both have one
imager          ``side_db``            gain of the side channel
compressor,     ``threshold_db``       as seen from the chain's input: less the flat gain of what comes before
noisegate       ``ratio``              difference of ratios, each at most 20
                ``knee_db, time_ms``
                ``wet``                difference of dry/wet weights
delay           ``echo_ms``            from each audible echo to the nearest found on its side
                ``wet``
reverb          ``rt60_ms``            mean over the bands from 200 Hz to 4 kHz of the mid channel
                ``wet``
others          each parameter         mean absolute difference, in its unit
==============  =====================  ================================================================================
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from graphmix.evaluation.chains import Piece
from graphmix.processors.delay import NUM_TAPS

LARGEST_RATIO = 20.0
AUDIBLE_ECHO_DB = 30.0
"""Echoes softer than the loudest by more are not compared."""
LONGEST_RT60_MS = 10000.0
_LOWEST_HZ = 50.0
_HIGHEST_HZ = 12000.0
_PER_OCTAVE = 12
_CUT_DB = 3.0
_SURELY_CUT_DB = 6.0


def parameter_errors(
    true: Sequence[Piece], true_at: int, found: Sequence[Piece], found_at: int, sample_rate: int
) -> dict[str, float]:
    """Absolute errors of a matched processor, by name with unit.

    Args:
        true: the chain of the true graph.
        true_at: place of the processor in it.
        found: the chain of the found graph.
        found_at: place of the processor in it.
        sample_rate: of both graphs, in Hz.
    """
    one, other = true[true_at], found[found_at]
    match one.kind:
        case "gain":
            sides = [piece.values["gain_db"] for piece in (one, other)]
            levels = [_flat(chain, len(chain), sample_rate) for chain in (true, found)]
            balances = [float(side[0] - side[1]) / 2 for side in sides]
            return {"level_db": abs(levels[0] - levels[1]), "balance_db": abs(balances[0] - balances[1])}
        case "equalizer":
            return _equalizer_errors(one, other, sample_rate)
        case "imager":
            return {"side_db": float((one.values["side_db"] - other.values["side_db"]).abs())}
        case "compressor" | "noisegate":
            before = _flat(true, true_at, sample_rate) - _flat(found, found_at, sample_rate)
            return _dynamics_errors(one, other, before)
        case "delay":
            return {**_echo_errors(one, other), "wet": abs(one.wet - other.wet)}
        case "reverb":
            times = [_rt60_ms(piece, sample_rate) for piece in (one, other)]
            return {"rt60_ms": abs(times[0] - times[1]), "wet": abs(one.wet - other.wet)}
    return _plain_errors(one, other)


def _plain_errors(one: Piece, other: Piece) -> dict[str, float]:
    errors = {
        name: float((value - other.values[name]).abs().mean())
        for name, value in one.values.items()
        if name in other.values and value.shape == other.values[name].shape
    }
    return {**errors, "wet": abs(one.wet - other.wet)}


def _dynamics_errors(one: Piece, other: Piece, before_db: float) -> dict[str, float]:
    values = [{name: float(value) for name, value in piece.values.items()} for piece in (one, other)]
    ratios = [min(v["ratio"], LARGEST_RATIO) for v in values]
    threshold = values[0]["threshold_db"] - values[1]["threshold_db"] - before_db
    errors = {"threshold_db": abs(threshold), "ratio": abs(ratios[0] - ratios[1])}
    errors |= {name: abs(values[0][name] - values[1][name]) for name in ("knee_db", "time_ms")}
    return {**errors, "wet": abs(one.wet - other.wet)}


def _flat(chain: Sequence[Piece], until: int, sample_rate: int) -> float:
    """Gain in dB, over frequencies and sides, of the gains and equalizers before a place in a chain."""
    total = 0.0
    for piece in chain[:until]:
        if piece.kind == "gain":
            total += float(piece.values["gain_db"].mean())
        elif piece.kind == "equalizer":
            total += float(_over_octaves(piece.values["gain_db"], sample_rate).mean())
    return total


def _octaves(sample_rate: int) -> Tensor:
    """Frequencies at equal distances of pitch, [points]."""
    high = min(_HIGHEST_HZ, 0.45 * sample_rate)
    count = int(_PER_OCTAVE * torch.log2(torch.tensor(high / _LOWEST_HZ)))
    return _LOWEST_HZ * 2 ** (torch.arange(count + 1, dtype=torch.float64) / _PER_OCTAVE)


def _over_octaves(gain_db: Tensor, sample_rate: int) -> Tensor:
    """An equalizer's curve at these frequencies, by straight lines between its bins."""
    place = _octaves(sample_rate) * (2 * gain_db.numel() - 1) / sample_rate
    low = place.floor().long().clamp(max=gain_db.numel() - 2)
    return torch.lerp(gain_db[low], gain_db[low + 1], (place - low).to(gain_db))


def _equalizer_errors(one: Piece, other: Piece, sample_rate: int) -> dict[str, float]:
    curves = [_over_octaves(piece.values["gain_db"], sample_rate) for piece in (one, other)]
    shapes = [curve - curve.mean() for curve in curves]
    errors = {"shape_db": float((shapes[0] - shapes[1]).abs().mean())}
    corners = [_low_cut_hz(curve, sample_rate) for curve in curves]
    if corners[0] is not None and corners[1] is not None:
        errors["low_cut_hz"] = abs(corners[0] - corners[1])
    return errors


def _low_cut_hz(curve: Tensor, sample_rate: int) -> float | None:
    """Where a curve comes up to 3 dB below its level from 200 Hz to 1 kHz; None if it is not far below at 50 Hz."""
    hz = _octaves(sample_rate)
    level = float(curve[(hz >= 200) & (hz <= 1000)].mean())
    if float(curve[0]) > level - _SURELY_CUT_DB:
        return None
    above = (curve >= level - _CUT_DB).nonzero().flatten()
    return float(hz[int(above[0])]) if above.numel() else None


def _echoes(piece: Piece) -> tuple[list[float], list[float]]:
    """Times in ms of the audible echoes, left and right."""
    values: Mapping[str, Tensor] = piece.values
    delays = values["delay_ms"].view(2, NUM_TAPS)
    levels = values["filter_db"].view(2, NUM_TAPS, -1).mean(-1)
    audible = levels >= levels.max() - AUDIBLE_ECHO_DB
    left, right = (delays[side][audible[side]].tolist() for side in (0, 1))
    return left, right


def _echo_errors(one: Piece, other: Piece) -> dict[str, float]:
    errors = []
    for true, found in zip(_echoes(one), _echoes(other), strict=True):
        errors += [min(abs(t - f) for f in found) for t in true if found]
    return {"echo_ms": sum(errors) / len(errors)} if errors else {}


def _rt60_ms(piece: Piece, sample_rate: int) -> float:
    """Time in which the mid channel falls by 60 dB, mean over its middle bands."""
    decay = piece.values["decay_db_per_s"]
    mid = decay[: decay.numel() // 2]
    hz = torch.arange(mid.numel()) * (sample_rate / 2 / mid.numel())
    fall = mid[(hz >= 200) & (hz <= 4000)].abs().clamp(min=60000 / LONGEST_RT60_MS)
    return float((60000 / fall).mean())
