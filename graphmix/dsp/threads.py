"""Threads of compiled loops: no more than there is work for, as each of them is waited for."""

from collections.abc import Iterator
from contextlib import contextmanager

import numba


@contextmanager
def at_most(jobs: int) -> Iterator[None]:
    """Compiled loops within start so many threads at most: on a busy machine an idle one delays all."""
    threads = numba.get_num_threads()
    numba.set_num_threads(max(1, min(threads, jobs)))
    try:
        yield
    finally:
        numba.set_num_threads(threads)
