r"""Several answers for a song: a mixture of densities over all settings of its console at once.

One mix is as right as another, and the mean of two may be neither. With K *modes* a song has K predictions of its
console, one for each, and a density around each:

.. math:: p(c \mid x) = \sum_{k=1}^K \pi_k(x) \prod_{n} \mathcal{N}\big(c_n;\ \mu_{nk}(x),\ \sigma^2\big)

c_n are the coefficients of node n, sigma is learned for each coefficient of a type. A mode is a vector that is added to
the embeddings of all tracks, so that a whole console is of one mode: what is drawn hangs together (mixture density
networks: Bishop 1994).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from graphmix.models.mixing.canonical import EmbeddedSong
from graphmix.models.mixing.outputs import Outputs

START_SPREAD = 0.5
"""Standard deviation of an untrained model's coefficients, which are in standard deviations of the true ones."""
LEAST_LOG_SPREAD = -4.0
START_MODE = 0.3
"""Standard deviation of the vectors of modes before training."""


class Modes(nn.Module):
    """Modes of a model: their vectors, their weights for a song, the spread of each coefficient.

    Args:
        count: K.
        embedding: size of the embedding of a track.
        sizes: coefficients of each type.
    """

    def __init__(self, count: int, embedding: int, sizes: Mapping[str, int]) -> None:
        super().__init__()
        self.vectors = nn.Embedding(count, embedding)
        nn.init.normal_(self.vectors.weight, std=START_MODE)
        self.weights = nn.Linear(embedding, count)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)
        start = torch.tensor(START_SPREAD).log()
        self.spreads = nn.ParameterDict({name: nn.Parameter(start.repeat(size)) for name, size in sizes.items()})

    @property
    def count(self) -> int:
        """K."""
        return self.vectors.num_embeddings

    def embedded(self, song: EmbeddedSong, mode: int) -> EmbeddedSong:
        """A song as it is embedded for a mode."""
        return replace(song, tracks=song.tracks + self.vectors.weight[mode].to(song.tracks))

    def log_weights(self, songs: Sequence[EmbeddedSong]) -> Tensor:
        """Logarithms of the probabilities of the modes, [songs, K]."""
        means = [song.tracks.sum(0) / max(1, song.num_tracks) for song in songs]
        weights: Tensor = self.weights(torch.stack(means)).float().log_softmax(1)
        return weights

    def log_spread(self, name: str) -> Tensor:
        """Logarithms of the standard deviations of a type's coefficients, [k]."""
        spread: Tensor = self.spreads[name]
        return spread.clamp(min=LEAST_LOG_SPREAD)

    def log_density(self, name: str, coefficients: Tensor, means: Tensor) -> Tensor:
        """Log-density of each coefficient around its mean, [nodes, k] -> [nodes, k]."""
        return torch.distributions.Normal(means, self.log_spread(name).exp()).log_prob(coefficients)

    @torch.no_grad()
    def draw(self, outputs: Outputs, generator: torch.Generator) -> tuple[Outputs, float]:
        """Coefficients drawn around those of some outputs, and the mean log-density of one."""
        drawn, densities = {}, []
        for name, means in outputs.coefficients.items():
            noise = torch.randn(means.shape, generator=generator).to(means)
            drawn[name] = means + noise * self.log_spread(name).exp().to(means)
            densities.append(self.log_density(name, drawn[name], means).flatten())
        together = torch.cat(densities) if densities else torch.zeros(0)
        return replace(outputs, coefficients=drawn), float(together.mean()) if together.numel() else 0.0
