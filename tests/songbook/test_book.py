"""Songs on disk: true graphs that render to their mixes, the same from every run, complete or absent."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from graphmix.audio.song import load_song
from graphmix.errors import SongError
from graphmix.graph.storage import load_graph
from graphmix.render.blocks import render_song
from graphmix.songbook import (
    SongbookSettings,
    find_loops,
    make_song,
    oracle_loss,
    oracle_mix,
    write_songbook,
)
from graphmix.songbook.distributions import (
    FADER_DB,
    TRACKS_PER_SONG,
    draw_num_tracks,
    draw_subgroup_sizes,
    quantile,
    share_below,
)
from graphmix.songbook.roles import ROLES
from graphmix.songbook.topology import draw_topology

SMALL = SongbookSettings(seed=11, max_tracks=5, seconds=(3.0, 4.0), songs_per_artist=2)


def digest(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("books") / "book"
    write_songbook(out, 4, SMALL)
    return out


def songs_of(book: Path) -> list[Path]:
    return sorted(path for path in book.iterdir() if path.is_dir())


# --- what is written


def test_the_true_graph_renders_the_written_tracks_to_the_written_mix(book: Path) -> None:
    for folder in songs_of(book):
        song, graph = load_song(folder), load_graph(folder / "graph.safetensors")
        mix = song.read(0, song.num_samples).mix
        assert mix is not None
        assert (render_song(graph, song) - mix).abs().max() < 2e-6
        assert mix.abs().max() > 0.05


def test_a_song_reads_as_any_other_and_says_whose_it_is(book: Path) -> None:
    artists = []
    for folder in songs_of(book):
        song = load_song(folder)
        description = json.loads((folder / "song.json").read_text())
        assert song.notices == ()
        assert {t for members in song.subgroups.values() for t in members} == set(song.track_names)
        assert set(description["songbook"]["roles"]) == set(song.track_names)
        assert set(description["songbook"]["roles"].values()) <= set(ROLES)
        assert description["seed"] == 11
        artists.append(description["artist"])
        assert sorted(p.name for p in folder.iterdir()) == ["dry", "graph.safetensors", "mix.flac", "song.json"]
    assert artists == ["artist_11_00000", "artist_11_00000", "artist_11_00001", "artist_11_00001"]


def test_files_are_24_bit_and_mono_where_both_channels_are_equal(book: Path) -> None:
    for path in (*book.glob("song_*/dry/*.flac"), *book.glob("song_*/mix.flac")):
        info = soundfile.info(path)
        assert (info.subtype, info.samplerate) == ("PCM_24", 30000)
        audio, _ = soundfile.read(path, dtype="float64", always_2d=True)
        assert np.array_equal(audio * 2**23, np.round(audio * 2**23))
        assert 0.003 < np.abs(audio).max() <= 10 ** (-1 / 20) + 1e-6
        if info.channels == 2 and path.parent.name == "dry":
            assert not np.array_equal(audio[:, 0], audio[:, 1])


def test_wav_holds_the_same_samples(book: Path, tmp_path: Path) -> None:
    (folder,) = write_songbook(tmp_path, 1, replace(SMALL, audio_format="wav"))
    one, two = (load_song(f).read(0, 60000) for f in (folder, book / "song_00000"))
    assert torch.equal(one.stems, two.stems)
    assert one.mix is not None
    assert two.mix is not None
    assert torch.equal(one.mix, two.mix)


# --- what is decided


def test_with_style_and_chance_the_files_alone_give_the_true_graph_again(book: Path) -> None:
    for folder in songs_of(book):
        true, again = load_graph(folder / "graph.safetensors"), oracle_mix(folder, style=True, chance=True).graph
        assert torch.equal(true.node_type, again.node_type)
        assert torch.equal(true.wet, again.wet)
        for name, values in true.params.items():
            assert torch.equal(values, again.params[name]), name


def test_the_oracle_is_near_and_only_chance_and_style_are_between(book: Path) -> None:
    losses = [oracle_loss(folder) for folder in songs_of(book)]
    assert all(loss.same < 0.01 for loss in losses)
    assert all(0 < loss.content < 1.2 for loss in losses)
    assert all(0 < loss.style < 1.2 for loss in losses)


def test_without_chance_and_style_the_oracle_is_the_truth(tmp_path: Path) -> None:
    (folder,) = write_songbook(tmp_path, 1, replace(SMALL, chance=0.0, style_spread=0.0))
    assert oracle_loss(folder).content < 0.01


def test_more_chance_leaves_a_larger_loss_to_the_oracle() -> None:
    distances = []
    for chance in (0.1, 0.9):
        tiny = replace(SMALL, max_tracks=3, seconds=(2.0, 2.0), style_spread=0.0)
        songs = [make_song(replace(tiny, chance=chance), index) for index in range(3)]
        stills = [make_song(replace(tiny, chance=0.0), index) for index in range(3)]
        pairs = zip(songs, stills, strict=True)
        distances.append(sum(float((a.mixed.mix - b.mixed.mix).square().mean()) for a, b in pairs))
    assert distances[0] < distances[1]


def test_modes_share_their_dry_tracks_and_gain_mode_has_gains_alone() -> None:
    console, gain = (make_song(replace(SMALL, mode=mode), 1) for mode in ("console", "gain"))
    assert console.session.stems.keys() == gain.session.stems.keys()
    assert all(torch.equal(console.session.stems[t], gain.session.stems[t]) for t in console.session.stems)
    counts = {name: len(values) for name, values in gain.mixed.graph.params.items() if len(values)}
    assert counts == {"gain": len(gain.session.stems)}


# --- the same from every run


def test_a_song_depends_on_seed_and_index_alone(book: Path, tmp_path: Path) -> None:
    write_songbook(tmp_path / "other", [3, 1], SMALL)
    assert digest(tmp_path / "other" / "song_00003") == digest(book / "song_00003")
    assert digest(tmp_path / "other" / "song_00001") == digest(book / "song_00001")
    assert not (tmp_path / "other" / "song_00000").exists()
    other = make_song(replace(SMALL, seed=12), 3)
    true = make_song(SMALL, 3)
    assert other.session.stems.keys() != true.session.stems.keys() or not torch.equal(other.mixed.mix, true.mixed.mix)


@pytest.mark.slow
def test_two_workers_write_what_one_does(book: Path, tmp_path: Path) -> None:
    counts: list[tuple[int, int]] = []
    write_songbook(tmp_path / "two", 4, SMALL, workers=2, progress=lambda done, wanted: counts.append((done, wanted)))
    assert digest(tmp_path / "two") == digest(book)
    assert counts == [(k, 4) for k in range(5)]


def test_a_run_goes_on_where_it_stopped(book: Path, tmp_path: Path) -> None:
    write_songbook(tmp_path, 2, SMALL)
    before = (tmp_path / "song_00000" / "song.json").stat().st_mtime_ns
    (tmp_path / "song_00001" / "song.json").unlink()  # no folder of ours is without it
    with pytest.raises(SongError, match="song_00001 cannot be written"):
        write_songbook(tmp_path, 2, SMALL)
    for path in (tmp_path / "song_00001").rglob("*"):
        if path.is_file():
            path.unlink()
    (tmp_path / "song_00001" / "dry").rmdir()
    (tmp_path / "song_00001").rmdir()
    write_songbook(tmp_path, 3, SMALL)
    assert (tmp_path / "song_00000" / "song.json").stat().st_mtime_ns == before
    assert digest(tmp_path / "song_00001") == digest(book / "song_00001")


def test_another_songbook_in_the_folder_is_refused(book: Path, tmp_path: Path) -> None:
    with pytest.raises(SongError, match="another chance"):
        write_songbook(book, 1, replace(SMALL, chance=0.5))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SongError, match="something else"):
        write_songbook(tmp_path, 1, SMALL)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "songbook.json").write_text("{")
    with pytest.raises(SongError, match="damaged"):
        write_songbook(damaged, 1, SMALL)


KILLED = """
import sys
from pathlib import Path
from graphmix.songbook import SongbookSettings, write_songbook
if __name__ == "__main__":
    settings = SongbookSettings(seed=11, max_tracks=5, seconds=(3.0, 4.0), songs_per_artist=2)
    write_songbook(Path(sys.argv[1]), 4, settings, workers=int(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_leaves_complete_songs_only_and_the_next_ends_it(book: Path, tmp_path: Path, workers: int) -> None:
    script, out = tmp_path / "write.py", tmp_path / "killed"
    script.write_text(KILLED)
    moments = random.Random(workers)
    kills = 0
    for _ in range(4):
        process = subprocess.Popen([sys.executable, str(script), str(out), str(workers)], start_new_session=True)
        while process.poll() is None and not any(out.glob(".song_*.part")):
            time.sleep(0.002)
        time.sleep(moments.uniform(0.0, 0.15))  # a song is being written, or has just been
        kills += process.poll() is None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for folder in songs_of(out):
            if not folder.name.startswith("."):
                assert digest(folder) == digest(book / folder.name)
    assert kills
    time.sleep(1.0)  # until the last worker has let go of its lock
    write_songbook(out, 4, SMALL)
    assert digest(out) == digest(book)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(book: Path, tmp_path: Path) -> None:
    import psutil

    script, out = tmp_path / "write.py", tmp_path / "book"
    script.write_text(KILLED)
    process = subprocess.Popen([sys.executable, str(script), str(out), "2"], start_new_session=True)
    victims: list[psutil.Process] = []
    while not victims and process.poll() is None:
        time.sleep(0.05)
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        victims = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    time.sleep(2.0)
    victims[0].kill()
    assert process.wait(timeout=120) == 0
    assert digest(out) == digest(book)


# --- as real sessions are


def test_quantiles_and_shares_are_inverse() -> None:
    for share in (0.1, 0.37, 0.5, 0.9):
        assert share_below(TRACKS_PER_SONG, quantile(TRACKS_PER_SONG, share)) == pytest.approx(share)
        assert share_below(FADER_DB, quantile(FADER_DB, share)) == pytest.approx(share)


def test_drawn_songs_are_as_large_as_real_ones() -> None:
    rng = np.random.default_rng(0)
    counts = [draw_num_tracks(rng, 2, None) for _ in range(4000)]
    for share in (0.1, 0.5, 0.9):
        assert np.quantile(counts, share) == pytest.approx(quantile(TRACKS_PER_SONG, share), rel=0.15)
    assert all(3 <= draw_num_tracks(rng, 3, 6) <= 6 for _ in range(200))
    assert all(draw_num_tracks(rng, 4, 4) == 4 for _ in range(20))


def test_a_third_of_the_subgroups_hold_one_track() -> None:
    rng = np.random.default_rng(0)
    sizes = [size for _ in range(2000) for size in draw_subgroup_sizes(rng, draw_num_tracks(rng, 2, None))]
    assert np.mean(np.array(sizes) == 1) == pytest.approx(1 / 3, abs=0.06)


def test_topologies_are_whole() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        planned = draw_topology(rng, 2, 60)
        tracks = [track for members in planned.values() for track in members]
        assert 2 <= len(tracks) <= 60
        assert all(planned.values())
        assert [track.name for track in tracks] == sorted(track.name for track in tracks)
        assert max(Counter((track.role, track.copy) for track in tracks).values()) == 1


@pytest.mark.slow
def test_effects_and_faders_are_spread_as_in_real_sessions() -> None:
    settings = replace(SMALL, seconds=(6.0, 8.0), max_tracks=12)
    effects, faders = [], []
    for index in range(40):
        song = make_song(settings, index)
        graph = song.mixed.graph
        counts = Counter(graph.types[t].name for t in graph.node_type.tolist())
        tracks = counts["in"]
        effects.append((sum(counts[k] for k in ("equalizer", "compressor", "noisegate", "delay", "reverb")), tracks))
        faders += graph.params["gain"].mean(1).tolist()
    per_track = sum(e for e, _ in effects) / sum(t for _, t in effects)
    assert per_track == pytest.approx(1.4, abs=0.3)
    assert np.quantile(faders, 0.9) - np.quantile(faders, 0.1) == pytest.approx(15, abs=6)


# --- loops


@pytest.fixture
def loops(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for role, seconds, rate in (("kick", 1.0, 44100), ("bass", 6.0, 30000), ("electric_piano", 2.0, 48000)):
        (tmp_path / "loops" / role).mkdir(parents=True)
        time_s = np.arange(round(seconds * rate)) / rate
        audio = 0.5 * np.sin(2 * np.pi * 100 * time_s) * np.exp(-8 * (time_s % 0.5)) + 0.01 * rng.standard_normal(
            time_s.size
        )
        soundfile.write(tmp_path / "loops" / role / f"{role}_1.wav", audio, rate)
    return tmp_path / "loops"


def test_a_book_of_loops_has_only_their_roles_and_says_which_they_were(loops: Path, tmp_path: Path) -> None:
    library = find_loops(loops)
    assert list(library.files) == ["kick", "bass", "electric piano"]
    (folder,) = write_songbook(tmp_path / "book", 1, replace(SMALL, min_tracks=3), loops=library)
    facts = json.loads((folder / "song.json").read_text())["songbook"]
    assert set(facts["roles"].values()) <= set(library.files)
    assert all((loops / name).exists() for name in facts["facts"]["loops"])
    song, graph = load_song(folder), load_graph(folder / "graph.safetensors")
    mix = song.read(0, song.num_samples).mix
    assert mix is not None
    assert (render_song(graph, song) - mix).abs().max() < 2e-6


def test_loops_by_a_mapping(loops: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "roles.json"
    mapping.write_text(json.dumps({"snare": ["kick/*.wav"], "lead": ["bass/bass_1.wav"]}))
    assert list(find_loops(loops, mapping).files) == ["snare", "lead"]
    for wrong, words in (
        ({"theremin": ["x.wav"]}, "no role 'theremin'"),
        ({"kick": ["../x.wav"]}, "leads out"),
        ({"kick": ["/etc/x.wav"]}, "leads out"),
        ({"kick": ["nothing.wav"]}, "no such file"),
        ({}, "holds no loops"),
    ):
        with pytest.raises(SongError, match=words):
            find_loops(loops, wrong)
    mapping.write_text("[1]")
    with pytest.raises(SongError, match="not of the form"):
        find_loops(loops, mapping)
    with pytest.raises(SongError, match="not a folder"):
        find_loops(tmp_path / "nowhere")


def test_a_songbook_with_the_old_names_of_style_is_read_and_continued(tmp_path: Path) -> None:
    settings = replace(SMALL, max_tracks=2, seconds=(2.0, 2.0))
    (folder,) = write_songbook(tmp_path, 1, settings)
    again = oracle_mix(folder, style=True, chance=True)
    song, shared = json.loads((folder / "song.json").read_text()), json.loads((tmp_path / "songbook.json").read_text())
    song["songbook"]["taste"] = song["songbook"].pop("style")
    shared["settings"]["habits"] = shared["settings"].pop("style_spread")
    (folder / "song.json").write_text(json.dumps(song))
    (tmp_path / "songbook.json").write_text(json.dumps(shared))
    assert SongbookSettings.from_dict(shared["settings"]) == settings
    assert torch.equal(oracle_mix(folder, style=True, chance=True).mix, again.mix)
    assert write_songbook(tmp_path, 1, settings) == [folder]
    with pytest.raises(SongError, match="another style_spread"):
        write_songbook(tmp_path, 1, replace(settings, style_spread=0.9))
