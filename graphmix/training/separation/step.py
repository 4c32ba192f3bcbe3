"""The loss of one step: mixtures through a separator, its estimates against the stems."""

import torch
from torch import Tensor, nn

from graphmix.models.masks.representation import Mel
from graphmix.models.masks.separator import MaskEstimator, MaskOutput
from graphmix.training.separation.config import SeparationLoss
from graphmix.training.separation.losses import (
    deep_clustering,
    dominant_source,
    is_audible,
    magnitude_loss,
    permutation_invariant,
    si_sdr,
    snr_of_products,
)
from graphmix.training.separation.mel_products import mel_products
from graphmix.training.separation.quadratic import QuadraticForm, mean_magnitude
from graphmix.training.separation.remix import Mixtures, color_curves

SDR_UNIT_DB, SDR_EPS = 10.0, 1e-3
"""Ratios count in tens of dB, and SI-SDR up to 30 dB."""
SNR_FLOOR = 1e-3
"""What lies 30 dB below the mixture's energy is neither asked for nor missed."""
QUADRATIC = {"magnitude_mse", "spectral_snr", "deep_clustering"}
"""Terms that can be taken in the features' bins."""


class SeparationStep(nn.Module):
    """A separator and its losses.

    Args:
        model: to be trained.
        loss: weights of the terms.

    Shape:
        mixtures and their stems -> the terms, and their weighted sum as ``"total"``.
    """

    def __init__(self, model: MaskEstimator, loss: SeparationLoss) -> None:
        super().__init__()
        self.model, self.loss = model, loss
        real = getattr(model.config, "mask", "sigmoid") != "tanh_complex"
        named = {name for name, weight in loss.weights.items() if weight}
        self.is_quadratic = real and named <= QUADRATIC and not loss.permutation_invariant
        """Whether the losses are quadratic in the masks, so that they are taken in the features' bins."""
        self.in_bands = self.is_quadratic and isinstance(model.representation, Mel) and not loss.deep_clustering
        """Whether sums over mel bands are all that is needed of the coefficients."""

    def forward(self, batch: Mixtures) -> dict[str, Tensor]:
        """The terms of a step."""
        model, weights = self.model, self.loss.weights
        stems = as_channels(batch.stems, model.channels)
        mixture = as_channels(batch.mixture, model.channels)
        with torch.no_grad():
            targets = model.representation.encode(stems.flatten(0, 1)).unflatten(0, stems.shape[:2])
            audible = is_audible(stems.flatten(0, 1)).unflatten(0, stems.shape[:2])
            curves = self._curves(batch.color_db)
            in_one_pass = self.in_bands and targets.device.type == "cpu"
            if curves is None:
                coefficients = model.representation.encode(mixture)
            elif not in_one_pass:
                targets = targets * curves[:, :, None, :, None]
                coefficients = targets.sum(dim=1)
                if weights["si_sdr"]:
                    stems = model.representation.decode(targets.flatten(0, 1), stems.size(-1)).view_as(stems)
        if curves is not None and in_one_pass:
            terms, embedding = self._summed(targets, curves, audible)
        elif self.is_quadratic:
            terms, embedding = self._quadratic(coefficients, targets, audible)
        else:
            output = model.analyze(coefficients)
            terms, embedding = self._direct(output, targets, stems, audible), output.embedding
        if weights["deep_clustering"]:
            terms["deep_clustering"] = self._clustering(embedding, targets)
        total = torch.stack([weights[name] * value for name, value in terms.items() if weights[name]]).sum()
        return {"total": total, **terms}

    def _curves(self, color_db: Tensor) -> Tensor | None:
        """Amplitude gains of the stems' colors, [N, sources, bins]; None where there are none."""
        if not color_db.size(-1):
            return None
        frequencies = self.model.representation.frequencies(self.model.sample_rate)
        return color_curves(color_db, frequencies.to(color_db))

    def _quadratic(self, mixture: Tensor, targets: Tensor, audible: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """Terms that need no coefficient of an estimate, and the embedding."""
        representation, weights = self.model.representation, self.loss.weights
        with torch.no_grad():
            features = representation.features(mixture)
            form = QuadraticForm.of(representation, mixture, targets, magnitudes=weights["magnitude_mse"] > 0)
        return self._terms_of(form, features, audible)

    def _summed(self, stems: Tensor, curves: Tensor, audible: Tensor) -> tuple[dict[str, Tensor], Tensor | None]:
        """The same for mixtures that are sums of colored stems, in mel bands on the CPU."""
        representation = self.model.representation
        assert isinstance(representation, Mel), "asked for above"
        products = mel_products(representation, stems, curves)
        form = QuadraticForm.of_products(products, stems[0, 0].numel())
        return self._terms_of(form, products.features, audible)

    def _terms_of(
        self, form: QuadraticForm, features: Tensor, audible: Tensor
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        weights = self.loss.weights
        masks, embedding = self.model.estimate(features)
        terms = {}
        if weights["magnitude_mse"]:
            terms["magnitude_mse"] = form.magnitude_mse(masks).mean()
        if weights["spectral_snr"]:
            terms["spectral_snr"] = _mean_negative(form.snr(masks, SNR_FLOOR), audible)
        return terms, embedding

    def _direct(self, output: MaskOutput, targets: Tensor, stems: Tensor, audible: Tensor) -> dict[str, Tensor]:
        """Terms of the estimates' coefficients and of what is decoded from them."""
        weights, estimates = self.loss.weights, output.estimates
        scale = mean_magnitude(output.mixture)
        terms: dict[str, Tensor] = {}
        if self.loss.permutation_invariant:
            value, order = permutation_invariant(magnitude_loss, estimates / scale, targets / scale)
            terms["magnitude_l1"] = value.mean()
            estimates = estimates[torch.arange(len(order), device=order.device)[:, None], order]
        elif weights["magnitude_l1"]:
            terms["magnitude_l1"] = magnitude_loss(estimates / scale, targets / scale).mean()
        if weights["magnitude_mse"]:
            terms["magnitude_mse"] = magnitude_loss(estimates / scale, targets / scale, 2).mean()
        if weights["spectral_snr"]:
            ratio = spectral_snr(estimates, targets, output.mixture, SNR_FLOOR)
            terms["spectral_snr"] = _mean_negative(ratio, audible)
        if weights["si_sdr"]:
            decoded = self.model.representation.decode(estimates.flatten(0, 1), stems.size(-1))
            ratio = si_sdr(decoded, stems.flatten(0, 1), eps=SDR_EPS)
            terms["si_sdr"] = _mean_negative(ratio.view_as(audible), audible)
        return terms

    def _clustering(self, embedding: Tensor | None, targets: Tensor) -> Tensor:
        assert embedding is not None, "the configuration allows deep clustering for such models alone"
        features = self.model.representation.features(targets.flatten(0, 1)).unflatten(0, targets.shape[:2])
        best, weights = dominant_source(features)
        return deep_clustering(embedding, best, weights).mean()


def as_channels(audio: Tensor, channels: int) -> Tensor:
    """Stereo audio [..., 2, samples] for a separator of so many channels: as it is, or its mid."""
    return audio if channels == audio.size(-2) else audio.mean(dim=-2, keepdim=True)


def spectral_snr(estimates: Tensor, targets: Tensor, mixture: Tensor, floor: float) -> Tensor:
    """Signal-to-noise ratio of coefficients in dB, [N, sources]; ``floor`` re the mixture's energy."""
    return snr_of_products(
        _products(estimates, estimates),
        _products(estimates, targets),
        _products(targets, targets),
        floor * mixture.abs().square().sum(dim=(1, 2, 3))[:, None],
    )


def _products(a: Tensor, b: Tensor) -> Tensor:
    """Inner products, [N, sources]."""
    return (a.real * b.real + a.imag * b.imag).sum(dim=(2, 3, 4))


def _mean_negative(ratios_db: Tensor, audible: Tensor) -> Tensor:
    """Mean of negative ratios over sources that are audible, in tens of dB; zero where there is none."""
    return -(ratios_db * audible).sum() / audible.sum().clamp(min=1) / SDR_UNIT_DB
