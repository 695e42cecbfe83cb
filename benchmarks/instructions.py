"""The processor's own count of instructions, where the system lets us read it (Linux: `perf`)."""

import ctypes
import os
import platform
import struct
from collections.abc import Callable
from pathlib import Path

CALL = {"x86_64": 298, "aarch64": 241}.get(platform.machine(), -1)  # perf_event_open
HARDWARE, INSTRUCTIONS = 0, 1
FLAGS = 1 << 1 | 1 << 5 | 1 << 6  # threads started later too; not the kernel, nor a hypervisor


def counted(run: Callable[[], float], kind: int = HARDWARE, event: int = INSTRUCTIONS) -> float:
    """Calls `run`, and returns how many instructions all threads of this process took.

    Raises:
        OSError: The system does not count them, or does not let us read them.
    """
    counters: list[int] = []
    try:
        for task in Path("/proc/self/task").iterdir():  # one by one: any of them may be refused
            counters += [_opened(int(task.name), kind, event)]
        before = [_read(counter) for counter in counters]
        run()
        return sum(map(_read, counters)) - sum(before)
    finally:
        for counter in counters:
            os.close(counter)


def refusal() -> str | None:
    """Says why instructions cannot be counted here; None if they can."""
    try:
        counted(float)
    except OSError as error:
        return f"instructions cannot be counted here: {error.strerror}"
    return None


def _opened(thread: int, kind: int, event: int) -> int:
    size = 64  # the first version of struct perf_event_attr
    attributes = struct.pack("IIQQQQQIIQ", kind, size, event, 0, 0, 0, FLAGS, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(CALL, ctypes.create_string_buffer(attributes), thread, -1, -1, 0)
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def _read(counter: int) -> int:
    return int.from_bytes(os.read(counter, 8), "little")
