"""Known degradations: what each edits, and which pairs are compared."""

import math

import pytest
import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.evaluation.degradations import (
    LEVELS_DB,
    SHARES,
    Degradation,
    Order,
    Step,
    degradations,
    order_across,
    order_within,
    with_errors,
)
from graphmix.graph.mixgraph import MixGraph
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer

RATE = 30_000
TRACKS = ("voice", "guitar")


def true_graph() -> MixGraph:
    """A voice in the middle with a compressor and a reverb, and a guitar on the right."""
    graph = MixGraph(Rack.console("ecnsgdr", RATE).types, RATE)
    voice, guitar = (graph.add("in", name=name) for name in TRACKS)
    mix, out = graph.add("mix", name="band"), graph.add("out", name="mix")
    compressor = graph.add("compressor", threshold_db=-30.0, ratio=4.0, knee_db=6.0, time_ms=10.0)
    reverb = graph.add("reverb", wet=0.2)
    graph.chain(voice, compressor, graph.add("gain", gain_db=[-3.0, -3.0]), reverb, mix)
    graph.chain(guitar, graph.add("gain", gain_db=[-20.0, 0.0]), mix, out)
    return graph


@pytest.fixture(scope="module")
def stems() -> dict[str, Tensor]:
    swell = 0.02 + 0.2 * (torch.arange(RATE) % 6000 < 2000)
    torch.manual_seed(1)
    return {name: (swell * torch.randn(RATE)).expand(2, -1) for name in TRACKS}


@pytest.fixture(scope="module")
def found(stems: dict[str, Tensor]) -> list[Degradation]:
    return degradations(true_graph(), stems, "voice")


def render(graph: MixGraph, stems: dict[str, Tensor]) -> Tensor:
    sources = torch.stack([stems[name] for name in graph.input_names])
    with torch.no_grad():
        return Renderer(Rack.for_types(graph.types.types, RATE))(graph, sources)[0]


def of(found: list[Degradation], ladder: str) -> dict[float, MixGraph]:
    return {step.size: graph for step, graph in found if step.ladder == ladder}


def added(graph: MixGraph, stems: dict[str, Tensor]) -> Tensor:
    """What the voice adds to the mix."""
    return render(graph, stems) - render(graph, {**stems, "voice": 0 * stems["voice"]})


def db(ratio: Tensor) -> float:
    return 10 * math.log10(float(ratio))


def test_every_ladder_that_the_graph_allows_is_there(found: list[Degradation]) -> None:
    assert {step.ladder for step, _ in found} == {
        "lead louder", "lead softer", "lead brighter", "lead darker", "lead compressed too much", "lead moved aside",
        "mix wider", "mix narrower", "reverb missing", "reverb too much", "compression missing",
        "a track moved to the middle",
    }  # fmt: skip
    assert len(of(found, "lead louder")) == len(LEVELS_DB)


def test_the_lead_alone_changes_by_its_size(found: list[Degradation], stems: dict[str, Tensor]) -> None:
    before = added(true_graph(), stems)
    for ladder, sign in (("lead louder", 1), ("lead softer", -1)):
        for size, graph in of(found, ladder).items():
            torch.testing.assert_close(added(graph, stems), before * 10 ** (sign * size / 20), rtol=1e-3, atol=1e-6)


def test_the_side_changes_by_its_size(found: list[Degradation], stems: dict[str, Tensor]) -> None:
    mix, wider = render(true_graph(), stems), render(of(found, "mix wider")[3.0], stems)
    assert db((wider[0] - wider[1]).square().sum() / (mix[0] - mix[1]).square().sum()) == pytest.approx(3, abs=1e-3)
    torch.testing.assert_close(wider.sum(0), mix.sum(0), rtol=1e-4, atol=1e-6)


def test_panning_keeps_the_power(found: list[Degradation], stems: dict[str, Tensor]) -> None:
    before = added(true_graph(), stems).square().sum()
    for graph in of(found, "lead moved aside").values():
        assert db(added(graph, stems).square().sum() / before) == pytest.approx(0, abs=0.05)
    guitar = of(found, "a track moved to the middle")[1.0]
    left, right = guitar.params["gain"][1].tolist()
    assert left == pytest.approx(right, abs=1e-3)
    assert 2 * 10 ** (left / 10) == pytest.approx(10**-2 + 1, rel=1e-3)


def test_shares_of_reverb_and_compression_are_missing(found: list[Degradation]) -> None:
    graph = true_graph()
    reverb, column = int(graph.nodes_of("reverb")[0]), graph.types[graph.types.index("compressor")].columns("ratio")
    for share in SHARES:
        assert float(of(found, "reverb missing")[share].wet[reverb]) == pytest.approx(0.2 * (1 - share))
        assert float(of(found, "reverb too much")[share].wet[reverb]) == pytest.approx(0.2 * (1 + share))
        ratio = of(found, "compression missing")[share].params["compressor"][0, column]
        assert float(ratio) == pytest.approx(1 + 3 * (1 - share))


def test_a_wrong_compressor_keeps_the_level_of_what_it_compresses(
    found: list[Degradation], stems: dict[str, Tensor]
) -> None:
    voice = stems["voice"].square().mean()
    for graph in of(found, "lead compressed too much").values():
        alone = Rack.console("cg", RATE)
        row = graph.params["compressor"].size(0) - 1
        compressed = alone["compressor"](stems["voice"][None], graph.params["compressor"][row:])
        made_up = alone["gain"](compressed, graph.params["gain"][-1:])
        assert db(made_up.square().mean() / voice) == pytest.approx(0, abs=0.01)
        assert db(compressed.square().mean() / voice) < -0.5


def test_a_tilt_is_none_at_1_khz(found: list[Degradation]) -> None:
    gains = of(found, "lead brighter")[1.0].params["equalizer"][-1]
    hertz = torch.arange(len(gains)) * (RATE / (2 * len(gains) - 1))
    at = {octave: float(gains[(hertz - 1000 * 2**octave).abs().argmin()]) for octave in (-1, 0, 1, 3)}
    assert at == {octave: pytest.approx(octave, abs=0.1) for octave in at}


def test_errors_leave_the_lead_as_it_is(stems: dict[str, Tensor]) -> None:
    graph = true_graph()
    off = with_errors(graph, "voice", 2.0, seed=3)
    torch.testing.assert_close(added(off, stems), added(graph, stems), rtol=1e-3, atol=1e-6)
    assert not torch.allclose(render(off, stems), render(graph, stems), atol=1e-3)
    assert torch.equal(with_errors(graph, "voice", 2.0, seed=3).params["gain"], off.params["gain"])


def test_an_unknown_lead_is_refused(stems: dict[str, Tensor]) -> None:
    with pytest.raises(GraphError, match="no track 'singer'; its tracks are: voice, guitar"):
        degradations(true_graph(), stems, "singer")


# --- ranking


def step(ladder: str, size: float, amount: float = 0.0, group: str = "") -> Step:
    return Step("level", ladder, size, "dB", group, amount)


def test_pairs_of_a_ladder_are_in_order_where_the_larger_is_farther() -> None:
    steps = [(step("up", 1), 0.1), (step("up", 2), 0.3), (step("up", 4), 0.2), (step("down", 1), 0.5)]
    assert order_within(steps) == {"level": Order(2, 3)}
    assert order_within(steps[::-1]) == {"level": Order(2, 3)}
    assert order_within([(step("up", 1), 0.1), (step("up", 2), 0.1)]) == {"level": Order(0, 1)}


def test_ladders_are_compared_where_their_amounts_mean_the_same() -> None:
    steps = [
        (step("up", 1, 1.0, "dB"), 0.1),
        (step("down", 2, 2.0, "dB"), 0.05),
        (step("tilt", 3, 5.0, "dB"), 0.2),
        (step("down", 1.5, 1.5, "dB"), 0.0),  # less than twice the first
        (step("aside", 9), 9.0),
    ]
    assert order_across(steps) == {"dB": Order(3, 4)}


def test_shares_and_sums_of_orders() -> None:
    assert Order(1, 2) + Order(2, 2) == Order(3, 4)
    assert (Order(3, 4).share, Order().share) == (0.75, 1.0)
