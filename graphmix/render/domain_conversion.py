"""Signals on their way into the domain of a stage: transforms, cuts, and sums."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from graphmix.dsp.fft import irfft, rfft
from graphmix.render.schedule import Plan


class Arrival(NamedTuple):
    """The summed signals of a :class:`graphmix.render.schedule.Flow`.

    Args:
        fft_group: of the spectra, None for samples.
        cut: of these spectra only the segment and the plan's margins are kept.
        rows: which rows of the stage receive them, or None for all, [size].
        slots: the same among the rows that receive something transformed, or None for all of these, [size].
        signal: [size, 2, samples or bins].
    """

    fft_group: int | None
    cut: bool
    rows: Tensor | None
    slots: Tensor | None
    signal: Tensor


def convert(
    plan: Plan, own: int | None, arrivals: Sequence[Arrival], entering: Tensor | None, size: int, samples: int
) -> Tensor:
    """The sum of all that comes in, in the domain of the receiving stage; linear in the signals.

    Signals are summed as samples and transformed once, whatever they come from.

    Args:
        plan: has the FFT lengths and the margin.
        own: FFT group of the stage, None in the time domain.
        arrivals: at least one.
        entering: rows of a spectral stage that receive something transformed, or None for all.
        size: rows of the stage.
        samples: of a segment.

    Returns:
        [size, 2, samples or bins]
    """
    as_is = [a for a in arrivals if a.fft_group == own and not a.cut]
    others = [a for a in arrivals if a.fft_group != own or a.cut]
    parts = [_spread(a.signal, a.rows, size) for a in as_is]
    if others:
        margin = plan.margin if any(a.cut for a in others) else 0
        count = size if entering is None else len(entering)
        waves = _add(_spread(_samples(plan, a, samples, margin), a.slots, count) for a in others)
        if own is not None:
            waves = _spread(rfft(waves, plan.n_fft(own, samples), margin), entering, size)
        parts.append(waves)
    return _add(parts)


def _samples(plan: Plan, arrival: Arrival, samples: int, margin: int) -> Tensor:
    """The segment and the margins, [size, 2, margin + samples + margin]."""
    if arrival.fft_group is not None:
        return irfft(arrival.signal, plan.n_fft(arrival.fft_group, samples), samples + 2 * margin, margin)
    return pad(arrival.signal, (margin, margin)) if margin else arrival.signal


def _spread(signal: Tensor, rows: Tensor | None, size: int) -> Tensor:
    """Signals in their rows among silent ones."""
    return signal if rows is None else signal.new_zeros(size, *signal.shape[1:]).index_copy(0, rows, signal)


def _add(signals: Iterable[Tensor]) -> Tensor:
    first, *others = signals
    for signal in others:
        first = torch.add(first, signal)
    return first
