"""Coefficients of raw parameters and back."""

import copy

import pytest
import torch
from torch import Tensor

from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.mixing.basis import RawBasis, clamp_inward
from graphmix.processors import Rack
from tests.random_parameters import random_parameters

RACK = Rack.console("ecnsgdr")
NARROW = ("compressor", "noisegate", "imager", "gain")
WIDE = ("equalizer", "delay", "reverb")


def parameters(name: str, n: int, seed: int = 0) -> Tensor:
    return random_parameters(RACK[name].node_type, n, torch.Generator().manual_seed(seed))


def graph_of(params: dict[str, Tensor], wet: float = 1.0) -> MixGraph:
    """A chain of nodes with these parameters."""
    graph = MixGraph(RACK.types, RACK.sample_rate)
    nodes = [graph.add("in")]
    nodes += [graph.add(name, wet=wet) for name, values in params.items() for _ in values]
    graph.chain(*nodes, graph.add("out"))
    graph.params = {**graph.params, **params}
    return graph


@pytest.fixture(scope="module")
def basis() -> RawBasis:
    """Fitted to 30 processors of each type."""
    graph = graph_of({name: parameters(name, 30) for name in RACK.names})
    return RawBasis(RACK, components=6).fit([graph])


def test_no_type_has_more_coefficients_than_it_was_given(basis: RawBasis) -> None:
    assert basis.sizes == {
        "equalizer": 6,
        "compressor": 4,
        "noisegate": 4,
        "imager": 1,
        "gain": 2,
        "delay": 6,
        "reverb": 6,
    }


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("name", NARROW)
def test_narrow_types_come_back_exactly(name: str, fitted: bool, basis: RawBasis) -> None:
    chosen = basis if fitted else RawBasis(RACK, components=6)
    params = parameters(name, 9, seed=1)
    assert torch.allclose(chosen.decode(name, chosen.encode(name, params)), params, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("name", WIDE)
def test_wide_types_come_back_as_their_nearest_in_the_basis(name: str, fitted: bool, basis: RawBasis) -> None:
    chosen = basis if fitted else RawBasis(RACK, components=6)
    raw = RACK[name].to_raw(parameters(name, 9, seed=1))
    coefficients = chosen.coefficients_of_raw(name, raw)
    nearest = chosen.raw(name, coefficients)
    assert torch.allclose(chosen.coefficients_of_raw(name, nearest), coefficients, atol=1e-3)
    residual = (raw - nearest) @ chosen.rows(name).mT
    assert float(residual.abs().max()) < 1e-3


def test_what_varies_in_few_directions_is_described_exactly() -> None:
    generator = torch.Generator().manual_seed(3)
    shapes = torch.randn(3, 1024, generator=generator)
    gain_db = torch.randn(40, 3, generator=generator) @ shapes
    basis = RawBasis(Rack.console("e"), components=5).fit([graph_of({"equalizer": gain_db})])
    again = basis.decode("equalizer", basis.encode("equalizer", gain_db))
    assert torch.allclose(again, gain_db.clamp(-100, 40), atol=2e-3)
    coefficients = basis.encode("equalizer", gain_db)[:, :3]
    assert torch.allclose(coefficients.std(0, unbiased=False), torch.ones(3), atol=1e-3)
    assert torch.allclose(basis.encode("equalizer", gain_db)[:, 3:], torch.zeros(40, 2), atol=1e-2)


def test_components_are_orthonormal_and_zero_is_the_mean(basis: RawBasis) -> None:
    for name in RACK.names:
        rows = basis.rows(name)
        assert torch.allclose(rows @ rows.mT, torch.eye(len(rows)), atol=1e-4), name
    gains = torch.tensor([[-6.0, -6.0], [-2.0, -4.0]])
    fitted = RawBasis(Rack.console("g")).fit([graph_of({"gain": gains})])
    assert torch.allclose(fitted.decode("gain", torch.zeros(1, 2)), torch.tensor([[-4.0, -5.0]]), atol=1e-5)


def test_an_unfitted_basis_is_neutral_at_zero() -> None:
    basis = RawBasis(RACK)
    for name in ("equalizer", *NARROW, "reverb"):
        neutral = RACK[name].node_type.neutral()[None]
        assert torch.allclose(basis.decode(name, torch.zeros(1, basis.sizes[name])), neutral, rtol=1e-5, atol=1e-4)


def test_bypassed_processors_do_not_count() -> None:
    audible, bypassed = torch.tensor([[-6.0, -6.0], [0.0, 0.0]]), torch.tensor([[40.0, 40.0]])
    rack = Rack.console("g")
    fitted = RawBasis(rack).fit([graph_of({"gain": audible}), graph_of({"gain": bypassed}, wet=0.0)])
    assert torch.allclose(fitted.mean("gain"), RawBasis(rack).fit([graph_of({"gain": audible})]).mean("gain"))


def test_types_that_are_not_used_or_used_once_keep_their_components() -> None:
    start, fitted = RawBasis(RACK, 6), RawBasis(RACK, 6).fit([graph_of({"reverb": parameters("reverb", 1)})])
    assert torch.equal(start.mean("delay"), fitted.mean("delay"))
    assert torch.equal(start.rows("reverb"), fitted.rows("reverb"))
    assert not torch.equal(start.mean("reverb"), fitted.mean("reverb"))


def test_the_same_graphs_give_the_same_basis(basis: RawBasis) -> None:
    again = RawBasis(RACK, 6).fit([graph_of({name: parameters(name, 30) for name in RACK.names})])
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in basis.state_dict().items())


def test_a_state_dict_carries_the_basis(basis: RawBasis) -> None:
    other = RawBasis(RACK, 6)
    other.load_state_dict(basis.state_dict())
    coefficients = torch.randn(3, 6)
    assert torch.equal(other.decode("equalizer", coefficients), basis.decode("equalizer", coefficients))


def test_whatever_the_coefficients_parameters_are_in_range_with_finite_gradients(basis: RawBasis) -> None:
    for name in RACK.names:
        coefficients = (100 * torch.randn(20, basis.sizes[name])).requires_grad_()
        params = basis.decode(name, coefficients)
        low, high = RACK[name].node_type.bounds()
        assert bool(((params >= low) & (params <= high)).all()), name
        params.sum().backward()
        assert coefficients.grad is not None
        assert bool(coefficients.grad.isfinite().all()), name


@pytest.mark.parametrize("name", ["compressor", "gain", "imager", "delay"])
def test_decoding_has_the_gradient_that_differences_show(name: str, basis: RawBasis) -> None:
    exact = copy.deepcopy(basis).double()
    coefficients = (0.3 * torch.randn(2, exact.sizes[name], dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda c: exact.decode(name, c), (coefficients,), fast_mode=True)


def test_a_clamped_value_keeps_the_gradient_that_leads_back() -> None:
    values = torch.tensor([-1.0, 0.5, 2.0], requires_grad=True)
    clamped = clamp_inward(values, torch.tensor(0.0), torch.tensor(1.0))
    assert clamped.tolist() == [0.0, 0.5, 1.0]
    (up,) = torch.autograd.grad(clamped.sum(), values, retain_graph=True)
    (down,) = torch.autograd.grad(-clamped.sum(), values)
    assert up.tolist() == [0.0, 1.0, 1.0]  # a step against it lowers the values
    assert down.tolist() == [-1.0, -1.0, 0.0]


def test_no_node_is_no_problem_and_another_rate_is_refused(basis: RawBasis) -> None:
    for name in RACK.names:
        assert basis.decode(name, torch.zeros(0, basis.sizes[name])).shape == (0, RACK[name].node_type.width)
    with pytest.raises(GraphError, match="give graphs at the model's 30000 Hz"):
        basis.encode("equalizer", torch.zeros(1, 1505))
