"""Messages use the words of the source, name only what can be at fault, and combine mistakes."""

import linecache
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpercep.compare import compare_gradients, compare_vjp
from jaxpercep.compare.explanation import unexplained
from jaxpercep.compare.explanation.attribution import Attribution, Errors
from jaxpercep.compare.explanation.leaf_causes import mend
from jaxpercep.compare.program import words
from jaxpercep.compare.program.flow import Flow
from jaxpercep.compare.program.graph import Span
from jaxpercep.compare.program.jaxprs import trace

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)


def drawn(*shapes):
    return [RNG.normal(size=shape) for shape in shapes]


# Batch normalization


def normed(p, x, y):
    z = x @ p["w"]
    mean = jnp.mean(z, axis=0)
    c = z - mean
    var = jnp.mean(c**2, axis=0)
    n = c / jnp.sqrt(var + 1e-3)
    out = p["gamma"] * n + p["beta"]
    return jnp.mean((out - y) ** 2)


def normed_by_hand(p, x, y, *, eps=1e-3, mean=True, var=True):
    z = x @ p["w"]
    sd = np.sqrt(z.var(0) + eps)
    n = (z - z.mean(0)) / sd
    d = 2 * (p["gamma"] * n + p["beta"] - y) / y.size
    dn = d * p["gamma"]
    dz = dn - mean * dn.mean(0) - var * n * (dn * n).mean(0)
    return {"w": x.T @ (dz / sd), "gamma": (d * n).sum(0), "beta": d.sum(0)}


W, GAMMA, BETA, X, Y = drawn((3, 4), 4, 4, (8, 3), (8, 4))
NORMED = {"w": W, "gamma": GAMMA, "beta": BETA}, X, Y


def messages(fun, grad_fun, args):
    report = compare_gradients(fun, grad_fun, *args)
    assert report.verdict == "manual_wrong"
    return [[diagnosis.message for diagnosis in e] for e in report.explanations]


def assert_two_mistakes_in_one_leaf_are_combined():
    by_hand = partial(normed_by_hand, mean=False, var=False)
    both = messages(normed, by_hand, NORMED)[0]
    assert sorted(text.partition(" in ")[0] for text in both) == [
        "`mean` was held constant",
        "`var` was held constant",
    ]


def test_two_mistakes_in_one_leaf_are_combined_in_the_words_of_the_source():
    assert_two_mistakes_in_one_leaf_are_combined()


def test_the_simplest_words_come_first():
    """The same gradient results if the derivative of the square is left out."""
    (first,), *_ = messages(normed, partial(normed_by_hand, var=False), NORMED)
    assert first.startswith("`var` was held constant in `")


def test_an_addition_is_not_blamed():
    """Without eps, n is another one: the pullback of gamma * n explains both leaves."""
    ((message,),) = messages(normed, partial(normed_by_hand, eps=0), NORMED)
    assert "dL/dp['gamma'] and dL/dp['w'] are wrong" in message
    assert 'The mistake is in the backward pass of `p["gamma"] * n` at test_mess' in message


# A loop of Python, with several operations of one name on one line


def rolled(w, x):
    c = jnp.ones(3)
    for xt in x:
        z = xt @ w
        f, i = z[:3], z[3:]
        c = jnp.tanh(f * xt) * c + jnp.sin(i * xt) * jnp.cos(i * xt)
    return jnp.sum(c**2)


def rolled_by_hand(w, x, *, slope=lambda y: 1 - y**2, sine=np.cos):
    c = [np.ones(3)]
    for xt in x:
        f, i = np.split(xt @ w, 2)
        c.append(np.tanh(f * xt) * c[-1] + np.sin(i * xt) * np.cos(i * xt))
    d, dw = 2 * c[-1], np.zeros_like(w)
    for xt, before in zip(x[::-1], c[-2::-1], strict=True):
        f, i = np.split(xt @ w, 2)
        h, s, k = np.tanh(f * xt), np.sin(i * xt), np.cos(i * xt)
        di = d * xt * (k * sine(i * xt) - s * s)
        dw += np.outer(xt, np.concatenate([d * before * slope(h) * xt, di]))
        d = d * h
    return dw


ROLLED = drawn((3, 6), (4, 3))


def test_operations_on_one_line_are_told_apart():
    ((message,),) = messages(rolled, partial(rolled_by_hand, sine=np.ones_like), ROLLED)
    assert message.startswith("The derivative of `jnp.sin(i * xt)` at test_messages.py:")
    assert "(all 4 passes) was left out" in message


def assert_only_what_explains_every_pass():
    ((message,),) = messages(rolled, partial(rolled_by_hand, slope=lambda y: 1 - y), ROLLED)
    _, _, places = message.partition("one of: ")
    assert "`f * xt` at test_messages.py" in places
    assert places.endswith("2 more.")  # tanh and its product with c, not sin and cos


def test_only_places_that_can_explain_all_leaves_are_listed():
    assert_only_what_explains_every_pass()


def test_a_search_that_believes_every_place_does_not_pass(monkeypatch):
    monkeypatch.setattr(unexplained, "Attribution", _Credulous)
    with pytest.raises(AssertionError):
        assert_only_what_explains_every_pass()


class _Credulous(Attribution):
    def explains(self, *_):
        return True


# The least squares that decide


def branched(p, x):
    def step(h, xt):
        h = jnp.tanh(h @ p["w"] + xt)
        return jax.lax.cond(h[0] > 0, jnp.sin, jnp.cos, h), h

    h, every = jax.lax.scan(step, p["h"], x)
    return jnp.sum(ruled(h) * p["v"]) + jnp.sum(jnp.tan(jnp.max(every, axis=0)))


@jax.custom_vjp
def ruled(h):
    return h**3


ruled.defvjp(lambda h: (h**3, h), lambda h, d: (3 * d * h**2,))


def attribution(errors_of):
    """The graph of `branched`, its places, and the judge of leaves with these errors."""
    p = dict(zip("whv", drawn((4, 4), 4, 4), strict=True))
    values = [p["h"], p["v"], p["w"], drawn((5, 4))[0]]
    with jax.enable_x64(True):
        args = {"h": values[0], "v": values[1], "w": values[2]}, values[3]
        graph = trace(branched, args).graph()
        places = dict(unexplained._places(graph, Flow.of(graph, (0, 1, 2))))
        errors = errors_of(args)
        known = Errors((0, 1, 2), (0, 1, 2), errors, [1.0] * 3, [1e-14] * 3)
        return places, Attribution(graph, list(map(jnp.asarray, values)), known, places, {})


def of_another_cotangent(args):
    """The errors that a wrong pullback of `ruled` makes."""

    def at_h(p, x, d):
        def step(h, xt):
            h = jnp.tanh(h @ p["w"] + xt)
            return jax.lax.cond(h[0] > 0, jnp.sin, jnp.cos, h), None

        return jax.lax.scan(step, p["h"], x)[0] @ d

    gradient = jax.grad(at_h)(*args, jnp.arange(1.0, 5.0))
    return [np.asarray(gradient[name]) for name in "hvw"]


def test_a_wrong_cotangent_is_explained_where_it_is_and_not_elsewhere():
    places, judge = attribution(of_another_cotangent)
    assert len(judge.tangents) > 5
    said = {place.name: judge.explains([place], 0b101) for place in places}
    assert said["ruled"]
    assert said["scan"]
    assert not said["tan"]


def test_noise_is_explained_nowhere_but_where_the_leaves_enter():
    _, judge = attribution(lambda _: drawn(4, 4, (4, 4)))
    said = [place for place in judge.tangents if judge.explains([place], 0b111)]
    assert said == []


# Words


def test_a_leaf_that_is_rounding_is_zero():
    """Its terms cancel each other: no factor of 1e-15."""

    def noisy(p):
        return {"a": 2 * p["a"] * (1 + 1e-16 - 1 + 1e-15), "b": 2 * p["b"]}

    p = {"a": drawn(5)[0], "b": drawn(3)[0]}
    ((message,),) = messages(lambda p: sum(jnp.sum(v**2) for v in p.values()), noisy, (p,))
    assert message == "dL/dp['a'] is zero to within rounding: its terms cancel each other."


def test_a_pullback_is_described_by_the_names_of_its_arguments():
    def product(left, right):
        return left * right

    report = compare_vjp(
        product,
        lambda left, right: (left * right, (left, right)),
        lambda kept, dy: (kept[1] * dy, -kept[0] * dy),
        *drawn(3, 3),
    )
    assert [d.message for d in report.diagnoses][:1] == ["dL/dright has the wrong sign: negate it."]
    assert "│ right │" in str(report)


UNREDUCED = {
    "axis 0 (of size 7): sum over it, .sum(axis=0)": ((7, 2), (2,)),
    "axis 1 (of size 7): sum over it, .sum(axis=1)": ((2, 7), (2,)),
    "axis 1 (of size 7): sum over it, .sum(axis=1, keepdims=True)": ((2, 7), (2, 1)),
    "axes 0 and 2 (of sizes 5 and 7): sum over them, .sum(axis=(0, 2))": ((5, 2, 7), (2,)),
}


@pytest.mark.parametrize(("note", "shapes"), UNREDUCED.items(), ids=UNREDUCED)
def test_an_axis_that_is_left_is_named(note, shapes):
    came, expected = shapes
    (leaf,) = drawn(came)
    mended = mend([np.zeros(expected)], [leaf], frozenset(), [1e-12])
    assert mended.leaves[0].shape == expected
    assert [finding.note for finding in mended.findings] == [f"still has {note}"]


LONG = "jnp.sum(jnp.log(1 + jnp.exp(-label * score)), axis=1) / len(label)"
SHORTENED = {
    "a * b": "a * b",
    LONG: "... / len(label)",
    f"power(ü, ({LONG}))": "power(ü, (...))",
    "where(some_condition > threshold, one_of_the_branches(x), 0.0)": "where(..., ..., 0.0)",
}


@pytest.mark.parametrize(("text", "brief"), SHORTENED.items(), ids=SHORTENED.values())
def test_long_expressions_are_shortened_where_they_are_long(text, brief, tmp_path):
    path = tmp_path / "source.py"
    path.write_text(f"value = {text}\n", encoding="utf-8")
    linecache.checkcache(str(path))
    expression = words.expression_around(Span(str(path), 1, 9, 1, 10))
    inside = words.expression_at(Span(str(path), 1, 8, 1, 8 + len(text.encode())))
    assert inside is not None
    assert (inside.text, inside.brief, inside.variable) == (text, brief, "value")
    assert expression is not None
    assert expression.text in text
