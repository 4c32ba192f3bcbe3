"""How many proposals break a rule of :mod:`graphmix.training.rules`, as they are and after the rules were applied.

    python benchmarks/rules.py --songs books/console --model graph --seconds 6 --log rules.jsonl

One line of JSON a song; songs that the log has are not done again. The table at the end counts songs.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch

from graphmix.evaluation import songs_to_evaluate
from graphmix.training import load_estimator
from graphmix.training.proposal import blocks_of
from graphmix.training.rule_checks import broken_rules
from graphmix.training.rules import Rules, apply_rules


def main() -> None:
    """Count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--songs", type=Path, required=True, help="songbook or collection")
    parser.add_argument("--model", default="graph")
    parser.add_argument("--first", type=int, default=200, help="so many songs")
    parser.add_argument("--seconds", type=float, default=6.0, help="of the beginning of each song")
    parser.add_argument("--log", type=Path, required=True)
    args = parser.parse_args()
    done = [json.loads(line) for line in args.log.read_text().splitlines()] if args.log.exists() else []
    known = {(row["model"], row["song"]) for row in done}
    model, rules = load_estimator(args.model).eval(), Rules()
    for found in songs_to_evaluate(args.songs)[: args.first]:
        if (args.model, found.song_id) in known:
            continue
        song, _ = found.load(model.sample_rate)
        song = replace(song, num_samples=min(song.num_samples, round(args.seconds * song.sample_rate)))
        with torch.no_grad():
            graph = model.forward_blocks(blocks_of(song))
        before = broken_rules(graph, song, model.rack, rules)
        ruled = apply_rules(graph, song, model.rack, rules)
        after = broken_rules(ruled.graph, song, ruled.rack, rules)
        row = {"model": args.model, "song": found.song_id, "tracks": song.num_tracks, "changes": list(ruled.changes)}
        row |= {name: [[b.rule, b.what] for b in broken] for name, broken in (("before", before), ("after", after))}
        done.append(row)
        with open(args.log, "a") as log:
            print(json.dumps(row), file=log, flush=True)
    rows = [row for row in done if row["model"] == args.model]
    for name in ("before", "after"):
        kinds = Counter(rule for row in rows for rule in {broken[0] for broken in row[name]})
        songs = sum(bool(row[name]) for row in rows)
        print(f"{args.model}, {name} the rules: {songs} of {len(rows)} songs break one; {dict(kinds)}")


if __name__ == "__main__":
    main()
