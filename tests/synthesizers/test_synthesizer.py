"""Patches as graphs: values in, values out, vectors, files, presets that sound."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

from graphmix.errors import GraphError
from graphmix.graph.editing import remove_nodes
from graphmix.graph.storage import load_graph, save_graph
from graphmix.processors import Rack
from graphmix.render import Renderer
from graphmix.synthesizers import FM, SYNTHESIZERS, Synthesizer
from graphmix.synthesizers.candidates import random_patches
from graphmix.synthesizers.instruments import ALGORITHMS
from graphmix.synthesizers.notes import Note
from graphmix.synthesizers.presets import random_patch

RATE = 22050
ALL = pytest.mark.parametrize("synthesizer", list(SYNTHESIZERS.values()), ids=list(SYNTHESIZERS))


def presets(synthesizer: Synthesizer, count: int, seed: int = 0) -> list[dict[str, float | str]]:
    rng = np.random.default_rng(seed)
    return [random_patch(synthesizer, rng) for _ in range(count)]


def same(a: dict[str, float | str], b: dict[str, float | str], tolerance: float = 1e-4) -> bool:
    return a.keys() == b.keys() and all(
        a[k] == b[k] if isinstance(a[k], str) else float(a[k]) == pytest.approx(float(b[k]), rel=tolerance, abs=1e-3)
        for k in a
    )


def test_each_has_forty_parameters_or_more_and_they_differ_in_size():
    counts = [len(synthesizer.parameters) for synthesizer in SYNTHESIZERS.values()]
    assert min(counts) >= 40
    assert len(set(counts)) == 3
    for synthesizer in SYNTHESIZERS.values():
        assert len(synthesizer.by_name) == len(synthesizer.parameters)


@ALL
def test_a_patch_is_read_back_from_its_graph_and_its_file(synthesizer: Synthesizer, tmp_path: Path):
    for i, values in enumerate(presets(synthesizer, 8)):
        graph = synthesizer.patch(values, RATE, pitch=50.5, length_ms=321.0)
        assert same(
            synthesizer.read(graph),
            values | {n: min(float(v), 0.49 * RATE) for n, v in values.items() if n == "filter.cutoff_hz"},
        )
        for ending in ("safetensors", "json"):
            again = load_graph(save_graph(graph, tmp_path / f"{i}.{ending}"))
            assert same(synthesizer.read(again), synthesizer.read(graph), 1e-6)


@ALL
def test_a_vector_holds_a_patch(synthesizer: Synthesizer):
    for values in presets(synthesizer, 8, 1):
        vector = synthesizer.vector(values)
        assert vector.shape == (synthesizer.width,)
        assert ((vector >= -1e-6) & (vector <= 1 + 1e-6)).all()
        assert same(synthesizer.values_of(vector), values, 1e-3)


@ALL
def test_presets_sound_and_are_not_the_same(synthesizer: Synthesizer):
    render = Renderer(Rack.generators(RATE))
    levels, sounds = [], []
    for values in presets(synthesizer, 12, 2):
        with torch.no_grad():
            audio = render(synthesizer.patch(values, RATE, length_ms=600.0), torch.zeros(0, 2, RATE))[0, 0]
        assert audio.isfinite().all()
        levels.append(float(audio.square().mean().sqrt()))
        sounds.append(audio)
    assert sum(level > 1e-3 for level in levels) >= 10
    assert max(levels) < 1
    assert not any(torch.allclose(a, b, atol=1e-3) for i, a in enumerate(sounds) for b in sounds[:i])


@ALL
def test_a_batch_of_patches_and_notes_is_its_patches_one_by_one(synthesizer: Synthesizer):
    from torch_geometric.data import Batch

    graphs = [
        synthesizer.patch(values, RATE, pitch=48.0 + 5 * i, length_ms=100.0 + 90 * i)
        for i, values in enumerate(presets(synthesizer, 4, 3))
    ]
    render, sources = Renderer(Rack.generators(RATE)), torch.zeros(0, 2, 8000)
    with torch.no_grad():
        together = render(Batch.from_data_list(graphs), sources)
        alone = torch.cat([render(graph, sources) for graph in graphs])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_the_defaults_are_plain_tones_of_the_note():
    render = Renderer(Rack.generators(RATE))
    for synthesizer in SYNTHESIZERS.values():
        with torch.no_grad():
            audio = render(synthesizer.patch({}, RATE, pitch=69.0, length_ms=2000.0), torch.zeros(0, 2, RATE))[0, 0]
        spectrum = np.abs(np.fft.rfft(audio.numpy() * np.hanning(RATE)))
        assert int(spectrum.argmax()) == 440, synthesizer.name


def test_algorithms_are_32_topologies():
    assert len(ALGORITHMS) == 32
    for number, (pairs, carriers, fed_back) in enumerate(ALGORITHMS, start=1):
        graph = FM.patch({"algorithm": str(number)}, RATE)
        node = {name: i for i, name in enumerate(graph.names)}
        edges = {(s, t, i) for s, t, _, i in graph.edges()}
        for pair in pairs.split():
            assert (node[f"op{pair[0]}"], node[f"op{pair[1]}"], 1) in edges
            assert pair[0] > pair[1]
        assert {s for s, t, _ in edges if t == node["amplifier"]} == {node[f"op{c}"] for c in carriers}
        assert {*carriers, *(pair[0] for pair in pairs.split())} == set("123456")  # each sounds or modulates
        assert 1 <= fed_back <= 6


def test_wrong_values_are_refused_in_one_sentence():
    for values, message in (
        ({"op7.ratio": 1.0}, "'fm' has no parameter 'op7.ratio'"),
        ({"algorithm": "33"}, "algorithm is '33'; it is one of 1, 2"),
        ({"op1.ratio": 1000.0}, "op1.ratio is 1000.0; it is a number between 0.1 and 64"),
        ({"op1.ratio": "two"}, "op1.ratio is 'two'; it is a number"),
    ):
        with pytest.raises(GraphError, match=message):
            FM.patch(values)
    with pytest.raises(GraphError, match="a patch of 'fm', not of 'subtractive'"):
        SYNTHESIZERS["subtractive"].read(FM.patch())


@ALL
def test_values_at_the_ends_of_all_ranges_are_read_back_as_they_may_be_given(synthesizer: Synthesizer):
    for edge in ("low", "high"):
        values = {p.name: p.options[-1] if p.options else getattr(p, edge) for p in synthesizer.parameters}
        graph = synthesizer.patch(values, 44100)
        synthesizer.patch(synthesizer.read(graph), 44100)


@ALL
def test_a_patch_without_a_module_has_values_that_sound_the_same(synthesizer: Synthesizer):
    render, silence = Renderer(Rack.generators(RATE)), torch.zeros(0, 2, 6000)
    values = presets(synthesizer, 5, 7)[4]
    graph = synthesizer.patch(values, RATE, length_ms=200.0)
    assert len(synthesizer.removable) >= 4
    for name in [module.name for module in synthesizer.modules]:
        node = graph.names.index(name)
        smaller = remove_nodes(graph, [node])
        bypassed = graph.clone()
        bypassed.wet[node] = 0
        if name not in synthesizer.removable:
            with pytest.raises(GraphError, match="the patch lacks its '"):
                synthesizer.read(smaller)
            continue
        again = synthesizer.patch(synthesizer.read(smaller), RATE, length_ms=200.0)
        with torch.no_grad():
            torch.testing.assert_close(render(again, silence), render(smaller, silence), rtol=1e-3, atol=1e-4)
        again = synthesizer.patch(synthesizer.read(bypassed), RATE, length_ms=200.0)
        with torch.no_grad():
            torch.testing.assert_close(render(again, silence), render(smaller, silence), rtol=1e-3, atol=1e-4)


def test_an_edited_choice_is_refused():
    graph = FM.patch()
    graph.info = replace(graph.info, provenance={**graph.provenance, "algorithm": "99"})
    with pytest.raises(GraphError, match="algorithm is '99'; it is one of 1, 2"):
        FM.read(graph)


def test_proposals_follow_the_note():
    """A network's numbers are never exactly zero: each operator still goes by the ratio or by Hz."""
    values = FM.values_of(FM.vector(FM.defaults()).clamp(1e-3, 1 - 1e-3))
    render = Renderer(Rack.generators(RATE))
    with torch.no_grad():
        audio = render(FM.patch(values, RATE, pitch=81.0, length_ms=2000.0), torch.zeros(0, 2, RATE))[0, 0]
    assert abs(int(np.abs(np.fft.rfft(audio.numpy() * np.hanning(RATE))).argmax()) - 880) < 5


def test_a_patch_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch):
    graph = FM.patch()
    monkeypatch.setattr("graphmix.synthesizers.synthesizer.VERSION", 2)
    with pytest.raises(GraphError, match="made by version 1 of 'fm', and this is 2"):
        FM.read(graph)


@pytest.mark.parametrize("synthesizer", SYNTHESIZERS.values(), ids=lambda s: s.name)
@pytest.mark.parametrize("count", [1, 2])
def test_a_batch_is_that_of_its_patches(synthesizer: Synthesizer, count: int):
    notes = [Note(50.0, 100.0, 10.0, 0.5), Note(60.0, 50.0, 300.0)][:count]
    alike = dict.fromkeys(synthesizer.choices, "3")
    patches = [{**values, **alike} for values in random_patches(synthesizer, 3, 2)]
    if "ring_modulator.wet" in synthesizer.by_name:
        patches[1]["ring_modulator.wet"] = 0.25
    for _ in range(2):  # the second time from what is kept
        batch = synthesizer.batch(patches, 22050, notes)
        expected = Batch.from_data_list([synthesizer.patch(values, 22050, notes=notes) for values in patches])
        for name in ("node_type", "edge_index", "edge_port", "wet", "batch", "ptr"):
            assert torch.equal(batch[name], expected[name]), name
        assert batch.params.keys() == expected.params.keys()
        assert all(torch.equal(values, expected.params[kind]) for kind, values in batch.params.items())
        assert batch.names == expected.names
        batch.params["filter" if "filter" in batch.params else "operator"].zero_()


def test_patches_that_are_wired_differently_are_no_batch():
    patches = [{"algorithm": "1"}, {"algorithm": "2"}]
    with pytest.raises(GraphError, match=r"2 patches of 'fm' are wired in 2 ways, .* equal algorithm"):
        FM.batch(patches, 22050, [Note(60.0, 100.0)])
