"""Tests of datasets make use of the random graphs of other tests."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path += [str(TESTS / "graph"), str(TESTS / "render")]
