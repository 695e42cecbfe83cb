"""Runs that are killed and gone on with: helpers of their tests."""

import jax
import numpy as np
import pytest


def quick(cases, *names):
    """The cases as parameters, of which all but these are slow for what they add."""
    return [
        pytest.param(case, id=name, marks=() if name in names else pytest.mark.slow)
        for name, case in cases.items()
    ]


class Killed(Exception):  # noqa: N818
    """What ends a run as abruptly as an exception can."""


def killing(at, state, _=None):
    if int(state.step) == at:
        raise Killed


def bits(tree):
    leaves = [raw(leaf) for leaf in jax.tree.leaves(tree)]
    return [(leaf.dtype.name, leaf.shape, leaf.tobytes()) for leaf in leaves]


def raw(leaf):
    keys = jax.dtypes.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if keys else leaf)


def assert_same(actual, expected):
    """The same state and the same history, in type, shape and bits."""
    (state, history), (due, record) = actual, expected
    assert jax.tree.structure(state) == jax.tree.structure(due)
    assert bits(state) == bits(due)
    for name, value in vars(record).items():
        is_array = isinstance(value, np.ndarray)
        assert type(getattr(history, name)) is type(value), name
        assert bits(getattr(history, name)) == bits(value) if is_array else True, name
        assert is_array or getattr(history, name) == value, name


def steps_in(folder):
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def files_of(checkpoint):
    return sorted(path for path in checkpoint.rglob("*") if path.is_file())


def arrays_of(checkpoint):
    """The largest file, which holds the arrays."""
    return max(files_of(checkpoint), key=lambda path: path.stat().st_size)


def description_of(checkpoint):
    return checkpoint / "description" / "metadata"


def truncated(checkpoint):
    path = arrays_of(checkpoint)
    path.write_bytes(path.read_bytes()[:-100])


def rewritten(old, new, checkpoint):
    path = description_of(checkpoint)
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new, 1))
