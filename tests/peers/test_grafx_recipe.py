"""The paper's recipe on GRAFX: a weight of zero is a removal, and values follow their nodes."""

from collections.abc import Iterator

import pytest
import torch

pytest.importorskip("grafx", reason="the peers come with the extra `bench`")

from benchmarks.peers import grafx_console as peer
from benchmarks.peers.grafx_recipe import PrunedConsole
from benchmarks.peers.work import make_console
from graphmix.processors import Rack

pytestmark = pytest.mark.filterwarnings("ignore:Casting complex values to real")  # of noise that is then replaced
RACK = Rack.console("ecnsgdr", 30000)
SAMPLES = 12000


@pytest.fixture(autouse=True)
def exact_convolution() -> Iterator[None]:
    before = peer.use_convolution(peer.exact_convolve)
    yield
    peer.use_convolution(before)


@pytest.fixture
def console() -> PrunedConsole:
    console = PrunedConsole(make_console(RACK, 4, 2))
    generator = torch.Generator().manual_seed(0)
    console.randomize(generator)
    with torch.no_grad():
        for values in (*console.console.settings.parameters(), console.console.weight_logits):
            values += 0.3 * torch.randn(values.shape, generator=generator)  # so that no two nodes are alike
    return console


def test_the_recipe_knows_the_peers_order_of_nodes(console: PrunedConsole) -> None:
    assert sorted(console.nodes.tolist()) == list(range(console.graph.num_nodes))
    for kind in peer.ORDER:
        assert {console.graph.type_of(int(node)).name for node in console.rows_of(kind)} == {kind}
        assert len(console.rows_of(kind)) == len(next(iter(console.console.settings[kind].values())))


def test_weights_of_zero_equal_removal(console: PrunedConsole) -> None:
    sources = 0.3 * torch.randn(4, 2, SAMPLES, generator=torch.Generator().manual_seed(1))
    removed = console.graph.processors[torch.randperm(42, generator=torch.Generator().manual_seed(2))[:25]].tolist()
    masked = console.mix_without(removed, sources)
    smaller = console.without(removed)
    assert len(smaller.graph.processors) == 17
    assert not torch.allclose(masked, console.mix_without((), sources), atol=1e-2)
    torch.testing.assert_close(smaller.mix_without((), sources), masked, rtol=1e-4, atol=1e-5)
    keep = [node for node in range(console.graph.num_nodes) if node not in removed]
    torch.testing.assert_close(smaller.weights, console.weights[keep])
