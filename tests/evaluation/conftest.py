"""The tiny songbook, written once."""

from pathlib import Path

import pytest

from tests.training.tiny_songbook import write_tiny_songbook


@pytest.fixture(scope="session")
def songbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_songbook(tmp_path_factory.mktemp("songbook"))
