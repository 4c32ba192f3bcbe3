"""Segments of stems and mix: the right samples of the right files, whatever the batch and the workers."""

import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch_geometric.data import Batch

from graphmix.datasets.loader import SegmentLoader, add_segment, num_samples
from graphmix.datasets.mined_graphs import MinedGraphs, MinedGraphsOnDisk
from graphmix.datasets.transforms import PermuteTracks
from graphmix.errors import SongError
from graphmix.processors.rack import Rack
from graphmix.render.renderer import Renderer
from tests.datasets.building import build_and_tell
from tests.mining.mined_folders import RATE, SAMPLES, ramp, small_graph, write_audio_of, write_collection, write_mined

LENGTH = 500


@pytest.fixture
def graphs(tmp_path: Path) -> MinedGraphs:
    return MinedGraphs(write_collection(tmp_path, songs=6))


def starts(batch: Batch) -> list[int]:
    """Where each mix begins, read from the samples themselves."""
    return [round(float(first) * 2**14 - 0.9) for first in batch.mix[:, 0, 0]]


def test_a_segment_holds_the_samples_of_the_files(graphs: MinedGraphs) -> None:
    graph = add_segment(graphs[2], LENGTH, start=1000)
    assert graph.stems.shape == (3, 2, LENGTH)
    for number in range(3):
        torch.testing.assert_close(graph.stems[number], ramp(number)[:, 1000 : 1000 + LENGTH])
    torch.testing.assert_close(graph.mix[0], ramp(9)[:, 1000 : 1000 + LENGTH])
    assert "stems" not in graphs[2]


def test_batches_stack_stems_along_the_inputs_and_mixes_along_the_graphs(graphs: MinedGraphs) -> None:
    (batch,) = SegmentLoader(graphs, LENGTH, batch_size=6, start=7)
    assert batch.stems.shape == (1 + 2 + 3 + 1 + 2 + 3, 2, LENGTH)
    assert batch.mix.shape == (6, 2, LENGTH)
    assert starts(batch) == [7] * 6
    numbers = [round((float(first) * 2**14 - 7) * 10) for first in batch.stems[:, 0, 0]]
    assert numbers == [0, 0, 1, 0, 1, 2] * 2
    rack = Rack.for_types(batch.types.types, RATE)
    assert Renderer(rack)(batch, batch.stems).shape == batch.mix.shape
    assert [g.stems.size(0) for g in batch.to_data_list()] == [1, 2, 3, 1, 2, 3]


def test_stems_follow_permuted_inputs(graphs: MinedGraphs) -> None:
    torch.manual_seed(3)
    permuted = PermuteTracks()(graphs[5])
    names = [permuted.names[node] for node in permuted.nodes_of("in").tolist()]
    assert names != ["0.wav", "1.wav", "2.wav"]
    stems = add_segment(permuted, LENGTH).stems
    for name, stem in zip(names, stems, strict=True):
        torch.testing.assert_close(stem, ramp(int(name[0]))[:, :LENGTH])


@pytest.mark.parametrize("kind", [MinedGraphs, MinedGraphsOnDisk])
def test_random_starts_depend_on_seed_and_epoch_alone(graphs: MinedGraphs, kind: Any) -> None:
    def run(batch_size: int, workers: int, seed: int = 1, **options: Any) -> list[list[int]]:
        dataset = kind(graphs.root)
        loader = SegmentLoader(dataset, LENGTH, batch_size, seed=seed, num_workers=workers, **options)
        return [[start for batch in loader for start in starts(batch)] for _ in range(2)]

    first = run(1, 0)
    assert first == run(4, 2) == run(3, 2, persistent_workers=True)
    assert first[0] != first[1]
    assert first != run(1, 0, seed=2)
    assert len(set(first[0])) > 3
    assert all(0 <= start <= SAMPLES - LENGTH for epoch in first for start in epoch)


def fork_server() -> Any:
    """Processes that are forked from one without threads, unlike this one, and without what is in its memory."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["graphmix.datasets.loader"])
    return context


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (MinedGraphsOnDisk, "forkserver"),
        *(pytest.param(kind, "spawn", marks=pytest.mark.slow) for kind in (MinedGraphs, MinedGraphsOnDisk)),
    ],
)
def test_started_workers_give_the_same_batches(graphs: MinedGraphs, kind: Any, method: str) -> None:
    fork_server()
    here, there = (
        list(SegmentLoader(kind(graphs.root), LENGTH, 3, num_workers=count, multiprocessing_context=context))
        for count, context in ((0, None), (1, method))
    )
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.stems, other.stems)
        assert torch.equal(one.mix, other.mix)
        assert one.audio == other.audio
        assert one.names == other.names


def test_processes_that_build_the_same_dataset_at_once_agree(tmp_path: Path) -> None:
    root, context = write_collection(tmp_path, songs=6, with_audio=False), fork_server()
    answers = context.Queue()
    processes = [context.Process(target=build_and_tell, args=(root, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    found = {answers.get(timeout=180) for _ in processes}
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert {count for count, _ in found} == {6}
    assert len(found) == 1
    assert len(list((root / "processed").glob("graphs-*"))) == 1


def test_an_epoch_can_be_chosen_and_shuffled(graphs: MinedGraphs) -> None:
    loader = SegmentLoader(graphs, LENGTH, shuffle=True, seed=5)
    epochs = [[(batch.audio[0].song_id, starts(batch)[0]) for batch in loader] for _ in range(3)]
    loader.set_epoch(1)
    again = [(batch.audio[0].song_id, starts(batch)[0]) for batch in loader]
    assert again == epochs[1]
    assert sorted(song for song, _ in epochs[0]) == graphs.songs
    assert [song for song, _ in epochs[0]] != [song for song, _ in epochs[1]]


def test_what_is_behind_the_end_is_silence_and_short_songs_start_at_the_beginning(graphs: MinedGraphs) -> None:
    graph = add_segment(graphs[0], LENGTH, start=SAMPLES - 10)
    assert bool((graph.mix[:, :, 10:] == 0).all())
    assert bool((graph.mix[:, :, :10] != 0).any())
    (batch,) = SegmentLoader(graphs[:1], SAMPLES + 100)
    assert starts(batch) == [0]
    assert batch.mix.shape[-1] == SAMPLES + 100


def test_only_what_is_needed_is_decoded(graphs: MinedGraphs, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    read = soundfile.SoundFile.read

    def counted(file: Any, frames: int, **options: Any) -> Any:
        decoded.append(frames)
        return read(file, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    list(SegmentLoader(graphs[2:3], LENGTH))
    assert decoded == [LENGTH] * 4


def test_audio_at_another_rate_is_resampled(tmp_path: Path) -> None:
    mix, tracks = write_audio_of(tmp_path / "audio" / "x", 2)
    rack = Rack.console("gs", 15000)
    write_mined(tmp_path / "mined" / "x", small_graph(rack=rack, rate=15000), "x", None, mix, tracks)
    graphs = MinedGraphs(tmp_path / "mined")
    assert graphs[0].audio.length == SAMPLES // 2
    assert add_segment(graphs[0], LENGTH).stems.shape == (2, 2, LENGTH)


def test_without_the_mix(graphs: MinedGraphs) -> None:
    (batch, *_) = SegmentLoader(graphs, LENGTH, with_mix=False)
    assert "mix" not in batch
    Path(graphs[0].audio.path("mix.wav")).unlink()
    assert "mix" not in add_segment(graphs[0], LENGTH, with_mix=False)


# --- audio that has moved or is missing


def test_audio_that_has_moved(graphs: MinedGraphs, tmp_path: Path) -> None:
    shutil.move(tmp_path / "audio", tmp_path / "far" / "away")
    assert graphs.audio_roots == {"tiny": str(tmp_path / "audio")}
    with pytest.raises(SongError) as caught:
        list(SegmentLoader(graphs, LENGTH))
    assert str(caught.value) == (
        f"song song000: 2 of 2 audio files are missing, first {tmp_path}/audio/song000/dry/0.wav. If the audio has "
        f"moved, pass audio_root, the folder that stands for '{tmp_path}/audio' now."
    )
    for moved in (tmp_path / "far/away", {"tiny": tmp_path / "far/away"}):
        (batch,) = SegmentLoader(graphs, LENGTH, 6, audio_root=moved, start=3)
        assert starts(batch) == [3] * 6
    with pytest.raises(
        SongError, match="audio_root has no folder for the collection 'tiny' of song song000; it has: 'x'"
    ):
        list(SegmentLoader(graphs, LENGTH, audio_root={"x": tmp_path}))


def test_two_collections_have_a_root_each(tmp_path: Path) -> None:
    for collection in ("one", "two"):
        for song in ("a", "b"):
            place = tmp_path / collection / "deep" / song
            mix, tracks = write_audio_of(place, 1)
            folder = write_mined(tmp_path / "mined" / collection / song, small_graph(1), song, None, mix, tracks)
            text = (folder / "metrics.json").read_text().replace('"tiny"', f'"{collection}"')
            (folder / "metrics.json").write_text(text)
    graphs = MinedGraphs(tmp_path / "mined")
    assert graphs.audio_roots == {name: str(tmp_path / name / "deep") for name in ("one", "two")}
    roots = {"one": tmp_path / "one/deep", "two": tmp_path / "two/deep"}
    assert len(list(SegmentLoader(graphs, LENGTH, audio_root=roots))) == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_a_missing_file_is_one_error_of_one_sentence_from_any_process(graphs: MinedGraphs, workers: int) -> None:
    graphs[4].audio.path("dry/1.wav").unlink()
    loader = SegmentLoader(graphs, LENGTH, batch_size=2, num_workers=workers)
    with pytest.raises(
        SongError, match=r"^song song004: 1 of 3 audio files are missing, first .*1\.wav\. If .* now\.$"
    ):
        list(loader)


def test_a_name_that_no_file_can_have_is_a_missing_file(graphs: MinedGraphs) -> None:
    graph = graphs[0]
    for name in ("x" * 5000, "\ud800.wav"):
        graph.audio = replace(graph.audio, mix=name)
        with pytest.raises(SongError, match="1 of 2 audio files are missing"):
            add_segment(graph, LENGTH)


def test_a_damaged_file_is_named(graphs: MinedGraphs) -> None:
    graphs[1].audio.path("dry/0.wav").write_bytes(b"noise")
    with pytest.raises(SongError, match=r"0\.wav cannot be decoded as audio"):
        list(SegmentLoader(graphs, LENGTH, num_workers=1))


def test_a_graph_without_audio(tmp_path: Path) -> None:
    write_mined(tmp_path / "x", small_graph(), "x")
    graphs = MinedGraphs(tmp_path)
    with pytest.raises(SongError, match=r"does not say where song x has a track for the inputs 0\.wav, 1\.wav"):
        list(SegmentLoader(graphs, LENGTH))
    with pytest.raises(SongError, match="this graph has no audio"):
        add_segment(small_graph(), LENGTH)
    _, tracks = write_audio_of(tmp_path / "audio", 2)
    write_mined(tmp_path / "other" / "y", small_graph(), "y", None, None, tracks)
    graphs = MinedGraphs(tmp_path / "other")
    assert num_samples(graphs[0]) == SAMPLES
    with pytest.raises(SongError, match="where song y has a mix"):
        list(SegmentLoader(graphs, LENGTH))
    assert len(list(SegmentLoader(graphs, LENGTH, with_mix=False))) == 1


def test_paths_from_strangers_do_not_leave_the_root(graphs: MinedGraphs) -> None:
    for name in ("../../secret.wav", "/etc/passwd", "a\0b"):
        with pytest.raises(SongError, match="leads out of its collection"):
            graphs[0].audio.path(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length is 0; a segment has 1 sample or more"),
        ({"length": -5}, "length is -5; a segment has 1 sample or more"),
        ({"length": 3.8}, r"length is 3.8; give a whole number of samples. Did you give seconds\?"),
        ({"length": True}, "length is True; give a whole number of samples"),
        ({"length": None}, "length is None; give a whole number of samples"),
        ({"start": "anywhere"}, "start is 'anywhere'; give a whole number of samples, or 'random'"),
        ({"start": 0.5}, "start is 0.5; give a whole number"),
        ({"seed": -1}, "seed is -1; give 0 or more"),
        ({"seed": "one"}, "seed is 'one'; give a whole number"),
    ],
)
def test_an_invalid_option_is_named_with_its_value(graphs: MinedGraphs, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SongError, match=message):
        SegmentLoader(graphs, **{"length": LENGTH, **options})
    if "length" in options:
        with pytest.raises(SongError, match=message):
            add_segment(graphs[0], options["length"])


def test_the_repr_of_a_loader_is_short(graphs: MinedGraphs) -> None:
    loader = SegmentLoader(graphs, np.int64(LENGTH), batch_size=2)
    assert repr(loader) == f"SegmentLoader({len(graphs)} graphs, length={LENGTH}, batch_size=2)"
