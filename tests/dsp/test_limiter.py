"""The limiter: its ceiling, closed forms, its gradients, tensor operations as a second implementation, and parts."""

import math

import pytest
import torch
from torch import Tensor

from graphmix.dsp.limiter import Limiting, limit, limit_by_tensors
from graphmix.processors import Rack
from graphmix.processors.limiter import Limiter


def noise(nodes: int = 3, samples: int = 700, seed: int = 0) -> Tensor:
    """Bursts of noise between silence."""
    generator = torch.Generator().manual_seed(seed)
    audio = torch.randn(nodes, 2, samples, generator=generator, dtype=torch.float64)
    return audio * (torch.sin(torch.arange(samples) / 40) > 0.3)


def settings(lookahead: tuple[float, ...] = (3.4, 16.6, 0.2), release: float = 0.98) -> Limiting:
    nodes = len(lookahead)
    ceiling = torch.full((nodes,), math.log(0.4), dtype=torch.float64)
    return Limiting(ceiling, torch.tensor(lookahead, dtype=torch.float64), torch.full_like(ceiling, release))


def test_no_sample_passes_the_ceiling_and_signals_below_it_pass_untouched() -> None:
    audio = noise()
    limited, _ = limit(audio, settings())
    assert float(limited.abs().max()) <= 0.4 * (1 + 1e-12)
    assert float(limited.abs().max()) > 0.39
    quiet = 0.4 * audio / audio.abs().max()
    assert torch.equal(limit(quiet, settings())[0], quiet)


def test_one_peak_fades_in_over_the_look_ahead_and_decays_in_db() -> None:
    """A peak of twice the ceiling at sample 50: 6.02 dB, in tenths, then a share of each sample before it."""
    audio = torch.full((1, 2, 200), 1e-3, dtype=torch.float64)
    audio[0, 1, 50] = 0.8
    limited, _ = limit(audio, settings((9.0,), release=0.9))
    reduction = -20 * torch.log10(limited / audio)[0, 0]
    full = 20 * math.log10(2)
    assert float(reduction[50]) == pytest.approx(full)
    for n in range(10):
        assert float(reduction[41 + n]) == pytest.approx(full * (n + 1) / 10)
    held = [full * 0.9 ** max(0, n) for n in range(-9, 120)]  # at samples 41, ...
    assert float(reduction[70]) == pytest.approx(sum(held[70 - 50 : 70 - 50 + 10]) / 10)
    assert torch.equal(reduction[:41], torch.zeros(41, dtype=torch.float64))


@pytest.mark.parametrize("release", [0.0, 0.9, 0.9999])
def test_tensor_operations_give_the_same_signal_and_gradients(release: float) -> None:
    audio = noise().requires_grad_()
    found = [setting.requires_grad_() for setting in settings(release=release)]
    results = [limit(audio, Limiting(*found))[0], limit_by_tensors(audio, Limiting(*found))]
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-12)
    weights = noise(seed=1)
    inputs = (audio, *found[:2]) if release == 0 else (audio, *found)
    gradients = [torch.autograd.grad((result * weights).sum(), inputs) for result in results]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def test_gradients_agree_with_finite_differences() -> None:
    audio = noise(2, 80).requires_grad_()
    found = [setting.requires_grad_() for setting in settings((3.4, 7.7))]
    assert torch.autograd.gradcheck(lambda u, *s: limit(u, Limiting(*s))[0], (audio, *found), fast_mode=True)


def test_equal_peaks_on_both_channels_share_their_gradient() -> None:
    audio = noise(1)[:, :1].expand(-1, 2, -1).clone().requires_grad_()
    limit(audio, settings((3.4,)))[0].square().sum().backward()
    assert audio.grad is not None
    torch.testing.assert_close(audio.grad[:, 0], audio.grad[:, 1])


@pytest.mark.parametrize("cuts", [(1, 2, 3), (100, 350, 351), (699,)])
def test_parts_go_on_where_the_part_before_them_ended(cuts: tuple[int, ...]) -> None:
    limiter, audio = Limiter(3000), noise(3, 700).float()
    params = torch.tensor([[-10.0, 0.9, 30.0], [-6.0, 4.0, 5.0], [-20.0, 20.0, 200.0]])
    ahead = limiter.memory(params)[1]
    assert ahead == 60
    parts, state = [], None
    for start, stop in zip((0, *cuts), (*cuts, 700), strict=True):
        part, state = limiter.resume(audio[..., start : stop + ahead], params, state, stop - start)
        parts.append(part[..., : stop - start])
    torch.testing.assert_close(torch.cat(parts, -1), limiter(audio, params), rtol=1e-6, atol=1e-7)


def test_a_search_begins_with_the_ceiling_above_the_loudest_frame() -> None:
    limiter = Rack.standard()["limiter"]
    params = limiter.node_type.neutral().expand(3, -1).clone()
    fitted = limiter.fit_levels(params, [torch.tensor([-30.0, -20.0]), torch.zeros(0), torch.tensor([40.0])])
    assert fitted[:, 0].tolist() == [-14.0, 24.0, 24.0]
