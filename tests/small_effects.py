"""Small captured effects: an overdrive without controls, and a pedal with two."""

from pathlib import Path

import torch

from graphmix.models.effects import build_effect, save_effect
from graphmix.models.effects.grey_box import GreyBoxEffect
from tests.small_song import RATE


def write_amp(folder: Path, name: str = "amp", drive: float = 2.0, rate: int = RATE) -> Path:
    """A waveshaper, in closed form: tanh(4 x) / 2 after some drive in nepers."""
    model = build_effect({"model": "grey_box", "sample_rate": rate, "taps": 4, "points": 257, "dynamics": False})
    assert isinstance(model, GreyBoxEffect), "as it was asked for"
    with torch.no_grad():
        model.curves[0] = torch.tanh(4 * model.axis) / 2
        model.gains[0] = drive - 1
    return save_effect(model, _file(folder, name))


def write_pedal(folder: Path, name: str = "pedal", rate: int = RATE, seed: int = 0) -> Path:
    """A recurrent network with random weights, and controls with units."""
    controls = [{"name": "drive_db", "low": 0, "high": 24, "unit": "dB"}, {"name": "tone", "low": 0, "high": 10}]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_effect({"model": "lstm", "hidden": 4, "sample_rate": rate, "controls": controls})
    return save_effect(model, _file(folder, name))


def _file(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.safetensors"
