"""Mixing with a model: from a folder of dry tracks to a graph, its sound and its pictures, as mining leaves them.

A long song is heard in blocks, whose embeddings are averaged, and rendered in blocks; so its length is no matter of
memory. The output folder holds ``graph.safetensors``, ``graph.json``, ``mix.wav``, ``metrics.json`` and ``plots/``. A
model of sound alone leaves no graph.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphmix.audio.files import read_audio, write_audio
from graphmix.audio.segments import ENCODER_SECONDS, MIN_SCORED_SAMPLES, encoder_blocks
from graphmix.audio.song import Song, load_stems
from graphmix.errors import GraphmixError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import save_graph
from graphmix.io import write_atomically
from graphmix.models.mixing.estimator import Estimator
from graphmix.models.mixing.stems import Stems
from graphmix.models.mixing.waveunet import MixWaveUNet
from graphmix.render.blocks import render_song
from graphmix.search.mine_song import choose_device
from graphmix.search.mix_measures import compare_mixes, describe_mix
from graphmix.search.rounds import count_processors
from graphmix.training.checkpoint import load_estimator

_MADE_HERE = ("graph.safetensors", "graph.json", "mix.wav", "metrics.json", "plots")


@dataclass(frozen=True)
class Proposal:
    """What a model makes of a song.

    Args:
        graph: on the CPU; None of a model of sound alone.
        mix: at the model's rate, [2, samples].
        seconds: of hearing and deciding, and of rendering.
    """

    graph: MixGraph | None
    mix: Tensor
    seconds: dict[str, float]


@dataclass(frozen=True)
class Predicted:
    """A song that was mixed: what came out, what ``metrics.json`` says, and where it is."""

    proposal: Proposal
    metrics: dict[str, Any]
    folder: Path


def blocks_of(song: Song, seconds: float = ENCODER_SECONDS) -> Iterator[Stems]:
    """Successive stretches of a song, for a model to hear; see :func:`graphmix.audio.segments.encoder_blocks`."""
    for start, length in encoder_blocks(song.num_samples, song.sample_rate, seconds):
        yield Stems.from_song(song, start, length)


@torch.no_grad()
def propose(estimator: Estimator, song: Song) -> Proposal:
    """Let a model mix a song at the model's sample rate.

    Raises:
        GraphmixError: the song is at another rate, or the model needs a mix that it does not have.
    """
    if song.sample_rate != estimator.sample_rate:
        raise GraphmixError(
            f"the song is at {song.sample_rate} Hz and the model at {estimator.sample_rate} Hz; load it at the model's."
        )
    was_training = estimator.training
    estimator.eval()
    started = time.perf_counter()
    try:
        if isinstance(estimator, MixWaveUNet):
            mix = estimator.mix(Stems.from_song(song)).cpu()
            return Proposal(None, mix, {"deciding": 0.0, "rendering": time.perf_counter() - started})
        graph = estimator.forward_blocks(blocks_of(song))
        decided = time.perf_counter()
        mix = render_song(graph, song, estimator.rack)
        seconds = {"deciding": decided - started, "rendering": time.perf_counter() - decided}
        return Proposal(graph.clone().cpu(), mix, seconds)
    finally:
        estimator.train(was_training)


def predict(
    stems: str | Path | Song, model: str | Path | Estimator, out: str | Path, *, device: str = "auto"
) -> Predicted:
    """Mix a folder of dry tracks, and write what mining would write.

    Args:
        stems: a folder of dry tracks, or of a song, or the loaded song at the model's rate.
        model: a name or path as :func:`graphmix.training.load_estimator` takes it, or the model itself.
        out: output folder; made if it is not there.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, …

    Raises:
        GraphmixError: bad input, or an output folder that holds something else.
    """
    folder = Path(out)
    _check_free(folder)
    name = model.config.name if isinstance(model, Estimator) else str(model)
    estimator = model if isinstance(model, Estimator) else load_estimator(model, choose_device(device))
    song = stems if isinstance(stems, Song) else load_stems(stems, estimator.sample_rate)
    proposal = propose(estimator, song)
    started = time.perf_counter()
    _make(folder)
    target = None if song.mix is None else read_audio(song.mix, 0, song.num_samples, song.sample_rate)
    if proposal.graph is not None:
        graph = _with_provenance(proposal.graph, song, name)
        proposal = replace(proposal, graph=graph)
        save_graph(graph, folder / "graph.safetensors")
        save_graph(graph, folder / "graph.json")
    write_audio(folder / "mix.wav", proposal.mix, song.sample_rate)
    _draw(folder / "plots", song, name, proposal, target)
    proposal.seconds["writing"] = time.perf_counter() - started
    metrics = _metrics(song, name, estimator, proposal, target)
    write_atomically(folder / "metrics.json", json.dumps(metrics, indent=1).encode())
    return Predicted(proposal, metrics, folder)


def _check_free(folder: Path) -> None:
    """Nothing but an older prediction may lie in the output folder."""
    try:
        foreign = next((p.name for p in folder.iterdir() if p.name not in _MADE_HERE), None)
    except FileNotFoundError:
        return
    except OSError as error:
        raise GraphmixError(f"cannot use output folder {folder}: {error.strerror or error}.") from None
    if foreign is not None:
        raise GraphmixError(f"output folder {folder} holds something else ({foreign!r}). Choose an empty one.")


def _make(folder: Path) -> None:
    try:
        (folder / "plots").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GraphmixError(f"cannot write to output folder {folder}: {error.strerror or error}.") from None


def _with_provenance(graph: MixGraph, song: Song, model: str) -> MixGraph:
    graph = graph.clone()
    provenance = {
        "song": song.name,
        "made_by": f"graphmix {version('graphmix')} predict",
        "model": model,
        "num_samples": song.num_samples,
    }
    graph.info = replace(graph.info, provenance=provenance)
    return graph


def _metrics(song: Song, name: str, estimator: Estimator, proposal: Proposal, target: Tensor | None) -> dict[str, Any]:
    graph = proposal.graph
    metrics: dict[str, Any] = {
        "song": song.name,
        "model": name,
        "config": estimator.config.model_dump(mode="json"),
        "tracks": song.num_tracks,
        "subgroups": len(song.subgroups),
        "processors": None if graph is None else sum(count_processors(graph).values()),
        "by_type": None if graph is None else count_processors(graph),
        "mix": {key: round(value, 3) for key, value in describe_mix(proposal.mix, song.sample_rate).items()},
        "peak": round(float(proposal.mix.abs().max()), 4),
        "seconds": {key: round(value, 3) for key, value in proposal.seconds.items()},
        "notices": [*song.notices, *_rate_notice(song)],
    }
    if target is not None and song.num_samples >= MIN_SCORED_SAMPLES:
        differences = compare_mixes(prediction=proposal.mix, target=target, sample_rate=song.sample_rate)
        metrics["against_mix"] = {key: round(value, 4) for key, value in differences.items()}
    return metrics


def _rate_notice(song: Song) -> list[str]:
    """A word on tracks of unequal rates, which is often a mistake, though each is resampled by itself."""
    rates = sorted({track.info.sample_rate for track in song.tracks})
    if len(rates) < 2:
        return []
    return [f"the tracks are at {', '.join(map(str, rates))} Hz; each was resampled to {song.sample_rate} Hz."]


def _draw(folder: Path, song: Song, model: str, proposal: Proposal, target: Tensor | None) -> None:
    """``graph.svg`` and ``graph.png``, and ``spectrograms.png`` where the song has a mix to compare with."""
    from graphmix import plots  # matplotlib is loaded only where something is drawn

    figures: dict[str, Any] = {}
    if proposal.graph is not None:
        figures["graph.svg"] = figures["graph.png"] = plots.plot_graph(proposal.graph, f"{song.name}: by {model}")
    if target is not None:
        figures["spectrograms.png"] = plots.plot_match(target, {model: proposal.mix}, song.sample_rate)
    for file, figure in figures.items():
        plots.save(figure, folder / file)
