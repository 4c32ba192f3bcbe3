r"""Transient shaper: what begins louder or softer, what rings on louder or softer, whatever the level.

Three envelopes of one energy say where in a sound it is: a fast one, one that rises slowly and one that falls slowly.
The fast one is above the first of these while something begins, and below the second while something dies away. Levels
are compared in dB, so that no threshold is needed. After the differential envelopes of the SPL Transient Designer
(1998); the equation is graphmix's own.
"""

import torch
from torch import Tensor

from graphmix.dsp.dynamics import ENERGY_FLOOR
from graphmix.dsp.envelope import coefficient, smooth
from graphmix.processors.base import Processor, State
from graphmix.processors.dynamics import FORGOTTEN_AFTER
from graphmix.spec import DB_PER_NEPER, Exponential, Linear, NodeType, ParameterSpec

FAST_MS, TAIL_MS = 1.0, 20.0
"""The fast envelope rises and falls with these."""
FULL_DB = 12.0
"""Difference of two levels at which a gain is 76 % of what is set."""


class TransientShaper(Processor):
    r"""Transient shaper: gains for the attack and for the sustain of sounds.

    .. math:: G = a \tanh \frac{L_{fast} - L_{attack}}{D} + s \tanh \frac{L_{sustain} - L_{fast}}{D}, \quad
        y = 10^{G / 20} u, \quad D = 12 \text{ dB}

    with the levels of three envelopes of the mean energy of left and right (:mod:`graphmix.dsp.envelope`): *fast* rises
    within 1 ms and falls within 20 ms, *attack* rises within ``attack_ms``, *sustain* falls within ``sustain_ms``, else
    both are as fast.

    Params:
        attack_db  [nodes, 1]: a, the gain at which a hard attack arrives; below 0 it is softened.
        sustain_db [nodes, 1]: s, the same of what dies away.
        attack_ms  [nodes, 1]: how long a sound counts as beginning.
        sustain_ms [nodes, 1]: how long as dying away.

    Shape:
        audio [nodes, 2, samples] -> the same.
    """

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        gain = 1, "dB", -24.0, 24.0, 0.0, Linear(DB_PER_NEPER)
        gains = [ParameterSpec(name, *gain) for name in ("attack_db", "sustain_db")]
        times = (
            ParameterSpec("attack_ms", 1, "ms", 2.0, 500.0, 30.0, Exponential()),
            ParameterSpec("sustain_ms", 1, "ms", 30.0, 5000.0, 300.0, Exponential()),
        )
        self.node_type = NodeType("transient_shaper", "", (*gains, *times))

    def _times(self, params: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        """Constants of rise and fall of the three envelopes, [nodes] each."""
        fast, tail = (coefficient(torch.full_like(params[:, 0], ms), self.sample_rate) for ms in (FAST_MS, TAIL_MS))
        slow, long = (coefficient(self.get(params, n)[:, 0], self.sample_rate) for n in ("attack_ms", "sustain_ms"))
        return (fast, tail), (slow, tail), (fast, long)

    def _play(self, audio: Tensor, params: Tensor, state: State | None) -> tuple[Tensor, State]:
        """The signal, and what the three envelopes are behind it."""
        energy, times = audio.square().mean(1), self._times(params)
        levels, ends = [], []
        for number, (rise, fall) in enumerate(times):
            led = energy
            if state is not None:  # one sample, after which the envelope is where it was
                led = torch.cat([(state[0][:, number] / (1 - rise))[:, None].to(energy), energy], dim=1)
            envelope = smooth(led, rise, fall)
            ends.append(envelope[:, -1:] if envelope.size(1) else envelope.new_zeros(len(envelope), 1))
            kept = envelope if state is None else envelope[:, 1:]
            levels.append((kept + ENERGY_FLOOR).log() * (DB_PER_NEPER / 2))
        fast, attack, sustain = levels
        gain_db = self.get(params, "attack_db") * ((fast - attack) / FULL_DB).tanh()
        gain_db = gain_db + self.get(params, "sustain_db") * ((sustain - fast) / FULL_DB).tanh()
        return audio * (gain_db / DB_PER_NEPER).exp()[:, None], (torch.cat(ends, dim=1).detach().double(),)

    def forward(self, audio: Tensor, params: Tensor) -> Tensor:
        """Process a batch of nodes; wet only."""
        return self._play(audio, params, None)[0]

    def memory(self, params: Tensor) -> tuple[int, int]:
        """Until the slowest envelope has forgotten; it does not look ahead."""
        times_ms = torch.cat([self.get(params, name).flatten() for name in ("attack_ms", "sustain_ms")])
        longest_ms = float(times_ms.max()) if times_ms.numel() else 0.0
        return round(FORGOTTEN_AFTER * longest_ms * self.sample_rate / 1000), 0

    @property
    def resumable(self) -> bool:
        """The three envelopes are all that it needs to know."""
        return type(self).forward is TransientShaper.forward

    def resume(self, audio: Tensor, params: Tensor, state: State | None, mark: int) -> tuple[Tensor, State]:
        """One part of a longer signal; the state is the three envelopes, [nodes, 3]."""
        if mark == 0:
            rest = torch.zeros(len(audio), 3, dtype=torch.float64)
            return self._play(audio, params, state)[0], (rest,) if state is None else state
        first, at_mark = self._play(audio[..., :mark], params, state)
        second, _ = self._play(audio[..., mark:], params, at_mark)
        return torch.cat([first, second], dim=-1), at_mark
