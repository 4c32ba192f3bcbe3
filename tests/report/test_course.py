"""The course of a search is read back from its trace, node by node."""

import json
from pathlib import Path
from typing import Any

import pytest

from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph
from graphmix.processors import Rack
from graphmix.report.course import NoCourse, read_course, read_trace
from graphmix.search.rounds import count_processors


def a_console() -> MixGraph:
    """0 in, 1 equalizer, 2 gain, 3 in, 4 gain, 5 mix, 6 out."""
    graph = MixGraph(Rack.console("eg").types)
    one, filtered, fader = graph.add("in", name="one"), graph.add("equalizer"), graph.add("gain")
    two, other, mix, out = graph.add("in", name="two"), graph.add("gain"), graph.add("mix"), graph.add("out")
    graph.chain(one, filtered, fader, mix)
    graph.chain(two, other, mix, out)
    return graph


def trial(*names: str, kept: bool, **more: Any) -> dict[str, Any]:
    record = {"event": "trial", "step": 5, "candidates": list(names), "weights": [0.5] * len(names), "kept": kept}
    return record | {"loss_before": 0.5, "loss_after": 0.51, "threshold": 0.52} | more


def finished(number: int, processors: int) -> dict[str, Any]:
    return {"event": "round", "step": 6, "round": number, "loss": 0.5, "processors": processors}


START = {"event": "evaluate", "step": 4, "loss": 0.5, "weights_left": [1.0] * 7}


def test_numbers_of_later_rounds_mean_nodes_of_the_console() -> None:
    trace = [
        START,
        trial("equalizer 1", kept=True),
        trial("gain 2", kept=False),
        finished(1, 2),
        trial("gain 1", kept=False, audible={"over": [["one", 2.0]]}),
        trial("gain 3", kept=True),  # what was 4 before the equalizer went
        finished(2, 1),
    ]
    course = read_course(trace, a_console(), {"plain sum": 1.0})
    assert [r.present for r in course.rounds] == [(0, 1, 2, 3, 4, 5, 6), (0, 2, 3, 4, 5, 6), (0, 2, 3, 5, 6)]
    assert [r.processors for r in course.rounds] == [3, 2, 1]
    assert [t.nodes for t in course.rounds[2].trials] == [(2,), (4,)]
    assert [t.audible for t in course.rounds[2].trials] == [True, False]


def test_what_was_put_back_is_still_there() -> None:
    trace = [
        START,
        trial("equalizer 1", kept=True),
        trial("gain 2", kept=True),
        {"event": "restored", "step": 5, "processors": 1},
        finished(1, 2),
    ]
    last = read_course(trace, a_console(), {}).rounds[-1]
    assert last.present == (0, 2, 3, 4, 5, 6)
    assert last.restored == 1


def test_a_trace_of_another_console_is_refused() -> None:
    with pytest.raises(NoCourse, match="round 1 left 3 processors, and the trace accounts for 2"):
        read_course([START, trial("equalizer 1", kept=True), finished(1, 3)], a_console(), {})
    with pytest.raises(NoCourse, match="without a number"):
        read_course([START, trial("equalizer", kept=True)], a_console(), {})
    with pytest.raises(NoCourse, match="cannot be read"):
        read_course([START, trial("gain 99", kept=True)], a_console(), {})


def test_without_a_console_losses_and_names_are_left() -> None:
    course = read_course([START, trial("equalizer 1", kept=True), finished(1, 2)], None, {}, processors=3)
    assert [r.present for r in course.rounds] == [None, None]
    assert [r.processors for r in course.rounds] == [3, 2]
    assert course.rounds[1].trials[0].names == ("equalizer 1",)


def test_damaged_traces_are_one_error(tmp_path: Path) -> None:
    for content, text in (("{", "damaged"), ("[]", "has no event"), ('{"a": 1}', "has no event")):
        (tmp_path / "trace.jsonl").write_text(content)
        with pytest.raises(NoCourse, match=text):
            read_trace(tmp_path / "trace.jsonl")
    with pytest.raises(NoCourse, match="cannot be read"):
        read_trace(tmp_path / "none")


def test_the_last_round_of_a_real_search_has_what_was_left(mined: Path) -> None:
    console = load_graph(mined / "console.safetensors")
    course = read_course(read_trace(mined / "trace.jsonl"), console, {})
    metrics = json.loads((mined / "metrics.json").read_text())
    last = course.rounds[-1]
    assert last.loss == pytest.approx(metrics["audio_loss"], abs=1e-5)
    assert last.processors == metrics["processors_left"] + metrics["processors_absorbed"]
    assert course.rounds[0].loss == pytest.approx(metrics["console_loss"], abs=1e-5)
    assert sum(count_processors(console).values()) == metrics["processors_before"]
    assert last.present is not None
    assert len(last.wet) == len(last.present)
