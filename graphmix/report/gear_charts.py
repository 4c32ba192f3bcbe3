"""Curves of filters, dynamics, saturations, modulations, echoes and rooms beyond the pruning paper's processors.

========================  ============================================================================
compressor, expander      level out over level in, the gain over the stretch played
dynamic equalizer         gain over frequency while it is quiet, and with every band at 0 dB
saturation, bit crusher   output over input, of a slow sine at full scale
modulation                what the sine moves, over two periods: a delay, a corner, a gain, a place
feedback delay            its echoes
networks, velvet noise    how their energy falls in three bands
early reflections         what arrives when
bass width                gain of the side over frequency
========================  ============================================================================
"""

import numpy as np
import torch
from numpy.typing import NDArray

from graphmix.dsp.biquad_response import section_response
from graphmix.graph.engineering import REVERB_EDGES_HZ
from graphmix.processors.base import LTIProcessor
from graphmix.processors.compressors import StudioDynamics
from graphmix.processors.dynamic_equalizers import KNEE_DB, DynamicEqualizer
from graphmix.processors.dynamics import knee
from graphmix.processors.modulation import VOICES
from graphmix.report.chart import LEVELS_DB, LOWEST_HZ, POINTS, Axis, Chart, Played, Series, points_of
from graphmix.report.chart import over_frequency as _over_frequency

Array = NDArray[np.float64]
_SINE_HZ, _SINE_SAMPLES = 20.0, 1 << 14
_ECHO_SECONDS, _ECHO_FRAME = 4.0, 0.005
_REFLECTION_SECONDS = 0.1
_LEAST_DB = -60.0


def studio_gain_db(node: Played) -> Array:
    """Gain in dB of a compressor or expander at :data:`graphmix.report.chart.LEVELS_DB`, make-up included."""
    own = node.processor
    assert isinstance(own, StudioDynamics), "the caller looked"
    params = node.params[None].double()
    over = torch.from_numpy(LEVELS_DB) - float(own.get(params, "threshold_db")[0, 0])
    bent = knee(-over if own.downward else over, own.get(params, "knee_db")[0])
    slope = float(own.slope(params)[0])
    if own.feedback(params)[0]:
        slope = slope / (1 - slope)
    reduction = torch.minimum(-slope * bent, own.range_db(params)[0])
    return np.asarray((own.makeup_db(params)[0] - reduction).numpy())


def dynamic_equalizer(node: Played) -> list[Chart]:
    """Gain over frequency while nothing comes over the thresholds, and while every band is at 0 dB."""
    own = node.processor
    assert isinstance(own, DynamicEqualizer), "the caller looked"
    params, rate = node.params[None].double(), own.sample_rate
    n_fft = 1 << 14
    bands = torch.stack([section_response(own._filters(params)[:, b : b + 1], n_fft)[0] for b in range(own.bands)])
    known, at = np.linspace(0, rate / 2, bands.size(-1)), np.geomspace(LOWEST_HZ, rate / 2, POINTS)
    threshold, ratio, most, gain = (own.get(params, n)[0] for n in ("threshold_db", "ratio", "range_db", "gain_db"))
    loudest = torch.minimum((1 - 1 / ratio) * knee(-threshold, torch.tensor(KNEE_DB)), most)
    series = []
    for name, off, style in (("quiet", torch.zeros_like(loudest), "line"), ("every band at 0 dB", loudest, "dashed")):
        factors = 10 ** ((gain - off) / 20) - 1
        whole = (1 + factors[:, None] * bands).prod(0)
        mixed = (node.wet * whole + 1 - node.wet).abs().numpy()
        series.append(Series(name, points_of(at, np.interp(at, known, 20 * np.log10(np.maximum(mixed, 1e-5)))), style))
    return [_over_frequency(series, rate)]


def transfer(node: Played) -> list[Chart]:
    """Output over input of a slow sine at full scale."""
    rate = node.processor.sample_rate
    turns = np.arange(_SINE_SAMPLES) * (_SINE_HZ / rate)
    sine = torch.from_numpy(np.sin(2 * np.pi * turns)).expand(1, 2, -1)
    with torch.no_grad():
        out = node.processor(sine, node.params[None].double())[0, 0]
    mixed = (node.wet * out + (1 - node.wet) * sine[0, 0]).numpy()
    period = round(rate / _SINE_HZ)
    cut = slice(period // 4, period // 4 + period + 1, max(1, period // (2 * POINTS)))  # down and up again
    x, y = sine[0, 0].numpy()[cut], mixed[cut]
    high = max(1.0, float(np.ceil(np.abs(y).max() * 4) / 4))
    straight = Series("as it comes in", [(-1, -1), (1, 1)], "dashed")
    words = f"Full scale comes out at {20 * np.log10(max(y.max(), 1e-5)):+.1f} dB."
    return [
        Chart("Curve", Axis("in", -1, 1), Axis("out", -high, high), [straight, Series("out", points_of(x, y))], words)
    ]


def modulation(node: Played) -> list[Chart]:
    """What the sine moves, over two periods."""
    one = {name: float(own[0]) for name, own in node.values.items()}
    seconds = np.linspace(0, 2 / one["rate_hz"], POINTS)
    name = node.processor.node_type.name
    voices = VOICES if name == "chorus" else 1
    series = []
    for channel, side in enumerate(("left", "right")):
        for voice in range(voices):
            turns = one["rate_hz"] * seconds + one["phase"] + one["spread"] * channel + voice / voices
            moved = _moved(name, one, np.sin(2 * np.pi * turns), node.wet)
            label = f"{side} {voice + 1}" if voices > 1 else side
            series.append(Series(label, points_of(seconds, moved), "dashed" if channel else "line"))
    label = _MOVED[name]
    values = np.array([y for own in series for _, y in own.points])
    low, high = float(values.min()), float(values.max())
    room = max(0.1 * (high - low), 0.02 * abs(high), 1e-3)
    words = f"{label.split(' / ')[0].capitalize()} from {low:.3g} to {high:.3g}, {one['rate_hz']:.2g} times a second."
    time = Axis("time / s", 0, float(seconds[-1]))
    return [Chart("Movement", time, Axis(label, low - room, high + room), series, words)]


_MOVED = {
    **dict.fromkeys(("chorus", "flanger", "vibrato"), "delay / ms"),
    "phaser": "corner / Hz",
    "tremolo": "gain / dB",
    "auto_pan": "place / %",
}


def _moved(name: str, one: dict[str, float], wave: Array, wet: float) -> Array:
    if name == "phaser":
        return np.asarray(one["center_hz"] * 2 ** (one["depth"] * wave))
    if name == "tremolo":
        return np.asarray(20 * np.log10(np.maximum(1 - wet * one["depth"] * (1 + wave) / 2, 1e-3)))
    if name == "auto_pan":
        return np.asarray(100 * one["depth"] * wave)
    return np.asarray(one["center_ms"] * (1 + one["depth"] * wave))


def echoes(node: Played) -> list[Chart]:
    """When and how loud the repeats of one click on both channels are, relative to it."""
    own = node.processor
    click = torch.zeros(1, 2, round(_ECHO_SECONDS * own.sample_rate), dtype=torch.float64)
    click[..., 0] = 1
    with torch.no_grad():
        out = own(click, node.params[None].double())[0].numpy()
    return [_arrivals(out * node.wet, own.sample_rate, _ECHO_FRAME, "Echoes")]


def reflections(node: Played) -> list[Chart]:
    """When and how loud the first reflections arrive, relative to what comes in."""
    own = node.processor
    assert isinstance(own, LTIProcessor), "the caller looked"
    with torch.no_grad():
        taps = own.impulse_response(node.params[None].double())[0].numpy()[:, own.extent[0] :]
    return [_arrivals(taps[:, : round(_REFLECTION_SECONDS * own.sample_rate)] * node.wet, own.sample_rate, 0.001,
                      "Reflections")]  # fmt: skip


def _arrivals(taps: Array, rate: int, frame_seconds: float, title: str) -> Chart:
    """Frames that are louder than both neighbours, as stems."""
    frame = max(1, round(frame_seconds * rate))
    energy = (taps[:, : taps.shape[1] // frame * frame].reshape(2, -1, frame) ** 2).sum(2)
    level = 10 * np.log10(np.maximum(energy, 1e-12))
    top, series, latest = float(level.max()), [], 0.0
    for side, own in zip(("left", "right"), level, strict=True):
        padded = np.pad(own, 1, constant_values=-np.inf)
        peaks = np.nonzero((own >= padded[:-2]) & (own > padded[2:]) & (own > top + _LEAST_DB))[0]
        ms = peaks * frame_seconds * 1000
        latest = max(latest, float(ms.max()) if len(ms) else 0.0)
        series.append(Series(side, points_of(ms, own[peaks]), "stems"))
    first = min((x for one in series for x, _ in one.points), default=0.0)
    high, low = float(np.ceil(max(top, 0) / 6) * 6), float(np.floor((top + _LEAST_DB) / 6) * 6)
    words = f"{sum(len(one.points) for one in series)} arrivals, the first after {first:.0f} ms."
    return Chart(title, Axis("delay / ms", 0, max(1.05 * latest, 1.0)), Axis("level / dB", low, high), series, words)


def decay(node: Played) -> list[Chart]:
    """How the energy of a response falls in three bands."""
    own = node.processor
    assert isinstance(own, LTIProcessor), "the caller looked"
    with torch.no_grad():
        taps = own.impulse_response(node.params[None].double())[0].numpy()[:, own.extent[0] :]
    rate, seconds = own.sample_rate, taps.shape[1] / own.sample_rate
    spectrum, hz = np.fft.rfft(taps), np.fft.rfftfreq(taps.shape[1], 1 / rate)
    band = np.digitize(hz, REVERB_EDGES_HZ)
    low, mid = (f"{edge:g}" for edge in REVERB_EDGES_HZ)
    series, falls = [], []
    at = np.linspace(0, taps.shape[1] - 1, 81).astype(int)
    for index, name in enumerate((f"below {low} Hz", f"{low} to {mid} Hz", f"above {mid} Hz")):
        part = np.fft.irfft(spectrum * (band == index), taps.shape[1])
        left = np.maximum((part**2).sum(0)[::-1].cumsum()[::-1], 1e-30)
        fall = 10 * np.log10(left / left[0])
        series.append(Series(name, points_of(at / rate, fall[at])))
        below = np.nonzero(fall <= _LEAST_DB)[0]
        falls.append(f"{name} -60 dB after {below[0] / rate:.2f} s" if len(below) else f"{name} not -60 dB")
    return [Chart("Decay", Axis("time / s", 0, seconds), Axis("energy / dB", -72, 0), series, ", ".join(falls) + ".")]


def bass_width(node: Played) -> list[Chart]:
    """Gain of the side over frequency."""
    hz, side = (float(node.values[name][0]) for name in ("frequency_hz", "side_db"))
    rate = node.processor.sample_rate
    at = np.geomspace(LOWEST_HZ, rate / 2, POINTS)
    factor = 1 + node.wet * (10 ** (side / 20) - 1) / (1 + (at / hz) ** 4)
    gain = 20 * np.log10(np.maximum(factor, 10 ** (_LEAST_DB / 20)))
    return [_over_frequency([Series("side", points_of(at, gain))], rate)]
