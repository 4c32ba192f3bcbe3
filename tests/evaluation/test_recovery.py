"""Metrics against a true graph: by hand on consoles of two tracks, and laws over generated ones."""

import math

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.errors import GraphError
from graphmix.evaluation.chains import CONSOLE_ORDER, Piece, canonical, take_apart
from graphmix.evaluation.recovery import (
    TypeScore,
    _chain_bound,
    _chain_distance,
    _change,
    _path,
    combine,
    compare,
    empty_answer,
    full_answer,
)
from graphmix.graph.editing import bypass_nodes
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer

RATE = 30000
RACK = Rack.console("ecnsgdr", RATE)
BINS = RACK["equalizer"].node_type.width
Chain = list[tuple[str, dict]]
GAIN = ("gain", {"gain_db": [-6.0, -3.0]})
LEVEL = ("gain", {"gain_db": 4.0})
TILT = ("equalizer", {"gain_db": torch.linspace(-6, 6, BINS).tolist()})
SQUASH = ("compressor", {"threshold_db": -30.0, "ratio": 4.0, "knee_db": 6.0, "time_ms": 20.0})
WIDER = ("imager", {"side_db": 6.0})
ROOM = ("reverb", {"wet": 0.2})
ECHO = ("delay", {"wet": 0.1})


def console(kick: Chain, snare: Chain, bus: Chain, bass: Chain = (), bass_bus: Chain = ()) -> MixGraph:  # type: ignore[assignment]
    """Two tracks on a bus, and a bass alone on another."""
    graph = MixGraph(RACK.types, RATE)
    out = graph.add("out", name="mix")
    for name, tracks, chain in (
        ("drums", {"kick.wav": kick, "snare.wav": snare}, bus),
        ("low", {"bass.wav": bass}, bass_bus),
    ):
        mix = graph.add("mix", name=name)
        for track, own in tracks.items():
            graph.chain(graph.add("in", name=track), *(graph.add(kind, **values) for kind, values in own), mix)
        graph.chain(mix, *(graph.add(kind, **values) for kind, values in chain), out)
    return graph


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


# --- parameters


def test_parameter_errors_in_their_units() -> None:
    true = console(
        [SQUASH, ("gain", {"gain_db": [-6.0, -6.0]})],
        [WIDER, ("reverb", {"wet": 0.3, "decay_db_per_s": -60.0})],
        [("delay", {"wet": 0.2, "delay_ms": [100.0 * k + 30 for k in range(20)] * 2})],
    )
    found = console(
        [
            ("compressor", {"threshold_db": -27.0, "ratio": 6.0, "knee_db": 8.0, "time_ms": 35.0}),
            ("gain", {"gain_db": [-2.0, -4.0]}),
        ],
        [("imager", {"side_db": 4.5}), ("reverb", {"wet": 0.25, "decay_db_per_s": -120.0})],
        [("delay", {"wet": 0.15, "delay_ms": [100.0 * k + 37 for k in range(20)] * 2})],
    )
    errors = {key: values[0] for key, values in compare(true, found).errors.items()}
    expected = {
        ("compressor", "threshold_db"): 3.0, ("compressor", "ratio"): 2.0, ("compressor", "knee_db"): 2.0,
        ("compressor", "time_ms"): 15.0, ("compressor", "wet"): 0.0, ("gain", "level_db"): 3.0,
        ("gain", "balance_db"): 1.0, ("imager", "side_db"): 1.5, ("reverb", "rt60_ms"): 500.0,
        ("reverb", "wet"): 0.05, ("delay", "echo_ms"): 7.0, ("delay", "wet"): 0.05,
    }  # fmt: skip
    assert errors.keys() == expected.keys()
    for key, value in expected.items():
        assert errors[key] == pytest.approx(value, abs=1e-4), key


def test_a_flat_gain_may_be_the_equalizers() -> None:
    flat = ("equalizer", {"gain_db": (torch.linspace(-6, 6, BINS) + 5).tolist()})
    lower = ("compressor", {**SQUASH[1], "threshold_db": -25.0})
    true, found = console([TILT, SQUASH, LEVEL], [], []), console([flat, lower, ("gain", {"gain_db": -1.0})], [], [])
    errors = compare(true, found).errors
    assert errors["equalizer", "shape_db"][0] < 1e-4
    assert errors["compressor", "threshold_db"][0] < 1e-3
    assert errors["gain", "level_db"][0] < 1e-3


def test_the_corner_of_a_low_cut_is_found() -> None:
    def cut(corner_hz: float) -> tuple[str, dict]:
        hz = torch.arange(BINS).clamp(min=1) * (RATE / (2 * BINS - 1))
        return "equalizer", {"gain_db": (-10 * torch.log10(1 + (corner_hz / hz) ** 4)).clamp(min=-36).tolist()}

    errors = compare(console([cut(120)], [], []), console([cut(160)], [], [])).errors
    assert errors["equalizer", "low_cut_hz"][0] == pytest.approx(40, abs=8)
    assert ("equalizer", "low_cut_hz") not in compare(console([TILT], [], []), console([TILT], [], [])).errors


# --- edit distance


def test_edit_distance_by_hand() -> None:
    true = console([TILT, SQUASH], [GAIN], [])
    assert compare(true, console([SQUASH], [GAIN], [])).edit_distance == 1 + 2 + 1  # a node, its edges, one anew
    assert compare(true, console([TILT, WIDER], [GAIN], [])).edit_distance == 1  # another type
    assert compare(true, console([SQUASH, TILT], [GAIN], [])).edit_distance == 2  # two other types
    assert _chain_distance((), ("gain",), 1.0) == (4.0, True)


kinds = st.lists(st.sampled_from(CONSOLE_ORDER[:4]), max_size=4).map(tuple)


@given(kinds, kinds)
@settings(max_examples=40, deadline=None)
def test_edit_distance_is_symmetric_and_below_its_bound(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    there, back = _chain_distance(one, other, 10.0), _chain_distance(other, one, 10.0)
    assert there[0] == back[0] <= _chain_bound(one, other)
    assert (there[0] == 0) == (one == other)


def test_chain_by_chain_is_the_distance_of_the_whole_graph() -> None:
    """Against networkx on the disjoint union of two chains, places in the labels."""
    true, found = [("gain", "reverb"), ("compressor",)], [("gain",), ("equalizer", "compressor")]
    whole = []
    for chains in (true, found):
        union = nx.DiGraph()
        for place, chain in enumerate(chains):
            part = nx.relabel_nodes(_path(chain), lambda node, place=place: (place, node))
            nx.set_node_attributes(part, place, "place")
            union = nx.union(union, part)
        whole.append(union)

    def cost(one: dict, other: dict) -> float:
        return _change(one, other) if one["place"] == other["place"] else 1000.0

    expected = nx.graph_edit_distance(*whole, node_subst_cost=cost)
    assert expected == sum(_chain_distance(a, b, 10.0)[0] for a, b in zip(true, found, strict=True))


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


# --- taking apart


def test_no_console_is_refused() -> None:
    graph = MixGraph(RACK.types, RATE)
    voice, gain, out = graph.add("in", name="voice"), graph.add("gain", gain_db=3.0), graph.add("out")
    graph.chain(voice, gain, out).connect(voice, out)
    with pytest.raises(GraphError, match="leads to 2 nodes: this graph is no console"):
        take_apart(graph)


def test_bypassed_nodes_are_absent() -> None:
    graph = console([GAIN, ROOM], [], [])
    silent = bypass_nodes(graph, graph.nodes_of("reverb"))
    assert take_apart(silent).kinds("track kick.wav") == ("gain",)


pieces = st.sampled_from(
    [
        Piece("gain", 1.0, {"gain_db": torch.tensor([-6.0, -3.0]).double()}),
        Piece("gain", 0.5, {"gain_db": torch.tensor([4.0, 4.0]).double()}),
        Piece("imager", 1.0, {"side_db": torch.tensor([6.0]).double()}),
        Piece("compressor", 1.0, {"ratio": torch.tensor([4.0]).double()}),
        Piece("reverb", 0.2, {}),
        Piece("delay", 0.0, {}),
    ]
)


@given(st.lists(pieces, max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_canonical_form_is_canonical(chain: list[Piece]) -> None:
    once = canonical(chain)
    twice = canonical(once)
    assert [piece.kind for piece in once] == [piece.kind for piece in twice]
    assert all(torch.equal(a.values[k], b.values[k]) for a, b in zip(once, twice, strict=True) for k in a.values)
    assert all(piece.wet > 0 for piece in once)
    assert len(once) <= len(chain)
