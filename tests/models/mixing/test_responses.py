"""Responses: what is in the mix is read off it."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv1d

from graphmix.errors import GraphmixError
from graphmix.models import Stems
from graphmix.models.config import model_config
from graphmix.models.mixing.estimator import build_estimator
from graphmix.models.mixing.responses import Responses

RATE = 30000
REVERSE = {
    "name": "graph",
    "gnn": "gine",
    "channels": 16,
    "heads": 2,
    "layers": 1,
    "mels": 16,
    "reverse": True,
    "responses": True,
    "encoder": {"kind": "statistics", "width": 1, "embedding": 8},
}


def noise(tracks: int, seconds: float = 2.0, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(tracks, 2, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def test_faders_and_panorama_are_read_off() -> None:
    tracks = noise(3)
    gains = torch.tensor([[1.0, 0.5], [0.1, 0.1], [2.0, 0.25]])
    found = 25 * Responses(RATE)(tracks, (gains[:, :, None] * tracks).sum(0))[:, :, 0]
    assert torch.allclose(found[:, :, -1], 20 * gains.log10(), atol=0.1)
    assert torch.allclose(found[:, :, 8:], (20 * gains.log10())[:, :, None], atol=1.0)


def test_a_filter_is_read_off_band_by_band() -> None:
    tracks = noise(2, 10.0)
    kernel = torch.tensor([0.25, 0.5, 0.25])  # zero-phase: cos(pi f / rate) squared
    mix = conv1d(tracks[0][:, None], kernel[None, None], padding=1)[:, 0] + tracks[1]
    responses = Responses(RATE)
    found = 25 * responses(tracks, mix)[0, :, 0, :-1]
    bins = torch.arange(1025) / 2048
    power = torch.cos(torch.pi * bins).square()
    wanted = 20 * ((power[:, None] * responses.filters[:, :-1]).sum(0) / responses.filters[:, :-1].sum(0)).log10()
    assert torch.allclose(found[:, 6:62], wanted[6:62].expand(2, -1), atol=1.0)


def test_shares_add_up_to_what_is_explained() -> None:
    tracks = noise(3)
    shares = Responses(RATE)(tracks[:2], tracks.sum(0))[:, :, 1, -1]
    assert torch.allclose(shares.sum(0), torch.full((2,), 2 / 3), atol=0.02)


def test_a_track_that_is_not_there_has_no_gain() -> None:
    tracks = noise(2)
    found = Responses(RATE)(tracks, tracks[0])
    assert float(found[1, :, 0, -1].max()) * 25 < -40
    assert bool(Responses(RATE)(torch.zeros(1, 2, 5000), tracks[0, :, :5000]).isfinite().all())
    assert Responses(RATE)(tracks[:0], tracks[0]).shape == (0, 2, 2, 65)


@pytest.mark.parametrize("samples", [1, 700, 2048, 300 * 1024])
def test_any_length_has_finite_responses(samples: int) -> None:
    tracks = noise(2, samples / RATE)
    assert bool(Responses(RATE, 16)(tracks, tracks.sum(0)).isfinite().all())


def test_a_model_with_responses_keeps_the_laws() -> None:
    model = build_estimator(model_config(REVERSE)).eval()
    for parameter in model.parameters():  # so that every input matters
        parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    tracks = noise(4)
    tracks[3] = 0
    names = ("a", "b", "c", "silent")
    mix = tracks[0] + 0.3 * tracks[1] - 0.2 * tracks[2]
    stems = Stems(tracks, names, RATE, None, mix)
    fewer = Stems(tracks[:3], names[:3], RATE, None, mix)
    outputs = model.outputs([stems])
    for other in (
        stems.permuted([2, 3, 0, 1]),
        fewer,
        model.features(stems),
        model.features(stems.permuted([3, 1, 0, 2])),
    ):
        again = model.outputs([other])
        assert torch.equal(outputs.keep_logit, again.keep_logit)
        assert torch.equal(outputs.wet_logit, again.wet_logit)
        assert all(torch.equal(outputs.coefficients[name], again.coefficients[name]) for name in outputs.coefficients)
    louder = model.outputs([Stems(tracks, names, RATE, None, 2 * mix)])
    assert not torch.equal(outputs.keep_logit, louder.keep_logit)


def test_features_of_another_model_are_refused() -> None:
    model = build_estimator(model_config(REVERSE)).eval()
    stems = Stems(noise(2), ("a", "b"), RATE, None, noise(1)[0])
    seen = model.features(stems)
    with pytest.raises(GraphmixError, match=r"\[2, 2, 6, 17\], expected \[tracks, 2, 8, 17\]"):
        model.outputs([Stems(stems.audio, stems.names, RATE, None, stems.mix, seen.features[:, :, :6])])


@pytest.mark.parametrize("change", [{"reverse": False}, {"encoder": {"kind": "vggish"}}])
def test_responses_ask_for_the_mix_and_the_right_encoder(change: dict[str, object]) -> None:
    with pytest.raises(GraphmixError, match='responses are known in reverse mode, by the encoder "statistics"'):
        model_config({**REVERSE, **change})
