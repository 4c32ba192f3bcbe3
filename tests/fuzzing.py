"""Files from strangers: how sound ones are damaged, and how thousands of them are loaded in one limited process.

A script beside the tests of a kind of file makes damaged ones of it and calls :func:`load_all`; the test runs it
as a process of its own by :func:`run_script`, since its memory is limited.
"""

import json
import os
import random
import resource
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 30
"""Of the processor for one file; a few are normal."""
MEMORY_BYTES = 3 << 29  # 1.5 GiB beyond what Python and PyTorch take
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3.5, -0.0, 10**12, 2**31, 2**63, 2**64, 10**400, -(10**12), 1e308, 1e39,
    float("nan"), float("inf"), float("-inf"), "", "x", "inf", "nan", "in", "out", "../../x", "/etc/passwd", "\0",
    "\ud800", "x" * 5000, [], {}, [[]], [0] * 2000, [None], {"": {}}, {"kind": "linear", "unit": 0},
    {"kind": "exponential"},
)  # fmt: skip


def limit_memory() -> None:
    """Let allocations beyond what is needed fail."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# --- damage


def damage_bytes(content: bytes, rng: random.Random) -> bytes:
    """Cut, flip, overwrite, remove, repeat or insert."""
    place, length = rng.randrange(len(content) + 1), rng.choice([1, 2, 8, 64, 1000])
    if rng.random() < 0.5:  # most of what matters is near the beginning
        place = min(place, rng.randrange(3000))
    match rng.randrange(6):
        case 0:
            return content[:place]
        case 1:
            flipped = bytearray(content)
            for _ in range(rng.choice([1, 1, 2, 8])):
                at = min(place + rng.randrange(length), len(flipped) - 1)
                flipped[at] ^= 1 << rng.randrange(8)
            return bytes(flipped)
        case 2:
            return content[:place] + rng.randbytes(length) + content[place + length :]
        case 3:
            return content[:place] + content[place + length :]
        case 4:
            return content[:place] + content[place : place + length] * 2 + content[place + length :]
    return content[:place] + rng.randbytes(length) + content[place:]


def damage_value(value: Any, rng: random.Random) -> Any:
    """One entry of a JSON value replaced, removed, repeated or exchanged."""
    value = json.loads(json.dumps(value))
    parent, key = None, None
    place: Any = value
    while isinstance(place, (dict, list)) and place and (parent is None or rng.random() < 0.75):
        parent = place
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        place = place[key]
    if parent is None:
        return rng.choice(NASTY)
    match rng.randrange(8):
        case 0 | 1 | 2 | 3:
            parent[key] = rng.choice(NASTY)
        case 4:
            del parent[key]
        case 5 if isinstance(parent, list):
            parent.extend([place] * rng.choice([1, 2, 300]))
        case 5:
            parent["more" + str(rng.randrange(9))] = place
        case 6:
            parent[key] = [place]
        case _:
            others = list(parent) if isinstance(parent, dict) else range(len(parent))
            other = rng.choice(list(others))
            parent[key], parent[other] = parent[other], parent[key]
    return value


def damage_text(text: str, rng: random.Random, free: str = "provenance") -> bytes:
    """Deep, doubled, huge, or in another encoding; ``free`` is the key of an object that holds anything."""
    match rng.randrange(5):
        case 0:
            return text.replace("[", "[" * rng.choice([2, 500, 2000, 50_000]), 1).encode()
        case 1:
            return text.replace("{", '{"nodes": [], "types": 3, "source": 1, "graph": "..", ', 1).encode()
        case 2:
            deep = '{"a":' * (depth := rng.choice([10, 900, 1500])) + "1" + "}" * depth
            return text.replace(f'"{free}": {{', f'"{free}": {{"deep": {deep}, ', 1).encode()
        case 3:
            return text.replace("0", "9" * rng.choice([10, 400, 5000]), rng.choice([1, 2])).encode()
    return text.encode(rng.choice(["utf-16", "utf-8-sig", "utf-32"]))


def damage_header(content: bytes, rng: random.Random, key: str = "graphmix") -> bytes:
    """A tensor file whose header says something else, while its length fits again; ``key`` has the inner JSON text."""
    (size,) = struct.unpack("<Q", content[:8])
    outer = json.loads(content[8 : 8 + size])
    if rng.random() < 0.5:
        inner = json.loads(outer["__metadata__"][key])
        outer["__metadata__"][key] = dumps(damage_value(inner, rng))
    elif rng.random() < 0.5:
        name = rng.choice([name for name in outer if name != "__metadata__"])
        outer[name] = damage_tensor(outer[name], rng)
    else:
        outer = damage_value(outer, rng)
    new = dumps(outer).encode("utf-8", "surrogatepass")
    length = len(new) if rng.random() < 0.95 else rng.choice([0, 1, 2**32, 2**63, 2**64 - 1, len(new) + 5])
    return struct.pack("<Q", length) + new + content[8 + size :]


def damage_tensor(entry: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    entry = json.loads(json.dumps(entry))
    begin, end = entry["data_offsets"]
    match rng.randrange(5):
        case 0:
            entry["dtype"] = rng.choice(["F64", "I32", "BOOL", "F8_E4M3", "F4", "BF16", "U64", "C64", "?", "F8_E8M0"])
        case 1:
            entry["shape"] = rng.choice(
                [[10**12], [0, 2**62], [2**63, 0], [2**64, 0], [], [1] * 100, [-1], [0], [10**12, 2]]
            )
        case 2:
            entry["data_offsets"] = rng.choice([[0, 0], [end, begin], [begin, 10**12], [0, 2**63], [-1, 5], [0]])
        case 3:  # the same bytes as other numbers
            entry["dtype"], entry["shape"] = "U8", [end - begin]
        case _:
            entry["shape"] = entry["shape"][::-1]
    return entry


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=bool(hash(str(value)[:9]) % 2))


# --- the run

Job = tuple[str, Callable[[Path], Any], Iterable[Path], type[Exception]]
"""A kind of files, what loads one, the files, and the error that a bad one raises."""


def damaged(content: bytes, ending: str, rng: random.Random, key: str = "graphmix", free: str = "provenance") -> bytes:
    """A file of tensors or of JSON, damaged in one of the ways above."""
    if rng.random() < 0.4:
        return damage_bytes(content, rng)
    if ending == ".safetensors":
        return damage_header(content, rng, key)
    if rng.random() < 0.7:
        return dumps(damage_value(json.loads(content), rng)).encode("utf-8", "surrogatepass")
    return damage_text(content.decode(), rng, free)


def absurd_tensor_files(folder: Path) -> Iterator[Path]:
    """Tensor files that are small, or take no room, and claim to be enormous."""
    sparse = folder / "sparse.safetensors"
    entry = {"dtype": "I64", "shape": [10**12 // 8], "data_offsets": [0, 10**12]}
    head = json.dumps({"node_type": entry}).encode()
    with open(sparse, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head)
        file.truncate(8 + len(head) + 10**12)
    yield sparse
    for size in (10**12, 2**40, 2**63, 2**64 - 1):
        path = folder / "header.safetensors"
        path.write_bytes(struct.pack("<Q", size) + b"{}")
        yield path


def absurd_text_files(folder: Path, ending: str) -> Iterator[Path]:
    """JSON files that are enormous, or deep, or have millions of entries."""
    path = folder / f"huge{ending}"
    with open(path, "wb") as file:
        file.truncate(10**12)
    yield path
    path.unlink()
    path = folder / f"deep{ending}"
    path.write_bytes(b"[" * 30_000_000)
    yield path
    path.write_bytes(b'{"nodes":[' + b"[]," * 11_000_000 + b"0]}")
    yield path


def some_of(absurd: Iterator[Path], count: int) -> Iterator[Path]:
    """All absurd files beside a thousand others and more, else every third: they take most of the time."""
    return absurd if count >= 1000 else islice(absurd, 0, None, 3)


def load_all(folder: Path, jobs: Iterable[Job]) -> dict[str, Any]:
    """Load all files in little memory, and say what became of them."""
    result: dict[str, Any] = {"others": [], "longest_message": 0, "slowest": 0.0, "slowest_file": ""}
    limit_memory()
    before = peak_bytes()
    for kind, load, paths, expected in jobs:
        result[kind] = {"loaded": 0, "refused": 0}
        for path in paths:
            started = time.process_time()
            try:
                load(path)
                result[kind]["loaded"] += 1
            except expected as error:
                result[kind]["refused"] += 1
                result["longest_message"] = max(result["longest_message"], len(str(error)))
            except BaseException:
                kept = folder / f"kept{len(result['others'])}-{path.name}"
                if path.is_file() and path.stat().st_size < 1 << 20:
                    kept.write_bytes(path.read_bytes())
                result["others"].append(f"{kept}: {traceback.format_exc()[-1500:]}")
            seconds = time.process_time() - started
            if seconds > result["slowest"]:
                result["slowest"], result["slowest_file"] = seconds, path.name
    return {**result, "grown_bytes": peak_bytes() - before}


def run_script(script: Path, folder: Path, count: int, seed: int) -> dict[str, Any]:
    """What a script that ends in :func:`load_all` prints."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "ignore", str(script), str(folder), str(count), str(seed)]
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def check_bounds(result: dict[str, Any]) -> None:
    """No other error, no long message, in bounded time and memory."""
    assert result["others"] == []
    assert result["longest_message"] < 1500
    assert result["slowest"] < SECONDS, result["slowest_file"]
    assert result["grown_bytes"] < MEMORY_BYTES


def check_what_is_no_file(folder: Path, ending: str, load: Callable[[Any], Any], error: type[Exception]) -> None:
    """A pipe, an endless device and an impossible name are refused in one sentence, without waiting."""
    pipe = folder / f"pipe{ending}"
    os.mkfifo(pipe)
    endless = folder / f"zero{ending}"
    endless.symlink_to("/dev/zero")
    for path in (pipe, endless):
        with pytest.raises(error, match=r"cannot load .*: it is no regular file\."):
            load(path)
    with pytest.raises(error, match="there is no such file"):
        load(f"a\0b{ending}")
