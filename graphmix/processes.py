"""What graphmix sets in a process that it owns: threads, the allocator, and a worker's end with its driver's.

Importing this module loads neither torch nor numba, so that :func:`start_worker` can set the number of threads before
they start theirs.

Rendering allocates and frees signals of megabytes at a high rate. glibc maps each one again and unmaps it after use, so
that the system fills every page with zeros each time; these page faults can take longer than the arithmetic.
"""

import ctypes
import os
import sys
import threading
import warnings
from collections.abc import Callable

WAIT_POLICY = "OMP_WAIT_POLICY"
"""The OpenMP variable that says whether threads which wait for one another spin or sleep."""
_WAITING = (WAIT_POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
"""Variables by which a user may have decided about that."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 64 * 2**20


def keep_memory() -> bool:
    """Tell glibc to keep freed memory for the next allocation; for the whole process, and until its end.

    The command line does so. A library must not change its host's allocator unasked: call this yourself in a
    script that renders much. The resident memory of the process then stays near its peak.

    Returns:
        Whether the allocator took the setting; False where it is not glibc's.
    """
    mallopt = _of_glibc("mallopt")
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, _TOP_PAD_BYTES))
    return mallopt is not None and all(mallopt(option, value) == 1 for option, value in settings)


def give_back_memory() -> None:
    """Return freed memory to the system, between two parts of a computation that need blocks of different sizes.

    What one part leaves behind is of little use to the next, and a process that keeps it grows from part to part.
    """
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of the allocator; None where that is not glibc's."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        function: Callable[..., int] = getattr(ctypes.CDLL("libc.so.6"), name)
    except (OSError, AttributeError):
        return None
    return function


def device_name(name: str) -> str:
    """The name of a device as torch writes it: ``gpu`` is ``cuda``, with or without a number.

    >>> device_name("gpu:1"), device_name("cpu")
    ('cuda:1', 'cpu')
    """
    kind, colon, number = name.strip().lower().partition(":")
    return f"{'cuda' if kind == 'gpu' else kind}{colon}{number}"


def wait_asleep() -> bool:
    """Let OpenMP threads sleep while they wait for one another, in this process and in those that it starts.

    By default they spin. As soon as another program needs a core, the thread on that core is suspended while the others
    spin until it returns, at every barrier. Asleep, they cost a few percent where the machine is quiet and much less
    where it is not; ``benchmarks/busy.py`` measures both. A variable that the user has set decides.

    Returns:
        Whether the setting takes effect: OpenMP reads it once, when torch is loaded.
    """
    if not any(name in os.environ for name in _WAITING):
        os.environ[WAIT_POLICY] = "passive"
    return "torch" not in sys.modules


def prepare_program() -> None:
    """Set what the command line sets for its own process, before torch is loaded: threads, allocator, warnings."""
    wait_asleep()
    ignore_foreign_warnings()
    keep_memory()


def ignore_foreign_warnings() -> None:
    """Leave out warnings that are meant for the developers of other libraries."""
    warnings.filterwarnings("ignore", message=".*torch.jit.script.*")  # torch to the authors of PyTorch Geometric


def start_worker(threads: int) -> None:
    """Prepare a process to mine: threads, allocator, and an end with its driver's."""
    wait_asleep()
    for name in THREAD_VARIABLES:
        os.environ[name] = str(threads)
    if "numba" not in sys.modules:  # it refuses another number once its threads run
        os.environ["NUMBA_NUM_THREADS"] = str(threads)
    threading.Thread(target=_end_with_driver, daemon=True).start()
    prepare_to_render(threads)


def prepare_to_render(threads: int) -> None:
    """Set the threads of libraries that are loaded already, and the allocator."""
    ignore_foreign_warnings()
    import numba
    import torch

    torch.set_num_threads(threads)
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    keep_memory()


def _end_with_driver() -> None:
    """End at once when the driver is gone, even by SIGKILL: nothing would receive the result."""
    import multiprocessing
    from multiprocessing.connection import wait

    driver = multiprocessing.parent_process()
    if driver is not None:
        wait([driver.sentinel])
        os._exit(1)
