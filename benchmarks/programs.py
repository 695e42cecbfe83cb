"""Counts that do not drift: what XLA has compiled for a method, by its own account.

They are read from the executables themselves, so that a method whose program is compiled inside a
call, as that of `jp.fit`, is counted as well. Two versions of XLA compile one function differently:
all of these counts are comparable within a version only.
"""

import re
import sys
from collections.abc import Iterable
from typing import Any

from benchmarks.results import Program

# Reading an argument, naming a result: nothing is dispatched for these.
FREE = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}

_HEADER = re.compile(r"^(ENTRY )?%?([\w.-]+) .*\{$")
_OPCODE = re.compile(r"[\])}] ([a-z][\w-]*)\(")
_BODY = re.compile(r"body=%?([\w.-]+)")


def executables() -> list[Any]:
    """Lists the programs that this process has compiled and still holds; none without JAX."""
    if "jax" not in sys.modules:
        return []
    from jax.extend.backend import get_backend

    return get_backend("cpu").live_executables()


def largest(programs: Iterable[Any]) -> Program | None:
    """Counts the operations of each, and returns the program with the most; None without any."""
    found = [described(program) for program in programs]
    return max(found, key=lambda one: (one.operations + one.looped, one.bytes), default=None)


def described(executable: Any) -> Program:
    """Describes a program."""
    costs = executable.cost_analysis()
    text = "\n".join(module.to_string() for module in executable.hlo_modules())
    flops, moved = (int(costs.get(name, 0)) for name in ("flops", "bytes accessed"))
    return Program(*operations(text), flops, moved)


def operations(text: str) -> tuple[int, int]:
    """Counts the operations of a module's entry, and those of the bodies of its loops."""
    counts: dict[str, int] = {}
    bodies: list[str] = []
    entry = name = ""
    for line in text.splitlines():
        if header := _HEADER.match(line):
            name = header[2]
            entry = name if header[1] else entry
            counts[name] = 0
        elif " = " in line and (opcode := _OPCODE.search(line)):
            counts[name] += opcode[1] not in FREE
            bodies += _BODY.findall(line)
    return counts[entry], sum(counts[body] for body in bodies)
