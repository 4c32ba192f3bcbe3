"""The allocator setting: it takes effect where the allocator is glibc's, in a process of its own."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from graphmix import keep_memory
kept = keep_memory()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(4_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(int(kept), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_freed_memory_is_used_again_without_page_faults() -> None:
    output = subprocess.run([sys.executable, "-c", FAULTS], check=True, capture_output=True, text=True).stdout
    kept, faults = map(int, output.split())
    assert kept == 1
    assert faults < 1000, "20 tensors of 16 MB are 80,000 pages"


def test_another_system_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphmix.processes import keep_memory

    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_memory()
