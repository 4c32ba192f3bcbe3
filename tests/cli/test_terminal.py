"""Output in any encoding, with any name; no warning of a library on the terminal."""

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from graphmix.cli import main
from graphmix.cli.terminal import say, write_any_text
from graphmix.graph.storage import load_graph, save_graph
from tests.small_song import write_tiny_song

NAMES = "Größe → 作品 – 🎸"


PROGRAM = """
import json, sys
from graphmix.cli import main

for arguments in json.loads(sys.argv[1]):
    sys.argv = ["graphmix", *arguments]
    try:
        main()
    except SystemExit as end:
        print(f"status {end.code or 0}: {arguments[0]}", flush=True)
"""
"""Runs commands one after another in a process that has the encoding of its output from the environment."""


def run(*commands: list[object], encoding: str = "utf-8") -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONWARNINGS": "always"}
    arguments = json.dumps([list(map(str, command)) for command in commands])
    command = [sys.executable, "-c", PROGRAM, arguments]
    return subprocess.run(command, capture_output=True, check=False, env=environment, timeout=600)


@pytest.fixture
def named_song(tmp_path: Path) -> Path:
    """A song whose folder, track and name are in no single-byte encoding."""
    folder = write_tiny_song(tmp_path / NAMES)
    description = folder / "song.json"
    description.write_text(description.read_text().replace('"tiny"', f'"{NAMES}"'), encoding="utf-8")
    return folder


QUICK = ("--help", "check", "songs", "show", "plot", "render")
"""The commands of the default suite; the slow part has all of them."""


@pytest.mark.parametrize(
    ("encoding", "commands"),
    [("ascii", QUICK), *(pytest.param(encoding, None, marks=pytest.mark.slow) for encoding in ("ascii", "cp1252"))],
    ids=["ascii", "ascii, all commands", "cp1252, all commands"],
)
def test_commands_print_in_any_encoding(
    named_song: Path, graph_file: Path, tmp_path: Path, encoding: str, commands: tuple[str, ...] | None
) -> None:
    graph = load_graph(graph_file)
    graph.info = replace(graph.info, provenance={"song": NAMES})
    renamed = save_graph(graph, tmp_path / f"{NAMES}.json")
    budget = ["--device", "cpu", "--chain", "g", "--steps", 1, "--rounds", 0]
    good: list[list[object]] = [
        ["--help"],
        ["check", named_song],
        ["songs", tmp_path],
        ["mine", named_song, "--out", tmp_path / "out", *budget, "--no-report"],
        ["mine-all", tmp_path, "--out", tmp_path / "all", "--workers", 0, *budget],
        ["show", renamed],
        ["plot", renamed, "-o", tmp_path / f"{NAMES}.svg"],
        ["render", renamed, named_song, "-o", tmp_path / f"{NAMES}.wav"],
        ["predict", named_song, "-o", tmp_path / "predicted", "--model", "sum", "--device", "cpu", "--no-report"],
        ["evaluate", "sum", "--songs", named_song, "--device", "cpu"],
        ["stats", tmp_path / "out", "--out", tmp_path / f"{NAMES} statistics"],
    ]
    good = [command for command in good if commands is None or command[0] in commands]
    done = run(*good, ["dance"], ["check", tmp_path / "→"], encoding=encoding)
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    statuses = [line for line in out.splitlines() if line.startswith("status ")]
    assert statuses == [*(f"status 0: {command[0]}" for command in good), "status 2: dance", "status 2: check"], err
    assert out.count("Gr\\xf6\\xdfe -> " if encoding == "ascii" else "Größe -> ") > (5 if commands is None else 2)
    assert "->" in err
    assert not re.search("Warning|Traceback", err)


def test_characters_are_replaced_by_what_is_customary_in_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    write_any_text()
    say(Console(file=stream), "a → b … ρ 0.5 – ⠋ é 作 \udce9 [x]")
    stream.flush()
    assert raw.getvalue().decode() == "a -> b ... rho 0.5 - * \\xe9 \\u4f5c \\xe9 [x]\n"


def test_names_that_are_no_unicode_are_printed_escaped_in_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8")
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(sys, "argv", ["graphmix", "check", os.fsdecode(b"caf\xe9")])
    with pytest.raises(SystemExit) as end:
        main()
    stream.flush()
    assert end.value.code == 2
    assert b"caf\\xe9 does not exist" in raw.getvalue()
