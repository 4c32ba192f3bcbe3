"""The allocator of the process: keep freed memory instead of returning it to the system.

Rendering allocates and frees signals of megabytes at a high rate. glibc maps each one anew and unmaps it after use, so
that the system fills every page with zeros again; these page faults can take longer than the arithmetic.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_TOP_PAD_BYTES = 64 * 2**20


def keep_memory() -> bool:
    """Tell glibc to keep freed memory for the next allocation; for the whole process, and until its end.

    The command line does so. A library must not change its host's allocator unasked: call this yourself in a
    script that renders much. The resident memory of the process then stays near its peak.

    Returns:
        Whether the allocator took the setting; False where it is not glibc's.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, _TOP_PAD_BYTES))
    return all(mallopt(option, value) == 1 for option, value in settings)
