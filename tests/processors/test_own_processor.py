"""A user's own processors work everywhere; docs/own_processor.md holds the same code."""

import inspect
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from graphmix.audio import load_song, write_audio
from graphmix.errors import GraphError
from graphmix.graph import MixGraph, mixing_console
from graphmix.graph.storage import load_graph, save_graph
from graphmix.processors import LTIProcessor, Processor, Rack
from graphmix.render import Renderer
from graphmix.render.reference import render_reference
from graphmix.render.reference_signals import Array, Signal, Values
from graphmix.search import SearchSettings, fit
from graphmix.search.parametrization import RawGraph
from graphmix.spec import DB_PER_NEPER, Linear, NodeType, ParameterSpec

PAGE = Path(__file__).parents[2] / "docs" / "own_processor.md"


class Saturation(Processor):
    """Soft clipping: small signals pass, loud ones bend towards ``1 / drive``."""

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        drive = ParameterSpec("drive_db", 1, "dB", -40.0, 40.0, -40.0, Linear(DB_PER_NEPER))
        self.node_type = NodeType("saturation", "t", (drive,))

    def forward(self, audio: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
        """Process a batch of nodes; wet only."""
        drive = (self.get(params, "drive_db")[:, :, None] / DB_PER_NEPER).exp()
        return torch.tanh(drive * audio) / drive


class Softener(LTIProcessor):
    """The gentlest lowpass: a share of each sample comes one sample late."""

    def __init__(self, sample_rate: int = 30000) -> None:
        super().__init__(sample_rate)
        share = ParameterSpec("share", 1, "", 0.0, 0.5, 0.0, Linear())
        self.node_type = NodeType("softener", "f", (share,))

    @property
    def extent(self) -> tuple[int, int]:
        """No sample before time zero, one after."""
        return 0, 1

    def impulse_response(self, params: torch.Tensor) -> torch.Tensor:
        """Taps of both channels at once, [nodes, 1, 2]."""
        share = self.get(params, "share")[:, :, None]
        return torch.cat([1 - share, share], dim=-1)


class Polarity(Processor):
    """Without any parameter: turns the signal upside down."""

    node_type = NodeType("polarity", "p")

    def forward(self, audio: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
        return -audio


class Squarer(Processor):
    """Gain-staged, and not linear."""

    node_type = NodeType("squarer", "q")
    gain_staged = True

    def forward(self, audio: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
        return audio.square()


def saturate(audio: Array, values: Values, sample_rate: int) -> Array:
    drive = 10 ** (values["drive_db"][0] / 20)
    return np.tanh(drive * audio[0]) / drive


def soften(u: Signal, values: Values, sample_rate: int) -> list[Signal]:
    share = values["share"][0]
    return [u.convolved(np.tile([1 - share, share], (2, 1)), 0)]


@pytest.fixture
def rack() -> Rack:
    return Rack([*Rack.console("eg"), Saturation(), Softener(), Polarity()])


@pytest.fixture
def console(rack: Rack) -> MixGraph:
    graph = mixing_console(rack, {"band": ["voice", "guitar"]}, chain="etfpg")
    graph.params["saturation"] = torch.tensor([[12.0], [0.0], [6.0]])
    graph.params["softener"] = torch.tensor([[0.1], [0.3], [0.5]])
    graph.wet = torch.where(graph.node_type > 2, 0.7, 1.0)
    return graph


def noise(num_inputs: int, samples: int = 3000) -> torch.Tensor:
    return 0.3 * torch.randn(num_inputs, 2, samples)


def test_a_console_of_own_processors_renders_as_its_reference(rack: Rack, console: MixGraph) -> None:
    sources = noise(2)
    expected = render_reference(
        console,
        sources.numpy(),
        extra={"saturation": saturate, "polarity": lambda audio, values, sample_rate: -audio[0]},
        extra_linear={"softener": soften},
    )
    np.testing.assert_allclose(Renderer(rack)(console, sources).numpy(), expected, atol=1e-5)


def test_gradient_descent_finds_their_parameters(rack: Rack) -> None:
    def chain(drive_db: float, share: float) -> MixGraph:
        graph = MixGraph(rack.types)
        nodes = graph.add("t", drive_db=drive_db), graph.add("f", share=share), graph.add("p")
        return graph.chain(graph.add("in"), *nodes, graph.add("out"))

    renderer, sources = Renderer(rack), noise(1)
    target = renderer(chain(10.0, 0.4), sources)
    raw = RawGraph(chain(0.0, 0.0), rack)
    optimizer = torch.optim.Adam([raw.params["saturation"], raw.params["softener"]], lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        (renderer(raw.graph(), sources) - target).square().sum().backward()
        optimizer.step()
        raw.project()
    found = raw.snapshot()
    assert float(found.params["saturation"]) == pytest.approx(10.0, abs=0.2)
    assert float(found.params["softener"]) == pytest.approx(0.4, abs=0.01)


def test_a_song_is_fitted_with_them(tmp_path: Path) -> None:
    rack = Rack([Saturation(), Softener()])
    stem = noise(1, 150000)[0]
    (tmp_path / "stems").mkdir()
    write_audio(tmp_path / "stems" / "voice.wav", stem, 30000)
    write_audio(tmp_path / "mix.wav", Saturation()(stem[None], torch.tensor([[10.0]]))[0], 30000)
    song = load_song(tmp_path, 30000)
    console = mixing_console(rack, {"bus": song.track_names}, "tf")
    console.params["saturation"].fill_(-6.0)
    fitted = fit(console, song, rack, SearchSettings(chain="tf", steps=3, evaluate_every=3, learning_rate=0.1))
    assert fitted.history[-1][1] < fitted.history[0][1]
    assert (fitted.graph.params["saturation"] > -6).all()


@pytest.mark.parametrize("ending", ["safetensors", "json"])
def test_they_are_saved_and_loaded(rack: Rack, console: MixGraph, ending: str, tmp_path: Path) -> None:
    loaded = load_graph(save_graph(console, tmp_path / f"console.{ending}"))
    assert loaded.types == console.types
    sources = noise(2)
    assert torch.equal(Renderer(rack)(loaded, sources), Renderer(rack)(console, sources))
    with pytest.raises(GraphError, match="uses 'saturation', which graphmix does not have; render it with a rack"):
        Rack.for_types(loaded.types.types, loaded.sample_rate)


def test_a_processor_without_parameters_maps_nothing_to_nothing() -> None:
    params = torch.zeros(3, 0)
    for mapped in (Polarity().to_raw(params), Polarity().from_raw(params)):
        assert mapped.shape == (3, 0)


def test_energies_of_a_general_processor_are_measured_if_it_is_gain_staged() -> None:
    rack, sources = Rack([Squarer()]), noise(1)
    graph = MixGraph(rack.types)
    graph.chain(graph.add("in"), graph.add("squarer", wet=0.2), graph.add("out"))
    rendered = Renderer(rack).render(graph, sources)
    torch.testing.assert_close(rendered.wet_energy, sources.square().mean(1).square().sum(1))
    torch.testing.assert_close(rendered.dry_energy, sources.mean(1).square().sum(1))


def test_a_response_of_another_length_than_promised_is_refused() -> None:
    class Liar(Softener):
        extent = (1, 1)

    with pytest.raises(ValueError, match=r"has 2 taps; its extent \(1, 1\) promises 3"):
        Liar()(noise(1), torch.zeros(1, 1))


def test_the_softener_is_a_lowpass() -> None:
    response = Softener().response(torch.tensor([[0.5]]), 8)[0, 0].abs()
    expected = [math.cos(math.pi * k / 8) for k in range(5)]
    np.testing.assert_allclose(response, expected, atol=1e-6)


def test_the_page_holds_this_code_and_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.read_text()
    for kind in (Saturation, Softener):
        assert inspect.getsource(kind) in page
    monkeypatch.chdir(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL))
    exec(compile(code, str(PAGE), "exec"), {})
