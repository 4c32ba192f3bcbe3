"""Stereo matrices against a plain matrix product, in value and gradient."""

import pytest
import torch

from graphmix.dsp.matrix import multiply

DTYPES = [torch.float64, torch.complex128]


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float32, torch.complex64])
@pytest.mark.parametrize("width", [1, 9001])
def test_it_is_the_matrix_product(dtype: torch.dtype, width: int) -> None:
    signal = torch.randn(3, 2, width, dtype=dtype)
    matrix = torch.randn(3, 2, 2, dtype=signal.real.dtype)
    torch.testing.assert_close(multiply(matrix, signal), torch.einsum("nij,njk->nik", matrix.to(dtype), signal))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_agree_with_finite_differences(dtype: torch.dtype) -> None:
    signal = torch.randn(2, 2, 5, dtype=dtype, requires_grad=True)
    matrix = torch.randn(2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(multiply, (matrix, signal))


def test_a_lazily_conjugated_spectrum_is_read_as_it_is() -> None:
    signal = torch.randn(1, 2, 4, dtype=torch.complex64).conj()
    torch.testing.assert_close(multiply(torch.eye(2)[None], signal), signal.resolve_conj())
