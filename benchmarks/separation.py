"""Separators: a training step against openunmix's own model class at equal size and batch, and networks compared.

    python benchmarks/separation.py step            # seconds of a step, ours and theirs in turns
    python benchmarks/separation.py networks SONGS OUT [--steps 300] [--batch 8] [--seconds 4]
    python benchmarks/separation.py real FOLDER [--model separator]
    python benchmarks/separation.py mine SONGS [--songs 4] [--steps 100] [--chain g]

``step``: both take magnitudes that are there already and compute masks, the mean squared error of magnitudes, gradients
and an AdamW step, of one source; both have the same sizes (bins, hidden units, layers, bandwidth). ``pip install
openunmix``. ``networks`` trains mask inference, chimera and U-Net on the same songs, steps and seeds. ``real`` takes
sums of the dry tracks of songs in FOLDER apart into drums, bass and the rest (vocals and other together); which is
which is said by words in the names of tracks. ``mine`` mixes the wet stems of songs again, with other faders
and panning, and mines that with the true stems and with those that a separator makes of the old mix.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from graphmix.models.masks import build_separator

if TYPE_CHECKING:
    from graphmix import MixGraph
    from graphmix.audio.song import Song

RATE, N_FFT, HOP, BANDWIDTH = 44100, 4096, 1024, 16000.0
NETWORKS = ("separator-lstm", "separator-chimera", "separator")


def make_theirs(hidden: int, layers: int) -> nn.Module:
    from openunmix.model import OpenUnmix
    from openunmix.utils import bandwidth_to_max_bin

    used = bandwidth_to_max_bin(RATE, N_FFT, BANDWIDTH)
    return OpenUnmix(nb_bins=N_FFT // 2 + 1, nb_channels=2, hidden_size=hidden, nb_layers=layers, max_bin=used)


def make_ours(hidden: int, layers: int) -> nn.Module:
    return build_separator(
        {
            "model": "open_unmix",
            "sources": ["vocals"],
            "hidden": hidden,
            "layers": layers,
            "bandwidth_hz": BANDWIDTH,
            "representation": {"kind": "stft", "n_fft": N_FFT, "hop": HOP},
        }
    )


def make_step(model: nn.Module, estimate: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, y: torch.Tensor):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model.train()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = (estimate(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def time_steps(hidden: int, layers: int, batch: int, seconds: float, repeats: int) -> None:
    frames = round(seconds * RATE / HOP)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(batch, 2, N_FFT // 2 + 1, frames, generator=generator)
    y = x * torch.rand(batch, 2, N_FFT // 2 + 1, frames, generator=generator)
    theirs, ours = make_theirs(hidden, layers), make_ours(hidden, layers)
    steps = {
        "openunmix": make_step(theirs, theirs, x, y),
        "graphmix": make_step(ours, lambda mixture: ours.estimate(mixture)[0][:, 0] * mixture, x, y),
    }
    weights = {"openunmix": theirs, "graphmix": ours}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(repeats + 1):
        for name, step in steps.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            if repeat:  # the first one warms up
                times[name].append(time.process_time() - cpu)
                print(f"{name}: {time.perf_counter() - wall:.2f} s, {times[name][-1]:.2f} s of CPU", flush=True)
    for name, values in times.items():
        count = sum(p.numel() for p in weights[name].parameters())
        print(f"{name}: {count / 1e6:.2f} M weights, median {statistics.median(values):.3f} s of CPU a step")
    ratio = statistics.median(times["openunmix"]) / statistics.median(times["graphmix"])
    print(f"openunmix / graphmix: {ratio:.2f}")


def compare_networks(songs: Path, out: Path, given: argparse.Namespace) -> None:
    from graphmix.processes import keep_memory
    from graphmix.training.separation import load_separator_config, train_separator

    keep_memory()
    for name in NETWORKS:
        gains = []
        for seed in given.seeds:
            config = load_separator_config(name).changed(
                data={"songs": [str(songs)], "stems": str(out / "stems"), "segment_seconds": given.seconds},
                training={"steps": given.steps, "batch_size": given.batch, "seed": seed, "evaluate_every": given.steps},
            )
            cpu = time.process_time()
            facts = train_separator(config, out / f"{name}_{seed}", device="cpu").facts
            cpu = time.process_time() - cpu
            last = facts["evaluations"][-1]
            gains.append(last["si_sdr_improvement_db"])  # at the end, not at the best step: equal steps
            print(f"{name}, seed {seed}: {gains[-1]:.2f} of {last['ideal_improvement_db']:.2f} dB, "
                  f"{facts['parameters']} weights, {cpu:.0f} s of CPU", flush=True)  # fmt: skip
        spread = statistics.stdev(gains) if len(gains) > 1 else 0.0
        print(f"{name}: {statistics.mean(gains):.2f} ± {spread:.2f} dB")


DRUM_WORDS = (
    "kick",
    "kik",
    "snare",
    "hat",
    "hihat",
    "hi_hat",
    "crash",
    "rim",
    "clap",
    "bd_",
    "drum",
    "cga",
    "tom",
    "perc",
)
BASS_WORDS = ("bass", "sub_")


def group_of(track: str) -> int:
    """0 drums, 1 bass, 2 the rest."""
    name = track.casefold().replace(" ", "_")
    return 0 if any(word in name for word in DRUM_WORDS) else 1 if any(word in name for word in BASS_WORDS) else 2


@torch.no_grad()
def score_real(folder: Path, source: str) -> None:
    from graphmix.audio import load_stems
    from graphmix.models.masks import load_separator
    from graphmix.training.separation.scores import ideal_ratio_masks, separate_whole, source_scores

    model = load_separator(source)[0]
    gains, ideals = [], []
    for path in sorted(path.parent for path in folder.glob("*/dry")):
        song = load_stems(path / "dry", round(model.sample_rate))
        tracks = song.read(0, song.num_samples).stems
        stems = torch.zeros(3, 2, song.num_samples)
        for name, track in zip(song.track_names, tracks, strict=True):
            stems[group_of(name)] += track
        if len({group_of(name) for name in song.track_names}) < 2:
            print(f"{path.name}: names of tracks do not say what they are")
            continue
        mixture = stems.sum(dim=0)
        found = separate_whole(model, mixture)
        by_name = dict(zip(model.sources, found, strict=True))
        estimates = torch.stack([by_name["drums"], by_name["bass"], by_name["vocals"] + by_name["other"]])
        base = source_scores(mixture.expand_as(stems), stems)
        gain = source_scores(estimates, stems) - base
        ideal = source_scores(ideal_ratio_masks(model.representation, stems), stems) - base
        gains.append(gain)
        ideals.append(ideal)
        print(f"{path.name}: drums, bass, rest {[round(float(x), 1) for x in gain]} of "
              f"{[round(float(x), 1) for x in ideal]} dB", flush=True)  # fmt: skip
    gain, ideal = torch.stack(gains), torch.stack(ideals)
    print(f"mean of each: {gain.nanmean(dim=0).tolist()} of {ideal.nanmean(dim=0).tolist()} dB; of all "
          f"{float(gain.nanmean()):.2f} of {float(ideal.nanmean()):.2f} dB")  # fmt: skip


def write_true_stems(folder: Path, names: Sequence[str], stems: torch.Tensor, rate: int) -> Path:
    """A song whose tracks are the stems, each in a subgroup of its own, and whose mix is their sum."""
    from graphmix.audio import write_audio

    (folder / "stems").mkdir(parents=True)
    for name, stem in zip(names, stems, strict=True):
        write_audio(folder / "stems" / f"{name}.wav", stem, rate)
    write_audio(folder / "mix.wav", stems.sum(0), rate)
    subgroups = {name: [f"{name}.wav"] for name in names}
    described = {"name": folder.name, "mix": "mix.wav", "stems": "stems", "subgroups": subgroups}
    (folder / "song.json").write_text(json.dumps(described))
    return folder


@torch.no_grad()
def gains_of(graph: "MixGraph", song: "Song", sources: Sequence[str]) -> torch.Tensor:
    """What a graph makes of each source alone, left and right in dB, [sources, 2]."""
    from graphmix.processors.rack import Rack
    from graphmix.render.renderer import Renderer

    render = Renderer(Rack.for_types(graph.types.types, graph.sample_rate))
    stems = song.read(0, song.num_samples).stems
    found = []
    for source in sources:
        row = graph.input_names.index(f"{source}.wav")
        alone = torch.zeros(len(graph.input_names), 2, song.num_samples)
        alone[row] = stems[song.track_names.index(f"{source}.wav")]
        out = render(graph, alone).sum(0)
        ratio = (out * alone[row]).sum(-1) / alone[row].square().sum(-1).clamp(min=1e-12)
        found.append(20 * ratio.abs().clamp(min=1e-3).log10())
    return torch.stack(found)


def mine_separated(folder: Path, given: argparse.Namespace) -> None:
    """Table of the losses and of the errors of level (mean of left and right in dB) and panning (right minus left)."""
    from graphmix.audio import load_song, write_audio
    from graphmix.models.masks import load_separator
    from graphmix.search import DRAFT, mine
    from graphmix.separation import separate
    from graphmix.training.separation.losses import is_audible
    from graphmix.training.separation.sources import find_source_songs
    from graphmix.training.separation.stems import load_stems_of

    model = load_separator(given.model)[0]
    rate, random = round(model.sample_rate), torch.Generator().manual_seed(given.seed)
    settings = replace(DRAFT, chain=given.chain, master="").scaled(given.steps, given.rounds)
    kinds = ("separated",) if given.only_separated else ("true", "separated")
    losses: dict[str, list[float]] = {kind: [] for kind in kinds}
    errors: dict[str, list[torch.Tensor]] = {kind: [] for kind in kinds}
    columns = [f"{kind} stems: errors" for kind in kinds]
    print("| " + " | ".join(["song", "source", "change of level, panning / dB", *columns]) + " |")
    print("|---" * (3 + len(kinds)) + "|")
    for song in find_source_songs([folder])[: given.songs]:
        stems = load_stems_of(song, model.sources, rate)[..., : round(given.seconds * rate)]
        audible = is_audible(stems)
        names = [name for name, sounds in zip(model.sources, audible.tolist(), strict=True) if sounds]
        stems = stems[audible]
        change = 12 * torch.rand(len(names), 2, generator=random) - 6  # level and panning
        gains = change[:, :1] + change[:, 1:] * torch.tensor([-0.5, 0.5])
        with tempfile.TemporaryDirectory() as text:
            work = Path(text)
            write_true_stems(work / "true", names, stems, rate)
            write_audio(work / "changed.wav", (stems * 10 ** (gains[..., None] / 20)).sum(0), rate)
            other = None if given.one_mix else work / "changed.wav"
            made = separate(
                work / "true" / "mix.wav", work / "separated", model, iterations=given.iterations, other=other,
                device="cpu",
            )  # fmt: skip
            print(*made.about["notices"])
            for kind in losses:
                tracks = load_song(work / kind, settings.sample_rate, mix=work / "changed.wav")
                mined = mine(tracks, work / f"mined-{kind}", settings, device="cpu", plots=False)
                found = gains_of(mined.graph, tracks, names) - gains
                losses[kind].append(mined.metrics["audio_loss"])
                errors[kind].append(torch.stack([found.mean(1), found[:, 1] - found[:, 0]], dim=1))
        for row, name in enumerate(names):
            cells = [f"{a:+.1f}, {b:+.1f}" for a, b in (change[row], *(errors[kind][-1][row] for kind in losses))]
            print(f"| {song.id} | {name} | " + " | ".join(cells) + " |")
        print(f"| {song.id} | L_a | | " + " | ".join(f"{losses[kind][-1]:.3f}" for kind in kinds) + " |", flush=True)
    for kind, values in losses.items():
        level, panning = torch.cat(errors[kind]).abs().mean(0).tolist()
        print(f"{kind}: L_a {statistics.mean(values):.3f}, errors of level {level:.2f} dB and panning {panning:.2f} dB")


@torch.no_grad()
def score_two_mixes(folder: Path, given: argparse.Namespace) -> None:
    """Stems by masks and by two mixes beside the true ones: SDR and SI-SDR in dB, and errors of the gains found."""
    from graphmix.dsp.two_mixes import filter_two_mixes, find_gains
    from graphmix.models.masks import load_separator
    from graphmix.training.separation.losses import is_audible, si_sdr
    from graphmix.training.separation.sources import find_source_songs
    from graphmix.training.separation.stems import load_stems_of

    model, random = load_separator("separator")[0], torch.Generator().manual_seed(given.seed)
    rate, encode = round(model.sample_rate), model.representation.encode
    length, rows = round(given.seconds * rate), []
    print("song: share, SDR of masks, of two mixes, least gain of a source, SI-SDR of both, errors of level, panning")
    for song in find_source_songs([folder])[: given.songs]:
        stems = load_stems_of(song, model.sources, rate)[..., :length]
        audible = is_audible(stems)
        stems = stems[audible]
        change = 12 * torch.rand(len(stems), 2, generator=random) - 6
        gains = change[:, :1] + change[:, 1:] * torch.tensor([-0.5, 0.5])
        output = model(stems.sum(0, keepdim=True))
        other = encode((stems * 10 ** (gains[..., None] / 20)).sum(0, keepdim=True))[0]
        found, share = find_gains(output.masks[0], output.mixture[0], other)
        values = [share]
        both = filter_two_mixes(output.masks[0], output.mixture[0], other, found)
        decoded = [model.representation.decode(part[audible], length).double() for part in (output.estimates[0], both)]
        sdr = [10 * (stems.square().sum((1, 2)) / (part - stems).square().sum((1, 2))).log10() for part in decoded]
        values += [float(sdr[0].mean()), float(sdr[1].mean()), float((sdr[1] - sdr[0]).min())]
        values += [float(si_sdr(part, stems.double()).mean()) for part in decoded]
        error = 20 * found[audible].log10() - gains
        values += [float(error.mean(1).abs().mean()), float((error[:, 1] - error[:, 0]).abs().mean())]
        rows.append(torch.tensor(values))
        print(f"{song.id}: {[round(value, 2) for value in values]}", flush=True)
    print(f"mean: {[round(value, 2) for value in torch.stack(rows).mean(0).tolist()]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    step = commands.add_parser("step")
    step.add_argument("--hidden", type=int, default=512)
    step.add_argument("--layers", type=int, default=3)
    step.add_argument("--batch", type=int, default=4)
    step.add_argument("--seconds", type=float, default=6.0)
    step.add_argument("--repeats", type=int, default=5)
    networks = commands.add_parser("networks")
    networks.add_argument("songs", type=Path)
    networks.add_argument("out", type=Path)
    networks.add_argument("--steps", type=int, default=300)
    networks.add_argument("--batch", type=int, default=8)
    networks.add_argument("--seconds", type=float, default=4.0)
    networks.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    real = commands.add_parser("real")
    real.add_argument("folder", type=Path)
    real.add_argument("--model", default="separator")
    two = commands.add_parser("two-mixes")
    two.add_argument("folder", type=Path)
    two.add_argument("--songs", type=int, default=4)
    two.add_argument("--seconds", type=float, default=8.0)
    two.add_argument("--seed", type=int, default=0)
    mined = commands.add_parser("mine")
    mined.add_argument("folder", type=Path)
    mined.add_argument("--model", default="separator")
    mined.add_argument("--songs", type=int, default=4)
    mined.add_argument("--seconds", type=float, default=10.0)
    mined.add_argument("--steps", type=int, default=100)
    mined.add_argument("--rounds", type=int, default=0)
    mined.add_argument("--chain", default="g")
    mined.add_argument("--iterations", type=int, default=0)
    mined.add_argument("--seed", type=int, default=0)
    mined.add_argument("--only-separated", action="store_true", help="leave out mining with the true stems")
    mined.add_argument("--one-mix", action="store_true", help="separate without the mix that is the target")
    given = parser.parse_args()
    if given.command == "step":
        time_steps(given.hidden, given.layers, given.batch, given.seconds, given.repeats)
    elif given.command == "mine":
        mine_separated(given.folder, given)
    elif given.command == "two-mixes":
        score_two_mixes(given.folder, given)
    elif given.command == "real":
        score_real(given.folder, given.model)
    else:
        compare_networks(given.songs, given.out, given)


if __name__ == "__main__":
    main()
