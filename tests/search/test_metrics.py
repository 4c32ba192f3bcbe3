"""metrics.json: keys of older versions, damage, and ratios for which JSON has no number."""

import json

import pytest
import torch

from graphmix.errors import SearchError
from graphmix.search.metrics import METRICS, distortion_metrics, read_metrics


def test_metrics_of_older_versions_are_read_with_todays_keys(tmp_path):
    old = {"song": "a", "audio_loss": 0.5, "simple_answers": {"plain sum": 1.5}, "is_simple_answer": False}
    (tmp_path / METRICS).write_text(json.dumps(old))
    new = {"song": "a", "audio_loss": 0.5, "baselines": {"plain sum": 1.5}, "is_baseline": False}
    assert read_metrics(tmp_path) == new


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_damaged_metrics_are_one_error(tmp_path, content):
    (tmp_path / METRICS).write_text(content)
    with pytest.raises(SearchError, match=r"metrics.json is damaged. Delete it"):
        read_metrics(tmp_path)


def test_a_folder_without_metrics_is_one_error(tmp_path):
    with pytest.raises(SearchError, match=r"cannot read .*metrics.json: No such file"):
        read_metrics(tmp_path)


def test_ratios_say_whether_an_infinity_is_a_match():
    audio = torch.randn(2, 1000)
    silence = torch.zeros_like(audio)
    match = {"si_sdr_db": None, "sdr_db": None, "exact_match": True}
    assert distortion_metrics(prediction=audio, target=audio) == match
    assert distortion_metrics(prediction=silence, target=silence) == match
    missing = distortion_metrics(prediction=silence, target=audio)
    assert missing == {"si_sdr_db": None, "sdr_db": 0.0, "exact_match": False}
    leak = distortion_metrics(prediction=audio, target=silence)
    assert leak == {"si_sdr_db": None, "sdr_db": None, "exact_match": False}
