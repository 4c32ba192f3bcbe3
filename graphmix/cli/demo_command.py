"""``graphmix demo``: a song that graphmix synthesizes, mined, in words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from graphmix.cli.compiling import announcing_compilation
from graphmix.cli.progress import ProgressListener
from graphmix.cli.report_command import report_at_end
from graphmix.cli.terminal import new_console, say


@announcing_compilation()
def run_demo(out: Path, seed: int, *, report: bool = True) -> None:
    """``graphmix demo``.

    Args:
        out: output folder; an unfinished demo in it is resumed.
        seed: seed of every random choice.
        report: write a page to listen on, into the output folder.

    Raises:
        GraphmixError: an output folder that holds something else or cannot be written.
    """
    from graphmix.search import mine
    from graphmix.songbook.demo import DEMO_SETTINGS, write_demo_song

    settings = replace(DEMO_SETTINGS, seed=seed)
    console = new_console()
    song = write_demo_song(out / "song", seed)
    say(console, f"song: 10 tracks in 3 subgroups, 12 s, mixed through a hidden console: {song}/")
    with ProgressListener(console) as listener:
        mined = mine(song, out / "mined", settings, listener=listener)
    for line in in_words(mined.metrics, out, mined.already_done):
        say(console, line)
    report_at_end(console, out, wanted=report)


def in_words(metrics: dict[str, Any], out: Path, already_done: bool) -> list[str]:
    """What came out, a sentence a line."""
    from graphmix.io import read_json

    plain = metrics["baselines"]["plain sum"]
    seconds = sum(metrics["seconds"].values())
    hidden = read_json(out / "song" / "hidden_console.json")
    true_count = sum(1 for node in hidden["nodes"] if node["type"] not in ("in", "mix", "out"))
    return [
        "Already mined." if already_done else f"Mined in {seconds:.0f} s.",
        f"The plain sum of the dry tracks has an audio loss L_a of {plain:.3f} against the mix.",
        f"The full console of {metrics['processors_before']} processors comes to {metrics['console_loss']:.3f}.",
        f"The pruned graph needs {metrics['processors_left']} of them and comes to {metrics['audio_loss']:.3f} "
        f"(the hidden console has {true_count}).",
        f"Listen:  {out}/mined/mix.wav   beside {out}/song/mix.wav",
        f"Look:    {out}/mined/plots/graph.png, spectrograms.png, pruning.png",
        f"Read:    graphmix show {out}/mined",
    ]
