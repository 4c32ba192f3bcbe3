"""What a reader is shown: chains, and settings in a reader's units."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from rich.console import Console

from graphmix.graph import MixGraph, mixing_console
from graphmix.graph.tables import ChainRow, Reduction, as_plain, as_table, describe_graph
from graphmix.processors import MultitapDelay, Rack, Reverb
from graphmix.processors.align import Align
from graphmix.spec import NodeType, NodeTypes, ParameterSpec
from tests.graph.random_mixgraphs import TYPES, random_graphs


def settings_of(graph: MixGraph, node: int) -> str:
    """The settings of one processor, as they are shown."""
    return next(row.settings for chain in describe_graph(graph) for row in chain.processors if row.node == node)


def one_of(letter: str, sample_rate: int = 30000, **parameters: object) -> MixGraph:
    """A graph of a single processor."""
    graph = MixGraph(Rack.standard(sample_rate).types, sample_rate)
    graph.add(letter, **parameters)  # type: ignore[arg-type]
    return graph


def alone(letter: str, sample_rate: int = 30000, **parameters: object) -> str:
    """The settings of a single processor."""
    return settings_of(one_of(letter, sample_rate, **parameters), 0)


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


def test_left_and_right_gains_are_a_fader_and_a_pan() -> None:
    assert alone("g", gain_db=[-3.0, -3.0]) == "fader -3.0 dB, pan centre"
    assert alone("g", gain_db=[3.0103, -120]) == "fader +0.0 dB, pan L 100"
    assert alone("g", gain_db=[-120, 3.0103]) == "fader +0.0 dB, pan R 100"
    angle = np.pi / 4 * 1.5  # half way to the right
    left, right = 20 * np.log10(np.sqrt(2) * np.array([np.cos(angle), np.sin(angle)])) - 6
    assert alone("g", gain_db=[left, right]) == "fader -6.0 dB, pan R 50"


def test_what_sounds_is_shown_where_a_weight_is_not_folded_in() -> None:
    assert alone("g", gain_db=[-6.9, -6.9], wet=0.345) == "fader -1.8 dB, pan centre"
    assert alone("s", side_db=-120, wet=0.5) == "width 50 % (side -6.0 dB)"
    rows = [row for chain in describe_graph(one_of("g", wet=0.345)) for row in chain.processors]
    assert rows[0].folded


def test_width_and_corners() -> None:
    assert alone("s", side_db=-12) == "width 25 % (side -12.0 dB)"
    assert alone("x", frequency_hz=[200, 2000]) == "splits at 200 Hz, 2.0 kHz"


def test_an_equalizer_is_shown_by_named_bands_and_what_stands_out() -> None:
    frequency = np.arange(1024) * 30000 / 2047
    gain = np.select([frequency < 120, frequency < 500, frequency < 2000, frequency < 6000], [-4.0, -1, 0, 2], 3)
    bands = "low -4.0, low-mid -1.1, mid +0.0, high-mid +2.0, high +3.0 dB"
    assert alone("e", gain_db=gain.tolist()) == bands, "gains are 15 Hz apart, with lines between"
    bell = gain + np.where((frequency > 870) & (frequency < 1150), 9.0, 0)
    assert alone("e", gain_db=bell.tolist()).endswith("; boost +9.0 dB at 1.0 kHz")
    notch = gain - np.where((frequency > 2750) & (frequency < 3650), 12.0, 0)
    assert alone("e", gain_db=notch.tolist()).endswith("; cut -10.0 dB at 3.2 kHz")
    assert alone("e", 8000) == "low +0.0, low-mid +0.0, mid +0.0, high-mid +0.0 dB", "bands end at half the rate"


def test_a_time_and_a_polarity() -> None:
    graph = MixGraph([Align().node_type])
    moved, still = graph.add("align", delay_ms=7.332, polarity=-1.0), graph.add("align")
    assert settings_of(graph, moved) == "7.33 ms later, polarity inverted"
    assert settings_of(graph, still) == "in place"


def test_what_a_compressor_takes_off_is_shown_where_it_was_measured() -> None:
    graph = one_of("c")
    (node,) = graph.processors.tolist()
    rows = [r for chain in describe_graph(graph, {node: Reduction(2.14, 7.9)}) for r in chain.processors]
    assert rows[0].settings.endswith("; takes off 2.1 dB on average, 7.9 dB at most")
    assert rows[0].numbers["takes_off_most_db"] == 7.9


def test_tracks_come_in_the_order_that_the_song_had() -> None:
    graph = mixing_console(NodeTypes(TYPES), {"all": ["a", "b", "c"]}, "a")
    graph.info = replace(graph.info, provenance={"tracks": ["c", "a", "b"]})
    assert [chain.label for chain in describe_graph(graph) if chain.kind == "track"] == ["c", "a", "b"]


def test_the_plain_form_is_json_with_units_in_its_names() -> None:
    graph = one_of("g", gain_db=[-120, 3.0103])
    plain = json.loads(json.dumps(as_plain(graph)))
    (row,) = [row for chain in plain["chains"] for row in chain["processors"]]
    assert row["pan_percent"] == pytest.approx(100, abs=0.01)
    assert row["fader_db"] == pytest.approx(0, abs=0.01)


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
    echoes, feedback = text.split("; feedback ")
    assert echoes == ", ".join(expected)
    assert float(feedback.removesuffix(" dB")) < 0
    half = alone("d", wet=0.5, **values)
    assert half.startswith(echoes), "as loud as the dry signal"


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
    assert "; wet -6.0 dB to dry; side" in alone("r", decay_db_per_s=-60.0, wet=1 / 3)


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
