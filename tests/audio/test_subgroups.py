"""Files track -> subgroup: all forms mean the same, wrong ones are refused with the place."""

import json
from pathlib import Path

import pytest
import yaml

from graphmix.audio.offset import Offset
from graphmix.audio.subgroups import (
    SongEntry,
    find_correspondence,
    group,
    read_correspondence,
    write_correspondence,
)
from graphmix.errors import SongError

BUS_OF = {"1.wav": "drums", "2.wav": "drums", "3.wav": "bass"}
BUSES = {"drums": ["1.wav", "2.wav"], "bass": ["3.wav"]}
TABLE = "".join(f"{track},{bus}\n" for track, bus in BUS_OF.items())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps(BUSES)),
        ("a.json", json.dumps(BUS_OF)),
        ("a.json", json.dumps({"Song": BUSES})),
        ("a.json", json.dumps({"SONG_Full": BUS_OF, "Other": {"x": "y"}})),
        ("a.json", json.dumps({"song": {"subgroups": BUSES, "tracks": []}})),
        ("a.json", json.dumps([{"song": "song", "subgroups": BUSES, "source": "me"}])),
        ("a.yaml", yaml.safe_dump(BUSES)),
        ("a.yml", yaml.safe_dump(BUSES, default_flow_style=True)),
        ("a.yaml", yaml.safe_dump({"Song": BUS_OF})),
        ("a.csv", "track,subgroup\n" + TABLE),
        ("a.csv", "\ufeffTrack ;Bus\r\n\r\n" + TABLE.replace(",", ";").replace("\n", "\r\n")),
        ("a.tsv", "file\tgroup\n" + TABLE.replace(",", "\t")),
        ("a.csv", "subgroup,song,track\n" + "".join(f"{bus},Song,{track}\n" for track, bus in BUS_OF.items())),
    ],
)
def test_all_forms_mean_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_correspondence(tmp_path / name).of("nothing", "Song") == SongEntry(BUS_OF)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "is not JSON"),
        ("a.json", "3", "holds a int"),
        ("a.json", "{}", "names no tracks"),
        ("a.json", '{"a": 1}', "neither bus -> list"),
        ("a.json", '{"a": ["x"], "b": ["x"]}', "puts 'x' into 'a' and into 'b'"),
        ("a.json", '[{"song": "S"}]', 'entry 1 lacks "song" or "subgroups"'),
        ("a.json", '[{"song": "S", "subgroups": {}}, {"song": "S", "subgroups": {}}]', "has the song 'S' twice"),
        ("a.json", "[" * 100_000, "is not JSON"),
        ("a.yaml", "a: [", "cannot be read as YAML"),
        ("a.yaml", "a: [x]\na: [y]", "the key 'a' is there twice"),
        ("a.yaml", "? [a, b]\n: x", "cannot be read as YAML"),
        ("a.yaml", "a: " + "[" * 100 + "]" * 100, "nested more than 16 deep"),
        ("a.yaml", "a: &x [b]\nc: [*x, *x]", "neither bus -> list"),
        ("a.csv", "", "its first line must name track and subgroup"),
        ("a.csv", "name,bus\nx,y\n", "its first line must name track and subgroup"),
        ("a.csv", "track,bus\n", "names no tracks"),
        ("a.csv", "track,bus\nx\n", "line 2, lacks a track"),
        ("a.csv", "track,bus\nx,a\nx,b\n", "line 3, puts 'x' into a second"),
        ("a.csv", "track,bus\n" + "x" * 200_000 + ",a\n", "is not a table"),
    ],
)
def test_wrong_files_are_refused_with_the_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(SongError) as raised:
        read_correspondence(tmp_path / name)
    assert message in str(raised.value)
    assert str(tmp_path / name) in str(raised.value)


def test_names_match_whatever_their_case_form_and_extension() -> None:
    tracks = ["Café.wav", "01_Kick.WAV", "a.b.wav"]
    bus_of = {"CAFÉ.wav": "x", "01_kick": "y", "a.b": "z"}
    grouping = group(tracks, SongEntry(bus_of), "file")
    assert grouping.subgroups == {"x": ("Café.wav",), "y": ("01_Kick.WAV",), "z": ("a.b.wav",)}
    assert grouping.problems == grouping.notices == ()


def test_one_track_under_two_names_and_buses_is_a_problem() -> None:
    grouping = group(["a.wav"], SongEntry({"a": "x", "A.wav": "y"}), "file")
    assert grouping.problems == ("file puts a.wav into 'x' and into 'y': keep one.",)


def test_two_files_in_one_folder_are_refused(tmp_path: Path) -> None:
    assert find_correspondence(tmp_path) is None
    (tmp_path / "subgroups.csv").write_text("track,bus\nx,a\n")
    found = find_correspondence(tmp_path)
    assert found is not None
    assert found.of() == SongEntry({"x": "a"})
    (tmp_path / "correspondence.json").write_text("{}")
    with pytest.raises(SongError, match="has both"):
        find_correspondence(tmp_path)


def test_a_written_file_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "all.csv"
    write_correspondence(path, {"Söng, one": BUSES, "Two": {'"x"': ["ü.wav"]}})
    read = read_correspondence(path)
    assert read.of("söng, one") == SongEntry(BUS_OF)
    assert read.of("Two") == SongEntry({"ü.wav": '"x"'})
    with pytest.raises(SongError, match=r"ends in \.csv"):
        write_correspondence(tmp_path / "all.txt", {})


@pytest.mark.parametrize("tracks", [["Kick.wav", "kick.wav"], [" k.wav", "k.wav", "k.wav "], ["a.wav", "a.flac"]])
@pytest.mark.parametrize("buses", [["low", "Low"], ["drums", " drums"], ["one", "two, three"]])
@pytest.mark.parametrize("songs", [["A"], ["A", "A_Full"], ["Café", "B/C"]])
def test_names_that_differ_in_case_or_spaces_alone_read_back(
    tmp_path: Path, tracks: list[str], buses: list[str], songs: list[str]
) -> None:
    subgroups = {buses[0]: (tracks[0],), buses[1]: tuple(tracks[1:])}
    path = tmp_path / "all.csv"
    write_correspondence(path, dict.fromkeys(songs, subgroups))
    read = read_correspondence(path)
    for song in songs:
        entry = read.of(song)
        assert entry is not None
        grouping = group(tracks, entry, "all.csv")
        assert grouping.subgroups == subgroups
        assert grouping.problems == grouping.notices == ()


def test_a_loose_name_that_fits_two_tracks_or_songs_is_a_problem(tmp_path: Path) -> None:
    grouping = group(["Kick.wav", "kick.wav"], SongEntry({"KICK": "x"}), "file")
    assert grouping.problems == ("file names 'KICK', which may be Kick.wav, kick.wav: write the name exactly.",)
    (tmp_path / "a.json").write_text('{"S": {"a": ["x"]}, "s_full": {"a": ["y"]}}')
    read = read_correspondence(tmp_path / "a.json")
    assert read.of("S") == SongEntry({"x": "a"})
    with pytest.raises(SongError, match=r"has the song 's' twice \(S, s_full\)"):
        read.of("s")


def test_a_file_may_give_offsets(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"song": "S", "subgroups": BUSES, "offset": "350 ms"}]))
    entry = read_correspondence(tmp_path / "a.json").of("S")
    assert entry is not None
    assert entry.offset == Offset(0.35)


def test_a_table_saved_by_a_spreadsheet_is_read_in_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("track\tsubgroup\nü.wav\tdrums\n", encoding="utf-16")
    assert read_correspondence(path).of() == SongEntry({"ü.wav": "drums"})
    path.write_text("track;subgroup\nü.wav;drums\n", encoding="latin-1")
    with pytest.raises(SongError, match=r"a\.csv is not UTF-8 text; it may be Latin-1"):
        read_correspondence(path)
