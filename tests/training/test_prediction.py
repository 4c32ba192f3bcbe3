"""Mixing with a model, from files to files."""

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from graphmix.audio import load_song, read_audio
from graphmix.audio.files import write_audio
from graphmix.errors import GraphmixError
from graphmix.graph.storage import load_graph
from graphmix.models.config import model_config
from graphmix.models.mixing.estimator import Estimator, build_estimator
from graphmix.render.blocks import render_song
from graphmix.training.checkpoint import save_estimator
from graphmix.training.prediction import predict
from tests.small_song import RATE, TRACKS, dry_tracks, write_tiny_song
from tests.training.tiny_songbook import GRAPH, WAVEUNET

FILES = {"graph.safetensors", "graph.json", "mix.wav", "metrics.json", "plots"}


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    torch.manual_seed(0)
    return build_estimator(model_config(GRAPH)).eval()


@pytest.fixture
def song_folder(tmp_path: Path) -> Path:
    return write_tiny_song(tmp_path / "song")


def test_a_prediction_leaves_graph_sound_metrics_and_pictures(
    estimator: Estimator, song_folder: Path, tmp_path: Path
) -> None:
    save_estimator(estimator, tmp_path / "tiny")
    predicted = predict(song_folder, tmp_path / "tiny", tmp_path / "out")
    assert {path.name for path in predicted.folder.iterdir()} == FILES
    assert {path.name for path in (predicted.folder / "plots").iterdir()} == {
        "graph.svg",
        "graph.png",
        "spectrograms.png",
    }
    graph = load_graph(predicted.folder / "graph.safetensors")
    assert graph.provenance["made_by"].endswith("predict")
    again = render_song(graph, load_song(song_folder, RATE))
    assert torch.allclose(again, read_audio(predicted.folder / "mix.wav"), atol=1e-6)
    metrics = json.loads((predicted.folder / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(predicted.metrics))
    assert metrics["tracks"] == 2
    assert metrics["against_mix"]["audio_loss"] > 0


def test_dry_tracks_alone_are_enough(estimator: Estimator, song_folder: Path, tmp_path: Path) -> None:
    metrics = predict(song_folder / "dry", estimator, tmp_path / "out", plots=False).metrics
    assert "against_mix" not in metrics
    assert metrics["model"] == "graph"


def test_a_prediction_may_be_made_again(estimator: Estimator, song_folder: Path, tmp_path: Path) -> None:
    first = predict(song_folder, estimator, tmp_path / "out", plots=False).metrics
    second = predict(song_folder, estimator, tmp_path / "out", plots=False).metrics
    assert {**first, "seconds": None} == {**second, "seconds": None}


@pytest.mark.parametrize(("rate", "tracks"), [(48000, 3), (30000, 1), (22050, 2)])
def test_other_rates_and_single_tracks_work(estimator: Estimator, tmp_path: Path, rate: int, tracks: int) -> None:
    (tmp_path / "dry").mkdir()
    for name in TRACKS[:tracks]:
        write_audio(tmp_path / "dry" / name, dry_tracks()[name][:, : 2 * RATE], rate)
    predicted = predict(tmp_path / "dry", estimator, tmp_path / "out", plots=False)
    assert soundfile.info(tmp_path / "out" / "mix.wav").samplerate == RATE
    assert predicted.metrics["tracks"] == tracks


def test_tracks_of_unequal_rates_are_resampled_with_a_notice(estimator: Estimator, tmp_path: Path) -> None:
    (tmp_path / "dry").mkdir()
    for (name, audio), rate in zip(dry_tracks().items(), (RATE, RATE, 48000), strict=True):
        write_audio(tmp_path / "dry" / name, audio, rate)
    predicted = predict(tmp_path / "dry", estimator, tmp_path / "out", plots=False)
    assert "the tracks are at 30000, 48000 Hz; each was resampled to 30000 Hz." in predicted.metrics["notices"]


def test_a_model_of_sound_alone_leaves_no_graph(song_folder: Path, tmp_path: Path) -> None:
    predicted = predict(song_folder, build_estimator(model_config(WAVEUNET)), tmp_path / "out", plots=False)
    assert {path.name for path in predicted.folder.iterdir()} == {"mix.wav", "metrics.json"}
    assert predicted.metrics["processors"] is None


# --- bad input


def test_a_folder_that_holds_something_else_is_refused(estimator: Estimator, song_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text("{}")
    with pytest.raises(GraphmixError, match=r"holds something else \('run.json'\)"):
        predict(song_folder, estimator, tmp_path / "out", plots=False)


def test_files_of_the_user_are_not_replaced(estimator: Estimator, song_folder: Path, tmp_path: Path) -> None:
    """A mix of one's own, alone in a folder, under the name that a prediction has."""
    (tmp_path / "out").mkdir()
    own = (song_folder / "mix.wav").read_bytes()
    (tmp_path / "out" / "mix.wav").write_bytes(own)
    with pytest.raises(GraphmixError, match=r"holds something else \('mix.wav'\).* --force"):
        predict(song_folder, estimator, tmp_path / "out", plots=False)
    assert (tmp_path / "out" / "mix.wav").read_bytes() == own
    predict(song_folder, estimator, tmp_path / "out", plots=False, force=True)
    assert (tmp_path / "out" / "mix.wav").read_bytes() != own


def test_the_song_that_is_read_is_not_replaced(estimator: Estimator, song_folder: Path, tmp_path: Path) -> None:
    """An earlier prediction that has become a song: its mix is the reference of the next one."""
    predict(song_folder, estimator, tmp_path / "out", plots=False)
    description = json.loads((song_folder / "song.json").read_text())
    (song_folder / "mix.wav").unlink()
    (song_folder / "mix.wav").symlink_to(tmp_path / "out" / "mix.wav")
    assert description["mix"] == "mix.wav"
    with pytest.raises(GraphmixError, match=r"mix.wav is a file that this command reads; .* --force"):
        predict(song_folder, estimator, tmp_path / "out", plots=False)


def test_a_reverse_model_asks_for_the_mix(song_folder: Path, tmp_path: Path) -> None:
    reverse: dict[str, Any] = {**GRAPH, "reverse": True}
    with pytest.raises(GraphmixError, match="takes the mix as well"):
        predict(song_folder / "dry", build_estimator(model_config(reverse)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_track_that_hisses_between_its_parts_comes_as_loud_as_where_it_plays(tmp_path: Path) -> None:
    """Two tracks of noise, of which one plays for 4 of 46 seconds and is at -80 dBFS in the others."""
    beat, voice = 0.1 * torch.randn(2, 2, 46 * RATE, generator=torch.Generator().manual_seed(5))
    voice[:, 4 * RATE :] *= 1e-3
    (tmp_path / "dry").mkdir()
    for name, track in (("1_beat.wav", beat), ("2_voice.wav", voice)):
        write_audio(tmp_path / "dry" / name, track, RATE)
    graph = predict(tmp_path / "dry", "loudness_sum", tmp_path / "out", plots=False).proposal.graph
    assert graph is not None
    of_beat, of_voice = graph.params["gain"].mean(1).tolist()
    assert of_voice == pytest.approx(of_beat, abs=1.0)
