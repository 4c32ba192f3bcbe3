"""One small mined song with its page, and a browser, for all tests of the report."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graphmix.report import write_report
from tests.cli.conftest import program as program
from tests.small_song import SETTINGS, mine_without_plots, write_small_song

CHROMIUM = next((found for name in ("chromium", "chromium-browser") if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def song_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_song(tmp_path_factory.mktemp("report") / "song")


@pytest.fixture(scope="session")
def mined(song_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a mined song: equalizers and gains, two rounds."""
    folder = tmp_path_factory.mktemp("report-run") / "mined"
    mine_without_plots(song_folder, folder, replace(SETTINGS, steps=2, round_steps=1), device="cpu")
    return folder


@pytest.fixture(scope="session")
def report(mined: Path) -> Path:
    """Its page."""
    return write_report(mined)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium; on Debian: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="there is no playwright; pip install playwright")
    with api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield opened
        opened.close()
