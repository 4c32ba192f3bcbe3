"""Pretraining of a proxy of the channel strip, and its score.

Each step draws sounds and settings, processes them by the true chain, and moves the network towards the result. There
are three stages. *Clicks*, with the compressor at rest: the target is then the response of equalizer and reverb, of
which music reveals little, and some hundred steps suffice. *Levels*: the blocks that take levels learn the compressor
alone, from music and noise. Last, the whole network learns all settings. Sounds are excerpts of dry tracks, at random
levels and panning, and bursts of coloured noise, which excite a filter at all frequencies where music excites few.
Nothing is drawn twice.

Loss: error of the samples relative to the target, plus spectral convergence and the mean difference of logarithms at
several resolutions; each item by itself, brought to one level. Samples distinguish one reverb's noise from another's,
which magnitudes cannot.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import Any

import torch
from auraloss.freq import MultiResolutionSTFTLoss
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from graphmix.errors import GraphmixError
from graphmix.models.effects.proxy import TCNProxy
from graphmix.models.effects.strip import STRIP_TYPE, ChannelStrip, random_settings, unit_settings
from graphmix.search.losses import POWER_FLOOR
from graphmix.songbook.demo_stems import DEMO_SUBGROUPS, demo_stems

HELD_OUT = ("02_snare.wav", "06_electric_piano.wav", "09_lead.wav")
"""Held-out tracks of the demo song: one of drums, one of harmony, one of the lead."""
TRAINED_ON = tuple(name for names in DEMO_SUBGROUPS.values() for name in names if name not in HELD_OUT)

RESTING = ("equalizer_db", "ratio", "reverb_wet")
"""Settings that are neutral where an effect is at rest."""
_FFT_SIZES = (512, 1024, 2048)
_LEVEL = 0.1  # root mean square to which the loss brings each target
_AUDIBLE = 1e-3  # least root mean square of an excerpt
_TRIES = 8
_TAPS_RATE, _SLOPES_RATE = 2.0, 0.1  # of kernels and of PReLU slopes, as multiples of the learning rate
_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class ProxyTraining:
    """How a proxy is trained.

    Args:
        clicks: steps of Adam on clicks, the compressor at rest.
        levels: steps on sounds for the blocks that take levels, if there are any; equalizer and reverb at rest.
        steps: on sounds for the whole network.
        batch: sounds in each.
        seconds: of each sound.
        learning_rate: at its highest; it rises over the first ``warmup`` steps and falls along half a cosine to zero.
        first_rate: the same of clicks and levels.
        warmup: steps.
        calibration: batches that the statistics of batch normalization are measured on, before the first step.
        noise: share of noise among the sounds.
        rest: share of the settings that leave an effect at rest, for each effect.
        seed: of everything that is drawn.
    """

    clicks: int = 400
    levels: int = 200
    steps: int = 1000
    batch: int = 6
    seconds: float = 0.8
    learning_rate: float = 2e-3
    first_rate: float = 6e-3
    warmup: int = 50
    calibration: int = 8
    noise: float = 0.3
    rest: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        counts = self.steps, self.batch, self.calibration
        if min(counts) < 1 or min(self.clicks, self.levels, self.warmup) < 0 or self.seconds <= 0:
            raise GraphmixError(f"{self} cannot train; give 1 or more steps, sounds and batches, and some seconds.")

    def rate(self, step: int, steps: int) -> float:
        """Share of the learning rate at one of some steps."""
        return min(1.0, (step + 1) / (self.warmup + 1)) * 0.5 * (1 + cos(pi * min(1.0, step / max(1, steps))))


@dataclass(frozen=True)
class ProxyScore:
    """Multi-resolution STFT errors against the true chain: of the proxy, and of doing nothing; one for each sound."""

    proxy: tuple[float, ...]
    bypass: tuple[float, ...]

    @property
    def share(self) -> float:
        """Mean error of the proxy as a share of the bypass's."""
        return sum(self.proxy) / sum(self.bypass)


class Sounds:
    """Dry tracks from which excerpts are drawn.

    Args:
        tracks: [tracks, 2, samples].
        sample_rate: in Hz.

    Raises:
        GraphmixError: no track, or none that sounds.
    """

    def __init__(self, tracks: Tensor, sample_rate: int) -> None:
        if tracks.dim() != 3 or tracks.size(1) != 2 or float(_rms(tracks).amax() if tracks.numel() else 0) < _AUDIBLE:
            raise GraphmixError(f"tracks have shape {list(tracks.shape)}; give [tracks, 2, samples] that sound.")
        self.tracks, self.sample_rate = tracks, sample_rate

    @classmethod
    def of_demo_song(
        cls, names: Sequence[str], seeds: Sequence[int], sample_rate: int = 30000, seconds: float = 12.0
    ) -> "Sounds":
        """Some tracks of the demo song, as it sounds with these seeds."""
        songs = [demo_stems(sample_rate, seed, seconds) for seed in seeds]
        return cls(torch.stack([torch.from_numpy(song[name]) for song in songs for name in names]), sample_rate)

    def draw(self, count: int, seconds: float, generator: torch.Generator, noise: float = 0.0) -> Tensor:
        """Sounds at random levels and places between left and right, [count, 2, samples].

        Args:
            count: how many.
            seconds: of each.
            generator: of all choices.
            noise: share of coloured noise; the rest are excerpts of one track, or of two together.
        """
        length = round(seconds * self.sample_rate)
        sounds = []
        for _ in range(count):
            if _uniform(generator) < noise:
                sound = coloured_noise(length, self.sample_rate, generator)
            else:
                sound = self._excerpt(length, generator)
                if _uniform(generator) < 0.3:
                    sound = sound + self._excerpt(length, generator)
            sounds.append(_placed(sound, generator))
        return torch.stack(sounds)

    def _excerpt(self, length: int, generator: torch.Generator) -> Tensor:
        excerpt = torch.zeros(2, length)
        for _ in range(_TRIES):
            track = self.tracks[int(torch.randint(len(self.tracks), (), generator=generator))]
            latest = max(0, track.size(1) - length)
            start = int(torch.randint(latest + 1, (), generator=generator))
            part = track[:, start : start + length]
            excerpt = torch.nn.functional.pad(part, (0, length - part.size(1)))
            if float(_rms(excerpt)) >= _AUDIBLE:
                break
        return excerpt


def coloured_noise(length: int, sample_rate: int, generator: torch.Generator) -> Tensor:
    """Stereo noise that falls by up to 6 dB an octave, of random width, in half of the cases in bursts, [2, length]."""
    mid, side = torch.randn(2, length, generator=generator)
    width = _uniform(generator)
    bins = torch.arange(length // 2 + 1).clamp(min=1)
    colour = bins ** -_uniform(generator)
    noise = torch.fft.irfft(torch.fft.rfft(torch.stack([mid + width * side, mid - width * side])) * colour, length)
    if _uniform(generator) < 0.5:
        points = max(2, round(10 * length / sample_rate))
        levels_db = -40 * torch.rand(1, 1, points, generator=generator)
        curve = torch.nn.functional.interpolate(levels_db, length, mode="linear", align_corners=True)[0, 0]
        noise = noise * 10 ** (curve / 20)
    level_db = -30 + 20 * _uniform(generator)
    return noise * (10 ** (level_db / 20) / _rms(noise))


def clicks(count: int, length: int, generator: torch.Generator) -> Tensor:
    """One sample each that is not zero, on both sides, upright or not on each, -12 to 0 dB, [count, 2, length]."""
    sounds = torch.zeros(count, 2, length)
    for sound in sounds:
        signs = 1.0 - 2.0 * torch.randint(2, (2,), generator=generator)
        sound[:, length // 8] = signs * 10 ** (-12 * _uniform(generator) / 20)
    return sounds


def at_rest(settings: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Settings in some of which an effect does nothing: each effect for itself, so many of all, [nodes, 10]."""
    settings, neutral = settings.clone(), STRIP_TYPE.neutral()
    for name in RESTING:
        columns = STRIP_TYPE.columns(name)
        chosen = torch.rand(settings.size(0), generator=generator) < share
        settings[chosen, columns] = neutral[columns]
    return settings


def pretrain_proxy(
    proxy: TCNProxy,
    sounds: Sounds,
    training: ProxyTraining | None = None,
    report: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train a proxy in place and freeze it; it works on the device where the proxy is.

    Args:
        proxy: new, or trained before.
        sounds: to learn from, at the proxy's rate.
        training: how.
        report: called after each step with its number, from 1 on, and its loss.

    Returns:
        The losses of all steps.

    Raises:
        GraphmixError: the rates differ.
    """
    training = ProxyTraining() if training is None else training
    if sounds.sample_rate != proxy.sample_rate:
        raise GraphmixError(f"the sounds are at {sounds.sample_rate} Hz and the proxy at {proxy.sample_rate} Hz.")
    proxy.requires_grad_(True)
    device = proxy.network.lift.device
    generator = torch.Generator().manual_seed(training.seed)

    def draw_sounds(*resting: str) -> tuple[Tensor, Tensor]:
        audio = sounds.draw(training.batch, training.seconds, generator, training.noise)
        return audio.to(device), draw_settings(*resting)

    def draw_clicks() -> tuple[Tensor, Tensor]:
        audio = clicks(training.batch, round(training.seconds * proxy.sample_rate), generator)
        return audio.to(device), draw_settings("ratio")

    def draw_settings(*resting: str) -> Tensor:
        settings = at_rest(random_settings(training.batch, generator), training.rest, generator)
        for name in resting:
            settings[:, STRIP_TYPE.columns(name)] = STRIP_TYPE.neutral()[STRIP_TYPE.columns(name)]
        return settings.to(device)

    for _ in range(training.calibration):
        audio, settings = draw_sounds()
        proxy.network.calibrate(audio, unit_settings(settings))
    losses: list[float] = []

    def note(loss: float) -> None:
        losses.append(loss)
        if report is not None:
            report(len(losses), loss)

    _descend(proxy, draw_clicks, training, training.clicks, training.first_rate, note)
    with_levels = [block for block in proxy.network.tcn_blocks if block.config.levels]
    if with_levels:
        proxy.requires_grad_(False)
        for block in with_levels:
            block.requires_grad_(True)
        resting = "equalizer_db", "reverb_wet"
        _descend(proxy, lambda: draw_sounds(*resting), training, training.levels, training.first_rate, note)
        proxy.requires_grad_(True)
    _descend(proxy, draw_sounds, training, training.steps, training.learning_rate, note)
    proxy.freeze()
    return losses


def _descend(
    proxy: TCNProxy,
    draw: Callable[[], tuple[Tensor, Tensor]],
    training: ProxyTraining,
    steps: int,
    learning_rate: float,
    note: Callable[[float], None],
) -> None:
    """Some steps of Adam on sounds and settings that are drawn, for what requires a gradient."""
    strip = ChannelStrip(proxy.sample_rate).to(proxy.network.lift.device)
    optimizer = torch.optim.Adam(_groups(proxy, learning_rate), eps=1e-12)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: training.rate(step, steps))
    for _ in range(steps):
        audio, settings = draw()
        with torch.no_grad():
            target = strip(audio, settings)
        loss = proxy_loss(prediction=proxy(audio, settings), target=target)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(proxy.parameters(), _GRADIENT_NORM)
        optimizer.step()
        scheduler.step()
        note(float(loss.detach()))


def proxy_loss(*, prediction: Tensor, target: Tensor) -> Tensor:
    """The loss of pretraining, a mean over the items; [nodes, 2, samples] both."""
    scale = _LEVEL / _rms(target).clamp(min=1e-5)[:, None, None]
    prediction, target = (prediction * scale).flatten(0, 1), (target * scale).flatten(0, 1)
    pairs = target.size(0) // 2, 2
    loss = _relative(prediction, target, pairs)
    for size in _FFT_SIZES:
        found, wanted = _magnitudes(prediction, size), _magnitudes(target, size)
        log_difference = (found.log() - wanted.log()).abs().mean()
        loss = loss + (_relative(found, wanted, pairs) + log_difference) / len(_FFT_SIZES)
    return loss


@torch.no_grad()
def score_proxy(proxy: TCNProxy, audio: Tensor, settings: Tensor, floor: float = POWER_FLOOR) -> ProxyScore:
    """auraloss's multi-resolution STFT error of the proxy and of the bypass against the true chain.

    Args:
        proxy: to be scored.
        audio: sounds, [sounds, 2, samples].
        settings: one row for each, [sounds, 10].
        floor: of a bin's power. The default is that of graphmix's audio loss (some 80 dB below a sine at full scale);
            auraloss's own, 1e-8, also counts what is 120 dB below.
    """
    strip = ChannelStrip(proxy.sample_rate).to(audio.device)
    error = MultiResolutionSTFTLoss(eps=floor).to(audio.device)
    errors, bypass = [], []
    for sound, row in zip(audio.split(1), settings.split(1), strict=True):
        target = strip(sound, row).contiguous()
        errors.append(float(error(proxy(sound, row).contiguous(), target)))
        bypass.append(float(error(sound.contiguous(), target)))
    return ProxyScore(tuple(errors), tuple(bypass))


def _groups(proxy: TCNProxy, learning_rate: float) -> list[dict[str, Any]]:
    """Kernels move faster than the rest, the slopes of PReLUs slower."""
    rates = {"taps": _TAPS_RATE, "activation.weight": _SLOPES_RATE}
    groups: dict[float, list[Tensor]] = {1.0: [], **{rate: [] for rate in rates.values()}}
    for name, parameter in proxy.named_parameters():
        if parameter.requires_grad:
            groups[next((rate for ending, rate in rates.items() if name.endswith(ending)), 1.0)].append(parameter)
    return [{"params": some, "lr": learning_rate * rate} for rate, some in groups.items() if some]


def _magnitudes(audio: Tensor, size: int) -> Tensor:
    """[signals, samples] -> [signals, bins, frames]."""
    window = torch.hann_window(size, device=audio.device, dtype=audio.dtype)
    spectrum = torch.stft(audio, size, size // 4, window=window, pad_mode="constant", return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square()).clamp(min=POWER_FLOOR).sqrt()


def _relative(found: Tensor, wanted: Tensor, pairs: tuple[int, int]) -> Tensor:
    """Norm of the difference over the norm of what is wanted, left and right of an item together; mean over items."""
    difference = (found - wanted).unflatten(0, pairs).flatten(1).norm(dim=1)
    return (difference / wanted.unflatten(0, pairs).flatten(1).norm(dim=1).clamp(min=1e-6)).mean()


def _placed(sound: Tensor, generator: torch.Generator) -> Tensor:
    """At a random level, in half of the cases out of the middle, upright or not; its peak at most 1."""
    level_db = -12 + 18 * _uniform(generator)
    balance_db = 6 * (2 * _uniform(generator) - 1) if _uniform(generator) < 0.5 else 0.0
    polarity = 1.0 if _uniform(generator) < 0.5 else -1.0
    gains = torch.tensor([10 ** ((level_db + sign * balance_db) / 20) for sign in (1, -1)])
    placed = sound * (polarity * gains)[:, None]
    return placed / placed.abs().max().clamp(min=1.0)


def _rms(audio: Tensor) -> Tensor:
    """Root mean square over channels and samples, [..., 2, samples] -> [...]."""
    return audio.square().mean(dim=(-2, -1)).sqrt()


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))
