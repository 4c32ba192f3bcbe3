"""Pictures of graphs: everything is drawn once, in its colour, and nothing lies on top of a label."""

import random
from itertools import combinations, pairwise

import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from graphmix.errors import GraphError
from graphmix.graph import MixGraph, bypass_nodes, mixing_console, remove_nodes
from graphmix.plots import color_of, plot_graph, save
from graphmix.plots.layered import layered_layout
from graphmix.plots.tree import is_mostly_tree, tree_layout
from graphmix.processors import Rack
from graphmix.spec import NodeType

SUBGROUPS = {
    "Drums (incl. rooms & overheads)": ["01_Kick In Beta52_print.wav", "02_SnareTop_SM57.wav", "03_OH_L+R_stereo.wav"],
    "Bass": ["04_BassDI_through_amp_simulation_v3_final_FINAL_comp_bounce.wav"],
    "Gtr": ["05_ElecGtr01DT_left.wav", "06_ElecGtr02DT_right.wav"],
    "Vox": ["07_LeadVox.wav", "08_$Backing$_Vox^2.wav"],
}


@pytest.fixture
def console() -> MixGraph:
    return mixing_console(Rack.console(), SUBGROUPS)


@pytest.fixture
def ducking() -> MixGraph:
    """Two tracks duck under a third, which also goes to a send."""
    graph = MixGraph(Rack.standard().types)
    kick, bass, pad = (graph.add("in", name=name) for name in ("kick", "bass", "pad"))
    comp, out = graph.add("c"), graph.add("out", name="mix")
    graph.chain(kick, comp, out)
    for track in (bass, pad):
        duck = graph.add("k", wet=0.5)
        graph.chain(track, graph.add("e"), duck, out)
        graph.connect(comp, duck, inlet="sidechain")
    send = graph.add("mix", name="hall")
    graph.chain(send, graph.add("r"), out)
    return graph.connect(kick, send).connect(pad, send)


@pytest.fixture
def multiband() -> MixGraph:
    graph = MixGraph(Rack.standard().types)
    split, total = graph.add("x"), graph.add("mix", name="bands")
    graph.chain(graph.add("in", name="bus"), graph.add("e"), split)
    for band in ("low", "mid", "high"):
        comp = graph.add("c")
        graph.connect(split, comp, outlet=band).connect(comp, total)
    return graph.chain(total, graph.add("out"))


def tangle(seed: int, size: int = 30) -> MixGraph:
    """A dense random graph with sidechains and crossovers."""
    draw = random.Random(seed)
    graph = MixGraph(Rack.standard().types)
    nodes = [graph.add("in", name=f"track {i}") for i in range(4)]
    for _ in range(size):
        node = graph.add(draw.choice("ecngsdrmxk"))
        for inlet in range(len(graph.type_of(node).inlets)):
            for source in draw.sample(nodes[-8:], 2 - inlet):
                graph.connect(source, node, outlet=draw.randrange(len(graph.type_of(source).outlets)), inlet=inlet)
        nodes.append(node)
    out = graph.add("out", name="mix")
    feeding = set(graph.edge_index[0].tolist())
    for node in nodes:
        if node not in feeding:
            graph.connect(node, out)
    return graph


def drawn(figure: Figure, prefix: str) -> dict[int, object]:
    """Artists whose id is ``prefix-number``."""
    found = [artist for artist in figure.findobj() if (artist.get_gid() or "").startswith(f"{prefix}-")]
    numbers = {int(artist.get_gid().split("-")[1]): artist for artist in found}
    assert len(numbers) == len(found)
    return numbers


def extents(figure: Figure) -> list[tuple[str, Bbox]]:
    """Texts and their boxes in pixels, as Agg draws them."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in texts]


def assert_no_text_overlaps(figure: Figure) -> None:
    boxes = extents(figure)
    for (first, a), (second, b) in combinations(boxes, 2):
        assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0, (first, second)
    width, height = figure.get_size_inches() * figure.dpi
    for text, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, text


def assert_no_text_on_a_node(figure: Figure) -> None:
    renderer = FigureCanvasAgg(figure).get_renderer()
    letters = {id(text) for text in drawn(figure, "letter").values()}
    nodes = [node.get_window_extent(renderer) for node in drawn(figure, "node").values()]
    for text in figure.axes[0].texts:
        if id(text) in letters or str(text.get_gid()).startswith("legend"):
            continue
        box = text.get_window_extent(renderer)
        for node in nodes:
            apart = box.x1 <= node.x0 or node.x1 <= box.x0 or box.y1 <= node.y0 or node.y1 <= box.y0
            assert apart, text.get_text()


def test_every_node_is_drawn_once_with_the_letter_and_colour_of_its_type(console: MixGraph) -> None:
    figure = plot_graph(console)
    nodes, letters = drawn(figure, "node"), drawn(figure, "letter")
    assert sorted(nodes) == sorted(letters) == list(range(console.num_nodes))
    for v, node in nodes.items():
        kind = console.type_of(v)
        assert letters[v].get_text() == kind.letter
        assert to_hex(node.get_facecolor()) == color_of(kind.letter)


def test_every_edge_is_drawn(console: MixGraph, ducking: MixGraph) -> None:
    for graph in (console, ducking, tangle(0)):
        collections = [c for c in plot_graph(graph).axes[0].collections if isinstance(c, PathCollection)]
        assert sum(len(c.get_paths()) for c in collections) == graph.num_edges


def test_tracks_subgroups_and_output_are_named(console: MixGraph) -> None:
    figure = plot_graph(console)
    names = drawn(figure, "name")
    assert sorted(names) == [v for v, name in enumerate(console.names) if name]
    texts = {text.get_text() for text in names.values()}
    assert {"07_LeadVox.wav", "08_$Backing$_Vox^2.wav", "Bass", "Vox", "mix"} <= texts


def test_a_very_long_name_loses_its_middle_and_keeps_both_ends(console: MixGraph) -> None:
    shown = drawn(plot_graph(console), "name")[3].get_text()
    assert shown.startswith("04_BassDI_through")
    assert shown.endswith("comp_bounce.wav")
    assert "…" in shown
    assert len(shown) <= 44


def test_no_text_overlaps_or_is_clipped_with_eight_tracks(console: MixGraph) -> None:
    removed = console.processors[torch.randperm(console.processors.numel())[:50]]
    for graph in (console, remove_nodes(console, removed)):
        figure = plot_graph(graph, "Eight tracks and a title that is too long for one line of this picture, " * 2)
        assert_no_text_overlaps(figure)
        assert_no_text_on_a_node(figure)


def test_no_text_overlaps_in_graphs_with_many_ports(ducking: MixGraph, multiband: MixGraph) -> None:
    for graph in (ducking, multiband, tangle(3)):
        figure = plot_graph(graph, "ports")
        assert_no_text_overlaps(figure)
        assert_no_text_on_a_node(figure)


def test_no_nodes_overlap(console: MixGraph, ducking: MixGraph, multiband: MixGraph) -> None:
    for graph in (console, ducking, multiband, *map(tangle, range(8))):
        figure = plot_graph(graph)
        renderer = FigureCanvasAgg(figure).get_renderer()
        boxes = [node.get_window_extent(renderer) for node in drawn(figure, "node").values()]
        for a, b in combinations(boxes, 2):
            assert a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1


def test_the_legend_counts_each_type(console: MixGraph) -> None:
    texts = {text.get_text() for text in plot_graph(console).axes[0].texts if text.get_gid() == "legend"}
    assert {"in × 8", "mix × 4", "out × 1", "equalizer × 12", "reverb × 12"} <= texts
    assert len(texts) == 10


def test_a_box_is_filled_to_its_weight(console: MixGraph) -> None:
    nodes = console.nodes_of("gain")[:2]
    graph = bypass_nodes(console, nodes[:1])
    graph.wet[nodes[1]] = 0.25
    figure = plot_graph(graph)
    boxes, fills = drawn(figure, "node"), drawn(figure, "wet")
    empty, quarter = nodes.tolist()
    assert list(fills) == [quarter]
    assert fills[quarter].get_height() == pytest.approx(0.25 * 0.2)
    assert to_hex(fills[quarter].get_facecolor()) == color_of("gain")
    assert to_hex(boxes[empty].get_facecolor()) != color_of("gain")


def test_a_console_has_a_row_for_each_track_and_a_column_for_its_mixes(console: MixGraph) -> None:
    removed = console.processors[torch.randperm(console.processors.numel())[:50]]
    for graph in (console, remove_nodes(console, removed)):
        layout = tree_layout(graph, graph.edges())
        rows = [layout.row[v] for v in graph.nodes_of("in").tolist()]
        assert rows == sorted(rows)
        assert all(below - above >= 1 for above, below in pairwise(rows))
        assert len({layout.column[v] for v in graph.nodes_of("mix").tolist()}) == 1
        assert len(layout.bands) == len(SUBGROUPS)
        straight = [c for c in layout.edges if graph.type_of(c.target).is_processor]
        assert all(layout.row[c.source] == layout.row[c.target] for c in straight)
        assert all(layout.column[c.source] + 1 == layout.column[c.target] for c in straight)


def test_columns_of_a_full_console_hold_one_type(console: MixGraph) -> None:
    layout = tree_layout(console, console.edges())
    kinds = {(column, console.type_of(v).name) for v, column in enumerate(layout.column)}
    assert len(kinds) == len(set(layout.column)) == 2 * 7 + 3


def test_signal_always_flows_to_the_right(console: MixGraph, ducking: MixGraph, multiband: MixGraph) -> None:
    for graph in (console, ducking, multiband, *map(tangle, range(4))):
        for layout in (tree_layout(graph, graph.edges()), layered_layout(graph, graph.edges())):
            assert all(layout.column[c.source] < layout.column[c.target] for c in layout.edges)


def test_subgroups_may_be_nested_and_outputs_several() -> None:
    graph = MixGraph(Rack.console().types)
    band, drums = graph.add("mix", name="band"), graph.add("mix", name="drums")
    tracks = [graph.add("in", name=name) for name in ("kick", "snare", "bass", "click")]
    graph.chain(tracks[0], drums).chain(tracks[1], drums).chain(drums, graph.add("e"), band)
    graph.chain(tracks[2], band).chain(band, graph.add("out")).chain(tracks[3], graph.add("out", name="click"))
    layout = tree_layout(graph, graph.edges())
    assert layout.column[drums] < layout.column[band]
    assert layout.row[drums] == (layout.row[tracks[0]] + layout.row[tracks[1]]) / 2
    assert len({layout.column[v] for v in graph.nodes_of("out").tolist()}) == 1
    assert len(drawn(plot_graph(graph), "node")) == graph.num_nodes


def test_sidechains_are_dashed_and_ports_named(ducking: MixGraph) -> None:
    figure = plot_graph(ducking)
    solid, dashed = (c for c in figure.axes[0].collections if isinstance(c, PathCollection))
    assert solid.get_linestyle()[0][1] is None
    assert dashed.get_linestyle()[0][1] is not None
    assert len(dashed.get_paths()) == 2
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("sidechain") == texts.count("in") == 2


def test_sends_and_sidechains_leave_the_rows_of_the_tracks_as_they_are(ducking: MixGraph) -> None:
    layout = tree_layout(ducking, ducking.edges())
    rows = [layout.row[v] for v in ducking.nodes_of("in").tolist()]
    assert is_mostly_tree(layout.edges)
    assert rows == sorted(rows)
    assert len(layout.detours) == 4


def test_a_crossover_stands_in_the_middle_of_its_bands(multiband: MixGraph) -> None:
    layout = tree_layout(multiband, multiband.edges())
    bands = [layout.row[v] for v in multiband.nodes_of("c").tolist()]
    split = int(multiband.nodes_of("x")[0])
    assert layout.row[split] == bands[1] == sum(bands) / 3
    assert len(set(bands)) == 3


def test_two_edges_between_the_same_nodes_are_two_lines() -> None:
    graph = MixGraph([])
    track, bus = graph.add("in", name="a"), graph.add("mix", name="b")
    graph.connect(track, bus).connect(track, bus).chain(bus, graph.add("out"))
    (lines,) = (c for c in plot_graph(graph).axes[0].collections if isinstance(c, PathCollection))
    first, second = (path.vertices for path in lines.get_paths()[:2])
    assert first.shape != second.shape or (first != second).any()


def test_a_dense_graph_is_not_taken_for_a_console() -> None:
    graph = tangle(1)
    assert not is_mostly_tree(graph.edges())
    figure = plot_graph(graph)
    assert len(drawn(figure, "node")) == graph.num_nodes
    assert_no_text_overlaps(figure)


def test_barycenters_remove_the_crossings_of_a_graph_without_need_for_any() -> None:
    graph = MixGraph(Rack.console().types)
    tracks = [graph.add("in", name=str(i)) for i in range(4)]
    buses = [graph.add("mix") for _ in range(4)]
    out = graph.add("out")
    for i, track in enumerate(tracks):
        graph.connect(track, buses[3 - i])
    for bus in buses:
        graph.connect(bus, out)
    layout = layered_layout(graph, graph.edges())
    ends = sorted((layout.row[c.source], layout.row[c.target]) for c in layout.edges[:4])
    assert [end for _, end in ends] == sorted(end for _, end in ends)


def test_the_figure_grows_with_the_graph_and_fits_into_a_file() -> None:
    def size(tracks: int) -> Figure:
        names = {"all": [f"track {i}" for i in range(tracks)]}
        return plot_graph(mixing_console(Rack.console("g"), names, "g"))

    small, large, huge = size(3), size(133), size(800)
    assert small.get_figwidth() == pytest.approx(large.get_figwidth(), rel=0.2)
    assert large.get_figheight() > 20 * small.get_figheight() / 3
    assert max(huge.get_size_inches()) * huge.dpi <= 30001


def test_a_deep_chain_is_drawn_without_recursion() -> None:
    graph = mixing_console(Rack.console("g"), {"bus": ["track"]}, "g" * 700)
    layout = tree_layout(graph, graph.edges())
    assert max(layout.column) == graph.num_nodes - 1
    assert set(layout.row) == {0.0}


def test_types_and_single_nodes_that_graphmix_does_not_know_are_drawn() -> None:
    graph = MixGraph([NodeType("exciter", "$")])
    graph.add("exciter", name="alone")
    figure = plot_graph(graph)
    assert drawn(figure, "letter")[0].get_text() == "$"
    assert to_hex(drawn(figure, "node")[0].get_facecolor()) == color_of("exciter")


def test_the_graph_is_not_changed(console: MixGraph) -> None:
    before = console.clone()
    plot_graph(console, "title")
    assert torch.equal(console.edge_index, before.edge_index)
    assert console.info == before.info


def test_a_graph_that_cannot_be_drawn_is_refused() -> None:
    from torch_geometric.data import Batch

    with pytest.raises(GraphError, match="without nodes"):
        plot_graph(MixGraph())
    loop = MixGraph(Rack.console("g").types)
    first, second = loop.add("g"), loop.add("g")
    loop.connect(first, second).connect(second, first)
    with pytest.raises(GraphError, match="cycle"):
        plot_graph(loop)
    chain = MixGraph([])
    chain.chain(chain.add("in"), chain.add("out"))
    with pytest.raises(GraphError, match="one by one"):
        plot_graph(Batch.from_data_list([chain, chain]))


def test_names_in_any_script_are_drawn_without_a_warning(tmp_path, recwarn) -> None:
    odd = ["夜に駆ける.wav", "🎸 guitar.wav", "caf\udce9.wav", "$x$ \x07.wav", "שלום.wav"]
    figure = plot_graph(mixing_console(Rack.console("eg"), {"\ue123 bus": odd}, "eg"), "夜 \ue123 $title$")
    for extension in ("png", "svg", "pdf"):
        save(figure, tmp_path / f"graph.{extension}")
    assert [str(warning.message) for warning in recwarn.list] == []
    shown = {text.get_gid(): text.get_text() for text in figure.axes[0].texts}
    assert r"caf\xe9.wav" in shown.values()
    assert r"\ue123" in shown["title"]
