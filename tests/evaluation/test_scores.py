"""Tables of scores: means, intervals, files."""

import csv
import json
import math
from pathlib import Path

import pytest

from graphmix.errors import GraphmixError
from graphmix.evaluation.agreement import Agreement, Counts, merge_agreements
from graphmix.evaluation.scores import COLUMNS, Score, save_scores, summarize


@pytest.fixture
def scores() -> list[Score]:
    """Two models on four songs; the sum has no parameters in common with the truth."""
    rows = []
    for song in range(4):
        for model, hits in (("sum", 0), ("graph", 1 + song % 2)):
            counts = Counts(hits=hits, misses=2 - hits, false_keeps=song, true_drops=3)
            error = {"gain": 0.5 * song}, {"gain": 2}
            agreement = Agreement({"gain": counts}, *(error if hits else ({"gain": 0.0}, {"gain": 0})))
            numbers: dict[str, float | None] = dict.fromkeys(COLUMNS, 0.1 * song)
            numbers |= {"audio_loss": 1.0 + 0.25 * song, "parameter_error": 0.25 * song if hits else None}
            rows.append(Score(model, f"song_{song}", model == "graph" and song < 2, numbers, agreement))
    return rows


def test_the_summary_is_the_mean_and_f1_is_of_all_songs_together(scores: list[Score]) -> None:
    summary = summarize(scores)
    assert list(summary) == ["sum", "graph"]
    own = [score for score in scores if score.model == "graph"]
    losses = [score.numbers["audio_loss"] or 0.0 for score in own]
    loss, f1 = summary["graph"]["audio_loss"], summary["graph"]["f1"]
    assert loss is not None
    assert f1 is not None
    assert loss.mean == pytest.approx(sum(losses) / len(losses))
    assert loss.low <= loss.mean <= loss.high
    together = merge_agreements([score.agreement for score in own if score.agreement is not None])
    assert f1.mean == pytest.approx(together.f1)
    assert summary["sum"]["parameter_error"] is None


def test_a_csv_file_has_a_row_for_each_and_the_means(scores: list[Score], tmp_path: Path) -> None:
    path = save_scores(scores, tmp_path / "scores.csv")
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(scores) + 2 * 3
    assert rows[0]["song"] == "song_0"
    assert float(rows[0]["audio_loss"]) == pytest.approx(scores[0].numbers["audio_loss"], abs=1e-5)
    assert rows[0]["parameter_error"] == ""
    assert {row["song"] for row in rows[-3:]} == {"(mean)", "(low)", "(high)"}


def test_a_json_file_has_the_same(scores: list[Score], tmp_path: Path) -> None:
    text = json.loads(save_scores(scores, tmp_path / "scores.json").read_text())
    assert len(text["songs"]) == len(scores)
    assert text["songs"][1]["model"] == "graph"
    assert len(text["means"]["graph"]["audio_loss"]) == 3


def test_another_ending_is_refused(scores: list[Score], tmp_path: Path) -> None:
    with pytest.raises(GraphmixError, match=r"ends in .csv or .json, not in '.xlsx'"):
        save_scores(scores, tmp_path / "scores.xlsx")


def test_what_is_not_a_number_is_null_in_json_and_empty_in_csv(tmp_path: Path) -> None:
    spoiled = [Score("graph", "song", False, {**dict.fromkeys(COLUMNS), "audio_loss": math.nan, "width_db": math.inf})]
    text = save_scores(spoiled, tmp_path / "scores.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    assert json.loads(text)["means"]["graph"]["audio_loss"] is None
    with open(save_scores(spoiled, tmp_path / "scores.csv"), newline="") as file:
        assert next(csv.DictReader(file))["audio_loss"] == ""


def test_no_scores_make_an_empty_table(tmp_path: Path) -> None:
    assert summarize([]) == {}
    assert json.loads(save_scores([], tmp_path / "scores.json").read_text()) == {"songs": [], "means": {}}
