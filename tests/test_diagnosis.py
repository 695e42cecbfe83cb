"""Diagnoses name the mistake and its place: lines, iterations, layers, and several at once.

Tags in comments mark the lines that a diagnosis may point to.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpercep as jp
from jaxpercep.compare import compare_gradients, compare_model
from jaxpercep.compare.explanation import gates
from jaxpercep.compare.explanation.flow_causes import FLOW_CAUSES
from jaxpercep.compare.explanation.leaf_causes import LeafCause, mend
from jaxpercep.compare.explanation.linearity import LinearityCause
from jaxpercep.losses import Elementwise

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
PARAMS = {
    name: (0.5 * RNG.normal(size=(3, 3)[: 2 if name[0] == "w" else 1])).astype(np.float32)
    for name in ("w1", "b1", "w2", "b2")
}
X, Y = RNG.normal(size=(2, 4, 3)).astype(np.float32)


def line(tag):
    """`"test_diagnosis.py:12"`, where the tag stands at the end of line 12."""
    lines = enumerate(Path(__file__).read_text().splitlines(), start=1)
    (number,) = [number for number, text in lines if text.endswith(f"# [{tag}]")]
    return f"{Path(__file__).name}:{number}"


def quoted(source):
    """The expression on a line of this file, in quotes, as a message has it."""
    text = Path(__file__).read_text().splitlines()[int(source.rpartition(":")[2]) - 1]
    return text.partition("  #")[0].strip().removeprefix("return ").rpartition(" = ")[2][:16]


def slope(y):
    """The derivative of tanh, by its value."""
    return (1 - y) * (1 + y)


class Case(NamedTuple):
    """A gradient in which the derivative of one tanh is left out, and its place.

    Attributes:
        places: (operation, tag of its line, location): the allowed ones; the first must be named.
    """

    name: str
    fun: Callable[..., Any]
    grad_fun: Callable[..., Any]
    places: tuple[tuple[str, str, str | None], ...]


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def assert_left_out(case):
    report = compare_gradients(case.fun, case.grad_fun, PARAMS, X, Y)
    assert report.verdict == "manual_wrong"
    assert all(len(explanation) == 1 for explanation in report.explanations), str(report)
    said = {(d.cause, d.operation, d.source, d.location) for d in report.diagnoses}
    known = [("missing_derivative", name, line(tag), at) for name, tag, at in case.places]
    assert known[0] in said, str(report)
    assert said <= set(known), str(report)
    for diagnosis in report.diagnoses:
        assert (diagnosis.leaf, diagnosis.factor) == (None, None)
        assert diagnosis.residual < 1e-10
        for part in (quoted(diagnosis.source), diagnosis.source, diagnosis.location or ""):
            assert part in diagnosis.message
        assert "left out: multiply the upstream gradient by it" in diagnosis.message


# One call of an activation, in many forms


def plain(z):
    return jnp.tanh(z)  # [plain]


@jax.custom_jvp
def with_jvp(z):
    return jnp.tanh(z)


with_jvp.defjvp(lambda z, t: (jnp.tanh(z[0]), slope(jnp.tanh(z[0])) * t[0]))


@jax.custom_vjp
def with_vjp(z):
    return jnp.tanh(z)


with_vjp.defvjp(lambda z: (jnp.tanh(z),) * 2, lambda y, dy: (slope(y) * dy,))


def in_vmap(z):
    return jax.vmap(plain)(z)  # [in_vmap]


def in_checkpoint(z):
    return jax.checkpoint(plain)(z)  # [in_checkpoint]


def in_cond(z):
    return jax.lax.cond(z[0, 0] > -99, plain, jnp.sin, z)  # [in_cond]


def activated(activation):
    def fun(p, x, y):
        h = activation(x @ p["w1"] + p["b1"])  # [call]
        return jnp.sum((h @ p["w2"] + p["b2"] - y) ** 2)

    return fun


def activated_by_hand(p, x, y):
    """The derivative of the hidden activation is missing."""
    h = jnp.tanh(x @ p["w1"] + p["b1"])
    dy = 2 * (h @ p["w2"] + p["b2"] - y)
    dz = dy @ p["w2"].T
    return {"w1": x.T @ dz, "b1": dz.sum(0), "w2": h.T @ dy, "b2": dy.sum(0)}


def called(name, function, operation="tanh"):
    """Only the call can be named: its inside is in another file, or has a rule of its own."""
    return Case(name, activated(function), activated_by_hand, ((operation, "call", None),))


def inside(function, *names):
    """The tanh in `plain`, the function it is passed to, or the call of that may be named."""
    tag = function.__name__
    around = [(name, tag, None) for name in ("plain", *names)]
    places = ("tanh", "plain", None), *around, (tag, "call", None)
    return Case(tag, activated(function), activated_by_hand, places)


ACTIVATIONS = [
    called("jax.numpy", jnp.tanh),
    called("jax.nn", jax.nn.tanh),
    called("jaxpercep", partial(jp.tanh.apply, ())),
    called("jit and vmap", jax.jit(jax.vmap(jnp.tanh))),
    called("custom_jvp", with_jvp, "with_jvp"),
    called("custom_vjp", with_vjp, "with_vjp"),
    inside(in_vmap),
    inside(in_checkpoint, "checkpoint"),
    inside(in_cond, "cond", "expression"),
]


@named(ACTIVATIONS)
def test_the_line_is_that_of_the_user(case):
    assert_left_out(case)


# A helper, a loop of Python, a loop of JAX


@jax.jit
def squashed(z):
    return jnp.tanh(z)  # [squashed]


def helped(p, x, y):
    h = squashed(x @ p["w1"])  # [first call]
    o = squashed(h @ p["w2"])  # [second call]
    return jnp.sum((o - y) ** 2)


def helped_by_hand(p, x, y, first, second):
    h = jnp.tanh(x @ p["w1"])
    o = jnp.tanh(h @ p["w2"])
    d2 = 2 * (o - y) * (slope(o) if second else 1)
    d1 = d2 @ p["w2"].T * (slope(h) if first else 1)
    return {"w1": x.T @ d1, "w2": h.T @ d2, "b1": jnp.zeros(3), "b2": jnp.zeros(3)}


def by_hand_with(helper, *, first=False, second=False):
    return partial(helper, first=first, second=second)


def called_from(tag):
    return ("tanh", "squashed", f"called from {line(tag)}"), ("squashed", tag, None)


HELPED = [
    Case("first", helped, by_hand_with(helped_by_hand, second=True), called_from("first call")),
    Case("second", helped, by_hand_with(helped_by_hand, first=True), called_from("second call")),
    Case("both", helped, by_hand_with(helped_by_hand), (("tanh", "squashed", "all 2 passes"),)),
]


def layered(p, x, y):
    h = x
    for w, b in ((p["w1"], p["b1"]), (p["w2"], p["b2"])):
        h = jnp.tanh(h @ w + b)  # [layered]
    return jnp.sum((h - y) ** 2)


def scanned(p, x, y):
    def step(h, xt):
        return jnp.tanh(h @ p["w2"] + xt @ p["w1"] + p["b1"]), None  # [scanned]

    h, _ = jax.lax.scan(step, jnp.zeros(3, x.dtype), x)
    return jnp.sum((h + p["b2"] - y[0]) ** 2)


def scanned_by_hand(p, x, y, left_out):
    h = [jnp.zeros(3, x.dtype)]
    for xt in x:
        h.append(jnp.tanh(h[-1] @ p["w2"] + xt @ p["w1"] + p["b1"]))
    dy = 2 * (h[-1] + p["b2"] - y[0])
    g = {name: jnp.zeros_like(leaf) for name, leaf in p.items()} | {"b2": dy}
    for t in reversed(range(len(x))):
        dz = dy if t in left_out else dy * slope(h[t + 1])
        for name, part in (("w1", jnp.outer(x[t], dz)), ("w2", jnp.outer(h[t], dz)), ("b1", dz)):
            g[name] = g[name] + part
        dy = dz @ p["w2"].T
    return g


def repeated(p, x, y):
    def step(_, h):
        return jnp.tanh(h @ p["w2"] + p["b2"])  # [repeated]

    h = jax.lax.fori_loop(0, 4, step, x @ p["w1"] + p["b1"])
    return jnp.sum((h - y) ** 2)


def unrolled_by_hand(weights, p, x, y, left_out):
    """The gradient of layers with or without tanh, one after the other."""
    h = [x]
    for w, b, bent in weights:
        z = h[-1] @ p[w] + p[b]
        h.append(jnp.tanh(z) if bent else z)
    dz = 2 * (h[-1] - y)
    g = {name: jnp.zeros_like(leaf) for name, leaf in p.items()}
    for t, (w, b, bent) in reversed(list(enumerate(weights))):
        dz = dz * slope(h[t + 1]) if bent and t not in left_out else dz
        g[w], g[b] = g[w] + h[t].T @ dz, g[b] + dz.sum(0)
        dz = dz @ p[w].T
    return g


layered_by_hand = partial(unrolled_by_hand, [("w1", "b1", True), ("w2", "b2", True)])
repeated_by_hand = partial(unrolled_by_hand, [("w1", "b1", False), *4 * [("w2", "b2", True)]])


def in_a_loop(fun, by_hand, left_out, location):
    places = (("tanh", fun.__name__, location),)
    return Case(f"{fun.__name__} {location}", fun, partial(by_hand, left_out=left_out), places)


LOOPS = [
    in_a_loop(layered, layered_by_hand, {0}, "pass 1 of 2"),
    in_a_loop(layered, layered_by_hand, {0, 1}, "all 2 passes"),
    in_a_loop(scanned, scanned_by_hand, {0}, "iteration 1 of 4"),
    in_a_loop(scanned, scanned_by_hand, {2}, "iteration 3 of 4"),
    in_a_loop(scanned, scanned_by_hand, {0, 1, 2, 3}, None),
    in_a_loop(repeated, repeated_by_hand, {3}, "iteration 3 of 4"),
]


@named(HELPED)
def test_of_several_calls_of_a_helper_the_location_says_which(case):
    assert_left_out(case)


@named(LOOPS)
def test_of_several_iterations_the_location_says_which(case):
    assert_left_out(case)


# Layers


@dataclass(frozen=True)
class Careless:
    """tanh, with its derivative left out."""

    def init(self, key):
        del key
        return ()

    def apply(self, params, x):
        del params
        return jnp.tanh(x)  # [careless]

    def forward(self, params, x):
        return self.apply(params, x), ()

    def backward(self, params, residuals, dy):
        del params, residuals
        return (), dy  # [forgotten]


MODELS = {
    "layers[1]: Careless": jp.Serial(jp.Dense(3, 3), Careless(), jp.Dense(3, 3)),
    "layers[0]: Repeat / layers[1]: Careless": jp.Serial(
        jp.Repeat(jp.Serial(jp.Dense(3, 3), Careless()), 2)
    ),
}


@pytest.mark.parametrize(("location", "model"), MODELS.items(), ids=MODELS)
def test_a_layer_whose_backward_is_wrong(location, model):
    report = compare_model(model, jp.SquaredError(), model.init(jax.random.key(0)), X, Y)
    assert report.verdict == "manual_wrong"
    (diagnosis,) = report.diagnoses
    assert (diagnosis.cause, diagnosis.operation) == ("missing_derivative", "tanh")
    assert (diagnosis.source, diagnosis.location) == (line("careless"), location)
    assert (report.repair.source, report.repair.expression) == (line("forgotten"), "dy")
    assert report.repair.verified
    assert {listing.name for listing in report.annotated.listings} == {
        "apply",
        "forward",
        "backward",
    }


@dataclass(frozen=True)
class LogCosh(Elementwise):
    def value(self, p, t):
        return jnp.log(jnp.cosh(p - t))

    def slope(self, p, t):
        return 1 / jnp.tanh(p - t)


def test_a_loss_is_read_with_what_it_inherits():
    model = jp.mlp([3, 2, 3], jp.tanh)
    report = compare_model(model, LogCosh(), model.init(jax.random.key(0)), X, Y)
    assert {"slope", "backward"} <= {listing.name for listing in report.annotated.listings}
    assert report.repair.expression.startswith("self.slope(")


def test_of_a_model_of_the_librarys_layers_these_are_read():
    model = jp.mlp([3, 2, 3], jp.tanh)
    report = compare_model(model, jp.SquaredError(), model.init(jax.random.key(0)), X, Y)
    listings = report.annotated.listings
    assert {Path(one.file).name for one in listings} == {"dense.py", "activations.py", "losses.py"}
    assert "dL/dparams[0].w" in str(report.annotated)


# Other words


def assert_one(report, cause, operation, tag, said):
    (diagnosis,) = report.diagnoses
    found = diagnosis.cause, diagnosis.operation, diagnosis.source
    assert found == (cause, operation, line(tag)), str(report)
    assert said in diagnosis.message


SLOPES = {
    "function_for_derivative": (lambda h: h, "was multiplied by its value: multiply by f'(z)"),
    "output_formula_at_input": (
        lambda h: 1 - jnp.arctanh(h) ** 2,
        "was computed from its input z by the formula that takes its output y",
    ),
}


@pytest.mark.parametrize("cause", SLOPES)
def test_another_slope_that_is_often_written(cause):
    hidden, said = SLOPES[cause]
    assert_one(found_in_network(hidden=hidden), cause, "tanh", "hidden", said)


@pytest.mark.parametrize("batch", [4, 3])
def test_a_sum_over_the_wrong_axis(batch):
    """With 3 samples the leaf has the right length."""
    by_hand = partial(network_by_hand, n=1 / batch, axis=1)
    report = compare_gradients(network, by_hand, PARAMS, X[:batch], Y[:batch])
    said = f"over axis 1 (of size 3), and should be summed over axis 0 (of size {batch}): .sum(axis"
    assert_one(report, "wrong_axis", None, "hidden", said)
    assert report.diagnoses[0].leaf == "['b1']"


class Copies(NamedTuple):
    """What an `Unreduced` holds."""

    value: np.ndarray

    @property
    def shape(self):
        return self.value.shape


D = RNG.normal(size=(2, 4, 3))  # the gradient by the copies of a bias of (3,)
OF_COPIES = {
    "another axis": (D.sum((1, 2)), D.sum((0, 1)), "wrong_axis", "axes 0 and 1 (of sizes 2 and 4)"),
    "another axis kept": (
        D.sum((1, 2), keepdims=True),
        D.sum((0, 1), keepdims=True),
        "wrong_axis",
        ".sum(axis=(0, 1), keepdims=True)",
    ),
    "other numbers": (D.sum((1, 2)) + 1, D.sum((0, 1)), "structure", "shape [2]"),
    "an axis left": (D.sum(0), D.sum((0, 1)), "not_reduced", "axis 0 (of size 4)"),
    "all numbers": (D.sum(), D.sum((0, 1)), "wrong_axis", "over axes 0 and 1 and 2"),
}


@pytest.mark.parametrize("name", OF_COPIES)
def test_the_numbers_of_a_leaf_say_over_which_axes_it_was_summed(name):
    leaf, right, cause, note = OF_COPIES[name]
    mended = mend([right], [leaf], frozenset(), [1e-12], lambda _: Copies(D))
    (finding,) = mended.findings
    assert (finding.cause, note in finding.note) == (cause, True), finding.note


def looked_up(table, ids, y):
    rows = table[ids]  # [rows]
    return jnp.sum((jnp.tanh(rows) - y) ** 2)


def last_in_numpy(ids, dy):
    table = np.zeros((3, 3), np.asarray(dy).dtype)
    table[np.asarray(ids)] = dy
    return table


def last_in_jax(ids, dy):
    return jnp.zeros((3, 3), dy.dtype).at[ids].set(dy)


@pytest.mark.parametrize("last", [last_in_numpy, last_in_jax])
def test_an_index_that_is_overwritten_instead_of_accumulated(last):
    def by_hand(table, ids, y):
        h = jnp.tanh(table[ids])
        return last(ids, 2 * (h - y) * slope(h))

    ids = np.array([0, 2, 2, 0])
    report = compare_gradients(looked_up, by_hand, PARAMS["w1"], ids, Y)
    said = "in `table[ids]` at test_diagnosis.py"
    assert_one(report, "index_overwritten", "gather", "rows", said)


# Several mistakes


def network(p, x, y):
    h = jnp.tanh(x @ p["w1"] + p["b1"])  # [hidden]
    z = h @ p["w2"] + p["b2"]  # [linear]
    o = jnp.tanh(z)  # [output]
    return jnp.sum((o - y) ** 2) / len(x)  # [loss]


def network_by_hand(p, x, y, *, n=1 / 4, hidden=slope, output=slope, bend=None, axis=0, **leaves):
    """The gradient of `network`, times `leaves`, with other slopes, a changed dh, another axis."""
    h = jnp.tanh(x @ p["w1"] + p["b1"])
    o = jnp.tanh(h @ p["w2"] + p["b2"])
    d2 = 2 * n * (o - y) * output(o)
    dh = d2 @ p["w2"].T
    d1 = (bend(dh) if bend else dh) * hidden(h)
    g = {"w1": x.T @ d1, "b1": d1.sum(axis), "w2": h.T @ d2, "b2": d2.sum(0)}
    return {name: leaf * leaves.get(name, 1) for name, leaf in g.items()}


def found_in_network(**mistakes):
    report = compare_gradients(network, partial(network_by_hand, **mistakes), PARAMS, X, Y)
    assert report.verdict == "manual_wrong"
    return report


def assert_both_named(mistakes, expected):
    report = found_in_network(**mistakes)
    (explanation,) = report.explanations
    said = {(d.cause, d.leaf, d.source if d.leaf is None else None, d.factor) for d in explanation}
    assert said == expected, str(report)
    assert str(report).count("\n  and: ") == len(expected) - 1


HIDDEN = ("missing_derivative", None, line("hidden"), None)
OUTPUT = ("missing_derivative", None, line("output"), None)
AVERAGED = ("scaled", "['b2']", None, 1 / 4)
FLIPPED = ("sign_flipped", "['w2']", None, None)
PAIRS = {
    "flow and a leaf": ({"hidden": jnp.ones_like, "b2": 1 / 4}, {HIDDEN, AVERAGED}),
    "flow and a leaf behind it": (
        {"hidden": jnp.ones_like, "b1": 1 / 4},
        {HIDDEN, ("scaled", "['b1']", None, 1 / 4)},
    ),
    "flow in two layers": ({"hidden": jnp.ones_like, "output": jnp.ones_like}, {HIDDEN, OUTPUT}),
    "two leaves": ({"b2": 1 / 4, "w2": -1}, {AVERAGED, FLIPPED}),
    "two leaves and flow": (
        {"hidden": jnp.ones_like, "b2": 1 / 4, "w2": -1},
        {HIDDEN, AVERAGED, FLIPPED},
    ),
}


@pytest.mark.parametrize(("mistakes", "expected"), PAIRS.values(), ids=PAIRS)
def test_independent_mistakes_are_all_named(mistakes, expected):
    assert_both_named(mistakes, expected)


# Several explanations


def assert_tie_is_listed():
    report = found_in_network(n=1)
    causes = [[d.cause for d in explanation] for explanation in report.explanations]
    assert causes == [["scaled"], ["missing_derivative"]], str(report)
    first, second = report.diagnoses
    assert (first.leaf, first.factor) == (None, pytest.approx(4))
    assert (second.operation, second.source) == ("div", line("loss"))
    assert max(first.residual, second.residual) < 1e-10
    assert f"\n  or: {second.message[:50]}" in str(report)


def test_all_explanations_are_listed_the_simplest_first():
    assert_tie_is_listed()


def quadratic(p, x, y):
    z = x @ p["w1"] - y
    q = z * z  # [product]
    return jnp.sum(jnp.tanh(q + z))


def quadratic_by_hand(p, x, y, uses):
    z = x @ p["w1"] - y
    g = {name: jnp.zeros_like(leaf) for name, leaf in p.items()}
    return g | {"w1": x.T @ (slope(jnp.tanh(z * z + z)) * (uses * z + 1))}


def test_one_of_two_uses_in_one_operation():
    """The gradient through one of the two factors of z * z is missing."""
    assert compare_gradients(quadratic, partial(quadratic_by_hand, uses=2), PARAMS, X, Y).ok
    report = compare_gradients(quadratic, partial(quadratic_by_hand, uses=1), PARAMS, X, Y)
    said = {(d.cause, d.operation, d.source) for d in report.diagnoses}
    assert said == {("dropped_path", "mul", line("product"))}, str(report)


def contracted(p, x, y):
    h = jnp.tanh(x @ p["w1"])
    o = jnp.einsum("ni,ij->nj", h, p["w2"])  # [contracted]
    return jnp.sum((o - y) ** 2)


def contracted_by_hand(p, x, y):
    """Multiplies by w2 instead of its transpose."""
    h = jnp.tanh(x @ p["w1"])
    dy = 2 * (h @ p["w2"] - y)
    g = {name: jnp.zeros_like(leaf) for name, leaf in p.items()}
    return g | {"w1": x.T @ (dy @ p["w2"] * slope(h)), "w2": h.T @ dy}


def test_scopes_of_a_library_are_not_a_location():
    """Inside einsum the operations have the subscripts as a scope."""
    report = compare_gradients(contracted, contracted_by_hand, PARAMS, X, Y)
    said = {(d.cause, d.operation, d.source, d.location) for d in report.diagnoses}
    assert said == {("wrong_orientation", "dot_general", line("contracted"), None)}, str(report)


# No name


def noise(shape):
    return RNG.normal(size=shape).astype(np.float32)


def shuffled(leaf):
    return leaf[::-1, [1, 2, 0]]


BENT = {
    "another function": jnp.cos,
    "rectified": jnp.abs,
    "shuffled": shuffled,
}


@pytest.mark.parametrize("bend", BENT.values(), ids=BENT)
def test_an_unknown_mistake_gets_no_name(bend):
    """The gradient is right down to h, and wrong from the hidden layer's pullback on."""
    report = found_in_network(bend=bend)
    (diagnosis,) = report.diagnoses
    assert (diagnosis.cause, diagnosis.leaf, diagnosis.factor) == ("unexplained", None, None)
    assert np.isnan(diagnosis.residual)
    assert diagnosis.source in {line("hidden"), line("linear")}
    assert "dL/dp['b1'] and dL/dp['w1'] are wrong, and no known mistake" in diagnosis.message
    assert "dL/dp['b2']" not in diagnosis.message


@pytest.mark.parametrize("leaf", ["w1", "w2"])
def test_a_single_leaf_without_a_name(leaf):
    report = found_in_network(**{leaf: noise((3, 3))})
    (diagnosis,) = report.diagnoses
    assert (diagnosis.cause, diagnosis.leaf) == ("unexplained", f"['{leaf}']")
    assert diagnosis.source == line({"w1": "hidden", "w2": "linear"}[leaf])


def test_a_leaf_with_a_name_beside_leaves_without():
    report = found_in_network(bend=jnp.cos, b2=-1)
    assert [(d.cause, d.leaf) for d in report.diagnoses] == [
        ("sign_flipped", "['b2']"),
        ("unexplained", None),
    ]


def test_the_documentation_lists_every_cause():
    page = (Path(__file__).parents[1] / "docs" / "comparing-gradients.md").read_text("utf-8")
    table = page.partition("| cause | meaning |")[2].partition("\n\n")[0]
    flow = [cause.code for cause in FLOW_CAUSES]
    known = [*get_args(LeafCause), *flow, *get_args(LinearityCause), "unexplained"]
    assert re.findall(r"^\| `(\w+)` \| \w", table, re.MULTILINE) == known


def test_noise_has_no_name():
    report = found_in_network(**{name: noise(leaf.shape) for name, leaf in PARAMS.items()})
    (diagnosis,) = report.diagnoses
    assert diagnosis.cause == "unexplained"
    assert all(f"dL/dp['{name}']" in diagnosis.message for name in PARAMS)


# A fault planted in the diagnosis


def assert_all_found():
    for case in (ACTIVATIONS[0], HELPED[0], LOOPS[4]):
        assert_left_out(case)


def assert_pair_is_found():
    assert_both_named(*PAIRS["flow and a leaf"])


CHECKS = [assert_all_found, assert_pair_is_found, assert_tie_is_listed]


@pytest.mark.parametrize("check", CHECKS)
def test_a_diagnosis_whose_gates_never_open_does_not_pass_these_tests(check, monkeypatch):
    monkeypatch.setattr(gates.Gates, "_is_open", lambda *_: jnp.bool_(False))
    with pytest.raises(AssertionError):
        check()
