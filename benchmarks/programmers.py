"""Networks that propose patches: how near they come to unseen sounds, with one patch and with several that are played.

    python benchmarks/programmers.py models PATCHES --models separate joint-encoder joint-decoder
    python benchmarks/programmers.py draws PATCHES --models joint-encoder --sounds 50 --log draws.jsonl
    python benchmarks/programmers.py refine --sounds 3 --log refine.jsonl

*models*: distances (log-spectral, dB, see graphmix.synthesizers.sounds) of what trained networks (files, or folders of
``graphmix train-programmer``) propose for the test part of a folder of patches, at the true pitch, length and velocity,
beside the nearest training patch by spectrogram, the mean patch and a random one of the training part. The level is the
proposed one. Once more by the harmonic share of the sounds: the mean magnitude of the harmonic part over that of all,
of a harmonic-percussive separation (librosa), in four parts of equal size. --log keeps the distances; --picture draws
the networks' means over the sizes of their latent vectors.

*draws*: 1, 4, 16 and 64 patches of each kind are played at the pitch, length, velocity and *level* of the sound, and
the nearest of them counts: draws of a network (the first one is its best guess), the training patches nearest by
spectrogram, those nearest by the latent vector, random ones; draws and nearest by turns. CPU seconds a sound.

*refine*: sounds of random patches that are in no folder. The best of 64 draws of the network, and of these the refined
patch; descent alone and the whole refinement from a random patch in the same CPU seconds, none of them for compiling.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from time import process_time
from typing import Any

import librosa
import torch
from report import make_table, read_log
from rich.console import Console
from step import cpu_name
from synthesizers import RATE, SECONDS, make_sounds
from torch import Tensor

from graphmix.models.synthesizers import Programmer, load_programmer
from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.synthesizers import SYNTHESIZERS
from graphmix.synthesizers.candidates import BATCH, Candidate, measure, play, random_patches, try_patches
from graphmix.synthesizers.images import Sounds, patch_images
from graphmix.synthesizers.notes import Note
from graphmix.synthesizers.patch_set import PatchSet
from graphmix.synthesizers.program_run import SHIPPED, find_programmer, propose_patches
from graphmix.synthesizers.programming import refine
from graphmix.synthesizers.sounds import Sound, log_spectral_distance

COUNTS = (1, 4, 16, 64)
MORE = 1.1
"""So many times the seconds are given to a random start, as a few steps take longer each than many."""
Row = dict[str, Any]
Vectors = dict[str, Tensor]


def take(items: Sequence[tuple[str, int]], count: int | None) -> list[int]:
    """The first so many patches of each synthesizer, all if it is None."""
    return [i for name in dict(items) for i in islice((i for i, (own, _) in enumerate(items) if own == name), count)]


def harmonic_share(audio: Tensor) -> float:
    """Mean magnitude of the harmonic part of a sound over that of all, as in the paper on multi-task programming."""
    magnitude = librosa.stft(audio.numpy(), n_fft=2048, hop_length=512)
    harmonic, percussive = librosa.decompose.hpss(abs(magnitude))
    return float(harmonic.sum() / max(1e-9, (harmonic + percussive).sum()))


def load_networks(paths: Sequence[Path]) -> dict[str, Programmer]:
    """Networks by the names of their folders, the one that comes with graphmix as "shipped"."""
    return {"shipped" if path == SHIPPED else path.stem: load_programmer(find_programmer(path))[0] for path in paths}


def models(options: argparse.Namespace, console: Console) -> None:
    """What networks propose for unseen patches."""
    test, training = PatchSet(options.folder, "test"), PatchSet(options.folder, "train")
    networks = load_networks(options.models)
    config = next(iter(networks.values())).config
    unseen, known = (patch_images(part, config.mels, config.frames) for part in (test, training))
    renderer = Renderer(Rack.generators(RATE))
    rng = torch.Generator().manual_seed(0)
    rows: list[Row] = []
    for i in take(test.items, options.sounds):
        name, graph = test.items[i][0], test[i]
        pitch, _, length, velocity = graph.params["note"][0].tolist()
        note = {"pitch": pitch, "length_ms": length, "velocity": velocity}
        synthesizer = SYNTHESIZERS[name]
        own = known.vectors[known.which == unseen.which[i], : synthesizer.width]
        vectors = {
            "random": own[int(torch.randint(len(own), (1,), generator=rng))],
            "mean": own.mean(0),
            "nearest": own[nearest(known, unseen, i, known.images.flatten(1), unseen.images[i].flatten(), 1)[0]],
        }
        one = slice(i, i + 1)
        vectors |= {
            key: model.vectors(unseen.images[one], unseen.notes[one], name)[0] for key, model in networks.items()
        }
        graphs = [synthesizer.patch(synthesizer.values_of(v), RATE, **note) for v in vectors.values()]
        played = play([graph, *graphs], round(SECONDS * RATE), renderer)
        by = dict(zip(vectors, log_spectral_distance(played[1:], played[0]).tolist(), strict=True))
        rows.append({"synthesizer": name, "number": i, "harmonic": harmonic_share(played[0]), "by": by})
    print_models(rows, console)
    if options.log:
        options.log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if options.picture:
        means = {key: statistics.mean(row["by"][key] for row in rows) for key in rows[0]["by"]}
        draw_sizes(options.picture, {m.config.latent: means[key] for key, m in networks.items()}, means["nearest"])
    print(f"{len(rows)} sounds, {len(training)} training patches")


def print_models(rows: list[Row], console: Console) -> None:
    """Means by synthesizer, and by harmonic share."""
    keys, names = list(rows[0]["by"]), list(dict.fromkeys(row["synthesizer"] for row in rows))
    table = make_table("distance / dB of proposals for unseen patches, means", ["", *names, "all"])
    groups = [[row for row in rows if name in (row["synthesizer"], "all")] for name in (*names, "all")]
    for key in keys:
        table.add_row(key, *(f"{statistics.mean(row['by'][key] for row in own):.3f}" for own in groups))
    console.print(table)
    rows = sorted(rows, key=lambda row: row["harmonic"])
    quarters = [rows[len(rows) * i // 4 : len(rows) * (i + 1) // 4] for i in range(4)]
    ends = [f"{part[0]['harmonic']:.2f} to {part[-1]['harmonic']:.2f}" for part in quarters]
    table = make_table("the same by harmonic share", ["", *ends])
    for key in keys:
        table.add_row(key, *(f"{statistics.mean(row['by'][key] for row in part):.2f}" for part in quarters))
    console.print(table)


def draw_sizes(path: Path, means: dict[int, float], nearest_db: float) -> None:
    """The picture of distance over the size of the latent vector."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.2), layout="constrained")
    sizes = sorted(means)
    axes.semilogx(sizes, [means[size] for size in sizes], "o-", base=2, label="networks")
    axes.axhline(nearest_db, color="0.6", label="nearest training patch")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    top = 1.1 * max(nearest_db, *means.values())
    axes.set(xlabel="size of the latent vector", ylabel="log-spectral distance / dB", ylim=(0, top))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def nearest(known: Sounds, unseen: Sounds, i: int, ours: Tensor, wanted: Tensor, count: int) -> Tensor:
    """Of one sound's synthesizer the numbers of the training patches whose features are nearest."""
    own = known.which == unseen.which[i]
    return (ours[own] - wanted).square().sum(1).topk(count, largest=False).indices


def retrieved(known: Sounds, unseen: Sounds, i: int, name: str, most: int) -> Vectors:
    """The training patches that are played for a sound, the best first, [count, width]."""
    own = known.vectors[known.which == unseen.which[i], : SYNTHESIZERS[name].width]
    by_image = nearest(known, unseen, i, known.images.flatten(1), unseen.images[i].flatten(), most)
    rows = torch.randperm(len(own), generator=torch.Generator().manual_seed(i))[:most]
    return {"nearest by spectrogram": own[by_image], "random": own[rows]}


@torch.no_grad()
def proposed(model: Programmer, known: Sounds, codes: Tensor, unseen: Sounds, i: int, name: str, most: int) -> Vectors:
    """The patches of a network that are played for a sound, the best first, [count, width]."""
    one = slice(i, i + 1)
    code = model.encode(unseen.images[one], unseen.which[one])[0]
    own = known.vectors[known.which == unseen.which[i], : SYNTHESIZERS[name].width]
    drawn = model.draw(unseen.images[one], unseen.notes[one], name, most, torch.Generator().manual_seed(i))[0]
    return {"draws": drawn, "nearest by latent vector": own[nearest(known, unseen, i, codes, code, most)]}


def measure_draws(test: PatchSet, i: int, kinds: Vectors, renderer: Renderer) -> Row:
    """Distances of all patches of each kind from one sound, and CPU seconds."""
    pitch, _, length, velocity = test[i].params["note"][0].tolist()
    sound = Sound(test.audio(i), RATE, pitch, length, melody=(Note(pitch, length, 0.0, velocity),))
    synthesizer = SYNTHESIZERS[test.items[i][0]]
    row: Row = {"synthesizer": synthesizer.name, "number": i, "by": {}, "cpu": {}}
    for kind, vectors in kinds.items():
        begun = process_time()
        values = [synthesizer.values_of(vector) for vector in vectors]
        parts = [measure(sound, synthesizer, values[j : j + BATCH], renderer) for j in range(0, len(values), BATCH)]
        row["by"][kind] = [candidate.distance for candidate in chain.from_iterable(parts)]
        row["cpu"][kind] = process_time() - begun
    return row


def draws(options: argparse.Namespace, console: Console) -> None:
    """The nearest of several patches that are played."""
    test, training = PatchSet(options.folder, "test"), PatchSet(options.folder, "train")
    networks = load_networks(options.models)
    config = next(iter(networks.values())).config
    unseen, known = (patch_images(part, config.mels, config.frames) for part in (test, training))
    renderer = Renderer(Rack.generators(RATE))

    def run(key: str, kinds: Callable[..., Vectors]) -> list[Row]:
        log = options.log and options.log.with_stem(f"{options.log.stem}-{key}")
        rows = {row["number"]: row for row in read_log(log)}
        chosen = take(test.items, options.sounds)
        for i in chosen:
            if i not in rows:
                rows[i] = measure_draws(test, i, kinds(i=i, name=test.items[i][0]), renderer)
                append(log, rows[i])
        return [rows[i] for i in chosen]

    def codes_of(model: Programmer) -> Tensor:
        parts = zip(known.images.split(256), known.which.split(256), strict=True)
        with torch.no_grad():
            return torch.cat([model.encode(images, which)[0] for images, which in parts])

    found = {
        key: run(key, partial(proposed, model, known, codes_of(model), unseen, most=options.most))
        for key, model in networks.items()
    }
    others = run("training", partial(retrieved, known, unseen, most=options.most))
    for key, rows in found.items():
        pairs = zip(rows, others, strict=True)
        rows = [{**a, "by": a["by"] | b["by"], "cpu": a["cpu"] | b["cpu"]} for a, b in pairs]
        print_draws(key, rows, [count for count in COUNTS if count <= options.most], console)


def append(log: Path | None, row: Row) -> None:
    """Add a line to a log, if there is one."""
    if log:
        with log.open("a") as file:
            file.write(json.dumps(row) + "\n")


def by_turns(row: Row, kinds: Sequence[str], most: int) -> list[float]:
    """The first distances of several kinds, one of each in turn."""
    return list(chain.from_iterable(zip(*(row["by"][kind][:most] for kind in kinds), strict=True)))


def print_draws(title: str, rows: Sequence[Row], counts: Sequence[int], console: Console) -> None:
    """Means of the nearest of so many."""
    names = [*dict.fromkeys(row["synthesizer"] for row in rows), "all"]
    mixed = ("draws", "nearest by spectrogram"), ("draws", "nearest by latent vector")
    for name in names:
        own = [row for row in rows if name in (row["synthesizer"], "all")]
        table = make_table(
            f"{title}, {name}: distance / dB of the nearest of so many, means of {len(own)} sounds",
            ["", *map(str, counts), f"CPU s, {max(counts)}"],
        )
        for kinds in (*((kind,) for kind in rows[0]["by"]), *mixed):
            played = [by_turns(row, kinds, max(counts)) for row in own]
            cells = [f"{statistics.mean(min(some[:count]) for some in played):.2f}" for count in counts]
            cpu = statistics.mean(max(counts) * row["cpu"][k] / len(row["by"][k]) for row in own for k in kinds)
            table.add_row(", ".join(kinds), *cells, f"{cpu:.2f}")
        console.print(table)


def measure_refinement(name: str, sound: Sound, number: int, model: Programmer, options: argparse.Namespace) -> Row:
    """A sound refined from the network's proposals, and in the same seconds from a random patch."""
    synthesizer = SYNTHESIZERS[name]

    def timed(action: Callable[[], Any]) -> tuple[Any, float]:
        begun = process_time()
        return action(), process_time() - begun

    def from_network() -> list[Candidate]:
        return try_patches(sound, synthesizer, propose_patches(sound, model, max(COUNTS))[name])

    tried, first = timed(from_network)
    result, seconds = timed(lambda: refine(sound, synthesizer, tried, options.steps))
    (random,) = try_patches(sound, synthesizer, random_patches(synthesizer, number + 1, 0)[number:])
    row: Row = {"synthesizer": name, "number": number, "proposed": result.proposed, "refined": result.distance}
    row |= {"random": random.distance, "proposal cpu": first, "cpu": first + seconds}
    for key, trials in (("random, descent alone", False), ("random, all stages", True))[: 1 + options.parts]:
        few = max(10, options.steps // 4)
        _, taken = timed(lambda trials=trials, few=few: refine(sound, synthesizer, [random], few, trials=trials))
        steps = round(MORE * few * row["cpu"] / taken)
        found, taken = timed(
            lambda trials=trials, steps=steps: refine(sound, synthesizer, [random], steps, trials=trials)
        )
        row |= {key: found.distance, f"{key}, steps": steps, f"{key}, cpu": taken}
    return row


def refinements(options: argparse.Namespace, console: Console) -> None:
    """Refinement from proposals against a random start."""
    model, rows = load_programmer(find_programmer((options.models or [SHIPPED])[0]))[0], read_log(options.log)
    done = {(row["synthesizer"], row["number"]) for row in rows}
    for name, synthesizer in SYNTHESIZERS.items():
        for number, sound in enumerate(make_sounds(synthesizer, options.sounds, options.seconds)):
            if (name, number) not in done:
                refine(sound, synthesizer, try_patches(sound, synthesizer, random_patches(synthesizer, 1, 0)), 10)
                rows.append(measure_refinement(name, sound, number, model, options))
                append(options.log, rows[-1])
    names = [*SYNTHESIZERS, "all"]
    table = make_table(f"distance / dB, means; {options.steps} steps", ["", *names])
    groups = [[row for row in rows if name in (row["synthesizer"], "all")] for name in names]
    table.add_row("sounds", *(str(len(own)) for own in groups))
    for key in [key for key in rows[-1] if key not in ("synthesizer", "number")]:
        table.add_row(key, *(f"{statistics.mean(row[key] for row in own):.2f}" for own in groups))
    for start in [key for key in ("proposed", "random, descent alone", "random, all stages") if key in rows[-1]]:
        means = [sum(row["refined"] for row in own) / sum(row[start] for row in own) for own in groups]
        ratios = [statistics.mean(row["refined"] / row[start] for row in own) for own in groups]
        table.add_row(f"refined / {start}, of the means", *(f"{ratio:.2f}" for ratio in means))
        table.add_row(f"refined / {start}, mean of the ratios", *(f"{ratio:.2f}" for ratio in ratios))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("models", "draws", "refine"))
    parser.add_argument("folder", type=Path, nargs="?", help="of patches")
    parser.add_argument(
        "--models", type=Path, nargs="+", default=[SHIPPED], help="trained networks; the one of graphmix if not given"
    )
    parser.add_argument("--sounds", type=int, help="so many of each synthesizer at most")
    parser.add_argument(
        "--most", type=int, default=max(COUNTS), help="patches of each kind that are played for a sound"
    )
    parser.add_argument("--seconds", type=float, default=0.7, help="of each sound that is refined")
    parser.add_argument("--steps", type=int, default=200, help="of the refinement")
    parser.add_argument("--parts", action="store_true", help="also the whole refinement from a random patch")
    parser.add_argument("--threads", type=int, help="as the machine has, if not given")
    parser.add_argument("--log", type=Path, help="a line of JSON for each sound; draws and refine resume from it")
    parser.add_argument("--picture", type=Path, help="of distances over sizes of the latent vector, for models")
    options = parser.parse_args()
    if options.what != "refine" and options.folder is None:
        raise SystemExit("name a folder of patches")
    if options.what == "refine" and options.sounds is None:
        options.sounds = 3
    if options.threads:
        torch.set_num_threads(options.threads)
    console = Console(width=130)
    {"models": models, "draws": draws, "refine": refinements}[options.what](options, console)
    print(f"torch {torch.__version__}, {cpu_name()}")


if __name__ == "__main__":
    main()
