"""Folders of patches: audible, different, the same for any number of workers and runs."""

import math
from pathlib import Path

import pytest
import torch
from torch_geometric.loader import DataLoader
from typer.testing import CliRunner

from graphmix.cli.app import app
from graphmix.errors import GraphmixError
from graphmix.synthesizers import FM, SUBTRACTIVE
from graphmix.synthesizers.patch_set import NEAREST_DB, PatchSet, features_of, write_patches


def test_patches_sound_differ_and_have_notes(tmp_path: Path):
    patches = PatchSet(write_patches(tmp_path / "p", [SUBTRACTIVE, FM], 12, seed=1))
    assert len(patches) == 24
    features = []
    for i in range(len(patches)):
        audio = patches.audio(i, 1.0)
        assert audio.isfinite().all()
        assert float(audio.square().mean()) > 1e-6
        features.append(torch.from_numpy(features_of(patches.audio(i))))
        assert patches[i].provenance["synthesizer"] == ("subtractive" if i < 12 else "fm")
    distances = torch.cdist(torch.stack(features[:12]), torch.stack(features[:12])) / math.sqrt(240)
    assert float(distances[~torch.eye(12, dtype=torch.bool)].min()) >= 0.99 * NEAREST_DB
    pitches = {float(graph.params["note"][0, 0]) for graph in (patches[i] for i in range(24))}
    assert len(pitches) > 8
    batch = next(iter(DataLoader(patches, batch_size=5)))
    assert batch.num_graphs == 5


def test_any_number_of_workers_and_runs_writes_the_same(tmp_path: Path):
    write_patches(tmp_path / "a", [FM], 20, seed=2)
    write_patches(tmp_path / "b", [FM], 7, seed=2)
    (tmp_path / "b" / "fm" / "000003.safetensors").unlink()
    done = []
    write_patches(tmp_path / "b", [FM], 20, seed=2, workers=2, progress=lambda n, total: done.append((n, total)))
    assert done[-1] == (20, 20)
    for path in sorted((tmp_path / "a" / "fm").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / "fm" / path.name).read_bytes()


def test_splits_are_disjoint_and_complete(tmp_path: Path):
    folder = write_patches(tmp_path / "p", [SUBTRACTIVE], 20)
    parts = [PatchSet(folder, split).items for split in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [16, 2, 2]
    assert sorted(item for part in parts for item in part) == PatchSet(folder).items


def test_what_is_no_folder_of_patches_is_refused(tmp_path: Path):
    folder = write_patches(tmp_path / "p", [SUBTRACTIVE], 1, seed=3)
    for call, message in (
        (lambda: write_patches(folder, [SUBTRACTIVE], 1, seed=4), "holds patches with seed 3"),
        (lambda: PatchSet(tmp_path), "no folder of patches"),
        (lambda: PatchSet(folder, "val"), "no split 'val'; the splits are: train, validation, test"),
        (lambda: PatchSet(folder, synthesizers=["fm"]), "has no patches of 'fm'; it has: subtractive"),
    ):
        with pytest.raises(GraphmixError, match=message):
            call()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "song.wav").write_bytes(b"")
    with pytest.raises(GraphmixError, match="no folder of patches"):
        write_patches(tmp_path / "mine", [FM], 1)


def test_the_command_writes_them(tmp_path: Path):
    result = CliRunner().invoke(app, ["patches", "--synth", "fm", "--count", "3", "-o", str(tmp_path / "p")])
    assert result.exit_code == 0, result.output
    assert "3 patches each of fm" in result.output
    assert len(PatchSet(tmp_path / "p")) == 3
