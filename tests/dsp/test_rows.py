"""Sums of rows against a dense matrix, in value and gradient."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.dsp.rows import mix_rows, sum_rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
@pytest.mark.parametrize("width", [1, 7, 9000])
def test_sums_are_a_matrix_product(dtype: torch.dtype, width: int) -> None:
    x = torch.randn(5, 2, width, dtype=dtype)
    sources, targets = torch.tensor([3, 0, 0, 4, 3]), torch.tensor([0, 0, 2, 2, 2])
    matrix = torch.zeros(4, 5, dtype=dtype)
    for source, target in zip(sources, targets, strict=True):
        matrix[target, source] += 1
    torch.testing.assert_close(sum_rows(x, sources, targets, 4), torch.einsum("ts,scn->tcn", matrix, x))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=8))
def test_gradients_agree_with_finite_differences_for_any_edges(edges: list[tuple[int, int]]) -> None:
    edges.sort(key=lambda edge: edge[1])
    sources, targets = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T.contiguous()
    x = torch.randn(4, 2, 3, dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: sum_rows(x, sources, targets, 3), x)


def test_a_lazily_conjugated_spectrum_is_read_as_it_is() -> None:
    x = torch.randn(2, 2, 5, dtype=torch.complex64).conj()
    rows = torch.tensor([0, 1]), torch.tensor([0, 0])
    torch.testing.assert_close(sum_rows(x, *rows, 1), x.resolve_conj().sum(0, keepdim=True))


@pytest.mark.parametrize("width", [1, 7, 5000])
def test_weighted_sums_of_several_signals_are_matrix_products(width: int) -> None:
    signals = [torch.randn(rows, 2, width) for rows in (3, 4)]
    indices = [(np.array([2, 0, 0]), np.array([0, 0, 3])), (np.array([1, 3]), np.array([1, 3]))]
    weights, expected = [torch.randn(3), torch.randn(2)], torch.zeros(5, 2, width)
    for x, own, (sources, targets) in zip(signals, weights, indices, strict=True):
        for source, target, weight in zip(sources, targets, own, strict=True):
            expected[target] += weight * x[source]
    torch.testing.assert_close(mix_rows(signals, weights, indices, 5), expected)


@pytest.mark.parametrize("width", [3, 2100])
def test_gradients_of_weighted_sums_are_those_of_matrix_products(width: int) -> None:
    indices = [(np.array([1, 0, 1]), np.array([0, 1, 1])), (np.array([0]), np.array([2]))]
    x, y, a, b = (
        t.double().requires_grad_()
        for t in (torch.randn(2, width), torch.randn(1, width), torch.randn(3), torch.randn(1))
    )
    given = torch.randn(4, width).double()
    plain = torch.stack([a[0] * x[1], a[1] * x[0] + a[2] * x[1], b[0] * y[0], torch.zeros(width).double()])
    found, expected = (
        torch.autograd.grad(out, (x, y, a, b), given) for out in (mix_rows([x, y], [a, b], indices, 4), plain)
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
