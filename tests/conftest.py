"""Fixtures that all tests share: the real recordings and consoles, where a checkout has them."""

import os
import signal
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: threads that spin would starve the others
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(threads, "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# A shell starts its background jobs with SIGINT ignored, and children inherit that. Tests send it to themselves and to
# their children, which get the default back where this process has a handler of its own.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
LONG_FILES = ("tests/test_docs.py", "tests/mining/test_mine_collection.py", "tests/processors/test_laws.py")
"""Files that take longest, in that order: they start first, so that no worker is left alone with one at the end."""
PLAIN_FOLDERS = ("tests/graph", "tests/songs", "tests/audio", "tests/plots")
"""Tests that render little: they come next, so that two workers do not compile the same loops at the same time."""


def pytest_configure(config: pytest.Config) -> None:
    """Files are handed out in the order of the collection, not with the smallest last."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_sessionstart() -> None:
    """Workers compile together what all of them need."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        from tests.compiled_loops import compile_loops

        compile_loops(backwards=int(worker.removeprefix("gw")) % 2 == 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {ROOT / name: number for number, name in enumerate((*LONG_FILES, *PLAIN_FOLDERS))}

    def order(item: pytest.Item) -> int:
        return min((place[path] for path in (item.path, *item.path.parents) if path in place), default=len(place))

    items.sort(key=order)


def _shared() -> Path | None:
    root = Path(__file__).resolve().parent.parent
    candidates = [Path(os.environ["GRAPHMIX_SHARED"])] if "GRAPHMIX_SHARED" in os.environ else []
    candidates += [root.parent / "shared", root / "shared"]
    return next((folder for folder in candidates if (folder / "audio").is_dir()), None)


@pytest.fixture(scope="session")
def shared_audio() -> Path:
    folder = _shared()
    if folder is None:
        pytest.skip("the real recordings are not beside this checkout")
    return folder / "audio"


@pytest.fixture(scope="session")
def shared_consoles() -> Path:
    folder = _shared()
    if folder is None or not (folder / "consoles").is_dir():
        pytest.skip("the real consoles are not beside this checkout")
    return folder / "consoles"


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
