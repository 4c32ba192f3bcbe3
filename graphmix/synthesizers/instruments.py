"""Three synthesizers: subtractive, frequency modulation, wavetable."""

from collections.abc import Mapping

from graphmix.synthesizers.modules import Module
from graphmix.synthesizers.synthesizer import Synthesizer, Wire

_WAVES = ("sine", "saw", "pulse", "triangle", "table")
_LFO = ("sine", "triangle", "saw", "square")
_MODES = ("low", "band", "high")
_SILENT = {"level_db": -96.0}
_FREQUENCY = {"frequency": ("by_ratio", "by_hz")}


def _off(*names: str) -> dict[str, float]:
    return dict.fromkeys(names, 0.0)


# --- subtractive


def _subtractive_wires(_: Mapping[str, str]) -> list[Wire]:
    wires: list[Wire] = [
        ("note:gate", "filter_envelope:gate"),
        ("note:gate", "amplitude_envelope:gate"),
        ("note:pitch", "filter:pitch"),
        ("noise", "oscillator_2"),
        ("oscillator_2", "oscillator_1"),
        ("oscillator_1", "filter"),
        ("filter_envelope", "filter:modulation"),
        ("lfo", "lfo_to_filter"),
        ("lfo_to_filter", "filter:modulation"),
        ("filter", "amplifier"),
        ("amplitude_envelope", "amplifier:control"),
        ("amplifier", "out"),
    ]
    for oscillator in ("oscillator_1", "oscillator_2"):
        wires += [("note:pitch", f"{oscillator}:pitch"), ("lfo", f"{oscillator}:modulation")]
        wires.append(("lfo", f"{oscillator}:shape"))
    return wires


SUBTRACTIVE = Synthesizer(
    "subtractive",
    (
        Module("noise", "noise", starts=_SILENT),
        Module("oscillator_2", "oscillator", {"wave": _WAVES}, starts=_SILENT),
        Module("oscillator_1", "oscillator", {"wave": _WAVES}),
        Module("lfo", "lfo", {"wave": _LFO}),
        Module("lfo_to_filter", "amplifier", fixed={"level_db": 0.0}, starts={"offset": 0.0}),
        Module("filter_envelope", "envelope"),
        Module("filter", "filter", {"mode": _MODES}),
        Module("amplitude_envelope", "envelope", fixed={"depth": 1.0}),
        Module("amplifier", "amplifier", fixed={"offset": 0.0}),
    ),
    _subtractive_wires,
)
"""Noise and two oscillators in series (each adds its sound), a filter, two envelopes, an LFO."""

# --- frequency modulation

ALGORITHMS: tuple[tuple[str, str, int], ...] = (
    ("65 54 43 21", "13", 6), ("65 54 43 21", "13", 2), ("65 54 32 21", "14", 6), ("65 54 32 21", "14", 6),
    ("65 43 21", "135", 6), ("65 43 21", "135", 6), ("65 53 43 21", "13", 6), ("65 53 43 21", "13", 4),
    ("65 53 43 21", "13", 2), ("32 21 54 64", "14", 3), ("32 21 54 64", "14", 6), ("21 43 53 63", "13", 2),
    ("21 43 53 63", "13", 6), ("64 54 43 21", "13", 6), ("64 54 43 21", "13", 2), ("65 51 43 31 21", "1", 6),
    ("65 51 43 31 21", "1", 2), ("65 54 41 31 21", "1", 3), ("32 21 65 64", "145", 6), ("31 32 54 64", "124", 3),
    ("31 32 64 65", "1245", 3), ("21 63 64 65", "1345", 6), ("32 64 65", "1245", 6), ("63 64 65", "12345", 6),
    ("64 65", "12345", 6), ("32 54 64", "124", 6), ("32 54 64", "124", 3), ("54 43 21", "136", 5),
    ("43 65", "1235", 6), ("54 43", "1236", 5), ("65", "12345", 6), ("", "123456", 6),
)  # fmt: skip
"""The 32 classic algorithms: pairs of modulator and carrier of the modulation, operators that sound, the operator with
feedback. The fourth and the sixth feed back over three and two operators in the original, here over the last one."""
OPERATORS = tuple(str(number) for number in range(1, 7))


def _fm_wires(choices: Mapping[str, str]) -> list[Wire]:
    pairs, carriers, _ = ALGORITHMS[int(choices["algorithm"]) - 1]
    wires: list[Wire] = [("note:pitch", "pitch"), ("note:gate", "pitch_envelope:gate")]
    wires += [("lfo", "vibrato"), ("vibrato", "pitch"), ("pitch_envelope", "bend"), ("bend", "pitch")]
    for operator in OPERATORS:
        wires += [("note:gate", f"op{operator}:gate"), ("pitch", f"op{operator}:pitch")]
    wires += [(f"op{pair[0]}", f"op{pair[1]}:modulation") for pair in pairs.split()]
    wires += [(f"op{carrier}", "amplifier") for carrier in carriers]
    return [*wires, ("amplifier", "out")]


FM = Synthesizer(
    "fm",
    (
        Module("lfo", "lfo", {"wave": _LFO}),
        Module("vibrato", "amplifier", fixed={"offset": 1.0}, starts=_SILENT),
        Module("pitch_envelope", "segment_envelope", fixed={"depth": 1.0}),
        Module("bend", "amplifier", fixed={"offset": 1.0}),
        Module("pitch", "mix"),
        *(Module(f"op{operator}", "operator", _FREQUENCY, starts=_SILENT) for operator in OPERATORS[:0:-1]),
        Module("op1", "operator", _FREQUENCY),
        Module("amplifier", "amplifier", fixed={"offset": 1.0}),
    ),
    _fm_wires,
    {"algorithm": tuple(str(number) for number in range(1, len(ALGORITHMS) + 1))},
)
"""Six operators in 32 algorithms, a pitch envelope, an LFO."""

# --- wavetable


def _wavetable_wires(_: Mapping[str, str]) -> list[Wire]:
    wires: list[Wire] = [
        ("note:gate", "position_envelope:gate"),
        ("note:gate", "amplitude_envelope:gate"),
        ("note:pitch", "filter:pitch"),
        ("lfo", "position_envelope"),
        ("oscillator_2", "ring_modulator:modulator"),
        ("oscillator_1", "ring_modulator"),
        ("ring_modulator", "sub"),
        ("sub", "filter"),
        ("filter", "amplifier"),
        ("amplitude_envelope", "amplifier:control"),
        ("amplifier", "out"),
    ]
    for oscillator in ("oscillator_1", "oscillator_2", "sub"):
        wires.append(("note:pitch", f"{oscillator}:pitch"))
    for oscillator in ("oscillator_1", "oscillator_2"):
        wires += [("lfo", f"{oscillator}:modulation"), ("position_envelope", f"{oscillator}:shape")]
    return wires


_TABLE = {"sine": 0.0, "saw": 0.0, "pulse": 0.0, "triangle": 0.0, "table": 1.0, "width": 0.5, "width_modulation": 0.0}
_SUB = _off("saw", "table", "position", "position_modulation", "width_modulation", "vibrato_semitones")
WAVETABLE = Synthesizer(
    "wavetable",
    (
        Module("oscillator_2", "oscillator", fixed=_TABLE),
        Module("oscillator_1", "oscillator", fixed=_TABLE),
        Module("lfo", "lfo", {"wave": _LFO}),
        Module("position_envelope", "segment_envelope"),
        Module("ring_modulator", "ring_modulator", has_wet=True),
        Module("sub", "oscillator", {"wave": ("sine", "triangle", "pulse")}, _SUB, _SILENT),
        Module("filter", "filter", {"mode": _MODES}),
        Module("amplitude_envelope", "envelope", fixed={"depth": 1.0}),
        Module("amplifier", "amplifier", fixed={"offset": 0.0}),
    ),
    _wavetable_wires,
)
"""Two wavetable oscillators, ring modulation, a sub-oscillator, a filter, a segment envelope for the tables."""

SYNTHESIZERS = {synthesizer.name: synthesizer for synthesizer in (SUBTRACTIVE, FM, WAVETABLE)}
"""Name -> synthesizer, as `--synth` takes them."""
