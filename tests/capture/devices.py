"""Devices with a closed form, and recordings of them as files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy import signal

from graphmix.audio import write_audio

RATE = 16000


def music(seconds: float = 6.0, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """Noise of changing level and colour, and chirps: something to learn from."""
    rng = np.random.default_rng(seed)
    samples = round(seconds * rate)
    noise = signal.lfilter([0.3], [1, -0.7], rng.standard_normal(samples))
    levels = np.repeat(10 ** rng.uniform(-1.5, 0, -(-samples // (rate // 4))), rate // 4)[:samples]
    time = np.arange(samples) / rate
    tone = signal.chirp(time, 60, seconds, 4000, method="logarithmic")
    mixed = 0.4 * levels * (noise + 0.7 * tone)
    return (0.9 * mixed / np.abs(mixed).max()).astype(np.float32)


def saturate(x: np.ndarray) -> np.ndarray:
    return (0.5 * np.tanh(3 * x)).astype(np.float32)


def lowpass(x: np.ndarray) -> np.ndarray:
    return signal.lfilter(*signal.butter(2, 1000, fs=RATE), x).astype(np.float32)


def write_pair(
    folder: Path, device: Callable[[np.ndarray], np.ndarray], dry: np.ndarray | None = None, rate: int = RATE
) -> tuple[Path, Path]:
    """Dry and wet file of a take."""
    folder.mkdir(parents=True, exist_ok=True)
    dry = music() if dry is None else dry
    paths = folder / "dry.wav", folder / "wet.wav"
    for path, audio in zip(paths, (dry, device(dry)), strict=True):
        write_audio(path, torch.from_numpy(np.atleast_2d(audio).copy()), rate)
    return paths
