"""Every processor that a peer has as well, ready to run: 16 nodes of the same audio and, where the equation agrees, the
same settings.

GRAFX is made exact: its convolution is :func:`peers.grafx_console.exact_convolve`. What a peer computes is in its note,
which begins with ``same`` where the equation is graphmix's; see docs/peers.md.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphmix.dsp.biquad_design import SHAPES
from graphmix.processors import Processor, Rack
from graphmix.processors.compressors import SMOOTHING
from graphmix.processors.saturation import Chebyshev, Clipper, Power, Tanh
from graphmix.spec import DB_PER_NEPER

RATE = 44100
PAPER_RATE = 30000
"""Of the console's types, whose sizes GRAFX ties to it."""
FSM_TAPS = 4000
TWO_PI = 2 * math.pi


@dataclass(frozen=True)
class Work:
    """A contender: forward, what has gradients, what it computes, and whether it has a backward pass that works."""

    run: Callable[[], Tensor]
    leaves: list[Tensor]
    note: str
    backward: bool = True


Peer = Callable[[Processor, Tensor, Tensor], dict[str, Work]]
"""(processor, audio, values) -> name of the peer -> work."""


@dataclass(frozen=True)
class Row:
    """What stands beside one type.

    Args:
        peers: that have it.
        recursion: whether it is one, of which graphmix shall be twice as fast.
        choices: settings that agree with the peers'.
        make: the processor, where the rack's is another.
        rate: sample rate in Hz.
    """

    peers: tuple[Peer, ...] = ()
    recursion: bool = False
    choices: Mapping[str, float] = field(default_factory=dict)
    make: Callable[[], Processor] | None = None
    rate: int = RATE

    def processor(self, name: str) -> Processor:
        """The processor of the type."""
        return self.make() if self.make else Rack.console(f"[{name}]", self.rate)[name]


def leaf(tensor: Tensor) -> Tensor:
    """A copy with gradients."""
    return tensor.detach().clone().requires_grad_()


def _work(module: Callable[..., Any], audio: Tensor, raw: Mapping[str, Tensor], note: str) -> Work:
    """A module that is called with named settings."""
    inputs, settings = leaf(audio), {name: leaf(values) for name, values in raw.items()}
    return Work(lambda: module(inputs, **settings), [inputs, *settings.values()], note)


def _grafx() -> Any:
    """GRAFX's processors, with an exact convolution."""
    with warnings.catch_warnings():  # of what is not used here
        warnings.simplefilter("ignore")
        from .grafx_console import exact_convolve, grafx_processors, use_convolution

        use_convolution(exact_convolve)
    return grafx_processors


def _both_backends(make: Callable[..., Any], audio: Tensor, raw: Mapping[str, Tensor], note: str) -> dict[str, Work]:
    """A filter of GRAFX's by recursion and by an FIR that samples its response."""
    return {
        "grafx lfilter": _work(make(backend="lfilter"), audio, raw, note),
        "grafx fsm": _work(
            make(backend="fsm", flashfftconv=False), audio, raw, f"{note}; response cut to {FSM_TAPS} samples"
        ),
    }


def _three(processor: Processor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Frequency, quality and gain as GRAFX's raw numbers, [nodes, bands]."""
    frequency, q, gain = (processor.get(values, name) for name in ("frequency_hz", "q", "gain_db"))
    return torch.logit(2 * frequency / processor.sample_rate), -q.log(), gain * (math.log(10) / 40)


def _bell(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    raw = dict(zip(("w0", "q_inv", "log_gain"), _three(processor, values), strict=True))
    return _both_backends(_grafx().PeakingFilter, audio, raw, "same")


def _bells(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    numbers = _three(processor, values)
    raw = {name: own[:, None] for name, own in zip(("w0", "q_inv", "log_gain"), numbers, strict=True)}
    make = partial(_grafx().ParametricEqualizer, numbers[0].size(1), "mono", use_shelving_filters=False)
    return _both_backends(make, audio, raw, "same")


def _dasp_bands(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    from dasp_pytorch.functional import parametric_eq

    names = ("gain_db", "frequency_hz", "q")
    bands = [leaf(processor.get(values, name)[:, band]) for band in range(6) for name in names]
    inputs = leaf(audio)

    def run() -> Tensor:
        channels = inputs.reshape(-1, 1, audio.size(-1))
        return parametric_eq(
            channels, processor.sample_rate, *(own.repeat_interleave(2).view(-1, 1, 1) for own in bands)
        )

    return {"dasp-pytorch": Work(run, [inputs, *bands], "six bands of our eight; response sampled")}


def _state_variable(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    frequency, q, low, band, high = (
        processor.get(values, name) for name in ("frequency_hz", "q", "low", "band", "high")
    )
    damping = ((1 / q - 0.01).clamp(min=1e-3) * math.log(2)).expm1().log()
    raw = {"twoR": damping, "G": torch.logit(2 * frequency / processor.sample_rate)}
    raw |= {"c_hp": high, "c_bp": band / q, "c_lp": low}
    return _both_backends(_grafx().StateVariableFilter, audio, raw, "same")


def _pole_zero(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    rate, raw = processor.sample_rate, {"log_gain": processor.get(values, "gain_db") / DB_PER_NEPER}
    for name, kind in (("poles", "pole"), ("zeros", "zero")):
        radius = torch.exp(-math.pi * processor.get(values, f"{kind}_bandwidth_hz") / rate)
        angle = TWO_PI / rate * processor.get(values, f"{kind}_hz")
        raw[name] = torch.view_as_real(torch.polar(radius * (0.9 if kind == "pole" else 1.0), angle))

    def make(**options: Any) -> Any:
        peer = _grafx().PoleZeroFilter(processor.get(values, "pole_hz").size(1), **options)
        biquad = peer.biquad.forward  # which the peer gives numbers without the axis of channels
        peer.biquad.forward = lambda audio, b, a: biquad(audio, b[:, None], a[:, None])
        return peer

    return _both_backends(make, audio, raw, "other radii of the poles; its missing axis of channels added")


def _graphic(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    make = partial(_grafx().GraphicEqualizer, "mono", "third_octave", RATE)
    gains = processor.get(values, "gain_db")[:, None] / DB_PER_NEPER
    raw = {"log_gains": torch.nn.functional.pad(gains, (0, make(flashfftconv=False).geq.num_bands - gains.size(-1)))}
    return _both_backends(make, audio, raw, "other: gains of bells, not of the curve")


def _console(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    """A type of the paper's, or with ballistics."""
    _grafx()
    from .grafx_console import make_processor, to_grafx

    name = processor.node_type.name
    physical = {p.name: processor.get(values, p.name) for p in processor.node_type.parameters}
    module, notes = make_processor(name), {"compressor": "envelope cut to 16,384 samples"}
    notes |= {"noisegate": notes["compressor"], "ballistic_compressor": "same; recursion by torchcomp"}
    notes["ballistic_gate"] = notes["ballistic_compressor"]

    def run(inputs: Tensor, **settings: Tensor) -> Tensor:
        result = module(inputs, **settings)
        return result[0] if isinstance(result, tuple) else result

    return {"grafx": _work(run, audio, to_grafx(name, physical), notes.get(name, "same"))}


def _dasp_compressor(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    from dasp_pytorch.functional import compressor

    names = ("threshold_db", "ratio", "attack_ms", "release_ms", "knee_db", "makeup_db")
    settings, inputs = [leaf(processor.get(values, name)[:, 0]) for name in names], leaf(audio)

    def run() -> Tensor:
        channels = inputs.reshape(-1, 1, audio.size(-1))
        return compressor(
            channels, processor.sample_rate, *(own.repeat_interleave(2).view(-1, 1, 1) for own in settings)
        )

    return {"dasp-pytorch": Work(run, [inputs, *settings], "one time, response sampled, channels apart")}


def _coefficients(rate: int, *times_ms: Tensor) -> list[Tensor]:
    """torchcomp's."""
    return [1 - torch.exp(-1000 / (ms * rate)) for ms in times_ms]


def _torchcomp_compressor(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    import torchcomp

    names = ("threshold_db", "ratio", "attack_ms", "release_ms", "makeup_db")
    settings, inputs = [leaf(processor.get(values, name)[:, 0]) for name in names], leaf(audio)

    def run() -> Tensor:
        threshold, ratio, attack, release, makeup = settings
        level = inputs.abs().amax(1).clamp(min=1e-5)
        constants = _coefficients(processor.sample_rate, attack, release)
        gain = torchcomp.compexp_gain(level, threshold, ratio, -200.0, 0.5, *constants)
        return inputs * (gain * 10 ** (makeup[:, None] / 20))[:, None]

    return {"torchcomp": Work(run, [inputs, *settings], "same but for the knee; detector and product by tensors")}


def _torchcomp_expander(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    import torchcomp

    names = ("threshold_db", "ratio", "release_ms", "attack_ms")
    settings, inputs = [leaf(processor.get(values, name)[:, 0]) for name in names], leaf(audio)

    def run() -> Tensor:
        threshold, ratio, falls, rises = settings
        level = inputs.abs().amax(1).clamp(min=1e-5)
        constants = _coefficients(processor.sample_rate, falls, rises)
        return inputs * torchcomp.compexp_gain(level, 0.0, 1.001, threshold, 1 / ratio, *constants)[:, None]

    return {"torchcomp": Work(run, [inputs, *settings], "same but for knee and range; detector and product by tensors")}


def _torchcomp_limiter(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    import torchcomp

    settings = [leaf(processor.get(values, name)[:, 0].clamp(max=-6)) for name in ("ceiling_db",)]
    settings += [leaf(processor.get(values, name)[:, 0]) for name in ("lookahead_ms", "release_ms")]
    inputs = leaf(audio)

    def run() -> Tensor:
        constants = _coefficients(processor.sample_rate, *settings[1:])
        return inputs * torchcomp.limiter_gain(inputs.abs().amax(1), settings[0], *constants)[:, None]

    return {"torchcomp": Work(run, [inputs, *settings], "other: attack in place of look-ahead, no ceiling holds")}


def _tanh(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    from dasp_pytorch.functional import distortion

    peer = _grafx().TanhDistortion(use_bias=True)
    raw = {"log_pre_gain": processor.get(values, "drive_db") / DB_PER_NEPER}
    raw["bias"] = processor.get(values, "asymmetry").atanh()
    inputs, drive = leaf(audio), leaf(processor.get(values, "drive_db"))

    def run() -> Tensor:
        return distortion(inputs, processor.sample_rate, drive[..., None].expand(-1, 2, 1).contiguous())

    note = "same but for its level, without asymmetry"
    return {
        "grafx": _work(peer, audio, raw, "same but for its level"),
        "dasp-pytorch": Work(run, [inputs, drive], note),
    }


def _polynomial(name: str, processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    amounts = torch.nn.functional.pad(processor.get(values, "amount"), (2, 0), value=0.5)
    raw = {"basis_weights": amounts.atanh(), "log_pre_gain": processor.get(values, "drive_db") / DB_PER_NEPER}
    peer = getattr(_grafx(), name)(max_order=amounts.size(1))
    found = _work(peer, audio, raw, "other: of the signal, not of its tanh")
    if name == "ChebyshevDistortion":  # it writes into what its own backward pass needs
        found = replace(found, note=f"{found.note}; its backward pass raises an error", backward=False)
    return {"grafx": found}


def _piecewise(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    hardness = processor.get(values, "hardness")
    raw = {"log_hardness": hardness, "z_threshold": hardness.logit(), "log_pre_gain": hardness[:, :1]}
    return {"grafx": _work(_grafx().PiecewiseTanhDistortion(), audio, raw, "other: its middle is bent too")}


def _noise_reverb(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    samples = round(2.0 * processor.sample_rate)
    peer = _grafx().FilteredNoiseShapingReverb(
        samples, sr=processor.sample_rate, noise_randomness="fixed", flashfftconv=False, max_input_len=audio.size(-1)
    )
    size = len(audio), 2, peer.num_bands
    raw = {"log_decay": torch.zeros(size), "log_gain": torch.zeros(size) + 0.1}
    return {"grafx": _work(peer, audio, raw, "other: twelve bands of noise of two seconds")}


def _network(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    from .flamo_network import Network

    inputs, network = leaf(audio), Network(processor, audio.size(-1))
    leaves = [inputs, *(own for own in network.parameters() if own.requires_grad)]
    note = "same lines and matrix, sampled in frequency; settings shared by all nodes"
    return {"flamo": Work(lambda: network(inputs.transpose(1, 2)), leaves, note)}


def _dasp_pan(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    from dasp_pytorch.functional import stereo_panner

    place = (processor.get(values, "position") + 1) / 2
    return {
        "dasp-pytorch": _work(
            lambda x, pan: stereo_panner(x, processor.sample_rate, pan),
            audio[:, :1],
            {"pan": place},
            "other law; of mono signals",
        )
    }


def _dasp_gain(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    from dasp_pytorch.functional import gain

    raw = {"gain_db": processor.get(values, "gain_db")[:, 0]}
    peer = lambda x, gain_db: gain(x, processor.sample_rate, gain_db)  # noqa: E731
    return {"dasp-pytorch": _work(peer, audio, raw, "one gain for both channels")}


def _dasp_width(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    from dasp_pytorch.functional import stereo_widener

    peer = lambda x, width: stereo_widener(x, processor.sample_rate, width)  # noqa: E731
    return {"dasp-pytorch": _work(peer, audio, {"width": torch.full((len(audio), 1), 0.4)}, "other: scales mid too")}


def _encoder(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    peer, inputs = _grafx().StereoToMidSide(), leaf(audio)
    return {"grafx": Work(lambda: torch.cat(peer(inputs), 1), [inputs], "same up to a scale")}


def _decoder(processor: Processor, audio: Tensor, values: Tensor) -> dict[str, Work]:
    peer, inputs = _grafx().MidSideToStereo(), leaf(audio)
    return {"grafx": Work(lambda: peer(inputs[:, :1], inputs[:, 1:]), [inputs], "same up to a scale")}


def _plain(kind: Callable[..., Processor]) -> Callable[[], Processor]:
    """A curve as the peers have it: without antialiasing."""
    return partial(kind, RATE, antialiased=False)


BELL, GAIN = float(SHAPES.index("bell")), float(SMOOTHING.index("gain"))
_PAPER = {"rate": PAPER_RATE}
ROWS: Mapping[str, Row] = {
    "biquad": Row((_bell,), True, {"shape": BELL}),
    "parametric_eq": Row((_bells, _dasp_bands), True, {"shape": BELL}),
    "state_variable": Row((_state_variable,), True),
    "pole_zero": Row((_pole_zero,), True),
    "graphic_eq": Row((_graphic,)),
    "studio_compressor": Row((_dasp_compressor, _torchcomp_compressor), True, {"smoothing": GAIN}),
    "expander": Row((_torchcomp_expander,), True, {"smoothing": GAIN}),
    "limiter": Row((_torchcomp_limiter,), True),
    "ballistic_compressor": Row((_console,), True, rate=PAPER_RATE),
    "ballistic_gate": Row((_console,), True, rate=PAPER_RATE),
    "compressor": Row((_console,), True, rate=PAPER_RATE),
    "noisegate": Row((_console,), True, rate=PAPER_RATE),
    "feedback_network": Row((_network,), True),
    "equalizer": Row((_console,), rate=PAPER_RATE),
    "delay": Row((_console,), rate=PAPER_RATE),
    "reverb": Row((_console,), rate=PAPER_RATE),
    "velvet_reverb": Row((_noise_reverb,)),
    "aliased_tanh": Row((_tanh,), make=_plain(Tanh)),
    "aliased_clipper": Row((_piecewise,), make=_plain(Clipper)),
    "aliased_power": Row((partial(_polynomial, "PowerDistortion"),), make=_plain(Power)),
    "aliased_chebyshev": Row((partial(_polynomial, "ChebyshevDistortion"),), make=_plain(Chebyshev)),
    "gain": Row((_console, _dasp_gain), rate=PAPER_RATE),
    "imager": Row((_console, _dasp_width), rate=PAPER_RATE),
    "pan": Row((_dasp_pan,)),
    "mid_side_encoder": Row((_encoder,)),
    "mid_side_decoder": Row((_decoder,)),
}
"""By type; those that no peer has are not among them."""


def ours(processor: Processor, audio: Tensor, values: Tensor) -> Work:
    """graphmix."""
    inputs = [leaf(audio), leaf(values)]
    return Work(lambda: processor(*inputs), inputs, "")


def contenders(row: Row, name: str, audio: Tensor, values_of: Callable[[Processor, int], Tensor]) -> dict[str, Work]:
    """All contenders of a type; peers that are not installed are left out, and said."""
    processor = row.processor(name)
    values = values_of(processor, len(audio))
    for own, number in row.choices.items():
        values[:, processor.node_type.columns(own)] = number
    found = {"graphmix": ours(processor, audio, values)}
    for peer in row.peers:
        try:
            found |= peer(processor, audio, values)
        except ImportError as error:
            print(f"{name}: {error.name} is not installed; its figures are left out")
    return found


def names_of(rows: Sequence[str]) -> list[str]:
    """All rows that are known: those with peers first, then the given types alone."""
    return list(dict.fromkeys([*ROWS, *rows]))
