"""Wide consoles: every type is there from the beginning, and stays where the mix has it."""

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from graphmix.audio import Song
from graphmix.chain_string import split_chain
from graphmix.errors import SearchError
from graphmix.graph.consoles import mixing_console
from graphmix.processors import Rack
from graphmix.search import SearchSettings, moves_stage
from graphmix.search.moves_stage import ADDED_GAIN, LEAST_GAIN, least_gain
from graphmix.search.wide import widen
from tests.small_song import RATE, SUBGROUPS, mine_without_plots, write_tiny_song

MINE = importlib.import_module("graphmix.search.mine_song")
SETTINGS = SearchSettings(
    chain="ecgr", search="wide", types="eg[tanh][parametric_eq][feedback_delay]", sample_rate=RATE
)
MANY = (
    "tanh", "clipper", "power", "chebyshev", "tape", "chorus", "flanger", "vibrato", "phaser", "tremolo", "auto_pan",
    "parametric_eq", "velvet_reverb",
)  # fmt: skip


def test_types_that_the_chain_lacks_stand_where_their_family_does() -> None:
    rack = Rack.console("ecgr", RATE)
    chain, wider = widen(SETTINGS, rack)
    assert chain == "e[parametric_eq]c[tanh]g[feedback_delay]r"
    assert set(wider.names) == {*rack.names, "tanh", "parametric_eq", "feedback_delay"}
    assert mixing_console(wider, SUBGROUPS, chain).params["tanh"].size(0) == 5  # three tracks, two buses


def test_without_filters_and_faders_the_ends_of_the_chain_are_their_places() -> None:
    chain, _ = widen(replace(SETTINGS, chain="c"), Rack.console("c", RATE))
    assert split_chain(chain) == ["parametric_eq", "c", "equalizer", "gain", "tanh", "feedback_delay"]


@pytest.mark.parametrize("search", ["prune", "moves", "relax", "all"])
def test_other_searches_have_the_usual_console(search: str) -> None:
    rack = Rack.console("ecgr", RATE)
    assert widen(replace(SETTINGS, search=search), rack) == ("ecgr", rack)


@pytest.mark.parametrize(
    ("types", "message"),
    [("", "name some"), ("full", "name some"), ("".join(f"[{name}]" for name in MANY), "16 at the most")],
)
def test_a_wide_console_needs_types_and_not_too_many(types: str, message: str) -> None:
    with pytest.raises(SearchError, match=message):
        widen(replace(SETTINGS, types=types), Rack.console("ecgr", RATE))


@pytest.mark.parametrize(("loss", "tolerance"), [(1.0, 0.01), (0.1, 0.01), (4.0, 0.01), (1.0, 0.0)])
def test_what_is_added_must_be_worth_more_than_a_removal_may_cost(loss: float, tolerance: float) -> None:
    assert least_gain(2, loss, tolerance) == 2 * max(tolerance, ADDED_GAIN * loss)
    assert least_gain(0, loss, tolerance) == LEAST_GAIN * loss


def test_a_wide_search_begins_with_all_types_and_makes_moves_before_the_last_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moves_stage, "HEATS", (1,))
    song: Song = MINE.load_song(write_tiny_song(tmp_path / "tiny"), RATE)
    short = replace(
        SETTINGS, chain="g", types="g[tanh]", steps=1, rounds=3, round_steps=1, ramp_steps=2, evaluate_every=1,
        tolerance=0.0, moves=1,
    )  # fmt: skip
    mined = mine_without_plots(song, tmp_path / "out", short, device="cpu")
    before = mined.metrics["processors_before"]
    pruned = mine_without_plots(song, tmp_path / "other", replace(short, search="prune"), device="cpu")
    trace = [json.loads(line) for line in (tmp_path / "out" / "trace.jsonl").read_text().splitlines()]
    assert [record["round"] for record in trace if record["event"] == "moves"] == [3]
    assert before == 2 * pruned.metrics["processors_before"]
