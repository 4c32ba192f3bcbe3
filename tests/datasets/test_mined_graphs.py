"""Datasets of mined graphs: what is stored comes back, in batches and workers too; stale files are built again."""

import json
import os
import pickle
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Batch, Dataset, InMemoryDataset
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose

from graphmix.datasets.mined_graphs import MinedGraphs, MinedGraphsOnDisk
from graphmix.datasets.positions import AddDagPositions
from graphmix.datasets.records import find_records
from graphmix.datasets.reference import AudioReference
from graphmix.datasets.shards import Shard
from graphmix.datasets.splits import SPLITS
from graphmix.datasets.transforms import DropNodes
from graphmix.errors import GraphError
from graphmix.graph.mixgraph import MixGraph
from graphmix.graph.storage import load_graph
from graphmix.processors.rack import Rack
from graphmix.spec import NodeType
from tests.graph.random_mixgraphs import TYPES, assert_same, random_graph
from tests.mining.mined_folders import RACK, RATE, small_graph, write_collection, write_mined, write_songbook_song

KINDS = (MinedGraphs, MinedGraphsOnDisk)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_collection(tmp_path, songs=6, with_audio=False)


@pytest.fixture(autouse=True)
def _no_pickle(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No file is pickled or unpickled, by us or by PyG."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a file is pickled")

    for owner, name in ((torch, "save"), (torch, "load"), (pickle, "dump"), (pickle, "load")):
        monkeypatch.setattr(owner, name, refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def write_random(root: Path, count: int) -> list[MixGraph]:
    """Graphs of toy types with awkward names, several ports and no audio."""
    graphs = [random_graph(seed, 1 + seed % 3, seed % 9) for seed in range(count)]
    for i, graph in enumerate(graphs):
        graph.info = replace(graph.info, provenance={"song": f"Ü{i}", "losses": [0.5, None], "num_samples": 100 + i})
        write_mined(root / f"s{i:04d}", graph, f"s{i:04d}")
    return graphs


# --- what is stored comes back


def test_it_is_a_dataset_of_pyg(kind: Any, root: Path) -> None:
    graphs = kind(root)
    assert isinstance(graphs, InMemoryDataset if kind is MinedGraphs else Dataset)
    assert len(graphs) == 6
    assert repr(graphs) == f"{kind.__name__}(6)"
    assert graphs.songs == [f"song{i:03d}" for i in range(6)]
    assert graphs.artists == [f"Artist {i % 3}" for i in range(6)]
    assert graphs.sample_rate == RATE
    assert [t.name for t in graphs.types.types] == ["in", "mix", "out", "gain", "imager"]


def test_graphs_come_back_to_the_bit(kind: Any, tmp_path: Path) -> None:
    originals = write_random(tmp_path, 30)
    for _ in range(2):  # built, then loaded
        graphs = kind(tmp_path)
        for original, graph in zip(originals, graphs, strict=True):
            assert_same(graph_without_audio(graph), original)
            assert graph.provenance == original.provenance


def graph_without_audio(graph: MixGraph) -> MixGraph:
    graph = graph.clone()
    del graph.audio
    return graph


def test_audio_is_referred_to(kind: Any, tmp_path: Path) -> None:
    graph = kind(write_collection(tmp_path, songs=3))[2]
    assert graph.audio == AudioReference(
        song_id="song002",
        artist="Artist 2",
        collection="tiny",
        root=str(tmp_path / "audio"),
        folder="song002",
        mix="mix.wav",
        tracks={f"{i}.wav": f"dry/{i}.wav" for i in range(3)},
        length=6000,
    )
    assert graph.audio.path("dry/1.wav") == tmp_path / "audio/song002/dry/1.wav"


def test_a_songbook_is_a_dataset(kind: Any, tmp_path: Path) -> None:
    for name in ("0001", "0002"):
        write_songbook_song(tmp_path / "book" / name)
    graphs = kind(tmp_path / "book")
    assert graphs.songs == ["0001", "0002"]
    assert graphs[1].audio.path(graphs[1].audio.mix) == tmp_path / "book/0002/mix.wav"
    assert graphs[1].audio.length == 6000


def test_a_dataset_of_one_graph(kind: Any, tmp_path: Path) -> None:
    write_mined(tmp_path / "a", small_graph(), "a")
    for _ in range(2):
        graphs = kind(tmp_path)
        assert len(graphs) == 1
        assert_same(graph_without_audio(graphs[0]), small_graph())
        assert len(graphs[:1]) == 1


def test_changing_a_graph_leaves_the_dataset_as_it_is(kind: Any, root: Path) -> None:
    graphs = kind(root)
    graphs[1].params["gain"].fill_(-50.0)
    graphs[1].wet[:] = 0
    assert_same(graph_without_audio(graphs[1]), small_graph(2, gain_db=-2.0))


def test_both_datasets_share_their_files_and_agree(root: Path) -> None:
    in_memory = MinedGraphs(root)
    before = {path.name: path.stat().st_mtime_ns for path in Path(in_memory.processed_dir).glob("*.*")}
    for one, other in zip(in_memory, MinedGraphsOnDisk(root), strict=True):
        assert_same(one, other)
        assert one.audio == other.audio
    assert {path.name: path.stat().st_mtime_ns for path in Path(in_memory.processed_dir).glob("*.*")} == before


def test_many_shards_are_one_dataset(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphmix.datasets.build.SHARD_GRAPHS", 4)
    originals = write_random(tmp_path, 11)
    graphs = kind(tmp_path)
    assert graphs.index.graphs_of_shard == (4, 4, 3)
    for i in (10, 0, 3, 4, 7, 8):
        assert_same(graph_without_audio(graphs[i]), originals[i])


def test_graphs_of_different_racks_get_the_types_of_all(kind: Any, tmp_path: Path) -> None:
    racks = [Rack.console("g"), Rack.console("cg"), Rack.console("s")]
    for i, (rack, letter) in enumerate(zip(racks, "gcs", strict=True)):
        graph = MixGraph(rack.types)
        graph.chain(graph.add("in"), graph.add(letter), graph.add("out"))
        write_mined(tmp_path / f"{i}", graph, f"{i}")
    graphs = kind(tmp_path)
    assert [t.letter for t in graphs.types.types] == list("imogcs")
    assert [graph.type_of(1).name for graph in graphs] == ["gain", "compressor", "imager"]
    batch = Batch.from_data_list(list(graphs))
    assert batch.types is not None
    assert batch.params["imager"].shape == (1, 1)
    assert [len(graph.params) for graph in graphs] == [3, 3, 3]


def test_graphs_that_do_not_go_together_are_named(kind: Any, tmp_path: Path) -> None:
    write_mined(tmp_path / "a", small_graph(), "a")
    write_mined(tmp_path / "b", small_graph(rack=Rack.console("gs", 44100), rate=44100), "b")
    with pytest.raises(GraphError, match=r"b.graph\.safetensors is made for 44100 Hz and graphs before it for 30000"):
        kind(tmp_path)
    assert len(kind(tmp_path, pre_filter=lambda graph: graph.sample_rate == 44100)) == 1
    other = MixGraph([NodeType("gain", "g")])
    other.chain(other.add("in"), other.add("g"), other.add("out"))
    write_mined(tmp_path / "c" / "a", small_graph(), "a")
    write_mined(tmp_path / "c" / "b", other, "b")
    with pytest.raises(GraphError, match=r"the .gain. of .* has other ports or parameters than that of graphs before"):
        kind(tmp_path / "c")


def test_what_pre_transform_adds_is_stored(kind: Any, root: Path) -> None:
    def describe(graph: MixGraph) -> MixGraph:
        graph.label, graph.count = f"{graph.num_nodes} nodes", graph.num_nodes
        graph.numbers, graph.marks = {"of": [1, None]}, torch.arange(graph.num_edges)
        return graph

    for _ in range(2):
        graph = kind(root, pre_transform=Compose([AddDagPositions(), describe]))[2]
        assert torch.equal(graph.dag_pe, AddDagPositions()(load_graph(root / "song002/graph.safetensors")).dag_pe)
        assert (graph.label, graph.count, graph.numbers) == (
            f"{graph.num_nodes} nodes",
            graph.num_nodes,
            {"of": [1, None]},
        )
        assert graph.marks.tolist() == list(range(graph.num_edges))


@pytest.mark.parametrize(
    ("value", "message"),
    [(object(), "cannot hold the attributes"), (float("nan"), "cannot hold the attributes"), (None, "")],
)
def test_what_cannot_be_stored_is_refused(kind: Any, root: Path, value: object, message: str) -> None:
    def add(graph: MixGraph) -> MixGraph:
        if value is not None or graph.audio.song_id == "song003":
            graph.odd = 1 if value is None else value
        return graph

    with pytest.raises(GraphError, match=message or "some graphs have the attribute 'odd' and some do not"):
        kind(root, pre_transform=add)


def test_an_attribute_with_a_dot_is_refused(kind: Any, root: Path) -> None:
    def add(graph: MixGraph) -> MixGraph:
        graph["a.b"] = torch.zeros(3)
        return graph

    with pytest.raises(GraphError, match=r"cannot hold the attribute 'a\.b': its name has a dot, or is taken"):
        kind(root, pre_transform=add)


def test_pre_filter_and_transform(kind: Any, root: Path) -> None:
    graphs = kind(root, transform=DropNodes(1.0), pre_filter=lambda graph: graph.nodes_of("in").numel() > 1)
    assert graphs.songs == ["song001", "song002", "song004", "song005"]
    assert graphs.index.filtered == 2
    assert graphs[0].processors.numel() == 0
    assert graphs.get(0).processors.numel() == 3


# --- batches and workers


def test_batches_come_apart_into_what_went_in(kind: Any, root: Path) -> None:
    graphs = kind(root)
    (batch,) = DataLoader(graphs, batch_size=6)
    assert [reference.song_id for reference in batch.audio] == graphs.songs
    assert batch.num_graphs == 6
    for one, other in zip(batch.to_data_list(), graphs, strict=True):
        assert_same(one, other)
        assert one.audio == other.audio


def test_workers_give_the_same_batches(kind: Any, root: Path) -> None:
    """Forked ones; those that are spawned are tested with their sound, in test_loader.py."""
    graphs = kind(root)
    here = list(DataLoader(graphs, batch_size=2))
    there = list(DataLoader(graphs, batch_size=2, num_workers=2, multiprocessing_context="fork"))
    assert len(there) == 3
    for one, other in zip(here, there, strict=True):
        for first, second in zip(one.to_data_list(), other.to_data_list(), strict=True):
            assert_same(first, second)
            assert first.audio == second.audio


def test_slices_masks_shuffles_and_copies_are_pygs(root: Path) -> None:
    graphs = MinedGraphs(root)
    assert graphs[2:4].songs == ["song002", "song003"]
    assert graphs[torch.tensor([True, False, False, False, False, True])].songs == ["song000", "song005"]
    assert sorted(graphs.shuffle().songs) == graphs.songs
    few = graphs[[4, 1]].copy()
    assert_same(few[0], graphs[4])
    assert_same(graphs[[3]].copy()[0], graphs[3])
    assert graphs.wet.numel() == sum(graph.num_nodes for graph in graphs)
    assert graphs.get_summary().num_graphs == 6


def test_the_same_graphs_on_the_disk_instead_of_pygs_database(root: Path) -> None:
    graphs = MinedGraphs(root)[1:3]
    on_disk = graphs.to_on_disk_dataset()
    assert isinstance(on_disk, MinedGraphsOnDisk)
    assert on_disk.songs == graphs.songs
    assert_same(on_disk[1], graphs[1])


def test_save_and_load_are_without_pickle(root: Path, tmp_path: Path) -> None:
    graphs = MinedGraphs(root)
    MinedGraphs.save([graphs[3], graphs[1]], tmp_path / "two.safetensors")
    graphs.load(tmp_path / "two.safetensors")
    assert_same(graphs.get(0), MinedGraphs(root)[3])


def test_nothing_but_safetensors_and_json_is_written(kind: Any, root: Path) -> None:
    graphs = kind(root, pre_transform=AddDagPositions(), pre_filter=bool)
    names = sorted(os.listdir(graphs.processed_dir))
    assert [Path(name).suffix for name in names if name != ".lock"] == [".json", ".safetensors"]


# --- splits


def test_splits_have_no_artist_in_common_and_cover_all(kind: Any, tmp_path: Path) -> None:
    root = write_collection(tmp_path, songs=12, with_audio=False)
    parts = {name: kind(root, split=name, ratios=(1, 1, 1)) for name in SPLITS}
    assert sorted(song for part in parts.values() for song in part.songs) == kind(root).songs
    artists = [set(part.artists) for part in parts.values()]
    assert [len(a) for a in artists] == [1, 1, 1]
    assert len(set.union(*artists)) == 3
    by_method = kind(root).split(ratios=(1, 1, 1))
    assert {name: part.songs for name, part in by_method.items()} == {name: part.songs for name, part in parts.items()}
    assert [graph.audio.song_id for graph in parts["validation"]] == parts["validation"].songs


def test_val_is_short_for_validation(kind: Any, tmp_path: Path) -> None:
    root = write_collection(tmp_path, songs=12, with_audio=False)
    part = kind(root, split="validation", ratios=(1, 1, 1))
    assert kind(root, split="val", ratios=(1, 1, 1)).songs == part.songs
    assert kind(root).split(ratios=(1, 1, 1))["val"].songs == part.songs


def test_a_split_that_is_none_and_too_few_artists(kind: Any, root: Path, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="there is no split 'dev'; the splits are: train, validation, test"):
        kind(root, split="dev")
    with pytest.raises(GraphError, match="2 artists cannot be split into 3 sets"):
        kind(root, pre_filter=lambda g: g.audio.artist != "Artist 0", split="val", processed=tmp_path / "other")


# --- stale files


def _built(root: Path) -> int:
    return (root / "processed/dataset.json").stat().st_mtime_ns


def test_what_is_fresh_is_not_built_again(kind: Any, root: Path) -> None:
    kind(root)
    before = _built(root)
    assert len(kind(root)) == 6
    assert _built(root) == before
    kind(root, force_reload=True)
    assert _built(root) != before


def _mine_another(root: Path) -> None:
    write_mined(root / "song999", small_graph(), "song999")


def _mine_again(root: Path) -> None:
    path = root / "song003/metrics.json"
    path.write_text(path.read_text() + " ")


def _remove_one(root: Path) -> None:
    (root / "song003/graph.safetensors").unlink()


def _cut_a_shard(root: Path) -> None:
    path = next((root / "processed").glob("graphs-*"))
    path.write_bytes(path.read_bytes()[:-10])


def _lose_a_shard(root: Path) -> None:
    next((root / "processed").glob("graphs-*")).unlink()


def _spoil_the_index(root: Path) -> None:
    (root / "processed/dataset.json").write_text("{")


@pytest.mark.parametrize(
    ("change", "count", "message"),
    [
        (_mine_another, 7, "is built again: the graphs that it was built from have changed"),
        (_mine_again, 6, "is built again: the graphs that it was built from have changed"),
        (_remove_one, 5, "is built again: the graphs that it was built from have changed"),
        (_cut_a_shard, 6, "is built again: graphs-.* is missing or cut off"),
        (_lose_a_shard, 6, "is built again: graphs-.* is missing or cut off"),
        (_spoil_the_index, 6, r"is built again: .*dataset\.json is not JSON"),
    ],
)
def test_what_is_stale_is_built_again_with_a_warning(
    kind: Any, root: Path, change: Callable[[Path], None], count: int, message: str
) -> None:
    kind(root)
    change(root)
    with pytest.warns(UserWarning, match=message):
        graphs = kind(root)
    assert len(graphs) == count
    assert len(list(graphs)) == count
    assert len(list((root / "processed").glob("graphs-*"))) == 1
    kind(root)  # without a warning


def test_another_pre_transform_or_pre_filter_is_noticed(kind: Any, root: Path) -> None:
    kind(root)
    with pytest.warns(UserWarning, match=r"pre_transform was None and is AddDagPositions\("):
        assert "dag_pe" in kind(root, pre_transform=AddDagPositions())[0]
    kind(root, pre_transform=AddDagPositions())
    with pytest.warns(UserWarning, match=r"pre_transform was .*attr_name='dag_pe'.* and is .*attr_name='other'"):
        kind(root, pre_transform=AddDagPositions("other"))
    with pytest.warns(UserWarning, match="is built again"):
        kind(root, pre_filter=len)


def test_a_function_has_the_same_name_in_the_next_process(kind: Any, root: Path) -> None:
    for _ in range(2):
        kind(root, pre_filter=lambda graph: True)  # another address each time


def test_the_processed_files_alone_are_enough(kind: Any, root: Path, tmp_path: Path) -> None:
    expected = list(kind(root))
    (tmp_path / "copy").mkdir()
    (root / "processed").rename(tmp_path / "copy/processed")
    graphs = kind(tmp_path / "copy")
    for one, other in zip(graphs, expected, strict=True):
        assert_same(one, other)
    with pytest.raises(GraphError, match=r"stale \(pre_filter was None and is .*\), and it holds no finished graph"):
        kind(tmp_path / "copy", pre_filter=bool)


def test_processed_files_elsewhere(kind: Any, root: Path, tmp_path: Path) -> None:
    assert len(kind(root, processed=tmp_path / "elsewhere")) == 6
    assert not (root / "processed").exists()
    assert (tmp_path / "elsewhere/dataset.json").exists()


# --- bad input


def test_a_folder_without_graphs(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"holds no finished graph: a folder with graph\.safetensors beside metrics"):
        kind(tmp_path)
    with pytest.raises(GraphError, match="is not a folder"):
        kind(tmp_path / "nowhere")


def test_a_graph_that_cannot_be_read_is_passed_over_and_told(kind: Any, root: Path) -> None:
    (root / "song001/graph.safetensors").write_bytes(b"x" * 99)
    (root / "song002/metrics.json").write_text("[]")
    with pytest.warns(UserWarning, match=r"2 of 6 graphs were skipped: .*song001.*song002"):
        graphs = kind(root)
    assert graphs.songs == ["song000", "song003", "song004", "song005"]
    assert [folder for folder, _ in graphs.skipped] == ["song001", "song002"]
    assert "damaged" in graphs.skipped[0][1]
    assert find_records(root / "song000")


def test_nothing_left_is_an_error(kind: Any, root: Path) -> None:
    with pytest.raises(GraphError, match=r"no graph of .* is left: 0 could not be read, and pre_filter took 6 out"):
        kind(root, pre_filter=lambda graph: False)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_cannot_be_written(kind: Any, root: Path) -> None:
    root.chmod(0o500)
    with pytest.raises(GraphError, match=r"cannot write to .*processed: .* Choose another folder: processed="):
        kind(root)
    root.chmod(0o700)


def test_a_processed_folder_that_is_a_file(kind: Any, root: Path) -> None:
    (root / "processed").write_text("")
    with pytest.raises(GraphError, match=r"cannot write to .*processed: .*Choose another folder: processed="):
        kind(root)


def _damage(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


def test_damaged_shards_give_one_error_or_valid_graphs(tmp_path: Path) -> None:
    write_random(tmp_path, 5)
    path = next(Path(MinedGraphs(tmp_path).processed_dir).glob("graphs-*"))
    content, generator = path.read_bytes(), torch.Generator().manual_seed(1)
    outcomes = []
    for place in torch.randint(len(content), (400,), generator=generator).tolist():
        other = tmp_path / "damaged.safetensors"
        other.write_bytes(_damage(content, place))
        with suppress(GraphError):
            outcomes.append("refused")
            shard = Shard(other)
            assert all(isinstance(shard.get(i, {}), MixGraph) for i in range(len(shard)))
            outcomes[-1] = "read"
    assert set(outcomes) == {"read", "refused"}


def test_an_index_from_a_stranger_names_no_file_elsewhere(kind: Any, root: Path) -> None:
    kind(root)
    path = root / "processed/dataset.json"
    text = json.loads(path.read_text())
    text["shards"] = ["../../secret.safetensors"]
    path.write_text(json.dumps(text))
    with pytest.warns(UserWarning, match="a shard has a name that no shard has"):
        kind(root)


def test_toy_types_are_the_ones_with_treacherous_names() -> None:
    assert any("batch" in t.name and "index" in t.name for t in TYPES)
    assert RACK.types
