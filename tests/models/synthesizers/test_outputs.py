"""Outputs of decoders: options, numbers, and values that many patches share."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from graphmix.models.synthesizers import Programmer, ProgrammerConfig, common_values, load_programmer, save_programmer
from graphmix.models.synthesizers.outputs import PatchOutputs

OUTPUTS = PatchOutputs([1, 3, 1], [(0.25, 0.5), (), ()])
"""A number with two common values, a choice of three options, a plain number."""
RAW = torch.tensor([[0.0, 2.0, 1.0, 3.0, 0.5, 0.0, -0.5, 1.0], [0.0, 0.0, 4.0, -1.0, 0.0, 5.0, 0.0, 0.0]])


def test_a_number_with_common_values_has_a_score_for_each_one_for_others_and_its_value():
    assert OUTPUTS.raw_sizes == (4, 3, 1)
    assert OUTPUTS.width == 8
    assert PatchOutputs([1, 3, 1]).raw_sizes == (1, 3, 1)


def test_the_most_probable_value_is_taken():
    found = OUTPUTS.vectors(RAW)
    assert found[0, 0] == 0.5
    torch.testing.assert_close(found[1, 0], torch.tensor(-1.0).sigmoid())
    torch.testing.assert_close(found[:, 1:4], RAW[:, 4:7].softmax(1))
    torch.testing.assert_close(found[:, 4], RAW[:, 7].sigmoid())


def test_draws_follow_the_scores():
    drawn = OUTPUTS.vectors(RAW[:1].expand(20_000, -1), torch.Generator().manual_seed(0))
    shares = [float((drawn[:, 0] == value).float().mean()) for value in (0.25, 0.5)]
    torch.testing.assert_close(torch.tensor(shares), RAW[0, :3].softmax(0)[:2], atol=0.01, rtol=0)
    others = drawn[(drawn[:, 0] != 0.25) & (drawn[:, 0] != 0.5), 0]
    torch.testing.assert_close(others, torch.tensor(3.0).sigmoid().expand(len(others)))
    torch.testing.assert_close(drawn[:, 1:4].mean(0), RAW[0, 4:7].softmax(0), atol=0.01, rtol=0)
    assert torch.equal(drawn[:, 1:4].sum(1), torch.ones(20_000))
    assert OUTPUTS.vectors(RAW[:0], torch.Generator()).shape == (0, 5)


def test_the_distance_is_an_entropy_where_a_value_is_common_and_an_error_as_well_where_it_is_not():
    true = torch.tensor([[0.25, 0.0, 1.0, 0.0, 0.75], [0.4, 1.0, 0.0, 0.0, 0.5]])
    common = functional.cross_entropy(RAW[:, :3], torch.tensor([0, 2]), reduction="sum")
    value = (RAW[1, 3].sigmoid() - 0.4).square()
    option = functional.cross_entropy(RAW[:, 4:7], torch.tensor([1, 0]), reduction="sum")
    plain = (RAW[:, 7].sigmoid() - true[:, 4]).square().sum()
    torch.testing.assert_close(OUTPUTS.distance(RAW, true), (common + value + option + plain) / 3)
    padded = functional.pad(RAW, (0, 2), value=9.0), functional.pad(true, (0, 3), value=9.0)
    torch.testing.assert_close(OUTPUTS.distance(*padded), OUTPUTS.distance(RAW, true))


def test_common_values_are_those_of_a_share_of_the_patches():
    spread = torch.linspace(0.1, 0.9, 40)
    often = torch.where(torch.arange(40) < 12, 0.5, spread)
    often[12:16] = 0.125
    vectors = torch.stack([often, torch.ones(40), torch.zeros(40), spread, torch.zeros(40)], 1)
    assert common_values(vectors, [1, 2, 1], 0.1) == ((0.125, 0.5), (), ())
    assert common_values(vectors, [1, 2, 1], 0.2) == ((0.5,), (), ())
    assert common_values(vectors, [1, 2, 1, 1], 0.0) == ((), (), (), ())
    assert common_values(vectors[:, 3:], [1, 1], 0.01) == ((), (0.0,))


@pytest.mark.parametrize("design", ["separate", "joint_encoder", "joint_decoder"])
def test_a_network_with_common_values_learns_them_exactly(design: str, tmp_path: Path):
    torch.manual_seed(0)
    sizes, common = {"small": (1, 3), "large": (1, 1, 4)}, {"large": ((0.0, 0.5), (), ())}
    config = {"design": design, "sizes": sizes, "mels": 16, "frames": 12, "channels": 2, "latent": 5, "hidden": (32,)}
    model = Programmer(ProgrammerConfig.model_validate({**config, "common": common, "beta": 0.0})).train()
    images, notes = torch.rand(6, 16, 12), torch.zeros(6, 2)
    which, vectors = torch.tensor([1, 1, 1, 1, 0, 0]), torch.rand(6, 6)
    vectors[:4, 0] = torch.tensor([0.0, 0.5, 0.5, 0.3])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        model.loss(model.terms(images, which, notes, vectors)).backward()
        optimizer.step()
    again = load_programmer(save_programmer(model, tmp_path / "m.safetensors"))[0]
    found = again.vectors(images[:4], notes[:4], "large")
    assert found.shape == (4, 6)
    assert found[:3, 0].tolist() == [0.0, 0.5, 0.5]
    assert float(found[3, 0]) == pytest.approx(0.3, abs=0.1)
    assert again.draw(images[:4], notes[:4], "large", 3, torch.Generator().manual_seed(0)).shape == (4, 3, 6)


def test_common_values_of_choices_or_other_parameters_are_refused():
    sizes = {"small": (1, 3)}
    for common in ({"small": ((0.5,), (0.5,))}, {"small": ((0.5,),)}, {"large": ((0.5,),)}):
        with pytest.raises(ValidationError, match=r"common has values for other parameters than '(small|large)' has"):
            ProgrammerConfig.model_validate({"sizes": sizes, "common": common})
