"""Small separators with random weights: their masks are arbitrary, their shapes and files are real."""

from pathlib import Path
from typing import Any

import torch

from graphmix.models.masks import MaskEstimator, build_separator, save_separator

RATE = 8000
SMALL: dict[str, Any] = {
    "model": "mask_inference",
    "sources": ("vocals", "drums"),
    "sample_rate": RATE,
    "recurrent": {"hidden": 4, "layers": 1},
    "representation": {"kind": "stft", "n_fft": 256, "hop": 64},
}


def small_separator(seed: int = 0, **changes: Any) -> MaskEstimator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_separator({**SMALL, **changes}).eval()


def write_separator(folder: Path, name: str = "pair", seed: int = 0, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return save_separator(folder / f"{name}.safetensors", small_separator(seed, **changes))
