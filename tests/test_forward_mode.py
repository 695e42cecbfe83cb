"""Derivatives in forward mode: right at random tangents, linear in them, and the mistake named."""

import importlib
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpercep as jp
from jaxpercep.compare import compare_custom_jvp, compare_jvp, forward_mode

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(3, 2)).astype(np.float32), RNG.normal(size=(2, 2)).astype(np.float32)


def fun(x, w, count):
    return {"h": jnp.tanh(x @ w) ** 2, "count": count + 1}  # [fun]


def line(tag):
    lines = enumerate(Path(__file__).read_text().splitlines(), start=1)
    (number,) = [number for number, text in lines if text.endswith(f"# [{tag}]")]
    return f"{Path(__file__).name}:{number}"


def derivative(primals, tangents, slope=lambda h: 1 - h**2, factor=1, bend=lambda t: t, more=0):
    x, w, _ = primals
    dx, dw, d_count = tangents
    assert d_count.dtype == jax.dtypes.float0
    h = jnp.tanh(x @ w)
    moved = bend(factor * dx) @ w + x @ bend(dw)
    return fun(*primals), {"h": 2 * h * slope(h) * moved + more, "count": None}


def in_numpy(primals, tangents, factor=1):
    x, w = map(np.asarray, primals[:2])
    dx, dw = map(np.asarray, tangents[:2])
    h = np.tanh(x @ w)
    moved = 2 * h * (1 - h**2) * (factor * dx @ w + x @ dw)
    return fun(*primals), {"h": moved, "count": None}


def causes(report):
    return [diagnosis.cause for diagnosis in report.diagnoses]


@pytest.mark.parametrize("right", [derivative, in_numpy], ids=["JAX", "NumPy"])
def test_right_derivatives_match(right):
    report = compare_jvp(fun, right, X, W, 3)
    assert report.ok
    (leaf,) = report.leaves
    assert (leaf.of, leaf.path, leaf.shape) == ("tangent", "['h']", (3, 2))


WRONG = {
    "a term of one argument": (partial(derivative, factor=2), "scaled"),
    "the same in NumPy": (partial(in_numpy, factor=2), "scaled"),
    "a derivative left out": (partial(derivative, slope=jnp.ones_like), "missing_derivative"),
    "a tangent ignored": (partial(derivative, factor=0), "tangent_ignored"),
    "squared": (partial(derivative, bend=lambda t: t**2), "not_linear"),
    "clipped": (partial(derivative, bend=lambda t: jnp.clip(t, -10, 10)), "not_linear"),
    "a constant added": (partial(derivative, more=0.1), "not_linear"),
}
SAMPLED = {"a derivative left out", "clipped", "a constant added"}


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        pytest.param(*case, marks=() if name in SAMPLED else pytest.mark.corpus, id=name)
        for name, case in WRONG.items()
    ],
)
def test_wrong_derivatives_are_named(wrong, cause):
    report = compare_jvp(fun, wrong, X, W, 3)
    assert (report.verdict, causes(report)) == ("manual_wrong", [cause])
    if cause == "missing_derivative":
        assert report.diagnoses[0].source == line("fun")
        assert "forward mode is compared by what multiplies the tangent" in report.remark


def ruled(rule):
    @jax.custom_jvp
    def bent(x):
        return x * jnp.tanh(x)

    def derivative(primals, tangents):
        (x,), (t,) = primals, tangents
        return bent(x), rule(jnp.tanh(x) + x * (1 - jnp.tanh(x) ** 2), t)

    bent.defjvp(derivative)
    return bent


def loss(bent, x):
    return jnp.sum(jax.nn.relu(bent(x)) ** 2)


RULES = {
    "right": (jnp.multiply, []),
    "scaled": (lambda slope, t: 3 * slope * t, ["scaled"]),
    "not linear": (lambda slope, t: slope * jnp.abs(t), ["not_linear"]),
}


@pytest.mark.parametrize(("rule", "expected"), RULES.values(), ids=RULES)
def test_rules_are_compared_with_autodiff_of_their_function(rule, expected):
    report = compare_custom_jvp(jax.jit(partial(loss, ruled(rule))), X)
    assert causes(report) == expected
    assert report.verdict == ("manual_wrong" if expected else "match")


def split(primals, tangents):
    x, w, _ = map(np.asarray, primals)
    dx, dw, _ = tangents
    h = np.tanh(x @ w)
    dz = dx @ w  # [first term]
    dz = dz + x @ dw  # [second term]
    dh = (1 - h**2) * dz  # [bend]
    return fun(*primals), {"h": 2 * h * dh, "count": None}  # [return]


def loop(w, h):
    def body(h, x):
        h = jnp.tanh(x + w * h)
        return h, h

    return jax.lax.scan(body, h, jnp.asarray(X, h.dtype))[1]


def unrolled(primals, tangents):
    (w, h), (dw, dh) = primals, tangents
    rows = []
    for x in jnp.asarray(X, h.dtype):
        dz = w * dh + dw * h
        h = jnp.tanh(x + w * h)
        dh = dz * (1 - h**2)  # [of the loop]
        rows.append((h, dh))
    return tuple(map(jnp.stack, zip(*rows, strict=True)))


@jax.custom_jvp
def root(a):
    def better(r):
        return (r + a / r) / 2

    return jax.lax.while_loop(lambda r: abs(r * r - a) > 1e-6 * a, better, a)


@root.defjvp
def root_jvp(primals, tangents):
    r = root(*primals)
    return r, tangents[0] / r  # [of the root]


def text_of(tag):
    source = Path(__file__).read_text().splitlines()
    return source[int(line(tag).rpartition(":")[2]) - 1].partition("  #")[0].strip()


def test_a_right_derivative_is_listed():
    listing = str(compare_jvp(fun, split, X, W, 3).annotated)
    words = " ".join(listing.split())
    for tag, meaning in {
        "first term": "dz: what the tangent of x adds to that of x @ w of",
        "second term": "dz: the tangent of x @ w",
        "bend": "dh: the tangent of jnp.tanh(x @ w)",
        "return": "2 * h * dh: the tangent of the result = the",
    }.items():
        assert text_of(tag)[:30] in listing
        assert meaning in words


EDITS = {
    "bend": ("1 - h**2", "1 - h", "dh", "the tangent of jnp.tanh(x @ w)"),
    "second term": ("x @ dw", "2 * x @ dw", None, "what the tangent of w adds to that of x @ w"),
    "of the loop": ("1 - h**2", "1 + h**2", "dh", "the tangent of jnp.tanh(x + w * h)"),
}


@pytest.mark.parametrize("tag", EDITS)
def test_a_wrong_derivative_is_repaired(tag, tmp_path, monkeypatch):
    right, wrong, variable, due = EDITS[tag]
    source = Path(__file__).read_text().splitlines(keepends=True)
    number = int(line(tag).rpartition(":")[2])
    assert right in source[number - 1]
    source[number - 1] = source[number - 1].replace(right, wrong)
    (tmp_path / "edited_derivatives.py").write_text("".join(source))
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("edited_derivatives", None)
    edited = importlib.import_module("edited_derivatives")
    if tag == "of the loop":
        report = compare_jvp(edited.loop, edited.unrolled, W[0], W[1])
    else:
        report = compare_jvp(edited.fun, edited.split, X, W, 3)
    repair = report.repair
    assert repair.source == f"edited_derivatives.py:{number}"
    assert (repair.variable, repair.verified) == (variable, True)
    assert due in repair.due
    assert right in repair.suggestion
    assert "every tangent is right (verified)" in str(report)


def test_a_rule_is_read_where_only_a_loop_was_differentiated():
    report = compare_custom_jvp(lambda a: jnp.sin(root(a)), np.float32(2))
    assert report.verdict == "manual_wrong"
    assert (report.repair.source, report.repair.expression) == (
        line("of the root"),
        "tangents[0] / r",
    )
    assert report.repair.due.startswith("the tangent of jax.lax.while_loop(")
    assert "sin" not in (report.repair.is_ or "")  # the factor is another at other arguments


def test_a_rule_that_cannot_be_transposed_is_right_in_forward_mode_only():
    def through_a_loop(slope, t):
        return jax.lax.while_loop(lambda s: s[0] < 1, lambda s: (s[0] + 1, slope * s[1]), (0, t))[1]

    report = compare_custom_jvp(ruled(through_a_loop), X)
    assert report.ok
    assert "works in forward mode only: jax.grad of the function raises" in report.remark


REFUSED = {
    "no tangent": (lambda p, _: (fun(*p), {"h": None, "count": None}), "returned none for a resul"),
    "another shape": (
        lambda p, t: (fun(*p), {"h": derivative(p, t)[1]["h"].T, "count": None}),
        r"returned one of shape \[2, 3\] for a result of shape \[3, 2\]",
    ),
    "another value": (lambda p, t: (derivative(p, t)[1], None), "jvp_fun's value"),
    "no pair": (lambda p, _: fun(*p)["h"], "expected .value, tangent."),
}


@pytest.mark.parametrize(("jvp_fun", "message"), REFUSED.values(), ids=REFUSED)
def test_refuses_what_is_no_derivative_in_forward_mode(jvp_fun, message):
    with pytest.raises(ValueError, match=message):
        compare_jvp(fun, jvp_fun, X, W, 3)


def test_a_function_without_a_rule_of_its_own():
    with pytest.raises(ValueError, match=r"no function with a jax.custom_jvp rule, apart from"):
        compare_custom_jvp(jax.nn.relu, X)


def test_the_form_for_tests_raises():
    jp.assert_custom_jvp(ruled(jnp.multiply), X)
    with pytest.raises(AssertionError, match="gradients do not match"):
        jp.assert_jvp(fun, partial(derivative, more=0.1), X, W, 3)


def test_a_comparison_without_tangents_does_not_pass_these_tests(monkeypatch):
    """The transposed derivative does not show a constant."""
    real = forward_mode.compared_as_linear

    def blind(objective, tangent, *others):
        del tangent
        return real(objective, jax.grad(objective, 3), *others)

    monkeypatch.setattr(forward_mode, "compared_as_linear", blind)
    with pytest.raises(AssertionError):
        test_wrong_derivatives_are_named(*WRONG["a constant added"])
