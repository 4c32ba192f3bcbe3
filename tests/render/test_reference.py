"""The reference renderer against closed forms, and by hand on graphs of a few nodes."""

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from graphmix.dsp.dynamics import ENERGY_FLOOR
from graphmix.errors import GraphError
from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.processors.delay import NUM_TAPS
from graphmix.processors.reverb import reverb_noise
from graphmix.render.reference import render_reference
from graphmix.render.reference_dynamics import envelope
from graphmix.render.reference_linear import crossover, equalizer, reverb_taps
from graphmix.render.reference_signals import Signal, add
from graphmix.spec import NodeType, ParameterSpec

RATE = 30000
STANDARD = Rack.standard(RATE).types
RNG = np.random.default_rng(0)


def noise(nodes: int = 1, samples: int = 500) -> np.ndarray:
    return RNG.standard_normal((nodes, 2, samples)) * 0.1


def one_node(kind: str, wet: float = 1.0, **parameters: list[float] | float) -> MixGraph:
    graph = MixGraph(STANDARD, RATE)
    return graph.chain(graph.add("in"), graph.add(kind, wet=wet, **parameters), graph.add("out"))


def constant(level_db: float, samples: int) -> np.ndarray:
    return np.full((1, 2, samples), 10 ** (level_db / 20))


def gain_db_at_the_end(graph: MixGraph, level_db: float, samples: int = 6000) -> float:
    source = constant(level_db, samples)
    return float(20 * np.log10(render_reference(graph, source)[0, 0, -1] / source[0, 0, -1]))


# --- linear processors


def test_gain_of_20_db_on_the_left_is_a_factor_of_10() -> None:
    source = noise()
    result = render_reference(one_node("gain", gain_db=[20.0, -20.0]), source)
    np.testing.assert_allclose(result[0], [source[0, 0] * 10, source[0, 1] / 10])


def test_gain_of_6_db_is_about_double() -> None:
    source = noise()
    np.testing.assert_allclose(render_reference(one_node("gain", gain_db=6.0), source), 1.9953 * source, rtol=1e-4)


def test_imager_scales_the_side_and_keeps_the_mid() -> None:
    source = noise()
    result = render_reference(one_node("imager", side_db=20.0), source)[0]
    np.testing.assert_allclose(result[0] + result[1], source[0, 0] + source[0, 1], atol=1e-12)
    np.testing.assert_allclose(result[0] - result[1], 10 * (source[0, 0] - source[0, 1]), atol=1e-12)


@pytest.mark.parametrize("kind", ["gain", "imager", "equalizer", "compressor", "noisegate"])
def test_neutral_parameters_are_the_identity(kind: str) -> None:
    source = noise()
    np.testing.assert_allclose(render_reference(one_node(kind), source), source, atol=1e-12)


def test_a_flat_equalizer_is_a_gain() -> None:
    source = noise()
    np.testing.assert_allclose(render_reference(one_node("equalizer", gain_db=20.0), source), 10 * source, atol=1e-12)


def test_a_zero_phase_filter_is_symmetric_and_rings_before_its_input() -> None:
    values = {"gain_db": RNG.uniform(-12, 12, 1024)}
    (ringing,) = equalizer(Signal(5, np.ones((2, 1))), values, RATE)
    assert (ringing.start, ringing.stop) == (5 - 1023, 5 + 1024)
    np.testing.assert_allclose(ringing.samples, ringing.samples[:, ::-1], atol=1e-12)


def test_crossover_bands_add_up_to_the_input() -> None:
    graph = MixGraph(STANDARD, RATE)
    split, out = graph.add("crossover", frequency_hz=[2000.0, 200.0]), graph.add("out")
    graph.connect(graph.add("in"), split)
    for outlet in ("low", "mid", "high"):
        graph.connect(split, out, outlet=outlet)
    source = noise()
    np.testing.assert_allclose(render_reference(graph, source), source, atol=1e-12)


def test_crossover_is_6_db_down_at_its_corner() -> None:
    bands = crossover(Signal(0, np.ones((2, 1))), {"frequency_hz": np.array([3000.0])}, RATE)
    time = np.arange(bands[0].start, bands[0].stop)
    at_corner = [np.sum(band.samples[0] * np.cos(2 * np.pi * 3000 / RATE * time)) for band in bands]
    np.testing.assert_allclose(at_corner, [0.5, 0.5], atol=1e-3)


def test_delay_puts_an_impulse_into_the_middle_of_each_segment() -> None:
    delays = [100.0 * tap + offset for offset in (25.0, 50.0) for tap in range(NUM_TAPS)]
    impulse = np.zeros((1, 2, 2 * RATE))
    impulse[:, :, 0] = 1
    left, right = render_reference(one_node("delay", delay_ms=delays), impulse)[0]
    for channel, first in ((left, 750), (right, 1500)):
        assert np.flatnonzero(np.abs(channel) > 1e-9).tolist() == [first + 3000 * tap for tap in range(NUM_TAPS)]
        np.testing.assert_allclose(np.sum(channel**2), 1)


def test_reverb_has_unit_energy_and_decays_as_told() -> None:
    values = {"initial_db": np.zeros(384), "decay_db_per_s": np.full(384, -60.0)}
    taps = reverb_taps(values, RATE)
    np.testing.assert_allclose(np.sum(taps**2) / 2, 1)
    early, late = (10 * np.log10(np.mean(taps[:, at : at + 6000] ** 2)) for at in (6000, 36000))
    assert late - early == pytest.approx(-60.0, abs=0.5)


def test_reverb_without_a_mask_is_the_scaled_noise() -> None:
    values = {"initial_db": np.zeros(384), "decay_db_per_s": np.zeros(384)}
    mid = reverb_taps(values, RATE).sum(axis=0)
    expected = reverb_noise(RATE)[0]
    np.testing.assert_allclose(mid / np.linalg.norm(mid), expected / np.linalg.norm(expected), atol=1e-10)


# --- dynamics


@pytest.mark.parametrize("ratio", [1.0, 2.0, 4.0, 100.0])
def test_compressor_on_dc_settles_on_its_static_curve(ratio: float) -> None:
    graph = one_node("compressor", threshold_db=-20.0, ratio=ratio, knee_db=6.0, time_ms=5.0)
    assert gain_db_at_the_end(graph, -8.0) == pytest.approx((1 / ratio - 1) * 12, abs=1e-4)
    assert gain_db_at_the_end(graph, -20.0) == pytest.approx((1 / ratio - 1) * 6 / 8, abs=1e-4)
    assert gain_db_at_the_end(graph, -23.1) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("ratio", [1.0, 2.0, 4.0])
def test_gate_on_dc_settles_on_its_static_curve(ratio: float) -> None:
    graph = one_node("noisegate", threshold_db=-40.0, ratio=ratio, knee_db=6.0, time_ms=5.0)
    assert gain_db_at_the_end(graph, -50.0) == pytest.approx((1 - ratio) * 10, abs=0.02)  # the energy floor
    assert gain_db_at_the_end(graph, -40.0) == pytest.approx((1 - ratio) * 6 / 8, abs=0.01)
    assert gain_db_at_the_end(graph, -36.9) == pytest.approx(0, abs=1e-4)


def test_envelope_of_a_step_is_an_exponential() -> None:
    n = np.arange(1, 301)
    rising = envelope(np.ones(300), 2.0, 50.0, RATE)
    np.testing.assert_allclose(rising, 1 - np.exp(-n / 60))
    burst = envelope(np.concatenate([np.ones(300), np.zeros(300)]), 2.0, 50.0, RATE)
    np.testing.assert_allclose(burst[300:], rising[-1] * np.exp(-n / 1500))


def test_equal_attack_and_release_are_the_simple_compressor() -> None:
    shape = {"threshold_db": -40.0, "ratio": 4.0, "knee_db": 6.0}
    source = noise()
    simple = render_reference(one_node("compressor", time_ms=7.0, **shape), source)
    ballistic = render_reference(one_node("ballistic_compressor", attack_ms=7.0, release_ms=7.0, **shape), source)
    np.testing.assert_allclose(ballistic, simple)


def test_the_detector_hears_the_mean_of_left_and_right() -> None:
    graph = one_node("compressor", threshold_db=-60.0, ratio=4.0)
    source = noise()
    source[0, 1] = -source[0, 0]
    np.testing.assert_allclose(render_reference(graph, source), source)  # no mid at all: silence, no compression
    assert ENERGY_FLOOR < 10 ** (-60 / 10)


def sidechain(connected: bool) -> MixGraph:
    graph = MixGraph(STANDARD, RATE)
    voice, music = graph.add("in"), graph.add("in")
    duck = graph.add("sidechain_compressor", threshold_db=-20.0, ratio=2.0, time_ms=1.0)
    graph.chain(music, duck, graph.add("out"))
    return graph.connect(voice, duck, inlet="sidechain") if connected else graph.chain(voice, graph.add("out"))


def test_sidechain_ducks_the_music_by_the_level_of_the_voice() -> None:
    voice, music = constant(0.0, 3000), noise(samples=3000)
    result = render_reference(sidechain(connected=True), np.concatenate([voice, music]))
    np.testing.assert_allclose(result[0, :, -100:], music[0, :, -100:] * 10 ** (-10 / 20), rtol=1e-5)


def test_an_unconnected_sidechain_hears_silence() -> None:
    voice, music = constant(0.0, 300), noise(samples=300)
    result = render_reference(sidechain(connected=False), np.concatenate([voice, music]))
    np.testing.assert_allclose(result, np.concatenate([music, voice]))


# --- the graph


def test_signals_add_up_over_parallel_edges_and_mixes() -> None:
    graph = MixGraph(STANDARD, RATE)
    a, b, mix, out = (graph.add(kind) for kind in ("in", "in", "mix", "out"))
    graph.connect(a, mix).connect(a, mix).connect(b, mix).connect(mix, out).connect(b, out)
    source = noise(2)
    np.testing.assert_allclose(render_reference(graph, source)[0], 2 * source[0] + 2 * source[1])


def test_node_order_decides_which_input_and_output_is_which() -> None:
    graph = MixGraph(STANDARD, RATE)
    second_out, a, first_in, b = (graph.add(kind) for kind in ("out", "in", "in", "out"))
    graph.connect(a, b).connect(first_in, second_out)
    source = noise(2)
    np.testing.assert_allclose(render_reference(graph, source), source[::-1])


@pytest.mark.parametrize("kind", ["gain", "equalizer", "compressor", "delay"])
def test_dry_wet_is_a_weighted_sum_and_weight_zero_a_bypass(kind: str) -> None:
    first = one_node(kind).types.by_letter(kind).parameters[0]
    values = {first.name: -30.0} if kind != "delay" else {}
    source = noise()
    wet = render_reference(one_node(kind, 1.0, **values), source)
    half = render_reference(one_node(kind, 0.25, **values), source)
    np.testing.assert_allclose(half, 0.25 * wet + 0.75 * source, atol=1e-12)
    np.testing.assert_allclose(render_reference(one_node(kind, 0.0, **values), source), source, atol=1e-12)


def test_two_equalizers_in_a_row_keep_what_rings_before_the_segment() -> None:
    curve = RNG.uniform(-12, 12, 1024)
    graph = MixGraph(STANDARD, RATE)
    nodes = [graph.add("equalizer", gain_db=curve.tolist()) for _ in range(2)]
    graph.chain(graph.add("in"), *nodes, graph.add("out"))
    impulse = np.zeros((1, 2, 10))
    impulse[:, :, 0] = 1
    (once,) = equalizer(Signal(0, np.ones((2, 1))), {"gain_db": np.float64(np.float32(curve))}, RATE)
    # At time 0 the taps before and after it meet: a renderer that cuts between the two loses the first half.
    np.testing.assert_allclose(render_reference(graph, impulse)[0, :, 0], np.sum(once.samples**2, axis=1))


def test_a_general_processor_hears_only_the_segment() -> None:
    received: list[np.ndarray] = []

    def listen(audio: np.ndarray, values: object, sample_rate: int) -> np.ndarray:
        received.append(audio)
        return 3 * audio[0]

    own = NodeType("own", "w")
    graph = MixGraph([*STANDARD, own], RATE)
    ringing = graph.add("equalizer", gain_db=RNG.uniform(-12, 12, 1024).tolist())
    graph.chain(graph.add("in"), ringing, graph.add("own", wet=0.5), graph.add("out"))
    result = render_reference(graph, noise(samples=50), extra={"own": listen})
    assert received[0].shape == (1, 2, 50)
    np.testing.assert_allclose(result, 2 * received[0])


def test_a_linear_processor_of_ones_own_gives_all_of_the_time_axis() -> None:
    shift = NodeType("shift", "h", (ParameterSpec("shift_samples", 1, "", -100.0, 100.0, 0.0),))
    graph = MixGraph([shift], RATE)
    there, back = graph.add("shift", shift_samples=30.0), graph.add("shift", shift_samples=-30.0)
    graph.chain(graph.add("in"), there, back, graph.add("out"))
    source = noise(samples=50)
    own = {"shift": lambda u, values, rate: [Signal(u.start + int(values["shift_samples"][0]), u.samples)]}
    np.testing.assert_allclose(render_reference(graph, source, extra_linear=own), source)


def test_a_batch_is_its_graphs_one_by_one() -> None:
    graphs = [one_node("gain", gain_db=6.0), sidechain(connected=True), one_node("gain", gain_db=-6.0)]
    source = noise(4)
    one_by_one = [render_reference(graphs[0], source[:1]), render_reference(graphs[1], source[1:3])]
    one_by_one.append(render_reference(graphs[2], source[3:]))
    result = render_reference(Batch.from_data_list(graphs), source)
    np.testing.assert_allclose(result, np.concatenate(one_by_one))


def test_a_chain_of_200_gains_is_their_sum_in_db() -> None:
    graph = MixGraph(STANDARD, RATE)
    gains = [graph.add("gain", gain_db=0.1) for _ in range(200)]
    source = noise()
    result = render_reference(graph.chain(graph.add("in"), *gains, graph.add("out")), source)
    np.testing.assert_allclose(result, 10 * source, rtol=1e-6)


def test_silence_in_is_silence_out_and_an_unfed_node_hears_it() -> None:
    graph = MixGraph(STANDARD, RATE)
    out = graph.add("out")
    for kind in (t.name for t in STANDARD):
        graph.connect(graph.add(kind), out)
    graph.connect(graph.add("in"), out)
    assert not render_reference(graph, np.zeros((1, 2, 100))).any()


def test_an_empty_graph_is_refused() -> None:
    with pytest.raises(GraphError, match="the graph has no nodes"):
        render_reference(MixGraph(STANDARD, RATE), np.zeros((0, 2, 10)))


def test_signals_of_different_support_add_up() -> None:
    total = add([Signal(-2, np.ones((2, 3))), Signal(3, np.full((2, 2), 5.0)), Signal(0, np.zeros((2, 0)))])
    assert (total.start, total.stop) == (-2, 5)
    np.testing.assert_array_equal(total.samples[0], [1, 1, 1, 0, 0, 5, 5])
    np.testing.assert_array_equal(total.cut(0, 4)[1], [1, 0, 0, 5])


@pytest.mark.parametrize("shape", [(2, 2, 10), (1, 1, 10), (1, 2, 0), (2, 10)])
def test_sources_of_the_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GraphError, match=r"expected \[1, 2, samples\]"):
        render_reference(one_node("gain"), np.zeros(shape))


def test_a_type_without_a_reference_is_refused() -> None:
    graph = MixGraph([NodeType("own", "w")], RATE)
    graph.chain(graph.add("in"), graph.add("own"), graph.add("out"))
    with pytest.raises(GraphError, match="own 1 has no reference"):
        render_reference(graph, np.zeros((1, 2, 10)))


def test_parameters_that_require_gradients_are_read() -> None:
    graph = one_node("gain", gain_db=20.0)
    graph.params["gain"] = graph.params["gain"].requires_grad_(True)
    assert isinstance(graph.params["gain"], torch.Tensor)
    np.testing.assert_allclose(render_reference(graph, np.ones((1, 2, 4))), 10.0)
