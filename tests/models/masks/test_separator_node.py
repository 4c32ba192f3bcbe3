"""Separators as processors: the laws of tests/processors/test_laws.py, graphs, files, and rendering in blocks."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from graphmix.errors import GraphError, GraphmixError
from graphmix.graph import MixGraph, load_graph, save_graph
from graphmix.models.masks.block_separation import BlockSeparator, stems_of, with_rest
from graphmix.models.masks.node import Separator, digest_of
from graphmix.processors import Rack
from graphmix.render import Renderer
from tests.render.test_captured_blocks import in_blocks
from tests.small_separators import RATE, small_separator, write_separator

RATES = (RATE, 6000, 11025)
MODELS = {
    "stereo": {},
    "mono": {"channels": 1},
    "softmax": {"mask": "softmax"},
    "complex": {"mask": "tanh_complex"},
    "one source": {"sources": ("vocals",)},
}
SAMPLES = 3000


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of two seconds, a half of them shared."""
    monkeypatch.setattr("graphmix.models.masks.block_separation.HOP_SECONDS", 1)


def node(rate: int = RATE, **changes: object) -> Separator:
    return Separator(small_separator(**changes), "pair", "v", rate)


def noise(nodes: int, samples: int = SAMPLES, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return 0.3 * torch.randn(nodes, 2, samples, generator=torch.Generator().manual_seed(seed)).to(dtype)


def nothing(nodes: int) -> Tensor:
    return torch.zeros(nodes, 0)


# --- laws


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@torch.no_grad()
def test_outlets_add_up_to_the_input_at_any_rate_and_keep_its_dtype(name: str, rate: int, dtype: torch.dtype):
    separator = node(rate, **MODELS[name])
    audio = noise(2, 2 * rate + 17, dtype)
    out = separator(audio, nothing(2))
    assert out.shape == (2, len(separator.node_type.outlets), 2, audio.size(-1))
    assert out.dtype == dtype
    error = (out.double().sum(1) - audio.double()).square().mean().sqrt() / audio.double().square().mean().sqrt()
    assert float(error) < (1e-7 if dtype == torch.float32 else 1e-15)
    assert float(out[:, 0].abs().max()) > 0.01, "something was separated"


@torch.no_grad()
def test_a_batch_is_its_nodes_one_by_one():
    separator, audio = node(), noise(3, 2 * RATE)
    alone = torch.cat([separator(audio[i : i + 1], nothing(1)) for i in range(3)])
    torch.testing.assert_close(separator(audio, nothing(3)), alone, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_nodes_are_not_mixed_up_and_a_mono_model_keeps_the_sides_apart():
    for changes in ({}, {"channels": 1}):
        separator, audio = node(**changes), noise(2)
        changed = audio.clone()
        changed[0, 1] += 0.3
        before, after = separator(audio, nothing(2)), separator(changed, nothing(2))
        torch.testing.assert_close(after[1], before[1], rtol=1e-5, atol=1e-6)
        assert (after[0, :, 1] - before[0, :, 1]).abs().max() > 1e-3
        if changes:
            torch.testing.assert_close(after[0, :, 0], before[0, :, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@torch.no_grad()
def test_half_precision_is_processed_in_float32(dtype: torch.dtype):
    separator, audio = node(), noise(1).to(dtype)
    assert torch.equal(separator(audio, nothing(1)), separator(audio.float(), nothing(1)))


def test_what_is_no_audio_is_refused_by_name():
    with pytest.raises(GraphError, match=r"audio: int32 found; audio is float32"):
        node()(noise(1).int(), nothing(1))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("samples", [0, 1, 700])
@pytest.mark.parametrize("level", [0.0, 1.0, 1e-41], ids=["silence", "full scale", "subnormal"])
def test_output_and_gradients_are_finite(rate: int, samples: int, level: float):
    audio = torch.full((2, 2, samples), level).requires_grad_()
    out = node(rate)(audio, nothing(2))
    assert out.shape == (2, 3, 2, samples)
    assert out.isfinite().all()
    if level == 0:
        assert not out.any()
    (gradient,) = torch.autograd.grad(out.square().sum(), audio)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("rate", [RATE, 6000])
def test_gradients_agree_with_finite_differences(rate: int):
    separator = node(rate, representation={"kind": "stft", "n_fft": 16, "hop": 4})
    audio = noise(2, 40, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: separator(x, nothing(2)), audio, fast_mode=True)


# --- the grid


@pytest.mark.parametrize("rate", RATES)
@torch.no_grad()
def test_a_signal_cut_at_the_grid_is_resumed_exactly(rate: int):
    separator = BlockSeparator(small_separator(), rate)
    audio = noise(2, 4 * rate + 123)
    whole, _ = separator(audio)
    first, tail = separator(audio[..., : 3 * rate], None, rate)
    second, _ = separator(audio[..., rate:], tail)
    torch.testing.assert_close(first[..., :rate], whole[..., :rate], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(second, whole[..., rate:], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_blocks_are_crossfaded_and_one_block_is_the_model_itself():
    model = small_separator()
    separator = BlockSeparator(model, RATE)
    audio = noise(1, 3 * RATE)
    torch.testing.assert_close(separator(audio[..., : 2 * RATE])[0], model.separate(audio[..., : 2 * RATE]))
    out, _ = separator(audio)
    one, other = model.separate(audio[..., : 2 * RATE]), model.separate(audio[..., RATE:])
    torch.testing.assert_close(out[..., :RATE], one[..., :RATE])
    torch.testing.assert_close(out[..., 2 * RATE :], other[..., RATE:])
    middle = (one[..., RATE + RATE // 2], other[..., RATE // 2])
    torch.testing.assert_close(out[..., RATE + RATE // 2], sum(middle) / 2, rtol=1e-2, atol=1e-3)


def test_a_source_called_rest_is_the_rest():
    assert stems_of(("rest", "drums")) == ("drums", "rest")
    audio, sources = noise(1, 50), torch.randn(1, 2, 2, 50)
    stems = with_rest(audio, sources, ("rest", "drums"))
    torch.testing.assert_close(stems[:, 0], sources[:, 1])
    torch.testing.assert_close(stems.sum(1), audio)


def test_rates_without_a_common_factor_are_refused():
    with pytest.raises(GraphmixError, match="works at 8000 Hz and the signal has 44101 Hz"):
        BlockSeparator(small_separator(sample_rate=96000 // 12), 44101 * 1)


# --- in graphs


def louder_vocals(rack: Rack, gain_db: float = 6.0) -> MixGraph:
    """In, separator, a gain on the vocals, mix."""
    graph = MixGraph(rack.types, rack.sample_rate)
    master, split, out = graph.add("in", name="master.wav"), graph.add("pair"), graph.add("out", name="mix")
    mix = graph.add("mix")
    graph.connect(master, split)
    for outlet in rack["pair"].node_type.outlets:
        if outlet == "vocals":
            gain = graph.add("gain", gain_db=[gain_db, gain_db])
            graph.connect(split, gain, outlet=outlet)
            graph.connect(gain, mix)
        else:
            graph.connect(split, mix, outlet=outlet)
    graph.connect(mix, out)
    return graph


def test_vocals_are_made_louder_in_a_master(tmp_path: Path):
    rack = Rack.console("g", RATE).with_separator("v", write_separator(tmp_path))
    graph, master = louder_vocals(rack), noise(1, 2 * RATE)
    with torch.no_grad():
        vocals = rack["pair"](master, nothing(1))[:, 0]
        expected = master + (10 ** (6 / 20) - 1) * vocals
        torch.testing.assert_close(Renderer(rack)(graph, master), expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(Renderer(rack)(louder_vocals(rack, 0.0), master), master, rtol=1e-4, atol=1e-6)


def test_gradients_pass_through_a_graph_and_a_batch_of_graphs_is_each_alone(tmp_path: Path):
    from torch_geometric.data import Batch

    rack = Rack.console("g", RATE).with_separator("v", write_separator(tmp_path))
    graphs, master = [louder_vocals(rack), louder_vocals(rack, -3.0)], noise(2)
    batch = Batch.from_data_list(graphs)
    batch.params["gain"].requires_grad_()
    audio = master.clone().requires_grad_()
    out = Renderer(rack)(batch, audio)
    alone = torch.cat([Renderer(rack)(graph, master[i : i + 1]) for i, graph in enumerate(graphs)])
    torch.testing.assert_close(out, alone, rtol=1e-4, atol=1e-6)
    for gradient in torch.autograd.grad(out.square().mean(), (audio, batch.params["gain"])):
        assert float(gradient.abs().max()) > 0


@pytest.mark.parametrize("rate", [RATE, 6000])
@torch.no_grad()
def test_blocks_equal_the_whole(rate: int, tmp_path: Path):
    rack = Rack.console("gec", rate).with_separator("v", write_separator(tmp_path))
    graph = louder_vocals(rack)
    out = graph.nodes_of("out").item()
    compressor, again, equalizer = (
        graph.add("compressor", threshold_db=-30.0),
        graph.add("pair"),
        graph.add("equalizer"),
    )
    graph.connect(graph.nodes_of("mix").item(), compressor)
    graph.connect(compressor, again)
    graph.connect(again, equalizer, outlet="drums")
    graph.connect(equalizer, out)
    stems = noise(1, 5 * rate + 17)
    from graphmix.render.blocks import BlockRenderer

    followed = torch.nn.functional.pad(stems, (0, BlockRenderer(rack, graph).ahead))
    whole = Renderer(rack)(graph, followed)[..., : stems.size(-1)]
    torch.testing.assert_close(in_blocks(rack, graph, stems, 0.4), whole, rtol=1e-3, atol=1e-5)


# --- files


def test_a_graph_file_names_the_model_and_refuses_another(tmp_path: Path):
    path = write_separator(tmp_path)
    rack = Rack.console("g", RATE).with_effect("v", path)
    file = save_graph(louder_vocals(rack), tmp_path / "graph.json")
    types = load_graph(file).types.types
    assert next(t for t in types if t.name == "pair").source == f"pair.safetensors {digest_of(small_separator())}"
    moved = Rack.console("g", RATE).with_separator("z", path.rename(tmp_path / "other.safetensors"))
    assert Rack.for_types(types, RATE, moved)["pair"].node_type in types
    another = Rack.console("g", RATE).with_separator("v", write_separator(tmp_path / "new", seed=1))
    with pytest.raises(GraphError, match=r"the one given from .* another separator sounds otherwise"):
        Rack.for_types(types, RATE, another)
    with pytest.raises(GraphError, match=r"uses the separator 'pair', from pair\.safetensors"):
        Rack.for_types(types, RATE)


def test_a_letter_that_is_taken_is_refused(tmp_path: Path):
    with pytest.raises(GraphError, match="'g'"):
        Rack.console("g", RATE).with_separator("g", write_separator(tmp_path))
