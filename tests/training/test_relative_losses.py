"""Losses that several right answers share, and the density of settings."""

import math
from pathlib import Path

import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from graphmix.errors import GraphmixError
from graphmix.graph import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.models.config import model_config
from graphmix.models.mixing.estimator import build_estimator
from graphmix.models.mixing.neural import NeuralEstimator
from graphmix.models.mixing.stems import Stems
from graphmix.processors.rack import Rack
from graphmix.training.checkpoint import load_estimator
from graphmix.training.matching import console_target
from graphmix.training.proposal import propose_variants
from graphmix.training.relative_losses import density_term, fader_gains, relative_terms, spectrum_term
from graphmix.training.trainer import train
from tests.small_song import RATE, dry_tracks
from tests.training.tiny_songbook import DMC, GRAPH, tiny_config, true_graph, write_tiny_songbook

TRACKS = ("kick", "bass", "voice")
MODES = {**DMC, "modes": 3}


def console(gains: Tensor) -> MixGraph:
    graph = mixing_console(Rack.console("g"), {"low": TRACKS[:2], "high": TRACKS[2:]}, "g")
    graph.params["gain"] = gains
    return graph


def test_the_gains_behind_a_track_are_those_of_its_way_to_the_output() -> None:
    gains = torch.tensor([[0.0, -6.0], [1, 1], [2, 2], [-3, -3], [-4, 4]])
    graph = console(gains)
    graph.wet[graph.nodes_of("gain")[0]] = 0.25
    found = 20 * fader_gains(graph, TRACKS).log10()
    first = 20 * math.log10(0.75 + 0.25 * 10 ** (-6 / 20)) - 3
    assert found.flatten().tolist() == pytest.approx([-3, first, -2, -2, -2, 6], abs=1e-4)


def test_a_louder_master_and_a_mirrored_image_cost_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    gains = torch.randn(5, 2, generator=generator) * 4
    terms = relative_terms([console(gains - 5)], [console(gains.flip(1))], [TRACKS])
    assert float(terms["levels"]) == pytest.approx(0, abs=1e-5)
    assert float(terms["pan"]) == pytest.approx(0, abs=1e-5)


def test_a_track_of_three_that_is_6_db_louder_costs_what_it_should_and_has_a_gradient() -> None:
    gains = torch.zeros(5, 2)
    other = gains.clone()
    other[0] = 6.0
    other.requires_grad_()
    terms = relative_terms([console(other)], [console(gains)], [TRACKS])
    assert float(terms["levels"]) == pytest.approx((4 + 2 + 2) / 3 / 10, abs=1e-4)
    terms["levels"].backward()
    assert float(other.grad[0].sum()) > 0 > float(other.grad[1].sum())  # type: ignore[index]


def test_the_spectrum_is_compared_re_its_mean() -> None:
    mix = next(iter(dry_tracks().values()))
    assert float(spectrum_term(0.1 * mix, mix, RATE)) == pytest.approx(0, abs=1e-2)
    duller = torch.fft.irfft(torch.fft.rfft(mix) * torch.linspace(1, 0.01, mix.size(1) // 2 + 1), mix.size(1))
    assert float(spectrum_term(duller, mix, RATE)) > 0.1
    assert float(spectrum_term(mix, torch.zeros_like(mix), RATE)) == 0


def model_with_modes() -> NeuralEstimator:
    torch.manual_seed(0)
    model = build_estimator(model_config(MODES)).eval()
    assert isinstance(model, NeuralEstimator)
    return model


def stems() -> Stems:
    names = tuple(dry_tracks())
    return Stems(torch.stack([audio[:, :RATE] for audio in dry_tracks().values()]), names, RATE)


def test_the_density_is_a_mixture_of_normals() -> None:
    model = model_with_modes()
    songs = model.embed([stems()])
    target = console_target(true_graph(0), model.outputs_of(songs).consoles[0])
    found = float(density_term(model, songs, [target]).detach())
    assert model.modes is not None
    expected = []
    for mode in range(3):
        outputs = model.outputs_of([model.modes.embedded(songs[0], mode)])
        wanted = model.basis.encode("gain", target.params["gain"]).numpy()
        density = norm.logpdf(wanted, outputs.coefficients["gain"].detach().numpy(), 0.5).sum()
        off = (outputs.wet_logit.sigmoid() - target.wet).abs()[target.processors].sum().item()
        expected.append(density - off / 0.1 + math.log(1 / 3))
    assert found == pytest.approx(
        -math.log(sum(math.exp(e - max(expected)) for e in expected)) / 3 - max(expected) / 3, rel=1e-3
    )


def test_variants_differ_follow_the_seed_and_have_scores() -> None:
    model = model_with_modes()
    song = model.embed([stems()])[0]
    drawn = model.variants_of(song, 3, seed=5)
    again = model.variants_of(song, 3, seed=5)
    gains = [variant.graph.params["gain"] for variant in drawn]
    assert all(torch.equal(a, b.graph.params["gain"]) for a, b in zip(gains, again, strict=True))
    assert not torch.equal(gains[0], gains[1])
    assert all(math.isfinite(variant.score) for variant in drawn)


def test_a_shipped_model_says_that_it_has_one_answer(tmp_path: Path) -> None:
    from graphmix.audio import load_song

    song = load_song(write_tiny_songbook(tmp_path, 1) / "song_0", RATE)
    with pytest.raises(GraphmixError, match="has one proposal for a song"):
        propose_variants(load_estimator("graph"), song, 2)


@pytest.mark.parametrize(
    ("model", "loss"), [(MODES, {"density": 1.0}), (GRAPH, {"levels": 1.0, "pan": 1.0, "spectrum": 0.5})]
)
def test_models_train_on_the_terms_and_modes_are_kept(
    tmp_path: Path, model: dict[str, object], loss: dict[str, float]
) -> None:
    config = tiny_config(
        write_tiny_songbook(tmp_path / "book"), model, loss={"audio": 0.0, **loss}, training={"steps": 2}
    )
    trained = train(config, tmp_path / "out")
    loaded = load_estimator(tmp_path / "out")
    assert trained is not None
    assert loaded.has_variants is ("modes" in model)


def test_a_model_without_modes_has_no_density(tmp_path: Path) -> None:
    config = tiny_config(write_tiny_songbook(tmp_path / "book"), DMC, loss={"audio": 0.0, "density": 1.0})
    with pytest.raises(GraphmixError, match=r"cannot be trained on the term loss\.density"):
        train(config, tmp_path / "out")
