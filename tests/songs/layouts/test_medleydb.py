"""MedleyDB: raw tracks by stem, stems, metadata wherever it lies, partial copies, hostile YAML."""

import shutil
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from graphmix.errors import SongError
from graphmix.songs.collection import open_collection
from graphmix.songs.layouts.medleydb_metadata import read_metadata
from tests.songs.tiny_collections import (
    medley_metadata,
    noise,
    write_medley_metadata,
    write_medley_song,
    write_medleydb,
    write_wav,
)

SONG = "AnnaBand_FirstSong"
RAWS = tuple(f"{SONG}_RAW_{number}.wav" for number in ("01_01", "01_02", "02_01"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_medleydb(tmp_path / "MedleyDB")


def problems(root: Path, song: str = SONG) -> str:
    return " ".join(open_collection(root)[song].problems)


def test_raw_tracks_are_grouped_by_their_stem_and_facts_are_kept(root: Path) -> None:
    collection = open_collection(root)
    assert (collection.kind, collection.name) == ("medleydb", "medleydb")
    song = collection[SONG]
    assert tuple(song.layout.tracks) == RAWS
    assert song.layout.subgroups == {"S01 drum set": RAWS[:2], "S02 electric bass": RAWS[2:]}
    assert song.layout.mix == root / "Audio" / SONG / f"{SONG}_MIX.wav"
    assert (song.artist, song.genre, song.has_bleed) == ("AnnaBand", "Rock", True)
    assert collection["Bert_No"].has_bleed is False


def test_stems_may_be_the_tracks(root: Path) -> None:
    song = open_collection(root, tracks="stems")[SONG]
    stems = tuple(f"{SONG}_STEM_{number:02d}.wav" for number in (1, 2))
    assert tuple(song.layout.tracks) == stems
    assert song.layout.subgroups == {"mix bus": stems}
    assert song.load(30000).num_tracks == 2
    with pytest.raises(SongError, match="has 'raw' and 'stems'"):
        open_collection(root, tracks="both")


def test_a_title_that_yaml_takes_for_a_bool_stays_a_title(root: Path) -> None:
    metadata = read_metadata(root / "Metadata" / "Bert_No_METADATA.yaml")
    path = write_medley_metadata(root, "A_B", medley_metadata("A_B"))
    path.write_text(path.read_text().replace("title: B", "title: no\ngenre: 1979\nhas_bleed: no"), encoding="utf-8")
    assert metadata.title == "No"
    assert read_metadata(path).title == "no"
    assert read_metadata(path).has_bleed is False


@pytest.mark.parametrize("place", ["song", "root", "clone", "given", "sibling"])
def test_metadata_is_found_where_copies_have_it(root: Path, place: str, tmp_path: Path) -> None:
    files = list((root / "Metadata").iterdir())
    folders = {"root": root, "clone": root / "medleydb" / "data" / "Metadata", "given": tmp_path / "elsewhere"}
    for path in files if place != "sibling" else []:
        song = path.name.removesuffix("_METADATA.yaml")
        target = folders.get(place, root / "Audio" / song)
        target.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target / path.name)
    where = root / "Audio" if place == "sibling" else root
    collection = open_collection(where, metadata=folders["given"] if place == "given" else None)
    assert [song.id for song in collection.usable] == [SONG, "Bert_No"]


def test_versions_lie_in_folders_of_their_own_or_nowhere(tmp_path: Path) -> None:
    for version, song in (("V1", "A_One"), ("V2", "B_Two")):
        write_medley_song(tmp_path / "both" / version, tmp_path / "both" / version / song, song)
    assert [song.id for song in open_collection(tmp_path / "both").usable] == ["A_One", "B_Two"]
    assert [song.id for song in open_collection(tmp_path / "both" / "V2").usable] == ["B_Two"]


def test_missing_raw_files_are_named(root: Path) -> None:
    (root / "Audio" / SONG / f"{SONG}_RAW" / RAWS[1]).unlink()
    assert f"1 of 3 raw tracks are missing in {root / 'Audio' / SONG / f'{SONG}_RAW'} ({RAWS[1]})" in problems(root)
    shutil.rmtree(root / "Audio" / SONG / f"{SONG}_RAW")
    assert "all 3 raw tracks are missing" in problems(root)
    assert open_collection(root, tracks="stems")[SONG].problems == ()


def test_files_that_the_metadata_does_not_name_are_left_out(root: Path) -> None:
    write_wav(root / "Audio" / SONG / f"{SONG}_RAW" / "click.wav", noise(5))
    song = open_collection(root)[SONG]
    assert song.problems == ()
    assert tuple(song.layout.tracks) == RAWS
    assert "click.wav in" in song.layout.notices[0]


def test_audio_without_metadata_shows_its_tracks_and_is_not_mined(root: Path) -> None:
    (root / "Metadata" / f"{SONG}_METADATA.yaml").unlink()
    song = open_collection(root)[SONG]
    assert f"the metadata {SONG}_METADATA.yaml is missing" in song.problems[0]
    assert tuple(song.layout.tracks) == RAWS


def test_metadata_without_audio_is_counted_and_no_song(root: Path) -> None:
    for song in ("C_Three", "D_Four"):
        write_medley_metadata(root / "Metadata", song, medley_metadata(song))
    collection = open_collection(root)
    assert len(collection) == 2
    assert collection.absent == ("C_Three", "D_Four")
    assert collection.notices == ("2 metadata files have no audio in this copy: C_Three, D_Four.",)


def test_an_empty_song_folder_tells_all_that_is_missing(root: Path) -> None:
    shutil.rmtree(root / "Audio" / SONG)
    (root / "Audio" / SONG).mkdir()
    told = problems(root)
    assert f"the mix {SONG}_MIX.wav is missing" in told
    assert "all 3 raw tracks are missing" in told


def test_a_stem_without_raw_tracks_is_told(root: Path) -> None:
    metadata = medley_metadata(SONG)
    metadata["stems"]["S02"]["raw"] = {}
    write_medley_metadata(root / "Metadata", SONG, metadata)
    assert "stems S02 have no raw tracks" in problems(root)


def test_an_instrument_may_be_a_list(root: Path) -> None:
    metadata = medley_metadata(SONG)
    metadata["stems"]["S01"]["instrument"] = ["kick drum", "snare drum"]
    write_medley_metadata(root / "Metadata", SONG, metadata)
    assert "S01 kick drum/snare drum" in open_collection(root)[SONG].layout.subgroups


HOSTILE = {
    "no YAML": ("{a: [", "cannot be read as YAML"),
    "a list": ("- 1", "lists no stems"),
    "empty": ("", "lists no stems"),
    "cut off": ("album: ''\nstems:\n  S01:\n", "has no filename"),
    "not UTF-8": ("é".encode("latin-1"), "is not UTF-8"),
    "binary": (b"\0" * 100, "is not text"),
    "a tag that runs code": ("stems: !!python/object/apply:os.system ['true']", "lists no stems"),
    "too large": ("#" * (1 << 20) + "\nstems: 1", "larger than 1048576 bytes"),
    "nested deep": ("stems: " + "[" * 100 + "]" * 100, "nested more than 16 deep"),
    "nested very deep": ("stems: " + "[" * 100_000, "nest"),  # a limit of ours, or of PyYAML since 6.0.4
    "climbs out": (
        "stems: {S01: {filename: a.wav, raw: {R01: {filename: ../../../secret.wav}}}}",
        "leads out of the song's folder",
    ),
    "absolute": ("raw_dir: /tmp\nstems: {S01: {filename: a.wav, raw: {}}}", "leads out of the song's folder"),
    "too many tracks": (
        "stems: {" + ", ".join(f"S{i}: {{filename: a.wav}}" for i in range(2100)) + "}",
        "more than 2000 tracks",
    ),
    "laughs": (
        "a: &a {x: y}\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(20))
        + "stems: *u\n",
        "lists no stems",
    ),
    "laughing stems": (
        "r: &r {" + ", ".join(f"R{i}: {{filename: a.wav}}" for i in range(500)) + "}\n"
        "stems: {" + ", ".join(f"S{i}: {{filename: a.wav, raw: *r}}" for i in range(500)) + "}",
        "more than 2000 tracks",
    ),
    "merged keys": ("a: &a {filename: a.wav}\nstems: {S01: {<<: [*a, *a]}}", "has no filename"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_metadata_is_one_problem_of_its_song_in_bounded_time(root: Path, name: str) -> None:
    content, expected = HOSTILE[name]
    path = root / "Metadata" / f"{SONG}_METADATA.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    started = time.perf_counter()
    collection = open_collection(root)
    assert time.perf_counter() - started < 10
    assert expected in " ".join(collection[SONG].problems)
    assert all(len(problem) < 1000 for problem in collection[SONG].problems)
    assert [song.id for song in collection.usable] == ["Bert_No"]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_metadata_is_read_or_refused(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(yaml.safe_dump(medley_metadata(SONG)).encode())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_bytes(content)
    with suppress(SongError):
        read_metadata(path)


def test_one_song_is_read_with_the_metadata_of_its_collection(tmp_path: Path) -> None:
    root = write_medleydb(tmp_path / "MedleyDB")
    whole = open_collection(root)
    alone = open_collection(root / "Audio" / "AnnaBand_FirstSong")
    assert alone.songs == [whole["AnnaBand_FirstSong"]]
    assert alone.absent == alone.notices == ()
