"""Drum kits: what their instruments are, which recording a stroke is, kits that belong together."""

from pathlib import Path

import numpy as np
import pytest

from graphmix.errors import SongError
from graphmix.songbook.drumkit import is_full, piece_of, piece_or_spare, read_kits, roles_of
from tests.songbook.real_material import KIT, RATE, write_kit

NAMES = {
    "BassDrum": "kick", "Kick (Tama Superstar 22\")": "kick", "c3 - bass drum 1": "kick", "Snare Jazz": "snare",
    "Snare Rimshot (Pearl)": "snare", "Rim Click (Pearl)": "rim", "Pearl Side Stick": "rim", "Stick": "rim",
    "Hi Hat Opened": "open hats", "Open HH": "open hats", "Sabian Hat Semi-Open": "open hats", "Side OHH": "open hats",
    "Closed HH 2": "hats", "f#3 - hi-hat closed": "hats", "VariBreaks Hat 2 Cl": "hats", "Pedal HH": "hats",
    "Floor Tom": "low tom", "Tom Mid": "mid tom", "c4 - middle tom": "mid tom", "d4 - high tom": "high tom",
    "Hand Clap": "clap", "Finger Snaps": "clap", "Crash Left": "crash", "China (Paiste)": "crash",
    "Ride Bell": "ride", "Bongo Lo": "low conga", "Conga 1": "low conga", "Bongo Hi": "high conga",
    "Maraca": "shaker", "Cowbell": "low block", "Woodblock Hi": "high block",
    "drum_bass_hard": "kick", "bd_808": "kick", "sn_dub": "snare", "drum_cymbal_closed": "hats",
    "drum_cymbal_open": "open hats", "drum_cymbal_soft": "crash", "drum_tom_lo_hard": "low tom",
    "drum_tom_hi_soft": "high tom", "drum_cowbell": "low block", "elec_hi_snare": "snare",
    "Snare Roll": None, "27": None, "Zap 1": None, "": None,
}  # fmt: skip


@pytest.mark.parametrize(("name", "piece"), NAMES.items())
def test_names_mean_pieces(name: str, piece: str | None) -> None:
    assert piece_of(name) == piece


def test_a_stroke_is_the_recording_of_its_velocity(tmp_path: Path) -> None:
    kit = read_kits(write_kit(tmp_path / "kit", layers=2))[0]
    assert set(kit.pieces) == {"kick", "snare", "hats", "open hats", "low tom", "crash"}
    assert is_full(kit)
    assert "congas" not in roles_of(kit)
    assert piece_or_spare(kit, "high tom") == "low tom"
    assert piece_or_spare(kit, "shaker") is None
    rng = np.random.default_rng(0)
    soft, loud = (np.abs(kit.strike("kick", v, 0, rng)).max() for v in (0.25, 1.0))
    assert loud / soft == pytest.approx(8, rel=0.35)  # half of the layer, a quarter of the velocity
    spectrum = np.abs(np.fft.rfft(kit.strike("snare", 0.9, 0, rng), RATE))
    assert abs(int(np.argmax(spectrum)) - KIT["Snare"][0]) < 5


def test_a_folder_of_recorded_strokes_is_a_kit_by_the_names_of_its_files(tmp_path: Path) -> None:
    names = {"drum_heavy_kick": (60.0, 1.0), "sn_dub": (200.0, 0.8), "drum_cymbal_closed": (7000.0, 0.5)}
    folder = write_kit(tmp_path / "samples", {**names, "loop_kick": (60.0, 1.0), "ambi_drone": (90.0, 1.0)}, layers=1)
    (folder / "drumkit.xml").unlink()
    for place in (folder, tmp_path):
        (kit,) = read_kits(place)
        assert kit.name == "samples"
        assert {piece: len(its) for piece, its in kit.instruments.items()} == {"kick": 1, "snare": 1, "hats": 1}
        assert is_full(kit)
    assert kit.strike("kick", 0.5, 0, np.random.default_rng(0)).size > 1000


def test_kits_of_one_author_or_with_a_common_recording_are_one_group(tmp_path: Path) -> None:
    write_kit(tmp_path / "a", author="Ann <ann@x>")
    write_kit(tmp_path / "b", {"Kick": (50.0, 1.0)}, author="Ann (www.x)")
    write_kit(tmp_path / "c", {"Kick": (55.0, 1.0), "Crash": (3000.0, 1.0)}, author="Ben")
    write_kit(tmp_path / "d", {"Kick": (70.0, 1.0)}, author="Cyd")
    (tmp_path / "d" / "Kick0.wav").write_bytes((tmp_path / "c" / "Crash0.wav").read_bytes())
    groups = {kit.name: kit.group for kit in read_kits(tmp_path)}
    assert groups["a"] == groups["b"] != groups["c"] == groups["d"]


def test_bad_kits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SongError, match="is not a folder"):
        read_kits(tmp_path / "none")
    with pytest.raises(SongError, match=r"holds no drum kits: each is a folder with drumkit\.xml"):
        read_kits(tmp_path)
    kit = write_kit(tmp_path / "kit")
    for file in kit.glob("*.wav"):
        file.unlink()
    with pytest.raises(SongError, match="has no samples"):
        read_kits(tmp_path)
    (kit / "drumkit.xml").write_text("<drumkit_info><instr")
    with pytest.raises(SongError, match=r"drumkit\.xml cannot be read"):
        read_kits(tmp_path)


def test_a_recording_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = write_kit(tmp_path / "kit", {"Kick": (60.0, 1.0)}, layers=1)
    (folder / "Kick0.wav").write_text("nothing")
    with pytest.raises(SongError, match=r"Kick0\.wav of a drum kit cannot be read"):
        read_kits(folder)[0].strike("kick", 0.5, 0, np.random.default_rng(0))
