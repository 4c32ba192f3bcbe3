"""Networks that propose patches: masks, shapes, losses, files."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from graphmix.errors import GraphmixError
from graphmix.models.synthesizers import Programmer, ProgrammerConfig, load_programmer, note_features, save_programmer

SIZES = {"small": (1, 3), "large": (1, 1, 4, 1), "middle": (2, 1)}
DESIGNS = ("separate", "joint_encoder", "joint_decoder")
ALL = pytest.mark.parametrize("design", DESIGNS)


def a_model(design: str, **changes: object) -> Programmer:
    torch.manual_seed(0)
    sizes = {"sizes": SIZES, "mels": 16, "frames": 12, "channels": 2, "latent": 5, "hidden": (7,)}
    return Programmer(ProgrammerConfig.model_validate({"design": design, **sizes, **changes}))


def a_batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    which = torch.tensor([2, 0, 1, 1, 0, 2, 2])
    notes = note_features(torch.linspace(36, 84, 7), torch.linspace(150, 2500, 7))
    return torch.rand(7, 16, 12, generator=generator), which, notes, torch.rand(7, 7, generator=generator)


@ALL
def test_shapes_and_masks(design: str):
    model, (images, which, notes, _) = a_model(design).eval(), a_batch()
    raw = model(images, which, notes)
    assert raw.shape == (7, 7)
    widths = torch.tensor([4, 7, 3])[which]
    assert torch.equal(raw != 0, torch.arange(7) < widths[:, None])
    mean, log_variance = model.encode(images, which)
    assert mean.shape == log_variance.shape == (7, 5)
    assert model.reconstruct(mean, which).shape == images.shape


@ALL
def test_sounds_do_not_depend_on_their_order(design: str):
    model, (images, which, notes, _) = a_model(design).eval(), a_batch()
    order = torch.tensor([3, 6, 0, 5, 1, 2, 4])
    torch.testing.assert_close(model(images[order], which[order], notes[order]), model(images, which, notes)[order])


@pytest.mark.parametrize(("design", "autoencoders", "decoders"), zip(DESIGNS, (3, 1, 1), (3, 3, 1), strict=True))
def test_the_designs_share_what_the_paper_says(design: str, autoencoders: int, decoders: int):
    model = a_model(design)
    assert (len(model.autoencoders), len(model.decoders)) == (autoencoders, decoders)


@ALL
def test_only_the_synthesizer_of_a_sound_learns_from_it(design: str):
    model, (images, _, notes, vectors) = a_model(design).train(), a_batch()
    which = torch.ones(7, dtype=torch.long)
    model.loss(model.terms(images, which, notes, vectors)).backward()
    learned = [any(p.grad is not None and p.grad.abs().sum() > 0 for p in d.parameters()) for d in model.decoders]
    assert learned == ([True] if design == "joint_decoder" else [False, True, False])


def test_the_last_decoder_of_a_narrow_synthesizer_is_masked():
    model, (images, _, notes, vectors) = a_model("joint_decoder"), a_batch()
    which = torch.full((7,), 2)
    model.loss(model.terms(images, which, notes, vectors)).backward()
    gradient = model.decoders[0][-1].weight.grad
    assert (gradient[:3].abs().sum(1) > 0).all()
    assert not gradient[3:].any()


@ALL
def test_the_loss_is_that_of_its_formula(design: str):
    model, (images, which, notes, vectors) = a_model(design).eval(), a_batch()
    terms = model.terms(images, which, notes, vectors)
    mean, log_variance = model.encode(images, which)
    variance = log_variance.exp()
    divergence = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, variance.sqrt()), torch.distributions.Normal(0.0, 1.0)
    )
    torch.testing.assert_close(terms.divergence, divergence.sum(1).mean())
    torch.testing.assert_close(terms.reconstruction, functional.mse_loss(model.reconstruct(mean, which), images))
    raw, total = model(images, which, notes), 0.0
    for row, number in enumerate(which.tolist()):
        column, own = 0, []
        for size in list(SIZES.values())[number]:
            found, wanted = raw[row, column : column + size], vectors[row, column : column + size]
            column += size
            if size == 1:
                own.append(float((torch.sigmoid(found) - wanted).square()))
            else:
                own.append(-float(found.log_softmax(0)[wanted.argmax()]))
        total += sum(own) / len(own)
    assert float(terms.parameters) == pytest.approx(total / 7, rel=1e-5)
    expected = terms.reconstruction + 0.25 * model.config.beta * terms.divergence + terms.parameters
    torch.testing.assert_close(model.loss(terms, 0.25), expected)


@ALL
def test_it_learns_a_few_sounds_by_heart(design: str):
    model, (images, which, notes, vectors) = a_model(design, hidden=(32,), latent=16, channels=4, beta=0.0), a_batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    first = float(model.terms(images, which, notes, vectors).parameters)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss(model.terms(images, which, notes, vectors)).backward()
        optimizer.step()
    assert float(model.terms(images, which, notes, vectors).parameters) < 0.2 * first


def test_features_of_notes_are_about_one_and_reach_the_decoders_if_asked_for():
    notes = note_features(torch.tensor([36.0, 60.0, 84.0]), torch.tensor([0.0, 600.0, 2500.0]))
    torch.testing.assert_close(notes[:, 0], torch.tensor([-1.0, 0.0, 1.0]))
    assert notes[1, 1] == 0
    assert notes.isfinite().all()
    images, which, ours, _ = a_batch()
    for uses in (False, True):
        model = a_model("joint_encoder", notes=uses).eval()
        same = torch.equal(model(images, which, ours), model(images, which, ours + 1))
        assert same is not uses


@ALL
def test_a_model_survives_its_file(design: str, tmp_path: Path):
    model, (images, which, notes, _) = a_model(design).eval(), a_batch()
    again, about = load_programmer(save_programmer(model, tmp_path / "m.safetensors", {"steps": 3}))
    assert about == {"steps": 3}
    assert torch.equal(again(images, which, notes), model(images, which, notes))
    vectors = again.vectors(images, notes, "large")
    assert vectors.shape == (7, 7)
    assert ((vectors >= 0) & (vectors <= 1)).all()
    torch.testing.assert_close(vectors[:, 2:6].sum(1), torch.ones(7))
    with pytest.raises(GraphmixError, match="the model knows small, large, middle, and not 'fm'"):
        again.vectors(images, notes, "fm")


@ALL
def test_draws_begin_with_the_best_guess_and_are_patches(design: str):
    model, (images, _, notes, _) = a_model(design).eval(), a_batch()

    def draw(count: int, seed: int = 0) -> torch.Tensor:
        return model.draw(images, notes, "large", count, torch.Generator().manual_seed(seed))

    drawn = draw(5)
    assert drawn.shape == (7, 5, 7)
    torch.testing.assert_close(drawn[:, 0], model.vectors(images, notes, "large"))
    torch.testing.assert_close(draw(1), drawn[:, :1])
    assert torch.equal(draw(5), drawn)
    assert not torch.equal(draw(5, seed=1)[:, 1:], drawn[:, 1:])
    assert ((drawn >= 0) & (drawn <= 1)).all()
    choices = drawn[:, 1:, 2:6]
    assert torch.equal(choices, functional.one_hot(choices.argmax(-1), 4).float())
    assert len(drawn[0, :, 0].unique()) == 5


def test_draws_follow_the_probabilities_and_the_spread():
    model, (images, _, notes, _) = a_model("joint_encoder").eval(), a_batch()
    one, other = images[:1], notes[:1]
    drawn = model.draw(one, other, "large", 4000, torch.Generator().manual_seed(0), spread=0.0)[0]
    best = model.vectors(one, other, "large")[0]
    torch.testing.assert_close(drawn[:, [0, 1, 6]], best[[0, 1, 6]].expand(4000, -1))
    torch.testing.assert_close(drawn[1:, 2:6].mean(0), best[2:6], atol=0.03, rtol=0)
    deviations = [
        model.draw(one, other, "large", 200, torch.Generator().manual_seed(0), spread)[0, :, 0].std()
        for spread in (0.5, 1.0, 2.0)
    ]
    assert deviations == sorted(deviations)


def test_draws_of_nothing_are_refused():
    model, (images, _, notes, _) = a_model("joint_encoder").eval(), a_batch()
    with pytest.raises(GraphmixError, match="0 patches are to be drawn for each sound; it takes 1 or more"):
        model.draw(images, notes, "large", 0, torch.Generator())
    with pytest.raises(GraphmixError, match="the model knows small, large, middle, and not 'fm'"):
        model.draw(images, notes, "fm", 2, torch.Generator())


def test_what_is_no_model_is_refused_in_one_sentence(tmp_path: Path):
    path = save_programmer(a_model("separate"), tmp_path / "m.safetensors")
    content = path.read_bytes()
    for name, damaged, message in (
        ("cut", content[: len(content) // 2], "damaged or cut off"),
        ("empty", b"", "damaged or cut off"),
        ("other", content.replace(b"graphmix_programmer", b"graphmix_progressor"), "this is no network that proposes"),
        ("key", content.replace(b'\\"latent\\"', b'\\"talent\\"'), "the key 'talent' is unknown"),
        ("size", content.replace(b'\\"latent\\": 5', b'\\"latent\\": 6'), "put together from two"),
        ("old", content.replace(b'\\"version\\": 1', b'\\"version\\": 7'), "its version is 7, this graphmix reads 1"),
    ):
        assert damaged != content, name
        (tmp_path / f"{name}.safetensors").write_bytes(damaged)
        with pytest.raises(GraphmixError, match=rf"cannot load .*{name}\.safetensors: .*{message}"):
            load_programmer(tmp_path / f"{name}.safetensors")
    with pytest.raises(GraphmixError, match=r"none\.safetensors: there is no such file"):
        load_programmer(tmp_path / "none.safetensors")
