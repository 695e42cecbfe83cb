"""A candidate is instrumented without a change of what it computes; every value is told."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpercep.compare.candidate.compiled import Compiled
from jaxpercep.compare.candidate.eager import Eager, same
from jaxpercep.compare.candidate.grammar import derivatives, edits, tidy
from jaxpercep.compare.candidate.instrument import Instrument
from jaxpercep.compare.candidate.instrumented import Instrumented
from jaxpercep.compare.candidate.record import Recorder
from jaxpercep.compare.candidate.source import Home, UnreadableError
from jaxpercep.compare.candidate.twins import Twins
from jaxpercep.compare.evaluation.trees import Leaves

A = np.linspace(-1.0, 2.0, 12).reshape(3, 4)
offset = 0.5


def helper(a, *, scale=2.0):
    return a * scale + offset


def augmented(a):
    b = a.copy()
    b += 1.0
    b[0] *= 2.0
    b[1:, ::2] -= a[1:, ::2]
    np.add.at(b, [0, 0, 2], 1.5)
    np.multiply(b, 2.0, out=b)
    box = {"b": b}
    box["b"] -= 3.0
    return b + box["b"]


def comprehensions(a):
    rows = [helper(row, scale=i) for i, row in enumerate(a)]
    named = {i: row.sum() for i, row in enumerate(rows) if row.any()}
    return np.stack(rows) * sum(value for value in named.values())


def nested(a):
    total = np.zeros(a.shape[1])

    def add(row, weight=offset):
        nonlocal total
        total = total + weight * row
        return lambda x: x + total

    last = [add(row) for row in a][-1]
    return (y := last(a)) * y if a.any() else a


def statements(a):
    try:
        for row in a:
            if row[0] > 1.9:
                continue
            while True:
                break
        with np.errstate(all="ignore"):
            (b, *_), c = a, f"{a.sum():.3f}"
    except ValueError:
        return a
    else:
        match a.ndim:
            case 2 if b.any():
                return b[None] * float(c)
            case _:
                return a


class Base:
    def shift(self, a):
        return a + 1.0


class Net(Base):
    def __init__(self, slope):
        self.__slope = slope
        self.count = 0.0

    def shift(self, a):
        self.count += 1.0
        return super().shift(a) * self.__slope

    def __call__(self, a):
        return self.shift(a) - Base.shift(self, a) * self.count


@jax.jit
def jitted(a):
    return jnp.tanh(a) * 2.0


def traced(a):
    def step(carry, row):
        carry = carry + jnp.sin(row)
        return carry, carry * 2.0

    last, rows = jax.lax.scan(step, jnp.zeros(4), jnp.asarray(a))
    return jax.vmap(lambda row: jnp.tanh(row) + last)(rows) + jitted(a)


def recursive(a, depth=3):
    return recursive(np.tanh(a), depth - 1) + a if depth else a


LANGUAGE = {
    "recursive": recursive,
    "augmented": augmented,
    "comprehensions": comprehensions,
    "nested": nested,
    "statements": statements,
    "method": Net(0.3).shift,
    "object": Net(0.3),
    "partial": functools.partial(helper, scale=3.0),
    "lambda": (lambda a: a * 2.0, lambda a: a * 3.0)[1],
    "jitted": jitted,
    "traced": traced,
}


def instrumented(function, hook=None):
    recorder = Recorder()
    instrument = Instrument()

    def tell(number, value):
        return twins.of(value) if callable(value) else recorder.tell(number, value)

    twins = Twins(Home(__file__), instrument, hook or tell)
    return twins.root(function), recorder, instrument.sites


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", list(LANGUAGE))
def test_the_twin_of_a_function_computes_the_same_bit_by_bit(name):
    function = LANGUAGE[name]
    twin, recorder, _ = instrumented(function)
    with jax.disable_jit():
        if isinstance(getattr(function, "__self__", function), Net):
            getattr(function, "__self__", function).count = 0.0
        expected = function(A.copy())
        if isinstance(getattr(function, "__self__", function), Net):
            getattr(function, "__self__", function).count = 0.0
        assert same([expected], [twin(A.copy())])
    assert recorder.values


def test_values_are_recorded_pass_by_pass_and_in_helpers_too():
    twin, recorder, sites = instrumented(comprehensions)
    twin(A)
    told = {(sites[key.site].text, key.turn): value for key, value in recorder.values.items()}
    for i, row in enumerate(A):
        np.testing.assert_array_equal(told["a * scale + offset", i], row * i + offset)
        np.testing.assert_array_equal(told["row.sum()", i], (row * i + offset).sum())


@pytest.mark.usefixtures("x64")
def test_inside_vmap_and_scan_values_are_told_too():
    twin, recorder, sites = instrumented(traced)
    with jax.disable_jit():
        twin(A)
    told = {(sites[key.site].text, key.turn): value for key, value in recorder.values.items()}
    rows = 2 * np.cumsum(np.sin(A), axis=0)
    np.testing.assert_allclose(told["carry * 2.0", 2], rows[2])
    np.testing.assert_allclose(told["jnp.tanh(row)", 0], np.tanh(rows))


def test_a_replaced_value_is_what_the_rest_is_computed_from():
    function = LANGUAGE["partial"]
    twin, recorder, sites = instrumented(function)
    twin(A)
    (key,) = (key for key in recorder.values if sites[key.site].text == "a * scale")
    replaced = Recorder({key: np.ones_like(A)}, recording=False)
    recorder.tell = replaced.tell
    np.testing.assert_array_equal(twin(A), 1.0 + offset)


@pytest.mark.usefixtures("x64")
def test_a_compiled_candidate_has_the_same_values_and_takes_others_in_their_place():
    candidate = Instrumented(lambda follow: follow(traced), Home(__file__))
    given = candidate, ((jnp.asarray(A),), (jnp.asarray(2 * A),)), Leaves((0,), ("",), ())
    compiled, eager = Compiled.of(given[0], traced, *given[1:]), Eager(*given)
    for where in (0, 1):
        some, others = compiled.values({}, where), eager.values({}, where)
        assert list(some) == list(others)
        jax.tree.map(np.testing.assert_allclose, list(some.values()), list(others.values()))
    sites = candidate.instrument.sites
    for text in ("jnp.sin(row)", "jnp.tanh(row)", "jitted(a)"):
        (key, *_) = (key for key in some if sites[key.site].text == text)
        replaced = {key: np.full(some[key].shape, 0.3)}
        np.testing.assert_allclose(compiled.answer(replaced, 1), eager.answer(replaced, 1))


@pytest.mark.usefixtures("x64")
def test_a_candidate_that_computes_something_else_when_it_is_told_is_not_compiled():
    candidate = Instrumented(lambda follow: follow(jitted), Home(__file__))
    given = ((jnp.asarray(A),), (jnp.asarray(A),)), Leaves((0,), ("",), ())
    assert Compiled.of(candidate, jitted, *given) is not None
    assert Compiled.of(candidate, lambda a: jnp.tanh(a) * 3.0, *given) is None


def module_of(path, text):
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_source_that_has_changed_or_is_missing_is_said_to_be(tmp_path):
    path = tmp_path / "changing.py"
    module = module_of(path, "def grads(a):\n    return a * 2.0\n")
    path.write_text("def grads(a):\n    return a * 3.0  # and a longer line\n")
    with pytest.raises(UnreadableError, match=r"changing\.py has changed since grads was imported"):
        instrumented(module.grads)
    namespace = {}
    exec("def grads(a):\n    return a * 2.0\n", namespace)
    with pytest.raises(UnreadableError, match=r"not available|not written"):
        instrumented(namespace["grads"])
    with pytest.raises(UnreadableError, match="not written in Python"):
        instrumented(np.tanh)


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("d * (1 - h)", "d * (1 - h**2)"),
        ("d @ w", "d @ w.T"),
        ("d", "d * (h > 0)"),
        ("-d.sum(0)", "d.sum(0)"),
        ("d * h", "d"),
        ("d @ w.T", "d @ w.T + e"),
        ("2 * d", "2 * d / len(x)"),
        ("d", "d + e @ w.T"),
        ("1 - h", "1 + h"),
        ("d", "d.sum(0)"),
        ("d", "d * np.where(h > 0, 1, 0.01)"),
        ("d", "d * (1 / (1 + np.exp(-h)))"),
        ("d", "h * (d - (d * h).sum(-1, keepdims=True))"),
        ("1 - d", "1 - d / h"),
        ("d * h", "d * h * (1 + x * (1 - h))"),
        ("d", "d + h[..., None] * w"),
        ("d", "d / (h * (1 - h))"),
        ("d * h * (1 - h)", "h * (d - (d * h).sum(-1, keepdims=True))"),
        ("d", "d - d.mean(-1, keepdims=True)"),
        ("d * np.exp(h)", "d * h"),
        ("np.clip(d, -1, 1) * h", "d * h"),
        ("np.stack(d)", "np.stack(d)[::-1]"),
        ("d", "d * (h * x < 1)"),
        ("np.zeros(3)", "d.sum(0)"),
        ("np.zeros((3, 3))", "x.T @ d"),
        ("x.sum()", "np.maximum(x.sum(), 1)"),
        ("a * b - c", "a * (b - c)"),
    ],
)
def test_the_grammar_holds_the_edits_that_people_make(text, due):
    atoms = ["d", "e", "h", "w", "x"]
    slopes = derivatives(atoms, ["np.exp"], "np", ["0.01"])
    found = {tidy(edit) for edit in edits(text, atoms, slopes, "np")}
    assert (due in found) == (text != "a * b - c")  # moving parentheses is not one of them


def test_tidying_drops_parentheses_that_are_not_needed_and_no_others():
    assert tidy("(a) * ((b + (c)))") == "a * (b + c)"
    assert tidy("(a @ b).sum((0))") == "(a @ b).sum(0)"
    assert tidy("-(-(a))") == "--a"
