"""Positions of nodes: by hand, against networkx and NumPy, and the same whatever the numbers of the nodes."""

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.datasets.positions import (
    AddDagPositions,
    AddSpectralPositions,
    ancestors_and_descendants,
    depth_and_height,
    spectral_positions,
)
from graphmix.datasets.transforms import renumber
from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.networkx import to_networkx
from graphmix.graph.topology import topological_order
from graphmix.spec import NodeType
from tests.graph.random_mixgraphs import random_graph
from tests.mining.mined_folders import small_graph

seeds = st.integers(0, 10**6)


def chain() -> MixGraph:
    """in 0 -> a 1 -> out 2, and in 3 -> out 2; in 4 is muted."""
    graph = MixGraph([NodeType("amp", "a")])
    graph.chain(graph.add("in"), graph.add("a"), graph.add("out"))
    graph.connect(graph.add("in"), 2)
    graph.add("in")
    return graph


def test_positions_of_a_chain_by_hand() -> None:
    table = AddDagPositions()(chain()).dag_pe
    assert table.dtype == torch.float32
    assert table.tolist() == [[0, 2, 0, 2], [1, 1, 1, 1], [2, 0, 3, 0], [0, 1, 0, 1], [0, 0, 0, 0]]
    logarithms = AddDagPositions("x", logarithmic=True)(chain()).x
    torch.testing.assert_close(logarithms, table.log1p())


@settings(max_examples=80, deadline=None)
@given(seeds)
def test_they_agree_with_networkx(seed: int) -> None:
    graph = random_graph(seed, 1 + seed % 3, seed % 12)
    other = to_networkx(graph)
    above, below = ancestors_and_descendants(graph)
    assert above.tolist() == [len(nx.ancestors(other, node)) for node in range(graph.num_nodes)]
    assert below.tolist() == [len(nx.descendants(other, node)) for node in range(graph.num_nodes)]
    depth, height = depth_and_height(graph)
    for node in range(graph.num_nodes):
        up, down = ({node, *f(other, node)} for f in (nx.ancestors, nx.descendants))
        assert depth[node] == nx.dag_longest_path_length(nx.DiGraph(other.subgraph(up)))
        assert height[node] == nx.dag_longest_path_length(nx.DiGraph(other.subgraph(down)))
    place = {node: i for i, node in enumerate(topological_order(graph.num_nodes, graph.edges()))}
    assert all(place[source] < place[target] for source, target in graph.edge_index.t().tolist())


def _laplacian(graph: MixGraph) -> np.ndarray:
    undirected = nx.Graph(to_networkx(graph).to_undirected())
    return nx.normalized_laplacian_matrix(undirected, nodelist=range(graph.num_nodes)).toarray()


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 6))
def test_spectral_positions_are_orthonormal_eigenvectors_of_the_smallest_eigenvalues(seed: int, k: int) -> None:
    graph = random_graph(seed, 2, seed % 12)
    laplacian, vectors = _laplacian(graph), spectral_positions(graph, k).double().numpy()
    values = np.linalg.eigvalsh(laplacian)
    values = values[values > 1e-6][:k]
    used = len(values)
    np.testing.assert_allclose(laplacian @ vectors[:, :used], vectors[:, :used] * values, atol=1e-5)
    np.testing.assert_allclose(vectors[:, :used].T @ vectors[:, :used], np.eye(used), atol=1e-5)
    assert not vectors[:, used:].any()


def _asymmetric() -> MixGraph:
    """A graph without two equal branches, so that no eigenvalue occurs twice."""
    graph = MixGraph([NodeType("amp", "a")])
    out = graph.add("out")
    for length in (0, 1, 3, 6):
        graph.chain(graph.add("in"), *(graph.add("a") for _ in range(length)), out)
    return graph


def test_spectral_positions_do_not_depend_on_the_numbers_of_nodes() -> None:
    graph = _asymmetric()
    expected = spectral_positions(graph, 5)
    for seed in range(10):
        order = torch.randperm(graph.num_nodes, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(spectral_positions(renumber(graph, order), 5), expected[order], atol=1e-5, rtol=0)


def test_spectral_positions_grow_from_the_tracks_to_the_mix() -> None:
    graph = _asymmetric()
    depth = depth_and_height(graph)[0].double()
    along = (depth - depth.mean()) @ spectral_positions(graph, 5).double()
    assert bool((along > 0).all())


def test_equal_branches_have_positions_that_the_library_does_not_choose() -> None:
    graph = small_graph(6)
    values, vectors = np.linalg.eigh(_laplacian(graph))
    assert (np.diff(values) < 1e-9).any()  # eigenvalues that occur several times
    turned = vectors.copy()
    groups = np.split(np.arange(len(values)), np.flatnonzero(np.diff(values) > 1e-6) + 1)
    generator = np.random.default_rng(1)
    for group in groups:  # another basis of the same spaces, as another library might find it
        turn, _ = np.linalg.qr(generator.normal(size=(len(group), len(group))))
        turned[:, group] = turned[:, group] @ turn
    expected = spectral_positions(graph, 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.linalg, "eigh", lambda matrix: (values, turned))
        torch.testing.assert_close(spectral_positions(graph, 8), expected, atol=1e-5, rtol=0)


def test_graphs_that_are_small_or_in_pieces() -> None:
    assert spectral_positions(MixGraph([]), 3).shape == (0, 3)
    graph = chain()
    vectors = spectral_positions(graph, 8)
    assert vectors.shape == (5, 8)
    assert not vectors[4].any()  # a muted track
    assert AddSpectralPositions(2)(graph).spectral_pe.shape == (5, 2)


def test_what_is_refused() -> None:
    graph = chain()
    graph.connect(1, 1)
    with pytest.raises(GraphError, match="the graph has a cycle"):
        depth_and_height(graph)
    with pytest.raises(GraphError, match="the number of spectral positions is 0"):
        spectral_positions(chain(), 0)


def test_positions_follow_the_nodes_into_edits() -> None:
    graph = AddDagPositions()(small_graph(3))
    kept = graph.subgraph(torch.arange(2, graph.num_nodes))
    assert torch.equal(kept.dag_pe, graph.dag_pe[2:])
