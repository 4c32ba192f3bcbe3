"""Songs, disks and folders with faults: the other songs are mined, these are reported."""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graphmix.audio import write_audio
from graphmix.mining.catalogue import read_catalogue, read_events, rebuild_catalogue
from graphmix.mining.driver import Standing
from graphmix.mining.mine_collection import mine_all
from graphmix.mining.song_task import read_failure
from graphmix.songs.collection import open_collection
from tests.driver_processes import HERE, TINY, digests, write_collection, write_tiny
from tests.full_disk import files_of_at_most
from tests.small_song import RATE


def mine_here(songs: Path, out: Path, **options: bool) -> Standing:
    return mine_all(songs, out, TINY, **HERE, **options)


def begin(songs: Path, out: Path) -> None:
    """An output folder of the collection with no song in it yet."""
    mine_all(replace(open_collection(songs), songs=[]), out, TINY, **HERE)


def statuses(out: Path) -> dict[str, str]:
    return {row["song_id"]: row["status"] for row in read_catalogue(out)}


# --- songs


def write_many_tracks(folder: Path, count: int) -> None:
    (folder / "dry").mkdir(parents=True)
    noise = 0.05 * torch.randn(count, 2, RATE // 2, generator=torch.Generator().manual_seed(1))
    for i, audio in enumerate(noise):
        write_audio(folder / "dry" / f"{i:03}.wav", audio, RATE)
    write_audio(folder / "mix.wav", noise.sum(0) / 4, RATE)


@pytest.mark.parametrize("tracks", [40, pytest.param(133, marks=pytest.mark.slow)])
def test_odd_songs_are_reported_or_mined_and_the_others_are_mined(tmp_path, tracks):
    songs = write_collection(tmp_path / "songs", 2)
    corrupt = write_tiny(songs, "corrupt", 0.6)
    track = next((corrupt / "dry").iterdir())
    track.write_bytes(track.read_bytes()[:60] + b"not audio any more" * 20)
    damaged = write_tiny(songs, "not finite", 0.6)
    samples = torch.full((2, RATE // 2), torch.nan).numpy()
    import soundfile

    soundfile.write(next((damaged / "dry").iterdir()), samples.T, RATE, subtype="FLOAT")
    (write_tiny(songs, "no mix", 0.6) / "mix.wav").unlink()
    write_tiny(songs, "a tenth of a second", 0.1)
    write_many_tracks(songs / "many tracks", tracks)
    out = tmp_path / "out"
    standing = mine_here(songs, out)
    mined, failed = set(standing.mined), set(standing.failed)
    assert {"song 0", "song 1", "many tracks"} <= mined
    assert {"corrupt", "not finite", "no mix"} <= failed
    assert mined | failed == {
        "song 0",
        "song 1",
        "many tracks",
        "corrupt",
        "not finite",
        "no mix",
        "a tenth of a second",
    }
    assert set(digests(out)) == mined
    assert statuses(out) == dict.fromkeys(mined, "mined") | dict.fromkeys(failed, "failed")
    for song in failed:
        failure = read_failure(out / song)
        assert failure["reason"] == standing.failed[song]
        assert "\n" not in failure["reason"]
        assert failure["song_id"] == song


def test_what_failed_is_skipped_until_a_retry_is_requested_and_a_corrected_song_is_mined(tmp_path):
    songs = write_collection(tmp_path / "songs", 1)
    broken = write_tiny(songs, "broken", 0.6)
    track = next((broken / "dry").iterdir())
    good = track.read_bytes()
    import soundfile

    soundfile.write(track, torch.full((600, 2), torch.nan).numpy(), RATE, subtype="FLOAT")
    out = tmp_path / "out"
    assert list(mine_here(songs, out).failed) == ["broken"]
    track.write_bytes(good)
    again = mine_here(songs, out)
    assert (again.mined, again.already) == ([], ["song 0"])
    assert again.failed["broken"].startswith("failed in an earlier run: ")
    retried = mine_here(songs, out, retry_failed=True)
    assert (retried.mined, retried.failed) == (["broken"], {})
    assert not (out / "broken" / "failure.json").exists()
    assert statuses(out)["broken"] == "mined"


def test_names_that_are_not_utf8_stop_no_collection(tmp_path):
    songs = write_collection(tmp_path / os.fsdecode(b"caf\xe9"), 1)
    for name, broken in (("bad", True), ("good", False)):
        folder = write_tiny(songs, name, 0.6)
        (folder / "song.json").unlink()
        track = next((folder / "dry").iterdir())
        track = track.rename(track.with_name(os.fsdecode(b"b\xe4ss.wav")))
        if broken:
            track.write_bytes(b"not audio")
    other = write_tiny(songs, "plain", 0.6)
    (other / "song.json").unlink()
    other.rename(other.with_name(os.fsdecode(b"s\xf6ng")))
    out = tmp_path / os.fsdecode(b"out \xff")
    standing = mine_here(songs, out)
    assert (len(standing.mined), list(standing.failed), standing.notices) == (3, ["bad"], [])
    assert r"b\xe4ss.wav" in standing.failed["bad"]
    assert read_failure(out / "bad")["reason"] == standing.failed["bad"]
    rows = {row["song_id"]: row for row in read_catalogue(out)}
    assert {row["name"] for row in rows.values()} == {"song 0", "good", r"s\xf6ng", None}
    assert rebuild_catalogue(out) == 4
    assert len(mine_here(songs, out).already) == 3
    (out / "bad" / "failure.json").write_text(json.dumps({"reason": "\udce9", "artist": "\ud800", "settings": {}}))
    assert rebuild_catalogue(out) == 4


def test_collections_of_no_song_and_of_one(tmp_path):
    songs = write_collection(tmp_path / "songs", 1)
    assert mine_here(songs, tmp_path / "one").mined == ["song 0"]
    empty = replace(open_collection(songs), songs=[])
    standing = mine_all(empty, tmp_path / "none", TINY, workers=2, device="cpu")
    assert (standing.total, standing.done) == (0, 0)
    assert read_catalogue(tmp_path / "none") == []


def test_a_song_whose_files_were_missing_is_mined_once_they_are_there(tmp_path):
    songs = write_collection(tmp_path / "songs", 1)
    broken = write_tiny(songs, "no mix", 0.6)
    (broken / "mix.wav").rename(tmp_path / "mix.wav")
    out = tmp_path / "out"
    first = mine_here(songs, out)
    assert list(first.failed) == ["no mix"]
    assert read_failure(out / "no mix")["kind"] == "problem"
    (tmp_path / "mix.wav").rename(broken / "mix.wav")
    assert mine_here(songs, out).mined == ["no mix"]


def test_an_unexpected_error_is_a_failure_of_its_song_and_keeps_its_traceback(tmp_path, monkeypatch):
    songs = write_collection(tmp_path / "songs", 2)
    from graphmix.mining import song_task

    def mine(song, *args, **more):
        if song.name == "song 1":
            raise MemoryError("no room")
        return real(song, *args, **more)

    real = song_task.mine
    monkeypatch.setattr(song_task, "mine", mine)
    standing = mine_here(songs, tmp_path / "out")
    assert (standing.mined, standing.failed) == (["song 0"], {"song 1": "MemoryError: no room"})
    assert "Traceback" in read_failure(tmp_path / "out" / "song 1")["details"]


# --- folders and disks


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    songs = write_collection(tmp_path / "songs", 3)
    out = tmp_path / "out"
    begin(songs, out)
    (out / "song 1").symlink_to("/proc/graphmix")  # where not even root may write
    standing = mine_here(songs, out)
    assert sorted(standing.mined) == ["song 0", "song 2"]
    assert "cannot" in standing.failed["song 1"]
    assert any("song 1" in notice for notice in standing.notices)
    assert statuses(out)["song 1"] == "failed"
    (out / "song 1").unlink()
    assert mine_here(songs, out).mined == ["song 1"]  # no failure.json could be written: it is new


def test_a_file_in_place_of_a_songs_folder_is_reported_and_kept(tmp_path):
    songs = write_collection(tmp_path / "songs", 2)
    out = tmp_path / "out"
    begin(songs, out)
    (out / "song 0").write_text("mine")
    standing = mine_here(songs, out)
    assert standing.mined == ["song 1"]
    assert list(standing.failed) == ["song 0"]
    assert (out / "song 0").read_text() == "mine"


def test_an_output_folder_becomes_unwritable_in_the_middle(tmp_path, monkeypatch):
    """After the first song, whose folder was made, no other folder can be made: songs lead to a place of no return."""
    songs = write_collection(tmp_path / "songs", 3)
    out = tmp_path / "out"

    class Watching:
        def update(self, standing: Standing) -> None:
            pass

        def ended(self, outcome, standing: Standing) -> None:
            for name in ("song 0", "song 1"):
                if not (out / name).exists() and not (out / name).is_symlink():
                    (out / name).symlink_to("/proc/graphmix")

    standing = mine_all(songs, out, TINY, **HERE, watcher=Watching())
    assert standing.mined == ["song 2"]
    assert sorted(standing.failed) == ["song 0", "song 1"]


def test_a_file_that_finds_no_room_fails_its_song_alone(tmp_path):
    songs = tmp_path / "songs"
    for name, seconds in (("short", 0.6), ("long", 1.2), ("short too", 0.7)):
        write_tiny(songs, name, seconds)
    out = tmp_path / "out"
    with files_of_at_most(200_000):  # which the mixes of the short songs fit in
        standing = mine_here(songs, out)
    assert sorted(standing.mined) == ["short", "short too"]
    assert "cannot be written" in standing.failed["long"]
    assert mine_here(songs, out, retry_failed=True).mined == ["long"]
    assert not [path for path in out.rglob("*") if path.name.endswith(".part")]


def test_a_full_disk_stops_no_driver_and_the_rest_is_mined_when_there_is_room(tmp_path):
    songs, out = write_collection(tmp_path / "songs", 4), tmp_path / "disk"
    out.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(out)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("file systems cannot be mounted here")
    try:
        first = mine_here(songs, out / "out")
        assert first.failed
        assert first.mined
        assert set(digests(out / "out")) >= set(first.mined)
        times = {song: (out / "out" / song / "metrics.json").stat().st_mtime_ns for song in first.mined}
        subprocess.run(["mount", "-o", "remount,size=50m", str(out)], check=True)
        second = mine_here(songs, out / "out", retry_failed=True)
        assert not second.failed
        assert sorted(second.already) == sorted(first.mined)
        assert times == {song: (out / "out" / song / "metrics.json").stat().st_mtime_ns for song in first.mined}
        assert len(digests(out / "out")) == 4
        assert statuses(out / "out") == dict.fromkeys(digests(out / "out"), "mined")
    finally:
        subprocess.run(["umount", "-l", str(out)], check=False)


def test_a_damaged_catalogue_is_put_aside_and_made_again(tmp_path):
    songs, out = write_collection(tmp_path / "songs", 2), tmp_path / "out"
    mine_here(songs, out)
    before = read_catalogue(out)
    (out / "catalogue.sqlite").write_bytes(b"SQLite format 3\0" + os.urandom(5000))
    assert len(mine_here(songs, out).already) == 2
    assert read_catalogue(out) == before
    assert len(list(out.glob("catalogue.damaged-*.sqlite"))) == 1


def test_the_catalogue_can_be_made_again_from_the_folders(tmp_path):
    songs, out = write_collection(tmp_path / "songs", 2), tmp_path / "out"
    (write_tiny(songs, "no mix", 0.6) / "mix.wav").unlink()
    mine_here(songs, out)
    before, events = read_catalogue(out), read_events(out)
    assert rebuild_catalogue(out) == 3
    assert read_catalogue(out) == before
    assert read_events(out) == events


def test_failures_hold_what_is_needed_to_understand_them(tmp_path):
    songs = tmp_path / "songs"
    (write_tiny(songs, "no mix", 0.6) / "mix.wav").unlink()
    write_tiny(songs, "good", 0.6)
    mine_all(songs, tmp_path / "out", replace(TINY, seed=5), **HERE)
    failure = json.loads((tmp_path / "out" / "no mix" / "failure.json").read_text())
    assert failure["settings"]["seed"] == 5
    assert failure["collection"] == "songs"
    assert "mix" in failure["reason"]
