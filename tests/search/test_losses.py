"""The audio loss against auraloss and real songs, its gradients, gain staging and SDR in closed form."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor
from torchaudio.functional import resample

from graphmix.errors import SearchError
from graphmix.search.losses import (
    FFT_SIZES,
    LossTerms,
    MixLoss,
    TargetFeatures,
    gain_staging,
    gated_level,
    mix_loss,
    sdr,
    si_sdr,
)
from graphmix.search.weighted_spectra import Stft, SymmetricFilter, banded, mel_filters

RATE = 30_000
SEGMENT = 84_000


@pytest.fixture(scope="module")
def loss() -> MixLoss:
    return MixLoss(RATE)


@pytest.fixture
def small_loss() -> MixLoss:
    """Short transforms in double precision, for gradients by finite differences."""
    return MixLoss(RATE, fft_sizes=(32, 64), num_mels=6, eps=1e-6).double()


def noise(*shape: int, level: float = 0.1) -> Tensor:
    return level * torch.randn(*shape)


def auraloss_terms(prediction: Tensor, target: Tensor) -> list[float]:
    pytest.importorskip("librosa")
    from auraloss.freq import MultiResolutionSTFTLoss

    peer = MultiResolutionSTFTLoss(
        fft_sizes=list(FFT_SIZES),
        hop_sizes=[size // 4 for size in FFT_SIZES],
        win_lengths=list(FFT_SIZES),
        sample_rate=RATE,
        scale="mel",
        n_bins=96,
        perceptual_weighting=True,
        eps=1e-4,
    )
    mid, side = ([x[:, :1] + sign * x[:, 1:] for x in (prediction, target)] for sign in (1, -1))
    return [peer(*pair).item() for pair in ((prediction, target), mid, side)]


@pytest.mark.parametrize("level", [1e-3, 0.1, 1.0])
def test_each_term_equals_auraloss(loss: MixLoss, level: float) -> None:
    prediction, target = noise(1, 2, RATE, level=level), noise(1, 2, RATE)
    terms = loss(prediction=prediction, target=target)
    expected = auraloss_terms(prediction, target)
    assert [x.item() for x in terms[1:]] == pytest.approx(expected, rel=1e-4)
    assert terms.total.item() == pytest.approx(float(np.dot(expected, [0.5, 0.25, 0.25])), rel=1e-4)


def test_a_nearly_mono_mix_keeps_the_accuracy_of_its_side(loss: MixLoss) -> None:
    mono = noise(1, 1, RATE)
    prediction = mono + noise(1, 2, RATE, level=1e-5)
    target = mono + noise(1, 2, RATE, level=1e-3)
    terms = loss(prediction=prediction, target=target)
    assert [x.item() for x in terms[1:]] == pytest.approx(auraloss_terms(prediction, target), rel=1e-4)


def test_the_target_divides_the_convergence(loss: MixLoss) -> None:
    quiet, loud = noise(1, 2, RATE, level=0.01), noise(1, 2, RATE)
    too_loud = loss(prediction=loud, target=quiet).total
    too_quiet = loss(prediction=quiet, target=loud).total
    assert too_loud > 2 * too_quiet


def test_gradient_equals_that_of_automatic_differentiation(loss: MixLoss) -> None:
    """The same loss written with torch.stft and conv1d, in double precision, differentiated by PyTorch."""
    double = MixLoss(RATE).double()
    prediction, target = noise(1, 2, 9_001).double().requires_grad_(), noise(1, 2, 9_001).double()
    (grad,) = torch.autograd.grad(double(prediction=prediction, target=target).total, prediction)
    (expected,) = torch.autograd.grad(plain_loss(double, prediction, target), prediction)
    torch.testing.assert_close(grad, expected, rtol=1e-9, atol=1e-12)


def plain_loss(module: MixLoss, prediction: Tensor, target: Tensor) -> Tensor:
    taps = module.get_buffer("banded_taps")[:101, 0].reshape(1, 1, -1)

    def mel(signal: Tensor, size: int) -> Tensor:
        weighted = torch.nn.functional.conv1d(signal[:, None], taps, padding=50)[:, 0]
        window = torch.hann_window(size).double()
        power = torch.stft(weighted, size, size // 4, window=window, return_complex=True).abs().square()
        return mel_filters(RATE, size, 96).double().t() @ power.clamp(min=1e-4).sqrt()

    total = torch.zeros(())
    for size in FFT_SIZES:
        for weight, mixer in (
            (0.5, torch.eye(2)),
            (0.25, torch.ones(1, 2)),
            (0.25, torch.tensor([[1.0, -1.0]])),
        ):
            found, wanted = (mel(mixer.double() @ x[0], size) for x in (prediction, target))
            logs = (found.log() - wanted.log()).abs().mean()
            total = total + weight * (logs + (found - wanted).norm() / wanted.norm()) / len(FFT_SIZES)
    return total


def test_loss_of_a_batch_is_the_mean_of_its_items(loss: MixLoss) -> None:
    levels = torch.tensor([0.01, 0.1, 1.0]).reshape(3, 1, 1)
    prediction, target = levels * noise(3, 2, 20_000), levels.flip(0) * noise(3, 2, 20_000)
    together = loss(prediction=prediction, target=target)
    alone = [loss(prediction=prediction[i : i + 1], target=target[i : i + 1]) for i in range(3)]
    for name in LossTerms._fields:
        mean = torch.stack([getattr(terms, name) for terms in alone]).mean()
        torch.testing.assert_close(getattr(together, name), mean, rtol=1e-5, atol=1e-6)
    items = loss.per_item(prediction=prediction, target=target).total
    torch.testing.assert_close(items, torch.stack([t.total for t in alone]), rtol=1e-5, atol=1e-6)


def test_one_target_meets_several_predictions(loss: MixLoss) -> None:
    trials, target = noise(3, 2, 9_000), noise(2, 9_000)
    together = loss.per_item(prediction=trials, target=loss.features(target)).total
    repeated = loss.per_item(prediction=trials, target=target.expand(3, 2, -1)).total
    torch.testing.assert_close(together, repeated)


def test_loss_of_a_mix_and_itself_is_zero_and_so_is_its_gradient(loss: MixLoss) -> None:
    mix = noise(2, 2, 9_000).requires_grad_()
    terms = loss(prediction=mix, target=mix.detach())
    assert [x.item() for x in terms] == [0.0] * 4
    terms.total.backward()
    assert mix.grad is not None
    assert not mix.grad.any()


def test_features_of_the_target_give_the_same_number_as_the_target(loss: MixLoss) -> None:
    prediction, target = noise(2, 2, 9_000), noise(2, 2, 9_000).requires_grad_()
    features = loss.features(target)
    assert isinstance(features, TargetFeatures)
    assert features.batch_size == 2
    assert not any(x.requires_grad for x in (*features.mels, *features.log_mels, *features.norms))
    moved = features.to("cpu")
    expected = loss(prediction=prediction, target=target.detach())
    assert loss(prediction=prediction, target=moved) == expected


@pytest.mark.parametrize("target_level", [0.0, 0.1])
def test_silence_has_a_finite_loss_and_gradient(loss: MixLoss, target_level: float) -> None:
    silence = torch.zeros(1, 2, 9_000, requires_grad=True)
    total = loss(prediction=silence, target=noise(1, 2, 9_000, level=target_level)).total
    total.backward()
    assert silence.grad is not None
    assert total.isfinite()
    assert silence.grad.isfinite().all()


@pytest.mark.parametrize("level", [1e-30, 1e-5, 1e4])
def test_extreme_levels_have_finite_gradients(loss: MixLoss, level: float) -> None:
    prediction = noise(1, 2, 9_000, level=level).requires_grad_()
    loss(prediction=prediction, target=noise(1, 2, 9_000)).total.backward()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()


def test_filter_equals_conv1d_and_passes_gradcheck() -> None:
    half = torch.randn(5, dtype=torch.double)
    taps = torch.cat((half, half[:-1].flip(0)))
    for num_samples in (1, 127, 128, 300):
        audio = torch.randn(1, 2, num_samples, dtype=torch.double, requires_grad=True)
        expected = torch.nn.functional.conv1d(audio[0, :, None], taps[None, None], padding=4)[:, 0]
        torch.testing.assert_close(SymmetricFilter.apply(audio, banded(taps))[0], expected)
        assert torch.autograd.gradcheck(lambda x: SymmetricFilter.apply(x, banded(taps)), audio)


@pytest.mark.parametrize("num_samples", [16, 40, 43])
def test_windowed_spectra_are_those_of_torch_and_pass_gradcheck(num_samples: int) -> None:
    window = torch.hann_window(16).double()
    audio = torch.randn(2, 2, num_samples, dtype=torch.double, requires_grad=True)
    expected = torch.stft(audio.flatten(0, 1), 16, 4, window=window, center=False, return_complex=True).mT.unflatten(
        0, (2, 2)
    )
    torch.testing.assert_close(Stft.apply(audio, window), expected)
    assert torch.autograd.gradcheck(lambda x: Stft.apply(x, window), audio)


def test_whole_loss_passes_gradcheck(small_loss: MixLoss) -> None:
    prediction = torch.randn(2, 2, 150, dtype=torch.double, requires_grad=True)
    features = small_loss.features(torch.randn(2, 2, 150, dtype=torch.double))
    assert torch.autograd.gradcheck(lambda x: small_loss(prediction=x, target=features).total, prediction)


def test_prediction_and_target_are_keywords_only(loss: MixLoss) -> None:
    mix = noise(1, 2, 9_000)
    for function in (loss, mix_loss, sdr, si_sdr):
        with pytest.raises(TypeError):
            function(mix, mix)


def test_function_equals_module_even_after_inference_mode(loss: MixLoss) -> None:
    prediction, target = noise(1, 2, 9_000), noise(1, 2, 9_000)
    expected = loss(prediction=prediction, target=target)
    with torch.inference_mode():
        assert mix_loss(prediction=prediction, target=target) == expected
    mix_loss(prediction=prediction.requires_grad_(), target=target).total.backward()
    assert prediction.grad is not None


def test_mel_filters_are_librosas() -> None:
    filters = pytest.importorskip("librosa.filters")
    for size in FFT_SIZES:
        expected = torch.from_numpy(filters.mel(sr=RATE, n_fft=size, n_mels=96))
        torch.testing.assert_close(mel_filters(RATE, size, 96).t(), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
@pytest.mark.filterwarnings("ignore:At least one mel filterbank")
def test_loss_is_finite_at_other_sample_rates(rate: int) -> None:
    terms = MixLoss(rate)(prediction=noise(1, 2, rate // 2), target=noise(1, 2, rate // 2))
    assert all(x.isfinite() for x in terms)


def test_errors_name_what_was_found(loss: MixLoss) -> None:
    mix = noise(1, 2, 9_000)
    with pytest.raises(SearchError, match=r"stereo.*\[1, 1, 9000\]"):
        loss(prediction=mix[:, :1], target=mix)
    with pytest.raises(SearchError, match=r"1000 samples.*needs 2049"):
        loss(prediction=mix[..., :1000], target=mix[..., :1000])
    with pytest.raises(SearchError, match=r"8000 samples.*9000.*same segment"):
        loss(prediction=mix[..., :8000], target=mix)
    with pytest.raises(SearchError, match=r"1 items.*3 of"):
        loss(prediction=mix, target=mix.expand(3, 2, -1))
    with pytest.raises(SearchError, match="float64"):
        loss(prediction=mix.double(), target=mix)
    with pytest.raises(SearchError, match="multiples of 4"):
        MixLoss(RATE, fft_sizes=(510,))
    with pytest.raises(SearchError, match="eps is 0"):
        MixLoss(RATE, eps=0)
    with pytest.raises(SearchError, match="equal length"):
        sdr(prediction=mix, target=mix[..., :10])
    with pytest.raises(SearchError, match="each processor"):
        gain_staging(torch.ones(2), torch.ones(3))


def read(path: Path) -> Tensor:
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return resample(torch.from_numpy(audio.T.copy()), rate, RATE)


@pytest.mark.parametrize(("song", "figure"), [("mauiwowi", 1.807), ("final_step", 1.871), ("krem_kaakkuja", 0.981)])
def test_plain_sum_of_a_real_song_has_the_figure_measured_with_auraloss(
    loss: MixLoss, shared_audio: Path, song: str, figure: float
) -> None:
    """Windows of 2.8 s, each weighing as many samples as it holds; the mix has a tail where stems end."""
    target = read(shared_audio / song / "mix.flac")
    total = torch.zeros_like(target)
    for path in sorted((shared_audio / song / "dry").glob("*.flac")):
        stem = read(path)
        total[:, : stem.size(-1)] += stem
    windows = zip(total.split(SEGMENT, -1), target.split(SEGMENT, -1), strict=True)
    sums = [x.size(-1) * loss(prediction=x, target=y).total.item() for x, y in windows]
    assert sum(sums) / total.size(-1) == pytest.approx(figure, abs=6e-4)


def test_gain_staging_is_the_log_ratio_of_amplitudes() -> None:
    wet, dry = torch.tensor([4.0, 1.0, 9.0]), torch.tensor([1.0, 100.0, 9.0])
    assert gain_staging(wet, dry).item() == pytest.approx(math.log(2) + math.log(10))
    assert gain_staging(wet[:0], dry[:0]).item() == 0


def test_gain_staging_of_silence_is_zero_with_finite_gradients() -> None:
    energies = torch.zeros(2, 3, requires_grad=True)
    staging = gain_staging(*energies)
    staging.backward()
    assert staging.item() == 0
    assert energies.grad is not None
    assert energies.grad.isfinite().all()
    wet = torch.ones(3, requires_grad=True)
    gain_staging(wet, torch.zeros(3)).backward()
    assert wet.grad is not None
    assert wet.grad.isfinite().all()


def test_sdr_equals_its_closed_form() -> None:
    target = noise(3, 2, 1000)
    torch.testing.assert_close(sdr(prediction=0.9 * target, target=target), torch.full((3,), 20.0))
    assert sdr(prediction=target, target=target).isinf().all()
    assert sdr(prediction=target, target=torch.zeros_like(target)).isneginf().all()
    assert sdr(prediction=0 * target, target=torch.zeros_like(target)).isposinf().all()


def test_si_sdr_ignores_the_level_and_equals_its_closed_form() -> None:
    time = torch.arange(1000, dtype=torch.double) * 2 * torch.pi / 100
    target = torch.stack((time.sin(), 0.5 * time.sin())).float()
    error = torch.stack((time.cos(), 0.5 * time.cos())).float()  # orthogonal to the target
    for level in (0.01, 1.0, 30.0):
        found = si_sdr(prediction=level * (target + 0.1 * error), target=target)
        assert found.item() == pytest.approx(20, abs=1e-3)


def test_si_sdr_is_infinite_for_an_exact_match_and_minus_infinite_where_one_side_is_silent() -> None:
    target = noise(2, 1000)
    silence = torch.zeros_like(target)
    assert si_sdr(prediction=0.5 * target, target=target) > 100
    assert si_sdr(prediction=target, target=target).isposinf()
    assert si_sdr(prediction=silence, target=silence).isposinf()
    assert si_sdr(prediction=silence, target=target).isneginf()
    assert si_sdr(prediction=target, target=silence).isneginf()


def song_of(*levels: float) -> list[Tensor]:
    """Segments of a song, [1, 2, 30000] each, of noise at these levels."""
    return [level * 0.1 * noise(1, 2, 30_000) for level in levels]


def level_of(loss: MixLoss, segments: list[Tensor]) -> Tensor:
    return gated_level(torch.cat([loss.levels(loss.features(x)) for x in segments]), torch.ones(len(segments)))


def test_sounding_segments_have_the_papers_loss_to_the_last_bit(loss: MixLoss) -> None:
    segments = song_of(1, 0.5, 0.1)
    level = level_of(loss, segments)
    for target in segments:
        prediction = 0.7 * target.roll(100, -1)
        known = loss(prediction=prediction, target=target, song_level=level)
        assert known == loss(prediction=prediction, target=target)


@pytest.mark.parametrize("rest", [0.0, 3e-5, 1e-3], ids=["digital silence", "dither", "-60 dB"])
def test_what_leaks_into_a_silent_segment_costs_as_much_as_the_song_is_loud(loss: MixLoss, rest: float) -> None:
    sounding, silent = song_of(1, rest)
    level = level_of(loss, [sounding, silent])
    paper = loss(prediction=sounding, target=silent).total
    leak = loss(prediction=sounding, target=silent, song_level=level)
    assert paper > 20
    assert leak.total.item() == pytest.approx(1, abs=0.3)
    assert loss(prediction=0.1 * sounding, target=silent, song_level=level).total < 0.2
    assert loss(prediction=silent, target=silent, song_level=level).total == 0


def test_loss_is_continuous_where_a_segment_falls_silent(loss: MixLoss) -> None:
    (sounding,) = song_of(1)
    level = level_of(loss, [sounding])
    values = [
        float(loss(prediction=sounding, target=share * sounding, song_level=level).total)
        for share in torch.logspace(-1, -3, 70).tolist()
    ]
    ratios = [after / before for before, after in pairwise(values)]
    assert max(ratios) < 1.5
    assert min(ratios) > 1 / 1.5
    assert all(math.isfinite(value) for value in values)


def test_signals_that_are_silent_in_the_whole_song_are_compared_as_in_the_paper(loss: MixLoss) -> None:
    mono = noise(1, 1, 30_000).expand(1, 2, -1)
    level = level_of(loss, [mono, mono])
    prediction = noise(1, 2, 30_000)
    assert loss(prediction=prediction, target=mono, song_level=level) == loss(prediction=prediction, target=mono)
    silence = torch.zeros(1, 2, 30_000)
    level = level_of(loss, [silence])
    assert loss(prediction=prediction, target=silence, song_level=level) == loss(prediction=prediction, target=silence)


def test_level_of_a_song_does_not_depend_on_how_long_it_is_silent(loss: MixLoss) -> None:
    alone, with_rests = level_of(loss, song_of(1)), level_of(loss, song_of(1, *[0.0] * 20))
    torch.testing.assert_close(with_rests, alone, rtol=0.05, atol=0)


def test_items_of_a_batch_may_come_from_songs_of_different_levels(loss: MixLoss) -> None:
    targets = torch.cat(song_of(1, 0))
    predictions = noise(2, 2, 30_000)
    levels = torch.stack([level_of(loss, song_of(1)), level_of(loss, song_of(0.3))])
    together = loss.per_item(prediction=predictions, target=targets, song_level=levels).total
    for item in range(2):
        one = slice(item, item + 1)
        alone = loss(prediction=predictions[one], target=targets[one], song_level=levels[item])
        torch.testing.assert_close(together[item], alone.total)
