"""graphmix against GRAFX 0.6 with the same settings: each processor that computes the same equation, and a console.

GRAFX's convolution is replaced by an exact one, its windows and its noise by graphmix's, and all is compared in double
precision where GRAFX allows it. What remains different is bounded here and explained in ``docs/peers.md``. The audio
loss is compared with auraloss in ``tests/search/test_losses.py``.
"""

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("grafx", reason="the peers come with the extra `bench`")

from benchmarks.peers import grafx_console as peer
from benchmarks.peers.work import make_console, random_params
from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.processors.base import Processor
from graphmix.render import Renderer

pytestmark = pytest.mark.filterwarnings("ignore:Casting complex values to real")  # of noise that is then replaced
Convolution = Callable[[Tensor, Tensor, str], Tensor]
SAMPLES = 12000
RACK = Rack.standard(30000)
LOUD = 100.0
"""Level at which what is added to the energy before the logarithm, 1e-8 here and 1e-5 there, is nothing."""
RANGES = {
    "gain_db": (-12.0, 12.0),
    "side_db": (-12.0, 6.0),
    "threshold_db": (-30.0, -10.0),
    "ratio": (1.2, 20.0),
    "knee_db": (1.0, 12.0),
    "time_ms": (0.5, 25.0),
    "attack_ms": (0.5, 20.0),
    "release_ms": (20.0, 200.0),
    "radius": (0.2, 0.9),
    "filter_db": (-12.0, 6.0),
    "initial_db": (-12.0, 12.0),
    "decay_db_per_s": (-200.0, -40.0),
}


@pytest.fixture(autouse=True)
def exact_convolution() -> Iterator[Convolution]:
    """Yields GRAFX's own."""
    before = peer.use_convolution(peer.exact_convolve)
    yield before
    peer.use_convolution(before)


def noise(*shape: int, mono: bool = False) -> Tensor:
    """Noise that goes on and off, so that envelopes rise and fall, in double precision."""
    generator = torch.Generator().manual_seed(1)
    audio = torch.randn(*shape[:-2], 1 if mono else shape[-2], shape[-1], generator=generator, dtype=torch.float64)
    bursts = 0.05 + 0.95 * (torch.arange(shape[-1]) // 700 % 2)
    return (0.3 * audio * bursts).expand(shape).clone()


def drawn_params(name: str, count: int = 3) -> Tensor:
    return random_params(RACK, name, count, torch.Generator().manual_seed(2), RANGES).double()


def make_peer(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    processor = peer.make_processor(name).to(dtype)
    peer.use_same_windows_and_noise(name, processor, dtype=dtype)
    return processor


def values_of(processor: Processor, params: Tensor) -> dict[str, Tensor]:
    return {p.name: processor.get(params, p.name) for p in processor.node_type.parameters}


def run_peer(name: str, audio: Tensor, params: Tensor, processor: nn.Module | None = None) -> Tensor:
    result = (processor or make_peer(name))(audio, **peer.to_grafx(name, values_of(RACK[name], params)))
    return result[0] if isinstance(result, tuple) else result


def relative_error(value: Tensor, reference: Tensor) -> float:
    assert value.shape == reference.shape
    value, reference = value.detach().double(), reference.detach().double()
    return float((value - reference).abs().max() / reference.abs().max())


def gradients(audio: Tensor, params: Tensor, result: Tensor) -> tuple[Tensor, ...]:
    """Of a fixed weighing of the output, by audio and parameters."""
    weighing = torch.randn(result.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return torch.autograd.grad((result * weighing).mean(), (audio, params))


def both(name: str, audio: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
    audio, params = audio.requires_grad_(), params.requires_grad_()
    return RACK[name](audio, params), run_peer(name, audio, params)


@pytest.mark.parametrize("name", ["gain", "imager", "equalizer", "reverb"])
def test_linear_processors_and_their_gradients_agree(name: str) -> None:
    audio, params = noise(3, 2, SAMPLES), drawn_params(name)
    ours, theirs = both(name, audio, params)
    assert relative_error(ours, theirs) < 1e-12
    for own, other in zip(gradients(audio, params, ours), gradients(audio, params, theirs), strict=True):
        assert relative_error(own, other) < 1e-11


def test_the_window_of_grafxs_equalizer_is_not_quite_symmetric() -> None:
    """A periodic Hann window of odd length has its maximum between two samples: -80 dB of difference."""
    audio, params = noise(3, 2, SAMPLES), drawn_params("equalizer")
    theirs = run_peer("equalizer", audio, params, peer.make_processor("equalizer").double())
    assert 1e-6 < relative_error(RACK["equalizer"](audio, params), theirs) < 1e-3


def test_grafxs_own_convolution_warps_time_where_the_result_has_an_odd_length(exact_convolution: Convolution) -> None:
    x, h = noise(1, 1, 4000), noise(1, 1, 500)
    assert (
        relative_error(exact_convolution(x, h[..., 1:], "causal"), peer.exact_convolve(x, h[..., 1:], "causal")) < 1e-9
    )
    assert (
        relative_error(exact_convolution(x, h[..., 2:], "causal"), peer.exact_convolve(x, h[..., 2:], "causal")) > 0.1
    )


@pytest.mark.parametrize("name", ["compressor", "noisegate"])
def test_dynamics_agree_where_left_and_right_are_equal(name: str) -> None:
    """Loud, and with times up to 25 ms, after which nothing is left where GRAFX cuts its envelope (16,384 taps)."""
    audio, params = noise(3, 2, SAMPLES, mono=True) * LOUD, drawn_params(name)
    params[:, 0] += 40  # dB: LOUD
    ours, theirs = both(name, audio, params)
    assert relative_error(ours, theirs) < 1e-6
    for own, other in zip(gradients(audio, params, ours), gradients(audio, params, theirs), strict=True):
        assert relative_error(own, other) < 1e-5


@pytest.mark.parametrize(("name", "threshold_db", "slope"), [("compressor", 30.0, -0.5), ("noisegate", 50.0, 1.0)])
@pytest.mark.parametrize("time_ms", [50.0, 200.0])
def test_slow_envelopes_differ_by_what_grafx_cuts_off(
    name: str, threshold_db: float, slope: float, time_ms: float
) -> None:
    """Its envelope forgets after 16,384 samples: of a level that lasts, the share ``alpha ** 16384`` is missing."""
    samples = 40000
    audio = torch.full((1, 2, samples), LOUD, dtype=torch.float64)
    params = torch.tensor([[threshold_db, 2.0, 6.0, time_ms]], dtype=torch.float64)
    ours, theirs = RACK[name](audio, params), run_peer(name, audio, params)
    heard_db, heard_by_peer_db = (
        10 * math.log10(1 - math.exp(-n * 1000 / (time_ms * 30000))) for n in (samples, 16384)
    )
    difference_db = float(20 * (theirs / ours).log10()[0, 0, -1])
    assert difference_db == pytest.approx(slope * (heard_by_peer_db - heard_db), abs=1e-5)
    assert relative_error(ours[..., :16384], theirs[..., :16384]) < 1e-6  # until then nothing is cut off


def test_detectors_differ_where_left_and_right_differ() -> None:
    """One channel alone: -6 dB for the mean of the channels (here), -3 dB for the mean of their squares (there)."""
    audio = torch.full((1, 2, 20000), LOUD, dtype=torch.float64)
    audio[:, 1] = 0
    params = torch.tensor([[20.0, 2.0, 0.1, 1.0]], dtype=torch.float64)
    ours, theirs = (20 * (y.detach() / LOUD).log10()[0, 0, -1] for y in both("compressor", audio, params))
    assert float(ours) == pytest.approx(-(40 - 6.0206 - 20) / 2, abs=1e-3)
    assert float(theirs) == pytest.approx(-(40 - 3.0103 - 20) / 2, abs=1e-3)


def test_quiet_levels_differ_by_what_is_added_before_the_logarithm() -> None:
    """At -60 dB GRAFX's detector reads -49.6 dB, since 1e-5 is added to 1e-6; ours reads -60.0 dB."""
    audio = torch.full((1, 2, 20000), 1e-3, dtype=torch.float64)
    params = torch.tensor([[-80.0, 2.0, 0.1, 1.0]], dtype=torch.float64)
    ours, theirs = (-2 * 20 * (y.detach() / 1e-3).log10()[0, 0, -1] - 80 for y in both("compressor", audio, params))
    assert float(ours) == pytest.approx(-59.96, abs=0.01)
    assert float(theirs) == pytest.approx(-49.59, abs=0.01)


@pytest.mark.parametrize("name", ["ballistic_compressor", "ballistic_gate"])
def test_attack_and_release_agree_once_grafx_has_forgotten_its_start(name: str) -> None:
    """Its envelope starts at 1 where ours starts at 0, and runs in single precision."""
    audio, params = noise(2, 2, 40000, mono=True).float() * LOUD, drawn_params(name, 2).float()
    params[:, 0] += 40 if name == "ballistic_compressor" else 60  # dB: within the signal's levels
    ours, theirs = RACK[name](audio, params), run_peer(name, audio, params, make_peer(name, torch.float32))
    assert relative_error(ours[..., 20000:], theirs[..., 20000:]) < 1e-5
    assert relative_error(ours[..., 20000:], audio[..., 20000:]) > 0.1  # both have turned it down


def delay_params(count: int) -> Tensor:
    """Delays at whole samples, at least half a filter from both ends of each tap's segment."""
    params = drawn_params("delay", count)
    columns = RACK["delay"].node_type.columns("delay_ms")
    samples = (params[:, columns] * 30).round()
    first = 3000 * torch.arange(20).repeat(2)
    params[:, columns] = (first + (samples - first).clamp(40, 2960)) / 30
    return params.float()


def test_delays_agree() -> None:
    """In single precision: GRAFX takes no other."""
    audio, params = noise(2, 2, 70000).float(), delay_params(2)
    theirs = run_peer("delay", audio, params, make_peer("delay", torch.float32))
    assert relative_error(RACK["delay"](audio, params), theirs) < 1e-5


def test_gradients_of_a_delay_agree_in_filters_and_in_the_direction_of_its_taps() -> None:
    """The surrogates of the taps differ in what they do at the ends of a segment, and in the pull to the circle."""
    delay, audio, params = RACK["delay"], noise(2, 2, 70000).float(), delay_params(2)
    params[:, delay.node_type.columns("radius")] = 0.05
    weighing = torch.randn(audio.shape, generator=torch.Generator().manual_seed(3))
    raw = delay.to_raw(params).requires_grad_()
    ((delay(audio, delay.from_raw(raw)) * weighing).sum()).backward()
    values = {key: x.requires_grad_() for key, x in peer.to_grafx("delay", values_of(delay, params)).items()}
    (run_raw_peer(audio, values) * weighing).sum().backward()
    own_taps, own_filters = raw.grad[:, :80].view(2, 40, 2), raw.grad[:, 80:]
    taps = values["delay_z"].grad
    assert relative_error(own_filters, values["log_fir_magnitude"].grad.flatten(1)) < 1e-4
    assert torch.nn.functional.cosine_similarity(own_taps, taps, dim=-1).min() > 0.99
    assert taps.norm(dim=-1).sub(1).abs().max() < 0.02


def run_raw_peer(audio: Tensor, values: dict[str, Tensor]) -> Tensor:
    return make_peer("delay", torch.float32)(audio, **values)[0]


def test_a_whole_console_agrees() -> None:
    """Two tracks and a bus with all seven processors; tracks stay mono, so that left and right are equal on the bus."""
    rack = Rack.console("ecnsgdr", 30000)
    graph = make_console(rack, tracks=2, subgroups=1)
    generator = torch.Generator().manual_seed(4)
    graph.params = {name: random_params(rack, name, 3, generator, RANGES) for name in rack.names}
    graph.params["delay"] = delay_params(3)
    graph.params["noisegate"][:, 0] = 0  # dB: it closes between the bursts
    make_mono(rack, graph, nodes=2)
    graph.wet = torch.rand(graph.num_nodes, generator=generator)
    audio = (noise(2, 2, 40000, mono=True) * 10).float()
    with torch.no_grad():
        theirs, _ = peer.GrafxConsole(graph)(audio, gradients=False)
        ours = Renderer(rack)(graph, audio)
    assert relative_error(ours[..., :-1023], theirs[..., :-1023]) < 3e-5
    assert relative_error(ours, theirs) > 1e-2  # GRAFX cuts the tracks at the end, before the bus's equalizer


def make_mono(rack: Rack, graph: MixGraph, nodes: int) -> None:
    """Let the first nodes of each type do the same to left and right."""
    for name in ("gain", "delay"):
        for spec in rack[name].node_type.parameters:
            values = graph.params[name][:nodes, rack[name].node_type.columns(spec.name)].unflatten(1, (2, -1))
            values[:, 1] = values[:, 0]
    initial = graph.params["reverb"][:nodes, rack["reverb"].node_type.columns("initial_db")].unflatten(1, (2, -1))
    initial[:, 1] = -100  # the side
