"""Mining from files to files: what is written, what a second call does, what is refused before anything is."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from torch import Tensor

from graphmix import plots
from graphmix.audio import load_song, load_stems, read_audio
from graphmix.errors import GraphError, GraphmixError, SearchError
from graphmix.graph import remove_nodes
from graphmix.graph.consoles import mixing_console
from graphmix.graph.storage import load_graph
from graphmix.graph.validation import validate
from graphmix.processors.rack import Rack
from graphmix.render.blocks import render_song
from graphmix.search import Mined, Objective, find_baselines, mine, sdr, si_sdr, start_graph
from graphmix.search.mine_song import choose_device
from graphmix.search.rounds import count_processors
from tests.small_song import (
    CONSOLE_ALONE,
    RATE,
    SETTINGS,
    dry_tracks,
    hidden_graph,
    mine_without_plots,
    mixed,
    same_graph,
    write_song,
    write_tiny_song,
)

FILES = {
    "console.safetensors",
    "graph.json",
    "graph.safetensors",
    "metrics.json",
    "mix.wav",
    "plots/console.svg",
    "plots/graph.png",
    "plots/graph.svg",
    "plots/importance.csv",
    "plots/importance.png",
    "plots/pruning.png",
    "plots/settings.svg",
    "plots/spectrograms.png",
    "run.json",
    "trace.jsonl",
}


@pytest.fixture(scope="module")
def mined(song_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Mined:
    return mine(song_folder, tmp_path_factory.mktemp("mined") / "a" / "b", SETTINGS, device="cpu")


def files_in(folder: Path) -> dict[str, int]:
    """Path and time of the last change of every file."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in paths}


def no_json(constant: str) -> None:
    pytest.fail(f"{constant} is no JSON")


# --- what is written


def test_the_folder_holds_all_files_and_no_other(mined):
    assert set(files_in(mined.folder)) == FILES
    assert not mined.already_done
    for name in FILES:
        assert (mined.folder / name).stat().st_size > 100


def test_pictures_are_pictures(mined):
    for path in (mined.folder / "plots").glob("*.?*g"):
        start = path.read_bytes()[:200]
        assert start.startswith(b"\x89PNG") or b"<?xml" in start


def test_both_graph_files_hold_the_mined_graph(mined):
    compact, readable = (load_graph(mined.folder / f"graph.{ending}") for ending in ("safetensors", "json"))
    assert same_graph(validate(compact), mined.graph)
    assert same_graph(readable, mined.graph)
    assert compact.provenance["song"] == "small"
    assert compact.provenance["settings"] == SETTINGS.to_dict()


def test_the_mix_is_what_the_graph_file_makes_of_the_stems(mined, song_folder):
    written = read_audio(mined.folder / "mix.wav")
    stems = load_stems(song_folder / "dry", RATE)
    for ending in ("safetensors", "json"):
        rendered = render_song(load_graph(mined.folder / f"graph.{ending}"), stems)
        assert torch.allclose(written, rendered, atol=1e-6)
    info = soundfile.info(mined.folder / "mix.wav")
    assert (info.samplerate, info.channels) == (RATE, 2)


def test_metrics_are_those_of_the_files(mined, song, objective):
    metrics = json.loads((mined.folder / "metrics.json").read_text())
    assert metrics == mined.metrics
    graph = load_graph(mined.folder / "graph.safetensors")
    terms = objective.evaluate(graph)
    names = ["audio_loss", "left_right_loss", "mid_loss", "side_loss"]
    assert [metrics[name] for name in names] == pytest.approx([float(term) for term in terms], abs=1e-6)
    weights = metrics["left_right_loss"] / 2 + metrics["mid_loss"] / 4 + metrics["side_loss"] / 4
    assert metrics["audio_loss"] == pytest.approx(weights, abs=2e-6)
    mix, target = read_audio(mined.folder / "mix.wav"), song.read(0, song.num_samples).mix
    assert metrics["sdr_db"] == pytest.approx(float(sdr(prediction=mix, target=target)), abs=1e-3)
    assert metrics["si_sdr_db"] == pytest.approx(float(si_sdr(prediction=mix, target=target)), abs=1e-3)
    left = count_processors(graph)
    assert metrics["left_by_type"] == left
    assert metrics["processors_left"] == sum(left.values())
    assert metrics["processors_before"] == 10
    assert metrics["pruning_ratio"]["all"] == pytest.approx(1 - sum(left.values()) / 10)
    assert metrics["steps"] == 8
    assert (metrics["song"], metrics["tracks"], metrics["subgroups"]) == ("small", 3, 2)
    assert (metrics["seed"], metrics["device"]) == (0, "cpu")
    assert {"graphmix", "torch", "torch_geometric"} <= set(metrics["versions"])
    assert {"start", "console", "trials", "rounds", "writing"} <= set(metrics["seconds"])


def test_mining_comes_nearer_to_the_mix_than_any_baseline(mined):
    metrics = mined.metrics
    assert metrics["audio_loss"] < min(metrics["baselines"].values())
    assert not metrics["is_baseline"]


def test_the_trace_holds_every_decision(mined):
    lines = (mined.folder / "trace.jsonl").read_text().splitlines()
    records = [json.loads(line, parse_constant=no_json) for line in lines]
    events = [record["event"] for record in records]
    assert events.count("round") == 2
    assert any(record["event"] == "train" and 0 < record["step"] < 4 for record in records), "no loss was read by then"
    assert events.index("evaluate") < events.index("trial")
    assert all({"seconds", "segments"} <= record.keys() for record in records if record["event"] == "trial")
    assert [record["step"] for record in records] == sorted(record["step"] for record in records)
    kept = sum(len(record["candidates"]) for record in records if record.get("kept"))
    assert kept == 10 - mined.metrics["processors_left"] - mined.metrics["processors_absorbed"]


def test_the_importance_that_is_drawn_is_what_each_processor_is_worth_to_the_console(
    song_folder, tmp_path, monkeypatch
):
    """Without a step the console is as it starts."""
    real, drawn = plots.plot_importance, []

    def plot(*args: Any) -> Any:
        drawn.append(args)
        return real(*args)

    monkeypatch.setattr(plots, "plot_importance", plot)
    settings = replace(SETTINGS, chain="g", steps=0, rounds=0)
    mine(song_folder, tmp_path / "out", settings, device="cpu", **CONSOLE_ALONE)
    objective = Objective(load_song(song_folder, RATE), Rack.console("g", RATE))
    console = mixing_console(objective.rack, objective.song.subgroups, "g")
    graph = start_graph(console, objective, find_baselines(objective, with_gains=True), settings.seed)
    before = float(objective.evaluate(graph).total)
    gains = graph.nodes_of("gain").tolist()
    increases = [float(objective.evaluate(remove_nodes(graph, [node])).total) - before for node in gains]
    ((weights, shown, types),) = drawn
    assert (weights, types) == ([1.0] * len(gains), ["gain"] * len(gains))
    assert shown == pytest.approx(increases, abs=1e-4 * before)


# --- again


def test_a_finished_folder_is_left_alone(mined, song_folder):
    before = files_in(mined.folder), mined.folder.stat().st_mtime_ns
    again = mine(str(song_folder), str(mined.folder), SETTINGS, device="cpu")
    assert again.already_done
    assert (files_in(mined.folder), mined.folder.stat().st_mtime_ns) == before
    assert again.metrics == mined.metrics
    assert same_graph(again.graph, mined.graph)


def test_a_result_prints_as_one_line(mined):
    assert repr(mined).startswith("Mined('small', loss ")
    assert len(repr(mined)) < 300


def test_the_same_seed_mines_the_same_graph_elsewhere(mined, song, tmp_path):
    again = mine(song, tmp_path / "out", SETTINGS, device="cpu", plots=False)
    assert same_graph(again.graph, mined.graph)
    timeless = {"seconds"}
    assert {k: v for k, v in again.metrics.items() if k not in timeless} == {
        k: v for k, v in mined.metrics.items() if k not in timeless
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "mined with seed = 0, not 1"),
        ({"tolerance": 0.5}, "mined with tolerance = 0.01, not 0.5"),
        ({"chain": "g"}, "mined with chain = eg, not g"),
        ({"steps": 5}, "mined with steps = 4, not 5"),
    ],
)
def test_other_settings_are_refused(mined, song, change, message):
    before = files_in(mined.folder)
    with pytest.raises(SearchError, match=message):
        mine(song, mined.folder, replace(SETTINGS, **change), device="cpu")
    assert files_in(mined.folder) == before


def test_another_song_is_refused(mined, tmp_path):
    tracks = dry_tracks()
    other = write_song(tmp_path / "other", tracks, 0.5 * mixed(hidden_graph(), tracks), name="other")
    with pytest.raises(SearchError, match="holds another song, 'small'"):
        mine(other, mined.folder, SETTINGS, device="cpu")


def test_a_folder_with_something_else_is_refused_and_kept(song, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SearchError, match=r"holds something else \('thesis.txt'\). Choose an empty one"):
        mine(song, tmp_path, SETTINGS, device="cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"song": 5, "settings": 6}', '{"song": {}, "settings": []}'])
def test_a_damaged_run_file_is_an_error(song, tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(SearchError, match=r"run.json (is damaged|describes a run of another kind)|holds another song"):
        mine(song, tmp_path, SETTINGS, device="cpu")


def test_settings_of_a_newer_version_are_refused(mined, song, tmp_path):
    run = json.loads((mined.folder / "run.json").read_text())
    run["settings"]["flavour"] = "sweet"
    (tmp_path / "run.json").write_text(json.dumps(run))
    with pytest.raises(SearchError, match="mined with flavour = sweet, not None"):
        mine(song, tmp_path, SETTINGS, device="cpu")


def test_damaged_metrics_are_an_error(mined, song, tmp_path):
    copy = shutil.copytree(mined.folder, tmp_path / "copy")
    (copy / "metrics.json").write_text("{")
    with pytest.raises(SearchError, match=r"metrics.json is damaged. Delete it to finish the run again"):
        mine(song, copy, SETTINGS, device="cpu")


# --- refused before anything is written


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"chain": "ex"}, GraphError, "letter 'x'"),
        ({"chain": "ek"}, GraphError, "letter 'k'"),
        ({"chain": "e?"}, GraphError, "letter '[?]'"),
        ({"sample_rate": 44100}, SearchError, "'small' is loaded at 30000 Hz"),
    ],
)
def test_settings_that_do_not_fit_write_nothing(song, tmp_path, change, error, message):
    with pytest.raises(error, match=message):
        mine(song, tmp_path / "out", replace(SETTINGS, **change), device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_song_without_mix_writes_nothing(song_folder, tmp_path):
    stems = load_stems(song_folder / "dry", RATE)
    with pytest.raises(SearchError, match="no mix"):
        mine(stems, tmp_path / "out", SETTINGS, device="cpu")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["", "abacus", "meta", "cuda:977"])
def test_a_device_that_is_not_there_is_refused(song, tmp_path, name):
    with pytest.raises(SearchError, match=f"device '{name}' cannot be used"):
        mine(song, tmp_path / "out", SETTINGS, device=name)
    assert not (tmp_path / "out").exists()


def test_auto_is_a_device_that_is_there():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected
    assert choose_device("cpu").type == "cpu"


# --- output that cannot be written


@pytest.mark.parametrize("out", ["file", "file/below", "file/below/deeper"])
def test_a_file_in_place_of_the_output_folder_is_refused(song, tmp_path, out):
    (tmp_path / "file").write_text("content")
    with pytest.raises(SearchError, match="output folder"):
        mine(song, tmp_path / out, SETTINGS, device="cpu")
    assert (tmp_path / "file").read_text() == "content"


def test_a_read_only_place_is_refused(song, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):
        locked = Path("/proc/graphmix")  # root may write everywhere but there
        if not locked.parent.is_dir():
            pytest.skip("nothing here is forbidden to this user")
    with pytest.raises(SearchError, match="cannot write to output folder"):
        mine(song, locked / "out", SETTINGS, device="cpu")


def test_a_disk_that_fills_up_at_any_write_gives_one_error_and_the_run_can_be_resumed(
    tiny_folder, tmp_path, monkeypatch
):
    """Every file is put in place by os.replace: let each one in turn be the one for which there is no room."""
    song, settings = load_song(tiny_folder, RATE), replace(SETTINGS, chain="g", rounds=1)
    real, out, errors = os.replace, tmp_path / "out", []
    for allowed in range(20):
        calls = []

        def full(source: Any, target: Any, allowed: int = allowed, calls: list[Any] = calls) -> None:
            calls.append(target)
            if len(calls) > allowed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", full)
            try:
                result = mine_without_plots(song, out, settings, device="cpu")
                break
            except GraphmixError as error:
                errors.append(str(error))
        assert not [path for path in out.rglob("*") if path.name.endswith(".part")]
        assert not (out / "metrics.json").exists()
    assert len(errors) > 4
    assert all("No space left on device" in error and "\n" not in error for error in errors)
    undisturbed = mine_without_plots(song, tmp_path / "undisturbed", settings, device="cpu")
    assert same_graph(result.graph, undisturbed.graph)
    assert set(files_in(out)) == {name for name in FILES if "plots" not in name}


# --- kinds of songs and settings


def a_plain_sum(folder: Path, tracks: dict[str, Tensor]) -> Path:
    rack = Rack.console("g", RATE)
    return write_song(folder, tracks, mixed(mixing_console(rack, {"bus": list(tracks)}, ""), tracks))


@pytest.mark.parametrize("chain", ["g", "e"])
def test_a_song_whose_mix_is_the_plain_sum_ends_at_no_loss(tmp_path, chain):
    folder = a_plain_sum(tmp_path / "song", dry_tracks())
    # steps as large as these lead away from the answer, which is where the search starts
    settings = replace(SETTINGS, chain=chain, learning_rate=0.5, tolerance=0.2, rounds=1)
    alone = CONSOLE_ALONE if chain == "e" else {}
    mined = mine(folder, tmp_path / "out", settings, device="cpu", plots=False, **alone)
    assert mined.metrics["baselines"]["plain sum"] < 1e-5
    assert mined.metrics["audio_loss"] <= min(mined.metrics["baselines"].values())
    assert mined.metrics["is_baseline"]
    assert same_graph(load_graph(tmp_path / "out" / "graph.safetensors"), mined.graph)
    assert float(Objective(load_song(folder, RATE), Rack.console(chain)).evaluate(mined.graph).total) < 1e-5


def test_gains_and_panning_are_found_to_60_db(tmp_path):
    tracks = dry_tracks()
    folder = write_song(tmp_path / "song", tracks, mixed(hidden_graph(equalized=False), tracks))
    settings = replace(SETTINGS, chain="g", learning_rate=0.01)
    mined = mine_without_plots(folder, tmp_path / "out", settings, device="cpu")
    assert mined.metrics["sdr_db"] > 60


@pytest.mark.parametrize(
    "change",
    [{"chain": ""}, {"rounds": 0, "steps": 0}, {"steps": 0, "round_steps": 0}, {"tolerance": 1e9}],
    ids=str,
)
def test_extreme_budgets_end_well(tiny_folder, tmp_path, change):
    settings = replace(SETTINGS, **{"chain": "g", "steps": 1, "rounds": 1, **change})
    drawn = not change.get("chain", "g") or change.get("rounds") == 0  # without processors, without rounds
    mined = mine(tiny_folder, tmp_path / "out", settings, device="cpu", plots=drawn)
    validate(load_graph(tmp_path / "out" / "graph.safetensors"))
    assert mined.metrics["audio_loss"] <= min(mined.metrics["baselines"].values()) + 1e-6
    pictures = {"plots/console.svg", "plots/graph.svg", "plots/spectrograms.png"}
    assert not drawn or pictures <= set(files_in(tmp_path / "out"))


@pytest.mark.parametrize("name", ["[/b] $x_{$ & 100 % \\ Ünïcödé/" + "x" * 300])
def test_any_name_of_a_song_is_only_a_name(tmp_path, name):
    folder = write_tiny_song(tmp_path / "song", name)
    settings = replace(SETTINGS, chain="g", steps=0, rounds=1, round_steps=0)
    mined = mine(folder, tmp_path / "out", settings, device="cpu")
    assert mined.metrics["song"] == name
    assert load_graph(tmp_path / "out" / "graph.safetensors").provenance["song"] == name


# --- other objectives


def test_another_objective_is_minimised_and_l_a_is_still_reported(tiny_folder, tmp_path):
    settings = replace(SETTINGS, objective="loudness", rounds=1)
    mined = mine_without_plots(tiny_folder, tmp_path / "out", settings, device="cpu")
    found = mined.metrics["objective"]
    assert (found["name"], set(found["parts"])) == ("loudness", {"paper", "loudness"})
    paper_loss, loudness = found["parts"]["paper"], found["parts"]["loudness"]
    assert found["loss"] == pytest.approx(0.25 * paper_loss + 3 * loudness, abs=3e-6)
    assert found["loss"] <= found["baseline_loss"] + 1e-6
    assert mined.metrics["audio_loss"] == pytest.approx(paper_loss, abs=2e-6)
    song = load_song(tiny_folder, RATE)
    paper = Objective(song, Rack.for_types(mined.graph.types.types, RATE))
    assert float(paper.evaluate(mined.graph).total) == pytest.approx(paper_loss, rel=1e-3, abs=1e-5)
    plain = {b.name: float(b.loss.total) for b in find_baselines(Objective(song, Rack.console("eg", RATE)), True)}
    assert mined.metrics["baselines"] == pytest.approx(plain, abs=1e-5)
    again = mine_without_plots(tiny_folder, tmp_path / "out", settings, device="cpu")
    assert again.already_done
    with pytest.raises(SearchError, match=r"mined with objective = loudness, not paper\. Choose another --out"):
        mine_without_plots(tiny_folder, tmp_path / "out", replace(settings, objective="paper"), device="cpu")


def test_runs_of_versions_without_objectives_are_the_papers(mined, song):
    run = json.loads((mined.folder / "run.json").read_text())
    assert "objective" not in run["settings"]
    assert "objective" not in mined.metrics
    with pytest.raises(SearchError, match="mined with objective = paper, not dynamics"):
        mine(song, mined.folder, replace(SETTINGS, objective="dynamics"), device="cpu")
