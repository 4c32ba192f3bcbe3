r"""Losses that are quadratic in real masks, taken in the bins of the features, where they cost a fraction.

With masks m of the features' bins, expanded to M = E m of the coefficients, an estimate is M X, and for each source s

.. math:: \langle M X, s \rangle = \sum m \, E^T[\mathrm{Re}(X^* s)], \quad \|M X\|^2 = \sum M^2 |X|^2

are a linear and a quadratic form in m, whose coefficients depend on the data alone. So the signal-to-noise ratio of
coefficients and the squared error of magnitudes are computed exactly, without an estimate ever being written out.
"""

from dataclasses import dataclass

from torch import Tensor

from graphmix.models.masks.representation import Representation
from graphmix.training.separation.losses import snr_of_products
from graphmix.training.separation.mel_products import MelProducts


def mean_magnitude(mixture: Tensor) -> Tensor:
    """Mean magnitude of each mixture, so that soft examples count like loud ones, [N, 1, 1, 1, 1]."""
    return mixture.abs().mean(dim=(1, 2, 3)).clamp(min=1e-6)[:, None, None, None, None]


@dataclass(frozen=True)
class QuadraticForm:
    """Mixtures and their sources, as far as these losses need them.

    Args:
        square: weight of m squared, [N, channels, feature bins, frames].
        neighbor: weight of twice the product of neighboring bins' masks; None where masks are not expanded.
        cross: of each source with the mixture, [N, sources, channels, feature bins, frames].
        magnitude_cross: the same of their magnitudes, if it is asked for.
        energy: of each source, [N, sources].
        mixture_energy: [N, 1].
        scale: mean magnitude of each mixture, [N, 1].
        size: coefficients of a source.
    """

    square: Tensor
    neighbor: Tensor | None
    cross: Tensor
    magnitude_cross: Tensor | None
    energy: Tensor
    mixture_energy: Tensor
    scale: Tensor
    size: int

    @classmethod
    def of(
        cls, representation: Representation, mixture: Tensor, sources: Tensor, *, magnitudes: bool = True
    ) -> "QuadraticForm":
        """From the coefficients of mixtures and sources.

        Args:
            representation: which has them.
            mixture: [N, channels, bins, frames].
            sources: [N, sources, channels, bins, frames].
            magnitudes: whether :meth:`magnitude_mse` is asked for.
        """
        x, s = mixture.unsqueeze(1), sources
        power, source_power = _power(mixture), _power(sources)
        square, neighbor = representation.reduce_squares(power)
        cross = representation.reduce(x.real * s.real + x.imag * s.imag)
        magnitude_cross = representation.reduce((power.unsqueeze(1) * source_power).sqrt()) if magnitudes else None
        energy, mixture_energy = source_power.sum(dim=(2, 3, 4)), power.sum(dim=(1, 2, 3))[:, None]
        scale, size = mean_magnitude(mixture).flatten(1), s[0, 0].numel()
        return cls(square, neighbor, cross, magnitude_cross, energy, mixture_energy, scale, size)

    @classmethod
    def of_products(cls, products: MelProducts, size: int) -> "QuadraticForm":
        """From products that are summed already; ``size`` counts the coefficients of a source."""
        return cls(
            products.square,
            products.neighbor,
            products.cross,
            products.magnitude_cross,
            products.energy,
            products.mixture_energy,
            products.scale,
            size,
        )

    def estimate_energy(self, masks: Tensor) -> Tensor:
        """Energy of each estimate, [N, sources]."""
        total = (masks.square() * self.square.unsqueeze(1)).sum(dim=(2, 3, 4))
        if self.neighbor is not None:
            products = masks[..., :-1, :] * masks[..., 1:, :]
            total = total + 2 * (products * self.neighbor[:, None, :, :-1]).sum(dim=(2, 3, 4))
        return total

    def snr(self, masks: Tensor, floor: float) -> Tensor:
        """Signal-to-noise ratio of each source's coefficients in dB, [N, sources]; see :func:`snr_of_products`."""
        found = (masks * self.cross).sum(dim=(2, 3, 4))
        return snr_of_products(self.estimate_energy(masks), found, self.energy, floor * self.mixture_energy)

    def magnitude_mse(self, masks: Tensor) -> Tensor:
        """Mean squared error of magnitudes re the mixture's mean magnitude, [N, sources]."""
        assert self.magnitude_cross is not None, "it has to be asked for"
        found = (masks * self.magnitude_cross).sum(dim=(2, 3, 4))
        return (self.estimate_energy(masks) - 2 * found + self.energy) / self.size / self.scale.square()


def _power(coefficients: Tensor) -> Tensor:
    return coefficients.real.square() + coefficients.imag.square()
