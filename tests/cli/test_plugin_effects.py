"""Plugins in ``mine`` and ``render``: ``--effect p=plugin:Compressor``."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Program
from tests.small_song import RATE

pytest.importorskip("pedalboard")

QUICK = ("--chain", "pg", "--sample-rate", RATE, "--rounds", 0, "--no-plots")
FITTED = "p=plugin:Clipping,gradient=spsa"
FIXED = "p=plugin:Compressor,threshold_db=-30,ratio=4,attack_ms=5,release_ms=80"
FREE = "p=plugin:Clipping"


@pytest.mark.parametrize("effect", [FITTED, FIXED])
def test_a_plugin_is_mined_and_rendered(program: Program, song_folder: Path, tmp_path: Path, effect: str):
    mined = program("mine", song_folder, "--out", tmp_path / "mined", *QUICK, "--steps", 2, "--effect", effect)
    assert mined.status == 0, mined.err
    run = json.loads((tmp_path / "mined" / "run.json").read_text())
    assert run["effects"]["p"].startswith("plugin:C")
    assert json.loads((tmp_path / "mined" / "metrics.json").read_text())["processors_before"] == 8
    again = tmp_path / "again.wav"
    rendered = program("render", tmp_path / "mined", song_folder, "-o", again, "--effect", effect)
    assert rendered.status == 0, rendered.err
    without = program("render", tmp_path / "mined", song_folder, "-o", tmp_path / "not.wav")
    assert f"--effect {effect.removesuffix(',gradient=spsa').split(',')[0]}" in without.err


def test_a_run_with_estimated_gradients_is_another_than_one_without(
    program: Program, song_folder: Path, tmp_path: Path
):
    options = ("--out", tmp_path / "mined", *QUICK, "--steps", 0)
    assert program("mine", song_folder, *options, "--effect", FREE).status == 0
    other = program("mine", song_folder, *options, "--effect", FITTED)
    assert other.status == 2
    assert "gradient=" in other.err


def test_parameters_that_cannot_be_fitted_are_said_before_the_search(
    program: Program, song_folder: Path, tmp_path: Path
):
    outcome = program("mine", song_folder, "--out", tmp_path / "mined", *QUICK, "--steps", 2, "--effect", FREE)
    assert outcome.status == 2
    assert "'plugin_clipping' has the parameters threshold_db and passes no gradients" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "mined").exists()
