"""Songbooks of real scores and samples: CPU seconds a song, rejected attempts, where parts are from and who plays them.

    python benchmarks/real_songbook.py --songs 30 --split train

Songs are made one after another in this process; the first one, which compiles, is left out of the times.
"""

import argparse
import statistics
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from graphmix.cli.songbook_command import material_summary, summary
from graphmix.songbook import SongbookSettings, find_material, write_songbook
from graphmix.songbook.files import read_facts

SOUNDFONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
KITS = "/usr/share/hydrogen/data/drumkits"


def parse() -> argparse.Namespace:
    """Options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=int, default=30)
    parser.add_argument("--scores", default="music21")
    parser.add_argument("--soundfont", default=SOUNDFONT)
    parser.add_argument("--drumkits", default=KITS)
    parser.add_argument("--split")
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--max-tracks", type=int, default=12)
    return parser.parse_args()


def main() -> None:
    """Make the songs and print the figures."""
    options = parse()
    torch.set_num_threads(1)
    started = time.process_time()
    material = find_material(options.scores, [options.soundfont], options.drumkits, options.split)
    print(f"material found in {time.process_time() - started:.1f} s of CPU")
    settings = SongbookSettings(seed=options.seed, max_tracks=options.max_tracks)
    with TemporaryDirectory() as out:
        seconds, folders = [], []
        for index in range(options.songs):
            started = time.process_time()
            folders += write_songbook(out, [index], settings, material=material)
            seconds.append(time.process_time() - started)
        for line in (*summary(folders), *material_summary(folders), *origins(folders)):
            print(line)
    rest = seconds[1:] or seconds
    print(f"CPU seconds a song: mean {statistics.mean(rest):.2f}, median {statistics.median(rest):.2f}")


def origins(folders: list[Path]) -> list[str]:
    """Tracks by where their notes are from, and by what plays them."""
    parts: Counter[str] = Counter()
    players: Counter[str] = Counter()
    for folder in folders:
        for its in read_facts(folder)["instruments"].values():
            source = its["part"]
            endings = ("doubled", "in thirds")
            known = source in ("composed", "the score's drums")
            parts[next((e for e in endings if source.endswith(e)), source if known else "a part of the score")] += 1
            kinds = sorted(
                kind for player in its["played_by"] for kind in ("kit", "soundfont", "synthesis") if kind in player
            )
            players[" + ".join(kinds)] += 1
    return [f"parts: {dict(parts)}", f"played by: {dict(players)}"]


if __name__ == "__main__":
    main()
