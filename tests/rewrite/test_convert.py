"""Conversions against closed forms: curves, times and decays that are known, and sound that stays."""

import numpy as np
import pytest
import torch
from scipy.signal import freqz, lfilter

from graphmix.errors import GraphError
from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.processors.base import LTIProcessor
from graphmix.render import Renderer
from graphmix.rewrite import convert
from graphmix.rewrite.convert import KINDS
from graphmix.rewrite.convert_dynamics import bursts
from graphmix.rewrite.convert_reverbs import decay_times, octaves_of, taps_of

RATE = 30000
RACK = Rack.full(RATE)


def graph_of(kind, wet=1.0, **values):
    graph = MixGraph(RACK.types, RATE)
    return graph.chain(graph.add("in", "voice"), graph.add(kind, "own", wet, **values), graph.add("out"))


def sound(graph, audio):
    with torch.no_grad():
        return Renderer(Rack.for_types(graph.types.types, RATE))(graph, audio[None].double())[0]


def noise(samples, seed=0):
    return torch.randn(2, samples, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) / 8


def bell(b_db, hz, q):
    """A bell's magnitude in dB by SciPy, its coefficients written out."""
    a, w = 10 ** (b_db / 40), 2 * np.pi * hz / RATE
    alpha, c = np.sin(w) / (2 * q), np.cos(w)
    grid = np.geomspace(60, 11000, 100)
    response = freqz([1 + alpha * a, -2 * c, 1 - alpha * a], [1 + alpha / a, -2 * c, 1 - alpha / a], grid, fs=RATE)[1]
    return grid, 20 * np.log10(np.abs(response))


def magnitude(graph, grid):
    click = torch.zeros(2, 1 << 14, dtype=torch.float64)
    click[:, 1 << 13] = 1
    spectrum = np.abs(np.fft.rfft(sound(graph, click)[0].numpy()))
    return np.interp(grid, np.fft.rfftfreq(1 << 14, 1 / RATE), 20 * np.log10(spectrum))


def test_a_parametric_curve_comes_back_from_zero_phase_as_its_bands():
    first = graph_of("parametric_eq", gain_db=[8.0, *[0.0] * 7], frequency_hz=900.0, q=1.2)
    flat = convert(first, ["zero-phase"])
    assert flat.rows[0].becomes == ("equalizer",)
    assert flat.rows[0].error_db < 0.05
    grid, wanted = bell(8.0, 900.0, 1.2)
    np.testing.assert_allclose(magnitude(flat.graph, grid), wanted, atol=0.1)
    back = convert(flat.graph, ["parametric"], max_error=0.2)
    assert back.rows[0].words == "1 band"
    gain = back.graph.params["parametric_eq"][0, RACK["parametric_eq"].node_type.columns("gain_db")]
    assert gain.abs().max() == pytest.approx(8.0, abs=0.3)
    np.testing.assert_allclose(magnitude(back.graph, grid), wanted, atol=0.5)


def test_a_gain_of_all_and_the_dry_wet_weight_are_in_the_bands():
    graph = convert(graph_of("equalizer", wet=0.5, gain_db=-6.0), ["parametric"], max_error=0.1).graph
    grid = np.geomspace(60, 11000, 50)
    np.testing.assert_allclose(magnitude(graph, grid), 20 * np.log10(0.5 * 10 ** (-6 / 20) + 0.5), atol=0.3)
    assert float(graph.wet[1]) == 1.0


def test_a_curve_that_bands_cannot_follow_stays_and_says_so():
    hz = torch.linspace(0, RATE / 2, RACK["equalizer"].node_type.width)
    given = graph_of("equalizer", gain_db=(9 * (6 * (hz + 20).log()).sin()).tolist())
    found = convert(given, ["parametric"], max_error=0.05)
    assert found.rows[0].becomes == ()
    assert "more than 0.05 dB" in found.rows[0].words
    assert found.graph is given


def test_the_fit_is_better_where_the_signal_is():
    gain = torch.linspace(0, RATE / 2, RACK["equalizer"].node_type.width)
    gain = 6 * torch.sin(gain / 120) * (gain < 3000) + 6 * torch.sin(gain / 900) * (gain >= 3000)
    given = graph_of("equalizer", gain_db=gain.tolist())
    low = lfilter([0.02], [1, -0.98], noise(2 * RATE).numpy())
    weighted = convert(given, ["parametric"], 50.0, lambda node: low).rows[0]
    alike = convert(given, ["parametric"], 50.0).rows[0]
    assert weighted.error_db != alike.error_db


@pytest.mark.parametrize(("kind", "target"), [("compressor", "studio_compressor"), ("noisegate", "expander")])
def test_one_time_dynamics_keep_their_curve_and_come_within_the_error(kind, target):
    values = {"threshold_db": -30.0, "ratio": 3.0, "knee_db": 4.0}
    given = graph_of(kind, time_ms=30.0, **values)
    found = convert(given, ["attack-release"], max_error=6.0)
    assert found.rows[0].becomes == (target,)
    node = found.graph
    for name, value in values.items():
        assert float(node.parameter(1, name)) == pytest.approx(value)
    assert float(node.parameter(1, "attack_ms")) < float(node.parameter(1, "release_ms"))
    assert found.rows[0].error_db < 6.0
    assert "attack" in found.rows[0].words


def test_where_the_usual_form_misses_the_level_is_smoothed_and_the_sound_is_the_same():
    given = graph_of("ballistic_compressor", threshold_db=-30.0, ratio=4.0, attack_ms=3.0, release_ms=90.0, wet=0.7)
    found = convert(given, ["attack-release"], max_error=1e-3)
    audio = torch.from_numpy(bursts(-30.0, RATE))
    assert "smooths the level" in found.rows[0].words
    torch.testing.assert_close(sound(found.graph, audio), sound(given, audio), atol=1e-5, rtol=1e-4)


def test_a_known_time_constant_is_found_again():
    level = {"listen": "mid", "smoothing": "level", "detection": "peak"}
    given = graph_of("studio_compressor", threshold_db=-30.0, ratio=4.0, attack_ms=40.0, release_ms=40.0, **level)
    found = convert(given, ["one-time"])
    assert found.rows[0].becomes == ("compressor",)
    assert found.rows[0].error_db < 1e-3
    assert float(found.graph.parameter(1, "time_ms")) == pytest.approx(40.0, rel=0.01)


def test_known_attack_and_release_are_found_again():
    """What an RMS detector and a smoothed gain make of a level is fitted back to the times that made it."""
    times = {"attack_ms": 12.0, "release_ms": 150.0}
    usual = {"listen": "mid", "detection": "rms", "mean_ms": 10.0}
    studio = graph_of("studio_compressor", threshold_db=-30.0, ratio=4.0, **times, **usual)
    one = convert(studio, ["one-time"], max_error=20.0)
    back = convert(one.graph, ["attack-release"], max_error=20.0)
    assert back.rows[0].error_db < one.rows[0].error_db + 1.0
    again = convert(back.graph, ["one-time"], max_error=20.0).graph
    assert float(again.parameter(1, "time_ms")) == pytest.approx(float(one.graph.parameter(1, "time_ms")), rel=0.25)


def test_make_up_becomes_a_gain_and_in_parallel_compressors_a_reason_to_stay():
    values = {"threshold_db": -30.0, "ratio": 2.0, "makeup_db": 5.0}
    found = convert(graph_of("studio_compressor", **values), ["one-time"], max_error=20.0)
    assert found.rows[0].becomes == ("compressor", "gain")
    assert float(found.graph.parameter(2, "gain_db")[0]) == pytest.approx(5.0)
    assert found.graph.names == ["voice", "own", "own", ""]
    stays = convert(graph_of("studio_compressor", wet=0.5, **values), ["one-time"], max_error=20.0)
    assert "+5.0 dB of make-up" in stays.rows[0].words


@pytest.mark.parametrize("seconds", [0.6, 1.5])
def test_a_network_has_the_decay_time_of_a_known_reverb(seconds):
    found = convert(graph_of("reverb", decay_db_per_s=-60 / seconds), ["network"], max_error=20.0)
    place = found.graph.nodes_of("feedback_network").tolist()[0]
    decays = found.graph.parameter(place, "decay_s").numpy()
    np.testing.assert_allclose(decays, seconds, rtol=0.05)
    network = RACK["feedback_network"]
    assert isinstance(network, LTIProcessor)
    taps = taps_of(network, found.graph.params["feedback_network"].double())
    measured = decay_times(octaves_of(taps, RATE)[1], RATE)
    np.testing.assert_allclose(measured, seconds, rtol=0.1)


def test_a_coloured_reverb_gets_bands_and_meets_its_dry_signal_in_a_send():
    bins = RACK["reverb"].node_type.width // 4
    initial = torch.linspace(0, -30, bins).repeat(2)
    found = convert(graph_of("reverb", wet=0.4, initial_db=initial.tolist(), decay_db_per_s=-60.0), ["network"])
    assert found.rows[0].becomes == ("feedback_network", "parametric_eq", "send", "gain")
    edges = {(s, t, i) for s, t, _, i in found.graph.edges()}
    assert edges == {(0, 1, 0), (1, 2, 0), (2, 3, 1), (0, 3, 0), (3, 4, 0), (4, 5, 0)}
    click = torch.zeros(2, RATE, dtype=torch.float64)
    click[:, 0] = 1
    before, after = (sound(g, click) for g in (graph_of("reverb", wet=0.4, initial_db=initial.tolist(),
                                                        decay_db_per_s=-60.0), found.graph))  # fmt: skip
    assert float(after[0, 0]) == pytest.approx(0.6, abs=1e-3), "the dry part as it was"
    wet_energy = [10 * np.log10(float((x[:, 1:] ** 2).sum())) for x in (before, after)]
    assert wet_energy[0] == pytest.approx(wet_energy[1], abs=1.5)


def test_a_network_becomes_noise_with_its_decay_times():
    found = convert(graph_of("feedback_network", decay_s=[1.2, 1.2]), ["noise"])
    decay = found.graph.parameter(1, "decay_db_per_s").numpy()
    assert -60 / decay[10:150].mean() == pytest.approx(1.2, rel=0.1)


def test_what_does_nothing_stays_and_kinds_that_clash_are_refused():
    assert "weight is 0" in convert(graph_of("equalizer", wet=0.0), ["parametric"]).rows[0].words
    assert convert(graph_of("gain"), ["parametric"]).rows == ()
    with pytest.raises(GraphError, match="both convert ballistic_compressor"):
        convert(graph_of("gain"), ["attack-release", "one-time"])
    with pytest.raises(GraphError, match="no conversion 'louder'"):
        convert(graph_of("gain"), ["louder"])
    with pytest.raises(GraphError, match="positive number"):
        convert(graph_of("gain"), ["parametric"], max_error=-1.0)


def test_conversions_name_types_that_exist():
    for kind in KINDS.values():
        assert {*kind.sources, *kind.targets} <= set(RACK.names)
