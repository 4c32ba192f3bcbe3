"""Slots: a weighted sum of candidates, hardened to one; a chain of a known type is found among others."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch

from graphmix.audio import load_song
from graphmix.graph import MixGraph
from graphmix.graph.consoles import mixing_console
from graphmix.graph.editing import remove_nodes
from graphmix.graph.sketch import Part, Sketch
from graphmix.graph.strips import find_strips
from graphmix.processors import Rack
from graphmix.processors.send import Send
from graphmix.render import Renderer
from graphmix.search import Objective
from graphmix.search.pruning import Search
from graphmix.search.relaxation import FreeGraph, RelaxedGraph, Slot, add_slots, harden, temperature_at
from graphmix.search.relaxation_stage import (
    MOST_CANDIDATES,
    Place,
    add_relaxed_chain,
    alone,
    find_places,
    find_runs,
    relax,
)
from graphmix.search.search_state import ScoredGraph, SearchState
from graphmix.search.settings import SEARCHES
from tests.small_song import SETTINGS

RATE = 16000


def gain_part(rack: Rack, left: float, right: float) -> Part:
    return Part(rack["gain"].node_type, torch.tensor([left, right]))


@pytest.fixture(scope="module")
def gains() -> Rack:
    return Rack.console("gs", RATE).with_processor(Send(RATE))


def slotted(rack: Rack, first: int = 1) -> tuple[Sketch, list[Slot]]:
    """One input through two slots of two gains each."""
    graph = MixGraph(rack.types, RATE)
    graph.chain(graph.add("in", name="a"), graph.add("out"))
    sketch = Sketch(graph)
    parts = [gain_part(rack, 6.0, 6.0), gain_part(rack, -6.0, 0.0)]
    return sketch, add_slots(sketch, 0, [(parts, first), (parts, 0)])


def amplitudes(*weights: float) -> torch.Tensor:
    """Left and right gain of a slot by hand."""
    gain = torch.tensor([[1.0, 1.0], [10 ** (6 / 20), 10 ** (6 / 20)], [10 ** (-6 / 20), 1.0]])
    return (torch.tensor(weights)[:, None] * gain).sum(0)


def test_a_slot_is_the_weighted_sum_of_bypass_and_candidates(gains: Rack) -> None:
    sketch, slots = slotted(gains)
    graph, ids = sketch.graph()
    weights = ((0.5, 0.3, 0.2), (0.1, 0.2, 0.7))
    for slot, shares in zip(slots, weights, strict=True):
        for send, share in zip(slot.sends, shares, strict=True):
            graph.wet[ids.index(send)] = share
    audio = torch.randn(1, 2, 500, generator=torch.Generator().manual_seed(0))
    expected = audio * (amplitudes(*weights[0]) * amplitudes(*weights[1]))[None, :, None]
    torch.testing.assert_close(Renderer(gains)(graph, audio), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("choices", "kinds"), [([0, 0], 0), ([1, 0], 1), ([0, 2], 1), ([2, 1], 2)])
def test_a_hardened_slot_is_its_choice(gains: Rack, choices: list[int], kinds: int) -> None:
    sketch, slots = slotted(gains)
    assert len(harden(sketch, slots, choices)) == kinds
    graph, _ = sketch.graph()
    assert graph.node_type.numel() == 2 + kinds
    hot = [[float(k == choice) for k in range(3)] for choice in choices]
    audio = torch.randn(1, 2, 500, generator=torch.Generator().manual_seed(0))
    expected = audio * (amplitudes(*hot[0]) * amplitudes(*hot[1]))[None, :, None]
    torch.testing.assert_close(Renderer(gains)(graph, audio), expected, rtol=1e-4, atol=1e-5)


def numbered(sketch: Sketch, slots: list[Slot]) -> tuple[MixGraph, list[Slot]]:
    graph, ids = sketch.graph()
    number = ids.index
    return graph, [
        Slot(tuple(map(number, s.candidates)), tuple(map(number, s.sends)), number(s.mix), s.first) for s in slots
    ]


def test_weights_sum_to_one_and_grow_one_hot_as_the_temperature_falls(gains: Rack) -> None:
    graph, slots = numbered(*slotted(gains))
    raw = RelaxedGraph(graph, gains, True, slots)
    assert [temperature_at(x) for x in (0.0, 1.0)] == [1.0, pytest.approx(0.1)]
    before = raw.shares().detach()
    torch.testing.assert_close(before.sum(1), torch.ones(2))
    assert before.argmax(1).tolist() == [1, 0]
    torch.testing.assert_close(before.amax(1), torch.full((2,), 0.9))
    raw.temperature = 0.1
    assert float(raw.shares().detach().amin(1).max()) < 1e-6
    assert float(raw.shares().detach().amax(1).min()) > 0.999


def test_noise_follows_from_seed_and_step_and_leaves_snapshots_alone(gains: Rack) -> None:
    graph, slots = numbered(*slotted(gains))

    def wet(step: int, seed: int = 1) -> torch.Tensor:
        raw = RelaxedGraph(graph, gains, True, slots, noise=1.0, seed=seed)
        raw.step = step
        torch.testing.assert_close(raw.snapshot().wet[raw.sends], raw.shares())
        drawn: torch.Tensor = raw.graph().wet[raw.sends].detach()
        torch.testing.assert_close(drawn.sum(1), torch.ones(2))
        return drawn

    torch.testing.assert_close(wet(3), wet(3), rtol=0, atol=0)
    assert float((wet(3) - wet(4)).abs().max()) > 1e-3
    assert float((wet(3) - wet(3, seed=2)).abs().max()) > 1e-3


def test_what_is_not_free_does_not_move(gains: Rack) -> None:
    graph = MixGraph(gains.types, RATE)
    nodes = [graph.add("gain", gain_db=[-3.0, 2.0], wet=0.7), graph.add("gain", gain_db=[1.0, 1.0], wet=0.4)]
    graph.chain(graph.add("in", name="a"), *nodes, graph.add("out"))
    raw = FreeGraph(graph, gains, True, [nodes[1]])
    optimizer = torch.optim.AdamW(raw.parameters(), lr=0.1, weight_decay=0.0)
    for _ in range(3):
        optimizer.zero_grad()
        Renderer(gains)(raw.graph(), torch.ones(1, 2, 64)).sum().backward()
        optimizer.step()
        raw.project()
    after = raw.snapshot()
    torch.testing.assert_close(after.params["gain"][0], graph.params["gain"][0], rtol=0, atol=0)
    assert float(after.wet[nodes[0]]) == pytest.approx(0.7)
    assert float((after.params["gain"][1] - graph.params["gain"][1]).abs().min()) > 0.01


# --- on a song


@pytest.fixture(scope="module")
def objective(tiny_folder: Path) -> Objective:
    return Objective(load_song(tiny_folder, SETTINGS.sample_rate), Rack.console("gs", SETTINGS.sample_rate))


@pytest.fixture
def console(objective: Objective) -> MixGraph:
    graph = mixing_console(objective.rack, objective.song.subgroups, "gs")
    graph.params["gain"] += torch.linspace(-3, 3, graph.params["gain"].numel()).view_as(graph.params["gain"])
    return graph


def test_the_part_alone_sounds_as_the_whole(objective: Objective, console: MixGraph) -> None:
    sketch = Sketch(console)
    chosen = find_places(console, {"gain", "imager"})
    for place in (next(iter(chosen.values())), next(p for name, p in chosen.items() if name.startswith("bus"))):
        part = alone(sketch, place.nodes, objective)
        assert part.graph.node_type.numel() < console.node_type.numel()
        found, whole = part.objective.evaluate(part.graph), objective.evaluate(console)
        assert float(found.total) == pytest.approx(float(whole.total), rel=2e-3)


def test_a_chain_gives_way_to_slots_that_begin_with_it(objective: Objective, console: MixGraph) -> None:
    movable = {"gain", "imager"}
    place = next(iter(find_places(console, movable).values()))
    known = Rack.standard(objective.rack.sample_rate)
    processors = {name: known[name] for name in ("compressor", "gain")}
    sketch = Sketch(console)
    own = [sketch.parts[node].type.name for node in place.nodes]
    slots, fresh = add_relaxed_chain(sketch, place, processors, Random(0))
    kinds = [[sketch.parts[node].type.name for node in slot.candidates] for slot in slots]
    firsts = [names[slot.first - 1] for names, slot in zip(kinds, slots, strict=True) if slot.first]
    assert firsts == own
    assert [slots[0].first, slots[-1].first] == [0, 0]
    assert set(kinds[0]) == set(own) | set(processors)
    assert sum(len(slot.candidates) for slot in slots) <= MOST_CANDIDATES
    assert all(sketch.parts[node].type.name not in own for node in fresh)


def a_search(objective: Objective, state: SearchState, stop_after: int = 0) -> Search:
    """One that relaxes, and is interrupted at a save."""
    settings = replace(SETTINGS, search="relax", steps=0, rounds=1, round_steps=2, trial_segments=0)
    saved: list[str] = []

    def save(state: SearchState) -> None:
        saved.append(state.phase)
        if len(saved) == stop_after:
            raise KeyboardInterrupt

    return Search(objective, settings, state, save=save)


def begun(objective: Objective, console: MixGraph) -> SearchState:
    """A console before its last round, with one processor on each track and bus."""
    (first, *_), *others = (*find_strips(console).tracks.values(), *find_strips(console).buses.values())
    graph = remove_nodes(console, [first, *(node for nodes in others for node in nodes[1:])])
    fitted = ScoredGraph(graph, objective.evaluate(graph))
    state = SearchState(fitted, "relax", console=fitted)
    a_search(objective, state).begin_pruning()
    return state


@pytest.mark.slow  # some forty steps on segments of 3.8 s
def test_a_search_that_is_killed_in_a_chain_ends_in_the_same_graph(
    objective: Objective, console: MixGraph, tmp_path: Path
) -> None:
    path = tmp_path / "state.safetensors"
    begun(objective, console).save(path, {})
    whole = begun(objective, console)
    relax(a_search(objective, whole))
    for saves in (1, 3):  # in the midst of the slots, then behind the last step of the fit
        state, _ = SearchState.load(path, objective.rack)
        with pytest.raises(KeyboardInterrupt):
            relax(a_search(objective, state, saves))
        state.save(path, {})
    assert state.training["step"] == 1
    relax(a_search(objective, state := SearchState.load(path, objective.rack)[0]))
    assert state.phase == whole.phase == "trials"
    records = [[record for record in s.trace if record["event"] == "relaxation"] for s in (state, whole)]
    assert records[0] == records[1]
    assert len(records[0]) == len(find_places(whole.current.graph, {"gain", "imager"})) >= 2
    one, other = state.current.graph, whole.current.graph
    assert one.edges() == other.edges()
    for name, values in other.params.items():
        torch.testing.assert_close(one.params[name], values, rtol=0, atol=0)


def test_relaxation_is_a_stage_of_two_searches() -> None:
    assert SEARCHES["relax"] == ("relax",)
    assert SEARCHES["all"] == ("relax", "moves")


def test_long_chains_are_relaxed_in_runs_from_their_end() -> None:
    places = {"track a": Place("track a", 0, (3, 4, 5, 6, 7)), "track b": Place("track b", 1, ())}
    assert find_runs(places, 7) == [("track a", 4, 5), ("track a", 0, 4), ("track b", 0, 0)]
    assert find_runs(places, 1000) == [("track a", k, k + 1) for k in (4, 3, 2, 1, 0)] + [("track b", 0, 0)]
    assert places["track a"].run(2, 4) == Place("track a", 4, (5, 6))
    assert places["track a"].run(0, 1) == Place("track a", 0, (3,))
