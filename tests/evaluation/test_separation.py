"""Scores of separators against established libraries and known answers."""

import math
from pathlib import Path

import fast_bss_eval
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from graphmix.cli import app as cli
from graphmix.errors import GraphmixError
from graphmix.evaluation.separation import (
    IDEAL,
    MIXTURE,
    SeparationScore,
    bss_eval_sdr,
    evaluate_separators,
    score_stems,
    summarize_separation,
)
from graphmix.models.masks import save_separator
from tests.models.masks.small_separators import RATE, small_separator
from tests.training.separation.small_songs import write_songs


def drawn(samples: int = 6000) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    stems = torch.randn(3, 2, samples, generator=generator)
    return stems + 0.3 * stems.roll(1, 0) + 0.2 * torch.randn(3, 2, samples, generator=generator), stems


def test_bss_eval_is_that_of_museval() -> None:
    try:
        from museval.metrics import bss_eval  # it needs ffmpeg, if only to be imported
    except (ImportError, RuntimeError):
        pytest.skip("museval does not import here")
    estimates, stems = drawn()
    theirs = np.stack(
        [
            bss_eval(
                stems[:, c, :, None].double().numpy(),
                estimates[:, c, :, None].double().numpy(),
                window=np.inf,
                hop=np.inf,
                bsseval_sources_version=True,
                compute_permutation=False,
            )[0].ravel()
            for c in range(2)
        ]
    )
    np.testing.assert_allclose(bss_eval_sdr(estimates, stems).numpy(), theirs.mean(axis=0), atol=1e-3)


def test_si_sdr_of_a_song_is_that_of_fast_bss_eval() -> None:
    model = small_separator("mask_inference", sources=["a", "b", "c"])
    stems = drawn()[1] * 0.1
    rows = [row for row in score_stems({"mine": model}, "song", stems) if row.model == "mine"]
    with torch.no_grad():
        estimates = model.separate(stems.sum(dim=0)[None])[0]
    flat = (x.flatten(1).double()[:, None] for x in (stems, estimates))
    theirs = fast_bss_eval.si_sdr(*flat, zero_mean=False, clamp_db=200)[:, 0]
    np.testing.assert_allclose([row.si_sdr_db for row in rows], theirs.numpy(), atol=1e-3)


def test_the_ends_of_the_scale() -> None:
    model = small_separator("mask_inference")
    time = torch.arange(2 * RATE) / RATE
    stems = torch.stack([0.2 * torch.sin(2 * math.pi * hertz * time).expand(2, -1) for hertz in (200.0, 2000.0)])
    rows = score_stems({"mine": model}, "song", stems, bss_eval=True)
    values = {(row.model, row.source): row for row in rows}
    for source in ("drums", "rest"):
        assert values[MIXTURE, source].si_sdr_db == pytest.approx(0.0, abs=0.01)
        assert values[MIXTURE, source].improvement_db == 0
        assert values[IDEAL, source].improvement_db > 25
        assert values["mine", source].sdr_db is not None
    silent = score_stems({"mine": model}, "song", stems * torch.tensor([1.0, 0.0])[:, None, None])
    assert {row.source for row in silent} == {"drums"}


def test_a_summary_has_means_and_shares() -> None:
    rows = [
        SeparationScore("m", "1", "a", 1.0, 4.0),
        SeparationScore("m", "2", "a", 1.0, 6.0),
        SeparationScore("m", "1", "b", 1.0, 2.0),
        SeparationScore(IDEAL, "1", "a", 1.0, 10.0),
        SeparationScore(IDEAL, "1", "b", 1.0, 6.0),
    ]
    summary = summarize_separation(rows)
    assert summary["m"] == {"a": 5.0, "b": 2.0, "mean": 4.0, "share": 0.5}
    assert summary[IDEAL]["share"] == 1


def test_the_command_line(tmp_path: Path) -> None:
    songs = write_songs(tmp_path / "songs", 2)
    path = tmp_path / "mine.safetensors"
    labels = {"config": {"sources": {"drums": ["drums"], "rest": ["*"]}}}  # as a training writes them
    save_separator(path, small_separator("mask_inference"), labels)
    command = ["evaluate-separator", str(path), "--songs", str(songs), "--bss-eval"]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output
    assert "ideal ratio mask" in result.output
    assert "BSSEval SDR" in result.output


def test_separators_that_differ_are_not_compared(tmp_path: Path) -> None:
    songs = write_songs(tmp_path, 1)
    models = {"one": small_separator("unet"), "two": small_separator("unet", sources=["drums", "other"])}
    with pytest.raises(GraphmixError, match="two separates drums, other at 8000 Hz and one drums, rest"):
        evaluate_separators(models, [songs])
    with pytest.raises(GraphmixError, match="no separator to evaluate"):
        evaluate_separators({}, [songs])
