"""Songs with faults of alignment, mined: the kept graph makes the mix from the tracks as they are."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphmix.audio.song import load_song
from graphmix.errors import SearchError
from graphmix.render import render_song
from graphmix.search.alignment import MIX_NODE, find_alignment
from graphmix.search.losses import sdr
from tests.audio.test_lags import GAINS, moved, recorded
from tests.small_song import RATE, SETTINGS, mine_without_plots, write_song

mine = partial(mine_without_plots, align=True)
BRIEF = replace(SETTINGS, chain="g", steps=2, rounds=0)


def mix_of(dry: dict[str, Tensor], late: float, inverted: int, later: int) -> Tensor:
    parts = []
    for row, audio in enumerate(dry.values()):
        parts.append(GAINS[row][:, None] * moved(audio, 900.0 * (row == later), -1.0 if row == inverted else 1.0))
    return moved(sum(parts), late)  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=[220.0, 12.5], ids=["whole samples", "half a sample"])
def faulty(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    dry = recorded()
    mix = mix_of(dry, request.param, inverted=2, later=1)
    return write_song(tmp_path_factory.mktemp("faulty") / "song", dry, mix)


@pytest.mark.parametrize("preload_bytes", [2 << 30, 0], ids=["in memory", "from disk"])
def test_all_faults_at_once_are_put_into_the_graph(faulty: Path, tmp_path: Path, preload_bytes: int) -> None:
    song = load_song(faulty, RATE, preload_bytes=preload_bytes)
    mined = mine(song, tmp_path / "out", BRIEF, device="cpu")
    late = find_alignment(song).lags.mix
    assert mined.metrics["alignment"]["mix_delay_ms"] == pytest.approx(1000 * late / RATE, abs=1e-3)
    assert mined.metrics["alignment"]["tracks"] == {
        "1.wav": {"delay_ms": pytest.approx(30.0, abs=1e-3), "inverted": False},
        "2.wav": {"delay_ms": 0.0, "inverted": True},
    }
    (at_the_end,) = [n for n in mined.graph.nodes_of("align").tolist() if mined.graph.names[n] == MIX_NODE]
    assert float(mined.graph.parameter(at_the_end, "delay_ms")) == pytest.approx(1000 * late / RATE, abs=1e-3)
    ratio = float(sdr(prediction=render_song(mined.graph, song), target=song.read_mix(0, song.num_samples)))
    assert ratio > (60 if late == round(late) else 40)
    assert mined.metrics["sdr_db"] > (60 if late == round(late) else 40)


def test_without_alignment_nothing_is_moved(faulty: Path, tmp_path: Path) -> None:
    mined = mine(faulty, tmp_path / "out", BRIEF, device="cpu", align=False)
    assert "alignment" not in mined.metrics
    assert "align" not in mined.graph.types.names
    assert json.loads((tmp_path / "out" / "run.json").read_text())["align"] is False
    with pytest.raises(SearchError, match="mined with align = False, not True"):
        mine(faulty, tmp_path / "out", BRIEF, device="cpu")


def test_a_song_without_faults_is_mined_as_before(song, tmp_path: Path) -> None:
    found, without = (mine(song, tmp_path / str(on), SETTINGS, device="cpu", align=on) for on in (True, False))
    assert found.graph.types == without.graph.types
    assert all(torch.equal(found.graph.params[name], values) for name, values in without.graph.params.items())
    assert found.metrics["audio_loss"] == without.metrics["audio_loss"]


def test_tracks_of_another_song_stop_a_search_unless_alignment_is_off(tmp_path: Path) -> None:
    other = sum(recorded(5).values())
    assert isinstance(other, Tensor)
    folder = write_song(tmp_path / "song", recorded(), other)
    with pytest.raises(SearchError, match=r"at no offset do they correlate.*--align off"):
        mine(folder, tmp_path / "out", BRIEF, device="cpu")
    assert not (tmp_path / "out" / "run.json").exists()
    assert mine(folder, tmp_path / "out", replace(BRIEF, steps=0), device="cpu", align=False).metrics


def test_an_offset_beyond_the_limit_has_to_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphmix.audio.lags.MOST_SECONDS", 1.0)
    dry = recorded()
    mix = moved(sum(dry.values()), 1.5 * RATE)  # type: ignore[arg-type]
    with pytest.raises(SearchError, match=r"1\.5 s behind the tracks, beyond .*--offset.*--align off"):
        mine(write_song(tmp_path / "song", dry, mix), tmp_path / "out", BRIEF, device="cpu")
