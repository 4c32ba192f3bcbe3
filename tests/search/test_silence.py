"""Songs with silence, mined to their end: finite losses, strict JSON, no warning, and never worse than a baseline."""

import json
import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from graphmix.audio import load_song
from graphmix.graph.consoles import mixing_console
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.validation import validate
from graphmix.processors.rack import Rack
from graphmix.search import POLICIES, Objective, SearchSettings, prune
from graphmix.search.initialization import Start
from graphmix.search.levels import waveform_gains, with_levels
from graphmix.training.estimator_start import parse_start
from tests.small_song import RATE, SETTINGS, dry_tracks, write_song
from tests.small_song import mine_without_plots as mine

EVERYTHING = {"align": True, "rides": True, "ducking": True, "full_band": True}
BRIEF = replace(SETTINGS, chain="ecg", steps=2, rounds=1, round_steps=1, trial_segments=1, tolerance=0.05)
REST = 3 * RATE
"""Three seconds: longer than what is scored of a segment."""


def rest_at(place: str) -> tuple[dict[str, Tensor], Tensor]:
    """Tracks and mix that rest together."""
    tracks = dry_tracks()
    half = tracks["1_drum.wav"].size(1) // 2
    if place == "middle":
        tracks = {n: torch.cat([x[:, :half], torch.zeros(2, REST), x[:, half:]], 1) for n, x in tracks.items()}
    else:
        sides = {"start": (REST, 0), "end": (0, REST)}[place]
        tracks = {n: torch.nn.functional.pad(x, sides) for n, x in tracks.items()}
    return tracks, mixed(tracks)


def mixed(tracks: dict[str, Tensor]) -> Tensor:
    gains = torch.tensor([[0.7, 0.4], [0.5, 0.5], [0.2, 0.6]])
    mix = sum(audio * gain[:, None] for audio, gain in zip(tracks.values(), gains, strict=True))
    assert isinstance(mix, Tensor)
    return mix


def muted(rest: float) -> tuple[dict[str, Tensor], Tensor]:
    """Tracks that go on after the mix has ended, in noise of a level."""
    tracks = {name: torch.cat([x, x.flip(1)], 1) for name, x in dry_tracks().items()}
    mix = mixed(tracks)
    mix[:, mix.size(1) // 2 :] = rest * torch.randn(2, mix.size(1) - mix.size(1) // 2).clamp(-3, 3)
    return tracks, mix


def one_channel() -> tuple[dict[str, Tensor], Tensor]:
    """Mono files; the side channel is exactly silent."""
    tracks = {name: x[:1] for name, x in dry_tracks().items()}
    mix = sum(tracks.values())
    assert isinstance(mix, Tensor)
    return tracks, 0.5 * mix


def one_side() -> tuple[dict[str, Tensor], Tensor]:
    """A right channel that is silent in everything."""
    tracks = {name: x * torch.tensor([[1.0], [0.0]]) for name, x in dry_tracks().items()}
    return tracks, mixed(tracks)


def short_parts() -> tuple[dict[str, Tensor], Tensor]:
    """Tracks that sound for half a second each, and one that never does."""
    tracks = dry_tracks()
    for row, audio in enumerate(tracks.values()):
        keep = torch.zeros(audio.size(1))
        keep[row * RATE // 2 : (row + 1) * RATE // 2] = row < 2
        audio *= keep
    return tracks, mixed(tracks)


def almost_nothing() -> tuple[dict[str, Tensor], Tensor]:
    """A mix of dither alone."""
    tracks = dry_tracks()
    return tracks, 3e-5 * torch.randn(2, tracks["1_drum.wav"].size(1)).clamp(-2, 2)


SONGS = {
    "rest at the start": (rest_at, "start"),
    "rest in the middle": (rest_at, "middle"),
    "rest at the end": (rest_at, "end"),
    "mix muted": (muted, 0.0),
    "mix muted to dither": (muted, 2e-5),
    "one channel": (one_channel,),
    "one side": (one_side,),
    "short parts": (short_parts,),
    "almost nothing": (almost_nothing,),
}


QUICK = ("rest at the start", "mix muted to dither", "one channel", "short parts", "almost nothing")
"""Those of the default suite; the slow part has all, with every policy."""


def strict_json(text: str) -> Any:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def mine_strictly(folder: Path, out: Path, settings: SearchSettings, start: Start | None = None) -> dict[str, Any]:
    """Mine without a warning -> metrics, which are checked."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
        mined = mine(folder, out, settings, device="cpu", start=start, **EVERYTHING)
    validate(mined.graph)
    metrics = strict_json((out / "metrics.json").read_text())
    trace = [strict_json(line) for line in (out / "trace.jsonl").read_text().splitlines()]
    assert any(record["event"] == "train" for record in trace)
    losses = [metrics[f"{name}_loss"] for name in ("audio", "left_right", "mid", "side", "console")]
    assert all(math.isfinite(loss) for loss in [*losses, *metrics["baselines"].values()])
    assert metrics["audio_loss"] <= min(metrics["baselines"].values()) + 1e-6
    return metrics


@pytest.mark.parametrize(("kind", "policy"), list(zip(QUICK, POLICIES, strict=True)))
def test_songs_with_silence_are_mined_to_their_end(tmp_path, kind, policy):
    torch.manual_seed(3)
    make, *values = SONGS[kind]
    tracks, mix = make(*values)
    folder = write_song(tmp_path / "song", tracks, mix)
    metrics = mine_strictly(folder, tmp_path / "out", replace(BRIEF, policy=policy))
    assert metrics["audio_loss"] < 5
    if kind.startswith("rest"):
        assert metrics["audio_loss"] < 0.5
        assert metrics["audio_loss_paper"] == pytest.approx(metrics["audio_loss"], rel=0.2)
    if kind.startswith("mix muted"):
        found = any(gain < -40 for ride in metrics.get("rides", []) for _, gain in ride["points"])
        assert found or metrics["audio_loss_paper"] > 5 * metrics["audio_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("start", ["levels", "estimator"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", SONGS)
def test_every_policy_and_start_ends_well_on_songs_with_silence(tmp_path, kind, policy, start):
    torch.manual_seed(3)
    make, *values = SONGS[kind]
    tracks, mix = make(*values)
    folder = write_song(tmp_path / "song", tracks, mix)
    mine_strictly(folder, tmp_path / "out", replace(BRIEF, policy=policy), parse_start(start))


def test_without_silence_the_loss_is_the_papers(song, tmp_path):
    metrics = mine_strictly(song.folder, tmp_path / "out", replace(BRIEF, chain="g"))
    assert metrics["audio_loss_paper"] == metrics["audio_loss"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("chain", ["", "g"], ids=["no candidate", "one candidate"])
def test_every_policy_ends_where_next_to_nothing_can_be_removed(tmp_path, policy, chain):
    track = {"1_drum.wav": dry_tracks()["1_drum.wav"]}
    song = load_song(write_song(tmp_path / "song", track, 0.5 * track["1_drum.wav"]), RATE)
    rack = Rack.console("g", RATE)
    graph = MixGraph(rack.types, RATE)
    effects = [graph.add("gain", gain_db=[-6.0, -6.0]) for _ in chain]
    graph.chain(graph.add("in", name="1_drum.wav"), *effects, graph.add("out", name="mix"))
    settings = replace(SETTINGS, chain="g", policy=policy, rounds=2, round_steps=1, steps=0, tolerance=1e3)
    pruned = prune(graph, song, rack, settings)
    assert pruned.graph.processors.numel() == 0
    assert pruned.loss.total.isfinite()
    assert len(repr(pruned)) < 120


def test_silent_segments_do_not_decide_which_start_is_best(tmp_path):
    tracks, mix = muted(0.0)
    song = load_song(write_song(tmp_path / "song", tracks, mix), RATE)
    objective = Objective(song, Rack.console("g", RATE))
    assert objective.has_silence
    silent = mixing_console(objective.rack, song.subgroups, "g")
    silent.params["gain"][:] = -60.0
    console = mixing_console(objective.rack, song.subgroups, "g")
    right = with_levels(console, waveform_gains(objective), song.track_names)
    assert objective.evaluate(right).total < objective.evaluate(silent).total
    paper = [objective.evaluate(graph, of_the_paper=True).total for graph in (right, silent)]
    assert paper[0] > 2 * paper[1]
