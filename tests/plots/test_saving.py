import os
from pathlib import Path

import pytest
from matplotlib import image
from matplotlib.figure import Figure

from graphmix.errors import GraphmixError
from graphmix.graph import mixing_console
from graphmix.plots import plot_graph, save
from graphmix.processors import Rack


@pytest.fixture
def figure() -> Figure:
    return plot_graph(mixing_console(Rack.console("eg"), {"a": ["x", "y"]}, "eg"), "A title")


@pytest.mark.parametrize(
    ("extension", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_a_figure_is_written_by_its_extension(figure: Figure, tmp_path: Path, extension: str, start: bytes) -> None:
    path = save(figure, tmp_path / f"graph.{extension}")
    content = path.read_bytes()
    assert content.startswith(start)
    assert 1000 < len(content) < 300_000
    assert os.listdir(tmp_path) == [path.name]


def test_the_picture_is_not_empty(figure: Figure, tmp_path: Path) -> None:
    pixels = image.imread(save(figure, str(tmp_path / "graph.png")))
    height, width = pixels.shape[:2]
    assert [width, height] == pytest.approx(figure.get_size_inches() * figure.dpi, abs=1)
    assert pixels.std() > 0.05


@pytest.mark.parametrize("extension", ["png", "svg", "pdf"])
def test_the_same_graph_gives_the_same_bytes(tmp_path: Path, extension: str) -> None:
    graph = mixing_console(Rack.console("eg"), {"a": ["x", "y"]}, "eg")
    first, second = (save(plot_graph(graph), tmp_path / f"{i}.{extension}").read_bytes() for i in range(2))
    assert first == second


def test_a_failure_leaves_the_old_file_and_nothing_else(
    figure: Figure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "graph.png"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(GraphmixError, match=r"cannot write the plot .*No space left"):
        save(figure, path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["graph.png"]


def test_an_old_file_is_replaced(figure: Figure, tmp_path: Path) -> None:
    path = tmp_path / "graph.png"
    path.write_bytes(b"old")
    save(figure, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_missing_folder_is_named(figure: Figure, tmp_path: Path) -> None:
    with pytest.raises(GraphmixError, match=r"cannot write the plot .*nowhere.*: No such file"):
        save(figure, tmp_path / "nowhere" / "graph.png")


@pytest.mark.parametrize("name", ["graph.jpg", "graph", "graph.png.gz"])
def test_another_extension_is_refused(figure: Figure, tmp_path: Path, name: str) -> None:
    with pytest.raises(GraphmixError, match=r"use \.png, \.svg or \.pdf"):
        save(figure, tmp_path / name)
    assert os.listdir(tmp_path) == []
