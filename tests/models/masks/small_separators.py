"""Separators that are small enough for tests: each network on each representation."""

from typing import Any

import torch

from graphmix.models.masks import MaskEstimator, build_separator

RATE = 8000
REPRESENTATIONS: dict[str, dict[str, Any]] = {
    "stft": {"kind": "stft", "n_fft": 128, "hop": 32},
    "mel": {"kind": "mel", "n_fft": 256, "hop": 64, "bands": 20},
    "constant_q": {"kind": "constant_q", "low_hz": 100.0, "bins_per_octave": 5},
}
_RECURRENT = {"hidden": 6, "layers": 2}
NETWORKS: dict[str, dict[str, Any]] = {
    "mask_inference": {"recurrent": _RECURRENT},
    "chimera": {"recurrent": _RECURRENT, "embedding": 4},
    "open_unmix": {"hidden": 8, "layers": 2, "bandwidth_hz": 3000.0},
    "band_split": {"bands": 6, "features": 5, "layers": 2, "recurrent_hidden": 4, "mask_hidden": 6},
    "unet": {"width": 3, "levels": 3, "most": 8},
}


def small_separator(model: str, representation: str = "stft", **changes: Any) -> MaskEstimator:
    """A separator with random weights, in evaluation mode; the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = {"model": model, "sources": ["drums", "rest"], "sample_rate": RATE}
        config |= {"representation": REPRESENTATIONS[representation], **NETWORKS[model], **changes}
        return build_separator(config).eval()
