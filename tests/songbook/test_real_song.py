"""Songs of real scores and samples from tiny material: the same from every run, true graphs, recorded, parted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from graphmix.audio.song import load_song
from graphmix.cli.songbook_command import material_summary
from graphmix.errors import SongError
from graphmix.graph.storage import load_graph
from graphmix.render.blocks import render_song
from graphmix.songbook import RealMaterial, SongbookSettings, find_loops, find_material, make_song, write_songbook
from graphmix.songbook.drumkit import HydrogenKit
from graphmix.songbook.files import read_facts
from graphmix.songbook.roles import MICROPHONES, ROLES, find_role
from graphmix.songbook.settings import STREAMS
from graphmix.songbook.topology import draw_topology
from tests.songbook.real_material import BAND, write_kit, write_material, write_midi, write_soundfont
from tests.songbook.test_book import digest
from tests.songbook.test_soundfont import needs_fluidsynth

pytest.importorskip("music21", reason="music21 is not installed")
pytest.importorskip("pretty_midi", reason="pretty_midi is not installed")

SMALL = SongbookSettings(seed=2, min_tracks=5, max_tracks=7, seconds=(4.0, 5.0), sample_rate=16000)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_material(tmp_path_factory.mktemp("material"))


@pytest.fixture(scope="module")
def material(places: dict[str, Path]) -> RealMaterial:
    return find_material(places["scores"], [places["soundfont"]], places["kits"])


@pytest.fixture(scope="module")
def book(material: RealMaterial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("real") / "book"
    write_songbook(out, 3, SMALL, material=material)
    return out


@needs_fluidsynth
def test_the_true_graph_renders_the_written_tracks_to_the_written_mix(book: Path) -> None:
    for folder in sorted(path for path in book.iterdir() if path.is_dir()):
        song, graph = load_song(folder, SMALL.sample_rate), load_graph(folder / "graph.safetensors")
        mix = song.read(0, song.num_samples).mix
        assert mix is not None
        assert (render_song(graph, song) - mix).abs().max() < 2e-6
        assert mix.abs().max() > 0.05
        for track in song.read(0, song.num_samples).stems:
            assert 1e-4 < track.abs().max() <= 1


@needs_fluidsynth
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_workers_and_runs_give_the_same_files(book: Path, material: RealMaterial, tmp_path: Path, workers: int) -> None:
    write_songbook(tmp_path / "again", 3, SMALL, material=material, workers=workers)
    assert digest(tmp_path / "again") == digest(book)
    other = make_song(SongbookSettings(**{**SMALL.to_dict(), "seed": 3, "seconds": (4.0, 5.0)}), 0, material=material)
    first = load_song(book / "song_00000")
    assert set(other.session.stems) != set(first.track_names) or other.mixed.mix.size(1) != first.num_samples


@needs_fluidsynth
def test_the_record_says_what_a_song_was_made_of(book: Path, material: RealMaterial) -> None:
    assert material.scores is not None
    names = {file.name: file for files in material.scores.files.values() for file in files}
    for k in range(3):
        facts = read_facts(book / f"song_{k:05d}")
        assert names[facts["score"]].digest == facts["score_digest"]
        assert names[facts["score"]].split == facts["score_split"]
        song = load_song(book / f"song_{k:05d}")
        assert {Path(name).stem for name in song.track_names} == set(facts["instruments"])
        for its in facts["instruments"].values():
            assert its["part"]
            assert all(set(player) & {"soundfont", "kit", "synthesis"} for player in its["played_by"])
    stored = json.loads((book / "songbook.json").read_text())["material"]
    assert stored["scores"]["count"] == 4
    assert stored["drumkits"] == ["one"]
    lines = material_summary([book / f"song_{k:05d}" for k in range(3)])
    assert "instruments" in lines[0]
    assert "of 3 songs rejected (0.0 %)" in lines[1]


@needs_fluidsynth
def test_another_material_does_not_continue_a_songbook(book: Path, places: dict[str, Path]) -> None:
    with pytest.raises(SongError, match="songbook with another material"):
        write_songbook(book, 4, SMALL, material=find_material(places["scores"]))
    with pytest.raises(SongError, match="songbook with another material"):
        write_songbook(book, 4, SMALL)


def test_scores_alone_are_played_by_the_built_in_synthesis(places: dict[str, Path]) -> None:
    song = make_song(SMALL, 0, material=find_material(places["scores"]))
    players = [player for its in song.facts["instruments"].values() for player in its["played_by"]]
    assert players
    assert all("synthesis" in player for player in players)
    assert all(stem.abs().max() > 1e-4 for stem in song.session.stems.values())


def test_kits_alone_play_composed_drums_before_microphones(places: dict[str, Path]) -> None:
    material = find_material(drumkits=places["kits"])
    settings = SongbookSettings(seed=1, min_tracks=8, max_tracks=12, seconds=(3.0, 3.0), sample_rate=16000)
    roles = set()
    for k in range(3):
        song = make_song(settings, k, material=material)
        roles |= set(song.session.roles.values())
        for track, its in song.facts["instruments"].items():
            assert ("kit" in its["played_by"][0]) == (find_role(song.session.roles[track + ".flac"]).family == "drums")
    assert roles & set(MICROPHONES)


@needs_fluidsynth
def test_the_drums_of_a_soundfont_play_where_there_are_no_kits(tmp_path: Path) -> None:
    path = write_soundfont(tmp_path / "drums.sf2", [*BAND, ("Set", 128, 0, 9)], samples=len(BAND) + 1)
    material = find_material(soundfonts=[path])
    assert [kit.name for kit in material.full_kits] == ["drums.sf2: Set"]
    for k in range(3):
        song = make_song(SMALL, k, material=material)
        for track, its in song.facts["instruments"].items():
            if find_role(song.session.roles[track + ".flac"]).family in ("drums", "percussion"):
                assert its["played_by"] == [{"kit": "drums.sf2: Set"}]


def test_an_unreadable_score_is_replaced_and_reported(places: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "broken.mid").write_bytes(b"MThd and nothing")
    with pytest.raises(SongError, match=r"no song 0 can be made of this material: 8 .*broken\.mid cannot be read"):
        make_song(SMALL, 0, material=find_material(tmp_path / "scores"))
    write_midi(tmp_path / "scores" / "good.mid")
    material = find_material(tmp_path / "scores")
    rejected = [str(make_song(SMALL, k, material=material).facts["rejected"]) for k in range(6)]
    assert any("broken.mid cannot be read" in text for text in rejected)
    assert any(text == "[]" for text in rejected)


# --- splits


@needs_fluidsynth
def test_splits_share_neither_scores_nor_instruments(tmp_path: Path) -> None:
    (tmp_path / "scores").mkdir()
    for k in range(30):
        write_midi(tmp_path / "scores" / f"{k}.mid", seed=k, bars=2)
    programs = [p for first in (0, 16, 24, 32, 48, 52, 56, 80, 88) for p in range(first, first + 4)]
    presets = [(f"preset {p}", 0, p, k) for k, p in enumerate(programs)]
    font = write_soundfont(tmp_path / "font.sf2", presets, samples=len(presets))
    for k in range(6):
        pieces = {"Kick": (50.0 + k, 1.0), "Snare": (200.0 + k, 1.0), "Closed HH": (5000.0 + k, 1.0)}
        write_kit(tmp_path / "kits" / str(k), pieces, author=str(k))
    parts = [find_material(tmp_path / "scores", [font], tmp_path / "kits", s) for s in ("train", "valid", "test")]
    scores = [{f.digest for fs in m.scores.files.values() for f in fs} for m in parts if m.scores]
    presets_of = [{(p.bank, p.program) for p in m.presets} for m in parts]
    kits = [{kit.name for kit in m.kits} for m in parts]
    for sets, total in ((scores, 30), (presets_of, len(presets)), (kits, 6)):
        assert all(sets)
        assert len(set().union(*sets)) == sum(map(len, sets)) == total
    for m in parts:
        assert {"bass", "organ", "lead", "kick"} <= set(m.roles)


def test_splits_that_cannot_be_are_refused(places: dict[str, Path]) -> None:
    with pytest.raises(SongError, match="there is no split 'dev'; choose one of: train, valid, test"):
        find_material(places["scores"], split="dev")
    with pytest.raises(SongError, match="no drum kit belongs to the split 'test'"):
        find_material(drumkits=places["kits"], split="test")


# --- what is installed by hand, what is there by default


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("music21", {"scores": "music21"}, r"needs the package music21: pip install 'graphmix\[songs\]'"),
        ("pretty_midi", {"scores": "{scores}"}, r"needs the package pretty_midi: pip install 'graphmix\[songs\]'"),
        ("fluidsynth", {"soundfonts": ["{soundfont}"]}, r"needs the package pyfluidsynth: pip install"),
    ],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, places: dict[str, Path], module: str, arguments: dict[str, Any], message: str
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name, name=module)

    monkeypatch.setattr("graphmix.songbook.extras.import_module", missing)
    given = {
        key: [v.format(**places) for v in value] if isinstance(value, list) else value.format(**places)
        for key, value in arguments.items()
    }
    with pytest.raises(SongError, match=message):
        find_material(**given)


def test_loops_and_real_material_exclude_one_another(places: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "loops" / "kick").mkdir(parents=True)
    soundfile.write(tmp_path / "loops" / "kick" / "a.wav", np.ones(1000) * 0.1, 16000)
    loops = find_loops(tmp_path / "loops")
    with pytest.raises(SongError, match="made of loops or of scores and samples, not of both"):
        write_songbook(tmp_path / "out", 1, SMALL, loops=loops, material=find_material(drumkits=places["kits"]))


def test_the_default_songbook_draws_what_it_always_drew() -> None:
    """Streams, roles and names of songs without real material; levels as measured before there was any."""
    assert STREAMS[:8] == ("artist", "form", "topology", "score", "playing", "condition", "chance", "effect")
    assert len(ROLES) == 26
    assert not set(MICROPHONES) & set(ROLES)
    drawn = draw_topology(np.random.default_rng(SMALL.stream("topology", 0)), 5, 7)
    assert [t.name for its in drawn.values() for t in its] == [
        "01_kick", "02_snare", "03_bass", "04_pad", "05_backing_vocal", "06_backing_vocal_2", "07_riser"
    ]  # fmt: skip
    song = make_song(SongbookSettings(seed=3, max_tracks=4, seconds=(3.0, 3.0)), 0)
    levels = {track: float(stem.double().square().mean().sqrt()) for track, stem in song.session.stems.items()}
    assert levels == pytest.approx({"01_kick.flac": 0.049528235, "02_congas.flac": 0.051208199}, rel=1e-5)
    assert float(song.mixed.mix.double().square().mean().sqrt()) == pytest.approx(0.106893963, rel=1e-4)
    assert list(song.facts) == ["seconds", "bpm", "key"]


def test_kits_are_of_hydrogen(material: RealMaterial) -> None:
    assert all(isinstance(kit, HydrogenKit) for kit in material.kits)
