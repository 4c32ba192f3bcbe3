"""What few real songs teach: the static mix fitted to all artists but one, and evaluated on the songs of that one.

    python benchmarks/leave_one_out.py --songs ../shared/audio
    python benchmarks/leave_one_out.py --songs ../shared/audio --others graph random --json

A song's artist is the first word of its title, up to a hyphen ("Skiessi-Onion"). For each artist the numbers that
were fitted without it are printed, and then the table of ``graphmix evaluate``, with the ratio of each measure to that
of ``loudness_sum`` and its 95 % bootstrap interval over songs. The last line has the numbers fitted to all songs.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from report import make_table
from rich.console import Console
from step import cpu_name

from graphmix.evaluation.comparison import ratios
from graphmix.evaluation.evaluate import EvaluationSong, score_model, songs_to_evaluate
from graphmix.evaluation.human_mix import HumanMix
from graphmix.evaluation.scores import Score, summarize
from graphmix.models import StaticMix, StaticMixConfig, Stems
from graphmix.models.mixing.static_mix import Balance
from graphmix.models.mixing.static_mix_fit import fit_balance, stretches
from graphmix.songs.collection import SongFiles
from graphmix.training import load_estimator

BASELINE = "loudness_sum"
MEASURES = ("audio_loss", "audio_loss_levelled", "track_level_lu")


def artist_of(entry: EvaluationSong) -> str:
    """Of the title in the song's description, else of its folder's name."""
    description = entry.source.folder / "song.json" if isinstance(entry.source, SongFiles) else None
    title = entry.song_id
    if description is not None and description.is_file():
        title = str(json.loads(description.read_text()).get("name", title))
    return title.split("-")[0].strip()


def fitted(balance: Balance, rate: int) -> StaticMix:
    """The static mix with numbers that were fitted."""
    return StaticMix(StaticMixConfig(sample_rate=rate, **balance._asdict())).eval()


def text_of(balance: Balance) -> str:
    """In one line."""
    return ", ".join(f"{name} {value:.2f}" for name, value in balance._asdict().items())


def measure(folder: Path, others: Sequence[str], rate: int, console: Console) -> tuple[list[Score], Balance]:
    """Scores of the static mix, of levelling and of other models, and the numbers fitted to all songs."""
    entries = songs_to_evaluate(folder)
    loaded = {entry.song_id: entry.load(rate)[0] for entry in entries}
    models = {name: load_estimator(name).eval() for name in (BASELINE, *others)}
    stretch = {key: found for key, song in loaded.items() for found in stretches([Stems.from_song(song)], rate)}
    scores = []
    for artist in sorted({artist_of(entry) for entry in entries}):
        balance = fit_balance([stretch[entry.song_id] for entry in entries if artist_of(entry) != artist])
        console.print(f"without {artist}: {text_of(balance)}")
        model = fitted(balance, rate)
        for entry in entries:
            if artist_of(entry) == artist:
                human = HumanMix(loaded[entry.song_id])
                for name, own in {"static_mix": model, **models}.items():
                    scores.append(score_model(name, entry.song_id, own, human))
    return scores, fit_balance(list(stretch.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=Path, required=True, help="songs with their mixes")
    parser.add_argument("--others", nargs="*", default=[], help="models of graphmix to compare with")
    parser.add_argument("--rate", type=int, default=30000, help="in Hz")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    console = Console(width=140, stderr=options.json)
    scores, everything = measure(options.songs, options.others, options.rate, console)
    means, relative = summarize(scores), ratios(scores, BASELINE)
    if options.json:
        plain = {m: {k: v and [v.mean, v.low, v.high] for k, v in row.items()} for m, row in relative.items()}
        print(json.dumps({"work": "leave one out", "cpu": cpu_name(), "fitted": everything._asdict(), "ratios": plain}))
        return
    table = make_table(
        f"{len({s.song_id for s in scores})} songs", ["model", *MEASURES, *(f"{m} / {BASELINE}" for m in MEASURES)]
    )
    for name, row in means.items():
        own = relative.get(name, {})
        table.add_row(name, *(_cell(row.get(m)) for m in MEASURES), *(_cell(own.get(m)) for m in MEASURES))
    console.print(table)
    console.print(f"fitted to all songs: {text_of(everything)}")


def _cell(interval: object) -> str:
    return "–" if interval is None else f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
