"""``graphmix songbook``: write songs with known answers, show what came out."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from graphmix.cli.effects import load_effects
from graphmix.songbook.settings import SongbookSettings


@dataclass(frozen=True)
class MaterialPaths:
    """Real scores and samples as they were given: folder of scores or ``music21``, soundfonts, drum kits, split."""

    scores: str | None = None
    soundfonts: tuple[Path, ...] = ()
    drumkits: Path | None = None
    split: str | None = None

    @property
    def is_given(self) -> bool:
        """Whether there is any."""
        return self.scores is not None or bool(self.soundfonts) or self.drumkits is not None


def run_songbook(
    out: Path,
    songs: int,
    settings: SongbookSettings,
    *,
    workers: int = 1,
    loops: Path | None = None,
    roles: Path | None = None,
    effects: Sequence[str] = (),
    material: MaterialPaths | None = None,
) -> None:
    """Write a songbook and say what is in it.

    Args:
        out: its folder.
        songs: how many songs it has in the end.
        settings: of all of them.
        workers: processes.
        loops: folder of audio files in place of the synthesized parts.
        roles: JSON file, role -> names of files in `loops`.
        effects: captured effects, each as ``letter=FILE``.
        material: real scores and samples in place of what is composed and synthesized.

    Raises:
        SongError: bad settings, a folder that holds something else, loops or material that cannot be used.
    """
    from graphmix.errors import SongError
    from graphmix.songbook import find_loops, find_material, write_songbook

    if roles is not None and loops is None:
        raise SongError(f"{roles} maps roles to loops, but no folder of loops is given: add --loops.")
    material = material or MaterialPaths()
    if material.split is not None and not material.is_given:
        raise SongError("a split is one of scores and instruments: add --scores, --soundfont or --drumkits.")
    if material.is_given and loops is not None:
        raise SongError("a songbook is made of loops or of scores and samples: leave out --loops or the others.")
    captured = load_effects(effects, settings.sample_rate)
    library = None if loops is None else find_loops(loops, roles)
    real = None
    if material.is_given:
        real = find_material(material.scores, material.soundfonts, material.drumkits, material.split)
    console = Console(highlight=False)
    columns = TextColumn("songs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    started = time.perf_counter()
    first: list[int] = []
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("songs", total=songs)

        def show(done: int, wanted: int) -> None:
            first.append(done)
            bar.update(task, completed=done, total=wanted)

        folders = write_songbook(
            out, songs, settings, workers=workers, loops=library, effects=captured, material=real, progress=show
        )
    made, seconds = songs - first[0], time.perf_counter() - started
    if made:
        speed = f"{made} songs in {seconds:.0f} s, {seconds / made:.2f} s each with {workers} workers"
    else:
        speed = f"all {songs} songs were there already"
    console.print(f"{out}: {speed}", markup=False, soft_wrap=True)
    for line in [*summary(folders), *(material_summary(folders) if real else [])]:
        console.print(line, markup=False, soft_wrap=True)


def summary(folders: list[Path]) -> list[str]:
    """What some songs of a songbook hold, in two lines; of many, a hundred are read."""
    from graphmix.graph.storage import load_graph
    from graphmix.search.rounds import count_processors

    step = max(1, len(folders) // 100)
    graphs = [load_graph(folder / "graph.safetensors") for folder in folders[::step]]
    if not graphs:
        return []
    counts: dict[str, int] = {}
    for graph in graphs:
        for kind, count in count_processors(graph).items():
            counts[kind] = counts.get(kind, 0) + count
    tracks = sum(int(graph.nodes_of("in").numel()) for graph in graphs)
    buses = sum(int(graph.nodes_of("mix").numel()) for graph in graphs)
    seconds = sum(graph.provenance["num_samples"] / graph.sample_rate for graph in graphs)
    each = ", ".join(f"{count / len(graphs):.1f} {kind}" for kind, count in counts.items())
    of = "" if step == 1 else f" (of {len(graphs)} songs looked at)"
    return [
        f"a song has {tracks / len(graphs):.1f} tracks, {buses / len(graphs):.1f} subgroups, "
        f"{seconds / len(graphs):.1f} s on average{of}",
        f"and {sum(counts.values()) / len(graphs):.1f} processors: {each}",
    ]


def material_summary(folders: list[Path]) -> list[str]:
    """What songs of real scores and samples were made of, and how many attempts were rejected, for which reasons."""
    from graphmix.songbook.files import read_facts

    scores: Counter[str] = Counter()
    instruments: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for folder in folders:
        facts = read_facts(folder)
        scores.update([facts["score"]] if "score" in facts else [])
        reasons.update(reason.split(":")[0] for reason in facts.get("rejected", []))
        played = {str(player) for its in facts.get("instruments", {}).values() for player in its["played_by"]}
        instruments.update(played)
    lines = [f"{len(scores)} scores, {len(instruments)} instruments" if scores else f"{len(instruments)} instruments"]
    unread = reasons.pop("unreadable", 0)
    rejected, attempts = sum(reasons.values()), len(folders) + sum(reasons.values())
    why = "; ".join(f"{reason} {count}" for reason, count in reasons.most_common())
    lines.append(f"{rejected} of {attempts} songs rejected ({100 * rejected / attempts:.1f} %{'; ' * bool(why)}{why})")
    return [*lines, f"{unread} scores could not be read and were replaced"] if unread else lines
