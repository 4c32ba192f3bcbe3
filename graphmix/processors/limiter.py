"""Look-ahead limiters, for the chain behind the sum."""

from dataclasses import replace

import torch
from torch import Tensor

from graphmix.dsp.envelope import coefficient
from graphmix.dsp.limiter import Limiting, limit, limit_by_tensors
from graphmix.dsp.true_peak import REACH, SILENCE, true_peaks
from graphmix.processors.base import Processor, State
from graphmix.processors.dynamics import FORGOTTEN_AFTER
from graphmix.spec import DB_PER_NEPER, Exponential, Linear, NodeType, ParameterSpec

CREST_DB = 6.0
"""Above the loudest frame a search begins with the ceiling: a few peaks reach it, so that it has a gradient."""


class Limiter(Processor):
    r"""A limiter that no sample passes: :math:`|y| \leq c` on both channels, with one gain for both.

    The reduction that a peak needs is known a *look-ahead* before it and fades in over that time as a moving mean in
    dB; after it the reduction falls exponentially in dB. See :mod:`graphmix.dsp.limiter` for the equations. There is no
    latency: the look-ahead is into the future of the signal. Feed-forward design with maximum filter and moving mean,
    as in Giannoulis et al. (2012), section on peak detection, and usual for mastering limiters.

    Params:
        ceiling_db   [nodes, 1]: largest sample value that passes, in dB re full scale.
        lookahead_ms [nodes, 1]: time over which a reduction fades in.
        release_ms   [nodes, 1]: time constant of its fall.

    Shape:
        audio [nodes, 2, samples] -> the same.

    Not for: peaks between samples, which may pass the ceiling; see :class:`TruePeakLimiter`.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        ceiling = ParameterSpec("ceiling_db", 1, "dB", -60.0, 24.0, 24.0, Linear(DB_PER_NEPER))
        lookahead = ParameterSpec("lookahead_ms", 1, "ms", 0.05, 20.0, 5.0, Exponential())
        release = ParameterSpec("release_ms", 1, "ms", 1.0, 2000.0, 60.0, Exponential())
        self.node_type = NodeType("limiter", "l", (ceiling, lookahead, release))

    def fit_levels(self, params: Tensor, levels_db: list[Tensor]) -> Tensor:
        """Put each ceiling a little above the loudest frame at the node's input."""
        params = params.clone()
        column = self.node_type.columns("ceiling_db")
        (low, high) = (bound[column] for bound in self.node_type.bounds())
        for row, levels in enumerate(levels_db):
            if levels.numel():
                params[row, column] = (levels.max() + CREST_DB).to(params).clamp(low, high)
        return params

    def memory(self, params: Tensor) -> tuple[int, int]:
        """Until the longest release has forgotten; it looks ahead."""
        reach = self._limiting(params).reach
        longest_ms = float(self.get(params, "release_ms").max()) if params.numel() else 0.0
        return round(FORGOTTEN_AFTER * longest_ms * self.sample_rate / 1000) + reach, reach

    @property
    def resumable(self) -> bool:
        """The reductions before a part are all that it needs to know."""
        return True

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal; the state is the reductions before it in nepers, [nodes, samples]."""
        limiting = self._limiting(params)
        y, reductions = limit(audio.cpu(), limiting, None if state is None else state[0])
        return y.to(audio.device), (reductions[:, mark : mark + limiting.reach + 1],)

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        limiting = self._limiting(params)
        return limit(audio, limiting)[0] if audio.device.type == "cpu" else limit_by_tensors(audio, limiting)

    def _limiting(self, params: Tensor) -> Limiting:
        samples = self.get(params, "lookahead_ms")[:, 0].double() * (self.sample_rate / 1000)
        release = coefficient(self.get(params, "release_ms"), self.sample_rate)[:, 0]
        return Limiting(self.get(params, "ceiling_db")[:, 0].double() / DB_PER_NEPER, samples, release)


class TruePeakLimiter(Limiter):
    r"""A :class:`Limiter` for the peaks between samples, which a converter or a lossy codec brings to light.

    .. math:: d[n] = \max(0, \ln \hat p[n] - \ln c)

    in the place of the peak of the samples, with the true peak :math:`\hat p` of :mod:`graphmix.dsp.true_peak`: the
    signal at eight times its rate. True peaks stay within 0.15 dB of the ceiling for what lies below 0.45 of the sample
    rate.

    Params:
        ceiling_db   [nodes, 1]: largest true peak that passes, in dB re full scale (dBTP).
        lookahead_ms, release_ms [nodes, 1]: as of :class:`Limiter`.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        self.node_type = replace(self.node_type, name="true_peak_limiter", letter="")

    def memory(self, params: Tensor) -> tuple[int, int]:
        """As of the limiter, and as far as its interpolation reaches."""
        before, ahead = super().memory(params)
        return before + REACH, ahead + REACH

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal; the state is that of the limiter, and the samples before, [nodes, 2, 12]."""
        limiting = self._limiting(params)
        samples = audio.new_zeros(*audio.shape[:2], REACH) if state is None else state[1]
        longer = torch.cat([samples, audio], dim=-1)
        peaks = true_peaks(longer)[:, REACH:].cpu()
        y, reductions = _limited(audio.cpu(), peaks, limiting, None if state is None else state[0])
        after = reductions[:, mark : mark + limiting.reach + 1], longer[..., mark : mark + REACH]
        return y.to(audio.device), after

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        return _limited(audio, true_peaks(audio), self._limiting(params), None)[0]


def _limited(audio: Tensor, peaks: Tensor, limiting: Limiting, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """Limit by given peaks: a limiter of the peaks themselves says by how much. With its reductions on the CPU."""
    peaks = peaks.clamp(min=SILENCE)
    pair = peaks[:, None].expand(-1, 2, -1)
    if audio.device.type == "cpu":
        limited, reductions = limit(pair, limiting, before)
    else:
        limited, reductions = limit_by_tensors(pair, limiting), peaks[:, :0]
    return audio * (limited[:, :1] / pair[:, :1]), reductions
