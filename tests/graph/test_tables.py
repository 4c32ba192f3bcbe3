"""What a reader is shown: chains, and settings in a reader's units."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from rich.console import Console

from graphmix.graph import MixGraph, mixing_console
from graphmix.graph.tables import ChainRow, as_table, describe_graph
from graphmix.processors import MultitapDelay, Rack, Reverb
from graphmix.spec import NodeType, NodeTypes, ParameterSpec
from tests.graph.random_mixgraphs import TYPES, random_graphs


def settings_of(graph: MixGraph, node: int) -> str:
    """The settings of one processor, as they are shown."""
    return next(row.settings for chain in describe_graph(graph) for row in chain.processors if row.node == node)


def alone(letter: str, sample_rate: int = 30000, **parameters: object) -> str:
    """The settings of a single processor."""
    graph = MixGraph(Rack.standard(sample_rate).types, sample_rate)
    return settings_of(graph, graph.add(letter, **parameters))  # type: ignore[arg-type]


# --- chains


def test_a_console_is_shown_track_by_track_and_bus_by_bus() -> None:
    graph = mixing_console(NodeTypes(TYPES), {"drums": ["kick", "snare"], "band": ["bass"]}, "ab")
    chains = describe_graph(graph)
    assert [(chain.kind, chain.label) for chain in chains] == [
        ("track", "bass"),
        ("track", "kick"),
        ("track", "snare"),
        ("subgroup", "drums"),
        ("subgroup", "band"),
        ("output", "mix"),
    ]
    assert ["".join(row.type.letter for row in chain.processors) for chain in chains] == ["ab"] * 5 + [""]
    assert chains[0].inputs == ()
    assert chains[1].outputs == ("drums",)
    assert chains[3].inputs == ("batch_index_face 4", "batch_index_face 6")
    assert chains[5].inputs == tuple(f"batch_index_face {node}" for node in (11, 14))


def test_a_track_without_processors_and_a_muted_one_are_shown() -> None:
    graph = MixGraph(TYPES)
    graph.chain(graph.add("in", "bare"), graph.add("out"))
    graph.add("in", "muted")
    chains = describe_graph(graph)
    assert [(chain.label, chain.processors, chain.outputs) for chain in chains[:2]] == [
        ("bare", (), ("out 1",)),
        ("muted", (), ()),
    ]


def test_what_is_on_no_chain_is_shown_with_its_inputs() -> None:
    graph = MixGraph(TYPES)
    voice, split, duck, amp, out = (graph.add(kind) for kind in ("in", "split", "duck", "amp", "out"))
    graph.chain(voice, split).connect(split, duck, "low").connect(split, duck, "high", "sidechain")
    graph.chain(duck, amp, out)
    track, other, output = describe_graph(graph)
    assert [row.type.name for row in track.processors] == ["split"]
    assert track.outputs == ("duck 2.in", "duck 2.sidechain")
    assert (other.kind, other.label, other.inputs) == ("other", "duck 2", ("split 1.low", "split 1.high"))
    assert [row.type.name for row in other.processors] == ["duck", "amp"]
    assert output.inputs == ("amp 3",)


@settings(max_examples=60, deadline=None)
@given(random_graphs)
def test_every_node_of_any_graph_is_shown_once(graph: MixGraph) -> None:
    chains = describe_graph(graph)
    shown = [row.node for chain in chains for row in chain.processors]
    assert sorted(shown) == graph.processors.tolist()
    assert sum(chain.kind != "other" for chain in chains) == graph.num_nodes - len(shown)
    assert all(row.wet == pytest.approx(float(graph.wet[row.node])) for chain in chains for row in chain.processors)


def test_the_table_can_be_printed_whatever_the_names() -> None:
    rack = Rack.console()
    graph = mixing_console(rack, {"[red]bus[/]": ["kick [bold]", ""]})
    graph.wet[3] = 0.0123
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(as_table(graph))
    text = console.export_text()
    for expected in ("kick [bold] (track)", "[red]bus[/] (subgroup)", "e equalizer", "ratio 1:1", "1.23 %", "100 %"):
        assert expected in text


def test_the_table_numbers_every_node_so_that_messages_can_be_followed() -> None:
    graph = mixing_console(NodeTypes(TYPES), {"drums": ["kick", "snare"], "band": ["bass"]}, "ab")
    table = as_table(graph)
    numbers = [int(cell) for cell in table.columns[0].cells]
    assert table.columns[0].header == "node"
    assert sorted(numbers) == list(range(graph.num_nodes))
    wanted = chain_of(graph, "drums").outputs[0].split(" ")[-1]
    assert wanted == "mix"
    assert int(chain_of(graph, "drums").inputs[0].split(" ")[-1]) in numbers


def chain_of(graph: MixGraph, label: str) -> ChainRow:
    return next(chain for chain in describe_graph(graph) if chain.label == label)


def test_tracks_are_shown_in_the_order_of_the_song_whatever_their_subgroups() -> None:
    groups = {"vocals": ["10_choir.wav", "2_voice.wav"], "drums": ["1_kick.wav", "3_snare.wav"]}
    chains = describe_graph(mixing_console(NodeTypes(TYPES), groups, "a"))
    assert [chain.label for chain in chains] == [
        "1_kick.wav",
        "2_voice.wav",
        "3_snare.wav",
        "10_choir.wav",
        "vocals",
        "drums",
        "mix",
    ]


def test_the_empty_graph_has_no_chains() -> None:
    assert describe_graph(MixGraph(TYPES)) == []


# --- settings


def test_dynamics_are_shown_by_name_and_unit() -> None:
    text = alone("c", threshold_db=-21.33, ratio=3.1, knee_db=6, time_ms=12)
    assert text == "threshold -21.3 dB, ratio 3.1:1, knee 6 dB, time 12 ms"
    text = alone("C", threshold_db=-9, ratio=4, knee_db=0.5, attack_ms=0.25, release_ms=1234)
    assert text == "threshold -9 dB, ratio 4:1, knee 0.5 dB, attack 0.25 ms, release 1234 ms"


def test_levels_are_shown_for_left_and_right() -> None:
    assert alone("g", gain_db=[-3.21, -1]) == "L -3.2 dB R -1.0 dB"
    assert alone("s", side_db=-12) == "side -12 dB"
    assert alone("x", frequency_hz=[200, 2000]) == "frequency 200, 2000 Hz"


def test_an_equalizer_is_shown_by_octaves() -> None:
    taps = 2047
    frequency = np.arange(1024) * 30000 / taps
    gain = np.where((frequency > 707.1) & (frequency < 1414.3), 6.0, -1.0)
    text = alone("e", gain_db=gain.tolist())
    assert text == "63 -1.0  125 -1.0  250 -1.0  500 -1.0  1k +6.0  2k -1.0  4k -1.0  8k -1.0 dB"
    assert alone("e", 8000).endswith("1k +0.0  2k +0.0 dB"), "half the sample rate is no band's center"
    assert alone("e", 32001).endswith("8k +0.0  16k +0.0 dB")
    assert alone("e", 44100).endswith("16k +0.0 dB")


def test_a_sloping_equalizer_shows_the_mean_of_each_band() -> None:
    frequency = np.arange(1024) * 30000 / 2047
    shown = [float(part.split(" ")[1]) for part in alone("e", gain_db=(frequency / 1000).tolist())[:-3].split("  ")]
    centers = 1000 * 2.0 ** np.arange(-4, 4)
    expected = (centers * (2**0.5 + 0.5**0.5) / 2) / 1000  # a line's mean is its value in the middle
    assert shown[:8] == pytest.approx(expected, abs=0.06)


@torch.no_grad()
def test_the_strongest_taps_of_a_delay_are_those_of_its_response() -> None:
    delay = MultitapDelay()
    spec = {p.name: p for p in delay.node_type.parameters}
    delay_ms = (100 * np.arange(20) + 50.0).tolist() * 2
    filter_db = np.full((2, 20, delay.bins), -60.0)
    filter_db[0, 3], filter_db[1, 1], filter_db[1, 8] = -6, 0, -12
    values = {"delay_ms": delay_ms, "filter_db": filter_db.flatten().tolist()}
    text = alone("d", **values)
    row = delay.node_type.neutral()[None]
    for name, value in values.items():
        row[:, delay.node_type.columns(name)] = torch.tensor(value).expand(spec[name].size)
    response = delay.impulse_response(row)[0]
    expected = []
    for channel, place in ((1, 1), (0, 3), (1, 8)):
        peak = response[channel, place * 3000 : (place + 1) * 3000].abs().max()
        expected.append(f"{'LR'[channel]} {100 * place + 50} ms {20 * peak.log10():+.1f} dB")
    assert text == ", ".join(expected)


@torch.no_grad()
def test_the_reverb_is_shown_as_its_response_decays() -> None:
    reverb = Reverb()
    bands = reverb.bands
    frequency = np.arange(bands) * 15000 / bands
    decay = np.select([frequency < 250, frequency < 4000], [-30.0, -60.0], -120.0)
    initial = np.concatenate([np.zeros(bands), np.full(bands, -6.0)])
    values = {"initial_db": initial.tolist(), "decay_db_per_s": np.tile(decay, 2).tolist()}
    text = alone("r", **values)
    assert text.startswith("RT60 low 2.00 s, mid 1.00 s, high 0.50 s; side ")
    shown = float(text.split("side ")[1].split(" dB")[0])
    assert shown == pytest.approx(-6, abs=0.05)
    row = torch.cat([torch.tensor(value) for value in values.values()])[None].float()
    left, right = reverb.impulse_response(row)[0]
    energy = [(left + right).square().sum(), (left - right).square().sum()]
    assert 10 * float(torch.log10(energy[1] / energy[0])) == pytest.approx(shown, abs=1)  # noise is noisy


def test_a_reverb_without_decay_has_no_time() -> None:
    assert alone("r", decay_db_per_s=0.0) == "RT60 low > 60 s, mid > 60 s, high > 60 s; side +0.0 dB to mid"


def test_types_that_are_not_known_are_shown_plainly() -> None:
    node_type = NodeType(
        "phaser",
        "p",
        (
            ParameterSpec("rate_hz", 1, "Hz", 0.0, 20.0, 0.3),
            ParameterSpec("depth", 2, "", 0.0, 1.0, 0.5),
            ParameterSpec("shape", 9, "", -1e6, 1e6, 0.0),
        ),
    )
    graph = MixGraph([node_type])
    node = graph.add("p", depth=[0.25, 1], shape=list(range(-4, 5)))
    assert settings_of(graph, node) == "rate 0.3 Hz, depth 0.25, 1, shape -4 to 4 (9 values, mean 0)"


def test_a_namesake_with_other_parameters_is_shown_plainly() -> None:
    graph = MixGraph([NodeType("reverb", "r", (ParameterSpec("size_m", 1, "m", 1.0, 99.0, 9.0),))])
    assert settings_of(graph, graph.add("r")) == "size 9 m"


def test_a_type_without_parameters_has_no_settings() -> None:
    graph = MixGraph(TYPES)
    assert settings_of(graph, graph.add("plain")) == ""
