"""Blocks: shape laws, closed forms, gradients in double precision."""

import pytest
import torch
from torch import Tensor, nn

from graphmix.models.masks.blocks import ConvolutionStack, DownBlock, DualPathLayer, RecurrentStack, UNet, UpBlock
from graphmix.models.masks.config import RecurrentConfig
from graphmix.models.masks.heads import BandsToMasks, ClusteringEmbedding, EmbeddingToMasks
from graphmix.models.masks.normalization import AmplitudeToDecibel, BatchNorm, DataNorm, InstanceNorm

GENERATOR = torch.Generator()


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=GENERATOR.manual_seed(len(shape)), dtype=torch.float64)


def is_differentiable(block: nn.Module, *inputs: Tensor) -> bool:
    block = block.double()
    return torch.autograd.gradcheck(block, tuple(value.requires_grad_() for value in inputs), atol=1e-6, rtol=1e-4)


def test_decibels_end_at_the_floor() -> None:
    levels = AmplitudeToDecibel()(torch.tensor([10.0, 1.0, 0.5, 1e-4, 1e-9, 0.0]))
    torch.testing.assert_close(levels, torch.tensor([20.0, 0.0, -6.0206, -80.0, -80.0, -80.0]))
    assert torch.autograd.gradcheck(AmplitudeToDecibel(), double(7).abs().add(0.01).requires_grad_())


def test_batch_norm_is_over_mixtures_and_frames_for_each_channel_and_bin() -> None:
    features = 5 + 3 * double(4, 2, 3, 50)
    normalized = BatchNorm(2, 3).double()(features)
    torch.testing.assert_close(normalized.mean(dim=(0, 3)), torch.zeros(2, 3, dtype=torch.float64), atol=1e-9, rtol=0)
    deviation = normalized.transpose(0, 2).flatten(2).std(dim=-1, correction=0)
    torch.testing.assert_close(deviation, torch.ones(3, 2, dtype=torch.float64), atol=1e-4, rtol=0)


def test_instance_norm_is_over_each_mixture_and_keeps_differences_between_bins() -> None:
    features = 5 + 3 * double(4, 2, 3, 50)
    normalized = InstanceNorm(2, 3).double()(features)
    torch.testing.assert_close(normalized.mean(dim=(1, 2, 3)), torch.zeros(4, dtype=torch.float64), atol=1e-9, rtol=0)
    rows, kept = features.flatten(1), normalized.flatten(1)
    for row, other in zip(rows, kept, strict=True):
        assert float(torch.corrcoef(torch.stack((row, other)))[0, 1]) == pytest.approx(1.0)
    silence = InstanceNorm(2, 3)(torch.full((1, 2, 3, 9), -80.0))
    assert silence.abs().max() < 1e-3


def test_data_norm_has_the_means_that_it_was_given() -> None:
    norm, features = DataNorm(2, 3), torch.randn(4, 2, 3, 50)
    assert torch.equal(norm(features), features)
    mean, deviation = torch.randn(2, 3), torch.rand(2, 3) + 0.5
    norm.set(mean, deviation)
    torch.testing.assert_close(norm(features)[1, 1, 2], (features[1, 1, 2] - mean[1, 2]) / deviation[1, 2])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_stack(cell: str, bidirectional: bool) -> None:
    config = RecurrentConfig.model_validate(
        {"cell": cell, "hidden": 3, "layers": 2, "bidirectional": bidirectional, "dropout": 0.0}
    )
    stack = RecurrentStack(4, config)
    assert stack.outputs == (6 if bidirectional else 3)
    assert stack(torch.zeros(2, 7, 4)).shape == (2, 7, stack.outputs)
    assert is_differentiable(stack, double(1, 4, 4))


def test_convolutions_keep_bins_and_frames() -> None:
    stack = ConvolutionStack(2, (3, 5), kernel=3)
    assert stack(torch.zeros(2, 2, 9, 11)).shape == (2, 5, 9, 11)
    assert is_differentiable(ConvolutionStack(1, (2,), kernel=3).eval(), double(1, 1, 4, 3))


@pytest.mark.parametrize(("bins", "frames"), [(8, 6), (9, 7), (1, 1), (65, 2)])
def test_a_unet_halves_and_doubles_any_number_of_bins_and_frames(bins: int, frames: int) -> None:
    features = torch.zeros(2, 3, bins, frames)
    down = DownBlock(3, 4)(features)
    assert down.shape == (2, 4, -(-bins // 2), -(-frames // 2))
    assert UpBlock(4, 3, 5)(down, features).shape == (2, 5, bins, frames)
    assert UNet(3, 4, levels=3, most=8).eval()(features).shape == (2, 4, bins, frames)


def test_small_blocks_have_the_gradients_of_finite_differences() -> None:
    assert is_differentiable(UNet(1, 2, levels=2, most=4).eval(), double(1, 1, 5, 4))
    assert is_differentiable(DualPathLayer(3, 2, "gru"), double(1, 3, 4, 3))
    assert is_differentiable(EmbeddingToMasks(3, 2, 1, 4, "softmax"), double(1, 3, 3))
    assert is_differentiable(EmbeddingToMasks(3, 2, 1, 4, "tanh_complex"), double(1, 3, 3))
    assert is_differentiable(ClusteringEmbedding(3, 2, 4, 3), double(1, 2, 3))
    assert is_differentiable(BandsToMasks((1, 3), 3, 4, 2, 1, "sigmoid"), double(1, 2, 3, 3))


def test_band_heads_put_bands_in_order() -> None:
    head = BandsToMasks((2, 3), 4, 5, sources=2, channels=1, activation="sigmoid")
    masks = head(torch.randn(1, 2, 6, 4))
    assert masks.shape == (1, 2, 1, 5, 6)
    changed = torch.randn(1, 2, 6, 4)
    base = changed.clone()
    changed[:, 1] += 1
    difference = (head(changed) - head(base)).abs()
    assert difference[..., :2, :].max() == 0
    assert difference[..., 2:, :].max() > 0
