"""The allocator setting: it takes effect where the allocator is glibc's, in a process of its own."""

import os
import platform
import subprocess
import sys

import pytest

from graphmix.processes import device_name, give_back_memory, keep_memory, wait_asleep

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


KEPT = """
import torch
from graphmix.processes import give_back_memory, keep_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6
keep_memory()
first = resident()
signals = [torch.ones(1_000_000) for _ in range(100)]
last = torch.ones(1000)
del signals
kept = resident() - first
give_back_memory()
print(kept, resident() - first)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_memory_that_is_kept_can_be_given_back() -> None:
    output = subprocess.run([sys.executable, "-c", KEPT], check=True, capture_output=True, text=True).stdout
    kept, left = map(float, output.split())
    assert kept > 350, "100 signals of 4 MB stay with the process"
    assert left < 50


def test_another_system_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_memory()
    give_back_memory()


@pytest.mark.parametrize("own", ["", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_threads_wait_asleep_unless_the_user_decides(monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY"):
        monkeypatch.delenv(name, raising=False)
    if own:
        monkeypatch.setenv(own, "7")
    wait_asleep()
    assert os.environ.get("OMP_WAIT_POLICY") == {"": "passive", "OMP_WAIT_POLICY": "7"}.get(own)


COMMAND = """
import os, sys
from graphmix.cli import main
loaded = "torch" in sys.modules
sys.argv = ["graphmix", "--version"]
try:
    main()
except SystemExit:
    print(loaded, os.environ.get("OMP_WAIT_POLICY"))
"""


def test_the_command_line_lets_threads_sleep_and_does_so_before_torch_is_loaded() -> None:
    waiting = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
    environment = {name: value for name, value in os.environ.items() if name not in waiting}
    done = subprocess.run([sys.executable, "-c", COMMAND], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == "False passive"


@pytest.mark.parametrize(("name", "device"), [("gpu", "cuda"), ("GPU:1", "cuda:1"), ("cpu", "cpu"), ("auto", "auto")])
def test_a_gpu_is_called_cuda(name: str, device: str) -> None:
    assert device_name(name) == device
