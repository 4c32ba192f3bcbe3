"""How good are the gradients that reach what lies before a plugin?

The derivative of the search's loss with respect to a gain, and to the treble, of the input of one of pedalboard's
effects, by three estimates of the gradient of the audio, each divided by the derivative from finite differences of the
whole: time reversal (graphmix), per-sample perturbation (Ramírez et al. 2021), and simultaneous perturbation of all
samples (Spall 1992). Medians over draws, and half of the range from the 16th to the 84th percentile.

    python benchmarks/plugin_gradients.py
"""

import argparse
from collections.abc import Callable

import numpy as np
import pedalboard
import torch
from scipy.signal import lfilter

from graphmix.processors import PluginEffect, plugin_effect
from graphmix.search import MixLoss

RATE = 30000
SECONDS = 2
EFFECTS = ("Compressor", "HighpassFilter", "LowpassFilter", "Distortion", "Delay", "Reverb")
STEP = 1e-2
Array = np.ndarray


def music() -> Array:
    """Noise of changing level and colour, [2, samples]."""
    rng = np.random.default_rng(0)
    levels = np.repeat(10 ** rng.uniform(-1.5, 0, 8 * SECONDS), RATE // 8)
    return (0.3 * levels * lfilter([0.3], [1, -0.7], rng.standard_normal((2, len(levels))))).astype(np.float32)


def louder(x: Array, amount: float) -> Array:
    return ((1 + amount) * x).astype(np.float32)


def brighter(x: Array, amount: float) -> Array:
    return (x + amount * np.diff(x, axis=1, prepend=0)).astype(np.float32)


def sampled(render: Callable[[Array], Array], x: Array, gradient: Array, seed: int) -> tuple[Array, Array]:
    """The per-sample and the simultaneous estimate from one draw of signs."""
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=x.shape)
    step = STEP * np.sqrt(np.mean(x**2)) * signs
    difference = render((x + step).astype(np.float32)).astype(np.float64) - render((x - step).astype(np.float32))
    return gradient * difference / (2 * step), np.vdot(gradient, difference) / (2 * step)


def ratios(effect: PluginEffect, change: Callable[[Array, float], Array], draws: int) -> list[Array]:
    """Estimate divided by truth: one number, and one for each draw of both others."""
    x, loss = music(), MixLoss(RATE)
    params = torch.tensor([effect.host.start])

    def render(wave: Array) -> Array:
        return effect.host.render(wave, effect.host.start)

    target = torch.from_numpy(render(brighter(louder(x, -0.4), 0.3)))[None]

    def measure(out: torch.Tensor) -> torch.Tensor:
        return loss(prediction=out, target=target).total

    above, below = (float(measure(torch.from_numpy(render(change(x, s)))[None])) for s in (STEP, -STEP))
    truth = (above - below) / (2 * STEP)
    tangent = (change(x, 1e-3).astype(np.float64) - change(x, -1e-3)) / 2e-3
    wave = torch.from_numpy(x)[None].requires_grad_()
    out = effect(wave, params)
    out.retain_grad()
    measure(out).backward()
    assert out.grad is not None
    assert wave.grad is not None
    gradient = out.grad[0].numpy().astype(np.float64)
    pairs = [sampled(render, x, gradient, seed) for seed in range(draws)]
    reversal = np.array([np.vdot(wave.grad[0].numpy(), tangent)])
    others = [np.array([np.vdot(pair[k], tangent) for pair in pairs]) for k in (0, 1)]
    return [values / truth for values in (reversal, *others)]


def cell(values: Array) -> str:
    low, middle, high = np.percentile(values, (16, 50, 84))
    return f"{middle:.3f}" if len(values) == 1 else f"{middle:.2f} ± {(high - low) / 2:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20, help="of random signs")
    draws = parser.parse_args().draws
    print(f"torch {torch.__version__}, pedalboard {pedalboard.__version__}, {draws} draws\n")
    print("| plugin | change | time reversal | per-sample perturbation | all samples at once |\n|---|---|---|---|---|")
    for name in EFFECTS:
        effect = plugin_effect(name, "p", RATE, gradient="spsa")
        for change in (louder, brighter):
            print(
                f"| {name} | {change.__name__} | {' | '.join(map(cell, ratios(effect, change, draws)))} |", flush=True
            )


if __name__ == "__main__":
    main()
