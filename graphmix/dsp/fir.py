"""Zero-phase FIR filters from log-magnitudes (equation 12 of the pruning paper)."""

import torch
from torch import Tensor


def odd_taps(seconds: float, sample_rate: int) -> int:
    """The odd number of taps nearest to a duration.

    Example:
        >>> odd_taps(2047 / 30000, 30000), odd_taps(2047 / 30000, 44100)
        (2047, 3009)
    """
    return 2 * round((seconds * sample_rate - 1) / 2) + 1


def zero_phase_fir(log_magnitude: Tensor, taps: int) -> Tensor:
    """FIR with a given log-magnitude, Hann-windowed, time zero in the middle.

    Args:
        log_magnitude: natural log of the amplitude at ``(taps + 1) / 2`` bins from 0 to half the sample rate,
            [..., (taps + 1) / 2].
        taps: odd length.

    Shape:
        [..., taps]
    """
    return windowed_fir(log_magnitude.exp(), taps)


def windowed_fir(magnitude: Tensor, taps: int) -> Tensor:
    """As :func:`zero_phase_fir`, from magnitudes (which may be negative)."""
    if taps % 2 == 0 or magnitude.size(-1) != (taps + 1) // 2:
        raise ValueError(f"{magnitude.size(-1)} magnitudes do not make a zero-phase FIR of {taps} taps")
    centered = torch.fft.irfft(torch.complex(magnitude, torch.zeros_like(magnitude)), n=taps).roll(taps // 2, -1)
    return centered * torch.hann_window(taps, periodic=False, dtype=magnitude.dtype, device=magnitude.device)
