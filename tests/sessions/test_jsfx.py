"""The effects of REAPER projects, compiled by a real EEL2, against the processors."""

import math

import numpy as np
import pytest

from graphmix.graph.mixgraph import MixGraph
from graphmix.render.reference import render_reference
from graphmix.sessions.reaper import EFFECTS, effect_text
from tests.sessions import pure_data
from tests.sessions.pure_data import needs_eel2
from tests.sessions.random_sessions import a_rack

RATE = 48000
SAMPLES = 24000


def bursts(pins: int) -> np.ndarray:
    """Noise that comes and goes, at levels around a threshold of -20 dB."""
    generator = np.random.default_rng(0)
    level = 10 ** (np.repeat(generator.uniform(-2.5, -0.2, 24), SAMPLES // 24))
    return (level * generator.standard_normal((pins, SAMPLES))).astype(np.float32)


def error_db(got: np.ndarray, expected: np.ndarray) -> float:
    return 20 * math.log10(np.sqrt(np.mean((got - expected) ** 2) / np.mean(expected**2)) + 1e-12)


def expected_of(kind: str, values: dict, wet: float, audio: np.ndarray) -> np.ndarray:
    """What the reference renderer makes of a node of such a type; its second inlet gets channels 3 and 4."""
    graph = MixGraph(a_rack(RATE).types, RATE)
    source, node, out = graph.add("in", name="a"), graph.add(kind, wet=wet, **values), graph.add("out")
    graph.chain(source, node, out)
    if len(audio) == 4:
        graph.connect(graph.add("in", name="b"), node, inlet=1)
    return render_reference(graph, audio.reshape(-1, 2, audio.shape[1]).astype(np.float64)).sum(0)


CASES = [
    ("gain", {"gain_db": [-6.5, 3.25]}, 0.7),
    ("imager", {"side_db": 4.5}, 0.6),
    ("send", {"gain_db": [-9.0, -3.5]}, 1.0),
    ("compressor", {"threshold_db": -24.0, "ratio": 4.0, "knee_db": 9.0, "time_ms": 12.0}, 0.8),
    ("noisegate", {"threshold_db": -30.0, "ratio": 3.0, "knee_db": 6.0, "time_ms": 7.5}, 1.0),
    ("ballistic_compressor", {"threshold_db": -24.0, "ratio": 8.0, "attack_ms": 3.0, "release_ms": 80.0}, 1.0),
    ("ballistic_gate", {"threshold_db": -30.0, "ratio": 2.0, "attack_ms": 1.5, "release_ms": 120.0}, 0.9),
    ("sidechain_compressor", {"threshold_db": -30.0, "ratio": 6.0, "knee_db": 0.1, "time_ms": 30.0}, 1.0),
    ("limiter", {"ceiling_db": -12.0, "lookahead_ms": 3.7, "release_ms": 50.0}, 0.75),
    ("limiter", {"ceiling_db": -6.0, "lookahead_ms": 5.0, "release_ms": 200.0}, 1.0),
    ("align", {"delay_ms": 2.0, "polarity": -1.0}, 1.0),
    ("align", {"delay_ms": 5.77, "polarity": 1.0}, 1.0),
    ("align", {"delay_ms": -1.3, "polarity": 1.0}, 1.0),
    ("align", {"delay_ms": -1.5, "polarity": -1.0}, 1.0),
]


@needs_eel2
@pytest.mark.parametrize(("kind", "values", "wet"), CASES)
def test_an_effect_computes_what_the_processor_computes(tmp_path, kind, values, wet):
    effect = EFFECTS[kind]
    node_type = a_rack(RATE)[kind].node_type
    audio = bursts(2 * len(node_type.inlets))
    neutral = {p.name: p.neutral for p in node_type.parameters}
    sliders = []
    for name, index in effect.sliders:
        given = wet if name == "wet" else values.get(name, neutral.get(name))
        sliders.append(given[index] if isinstance(given, list) else given)
    got, latency = pure_data.run(tmp_path, pure_data.with_sliders(effect_text(kind), sliders), audio, RATE)
    expected = expected_of(kind, values, wet, audio)
    edge = 64 + latency
    assert error_db(got[:2, edge:], expected[:, edge - latency : SAMPLES - latency]) < -110
    assert not got[2:].any(), "channels 3 and 4 end in the effect"


# --- convolutions


def with_response(text: str, length: int) -> str:
    """A convolution's text that gets its response on channels 3 and 4, since this EEL2 reads no files.

    The first samples of these channels are what the file would hold; all else is as it was.
    """
    replaced = {
        "handle = file_open(#name);": "handle = 1;",
        "file_riff(handle, channels, rate);": "channels = 2; rate = srate;",
        "file_avail(handle)": str(2 * length),
        "file_mem(handle, work, 2 * count);": "memcpy(work, data + 2 * part * block, 2 * count);",
        "file_close(handle);": "0;",
        "in_pin:right input\n": "in_pin:right input\nin_pin:left response\nin_pin:right response\n",
        "@init\n": "@init\ndata = 7000000;\nseen = 0;\n",
        "@sample\n": f"@sample\nseen < {length} ? (data[2 * seen] = spl2; data[2 * seen + 1] = spl3;"
        f" seen += 1; seen == {length} ? load(););\n",
    }
    for old, new in replaced.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def run_convolution(folder, taps: np.ndarray, lead: int, audio: np.ndarray, wet: float) -> tuple[np.ndarray, int]:
    """What leaves a convolution from the beginning of the audio on, and its latency."""
    length = taps.shape[1]
    song = np.concatenate([np.zeros((2, length)), audio], 1)
    response = np.concatenate([taps, np.zeros((2, song.shape[1] - length))], 1)
    text = pure_data.with_sliders(with_response(effect_text("reverb"), length), [wet, -1, lead])
    got, latency = pure_data.run(folder, text, np.concatenate([song, response]).astype(np.float32), RATE)
    return got[:, length:], latency


def convolved(taps: np.ndarray, lead: int, audio: np.ndarray, wet: float) -> np.ndarray:
    from scipy.signal import fftconvolve

    rows = [fftconvolve(x, h)[lead : lead + len(x)] for x, h in zip(audio.astype(float), taps, strict=True)]
    return wet * np.stack(rows) + (1 - wet) * audio


@needs_eel2
@pytest.mark.parametrize(
    ("length", "lead", "is_mono"), [(1, 0, True), (2048, 5, True), (3275, 1637, False), (9000, 100, False)]
)
def test_a_convolution_is_the_response_with_its_latency(tmp_path, length, lead, is_mono):
    generator = np.random.default_rng(length)
    taps = generator.standard_normal((2, length)) * np.exp(-np.arange(length) / 500)
    taps = taps.astype(np.float32).astype(float)
    if is_mono:
        taps[1] = taps[0]
    audio = bursts(2)
    got, latency = run_convolution(tmp_path, taps, lead, audio, 0.7)
    assert latency == lead + (2048 if length <= 8192 else 8192)
    expected = convolved(taps, lead, audio, 0.7)
    edge = 64 + latency
    assert error_db(got[:, edge:], expected[:, edge - latency : SAMPLES - latency]) < -110
