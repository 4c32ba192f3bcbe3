"""Processors that may change places: held against what both orders sound like."""

from typing import Any

import pytest
import torch
from torch import Tensor

from graphmix.graph.mixgraph import MixGraph
from graphmix.processors import Rack
from graphmix.rewrite.commuting import DIAGONAL, FILTERS, LEVELLED, MODULATED, commute

RATE = 16000
RACK = Rack.full(RATE)
EVEN, PANNED = {"gain_db": [-6.0, -6.0]}, {"gain_db": [-9.0, 3.0]}
SETTINGS: dict[str, dict[str, Any]] = {
    "tanh": {"drive_db": 12.0}, "compressor": {"threshold_db": -30.0, "ratio": 4.0},
    "noisegate": {"threshold_db": -30.0, "ratio": 3.0}, "transient_shaper": {"attack_db": 9.0},
    "chorus": {"depth": 0.5}, "tremolo": {"depth": 0.7}, "phaser": {"depth": 1.0},
    "parametric_eq": {"gain_db": [9.0] * 8}, "imager": {"side_db": 8.0}, "feedback_delay": {"time_ms": [40.0, 55.0]},
}  # fmt: skip
"""So that each does something; others at values that move them off neutral."""


def values_of(kind: str, own: dict[str, Any]) -> Tensor:
    graph = MixGraph((RACK[kind].node_type,), RATE)
    graph.add(kind, **own)
    return graph.params[kind]


def described(kind: str, values: Tensor) -> tuple[str, dict[str, Tensor]]:
    node_type = RACK[kind].node_type
    return kind, {p.name: values[0, node_type.columns(p.name)] for p in node_type.parameters}


def noise() -> Tensor:
    return 0.3 * torch.randn(1, 2, 8000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@torch.no_grad()
def apart(one: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]], wet: float = 0.6) -> tuple[bool, float]:
    """What `commute` says, and the difference between both orders as a share of the largest sample."""
    parts = [(kind, values_of(kind, own)) for kind, own in (one, other)]
    said = commute(*(described(kind, values) for kind, values in parts))
    sounds = []
    for order in (parts, parts[::-1]):
        audio = noise()
        for kind, values in order:
            audio = RACK[kind].mix(audio, values, torch.tensor([wet]))[0].double()
        sounds.append(audio[..., 1000:-1000])
    return said, float((sounds[0] - sounds[1]).abs().max() / sounds[0].abs().max())


def setting(kind: str) -> dict[str, Any]:
    return SETTINGS.get(kind, {})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("gain", PANNED), ("chorus", setting("chorus"))),
        (("gain", PANNED), ("phaser", setting("phaser"))),
        (("gain", PANNED), ("tremolo", setting("tremolo"))),
        (("gain", PANNED), ("feedback_delay", setting("feedback_delay"))),
        (("gain", PANNED), ("parametric_eq", setting("parametric_eq"))),
        (("gain", PANNED), ("velvet_reverb", {})),
        (("imager", setting("imager")), ("parametric_eq", setting("parametric_eq"))),
        (("feedback_delay", {"cross": 0.5}), ("parametric_eq", setting("parametric_eq"))),
        (("gain", EVEN), ("transient_shaper", setting("transient_shaper"))),
    ],
)
def test_what_commutes_sounds_the_same_in_both_orders(
    one: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]]
) -> None:
    said, difference = apart(one, other)
    assert said
    assert difference < 1e-4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("gain", PANNED), ("feedback_delay", {"cross": 0.5})),
        (("gain", PANNED), ("imager", setting("imager"))),
        (("gain", PANNED), ("tanh", setting("tanh"))),
        (("tanh", setting("tanh")), ("parametric_eq", setting("parametric_eq"))),
        (("chorus", setting("chorus")), ("parametric_eq", setting("parametric_eq"))),
        (("compressor", setting("compressor")), ("tanh", setting("tanh"))),
    ],
)
def test_what_does_not_commute_sounds_otherwise(
    one: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]]
) -> None:
    said, difference = apart(one, other)
    assert not said
    assert difference > 1e-3


@pytest.mark.parametrize(("kind", "name"), [("compressor", "threshold_db"), ("noisegate", "threshold_db")])
def test_a_threshold_takes_up_a_gain_that_is_even(kind: str, name: str) -> None:
    own = setting(kind)
    before, after = values_of(kind, own), values_of(kind, {**own, name: own[name] + 6.0})
    gain, audio = values_of("gain", EVEN), noise()
    first = RACK[kind](RACK["gain"](audio, gain), before)
    last = RACK["gain"](RACK[kind](audio, after), gain)
    torch.testing.assert_close(first, last, rtol=1e-4, atol=1e-5)
    assert commute(described("gain", gain), described(kind, before), levels=True)
    assert not commute(described("gain", gain), described(kind, before))


def test_a_drive_takes_up_a_gain_that_is_even() -> None:
    gain, audio = values_of("gain", EVEN), noise()
    first = RACK["tanh"](RACK["gain"](audio, gain), values_of("tanh", {"drive_db": 12.0}))
    last = RACK["gain"](RACK["tanh"](audio, values_of("tanh", {"drive_db": 6.0})), gain)
    torch.testing.assert_close(first, last, rtol=1e-4, atol=1e-5)


def test_all_kinds_are_types_that_there_are() -> None:
    assert set(RACK.names) >= DIAGONAL | FILTERS | MODULATED | LEVELLED
