"""``render --sample-rate``, ``show --json``, and what ``show`` reads beside a graph."""

import json
from pathlib import Path

import pytest
import soundfile

from graphmix.cli.mine_command import brought_to_rate
from graphmix.search.reductions import KEY
from tests.cli.conftest import Program


@pytest.mark.parametrize("rate", [22050, 44100])
def test_render_makes_sound_at_any_rate(
    program: Program, song_folder: Path, graph_file: Path, tmp_path: Path, rate: int
) -> None:
    outcome = program("render", graph_file, song_folder, "-o", tmp_path / "mix.wav", "--sample-rate", rate)
    assert outcome.status == 0, outcome.err
    info = soundfile.info(tmp_path / "mix.wav")
    assert (info.samplerate, info.frames) == (rate, rate)
    assert f"at {rate} Hz" in outcome.out


def test_show_prints_json_in_an_engineers_terms(program: Program, graph_file: Path) -> None:
    (graph_file.parent / "metrics.json").write_text(json.dumps({KEY: [{"node": 3, "mean_db": 2.5, "most_db": 8.0}]}))
    outcome = program("show", graph_file, "--json")
    assert outcome.status == 0, outcome.err
    shown = json.loads(outcome.out)
    rows = {row["type"]: row for chain in shown["chains"] for row in chain["processors"]}
    assert rows["gain"]["fader_db"] == pytest.approx(-4.25, abs=0.05)
    assert rows["gain"]["pan_percent"] > 0
    assert rows["compressor"]["takes_off_mean_db"] == 2.5
    table = program("show", graph_file)
    assert "8.0 dB at most" in " ".join(table.out.split())


def test_a_damaged_file_beside_the_graph_does_not_keep_it_from_being_shown(program: Program, graph_file: Path) -> None:
    (graph_file.parent / "metrics.json").write_text("{")
    assert program("show", graph_file).status == 0


def test_the_rate_of_the_result_is_said() -> None:
    assert brought_to_rate({}) == []
    found = {"sample_rate": 44100, "searched_at": 30000, "filter_added": True}
    (sentence,) = brought_to_rate({"full_band": found})
    assert sentence.startswith("Searched at 30000 Hz; graph and mix are at the song's 44100 Hz, with an equalizer")
