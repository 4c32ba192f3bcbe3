"""The oracle: the mix that follows from a song's content, without its chance.

No estimator can predict chance, nor the mixing style of an artist that it was not trained on. The mix that the
generator makes of the same tracks without both is therefore the best that an estimator can reach, and the audio loss
between it and the true mix is the loss that remains: the floor of any table of estimators. (It is the floor to good
approximation: chance is symmetric about the decision in dB, octaves and logarithms, not in the audio loss.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from graphmix.processors.base import Processor
from graphmix.songbook.files import mix_of, read_stored
from graphmix.songbook.mixing import Mixed, mix_session
from graphmix.songbook.session import MixingStyle


@dataclass(frozen=True)
class OracleLoss:
    """Audio losses against a song's true mix.

    Args:
        content: of the mix that follows from content alone.
        style: of the mix that follows from content and the artist's mixing style.
        same: of the mix with style and chance: the true one made again from the files, hence 0 but for rounding.
    """

    content: float
    style: float
    same: float


def oracle_mix(
    folder: str | Path, *, style: bool = False, chance: bool = False, effects: Sequence[Processor] = ()
) -> Mixed:
    """Mix a song of a songbook again from its written dry tracks.

    Args:
        folder: of the song.
        style: with the mixing style of its artist, else the common one.
        chance: with the chance of its mix; with both, the result is the true graph.
        effects: the captured effects that its tracks pass through. Which does is known to the oracle.

    Raises:
        SongError: the folder is no song of a songbook.
    """
    stored = read_stored(folder, effects)
    chosen = stored.style if style else MixingStyle()
    return mix_session(
        stored.session, chosen, stored.chance if chance else 0.0, stored.seed, gain_only=stored.gain_only
    )


def oracle_loss(folder: str | Path, effects: Sequence[Processor] = ()) -> OracleLoss:
    """Audio loss that remains where the content is known, and where the artist's mixing style is known too."""
    from graphmix.search.losses import mix_loss  # here: processes that only generate songs load no search

    rate = read_stored(folder, effects).session.sample_rate
    target = mix_of(Path(folder), rate)[None]
    losses = []
    for s, c in ((False, False), (True, False), (True, True)):
        mix = oracle_mix(folder, style=s, chance=c, effects=effects).mix
        losses.append(float(mix_loss(prediction=mix[None], target=target, sample_rate=rate)[0]))
    return OracleLoss(*losses)
