"""Heads: a decoder for each type, or a padded one."""

import pytest
import torch
from torch import Tensor

from graphmix.models.heads import COEFFICIENT_LIMIT, Heads, JointHead, PerTypeHeads, soft_limit
from graphmix.models.mixing.basis import RawBasis
from graphmix.processors import Rack

RACK = Rack.console("egr")
SIZES = RawBasis(RACK, 4).sizes
NODE_TYPE = torch.tensor([0, 4, 3, 5, 1, 4, 3, 2])
"""in, gain, equalizer, reverb, mix, gain, equalizer, out."""


@pytest.fixture(params=[PerTypeHeads, JointHead])
def heads(request: pytest.FixtureRequest) -> Heads:
    made: Heads = request.param(RACK, SIZES, channels=6, hidden=8)
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(torch.randn_like(weight))
    return made


def embeddings() -> Tensor:
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(1))


def test_every_type_gets_its_own_coefficients_in_node_order(heads: Heads) -> None:
    outputs = heads(embeddings(), NODE_TYPE)
    assert {name: values.shape for name, values in outputs.coefficients.items()} == {
        "equalizer": (2, 4),
        "gain": (2, 2),
        "reverb": (1, 4),
    }
    alone = heads(embeddings()[5:6], NODE_TYPE[5:6])
    assert torch.allclose(outputs.coefficients["gain"][1], alone.coefficients["gain"][0], atol=1e-4)
    assert torch.allclose(outputs.keep_logit[5], alone.keep_logit[0], atol=1e-4)


def test_structure_is_not_decided_on(heads: Heads) -> None:
    outputs = heads(embeddings(), NODE_TYPE)
    structural = NODE_TYPE < 3
    assert (outputs.keep_logit[structural] == 0).all()
    assert (outputs.wet_logit[structural] == 0).all()
    assert (outputs.keep_logit[~structural] != 0).all()


def test_types_are_masked_from_one_another(heads: Heads) -> None:
    changed = embeddings()
    changed[NODE_TYPE == 4] += 1
    one, other = heads(embeddings(), NODE_TYPE), heads(changed, NODE_TYPE)
    assert torch.equal(one.coefficients["equalizer"], other.coefficients["equalizer"])
    assert not torch.allclose(one.coefficients["gain"], other.coefficients["gain"])


def test_separate_decoders_learn_from_their_own_type_only() -> None:
    heads = PerTypeHeads(RACK, SIZES, channels=6, hidden=8)
    heads(embeddings(), NODE_TYPE).coefficients["gain"].sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in heads.decoders["gain"].parameters())
    others = [heads.decoders["equalizer"], heads.decoders["reverb"]]
    assert all(p.grad is None or not bool(p.grad.any()) for other in others for p in other.parameters())


def test_the_joint_decoder_is_padded_to_the_longest_type() -> None:
    head = JointHead(RACK, SIZES, channels=6, hidden=8)
    assert head.decoder[-1].out_features == 2 + 4
    head(embeddings(), NODE_TYPE).coefficients["gain"].sum().backward()
    grad = head.decoder[-1].bias.grad
    assert (grad != 0).tolist() == [False, False, True, True, False, False]


def test_an_untrained_head_says_the_mean_and_what_starts_dry_is_dry() -> None:
    outputs = PerTypeHeads(RACK, SIZES, channels=6)(embeddings(), NODE_TYPE)
    assert all(float(values.detach().abs().max()) < 0.2 for values in outputs.coefficients.values())
    wet = outputs.wet_logit.sigmoid()
    assert float(wet[1].detach()) > 0.8  # a gain
    assert float(wet[3].detach()) < 0.2  # the reverb


def test_coefficients_are_bounded_softly() -> None:
    values = torch.tensor([-1e6, -0.1, 0.0, 0.1, 1e6])
    limited = soft_limit(values)
    assert torch.allclose(limited[1:4], values[1:4], atol=1e-4)
    assert limited.abs().max() <= COEFFICIENT_LIMIT


def test_no_node_is_no_problem(heads: Heads) -> None:
    outputs = heads(torch.zeros(0, 6), torch.zeros(0, dtype=torch.long))
    assert outputs.keep_logit.shape == (0,)
    assert outputs.coefficients["reverb"].shape == (0, 4)
