"""The proxy network against the channel strip: trains it, and measures it on settings and sounds not used in training.

    python benchmarks/proxy.py --json proxy.json --save graphmix/models/pretrained/proxy.safetensors
    python benchmarks/proxy.py --network dilated --steps 2000
    python benchmarks/proxy.py --load graphmix/models/pretrained/proxy.safetensors --songs ../shared/audio

It learns from clicks, seven tracks of the demo song and coloured noise, each with settings of its own. It is judged by
auraloss's multi-resolution STFT error against the true chain, as a share of the error of doing nothing, the mean
over sounds: on the three held-out tracks of the demo song, played with other seeds, and on real songs where
they are given. Bar: 25 %. The error's floor is that of graphmix's audio loss; auraloss's own, 40 dB lower, stands
beside it.
"""

import argparse
import json
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from report import make_table
from rich.console import Console
from step import cpu_name
from torch import Tensor

from graphmix.audio import load_song
from graphmix.models.effects.pretraining import HELD_OUT, TRAINED_ON, ProxyTraining, Sounds, pretrain_proxy, score_proxy
from graphmix.models.effects.proxy import TCNProxy, load_proxy, save_proxy
from graphmix.models.effects.strip import STRIP_TYPE, random_settings
from graphmix.models.effects.tcn import DILATED, TCNConfig
from graphmix.processes import keep_memory
from graphmix.search.losses import POWER_FLOOR

BAR = 0.25
AURALOSS_FLOOR = 1e-8
NETWORKS = {"strip": TCNConfig(), "dilated": DILATED}
TRAINED_SEEDS, UNSEEN_SEEDS = (0, 1, 2, 3), (100, 101)
SETTINGS_SEED, SOUNDS_SEED = 4321, 1234
PARTS = {
    "equalizer": ("equalizer_db",),
    "compressor": ("threshold_db", "ratio", "time_ms"),
    "reverb": ("reverb_wet", "reverb_ms", "reverb_db"),
}
SONGS = ("reggae_try", "mauiwowi", "final_step", "krem_kaakkuja", "francium_dry_only")
Row = dict[str, Any]


class Progress:
    """Prints the mean loss of the last steps, the seconds since the start, and now and then the share so far."""

    def __init__(self, proxy: TCNProxy, every: int, judge_every: int) -> None:
        self.proxy, self.every, self.judge_every = proxy, every, judge_every
        device = proxy.network.lift.device
        self.sounds, self.settings = (part.to(device) for part in judged_sounds(unseen(), 8, 2.0))
        self.losses: list[float] = []
        self.history: list[tuple[int, float, float, float | None]] = []
        self.begun, self.judging_s = perf_counter(), 0.0

    def __call__(self, step: int, loss: float) -> None:
        """After a step."""
        self.losses.append(loss)
        if step % self.every:
            return
        seconds = perf_counter() - self.begun - self.judging_s
        share = None
        if step % self.judge_every == 0:
            begun = perf_counter()
            share = score_proxy(self.proxy, self.sounds, self.settings).share
            self.judging_s += perf_counter() - begun
        mean = sum(self.losses[-self.every :]) / len(self.losses[-self.every :])
        self.history.append((step, seconds, mean, share))
        shown = "" if share is None else f", share {100 * share:.1f} % of 8 sounds"
        print(f"step {step}: {seconds:.0f} s, loss {mean:.4f}{shown}", flush=True)


def unseen() -> Sounds:
    """The tracks that the proxy does not learn from, as they sound with seeds that it does not meet."""
    return Sounds.of_demo_song(HELD_OUT, UNSEEN_SEEDS)


def judged_sounds(sounds: Sounds, count: int, seconds: float) -> tuple[Tensor, Tensor]:
    """Sounds and settings for a score, always the same."""
    audio = sounds.draw(count, seconds, torch.Generator().manual_seed(SOUNDS_SEED))
    return audio, random_settings(count, torch.Generator().manual_seed(SETTINGS_SEED))


def only(settings: Tensor, parameters: tuple[str, ...]) -> Tensor:
    """Settings of some parameters; neutral ones of the rest."""
    result = STRIP_TYPE.neutral().expand_as(settings).clone()
    for name in parameters:
        result[:, STRIP_TYPE.columns(name)] = settings[:, STRIP_TYPE.columns(name)]
    return result


def judge(proxy: TCNProxy, name: str, sounds: Sounds, count: int, seconds: float) -> list[Row]:
    """Scores on some sounds: of all settings at both floors, and of each effect alone."""
    audio, settings = judged_sounds(sounds, count, seconds)
    device = proxy.network.lift.device
    cases = [("all", settings, POWER_FLOOR), ("all", settings, AURALOSS_FLOOR)]
    cases += [(part, only(settings, names), POWER_FLOOR) for part, names in PARTS.items()]
    rows = []
    for part, own, floor in cases:
        score = score_proxy(proxy, audio.to(device), own.to(device), floor)
        error, bypass = (sum(errors) / count for errors in (score.proxy, score.bypass))
        rows.append(
            {"sounds": name, "settings": part, "floor": floor, "error": error, "bypass": bypass, "share": score.share}
        )
    return rows


def real_sounds(folder: Path, sample_rate: int) -> Sounds:
    """The dry tracks of a song."""
    song = load_song(folder, sample_rate, need_mix=False)
    return Sounds(song.read(0, song.num_samples).stems, sample_rate)


def train(name: str, training: ProxyTraining, device: str) -> tuple[TCNProxy, Row]:
    """A new proxy and the history of its training."""
    torch.manual_seed(training.seed)
    config = NETWORKS[name]
    proxy = TCNProxy(config.sample_rate, config).to(device)
    progress = Progress(proxy, 50, 500)
    pretrain_proxy(proxy, Sounds.of_demo_song(TRAINED_ON, TRAINED_SEEDS), training, progress)
    seconds = perf_counter() - progress.begun - progress.judging_s
    return proxy, {"network": name, "steps": len(progress.losses), "seconds": seconds, "history": progress.history}


def print_rows(rows: list[Row]) -> None:
    table = make_table(
        f"multi-resolution STFT error against the true chain (bar: {100 * BAR:.0f} %)",
        ("sounds", "settings", "floor", "proxy", "bypass", "share"),
    )
    for row in rows:
        numbers = f"{row['floor']:g}", f"{row['error']:.4f}", f"{row['bypass']:.4f}", f"{100 * row['share']:.1f} %"
        table.add_row(row["sounds"], row["settings"], *numbers)
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=list(NETWORKS), default="strip")
    parser.add_argument("--steps", type=int, default=ProxyTraining.steps)
    parser.add_argument("--batch", type=int, default=ProxyTraining.batch)
    parser.add_argument("--seconds", type=float, default=ProxyTraining.seconds, help="of each sound")
    parser.add_argument("--learning-rate", type=float, default=ProxyTraining.learning_rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sounds", type=int, default=48, help="how many to judge it by")
    parser.add_argument("--load", type=Path, help="judge this proxy instead of training one")
    parser.add_argument("--save", type=Path, help="write the trained proxy here")
    parser.add_argument("--songs", type=Path, help="folder of real song folders to judge it by as well")
    parser.add_argument("--json", type=Path, help="write all numbers here")
    arguments = parser.parse_args()
    keep_memory()
    result: Row = {"threads": torch.get_num_threads(), "cpu": cpu_name(), "torch": torch.__version__}
    if arguments.load:
        proxy = load_proxy(arguments.load).to(arguments.device)
    else:
        training = ProxyTraining(
            steps=arguments.steps,
            batch=arguments.batch,
            seconds=arguments.seconds,
            learning_rate=arguments.learning_rate,
            seed=arguments.seed,
        )
        proxy, trained = train(arguments.network, training, arguments.device)
        result["training"] = trained
        if arguments.save:
            arguments.save.parent.mkdir(parents=True, exist_ok=True)
            save_proxy(proxy, arguments.save)
    result["weights"] = sum(p.numel() for p in proxy.parameters())
    rows = judge(proxy, "unseen tracks and seeds", unseen(), arguments.sounds, 3.0)
    known = Sounds.of_demo_song(TRAINED_ON, TRAINED_SEEDS[:1])
    rows += judge(proxy, "tracks used in training", known, arguments.sounds, 3.0)[:1]
    for name in SONGS if arguments.songs else ():
        if (arguments.songs / name).is_dir():
            real = real_sounds(arguments.songs / name, proxy.sample_rate)
            rows += judge(proxy, name, real, arguments.sounds // 2, 3.0)[:1]
    result["rows"] = rows
    print_rows(rows)
    if "training" in result:
        print(f"{result['training']['seconds']:.0f} s of training, {result['weights']} weights")
    print(f"{result['threads']} threads, {result['cpu']}, torch {result['torch']}")
    met = rows[0]["share"] <= BAR
    print(f"unseen settings and sounds: {100 * rows[0]['share']:.1f} % of the bypass, bar {'met' if met else 'missed'}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
