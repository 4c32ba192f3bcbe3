"""The budget of a search: amounts in words, and what the system and control groups leave."""

from pathlib import Path

import pytest

from graphmix import memory as memory_module
from graphmix.errors import SearchError
from graphmix.memory import GB, LEAST_BYTES, USUAL_BYTES, Memory, free_bytes, parse_memory, say_memory, usual_memory


@pytest.mark.parametrize(
    ("text", "amount"),
    [("4GB", 4 * GB), ("1.5 GiB", 3 << 29), ("800mb", 8 * 10**8), ("2G", 2 * GB), (" 1 TB ", 10**12)],
)
def test_amounts_have_a_unit(text: str, amount: int) -> None:
    assert parse_memory(text).budget == amount


@pytest.mark.parametrize("text", ["4", "much", "GB", "-4GB", "4 PB", "nanGB", "1e3GB", ""])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(SearchError, match="give an amount with its unit, such as 4GB") as caught:
        parse_memory(text)
    assert repr(text) in str(caught.value)


def test_too_little_is_refused() -> None:
    with pytest.raises(SearchError, match="give 250MB or more"):
        parse_memory("10MB")


def test_the_parts_leave_room_in_the_budget() -> None:
    memory = Memory(GB)
    assert memory.song + memory.targets + memory.caches + memory.differences <= GB


@pytest.mark.parametrize(
    ("free", "processes", "budget"),
    [(6 * GB, 1, 3 * GB), (64 * GB, 1, USUAL_BYTES), (6 * GB, 3, GB), (0, 1, LEAST_BYTES)],
)
def test_the_usual_budget_follows_what_is_free(free: int, processes: int, budget: int) -> None:
    assert usual_memory(free, processes).budget == budget


def test_a_song_on_disk_is_said() -> None:
    assert say_memory(Memory(GB), 3 * GB, 1_440_000_000).endswith("; the decoded song, 1.4 GB, is kept on disk")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """8 GB available, and a process in the group /jobs/one of version 2."""
    (tmp_path / "meminfo").write_text("MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n")
    (tmp_path / "group").write_text("0::/jobs/one\n")
    (tmp_path / "groups" / "jobs" / "one").mkdir(parents=True)
    monkeypatch.setattr(memory_module, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory_module, "_OWN_GROUP", tmp_path / "group")
    monkeypatch.setattr(memory_module, "_GROUPS", tmp_path / "groups")
    return tmp_path / "groups"


def limit(group: Path, most: str, used: int, cached: int) -> None:
    (group / "memory.max").write_text(f"{most}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon {used - cached}\ninactive_file {cached}\n")


def test_without_limits_the_system_decides(machine: Path) -> None:
    limit(machine / "jobs" / "one", "max", 10, 0)
    assert free_bytes() == 8_000_000 * 1024


def test_a_limit_of_a_group_around_counts_and_cached_files_do_not(machine: Path) -> None:
    limit(machine / "jobs" / "one", str(5 * GB), 3 * GB, GB)
    limit(machine / "jobs", str(4 * GB), 3 * GB, GB // 2)
    assert free_bytes() == 4 * GB - 3 * GB + GB // 2


def test_groups_of_version_1_count(machine: Path) -> None:
    machine.parent.joinpath("group").write_text("5:cpu:/jobs\n3:memory:/jobs/one\n")
    group = machine / "memory" / "jobs" / "one"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text(str(2 * GB))
    (group / "memory.usage_in_bytes").write_text(str(GB))
    (group / "memory.stat").write_text("total_inactive_file 1000\n")
    assert free_bytes() == GB + 1000


def test_a_system_without_these_files_says_something() -> None:
    assert free_bytes() > 0
