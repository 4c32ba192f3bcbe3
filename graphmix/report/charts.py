"""Curves of processors, as numbers that the page draws: what an engineer would see on the plugin's own screen.

========================  ============================================================================
equalizer, crossover      gain over frequency, with the dry/wet weight in it
compressors, gates        level out over level in, the levels that came in, the gain over the stretch played
limiter                   the same
delay                     its taps
reverb                    how its energy falls in three bands
ride                      its gain over the song
others                    see :mod:`graphmix.report.gear_charts`
========================  ============================================================================
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphmix.graph.engineering import REVERB_EDGES_HZ, REVERB_SECONDS, echoes, folded_db
from graphmix.processors.base import LTIProcessor
from graphmix.processors.compressors import StudioDynamics
from graphmix.processors.dynamic_equalizers import DynamicEqualizer
from graphmix.processors.dynamics import AUDIBLE_DB, Dynamics
from graphmix.processors.limiter import Limiter
from graphmix.processors.modulation import Modulated
from graphmix.processors.saturation import BitCrusher, Saturation
from graphmix.processors.transients import TransientShaper
from graphmix.report import gear_charts
from graphmix.report.chart import (
    LEAST_RANGE_DB,
    LEVELS_DB,
    LOWEST_HZ,
    POINTS,
    Axis,
    Chart,
    Played,
    Series,
    over_frequency,
    points_of,
)

_FRAME_SECONDS = 0.05
_TINY = 1e-12


def charts_of(node: Played) -> list[Chart]:
    """The charts of a node; none of what has no curve."""
    name = node.processor.node_type.name
    if isinstance(node.processor, DynamicEqualizer):
        return [*gear_charts.dynamic_equalizer(node), *_over_time(node)]
    if isinstance(node.processor, StudioDynamics):
        return [_static(node, gear_charts.studio_gain_db(node)), *_over_time(node)]
    if isinstance(node.processor, Dynamics):
        return [_static(node, _dynamics_gain(node)), *_over_time(node)]
    if isinstance(node.processor, Limiter):
        ceiling = float(node.values["ceiling_db"][0])
        return [_static(node, np.minimum(0.0, ceiling - LEVELS_DB)), *_over_time(node)]
    if isinstance(node.processor, Saturation | BitCrusher):
        return gear_charts.transfer(node)
    if isinstance(node.processor, Modulated):
        return gear_charts.modulation(node)
    if isinstance(node.processor, TransientShaper):
        return _over_time(node)
    draw = _BY_TYPE.get(name)
    if draw is not None and draw[0] <= node.values.keys():
        return draw[1](node)
    if isinstance(node.processor, LTIProcessor) and name not in FLAT:
        return [_response(node)]
    return []


# --- level


def _dynamics_gain(node: Played) -> NDArray[np.float64]:
    processor = node.processor
    assert isinstance(processor, Dynamics), "the caller looked"
    params = node.params[None].double()
    over = torch.from_numpy(LEVELS_DB)[None] - processor.get(params, "threshold_db")
    return processor.curve(over, params)[0].numpy()


def _static(node: Played, gain_db: NDArray[np.float64]) -> Chart:
    """Level out over level in, and the levels that came in."""
    out = LEVELS_DB + folded_db(gain_db, node.wet)
    series = [Series("as it comes in", [(-80, -80), (0, 0)], "dashed"), Series("comes out", points_of(LEVELS_DB, out))]
    incoming = node.detector if node.detector is not None else node.before
    words = ""
    if incoming is not None:
        levels = _levels_db(incoming, node.processor.sample_rate)
        levels = levels[levels > AUDIBLE_DB]
        if len(levels):
            counts, edges = np.histogram(levels, bins=np.arange(-80, 2, 2.0))
            heights = -80 + 30 * counts / counts.max()
            middle = (edges[:-1] + edges[1:]) / 2
            series.insert(0, Series("levels that came in", points_of(middle, heights), "area"))
            low, high = np.quantile(levels, (0.1, 0.9))
            words = f" Most levels that came in lie between {low:.0f} and {high:.0f} dB."
    loud = float(np.interp(-10.0, LEVELS_DB, out))
    text = f"A level of -10 dB comes out at {loud:.1f} dB.{words}"
    return Chart("Level", Axis("level in / dB", -80, 0), Axis("level out / dB", -80, 6), series, text)


def _over_time(node: Played) -> list[Chart]:
    """Gain over the stretch that is played."""
    if node.before is None or node.after is None:
        return []
    rate = node.processor.sample_rate
    before, after = (_levels_db(x, rate) for x in (node.before, node.after))
    sounds = before > AUDIBLE_DB
    if not sounds.any():
        return []
    gain = np.where(sounds, np.clip(after - before, -60, 24), 0.0)
    time = node.start + (np.arange(len(gain)) + 0.5) * _FRAME_SECONDS
    low = min(-LEAST_RANGE_DB, float(np.floor(gain.min() / 6) * 6))
    high = max(0.0, float(np.ceil(gain.max() / 6) * 6))
    words = f"On average {gain[sounds].mean():+.1f} dB while it sounds, {gain.min():+.1f} dB at the least."
    return [
        Chart(
            "Gain over time",
            Axis("time / s", float(time[0]), float(time[-1])),
            Axis("gain / dB", low, high),
            [Series("gain", points_of(time, gain))],
            words,
        )
    ]


def _levels_db(audio: Tensor, sample_rate: int) -> NDArray[np.float64]:
    """Level of the mid channel in frames, in dB re full scale."""
    frame = max(1, round(_FRAME_SECONDS * sample_rate))
    power = audio.mean(0).double().square()
    frames = max(1, len(power) // frame)
    mean = power[: frames * frame].unflatten(0, (frames, -1)).mean(1)
    return np.asarray(10 * (mean + _TINY).log10())


# --- frequency


def _equalizer(node: Played) -> list[Chart]:
    rate = node.processor.node_type.base_rate or node.processor.sample_rate
    gain = folded_db(np.asarray(node.values["gain_db"]), node.wet)
    known = np.arange(len(gain)) * (rate / max(2 * len(gain) - 1, 1))
    at = np.geomspace(LOWEST_HZ, rate / 2, POINTS)
    curve = np.interp(at, known, gain)
    return [over_frequency([Series("gain", points_of(at, curve))], rate)]


def _response(node: Played) -> Chart:
    """Gain over frequency of any linear processor: of each outlet, in the channel where it is larger."""
    processor = node.processor
    assert isinstance(processor, LTIProcessor), "the caller looked"
    with torch.no_grad():
        response = processor.response(node.params[None], 1 << 13).abs()[0].double()
    response = response if response.dim() == 3 else response[None]
    rate = processor.sample_rate
    known = np.linspace(0, rate / 2, response.size(-1))
    at = np.geomspace(LOWEST_HZ, rate / 2, POINTS)
    outlets = processor.node_type.outlets
    series = []
    for name, own in zip(outlets, response.amax(1), strict=True):
        gain = 20 * np.log10(np.maximum(own.numpy(), 1e-5))
        gain = folded_db(gain, node.wet) if len(outlets) == 1 else gain
        series.append(Series(name if len(outlets) > 1 else "gain", points_of(at, np.interp(at, known, gain))))
    return over_frequency(series, rate)


# --- time


def _delay(node: Played) -> list[Chart]:
    delay, level = echoes(node.values, node.wet)
    shown = level > max(float(level.max()) - 60.0, -90.0)
    series = []
    for side, name in enumerate(("left", "right")):
        own = sorted(zip(delay[side][shown[side]].tolist(), level[side][shown[side]].tolist(), strict=True))
        series.append(Series(name, [(round(x, 2), round(y, 2)) for x, y in own], "stems"))
    first = float(delay[shown].min()) if shown.any() else 0.0
    high = float(np.ceil(max(level.max(), 0.0) / 6) * 6)
    low = float(np.floor(level[shown].min() / 6) * 6) if shown.any() else -60.0
    words = f"{int(shown.sum())} taps, the first after {first:.0f} ms."
    top = float(delay[shown].max()) if shown.any() else 1.0
    return [Chart("Taps", Axis("delay / ms", 0, max(1.05 * top, 1.0)), Axis("level / dB", low, high), series, words)]


def _reverb(node: Played) -> list[Chart]:
    initial, decay = (np.asarray(node.values[name]).reshape(2, -1) for name in ("initial_db", "decay_db_per_s"))
    rate = node.processor.node_type.base_rate or node.processor.sample_rate
    frequency = np.arange(initial.shape[1]) * (rate / 2 / initial.shape[1])
    band = np.digitize(frequency, REVERB_EDGES_HZ)
    time = np.linspace(0, REVERB_SECONDS, 81)
    low, mid = (f"{edge:g}" for edge in REVERB_EDGES_HZ)
    names = (f"below {low} Hz", f"{low} to {mid} Hz", f"above {mid} Hz")
    series, falls = [], []
    for index, name in enumerate(names):
        own = band == index
        if not own.any():
            continue
        power = 10 ** ((initial[:, own, None] + decay[:, own, None] * time) / 10)
        fall = 10 * np.log10(np.maximum(power.sum((0, 1)), 1e-30))
        series.append(Series(name, points_of(time, fall - fall[0])))
        below = np.nonzero(fall - fall[0] <= -60)[0]
        falls.append(f"{name} -60 dB after {time[below[0]]:.2f} s" if len(below) else f"{name} not -60 dB in 2 s")
    return [
        Chart("Decay", Axis("time / s", 0, REVERB_SECONDS), Axis("energy / dB", -72, 0), series, ", ".join(falls) + ".")
    ]


def _ride(node: Played) -> list[Chart]:
    times, first = np.unique(node.values["time_s"], return_index=True)
    gains = np.maximum(folded_db(np.asarray(node.values["gain_db"])[first], node.wet), -60)
    ends = [(0.0, gains[0]), *zip(times.tolist(), gains.tolist(), strict=True), (node.seconds, gains[-1])]
    points = [(round(x, 3), round(float(y), 2)) for x, y in ends]
    low, high = min(-LEAST_RANGE_DB, float(gains.min()) - 3), max(LEAST_RANGE_DB, float(gains.max()) + 3)
    words = f"From {gains.min():+.1f} to {gains.max():+.1f} dB in {len(times)} breakpoints."
    return [
        Chart("Ride", Axis("time / s", 0, node.seconds), Axis("gain / dB", low, high), [Series("gain", points)], words)
    ]


_BY_TYPE: dict[str, tuple[set[str], Callable[[Played], list[Chart]]]] = {
    "equalizer": ({"gain_db"}, _equalizer),
    "delay": ({"delay_ms", "filter_db"}, _delay),
    "reverb": ({"initial_db", "decay_db_per_s"}, _reverb),
    "ride": ({"time_s", "gain_db"}, _ride),
    "feedback_delay": ({"time_ms"}, gear_charts.echoes),
    "feedback_network": ({"decay_s"}, gear_charts.decay),
    "velvet_reverb": ({"decay_s"}, gear_charts.decay),
    "early_reflections": ({"size_m"}, gear_charts.reflections),
    "bass_width": ({"frequency_hz", "side_db"}, gear_charts.bass_width),
}
"""Type name -> parameters that it must have, and what is drawn."""
FLAT = ("align", "haas")
"""Linear types whose gain is the same at all frequencies."""
