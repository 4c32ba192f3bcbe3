"""The page's scripts parse, and are listed."""

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
