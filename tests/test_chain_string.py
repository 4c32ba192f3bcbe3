import pytest

from graphmix.chain_string import join_chain, split_chain
from graphmix.errors import GraphError
from graphmix.graph import MixGraph, mixing_console
from graphmix.graph.tables import describe_graph
from graphmix.processors import Processor, Rack
from graphmix.spec import NodeType, ParameterSpec, TypeTable, choice


class Nameless(Processor):
    """A processor without a letter."""

    def __init__(self, sample_rate: int = 30000, name: str = "long_name") -> None:
        super().__init__(sample_rate)
        amount = ParameterSpec("amount", 1, "", 0.0, 1.0, 0.0)
        self.node_type = NodeType(name, "", (amount, choice("colour", ("dark", "light"), "light")))

    def forward(self, audio, params):  # type: ignore[no-untyped-def]
        """As it is."""
        return audio


@pytest.mark.parametrize(
    ("chain", "kinds"),
    [
        ("", []),
        ("ecg", ["e", "c", "g"]),
        ("e[parametric_eq]cg", ["e", "parametric_eq", "c", "g"]),
        ("[a_b][c_d]", ["a_b", "c_d"]),
    ],
)
def test_a_chain_is_split_and_joined(chain: str, kinds: list[str]) -> None:
    assert split_chain(chain) == kinds
    assert join_chain(kinds) == chain


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("e[parametric_eq", r"place 2 of master chain 'e\[parametric_eq' is not closed"),
        ("[a[b]]", "place 1 of master chain .* is not closed"),
        ("e]c", r"place 2 of master chain 'e\]c' closes nothing"),
        ("ec[]", r"place 3 of master chain 'ec\[\]' are empty"),
    ],
)
def test_brackets_without_a_name_are_refused(chain: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        split_chain(chain, "master chain")


def test_what_is_no_string_is_refused() -> None:
    with pytest.raises(GraphError, match="chain is a list"):
        split_chain(["e"])  # type: ignore[arg-type]


def test_a_console_takes_names_in_brackets_and_letters_in_any_order() -> None:
    rack = Rack.console("e[long_name]c[gain]", extra=[Nameless()])
    assert rack.names == ("equalizer", "long_name", "compressor", "gain")
    console = mixing_console(rack, {"band": ["voice"]}, "g[long_name]e", master="[long_name]", sends="")
    kinds = [console.type_of(node).name for node in range(console.node_type.numel())]
    strip = ["gain", "long_name", "equalizer"]
    assert kinds == ["in", *strip, "mix", *strip, "long_name", "out"]


def test_an_unknown_name_is_named_with_all_that_there_is() -> None:
    with pytest.raises(
        GraphError, match=r"unknown name 'parametric' in chain 'e\[parametric\]'.*e equalizer, .*\[long"
    ):
        Rack.console("e[parametric]", extra=[Nameless()])
    with pytest.raises(GraphError, match=r"name 'other' at place 2 of chain 'g\[other\]' is none of: g gain, \[long_"):
        mixing_console(Rack.console("g[long_name]", extra=[Nameless()]), {"": ["a"]}, "g[other]")


def test_two_types_may_have_no_letter_and_none_is_found_by_an_empty_one() -> None:
    table = TypeTable((Nameless().node_type, Nameless(name="b").node_type))
    assert table.index("b") == 1
    with pytest.raises(KeyError, match=r"\[long_name\], \[b\]"):
        table.index("")


def test_a_bracket_is_no_letter() -> None:
    processor = Nameless()
    processor.node_type = NodeType("wrong", "[")
    with pytest.raises(GraphError, match="encloses names"):
        Rack([processor])


def test_a_type_without_letter_is_shown_by_its_name_and_its_choices_by_theirs() -> None:
    graph = MixGraph(Rack([Nameless()]).types)
    graph.chain(graph.add("in"), graph.add("long_name", colour="dark"), graph.add("out"))
    (row,) = describe_graph(graph)[0].processors
    assert (row.type.label, row.type.mark, row.type.token) == ("[long_name]", "ln", "[long_name]")
    assert row.settings == "amount 0, colour dark"
    assert row.numbers["colour"] == "dark"
    with pytest.raises(GraphError, match="colour cannot be 'red'; it takes: dark, light"):
        graph.add("long_name", colour="red")
