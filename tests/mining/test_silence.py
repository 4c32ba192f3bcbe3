"""Collections whose songs are silent in places: mined to the end, with statistics of finite numbers, no warning."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest

from graphmix.evaluation.runs import read_runs
from graphmix.evaluation.statistics import write_statistics
from graphmix.mining.catalogue import read_catalogue
from graphmix.mining.mine_collection import mine_all
from tests.driver_processes import TINY
from tests.quiet_songs import KINDS, write_quiet_songs

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script.*"),
]
BRIEF = replace(TINY, steps=1, rounds=1, round_steps=1, trial_segments=1)


@pytest.mark.parametrize("kinds", [KINDS[::4], pytest.param(KINDS, marks=pytest.mark.slow)], ids=["some", "all"])
def test_a_collection_of_songs_with_silence_is_mined_and_has_finite_statistics(
    tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    standing = mine_all(write_quiet_songs(tmp_path / "songs", kinds), out, BRIEF, workers=0, device="cpu", plots=False)
    assert standing.failed == {}
    assert len(standing.mined) == len(kinds)
    rows = read_catalogue(out)
    assert len(rows) == len(kinds)
    assert all(math.isfinite(row["audio_loss"]) and math.isfinite(row["pruning_ratio"]) for row in rows)
    assert all(row["status"] == "mined" for row in rows)
    runs, notices = read_runs([out])
    assert (len(runs), notices) == (len(kinds), [])
    written = write_statistics(runs, tmp_path / "statistics")
    tables = [path for path in written if path.suffix == ".csv"]
    assert tables
    for path in tables:
        with open(path, encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not {"nan", "inf", "-inf"} & {cell.lower() for cell in cells}, path
