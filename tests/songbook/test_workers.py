"""Workers of a songbook on a machine where nothing is compiled yet."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from graphmix.processes import start_worker


def compile_something(_: int) -> tuple[int, int]:
    """Threads of numba, and what a function gives that is compiled now, after its threads are there."""
    import numba

    numba.set_num_threads(1)  # starts the threads
    compiled = numba.njit(lambda x: x + 1)
    return numba.get_num_threads(), int(compiled(1))


def test_a_worker_may_compile_after_its_threads_are_there() -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=start_worker, initargs=(1,)) as pool:
        assert pool.submit(compile_something, 0).result(timeout=120) == (1, 2)
