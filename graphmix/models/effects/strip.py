"""A channel strip of ten settings: equalizer, compressor and reverb, as functions of controls that engineers know.

graphmix's own processors have hundreds of numbers each; a proxy network is to imitate them as a function of few, as in
the Differentiable Mixing Console (Steinmetz et al. 2021). The strip maps these few to the parameters of the three
processors, differentiably, and back by least squares.

================  ==================  ==============================================================================
``equalizer_db``  4 values in dB      low shelf at 200 Hz, bells at 500 Hz and 2 kHz, high shelf at 5 kHz; the gains
                                      in dB of the four add up to the equalizer's curve
``threshold_db``  dB                  of the compressor, whose knee is 6 dB
``ratio``         dB per dB
``time_ms``       ms
``reverb_wet``    0 to 0.5            dry/wet weight of the reverb
``reverb_ms``     ms                  RT60, the same at all frequencies
``reverb_db``     dB                  tilt: level of the response four octaves above 1 kHz, and its negative below
================  ==================  ==============================================================================
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.dynamics import Compressor
from graphmix.processors.filters import Equalizer
from graphmix.processors.rack import Rack
from graphmix.processors.reverb import Reverb
from graphmix.spec import DB_PER_NEPER, Exponential, Linear, NodeType, ParameterSpec

LOW_SHELF_HZ, HIGH_SHELF_HZ = 200.0, 5000.0
BELLS_HZ = (500.0, 2000.0)
BELL_OCTAVES = 0.8
"""Standard deviation of a bell over the octaves."""
TILT_PIVOT_HZ, TILT_OCTAVES = 1000.0, 4.0
KNEE_DB = 6.0

STRIP_PARAMETERS = (
    ParameterSpec("equalizer_db", 4, "dB", -12.0, 12.0, 0.0, Linear(DB_PER_NEPER)),
    ParameterSpec("threshold_db", 1, "dB", -40.0, 0.0, -20.0, Linear(DB_PER_NEPER)),
    ParameterSpec("ratio", 1, "", 1.0, 8.0, 1.0, Exponential()),
    ParameterSpec("time_ms", 1, "ms", 5.0, 200.0, 20.0, Exponential()),
    ParameterSpec("reverb_wet", 1, "", 0.0, 0.5, 0.0, Linear()),
    ParameterSpec("reverb_ms", 1, "ms", 60.0, 350.0, 150.0, Exponential()),
    ParameterSpec("reverb_db", 1, "dB", -9.0, 9.0, 0.0, Linear(DB_PER_NEPER)),
)
STRIP_TYPE = NodeType("proxy", "p", STRIP_PARAMETERS)
"""The node type of a proxy of the strip."""


def unit_settings(settings: Tensor) -> Tensor:
    """Settings on the raw scale of each, mapped to [-1, 1] between its bounds, [nodes, 10]."""
    columns = []
    for p in STRIP_PARAMETERS:
        low, high = (p.curve.raw(torch.tensor(edge, dtype=torch.float64)).item() for edge in (p.low, p.high))
        raw = p.curve.raw(settings[:, STRIP_TYPE.columns(p.name)])
        columns.append((raw - low) * (2 / (high - low)) - 1)
    return torch.cat(columns, dim=1)


def random_settings(nodes: int, generator: torch.Generator) -> Tensor:
    """Settings drawn evenly between the raw bounds of each: levels evenly in dB, times and ratios by factors."""
    columns = []
    for p in STRIP_PARAMETERS:
        low, high = (p.curve.raw(torch.tensor(edge)) for edge in (p.low, p.high))
        raw = low + (high - low) * torch.rand(nodes, p.size, generator=generator)
        columns.append(p.curve.physical(raw).clamp(p.low, p.high))
    return torch.cat(columns, dim=1)


class ChannelStrip(nn.Module):
    """Ten settings, and the equalizer, compressor and reverb that they stand for.

    As a module it is the *true chain*: audio [nodes, 2, samples] and settings [nodes, 10] -> [nodes, 2, samples],
    differentiable in both. It has no weights.

    Args:
        sample_rate: in Hz.

    Example:
        >>> strip = ChannelStrip()
        >>> audio = 0.1 * torch.randn(1, 2, 3000)
        >>> torch.allclose(strip(audio, STRIP_TYPE.neutral()[None]), audio, atol=1e-5)
        True
    """

    curves: Tensor
    fit: Tensor
    tilt: Tensor

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.equalizer = Equalizer(sample_rate)
        self.compressor = Compressor(sample_rate)
        self.reverb = Reverb(sample_rate)
        bins = torch.arange(self.equalizer.node_type.width, dtype=torch.float64)
        frequency = bins * (sample_rate / self.equalizer.taps)
        curves = equalizer_curves(frequency)
        weights = 1 / frequency.clamp(min=20.0)  # an octave counts as much as any other
        weighted = curves * weights
        fit = torch.linalg.solve(weighted @ curves.mT, weighted)
        bands = torch.arange(self.reverb.bands, dtype=torch.float64) * (sample_rate / self.reverb.n_fft)
        self.register_buffer("curves", curves.float(), persistent=False)
        self.register_buffer("fit", fit.float(), persistent=False)
        self.register_buffer("tilt", tilt_curve(bands).float(), persistent=False)

    def params(self, settings: Tensor) -> dict[str, Tensor]:
        """Physical parameters of the three processors by type; the reverb's dry/wet weight is ``reverb_wet``.

        Args:
            settings: [nodes, 10].

        Returns:
            ``equalizer``, ``compressor`` and ``reverb``, each [nodes, its width].
        """
        curve = _get(settings, "equalizer_db") @ self.curves.to(settings)
        knee = torch.full_like(settings[:, :1], KNEE_DB)
        threshold, ratio, time = (_get(settings, name) for name in ("threshold_db", "ratio", "time_ms"))
        initial = _get(settings, "reverb_db") * self.tilt.to(settings).repeat(2)
        decay = (-60000 / _get(settings, "reverb_ms")).expand_as(initial)
        return {
            "equalizer": curve,
            "compressor": torch.cat([threshold, ratio, knee, time], dim=1),
            "reverb": torch.cat([initial, decay], dim=1),
        }

    def settings(self, params: Mapping[str, Tensor], reverb_wet: Tensor) -> Tensor:
        """The settings nearest to given parameters of the three processors, within their bounds.

        Curves are fitted by least squares over the octaves; a knee, a side response or a decay that differs between
        frequencies has no setting and is averaged or left out.

        Args:
            params: as :meth:`params` returns them.
            reverb_wet: dry/wet weights of the reverbs, [nodes].

        Returns:
            [nodes, 10]; exact for what :meth:`params` made.
        """
        gains = params["equalizer"] @ self.fit.to(params["equalizer"]).mT
        threshold, ratio, time = (self.compressor.get(params["compressor"], name) for name in _COMPRESSOR)
        initial = self.reverb.get(params["reverb"], "initial_db")[:, : self.reverb.bands]
        decay = self.reverb.get(params["reverb"], "decay_db_per_s")[:, : self.reverb.bands]
        tilt = self.tilt.to(initial) - self.tilt.mean().to(initial)
        slope = (initial * tilt).sum(1, keepdim=True) / tilt.square().sum()
        rt60_ms = -60000 / decay.mean(1, keepdim=True).clamp(max=-1.0)
        found = torch.cat([gains, threshold, ratio, time, reverb_wet[:, None], rt60_ms, slope], dim=1)
        low, high = (bound.to(found) for bound in STRIP_TYPE.bounds())
        return found.clamp(low, high)

    def forward(self, audio: Tensor, settings: Tensor) -> Tensor:
        """The true chain, [nodes, 2, samples] -> the same."""
        params = self.params(settings)
        signal = self.compressor(self.equalizer(audio, params["equalizer"]), params["compressor"])
        wet = _get(settings, "reverb_wet")[:, :, None]
        return torch.lerp(signal, self.reverb(signal, params["reverb"]), wet.to(signal.dtype))

    def graph(self, settings: Tensor, names: Sequence[str] | None = None) -> MixGraph:
        """The true chain as a graph: for each row of settings in -> equalizer -> compressor -> reverb -> out.

        Args:
            settings: [tracks, 10].
            names: of the tracks; numbers if not given.

        Raises:
            GraphError: another number of names than settings.
        """
        tracks = settings.size(0)
        labels = [str(row) for row in range(tracks)] if names is None else list(names)
        if len(labels) != tracks:
            raise GraphError(f"there are {tracks} rows of settings for {len(labels)} tracks; give one for each.")
        graph = MixGraph(self.rack().types, self.sample_rate)
        inputs = [graph.add("in", name=label) for label in labels]
        chains = [[graph.add(letter) for letter in "ecr"] for _ in inputs]
        out = graph.add("out", name="mix")
        for source, chain in zip(inputs, chains, strict=True):
            graph.chain(source, *chain, out)
        graph.params = {name: values.to(graph.wet) for name, values in self.params(settings).items()}
        wet = _get(settings, "reverb_wet")[:, 0].to(graph.wet)
        graph.wet = graph.wet.index_copy(0, graph.nodes_of("reverb"), wet)
        return graph

    def rack(self) -> Rack:
        """The three processors."""
        return Rack([self.equalizer, self.compressor, self.reverb])


_COMPRESSOR = ("threshold_db", "ratio", "time_ms")


def equalizer_curves(frequency: Tensor) -> Tensor:
    """What one dB of each of the four gains does at these frequencies in Hz, [4, frequencies]."""
    octaves = frequency.clamp(min=1.0).log2()
    bells = [torch.exp(-0.5 * ((octaves - torch.tensor(hz).log2()) / BELL_OCTAVES).square()) for hz in BELLS_HZ]
    low = 1 / (1 + (frequency / LOW_SHELF_HZ).square())
    high = 1 - 1 / (1 + (frequency / HIGH_SHELF_HZ).square())
    return torch.stack([low, *bells, high])


def tilt_curve(frequency: Tensor) -> Tensor:
    """-1 from four octaves below the pivot downwards, 1 from four above upwards, straight over the octaves between."""
    octaves = (frequency.clamp(min=1.0) / TILT_PIVOT_HZ).log2()
    return (octaves / TILT_OCTAVES).clamp(-1, 1)


def _get(settings: Tensor, name: str) -> Tensor:
    return settings[:, STRIP_TYPE.columns(name)]
