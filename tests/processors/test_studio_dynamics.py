"""Studio compressor, expander, true-peak limiter, transient shaper, dynamic equalizer: all modes, and what they do."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.signal import resample
from torch import Tensor

from graphmix.dsp.level_detector import LISTEN
from graphmix.processors import Processor, Rack
from graphmix.processors.compressors import DETECTION, SMOOTHING, TOPOLOGY
from graphmix.processors.gear import DYNAMICS, FILTERS
from graphmix.render.reference_dynamics import STUDIO
from tests.random_parameters import params as params_of
from tests.random_parameters import random_parameters

RATE = 8000
RACK = Rack.full(RATE)
COMPRESSOR, EXPANDER = RACK["studio_compressor"], RACK["expander"]
USUAL = {
    "threshold_db": -25.0,
    "ratio": 4.0,
    "knee_db": 6.0,
    "range_db": 15.0,
    "attack_ms": 3.0,
    "release_ms": 30.0,
    "mean_ms": 5.0,
    "lookahead_ms": 1.3,
    "makeup_db": 2.0,
    "auto_makeup": 0.4,
}


def bursts(samples: int, nodes: int = 1) -> Tensor:
    """Noise that goes on and off, in double precision."""
    noise = torch.randn(nodes, 2, samples, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 0.3 * noise * (0.1 + (torch.arange(samples) // 200 % 2))


def db(amplitude: float) -> float:
    return 20 * math.log10(amplitude)


MODES = [
    (COMPRESSOR, *mode)
    for mode in itertools.product(
        range(len(LISTEN)), range(len(DETECTION)), range(len(SMOOTHING)), range(len(TOPOLOGY))
    )
] + [
    (EXPANDER, *mode, 0) for mode in itertools.product(range(len(LISTEN)), range(len(DETECTION)), range(len(SMOOTHING)))
]


def test_every_mode_is_that_of_the_reference_and_has_its_gradients() -> None:
    """All detectors, means, ballistics and topologies; each in one batch with the others and with itself alone."""
    for processor in (COMPRESSOR, EXPANDER):
        modes = [mode for own, *mode in MODES if own is processor]
        names = ("listen", "detection", "smoothing", "topology")
        own = {p.name for p in processor.node_type.parameters}
        values_of = [USUAL | dict(zip(names, mode, strict=True)) for mode in modes]
        rows = [params_of(processor, **{k: v for k, v in values.items() if k in own}) for values in values_of]
        params, audio = torch.cat(rows), bursts(700, len(rows))
        found = processor(audio, params)
        for number, mode in enumerate(modes):
            values = {
                p.name: params[number, processor.node_type.columns(p.name)].numpy()
                for p in processor.node_type.parameters
            }
            expected = STUDIO[processor.node_type.name](audio[number][None].numpy(), values, RATE)
            np.testing.assert_allclose(found[number].numpy(), expected, atol=1e-10, err_msg=str(mode))
            if number % 3 == 0:
                torch.testing.assert_close(processor(audio[number : number + 1], rows[number])[0], found[number])
        audio, params = audio[..., :600].requires_grad_(), params.requires_grad_()
        wet = torch.full((len(rows),), 0.7, dtype=torch.float64, requires_grad=True)
        mixed = lambda *inputs, own=processor: own.mix(*inputs)[0]  # noqa: E731
        assert torch.autograd.gradcheck(mixed, (audio, params, wet), fast_mode=True, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("topology", [0, 1])
def test_a_lasting_tone_is_compressed_by_its_ratio(topology: int) -> None:
    """A square wave of -10 dB over a threshold of -30 dB at 4:1; feedback acts as 2 - 1/4 : 1."""
    params = params_of(COMPRESSOR, threshold_db=-30.0, ratio=4.0, knee_db=0.1, attack_ms=1.0, topology=topology)
    audio = torch.full((1, 2, 4000), 10 ** (-10 / 20), dtype=torch.float64)
    level = db(float(COMPRESSOR(audio, params)[0, 0, -1]))
    assert level == pytest.approx(-30 + 20 / (1.75 if topology else 4.0), abs=0.01)


def test_make_up_by_itself_brings_full_scale_back() -> None:
    params = params_of(COMPRESSOR, threshold_db=-20.0, ratio=5.0, attack_ms=1.0, auto_makeup=1.0)
    audio = torch.ones(1, 2, 4000, dtype=torch.float64)
    assert float(COMPRESSOR(audio, params)[0, 0, -1]) == pytest.approx(1.0, abs=1e-3)
    half = params_of(COMPRESSOR, threshold_db=-20.0, ratio=5.0, attack_ms=1.0, auto_makeup=0.5)
    assert db(float(COMPRESSOR(audio, half)[0, 0, -1])) == pytest.approx(-8.0, abs=0.01)


def test_attack_is_the_time_in_which_the_gain_moves_by_63_percent() -> None:
    params = params_of(COMPRESSOR, threshold_db=-20.0, ratio=100.0, knee_db=0.1, attack_ms=10.0)
    gains = COMPRESSOR(torch.ones(1, 2, RATE // 4, dtype=torch.float64), params)[0, 0]
    assert db(float(gains[RATE // 100 - 1])) == pytest.approx(db(float(gains[-1])) * (1 - 1 / math.e), abs=0.01)


def test_a_look_ahead_catches_what_comes() -> None:
    audio = torch.zeros(1, 2, 800, dtype=torch.float64)
    audio[..., 400:] = 1
    seen = params_of(COMPRESSOR, threshold_db=-20.0, ratio=10.0, attack_ms=0.5, lookahead_ms=5.0)
    late = params_of(COMPRESSOR, threshold_db=-20.0, ratio=10.0, attack_ms=0.5)
    assert float(COMPRESSOR(audio, late)[0, 0, 400]) > 0.6
    assert float(COMPRESSOR(audio, seen)[0, 0, 400]) < 0.13


@pytest.mark.parametrize(
    ("listen", "left", "right"), [("linked", 1, 1), ("apart", 1, 0), ("mid", 1, 1), ("side", 1, 1)]
)
def test_what_is_loud_on_the_left_lowers_what_it_is_linked_to(listen: str, left: int, right: int) -> None:
    audio = torch.full((1, 2, 2000), 1e-3, dtype=torch.float64)
    audio[:, 0] = 0.9
    params = params_of(COMPRESSOR, threshold_db=-30.0, ratio=4.0, attack_ms=1.0, listen=LISTEN.index(listen))
    gains = (COMPRESSOR(audio, params) / audio)[0, :, -1]
    assert [int(gain < 0.5) for gain in gains.tolist()] == [left, right]


def test_a_mono_signal_has_no_side_to_listen_to() -> None:
    audio = bursts(500)
    audio[:, 1] = audio[:, 0]
    params = params_of(COMPRESSOR, threshold_db=-60.0, ratio=10.0, listen=LISTEN.index("side"))
    torch.testing.assert_close(COMPRESSOR(audio, params), audio)


def test_an_expander_takes_off_its_range_and_no_more() -> None:
    audio = torch.full((1, 2, 4000), 1e-3, dtype=torch.float64)
    params = params_of(EXPANDER, threshold_db=-30.0, ratio=10.0, range_db=18.0, release_ms=5.0)
    assert db(float(EXPANDER(audio, params)[0, 0, -1])) == pytest.approx(-60 - 18, abs=0.01)
    loud = torch.full((1, 2, 100), 0.5, dtype=torch.float64)
    torch.testing.assert_close(EXPANDER(loud, params), loud)


@pytest.mark.parametrize("kind", [kind for kind in (*FILTERS, *DYNAMICS) if kind(RATE).resumable])
def test_a_signal_in_parts_is_the_signal_at_once(kind: type[Processor]) -> None:
    """Whatever is remembered goes on; a look-ahead is given what lies behind the part."""
    processor, ahead_s = kind(RATE), 0.03
    params = random_parameters(processor.node_type, 3, torch.Generator().manual_seed(5))
    params = params.clamp(*processor.node_type.bounds()).double()
    audio, ahead = 3 * bursts(3000, 3), round(ahead_s * RATE)
    whole, state, parts = processor(audio, params), None, []
    for begin, end in ((0, 700), (700, 1212), (1212, 2500)):
        part, state = processor.resume(audio[..., begin : end + ahead], params, state, end - begin)
        parts.append(part[..., : end - begin])
    torch.testing.assert_close(torch.cat(parts, dim=-1), whole[..., :2500], rtol=1e-6, atol=1e-9)


def true_peak(audio: Tensor) -> float:
    """By SciPy, at 16 times the rate, its ends left out."""
    return float(np.abs(resample(audio.numpy(), 16 * audio.size(-1), axis=-1))[..., 3200:-3200].max())


def test_true_peaks_stay_below_the_ceiling() -> None:
    """A sine whose samples miss its peaks by 3 dB, and loud noise up to 0.45 of the rate."""
    limiter, plain = RACK["true_peak_limiter"], RACK["limiter"]
    sine = torch.sin(2 * math.pi * 0.25 * torch.arange(8000, dtype=torch.float64) + math.pi / 4)
    spectrum = torch.fft.rfft(torch.randn(8000, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
    spectrum[3600:] = 0
    for signal in (1.2 * sine, 0.5 * torch.fft.irfft(spectrum)):
        audio = signal.expand(1, 2, -1)
        params = params_of(limiter, ceiling_db=-3.0, lookahead_ms=2.0, release_ms=50.0)
        assert db(true_peak(limiter(audio, params))) < -3 + 0.15
        assert db(true_peak(plain(audio, params))) > -3 + 0.5


def hits() -> Tensor:
    """Noise that dies away, four times a second."""
    time = torch.arange(RATE, dtype=torch.float64) / RATE
    noise = torch.randn(RATE, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return (0.3 * noise * torch.exp(-(time % 0.25) / 0.04)).expand(1, 2, -1)


def test_attack_and_sustain_are_shaped_apart_and_at_any_level() -> None:
    shaper = RACK["transient_shaper"]
    begin, tail = slice(2000, 2040), slice(3000, 3900)  # of a hit, its first 5 ms and its end
    for level in (1.0, 0.1):
        audio = level * hits()
        louder = shaper(audio, params_of(shaper, attack_db=12.0))
        longer = shaper(audio, params_of(shaper, sustain_db=12.0))
        changes = [
            db(float(changed[..., part].norm() / audio[..., part].norm()))
            for changed in (louder, longer)
            for part in (begin, tail)
        ]
        assert changes[0] > changes[1] + 5
        assert changes[3] > changes[2] + 5
        assert min(changes) > 0


def test_a_de_esser_turns_down_sibilants_alone() -> None:
    de_esser = Rack.full(44100)["de_esser"]
    time = torch.arange(22050, dtype=torch.float64) / 44100
    voice, hiss = 0.2 * torch.sin(2 * math.pi * 200 * time), 0.2 * torch.sin(2 * math.pi * 6500 * time)
    params = params_of(de_esser, threshold_db=-40.0, ratio=10.0, range_db=12.0)
    after = [de_esser(signal.expand(1, 2, -1), params)[0, 0, 11025:] for signal in (voice, voice + hiss)]
    change = [db(float(out.norm() / signal[11025:].norm())) for out, signal in zip(after, (voice, hiss), strict=True)]
    assert change[0] == pytest.approx(0, abs=0.05)
    left = after[1] - after[0]
    assert db(float(left.norm() / hiss[11025:].norm())) == pytest.approx(-12, abs=0.5)


def test_a_dynamic_equalizer_with_a_gain_alone_is_an_equalizer() -> None:
    """Below all thresholds a band is the bell of a state-variable filter with the same gain at its center."""
    equalizer, filter_ = RACK["dynamic_eq"], RACK["state_variable"]
    params = params_of(equalizer, gain_db=0.0, q=2.0)
    params[0, equalizer.node_type.columns("gain_db").start] = 6.0
    gain = 10 ** (6 / 20)
    bell = params_of(filter_, frequency_hz=1000.0, q=2.0, low=1.0, band=gain, high=1.0)
    audio = bursts(900)
    torch.testing.assert_close(equalizer(audio, params), filter_(audio, bell), rtol=1e-6, atol=1e-6)
