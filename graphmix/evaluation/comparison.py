r"""What a set of songs says beyond means: ratios to a baseline on the same songs, distances of distributions, roles.

* *Ratio*: mean of a column of one model over that of another, on the songs that both have; below 1 is better. Its
  interval is paired: a song is drawn with both.
* *Distance*: that of Wasserstein (order 1) between the values of a feature over the model's mixes and over the songs'
  own, whatever belongs to which song; the mean absolute difference of the sorted values. A model that makes all mixes
  alike may be near each mix and still far from how mixes differ.
* *Roles*: the error of the relative levels of tracks by what their names say that they are.

Intervals are those of :mod:`graphmix.evaluation.intervals`, over songs.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from graphmix.evaluation.intervals import Interval, Values, bootstrap, bootstrap_songs
from graphmix.evaluation.mix_features import FEATURES
from graphmix.evaluation.scores import LEVELLED, TRACK_LEVEL, Score

COMPARED = ("audio_loss", LEVELLED, TRACK_LEVEL)
"""Columns of which ratios are taken."""


def by_model(scores: Sequence[Score]) -> dict[str, list[Score]]:
    """Scores of each model, in their order."""
    found: dict[str, list[Score]] = {}
    for score in scores:
        found.setdefault(score.model, []).append(score)
    return found


def ratios(scores: Sequence[Score], baseline: str, seed: int = 0) -> dict[str, dict[str, Interval | None]]:
    """Model -> column of :data:`COMPARED` -> ratio of means to the baseline's; None where there is none.

    Args:
        scores: of all models and songs.
        baseline: name of the model that the others are compared with; it has no entry.
        seed: of the intervals.
    """
    models = by_model(scores)
    reference = {score.song_id: score for score in models.pop(baseline)}
    return {
        model: {column: _ratio(own, reference, column, seed) for column in COMPARED} for model, own in models.items()
    }


def _ratio(own: Sequence[Score], reference: Mapping[str, Score], column: str, seed: int) -> Interval | None:
    pairs = [
        (score.numbers.get(column), reference[score.song_id].numbers.get(column))
        for score in own
        if score.song_id in reference
    ]
    known = [pair for pair in pairs if all(x is not None and math.isfinite(x) for x in pair)]
    values = np.array(known, dtype=np.float64).reshape(-1, 2)
    if not len(values) or not values[:, 1].sum():
        return None
    return bootstrap_songs(float(_ratio_of_means(values)), values, _ratio_of_means, seed)


def _ratio_of_means(pairs: Values) -> Values:
    """[..., songs, 2] -> [...]; not a number where the baseline has nothing but zeros."""
    own, other = np.moveaxis(pairs.sum(-2), -1, 0)
    return np.divide(own, other, out=np.full_like(own, np.nan), where=other > 0)


def distances(scores: Sequence[Score], seed: int = 0) -> dict[str, dict[str, Interval | None]]:
    """Model -> feature -> distance of its values over the songs from those of the songs' own mixes."""
    return {model: {name: _distance(own, name, seed) for name in FEATURES} for model, own in by_model(scores).items()}


def _distance(scores: Sequence[Score], feature: str, seed: int) -> Interval | None:
    pairs = [(s.features[feature], s.wanted[feature]) for s in scores if feature in s.features and feature in s.wanted]
    values = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    if not len(values):
        return None
    return bootstrap_songs(float(_wasserstein(values)), values, _wasserstein, seed)


def _wasserstein(pairs: Values) -> Values:
    """[..., songs, 2] -> [...]."""
    ordered = np.sort(pairs, axis=-2)
    return np.asarray(np.abs(ordered[..., 0] - ordered[..., 1]).mean(-1))


def role_levels(scores: Sequence[Score], seed: int = 0) -> dict[str, dict[str, Interval | None]]:
    """Model -> role -> mean absolute error of the relative level of its tracks in LU, mean over songs that have any."""
    roles = list(dict.fromkeys(role for score in scores for role in score.roles))
    return {
        model: {
            role: bootstrap([float(np.mean(s.roles[role])) for s in own if role in s.roles], seed) for role in roles
        }
        for model, own in by_model(scores).items()
    }
