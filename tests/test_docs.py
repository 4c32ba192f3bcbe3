"""The pages agree with the code: tables, links, and blocks that say they run.

Names of the package and paths of its files, in pages, tutorials, docstrings and comments, exist.

A block whose fence is ``python runnable`` is executed, those of one page in order in one namespace and an empty
folder; a ``text`` block that follows it directly is what it prints.
"""

import ast
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import fields
from functools import cache
from io import StringIO
from pathlib import Path
from pkgutil import resolve_name
from shutil import copytree
from typing import Any

import pytest

from graphmix.processors import LTIProcessor, MatrixProcessor, Processor, Rack
from graphmix.search import PRESETS, SearchSettings
from graphmix.songbook.demo import DEMO_SETTINGS, write_demo_song
from graphmix.spec import Exponential, Linear, ParameterSpec
from graphmix.synthesizers import SYNTHESIZERS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "tutorials/README.md",
    *sorted((ROOT / "datasets").glob("*.md")),
]
RUNNABLE = re.compile(r"^```python runnable\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.M | re.S)
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href|srcset)=\"([^\"]+)\"")


def table(page: str, heading: str) -> list[list[str]]:
    """Cells of the table whose first column is headed so, without header and backticks."""
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |".replace("|  |", "| |")))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    return rows


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


# --- processors


DOCUMENTED = [*Rack.full()]


def domain(processor: Processor) -> str:
    if isinstance(processor, LTIProcessor):
        return "LTI"
    return "matrix" if isinstance(processor, MatrixProcessor) else "general"


def test_the_page_lists_every_processor_with_its_letter_domain_and_ports() -> None:
    shown = [row[:5] for row in table("processors.md", "letter")]
    expected = []
    for p in DOCUMENTED:
        t = p.node_type
        expected.append([t.letter, t.name, domain(p), ", ".join(t.inlets), ", ".join(t.outlets)])
    assert shown == expected


def test_the_notes_say_which_processors_are_gain_staged_and_start_dry() -> None:
    for row, p in zip(table("processors.md", "letter"), DOCUMENTED, strict=True):
        assert ("gain-staged" in row[-1]) == p.gain_staged, row
        assert (f"starts at wet {p.start_wet:g}" in row[-1]) == (p.start_wet < 1), row


MAPPED_TOGETHER = {
    ("delay", "delay_ms"): "complex z",
    ("delay", "radius"): "complex z",
    ("gain", "gain_db"): "level, balance",
    ("send", "gain_db"): "level, balance",
}
"""Parameters whose raw numbers are not those of a curve, one by one."""


def shown_curve(parameter: ParameterSpec) -> str:
    match parameter.curve:
        case Linear(unit):
            return f"value / {unit:.4g}" if unit != 1 else "value"
        case Exponential():
            return "ln of the value"
    return "?"


def test_the_page_lists_every_parameter_with_its_unit_range_and_neutral_value() -> None:
    expected = []
    for p in DOCUMENTED:
        for q in p.node_type.parameters:
            raw = MAPPED_TOGETHER.get((p.node_type.name, q.name), shown_curve(q))
            values = [str(q.size), q.unit or "–", f"{q.low:g} to {q.high:g}", f"{q.neutral:g}", raw]
            expected.append([p.node_type.name, q.name, *values])
    assert table("processors.md", "processor") == expected


def test_the_page_of_synthesizers_lists_their_node_types_and_parameters() -> None:
    types = Rack.generators().types
    rows = [[t.letter, t.name, ", ".join(t.inlets) or "none", ", ".join(t.outlets)] for t in types]
    assert [row[:4] for row in table("synthesizers.md", "letter")] == rows
    expected = []
    for t in types:
        for q in t.parameters:
            raw = shown_curve(q)
            values = [str(q.size), q.unit or "–", f"{q.low:g} to {q.high:g}", f"{q.neutral:g}", raw]
            expected.append([t.name, q.name, *values])
    assert table("synthesizers.md", "type") == expected
    shown = {row[0]: int(row[1]) for row in table("synthesizers.md", "name")}
    assert shown == {name: len(synthesizer.parameters) for name, synthesizer in SYNTHESIZERS.items()}


def test_the_page_says_how_counts_change_with_the_sample_rate() -> None:
    shown = {row[0]: [int(cell) for cell in row[1:]] for row in table("processors.md", " | 30 kHz")}
    racks = [Rack.standard(rate) for rate in (30000, 44100, 48000)]
    attributes: dict[str, tuple[str, str]] = {
        "equalizer: taps": ("equalizer", "taps"),
        "crossover: taps": ("crossover", "taps"),
        "delay: samples between taps": ("delay", "segment"),
        "delay: taps of each filter": ("delay", "filter_taps"),
        "reverb: STFT size": ("reverb", "n_fft"),
        "reverb: samples": ("reverb", "samples"),
    }
    expected = {row: [getattr(rack[name], key) for rack in racks] for row, (name, key) in attributes.items()}
    for name in ("equalizer", "delay", "reverb"):
        expected[f"{name}: values in all"] = [rack[name].node_type.width for rack in racks]
    assert shown == expected


# --- settings


def shown_value(value: Any) -> str:
    return str(value) if isinstance(value, str | bool) else f"{value:g}"


def test_the_page_lists_the_settings_of_every_preset() -> None:
    presets = PRESETS["draft"], PRESETS["paper"], DEMO_SETTINGS
    names = [field.name for field in fields(SearchSettings)]
    expected = [[name, *(shown_value(getattr(preset, name)) for preset in presets)] for name in names]
    assert table("search.md", "setting | draft") == expected


def test_the_quickstart_states_the_budget_of_every_preset() -> None:
    for row in table("quickstart.md", "preset"):
        preset = PRESETS[row[0].split()[0]]
        total = preset.steps + preset.rounds * preset.round_steps
        assert row[1:4] == [str(preset.steps), f"{preset.rounds} × {preset.round_steps}", str(total)]


def test_the_quickstart_states_the_budget_of_the_demo() -> None:
    total = DEMO_SETTINGS.steps + DEMO_SETTINGS.rounds * DEMO_SETTINGS.round_steps
    assert f"The search makes {total} gradient steps" in (ROOT / "docs/quickstart.md").read_text(encoding="utf-8")


# --- blocks


@pytest.fixture(scope="module")
def demo_song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written once: several pages begin with it."""
    return write_demo_song(tmp_path_factory.mktemp("demo") / "song")


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_runnable_blocks_execute_and_print_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": page.stem}
    text = page.read_text(encoding="utf-8")
    if any("write_demo_song" in found[1] for found in RUNNABLE.finditer(text)):
        demo = request.getfixturevalue("demo_song")
        monkeypatch.setattr("graphmix.songbook.demo.write_demo_song", lambda folder: Path(copytree(demo, folder)))
    for number, found in enumerate(RUNNABLE.finditer(text), start=1):
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(found[1], f"{relative(page)}, runnable block {number}", "exec"), namespace)
        if found[2] is not None:
            assert printed.getvalue().strip("\n") == found[2].strip("\n"), f"output of block {number}"


# --- links


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    for first, second in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        target = first or second
        if not re.match(r"[a-z]+:", target):
            yield target


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=relative)
def test_relative_links_lead_to_files_and_headings(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), f"{relative(page)} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{relative(page)} links to {link}"


# --- names and paths

SOURCES = [path for folder in ("graphmix", "benchmarks", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]
TEXTS = [*PAGES, *OTHERS, *sorted((ROOT / "tutorials").glob("*.ipynb")), *SOURCES]
DOTTED = re.compile(r"(?<![\w./-])graphmix(?:\.[A-Za-z_]\w*)+")
FILE_ENDINGS = ("html", "json", "log", "md", "png", "py", "safetensors", "toml")
FILE = re.compile(
    r"(?<![\w./-])(?:graphmix|benchmarks|tests|datasets|docs|tutorials)/[\w/.-]*\.(?:py|pyi|md|ipynb|toml|png)\b"
)
ROLE = re.compile(r":(?:mod|class|func|meth|attr|data|obj|exc):`~?(?:[^`<]*<)?([^`<>]+)>?`")


@cache
def defined_names() -> set[str]:
    """All that any file of the package, the benchmarks or the tests defines, and the modules themselves."""
    names = {part for path in SOURCES for part in path.relative_to(ROOT).with_suffix("").parts}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.ClassDef(name) | ast.FunctionDef(name):
                    names.add(name)
                case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                    names.add(name)
    return names


def is_importable(name: str) -> bool:
    """Whether a dotted name leads to a module or to something in one; attributes of objects count by name."""
    *owner, last = name.split(".")
    try:
        resolve_name(name)
    except ImportError:
        return False
    except AttributeError:
        return isinstance(resolve_name(".".join(owner)), type) and last in defined_names()
    return True


def test_names_of_the_package_and_paths_in_texts_exist() -> None:
    wrong = []
    for path in TEXTS:
        text = path.read_text(encoding="utf-8")
        names = set(DOTTED.findall(text))
        wrong += [(relative(path), n) for n in names if not n.endswith(FILE_ENDINGS) and not is_importable(n)]
        wrong += [(relative(path), file) for file in set(FILE.findall(text)) if not (ROOT / file).exists()]
    assert not wrong


def test_references_in_docstrings_lead_to_names_that_are_defined() -> None:
    wrong = []
    for path in SOURCES:
        for target in ROLE.findall(path.read_text(encoding="utf-8")):
            parts = re.sub(r"\s|\(.*", "", target).strip(".").split(".")
            if not set(parts) <= defined_names() and not is_importable(".".join(parts)):
                wrong.append((relative(path), target))
    assert not wrong
