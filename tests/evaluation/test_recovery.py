"""Metrics against a true graph: by hand on consoles of two tracks, and laws over generated ones."""

import math

import pytest
import torch

from graphmix.evaluation.recovery import (
    TypeScore,
    combine,
    compare,
    empty_answer,
    full_answer,
)
from graphmix.graph.mixgraph import MixGraph
from graphmix.render.renderer import Renderer
from tests.evaluation.small_consoles import ECHO, GAIN, LEVEL, RACK, RATE, ROOM, SQUASH, TILT, WIDER, console


def sound(graph: MixGraph) -> torch.Tensor:
    sources = torch.randn(3, 2, 6000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return Renderer(RACK)(graph, sources)[0]


def perfect(true: MixGraph, found: MixGraph) -> bool:
    recovery = compare(true, found)
    score = recovery.all_types
    worst = max((max(values) for values in recovery.errors.values()), default=0.0)
    return score.true == score.found == score.matched and recovery.edit_distance == 0 and worst < 0.01


# --- equivalences


def test_a_graph_is_itself() -> None:
    true = console([TILT, SQUASH, GAIN], [WIDER, GAIN, ROOM], [SQUASH, LEVEL], [GAIN, ECHO])
    recovery = compare(true, true)
    assert perfect(true, true)
    assert recovery.edit_is_exact
    assert recovery.macro_f1 == 1
    assert {kind for kind, score in recovery.by_type.items() if score.true} == {
        "equalizer", "compressor", "imager", "gain", "reverb", "delay",
    }  # fmt: skip


HALF = [-3.0, -1.5]
EQUIVALENT: dict[str, tuple[MixGraph, MixGraph]] = {
    "two gains in a row are one": (
        console([GAIN], [GAIN], []),
        console([("gain", {"gain_db": HALF}), ("gain", {"gain_db": HALF})], [GAIN], []),
    ),
    "gains with an equalizer between are one": (
        console([TILT, GAIN], [], []),
        console([("gain", {"gain_db": HALF}), TILT, ("gain", {"gain_db": HALF})], [], []),
    ),
    "linear processors that commute have no order": (
        console([TILT, GAIN, ROOM], [], []),
        console([ROOM, TILT, GAIN], [], []),
    ),
    "what does nothing is absent": (
        console([GAIN], [SQUASH], []),
        console(
            [GAIN, ("equalizer", {}), ("compressor", {"ratio": 1.0})],
            [("reverb", {"wet": 0.0}), SQUASH, ("gain", {"gain_db": [3.0, -3.0], "wet": 0.0})],
            [("imager", {}), ("noisegate", {})],
        ),
    ),
    "a bus of one track is its track": (
        console([], [], [], [SQUASH, GAIN, ROOM], []),
        console([], [], [], [SQUASH], [ROOM, GAIN]),
    ),
    "a gain of the bus is one of its tracks": (
        console([("gain", {"gain_db": [-2.0, 1.0]})], [SQUASH, ("gain", {"gain_db": [0.0, 3.0]}), ROOM], [TILT]),
        console([GAIN], [SQUASH, ("gain", {"gain_db": [-4.0, -1.0]}), ROOM], [TILT, LEVEL]),
    ),
    "half wet is half as much": (
        console([("gain", {"gain_db": 20 * math.log10(1.5)})], [], []),
        console([("gain", {"gain_db": 20 * math.log10(2.0), "wet": 0.5})], [], []),
    ),
    "an imager commutes with a gain that is equal on both sides": (
        console([WIDER, LEVEL], [], []),
        console([LEVEL, WIDER], [], []),
    ),
}


@pytest.mark.parametrize("name", EQUIVALENT)
def test_what_sounds_alike_is_alike(name: str) -> None:
    true, found = EQUIVALENT[name]
    assert (sound(true) - sound(found)).abs().max() < 1e-4
    assert perfect(true, found)
    assert perfect(found, true)


DIFFERENT: dict[str, tuple[MixGraph, MixGraph]] = {
    "a compressor between": (console([SQUASH, GAIN], [], []), console([GAIN, SQUASH], [], [])),
    "an imager and panning": (console([WIDER, GAIN], [], []), console([GAIN, WIDER], [], [])),
    "a gain behind the bus's compressor": (
        console([LEVEL], [LEVEL], [SQUASH]),
        console([], [], [SQUASH, LEVEL]),
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_sounds_otherwise_is_not_alike(name: str) -> None:
    true, found = DIFFERENT[name]
    assert (sound(true) - sound(found)).abs().max() > 1e-3
    assert compare(true, found).edit_distance > 0


# --- counts


def test_precision_and_recall_by_hand() -> None:
    true = console([GAIN, ROOM], [GAIN], [SQUASH])
    found = console([GAIN, TILT], [GAIN, ("reverb", {"wet": 0.1})], [])
    by_type = compare(true, found).by_type
    assert by_type["gain"] == TypeScore(2, 2, 2, 2.0, 2.0, 2.0, 2.0)
    reverb = by_type["reverb"]
    assert (reverb.true, reverb.found, reverb.matched) == (1, 1, 0)
    assert (reverb.precision, reverb.recall, reverb.f1) == (0, 0, 0)
    assert (by_type["equalizer"].true, by_type["equalizer"].found) == (0, 1)
    assert math.isnan(by_type["equalizer"].recall)
    assert by_type["compressor"].recall == 0
    everything = compare(true, found).all_types
    assert (everything.true, everything.found, everything.matched) == (4, 4, 2)
    assert everything.precision == everything.recall == everything.f1 == 0.5
    assert compare(true, found).macro_f1 == pytest.approx(1 / 3)


def test_what_hardly_sounds_hardly_counts() -> None:
    true = console([("reverb", {"wet": 0.4})], [("reverb", {"wet": 0.02})], [])
    found = console([("reverb", {"wet": 0.3})], [], [("reverb", {"wet": 0.01})])
    score = compare(true, found).by_type["reverb"]
    assert score.recall == 0.5
    assert score.wet_recall == pytest.approx(0.4 / 0.42)
    assert score.precision == 0.5
    assert score.wet_precision == pytest.approx(0.3 / 0.31)


def test_songs_add_up() -> None:
    true, found = console([GAIN], [GAIN], []), console([GAIN], [], [])
    both = combine([compare(true, found), compare(true, true)])
    assert (both.graphs, both.all_types.true, both.all_types.matched) == (2, 4, 3)
    assert both.edit_distance == compare(true, found).edit_distance
    assert both.true_size == 2 * compare(true, true).true_size
    assert len(both.errors["gain", "level_db"]) == 3


def test_trivial_answers() -> None:
    true = console([GAIN, ROOM], [GAIN], [SQUASH], [GAIN])
    nothing, everything = compare(true, empty_answer(true)), compare(true, full_answer(true))
    assert (nothing.all_types.found, nothing.all_types.recall) == (0, 0)
    assert everything.all_types.recall == 1
    assert everything.by_type["equalizer"].found == 5  # two tracks, their bus, and the bass with its own bus
    assert everything.by_type["gain"].precision == 3 / 5
    assert nothing.edit_distance > 0
    assert everything.edit_distance > nothing.edit_distance


# --- edit distance


def test_edit_distance_by_hand() -> None:
    true = console([TILT, SQUASH], [GAIN], [])
    assert compare(true, console([SQUASH], [GAIN], [])).edit_distance == 1 + 2 + 1  # a node, its edges, one again
    assert compare(true, console([TILT, WIDER], [GAIN], [])).edit_distance == 1  # another type
    assert compare(true, console([SQUASH, TILT], [GAIN], [])).edit_distance == 2  # two other types


def test_missing_buses_cost_nodes_and_edges_and_say_that_it_is_a_bound() -> None:
    true, flat = console([GAIN], [GAIN], []), MixGraph(RACK.types, RATE)
    out = flat.add("out", name="mix")
    for track in ("kick.wav", "snare.wav", "bass.wav"):
        gains = [flat.add("gain", gain_db=[-6.0, -3.0])] if track != "bass.wav" else []
        flat.chain(flat.add("in", name=track), *gains, out)
    recovery = compare(true, flat)
    assert recovery.all_types.f1 == 1
    assert recovery.edit_distance > 0
    assert not recovery.edit_is_exact
