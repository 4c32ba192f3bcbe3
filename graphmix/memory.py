"""How much memory a search may take, and what each part of it gets.

What is free is what the system says could be allocated without swapping, or less where a control group (a container,
a batch system) allows less. A search takes half of that, but no more than 4 GB, which are enough for a song of usual
length; ``--memory`` asks for another amount. The budget holds for what can be made smaller: decoded audio, targets,
render caches. What a training step needs depends on the console alone: 1 to 2 GB for 8 to 32 tracks.
"""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from graphmix.errors import SearchError

GB = 10**9
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": GB, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
"""Prefixes of byte, lower case."""
LEAST_BYTES = GB // 4
"""A smaller budget than that is refused: a program that does nothing takes as much."""
USUAL_BYTES = 4 * GB
"""A search takes no more unless it is asked to."""
USUAL_SHARE = 0.5
"""Of what is free."""
_MEMINFO = Path("/proc/meminfo")
_OWN_GROUP = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Memory:
    """A budget in bytes, and its parts.

    The shares leave a quarter to what a trial needs besides.
    """

    budget: int = USUAL_BYTES

    @property
    def song(self) -> int:
        """For the decoded song; one that is larger goes to a file."""
        return self.budget // 4

    @property
    def targets(self) -> int:
        """For what the loss keeps of the mix's segments."""
        return self.budget // 16

    @property
    def caches(self) -> int:
        """For the render caches of a pruning round."""
        return 7 * self.budget // 16

    @property
    def differences(self) -> int:
        """For what the last trial changed, in all render caches."""
        return self.budget // 8


def parse_memory(text: str) -> Memory:
    """A budget from an amount with its unit.

    Raises:
        SearchError: no amount, no unit, or too little.

    >>> parse_memory("4GB").budget, parse_memory("1.5 GiB").budget
    (4000000000, 1610612736)
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)b?\s*", text.lower())
    if match is None:
        raise SearchError(f"memory is {text!r}: give an amount with its unit, such as 4GB or 1500MB.")
    amount = round(float(match[1]) * UNITS[match[2]])
    if amount < LEAST_BYTES:
        raise SearchError(f"memory is {text!r}: give {LEAST_BYTES // 10**6}MB or more.")
    return Memory(amount)


def usual_memory(free: int | None = None, processes: int = 1) -> Memory:
    """What a search takes unless it is asked for another amount.

    Args:
        free: bytes; what is free now by default.
        processes: that share it.
    """
    free = free_bytes() if free is None else free
    return Memory(max(LEAST_BYTES, min(USUAL_BYTES, int(USUAL_SHARE * free / processes))))


def free_bytes() -> int:
    """Bytes that this process may still allocate: by the system, and by its control group."""
    return max(0, min(_free_of_system(), _free_of_group()))


def say_memory(memory: Memory, free: int, stored: int = 0) -> str:
    """The budget in one line.

    Args:
        memory: the budget.
        free: bytes.
        stored: bytes of a decoded song that is kept in a file.

    >>> say_memory(Memory(), 11 * GB)
    'memory: 4.0 GB of 11.0 GB that are free'
    """
    where = f"; the decoded song, {stored / GB:.1f} GB, is kept on disk" if stored else ""
    return f"memory: {memory.budget / GB:.1f} GB of {free / GB:.1f} GB that are free{where}"


def _free_of_system() -> int:
    """What Linux calls available; elsewhere half of what is built in."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", _MEMINFO.read_text(), re.MULTILINE)
        if found is not None:
            return int(found[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


def _free_of_group() -> int:
    """What is left below the limit of the process's control group or of one around it; files that are cached count as
    free."""
    try:
        lines = _OWN_GROUP.read_text().splitlines()
    except OSError:
        return sys.maxsize
    free = sys.maxsize
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers not in ("", "memory") and "memory" not in controllers.split(","):
            continue
        root = _GROUPS if not controllers else _GROUPS / "memory"
        folder = root / name.lstrip("/")
        for place in (folder, *folder.parents):
            free = min(free, _left_in(place))
            if place == root:
                break
    return free


def _left_in(folder: Path) -> int:
    """What is left in one control group, of version 2 or 1."""
    for limit, used, cached in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            most = (folder / limit).read_text().strip()
            if most == "max":
                return sys.maxsize
            taken = int((folder / used).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            return int(most) - taken + int(statistics.get(cached, 0))
        except (OSError, ValueError):
            continue
    return sys.maxsize
