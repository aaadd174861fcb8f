"""Memory that a process frees and soon asks for again.

PyTorch's tensors on a CPU come from the C library, which hands large ones back to the kernel as soon as they are freed;
at the next step the kernel fills the same pages with zeros once more. Keeping them takes 2 to 12 % off a training.
"""

import ctypes

# Parameters of mallopt(3), from malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST, _KEPT = 32 * 2**20, 2**30


def keep_freed_memory() -> bool:
    """Let this process keep up to 1 GiB that it has freed, in pieces of up to 32 MiB; no result depends on it.

    Returns whether the C library can be told so: glibc can.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library; on Windows a library needs a name
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST) and mallopt(_M_TRIM_THRESHOLD, _KEPT))
