"""GRAFX 0.6 doing the work of a graphmix graph: the same nodes and edges, its own processors and renderer.

Its processors take other numbers for the same sound; :func:`to_grafx` maps graphmix's physical values to them. What
does not agree is listed in ``docs/peers.md``.
"""

import math
import warnings
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphmix.dsp.fft import good_length
from graphmix.graph import MixGraph
from graphmix.processors.reverb import reverb_fft_size, reverb_noise
from graphmix.spec import DB_PER_NEPER

with warnings.catch_warnings():  # about lfilter, FlashFFTConv and torch.jit, none of which is used here
    warnings.simplefilter("ignore")
    import grafx.processors as grafx_processors
    from grafx.data import GRAFX, NodeConfigs, convert_to_tensor
    from grafx.processors import delay as grafx_delay
    from grafx.processors import eq as grafx_eq
    from grafx.processors.core import convolution as grafx_convolution
    from grafx.render import prepare_render, render_grafx, reorder_for_fast_render

ORDER = ("equalizer", "compressor", "noisegate", "imager", "gain", "delay", "reverb")
"""The paper's chain: the fixed order in which GRAFX renders tracks, then buses."""
GAIN_STAGED = ("equalizer", "delay", "reverb")
DB_PER_LOG_ENERGY = DB_PER_NEPER / 2
_REVERB_EXPONENT = 8  # by which GRAFX divides the exponent of the reverb's mask
_THRESHOLD_OFFSET = 6  # which GRAFX subtracts from the threshold
_SMALL = 1e-9


def exact_convolve(x: Tensor, h: Tensor, mode: str = "zerophase", pad_mode: str = "min") -> Tensor:
    """Linear convolution in the place of GRAFX's, with a length at which FFTs are fast."""
    n_fft = good_length(x.size(-1) + h.size(-1) - 1)
    y = torch.fft.irfft(torch.fft.rfft(x, n=n_fft) * torch.fft.rfft(h, n=n_fft), n=n_fft)
    first = h.size(-1) // 2 if mode == "zerophase" else 0
    return y[..., first : first + x.size(-1)]


def use_convolution(convolve: object) -> object:
    """Let all of GRAFX convolve by this function; returns the one that it used before."""
    before = grafx_convolution.convolve
    for module in (grafx_convolution, grafx_eq, grafx_delay):
        module.convolve = convolve
    return before


def make_processor(name: str, sample_rate: int = 30000) -> nn.Module:
    """GRAFX's processor of the same kind, as the paper sets it."""
    with warnings.catch_warnings():  # FlashFFTConv is not installed
        warnings.simplefilter("ignore")
        match name:
            case "equalizer":
                return grafx_processors.ZeroPhaseFIREqualizer(num_magnitude_bins=1024)
            case "compressor":
                return grafx_processors.Compressor(flashfftconv=False)
            case "noisegate":
                return grafx_processors.NoiseGate(flashfftconv=False)
            case "ballistic_compressor":
                return grafx_processors.Compressor(energy_smoother="ballistics", flashfftconv=False)
            case "ballistic_gate":
                return grafx_processors.NoiseGate(energy_smoother="ballistics", flashfftconv=False)
            case "imager":
                return grafx_processors.SideGainImager()
            case "gain":
                return grafx_processors.StereoGain()
            case "delay":
                return grafx_processors.MultitapDelay(flashfftconv=False)
            case "reverb":
                return grafx_processors.STFTMaskedNoiseReverb(flashfftconv=False)
        raise KeyError(f"GRAFX has no {name!r}")


def use_same_windows_and_noise(
    name: str, processor: nn.Module, sample_rate: int = 30000, dtype: torch.dtype = torch.float32
) -> None:
    """Give a GRAFX processor graphmix's symmetric windows and fixed noise, where it has its own."""
    if name == "equalizer":
        processor.fir.window = torch.hann_window(processor.fir.fir_len, periodic=False, dtype=dtype)
    if name == "delay":
        processor.zp_filter.window = torch.hann_window(processor.zp_filter.fir_len, periodic=False, dtype=dtype)
    if name == "reverb":
        size = reverb_fft_size(sample_rate)
        window = torch.hann_window(size, dtype=torch.float64)
        noise = torch.from_numpy(reverb_noise(sample_rate))
        spectra = torch.stft(noise, size, size // 2, window=window, pad_mode="constant", return_complex=True)
        processor.window = window.to(dtype)
        processor.noise_stft = spectra[None].to(dtype.to_complex())


def to_grafx(name: str, values: Mapping[str, Tensor], sample_rate: int = 30000) -> dict[str, Tensor]:
    """Physical values [nodes, size] of one of graphmix's types as GRAFX's raw numbers for the same sound."""
    count = next(iter(values.values())).size(0)
    match name:
        case "equalizer":
            return {"log_magnitude": values["gain_db"] / DB_PER_NEPER}
        case "imager":
            return {"log_gain": values["side_db"] / DB_PER_NEPER}
        case "gain":
            return {"log_gain": values["gain_db"] / DB_PER_NEPER}
        case "compressor" | "ballistic_compressor":
            # A ratio of GRAFX's multiplies energies: 2 (1 - 1 / R) = 1 - 1 / ours.
            ratio = 2 / (1 + 1 / values["ratio"])
            return _dynamics(values, ratio, sample_rate)
        case "noisegate" | "ballistic_gate":
            return _dynamics(values, (values["ratio"] + 1) / 2, sample_rate)
        case "delay":
            segment_ms = 100.0
            angle = -2 * math.pi * (values["delay_ms"] / segment_ms)
            radius = torch.atanh(values["radius"].clamp(max=1 - 1e-6))
            z = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1)
            filters = values["filter_db"].view(count, z.size(1), -1) / DB_PER_NEPER
            return {"delay_z": z, "log_fir_magnitude": filters}
        case "reverb":
            initial = values["initial_db"].view(count, 2, -1) / DB_PER_NEPER * _REVERB_EXPONENT
            frame_s = reverb_fft_size(sample_rate) / 2 / sample_rate
            decay = -values["decay_db_per_s"].view(count, 2, -1) * (frame_s * _REVERB_EXPONENT / DB_PER_NEPER)
            raw_decay = decay.clamp(min=_SMALL).expm1().log()  # the inverse of softplus
            top = [torch.cat([x, x[..., -1:]], dim=-1) for x in (initial, raw_decay)]
            return {"init_log_magnitude": top[0], "delta_log_magnitude": top[1]}
    raise KeyError(f"GRAFX has no {name!r}")


def _dynamics(values: Mapping[str, Tensor], ratio: Tensor, sample_rate: int) -> dict[str, Tensor]:
    """What GRAFX's compressor and gate share; times are logits, of a coefficient alpha or, in pairs, of 1 - alpha.

    The first of a pair is for falling energy (torchcomp's recursion, whose "attack" is that of a falling gain).
    """
    logits = {
        key: torch.logit(torch.exp(-1000.0 / (values[key].double() * sample_rate))).to(ratio.dtype)
        for key in ("time_ms", "attack_ms", "release_ms")
        if key in values
    }
    one = "time_ms" in values
    return {
        "log_threshold": values["threshold_db"] / DB_PER_LOG_ENERGY + _THRESHOLD_OFFSET,
        "log_ratio": (ratio - 1).clamp(min=_SMALL).log(),
        "log_knee": (values["knee_db"] / DB_PER_LOG_ENERGY).log(),
        "z_alpha_pre": logits["time_ms"] if one else -torch.cat([logits["release_ms"], logits["attack_ms"]], dim=1),
    }


class GrafxConsole(nn.Module):
    """A graph of the paper's seven processors, rendered by GRAFX in the paper's fixed order.

    Args:
        graph: whose structure, settings and weights to take over.
    """

    def __init__(self, graph: MixGraph) -> None:
        super().__init__()
        kinds = [name for name in ORDER if len(graph.nodes_of(name))]
        configs = NodeConfigs(list(ORDER))
        peer = GRAFX(config=configs)
        for node in range(graph.num_nodes):
            peer.add(graph.type_of(node).name, name=node)
        for source, target in graph.edge_index.T.tolist():
            peer.connect(source, target)
        order = [configs.node_type_to_index[kind] for kind in ("in", *ORDER, "mix", *ORDER, "out")]
        peer = reorder_for_fast_render(peer, method="fixed", fixed_order=order)
        nodes = torch.tensor([peer.nodes[i]["name"] for i in range(graph.num_nodes)])
        self.render_data = prepare_render(convert_to_tensor(peer))
        self.processors = nn.ModuleDict()
        self.settings = nn.ParameterDict()
        rows = graph.rows()
        for kind in kinds:
            processor = make_processor(kind, graph.sample_rate)
            use_same_windows_and_noise(kind, processor, graph.sample_rate)
            if kind in GAIN_STAGED:
                processor = grafx_processors.GainStagingRegularization(processor)
            self.processors[kind] = grafx_processors.DryWet(processor)
            mine = nodes[[graph.type_of(int(node)).name == kind for node in nodes]]
            params = graph.params[kind][rows[mine]]
            node_type = graph.types.by_letter(kind)
            values = {p.name: params[:, node_type.columns(p.name)] for p in node_type.parameters}
            raw = to_grafx(kind, values, graph.sample_rate)
            self.settings[kind] = nn.ParameterDict({key: nn.Parameter(value) for key, value in raw.items()})
        is_source = [graph.type_of(int(node)).name == "in" for node in nodes]
        self.source_rows = rows[nodes[is_source]]
        self.in_order = bool((self.source_rows == torch.arange(len(self.source_rows))).all())
        self.weight_logits = nn.Parameter(torch.logit(graph.wet[nodes].clamp(1e-6, 1 - 1e-6)))

    def forward(self, sources: Tensor, gradients: bool = True) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """Sources [tracks, 2, samples] in graphmix's order -> the mix, and what processors return besides."""
        mix, intermediates, _ = render_grafx(
            self.processors,
            sources if self.in_order else sources[self.source_rows],
            self.settings,
            self.render_data,
            common_parameters={"drywet_weight": torch.sigmoid(self.weight_logits)},
            parameters_grad=gradients,
        )
        return mix, intermediates


class PeerLoss(nn.Module):
    """The audio loss as the paper's code computes it, with the filters of auraloss and librosa.

    Left, right, mid and side of prediction and target go as one batch through the A-weighting and the STFT of each
    resolution; magnitudes through the mel filters; then spectral convergence and the mean difference of logarithms.
    """

    def __init__(self, sample_rate: int, fft_sizes: tuple[int, ...] = (512, 1024, 4096), num_mels: int = 96) -> None:
        super().__init__()
        import librosa
        from auraloss.perceptual import FIRFilter

        self.fft_sizes = fft_sizes
        taps = FIRFilter(filter_type="aw", fs=sample_rate, ntaps=101).fir.weight.detach()
        self.register_buffer("taps", taps)
        for size in fft_sizes:
            mel = librosa.filters.mel(sr=sample_rate, n_fft=size, n_mels=num_mels)
            self.register_buffer(f"mel_{size}", torch.from_numpy(mel))
            self.register_buffer(f"window_{size}", torch.hann_window(size))

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Stereo [1, 2, samples] each -> a number."""
        signals = [x[0] for x in (prediction, target)]
        four = torch.cat([torch.cat([x, x[:1] + x[1:], x[:1] - x[1:]]) for x in signals])
        return torch.stack([self._resolution(four, size) for size in self.fft_sizes]).mean()

    def _resolution(self, signals: Tensor, size: int) -> Tensor:
        weighted = F.conv1d(signals[:, None], self.get_buffer("taps"), padding=50)[:, 0]
        window = self.get_buffer(f"window_{size}")
        spectra = torch.stft(weighted, size, size // 4, window=window, return_complex=True)
        magnitudes = (spectra.real.square() + spectra.imag.square()).clamp(min=1e-4).sqrt()
        predicted, wanted = (self.get_buffer(f"mel_{size}") @ magnitudes).chunk(2)
        norms = [torch.linalg.vector_norm(x, dim=(1, 2)) for x in (predicted - wanted, wanted)]
        logs = (predicted.log() - wanted.log()).abs().mean((1, 2))
        return (norms[0] / norms[1] + logs).mean()
