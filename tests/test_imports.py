"""Imports run one way, and importing graphmix loads nothing heavy that it may not need."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import graphmix

PACKAGE = Path(graphmix.__file__).parent
GROUND = {"chain_string", "errors", "io", "locks", "memory", "processes", "progress", "runs", "settings", "text"}
"""Chains, errors, files, folders of runs, memory, …: may be used by all, and use each other alone."""
ALLOWED = {
    **dict.fromkeys(GROUND, GROUND),
    "spec": set(),
    "dsp": set(),
    "processors": {*GROUND, "spec", "dsp"},
    "graph": {*GROUND, "spec"},
    "audio": GROUND,
}
"""What each part may import at the top of its modules, beside itself."""
ABOVE = (
    ("render", "plots"), ("rewrite",), ("sessions",), ("search",), ("songs",), ("songbook",), ("mining",),
    ("datasets",), ("models",), ("training",), ("evaluation",), ("capture",), ("synthesizers",), ("separation",),
    ("report",), ("cli",),
)  # fmt: skip
"""Each of these may import all of :data:`ALLOWED` and those before it."""
for floor in ABOVE:
    below = set(ALLOWED)
    ALLOWED |= {part: {*below, *floor} for part in floor}
ENTRY = {"__init__": set(ALLOWED) - {"cli"}, "__main__": {"cli"}}
HEAVY = ("matplotlib", "torchaudio", "ray")


def imported_parts(module: Path) -> Iterator[tuple[int, str]]:
    """(line, part of graphmix) of each import outside of functions."""
    pending: list[ast.AST] = [ast.parse(module.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.name}:{node.lineno} imports relatively; name the package"
            inside = node.module == "graphmix"
            names = [f"graphmix.{alias.name}" for alias in node.names] if inside else [node.module or ""]
        else:
            names = []
        for name in names:
            if name.startswith("graphmix.") and name != "graphmix.__version__":
                yield node.lineno, name.split(".")[1]
        pending.extend(ast.iter_child_nodes(node))


def part_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = sorted(PACKAGE.rglob("*.py"))


def test_imports_run_one_way() -> None:
    wrong = []
    for module in MODULES:
        part = part_of(module)
        allowed = {**ALLOWED, **ENTRY}
        assert part in allowed, f"{part} is new; give it a place in this test"
        wrong += [
            f"{module.relative_to(PACKAGE)}:{line} imports {other}; graphmix.{part} may import {sorted(allowed[part])}"
            for line, other in imported_parts(module)
            if other not in {part, *allowed[part]}
        ]
    assert not wrong


def test_the_parser_sees_imports_at_the_top_and_in_classes_but_not_in_functions(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "import torch\nfrom graphmix import plots\nimport graphmix.dsp.fft\n"
        "if torch:\n    from graphmix.graph import x\n"
        "class A:\n    from graphmix.cli.app import main\n    def f(self):\n        from graphmix.search import fit\n"
    )
    assert sorted(imported_parts(module)) == [(2, "plots"), (3, "dsp"), (5, "graph"), (7, "cli")]


def test_importing_graphmix_loads_no_plots_audio_library_or_cluster() -> None:
    code = f"""
import sys
import graphmix, graphmix.graph, graphmix.processors, graphmix.render
print([name for name in {HEAVY} if name in sys.modules])
import graphmix.plots
assert "matplotlib.pyplot" not in sys.modules
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
