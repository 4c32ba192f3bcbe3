"""One contract for all layouts: what is whole is found, loaded and grouped; what is not is told, never raised."""

import json
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphmix.audio import load_song
from graphmix.cli.songs_command import as_plain, run_songs
from graphmix.errors import GraphmixError, SongError
from graphmix.graph.consoles import mixing_console
from graphmix.processors.rack import Rack
from graphmix.songs.collection import Collection, open_collection
from graphmix.songs.ids import LONGEST, safe_id, unique_ids
from tests.songs.tiny_collections import (
    RATE,
    SECONDS,
    WRITERS,
    noise,
    write_daw,
    write_plain,
    write_plain_song,
    write_tracks,
    write_wav,
)

SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._ -]*(/[A-Za-z0-9_-][A-Za-z0-9._ -]*)*")
EVERY = pytest.mark.parametrize("kind", WRITERS)


@pytest.fixture
def whole(kind: str, tmp_path: Path) -> Collection:
    return open_collection(WRITERS[kind](tmp_path / "the collection"))


# --- the contract


@EVERY
def test_a_whole_collection_is_recognised_and_has_no_problems(whole: Collection, kind: str) -> None:
    assert whole.kind == kind
    assert whole.evidence
    assert len(whole) >= 2
    assert [song.problems for song in whole] == [()] * len(whole)
    assert whole.usable == whole.songs == list(whole)
    assert whole.absent == ()
    assert [song.id for song in whole] == sorted(song.id for song in whole)
    assert len({song.id for song in whole}) == len(whole)


@EVERY
def test_a_given_layout_reads_as_the_recognised_one(whole: Collection, kind: str) -> None:
    again = open_collection(whole.root, kind)
    assert again.songs == whole.songs
    assert again.name == whole.name


@EVERY
def test_every_song_says_what_it_is(whole: Collection, kind: str) -> None:
    for song in whole:
        assert SAFE.fullmatch(song.id)
        assert whole[song.id] is song
        assert song.id in whole
        assert song.collection == whole.name
        assert song.seconds == pytest.approx(SECONDS)
        paths = [*song.layout.tracks.values(), song.layout.mix]
        assert song.size_bytes == sum(path.stat().st_size for path in paths if path)
        assert all(path is None or path.is_relative_to(whole.root) for path in paths)


@EVERY
def test_subgroups_hold_each_track_once_and_make_a_console(whole: Collection, kind: str) -> None:
    rack = Rack.console("eg", 30000)
    for song in whole:
        grouped = [track for names in song.layout.subgroups.values() for track in names]
        assert sorted(grouped) == sorted(song.layout.tracks)
        console = mixing_console(rack, song.layout.subgroups, "eg")
        names = [console.names[node] for node in console.nodes_of("in").tolist()]
        assert sorted(names) == sorted(song.layout.tracks)
        assert console.nodes_of("mix").numel() == len(song.layout.subgroups)


@EVERY
def test_every_song_loads_and_its_tracks_sum_to_its_mix(whole: Collection, kind: str) -> None:
    for song in whole:
        loaded = song.load(sample_rate=RATE)
        assert loaded.track_names == tuple(song.layout.tracks)
        assert loaded.subgroups == song.layout.subgroups
        segment = loaded.read(0, loaded.num_samples)
        assert segment.mix is not None
        torch.testing.assert_close(segment.stems.sum(0) / 2, segment.mix, atol=2e-4, rtol=0)


@EVERY
def test_opening_decodes_nothing(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = WRITERS[kind](tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("samples were read")

    monkeypatch.setattr(soundfile.SoundFile, "read", refuse)
    assert open_collection(root).usable


@EVERY
def test_what_macs_leave_behind_changes_nothing(whole: Collection, kind: str) -> None:
    for folder in [path for path in whole.root.rglob("*") if path.is_dir()]:
        for path in list(folder.iterdir()):
            if path.is_file():
                (folder / f"._{path.name}").write_bytes(b"\0\5\x16\7")
        (folder / ".DS_Store").write_bytes(b"Bud1")
    (whole.root / "__MACOSX" / "stems").mkdir(parents=True)
    assert open_collection(whole.root).songs == whole.songs


@EVERY
def test_a_collection_may_be_reached_by_a_link_and_made_of_links(whole: Collection, kind: str, tmp_path: Path) -> None:
    link = tmp_path / "links"
    link.mkdir()
    for path in whole.root.iterdir():
        (link / path.name).symlink_to(path)
    assert [song.id for song in open_collection(link)] == [song.id for song in whole]
    assert open_collection(link).usable


@EVERY
def test_a_missing_mix_and_a_lost_track_keep_a_song_from_being_mined(whole: Collection, kind: str) -> None:
    first, *others = whole.songs
    assert first.layout.mix is not None
    first.layout.mix.unlink()
    next(iter(first.layout.tracks.values())).write_bytes(b"no audio")
    again = open_collection(whole.root, kind)
    broken = again[first.id]
    assert len(broken.problems) >= 2
    assert any("mix" in problem for problem in broken.problems)
    assert any("cannot be decoded" in problem for problem in broken.problems)
    assert [song.id for song in again.usable] == [song.id for song in others]
    with pytest.raises(SongError, match="cannot be loaded: "):
        broken.load()


@EVERY
def test_files_of_other_rates_are_told_and_load(whole: Collection, kind: str) -> None:
    song = whole.songs[0]
    path = list(song.layout.tracks.values())[-1]
    write_wav(path, noise(9, rate=22050), 22050)
    changed = open_collection(whole.root, kind)[song.id]
    assert changed.problems == ()
    assert any("2 sample rates (16000, 22050 Hz)" in notice for notice in changed.layout.notices)
    assert changed.load(sample_rate=RATE).num_samples == song.load(sample_rate=RATE).num_samples


@EVERY
def test_an_empty_folder_of_that_layout_is_one_clear_error(kind: str, tmp_path: Path) -> None:
    with pytest.raises(SongError, match=f"holds no song of the layout '{kind}': expected"):
        open_collection(tmp_path, kind)


@EVERY
def test_songs_travel_to_other_processes(whole: Collection, kind: str) -> None:
    assert pickle.loads(pickle.dumps(whole.songs)) == whole.songs


# --- what is wrong with the whole


def test_unknown_folders_kinds_and_songs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SongError, match="is no collection of a known layout"):
        open_collection(tmp_path)
    with pytest.raises(SongError, match="nowhere is not a folder"):
        open_collection(tmp_path / "nowhere")
    with pytest.raises(SongError, match="no layout 'tape': give auto or one of medleydb, "):
        open_collection(tmp_path, "tape")
    collection = open_collection(write_plain(tmp_path))
    with pytest.raises(SongError, match="has no song 'Fourth'"):
        collection["Fourth"]
    assert "Fourth" not in collection


def test_a_song_named_twice_by_links_is_mined_once(tmp_path: Path) -> None:
    write_plain_song(tmp_path / "A")
    (tmp_path / "B").symlink_to(tmp_path / "A")
    collection = open_collection(tmp_path)
    assert [song.id for song in collection.usable] == ["A"]
    assert "is the same folder as A" in collection["B"].problems[0]


def test_links_in_a_ring_end(tmp_path: Path) -> None:
    write_plain_song(tmp_path / "albums" / "A")
    (tmp_path / "albums" / "again").symlink_to(tmp_path)
    assert [song.id for song in open_collection(tmp_path).usable][:1] == ["albums/A"]


def test_a_folder_that_cannot_be_read_is_the_problem_of_one_song(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plain_song(tmp_path / "A")
    (tmp_path / "locked").mkdir()
    real = Path.iterdir

    def iterdir(path: Path):  # type: ignore[no-untyped-def]
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    collection = open_collection(tmp_path)
    assert [song.id for song in collection.usable] == ["A"]
    assert "Permission denied" in collection["locked"].problems[0] or collection["locked"].problems


def test_a_mix_of_another_length_is_pointed_out(tmp_path: Path) -> None:
    write_wav(write_plain_song(tmp_path / "A") / "mix.wav", noise(0, seconds=1.5))
    assert any("is it the mix of these" in notice for notice in open_collection(tmp_path)["A"].layout.notices)


def test_a_cut_file_is_told_without_decoding(tmp_path: Path) -> None:
    track = write_plain_song(tmp_path / "A") / "stems" / "1_kick.wav"
    track.write_bytes(track.read_bytes()[:-1000])
    assert "is cut off: 1000 bytes" in open_collection(tmp_path)["A"].problems[0]


# --- the user's own subgroups


@EVERY
def test_a_written_table_of_subgroups_reads_back_as_the_same(whole: Collection, kind: str, tmp_path: Path) -> None:
    table = tmp_path / "subgroups.csv"
    run_songs(whole.root, write_subgroups=table)
    table.write_text(table.read_text(encoding="utf-8").replace("_Full", ""), encoding="utf-8")
    again = open_collection(whole.root, subgroups=table)
    for song, other in zip(whole, again, strict=True):
        assert other.problems == ()
        as_sets = [{bus: set(names) for bus, names in s.layout.subgroups.items()} for s in (song, other)]
        assert as_sets[0] == as_sets[1]


@EVERY
def test_the_users_subgroups_override_those_of_every_layout(whole: Collection, kind: str, tmp_path: Path) -> None:
    song = whole.songs[0]
    names = list(song.layout.tracks)
    table = tmp_path / "mine.json"
    table.write_text(json.dumps([{"song": song.id, "subgroups": {"left": names[:1], "right": names[1:]}}]))
    again = open_collection(whole.root, subgroups=table)
    assert again[song.id].layout.subgroups == {"left": tuple(names[:1]), "right": tuple(names[1:])}
    assert not any("guessed" in notice for notice in again[song.id].layout.notices)
    assert again.songs[1:] == whole.songs[1:]
    with pytest.raises(SongError, match="cannot be read"):
        open_collection(whole.root, subgroups=tmp_path / "missing.csv")


# --- ids


def test_ids_keep_what_is_safe_and_stay_different() -> None:
    assert safe_id(["train", "Björk - Jóga (live)"]) == "train/Bjork - Joga _live_"
    assert safe_id(["夜に"]) != safe_id(["夜と"])
    assert safe_id(["夜に"]).startswith("song-")
    assert safe_id(["con"]).startswith("song con-")
    assert len(safe_id(["x" * 300])) < LONGEST + 10
    ids = unique_ids([("Song",), ("song",), ("a.",), ("a", "b"), ("Söng",), ("a", "b")])
    assert ids[0] == "Song"
    assert len({i.casefold() for i in ids}) == 6
    assert unique_ids([("Song",), ("song",)]) == ids[:2]


@given(st.lists(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=3), max_size=8))
def test_ids_of_any_names_are_safe_and_lie_apart(names: list[list[str]]) -> None:
    ids = unique_ids(names)
    assert len(ids) == len(names) == len({one.casefold() for one in ids})
    for one in ids:
        assert SAFE.fullmatch(one), one
        assert all(part not in (".", "..") and part == part.strip(" .") for part in one.split("/"))
        others = [other.casefold() for other in ids if other is not one]
        assert all(not f"{other}/".startswith(f"{one.casefold()}/") for other in others)


def test_unicode_names_are_kept_where_people_read_them(tmp_path: Path) -> None:
    for name in ("夜に駆ける", "夜と", "Ça va"):
        write_plain_song(tmp_path / name)
    collection = open_collection(tmp_path)
    assert {song.layout.name for song in collection} == {"夜に駆ける", "夜と", "Ça va"}
    assert len(collection.usable) == 3
    assert "Ca va" in collection


def test_names_that_are_no_utf8_are_written_out_and_stop_no_song(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_plain_song(tmp_path / "A")
    try:
        write_wav(write_plain_song(tmp_path / "B") / "stems" / "kick.wav", noise(4))
        (tmp_path / "B" / "stems" / "kick.wav").rename(tmp_path / "B" / "stems" / os.fsdecode(b"k\xefck.wav"))
        (tmp_path / "B").rename(tmp_path / os.fsdecode(b"S\xe9ng"))
        (tmp_path / os.fsdecode(b"S\xe9ng/stems/empty\xff.wav")).touch()
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    first, second = open_collection(tmp_path)
    assert first.problems == ()
    assert SAFE.fullmatch(second.id)
    assert second.layout.name == "S\\xe9ng"
    assert {"k\\xefck.wav", "empty\\xff.wav"} <= set(second.layout.tracks)
    assert "empty\\xff.wav cannot be decoded" in second.problems[0]
    run_songs(tmp_path)
    assert "1 of 2 songs can be mined" in capsys.readouterr().out
    (tmp_path / os.fsdecode(b"S\xe9ng/stems/empty\xff.wav")).unlink()
    song = open_collection(tmp_path)[second.id].load(RATE)
    assert "k\\xefck.wav" in song.track_names
    json.dumps([song.name, *song.track_names, *song.notices], ensure_ascii=False).encode()


# --- the command


@EVERY
def test_the_command_lists_tracks_subgroups_minutes_and_problems(
    whole: Collection, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert whole.songs[0].layout.mix is not None
    whole.songs[0].layout.mix.unlink()
    run_songs(whole.root, kind)
    shown = capsys.readouterr().out
    assert f"layout: {kind} (the layout was given)" in shown
    assert f"{len(whole) - 1} of {len(whole)} songs can be mined" in shown
    assert f"problem: {whole.songs[0].id}: " in shown
    for song in whole:
        row = next(line for line in shown.splitlines() if f"│ {song.id} " in line)
        assert f" {len(song.layout.tracks)} " in row
        assert all(f"{bus} " in row for bus in list(song.layout.subgroups)[:2])


def test_the_command_gives_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_daw(tmp_path / "exports")
    run_songs(root, as_json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown == as_plain(open_collection(root))
    assert shown["kind"] == "daw"
    assert shown["name"] == "exports"
    assert [song["id"] for song in shown["songs"]] == ["Hello", "World"]
    assert shown["songs"][0]["subgroups"]["bass"] == ["Bass DI.wav"]


def test_the_command_fails_when_no_song_can_be_mined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tracks(tmp_path / "A" / "stems", ("a.wav", "b.wav"), None)
    with pytest.raises(GraphmixError, match="none of the 1 songs"):
        run_songs(tmp_path)
    assert "problem: A: " in capsys.readouterr().out


def test_one_song_is_a_collection_too(tmp_path: Path) -> None:
    folder = write_plain_song(tmp_path / "Only one", {"artist": "Anna"})
    collection = open_collection(folder)
    assert [song.id for song in collection] == ["Only one"]
    song = collection["Only one"]
    assert song.artist == "Anna"
    ours, theirs = song.load(), load_song(folder)
    assert ours.track_names == theirs.track_names
    np.testing.assert_array_equal(ours.read(0, 1000).stems, theirs.read(0, 1000).stems)
