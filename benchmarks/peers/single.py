"""One processor of each type, of every contender: 16 nodes of the same audio, from samples to samples.

What a contender computes where it is not graphmix's equation is said in the item's note.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from graphmix.dsp.envelope import coefficient, smooth
from graphmix.graph import MixGraph
from graphmix.processors import Rack
from graphmix.processors.base import Processor
from graphmix.render import Renderer

from .work import LEVEL, SAMPLE_RATE, SAMPLES, random_params

TYPES = tuple(Rack.standard(SAMPLE_RATE).names)
ONE_POLE, BALLISTICS = "one-pole envelope", "attack/release envelope"
ROWS = (*TYPES, ONE_POLE, BALLISTICS)
SAME = "same equation"


@dataclass
class Item:
    """A processor ready to run.

    Args:
        run: audio in, audio out.
        leaves: tensors that get gradients; none where the contender has no backward pass.
        note: what is computed.
        nodes: how many at once.
    """

    run: Callable[[], Tensor | None]
    leaves: Sequence[Tensor] = ()
    note: str = SAME
    nodes: int = 16
    _weighing: Tensor | None = field(default=None, repr=False)

    def forward(self) -> None:
        """Without gradients."""
        with torch.no_grad():
            self.run()

    def both(self) -> None:
        """Forward and backward."""
        output = self.run()
        assert output is not None, "an item with leaves has an output"
        if self._weighing is None:
            self._weighing = torch.randn_like(output)
        output.backward(self._weighing)
        for leaf in self.leaves:
            leaf.grad = None


def make_sources(count: int) -> Tensor:
    """Stereo noise [count, 2, samples] with a gradient."""
    generator = torch.Generator().manual_seed(0)
    return (LEVEL * torch.randn(count, 2, SAMPLES, generator=generator)).requires_grad_()


def draw(name: str, count: int) -> Tensor:
    """The same random settings for all contenders."""
    return random_params(Rack.standard(SAMPLE_RATE), name, count, torch.Generator().manual_seed(1))


def make_graphmix(nodes: int) -> Mapping[str, Item]:
    """Through the renderer: as many graphs of one processor, side by side."""
    rack = Rack.standard(SAMPLE_RATE)
    items = {name: _rendered(rack[name], nodes) for name in rack.names}
    energy = make_sources(nodes).detach().square().mean(1).requires_grad_()
    alphas = [coefficient(torch.full((nodes,), ms), SAMPLE_RATE).requires_grad_() for ms in (20.0, 10.0, 100.0)]
    items[ONE_POLE] = Item(lambda: smooth(energy, alphas[0]), (energy, alphas[0]), "exact recursion", nodes)
    items[BALLISTICS] = Item(lambda: smooth(energy, *alphas[1:]), (energy, *alphas[1:]), "exact recursion", nodes)
    return items


def _rendered(processor: Processor, nodes: int) -> Item:
    node_type = processor.node_type
    rack = Rack([processor])
    graph = MixGraph(rack.types, SAMPLE_RATE)
    for _ in range(nodes):
        node = graph.add(node_type.name)
        for inlet in range(len(node_type.inlets)):
            graph.connect(graph.add("in"), node, inlet=inlet)
        for outlet in range(len(node_type.outlets)):
            graph.connect(node, graph.add("out"), outlet=outlet)
    params = draw(node_type.name, nodes).requires_grad_()
    graph.params[node_type.name] = params
    sources, renderer = make_sources(nodes * len(node_type.inlets)), Renderer(rack)
    return Item(lambda: renderer(graph, sources), (sources, params), "graphmix", nodes)


def make_grafx(nodes: int) -> Mapping[str, Item]:
    """GRAFX's processors, called by themselves."""
    from . import grafx_console as peer

    notes = {
        "compressor": "envelope cut after 16,384 samples",
        "noisegate": "envelope cut after 16,384 samples",
        "ballistic_compressor": "recursion by torchcomp",
        "ballistic_gate": "recursion by torchcomp",
    }
    rack, items, sources = Rack.standard(SAMPLE_RATE), {}, make_sources(nodes)
    for name in (*peer.ORDER, "ballistic_compressor", "ballistic_gate"):
        params = draw(name, nodes)
        values = {p.name: rack[name].get(params, p.name) for p in rack[name].node_type.parameters}
        raw = {key: value.requires_grad_() for key, value in peer.to_grafx(name, values).items()}
        processor = peer.make_processor(name)
        items[name] = Item(
            lambda p=processor, r=raw: _first(p(sources, **r)), (sources, *raw.values()), notes.get(name, SAME), nodes
        )
    energy = sources.detach().square().mean(1).requires_grad_()
    logit = torch.full((nodes, 1), 6.4, requires_grad=True)
    smoother = peer.make_processor("compressor").energy_smoother_module
    items[ONE_POLE] = Item(lambda: smoother(energy, logit), (energy, logit), "FIR of 16,384 taps", nodes)
    return items


def _first(result: Tensor | tuple[Tensor, object]) -> Tensor:
    return result[0] if isinstance(result, tuple) else result


def make_dasp(nodes: int) -> Mapping[str, Item]:
    """dasp-pytorch: the functions nearest to graphmix's types."""
    from dasp_pytorch import functional as dasp

    sources, one = make_sources(nodes), make_sources(1)

    def setting(value: float, count: int = nodes) -> Tensor:
        return torch.full((count,), value, requires_grad=True)

    gain, width = [setting(3.0)], [torch.full((nodes, 1), 0.4, requires_grad=True)]
    bands = [setting(value) for hz in (80, 200, 800, 2000, 5000, 9000) for value in (3.0, float(hz), 1.0)]
    curve = [setting(value) for value in (-25.0, 2.0, 20.0, 20.0, 6.0, 0.0)]
    shape = [setting(0.5, 1) for _ in range(25)]
    return {
        "gain": Item(lambda: dasp.gain(sources, SAMPLE_RATE, *gain), (sources, *gain), "one gain for both", nodes),
        "imager": Item(
            lambda: dasp.stereo_widener(sources, SAMPLE_RATE, *width), (sources, *width), "scales mid too", nodes
        ),
        "equalizer": Item(
            lambda: dasp.parametric_eq(sources, SAMPLE_RATE, *bands), (sources, *bands), "six biquads, by FFT", nodes
        ),
        "compressor": Item(
            lambda: dasp.compressor(sources, SAMPLE_RATE, *curve), (sources, *curve), "smooths the gain; by FFT", nodes
        ),
        "reverb": Item(
            # Its filter bank takes no sample rate of 36 kHz or less; the work depends on the samples alone.
            lambda: dasp.noise_shaped_reverberation(one, 44100, *shape),
            (one, *shape),
            "1 node; 12 bands of noise, direct convolution",
            1,
        ),
    }


def make_torchcomp(nodes: int) -> Mapping[str, Item]:
    """torchcomp: the recursions."""
    import torchcomp

    energy = make_sources(nodes).detach().square().mean(1).requires_grad_()
    slow, fast, rare = (torch.full((nodes,), 1000 / (ms * SAMPLE_RATE), requires_grad=True) for ms in (20, 10, 100))
    start = torch.zeros(nodes)
    return {
        ONE_POLE: Item(lambda: torchcomp.avg(energy, slow), (energy, slow), "exact recursion", nodes),
        BALLISTICS: Item(
            lambda: torchcomp.compressor_core(energy, start, rare, fast), (energy, rare, fast), "exact recursion", nodes
        ),
    }


def make_pedalboard(nodes: int) -> Mapping[str, Item]:
    """pedalboard: forward only, one node after the other."""
    import pedalboard

    audio = np.ascontiguousarray(make_sources(nodes).detach().numpy())
    peaks = [pedalboard.PeakFilter(hz, 3.0, 1.0) for hz in (200, 800, 2000, 5000)]
    plugins = {
        "gain": (pedalboard.Gain(3.0), "one gain for both"),
        "equalizer": (
            pedalboard.Pedalboard([pedalboard.LowShelfFilter(80, 3.0), *peaks, pedalboard.HighShelfFilter(9000, 3.0)]),
            "six biquads",
        ),
        "compressor": (pedalboard.Compressor(-25, 2, 20, 20), "peak detector, hard knee"),
        "noisegate": (pedalboard.NoiseGate(-25, 2, 20, 20), "RMS detector, hard knee"),
        "delay": (pedalboard.Delay(0.1, 0.3, 0.5), "one echo with feedback"),
        "reverb": (pedalboard.Reverb(), "Freeverb: combs and allpasses"),
    }

    def run(plugin: object) -> None:
        for node in audio:
            plugin(node, SAMPLE_RATE)

    return {name: Item(lambda p=plugin: run(p), (), note, nodes) for name, (plugin, note) in plugins.items()}


MAKERS = {
    "graphmix": make_graphmix,
    "grafx_exact": make_grafx,
    "grafx": make_grafx,
    "dasp": make_dasp,
    "torchcomp": make_torchcomp,
    "pedalboard": make_pedalboard,
}
