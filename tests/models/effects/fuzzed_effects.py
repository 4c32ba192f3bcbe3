"""Effect files from strangers, ``.nam`` and ``.safetensors``: damaged and malicious ones, loaded and run as nodes.

    python fuzzed_effects.py FOLDER COUNT SEED

prints what :func:`tests.fuzzing.load_all` returns, as JSON.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from graphmix.errors import GraphmixError
from graphmix.models.effects import build_effect, captured_effect, load_effect, save_effect, save_nam
from graphmix.models.effects.effect_files import HEADER
from tests.fuzzing import Job, absurd_tensor_files, absurd_text_files, damaged, load_all, some_of

SMALL: tuple[dict[str, Any], ...] = (
    {"model": "lstm", "hidden": 3},
    {"model": "wavenet", "arrays": [{"channels": 2, "head": 1, "dilations": [1, 2]}]},
    {"model": "conv_net", "channels": 2, "dilations": [1, 2]},
    {"model": "linear", "taps": 9, "bias": True},
    {"model": "gru", "hidden": 3, "controls": [{"name": "drive", "high": 10.0}, {"name": "tone", "unit": "dB"}]},
    {"model": "feedback", "window": 4, "hidden": 4, "layers": 2},
    {"model": "grey_box", "taps": 8, "points": 5, "controls": [{"name": "drive"}]},
)
RATE = 48000


def run_effect(path: Path) -> None:
    """Load it as a node and process a little."""
    effect = captured_effect(path, "a", RATE)
    params = effect.node_type.neutral()[None]
    with torch.no_grad():
        assert effect(torch.zeros(1, 2, 64), params).shape == (1, 2, 64)


def originals(folder: Path) -> dict[str, bytes]:
    """Sound files of both kinds, by a name that tells them apart."""
    torch.manual_seed(0)
    result = {}
    for number, config in enumerate(SMALL):
        model = build_effect({**config, "sample_rate": RATE}).eval()
        paths = [save_effect(model, folder / "sound.safetensors", {"gear": {"name": "x"}})]
        if number < 4:
            paths.append(save_nam(model, folder / "sound.nam", {"name": "x"}))
        for path in paths:
            run_effect(path)
            result[f"{number}{path.suffix}"] = path.read_bytes()
            path.unlink()
    return result


def fuzzed_effects(folder: Path, ending: str, count: int, rng: random.Random) -> Iterator[Path]:
    """Write effect files, one after the other in the place of the last."""
    sound = [content for name, content in originals(folder).items() if name.endswith(ending)]
    path = folder / f"effect{ending}"
    for _ in range(count):
        path.unlink(missing_ok=True)
        path.write_bytes(damaged(rng.choice(sound), ending, rng, HEADER, "metadata"))
        yield path


def absurd_effects(folder: Path) -> Iterator[Path]:
    """Small files that ask for an enormous network, and files that need care to be refused in time."""
    yield from absurd_tensor_files(folder)
    yield from absurd_text_files(folder, ".nam")
    wide = {
        "input_size": 1, "condition_size": 1, "head_size": 512, "channels": 512, "kernel_size": 64,
        "dilations": [1 << 16] * 64, "activation": "Tanh", "gated": True, "head_bias": True,
    }  # fmt: skip
    narrow = {**wide, "head_size": 1, "channels": 1, "gated": False}
    wavenets = [
        [wide, *[{**wide, "input_size": 512}] * 14, {**wide, "input_size": 512, "head_size": 1}],
        [narrow] * 16,
        [narrow] * 10**5,
        [{**wide, "dilations": [1] * 10**5}],
    ]
    configs: list[tuple[str, dict[str, Any]]] = [
        *(("WaveNet", {"layers": layers, "head": None, "head_scale": 1.0}) for layers in wavenets),
        ("LSTM", {"input_size": 1, "hidden_size": 1024, "num_layers": 16}),
        ("ConvNet", {"channels": 512, "dilations": [1 << 16] * 64, "batchnorm": True, "activation": "Tanh"}),
        ("Linear", {"receptive_field": 1 << 20, "bias": False}),
        ("Linear", {"receptive_field": 1 << 40, "bias": False}),
    ]
    path = folder / "absurd.nam"
    for architecture, config in configs:
        content = {"version": "0.5.4", "architecture": architecture, "config": config, "weights": [0] * 1100}
        path.unlink(missing_ok=True)
        path.write_text(json.dumps(content))
        yield path
    path.write_text(
        '{"architecture": "Linear", "config": {"receptive_field": 1}, "weights": [' + "0," * 16_000_000 + "0]}"
    )
    yield path


def run(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Load all files and say what became of them."""
    rng = random.Random(seed)
    jobs: list[Job] = [
        *(
            (ending, run_effect, fuzzed_effects(folder, ending, count // 2, rng), GraphmixError)
            for ending in (".nam", ".safetensors")
        ),
        ("absurd", load_effect, some_of(absurd_effects(folder), count), GraphmixError),
    ]
    return load_all(folder, jobs)


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
