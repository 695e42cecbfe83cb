"""What identifies a run: texts and digests of everything that decides its bits."""

import hashlib
import os
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import jax
import jaxlib
import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import shown
from jaxpercep.keeping import Run

PROGRAM = "program"


def identity(run: Run) -> dict[str, str]:
    """Returns name -> text, without the program; the same run has the same in another process."""
    return {
        "function": run.function,
        **{name: _words(value) for name, value in run.settings.items()},
        **{name: digest(tree) for name, tree in run.arrays.items()},
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "devices": f"{jax.device_count()} of {jax.devices()[0].device_kind}",
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
    }


def difference(was: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Returns in words what differs between two runs; nothing if they are the same.

    A program that differs is worth a word only if nothing that has a name does.
    """
    names = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    named = [name for name in names if name != PROGRAM]
    if names and not named:
        return "the update is another: its optimizer, or a function inside of model or loss"
    return "; ".join(
        f"{name} was {_short(was.get(name))}, is {_short(now.get(name))}" for name in named
    )


def program_digest(text: str) -> str:
    """Returns a checksum of a StableHLO module in which functions are known by what they do.

    The program stands for what has no name of its own: the optimizer with its learning rate, and
    the functions inside of the model and the loss. How many copies of a function there are, and so
    their names, depends on what the process has traced before.
    """
    bodies = dict(re.findall(r"^  func\.func \w+ @([\w.]+)(.*?)^  }$", text, re.M | re.S))

    @cache
    def of(name: str) -> str:
        body = re.sub(r"@([\w.]+)", lambda m: of(m[1]) if m[1] in bodies else m[0], bodies[name])
        return hashlib.sha256(body.encode()).hexdigest()

    return of("main")


def raw(leaf: Any) -> NDArray[Any]:
    """Returns the numbers of an array; of random keys, their data."""
    if jax.dtypes.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)


def digest(tree: Any) -> str:
    """Returns the type and shape of each array, and a checksum of the bytes of all."""
    checksum = hashlib.sha256()
    forms: list[str] = []
    for path, leaf in jax.tree.leaves_with_path(tree):
        array = raw(leaf)
        forms.append(f"{getattr(leaf, 'dtype', array.dtype)}{list(array.shape)}")
        checksum.update(f"{jax.tree_util.keystr(path)} {forms[-1]};".encode())
        checksum.update(array.tobytes())
    return f"{', '.join(forms)} of sha256 {checksum.hexdigest()[:16]}" if forms else "None"


def _words(value: Any) -> str:
    """The `repr` without the addresses of functions, which are others in each process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _short(text: str | None) -> str:
    return "missing" if text is None else shown(text)[1:-1] or "empty"
