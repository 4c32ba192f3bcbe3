"""The page's scripts parse, and are listed."""

import os
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from graphmix.report.page import SCRIPTS

STATIC = Path(str(files("graphmix.report") / "static"))


def test_every_script_of_the_folder_is_in_the_page() -> None:
    assert sorted(path.name for path in STATIC.glob("*.js")) == sorted(SCRIPTS)


def test_scripts_parse() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to parse scripts with")
    for name in SCRIPTS:
        checked = subprocess.run([node, "--check", str(STATIC / name)], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_scripts_are_linted() -> None:
    eslint = os.environ.get("GRAPHMIX_ESLINT") or shutil.which("eslint")
    if eslint is None:
        pytest.skip("there is no eslint: npm install -g eslint, or set GRAPHMIX_ESLINT to it")
    config = Path(__file__).with_name("eslint.config.mjs")
    command = [eslint, "--no-config-lookup", "--config", str(config), "."]
    checked = subprocess.run(command, cwd=STATIC, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
