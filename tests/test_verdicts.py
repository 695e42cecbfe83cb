"""Each verdict of a comparison, on functions for which no other verdict would be true."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Primitive
from jax.interpreters import ad, mlir

from jaxpercep.compare import compare_gradients
from jaxpercep.compare.evaluation import arbitration, compilation, noise, verdict
from jaxpercep.compare.program.jaxprs import trace

pytestmark = pytest.mark.slow

W = np.array([0.3, -1.2, 0.7], np.float32)
HALF_ON = np.array([0.0, 1.0, -2.0], np.float32)


class Case(NamedTuple):
    """A function, a gradient of it, and the verdict on them."""

    name: str
    verdict: str
    fun: Callable[..., Any]
    grad_fun: Callable[..., Any]
    args: tuple[Any, ...] = (W,)


def named(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def assert_verdict(case):
    report = compare_gradients(case.fun, case.grad_fun, *case.args)
    assert report.verdict == case.verdict, str(report)
    assert report.ok == (case.verdict == "match")
    assert str(report).startswith(f"{case.verdict}: ")
    return report


def always(gradient):
    """A candidate: these numbers, in the type of the argument."""

    def constant(w, *rest):
        del rest
        return jnp.asarray(gradient, w.dtype)

    return constant


def sum_of_tanh(w):
    return jnp.sum(jnp.tanh(w))


def tanh_by_hand(w, factor=1.0):
    return factor * (1 - jnp.tanh(w) ** 2)


def scaled_tanh(factor):
    return partial(tanh_by_hand, factor=factor)


# Functions that JAX differentiates wrongly


@jax.custom_jvp
def square(x):
    return x**2


@square.defjvp
def half_of_it(primals, tangents):
    (x,), (t,) = primals, tangents
    return square(x), x * t


@jax.custom_vjp
def cube(x):
    return x**3


cube.defvjp(lambda x: (x**3, x), lambda x, dy: (2 * x**2 * dy,))


def sum_of_squares(w):
    return jnp.sum(square(w))


def sum_of_cubes(w):
    return jnp.sum(cube(w))


def root_of_positives(w):
    """The root's derivative is NaN for negative w, and 0 * NaN is NaN."""
    return jnp.sum(jnp.where(w > 0, jnp.sqrt(w), 0))


def guarded(w):
    return jnp.where(w > 0, 0.5 / jnp.sqrt(jnp.where(w > 0, w, 1)), 0)


def root_of_square(w):
    """The absolute value, with a derivative of 0 / 0 at zero."""
    return jnp.sum(jnp.sqrt(w**2))


def stopped(w):
    return jnp.sum(jax.lax.stop_gradient(w) ** 2)


ZERO = np.zeros(3, np.float32)
AUTODIFF_WRONG = [
    Case("wrong custom_jvp", "autodiff_wrong", sum_of_squares, lambda w: 2 * w),
    Case("wrong custom_vjp", "autodiff_wrong", sum_of_cubes, lambda w: 3 * w**2),
    Case("nan behind where", "autodiff_wrong", root_of_positives, guarded),
    Case("norm at zero", "autodiff_wrong", jnp.linalg.norm, jnp.zeros_like, (ZERO,)),
    Case("root of a square", "autodiff_wrong", root_of_square, jnp.sign, (HALF_ON,)),
    Case("stopped", "autodiff_wrong", stopped, lambda w: 2 * w),
]
BOTH_WRONG = [
    Case("wrong custom_jvp", "both_wrong", sum_of_squares, lambda w: 3 * w),
    Case("nan behind where", "both_wrong", root_of_positives, lambda w: 2 * guarded(w) + 1),
    Case("slope beyond the norm", "both_wrong", jnp.linalg.norm, always([2, 2, 2]), (ZERO,)),
    Case("the same nan", "both_wrong", jnp.linalg.norm, jax.grad(jnp.linalg.norm), (ZERO,)),
    Case(
        "one leaf each",
        "both_wrong",
        lambda p: sum_of_squares(p["a"]) + sum_of_tanh(p["b"]),
        lambda p: {"a": 2 * p["a"], "b": 2 * tanh_by_hand(p["b"])},
        ({"a": W, "b": W},),
    ),
    Case(
        "a leaf missing",
        "both_wrong",
        lambda p: sum_of_squares(p["a"]) + sum_of_tanh(p["b"]),
        lambda p: {"a": 2 * p["a"]},
        ({"a": W, "b": W},),
    ),
]
MANUAL_WRONG = [
    Case("factor", "manual_wrong", sum_of_tanh, scaled_tanh(2)),
    Case("a millionth", "manual_wrong", sum_of_tanh, scaled_tanh(1 + 1e-6)),
    Case("another function", "manual_wrong", sum_of_tanh, jnp.cos),
    Case("nan", "manual_wrong", sum_of_tanh, lambda w: jnp.where(w > 0, jnp.nan, 1)),
    Case("infinity", "manual_wrong", sum_of_tanh, lambda w: jnp.where(w > 0, jnp.inf, 1)),
    Case("nothing returned", "manual_wrong", sum_of_tanh, lambda w: None),  # noqa: ARG005
]


@named(MANUAL_WRONG)
def test_the_hand_written_side_is_wrong(case):
    assert_verdict(case)


@named(AUTODIFF_WRONG)
def test_autodiff_is_wrong(case):
    report = assert_verdict(case)
    assert report.explanations == ()
    assert "Look for a wrong custom_jvp or custom_vjp rule" in str(report)


@named(BOTH_WRONG)
def test_both_are_wrong(case):
    assert_verdict(case)


# Kinks


def sum_of_relu(w):
    return jnp.sum(jax.nn.relu(w))


def tie(w):
    """Its two largest numbers are equal."""
    return jnp.max(w)


def pooled(x):
    """Maxima of pairs, some of them with a tie, summed with either sign."""
    pairs = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (2,), (2,), "VALID")
    return jnp.sum(pairs * np.array([1.0, -2.0, 3.0], np.float32))


def steep_beside_a_tie(p):
    """A tie below another leaf's gradient, which is a million times as large."""
    return 1e6 * jnp.sum(p["v"] ** 2) + jnp.max(p["w"])


def crossing(w, x):
    """At w @ x = 0 an ulp of w decides on the side; the value is far larger than its derivative."""
    return 1e6 + 7 * jax.nn.relu(w @ x)


def relu_and_tanh(p):
    return sum_of_relu(p["a"]) + sum_of_tanh(p["b"])


TIED = np.array([0.3, 0.3, -1.0], np.float32)
ON_TIE = {"v": np.array([1.0, 2.0], np.float32), "w": TIED}
IN_PAIRS = np.array([0.3, 0.3, 0.5, 0.5, 0.2, 0.1], np.float32)
ON_LINE = np.array([0.5, -0.5, 0], np.float32), np.ones(3, np.float32)
KINKS = [
    Case("relu, as jax.nn", "match", sum_of_relu, always([0, 1, 0]), (HALF_ON,)),
    Case("relu, its mean", "kink", sum_of_relu, always([0.5, 1, 0]), (HALF_ON,)),
    Case("relu, from the right", "kink", sum_of_relu, always([1, 1, 0]), (HALF_ON,)),
    Case("absolute", "kink", lambda w: jnp.sum(jnp.abs(w)), always([0, 1, -1]), (HALF_ON,)),
    Case("max, shared", "match", tie, always([0.5, 0.5, 0]), (TIED,)),
    Case("max, first", "kink", tie, always([1, 0, 0]), (TIED,)),
    Case("max, last", "kink", tie, always([0, 1, 0]), (TIED,)),
    Case("max, unequal shares", "kink", tie, always([0.3, 0.7, 0]), (TIED,)),
    Case("pooled, shared", "kink", pooled, always([0.5, 0.5, -1, -1, 3, 0]), (IN_PAIRS,)),
]
BESIDE_KINKS = [
    Case("relu, above", "manual_wrong", sum_of_relu, always([1.5, 1, 0]), (HALF_ON,)),
    Case("relu, below", "manual_wrong", sum_of_relu, always([-0.5, 1, 0]), (HALF_ON,)),
    Case("relu, another unit", "manual_wrong", sum_of_relu, always([0, 1.1, 0]), (HALF_ON,)),
    Case("relu, this and another", "manual_wrong", sum_of_relu, always([0.5, 1.1, 0]), (HALF_ON,)),
    Case("max, to both", "manual_wrong", tie, always([1, 1, 0]), (TIED,)),
    Case("pooled, to both", "manual_wrong", pooled, always([1, 1, -2, -2, 3, 0]), (IN_PAIRS,)),
    Case("max, beyond", "manual_wrong", tie, always([1.5, -0.5, 0]), (TIED,)),
    Case(
        "another leaf",
        "manual_wrong",
        relu_and_tanh,
        lambda p: {"a": always([1, 1, 0])(p["a"]), "b": 2 * tanh_by_hand(p["b"])},
        ({"a": HALF_ON, "b": W},),
    ),
    Case(
        "beside a steep leaf",
        "manual_wrong",
        steep_beside_a_tie,
        lambda p: {"v": 2e6 * p["v"], "w": always([5, -4, 0])(p["w"])},
        (ON_TIE,),
    ),
    Case("of a large value", "manual_wrong", crossing, always([30, -20, 5]), ON_LINE),
]


@named(KINKS)
def test_a_kink_has_several_right_answers(case):
    assert_verdict(case)


@named(BESIDE_KINKS)
def test_a_kink_excuses_nothing_but_its_own_one_sided_derivatives(case):
    assert_verdict(case)


def sum_of_roots(w):
    return jnp.sum(jnp.sqrt(w))


ENDLESS = {
    "zero": jnp.zeros_like,
    "a number wrong": lambda w: 9 * w,
    "itself": jax.grad(sum_of_roots),
}


@pytest.mark.parametrize("candidate", ENDLESS.values(), ids=ENDLESS)
def test_an_infinite_derivative_is_not_a_match(candidate):
    """The slope of the root at 0 is infinite."""
    report = compare_gradients(sum_of_roots, candidate, np.array([0, 1, 2], np.float32))
    assert not report.ok, str(report)


# Miscompiled functions


def faulty_tanh(dtypes, factor=1.001):
    """A primitive that is tanh, but slightly different if compiled for one of dtypes."""
    primitive = Primitive("faulty_tanh")

    def lowered(x):
        return jnp.tanh(x) * x.dtype.type(factor if x.dtype.name in dtypes else 1)

    def rule(primals, tangents):
        y = primitive.bind(*primals)
        return y, (1 - y * y) * tangents[0]

    primitive.def_impl(jnp.tanh)
    primitive.def_abstract_eval(lambda x: x)
    mlir.register_lowering(primitive, mlir.lower_fun(lowered, multiple_results=False))
    ad.primitive_jvps[primitive] = rule
    return primitive.bind


def in_values(tanh):
    return lambda w: jnp.sum(tanh(w))


def in_forward_rule(tanh):
    @jax.custom_jvp
    def function(x):
        return jnp.tanh(x)

    function.defjvp(lambda x, t: (jnp.tanh(x[0]), (1 - tanh(x[0]) ** 2) * t[0]))
    return in_values(function)


def in_backward_rule(tanh):
    @jax.custom_vjp
    def function(x):
        return jnp.tanh(x)

    function.defvjp(lambda x: (jnp.tanh(x), x), lambda x, dy: ((1 - tanh(x) ** 2) * dy,))
    return in_values(function)


def test_the_compiler_is_held_to_rounding():
    """A fault of 2e-14 in float64 is beyond rounding, although it is only a hundred ulps."""
    fun = in_values(faulty_tanh(("float64",), 1 + 2e-14))
    assert_verdict(Case("", "compiler_wrong", fun, tanh_by_hand))


def in_a_jit(tanh):
    return jax.jit(in_values(jax.jit(tanh)))


def in_a_loop(tanh):
    def function(w):
        return jnp.sum(jax.lax.scan(lambda s, x: (s, tanh(x)), 0.0, w)[1])

    return function


USES = [in_values, in_forward_rule, in_backward_rule, in_a_jit, in_a_loop]
FAULTS = [(in_values, ("float32", "float64"))]
FAULTS += [(use, (dtype,)) for use in USES for dtype in ("float32", "float64")]


@pytest.mark.parametrize(("use", "dtypes"), FAULTS)
def test_the_compiler_is_wrong(use, dtypes):
    fun = use(faulty_tanh(dtypes))
    report = assert_verdict(Case("", "compiler_wrong", fun, tanh_by_hand))
    what = "dL/dw" if use in (in_forward_rule, in_backward_rule) else "the value"
    assert report.remark.startswith(f"compiled, {what} differs by ")
    assert f"in {dtypes[0]}" in report.remark
    assert "Try another version of jaxlib" in str(report)


def test_a_compiler_may_round_otherwise():
    rounding = in_values(faulty_tanh(("float32",), 1 + 2**-23))
    assert_verdict(Case("", "match", rounding, tanh_by_hand))


SATURATED = {
    "logarithm": (lambda p: jnp.log(1 - p), lambda w: -1 - np.tanh(w), 8.0),
    "root": (lambda p: jnp.sqrt(1 - p**2), lambda w: -np.tanh(w) / np.cosh(w), 8.5),
    "angle": (jnp.arccos, lambda w: -1 / np.cosh(w), 8.5),
}


@pytest.mark.parametrize(
    ("fun", "by_hand", "top"),
    [
        pytest.param(*case, marks=[] if name == "angle" else pytest.mark.corpus, id=name)
        for name, case in SATURATED.items()
    ],
)
def test_rounding_may_take_a_saturated_value_out_of_the_domain(fun, by_hand, top):
    """An ulp of p below 1 is most of 1 - p; 16 of them are beyond 1, where there is no value."""
    tanh = faulty_tanh(("float32",), 1 + 2**-23)
    for seed in (1, 2):
        w = np.random.default_rng(seed).uniform(7, top, 3).astype(np.float32)
        report = compare_gradients(lambda w: jnp.sum(fun(tanh(w))), by_hand, w)
        assert report.ok, f"{w}\n{report}"


# Beyond the precision of finite differences


def deep_below(w):
    return 1e8 + sum_of_tanh(w)


def jump(w):
    """At zero the value jumps, so there is no derivative."""
    return jnp.sum(jnp.where(w > 0, 1 + w, 2 * w))


INCONCLUSIVE = [
    Case("a billionth", "inconclusive", deep_below, scaled_tanh(1 + 1e-9)),
    Case("a jump", "inconclusive", jump, always([5, 1, 2]), (HALF_ON,)),
]


@named(INCONCLUSIVE)
def test_finite_differences_are_inconclusive(case):
    assert_verdict(case)


# Functions that need care


def branching(w):
    return sum_of_tanh(w) if w[0] > -9 else jnp.sum(w)


def masked(w):
    """The numbers decide how many of them are left."""
    return jnp.sum(jnp.tanh(w[w > -9]))


def repeated(w, times):
    for _ in range(times):
        w = jnp.tanh(w)
    return jnp.sum(w)


def repeated_by_hand(w, times):
    dy = jnp.ones_like(w)
    for _ in range(times):
        w = jnp.tanh(w)
        dy = dy * (1 - w**2)
    return dy


CONCRETE = [
    Case("match", "match", branching, tanh_by_hand),
    Case("factor", "manual_wrong", branching, scaled_tanh(2)),
    Case("unnamed", "manual_wrong", branching, jnp.cos),
    Case("masked", "match", masked, tanh_by_hand),
    Case("counted", "match", repeated, repeated_by_hand, (W, 2)),
    Case("miscounted", "manual_wrong", repeated, lambda w, n: repeated_by_hand(w, n + 1), (W, 2)),
]


@named(CONCRETE)
def test_a_function_of_concrete_numbers(case):
    """It depends on the numbers themselves, so that it cannot be traced."""
    assert_verdict(case)


TENTH = np.float32(0.1)


def narrow_inside(w):
    return jnp.sum(jnp.tanh(w.astype(jnp.float32)))


def narrow_carry(w):
    def step(carry, x):
        return carry + jnp.tanh(x).astype(jnp.float32), None

    return jax.lax.scan(step, jnp.zeros((), jnp.float32), w)[0]


def narrow_softplus(w):
    return jnp.sum(jax.nn.softplus(w.astype(jnp.float32)))


@jax.custom_vjp
def tanh_with_a_rule(x):
    return 0.3 * jnp.tanh(x) / 0.3


tanh_with_a_rule.defvjp(
    lambda x: (jnp.tanh(x), x), lambda x, dy: ((1 - jnp.tanh(x)) * (1 + jnp.tanh(x)) * dy,)
)


def narrow_rule(w):
    return jnp.sum(tanh_with_a_rule(w.astype(jnp.float32)))


def refusing(w):
    """Under strict promotion a float32 number cannot be multiplied by a float64 one."""
    return jnp.sum(jnp.tanh(jnp.asarray(TENTH) * w))


def tenth_by_hand(w, factor=1.0):
    return factor * 0.1 * (1 - jnp.tanh(0.1 * w) ** 2)


def dropped_out(w):
    """The mask is drawn in float32, whatever the type of w."""
    kept = jax.random.uniform(jax.random.key(0), w.shape, jnp.float32) < 0.7
    return jnp.sum(jnp.where(kept, jnp.tanh(w), 0))


def dropped_out_by_hand(w, factor=1.0):
    kept = jax.random.uniform(jax.random.key(0), w.shape, jnp.float32) < 0.7
    return jnp.where(kept, tanh_by_hand(w, factor), 0)


def refusing_and_random(w):
    """The numbers drawn depend on their type."""
    return jnp.sum(jnp.asarray(TENTH) * w**2 * jax.random.normal(jax.random.key(0), w.shape))


def random_by_hand(w, factor=1.0):
    drawn = jax.random.normal(jax.random.key(0), w.shape)
    return 2 * factor * jnp.asarray(TENTH) * w * drawn


def logistic_by_hand(w, factor=1.0):
    return factor / (1 + jnp.exp(-w))


EXACT = {narrow_inside, narrow_carry, narrow_softplus, narrow_rule, dropped_out}
NARROW = {
    "inside": (narrow_inside, tanh_by_hand),
    "carry": (narrow_carry, tanh_by_hand),
    "custom_jvp": (narrow_softplus, logistic_by_hand),
    "custom_vjp": (narrow_rule, tanh_by_hand),
    "constant": (refusing, tenth_by_hand),
    "random mask": (dropped_out, dropped_out_by_hand),
    "random numbers": (refusing_and_random, random_by_hand),
}


@pytest.mark.parametrize(("fun", "by_hand"), NARROW.values(), ids=NARROW)
def test_a_function_that_narrows_is_compared_in_float64(fun, by_hand):
    report = assert_verdict(Case("", "match", fun, by_hand))
    assert report.formula == "float64" or fun is dropped_out  # its candidate draws float32 too
    assert report.leaves[0].max_relative_error < (1e-14 if fun in EXACT else 1e-7)
    assert_verdict(Case("", "manual_wrong", fun, partial(by_hand, factor=1.00001)))


def test_half_an_ulp_of_a_constant_is_allowed_for():
    """0.1 and its float32 are 1.5e-8 apart; without the constant this would be a mistake."""
    off = 1 + 1.5e-8

    def in_numpy(w):
        return 0.1 * (1 - np.tanh(0.1 * np.asarray(w)) ** 2)

    report = assert_verdict(Case("", "match", refusing, in_numpy))
    assert 1e-8 < report.leaves[0].max_relative_error < report.leaves[0].tolerance < 5e-6
    assert_verdict(Case("", "manual_wrong", sum_of_tanh, scaled_tanh(off)))


def tanh_of(factor, w):
    return jnp.sum(jnp.tanh(jax.lax.convert_element_type(factor, w.dtype) * w))


def tanh_of_by_hand(factor, w):
    c = jax.lax.convert_element_type(factor, w.dtype)
    return c * (1 - jnp.tanh(c * w) ** 2)


@pytest.mark.parametrize(("own", "others"), [(jnp.full(3, TENTH), 0.1), (0.1, jnp.full(3, TENTH))])
def test_half_an_ulp_is_allowed_for_on_either_side(own, others):
    """Neither side computes in float32; only its constant has been rounded to it."""
    candidate = partial(tanh_of_by_hand, others)
    report = assert_verdict(Case("", "match", partial(tanh_of, own), candidate))
    assert 1e-9 < report.leaves[0].max_relative_error < report.leaves[0].tolerance < 1e-6


def in_type(dtype, factor, w):
    """Computes in a narrow type and returns it."""
    y = np.tanh(np.asarray(w).astype(dtype))
    return (factor * (1 - y * y)).astype(dtype)


def through_type(dtype, factor, w):
    """Computes in a narrow type and returns that of the argument."""
    return (factor * (1 - jnp.tanh(w.astype(dtype)) ** 2)).astype(w.dtype)


def through_type_in_numpy(dtype, factor, w):
    return in_type(dtype, factor, w).astype(np.asarray(w).dtype)


@pytest.mark.parametrize("by_hand", [in_type, through_type, through_type_in_numpy])
@pytest.mark.parametrize(
    ("dtype", "least", "most", "wrong"),
    [
        ("float32", 1e-7, 1e-6, 1.000002),
        ("float16", 5e-4, 5e-3, 1.005),
        ("bfloat16", 4e-3, 4e-2, 1.04),
    ],
)
def test_a_narrow_candidate_is_judged_by_its_measured_noise(by_hand, dtype, least, most, wrong):
    fun, narrow = sum_of_tanh, jnp.dtype(dtype)
    report = assert_verdict(Case("", "match", fun, partial(by_hand, narrow, 1)))
    assert report.formula == dtype
    assert f"compared within the measured noise of {dtype}, the type it computes in" in str(report)
    assert least < report.sensitivity < most
    found = assert_verdict(Case("", "manual_wrong", fun, partial(by_hand, narrow, wrong)))
    assert found.formula == dtype


def softmax_loss(z, y):
    return -jnp.sum(y * jax.nn.log_softmax(z)) / len(z)


def softmax_by_hand(xp, dtype, factor, z, y):
    z, y = (xp.asarray(array).astype(dtype) for array in (z, y))
    e = xp.exp(z - xp.max(z, axis=1, keepdims=True))
    return xp.asarray(factor, dtype) * (e / xp.sum(e, axis=1, keepdims=True) - y) / len(z)


def regression(w, x, y):
    return jnp.mean((jnp.tanh(x @ w) - y) ** 2)


def regression_by_hand(xp, dtype, factor, w, x, y):
    """Sums over the whole batch, which NumPy does in the narrow type."""
    w, x, y = (xp.asarray(array).astype(dtype) for array in (w, x, y))
    h = xp.tanh(x @ w)
    return x.T @ (xp.asarray(2 * factor / h.size, dtype) * (h - y) * (1 - h * h))


RNG = np.random.default_rng(0)
LOGITS = (3 * RNG.normal(size=(8, 300))).astype(np.float32)
ONE_HOT = np.eye(300, dtype=np.float32)[:8]
MANY = tuple(RNG.normal(size=shape).astype(np.float32) for shape in [(3, 2), (300, 3), (300, 2)])
REDUCING = {
    "softmax": (softmax_loss, softmax_by_hand, (LOGITS, ONE_HOT)),
    "regression": (regression, regression_by_hand, MANY),
}


NARROW_REDUCTIONS = [
    ("regression", np, "float16", 1.02),
    ("softmax", jnp, "bfloat16", 1.15),
    *(
        pytest.param(name, xp, dtype, wrong, marks=pytest.mark.corpus)
        for name in REDUCING
        for xp in (np, jnp)
        for dtype, wrong in (("float16", 1.02), ("bfloat16", 1.15))
    ),
]


@pytest.mark.parametrize(("name", "xp", "dtype", "wrong"), NARROW_REDUCTIONS)
def test_narrow_reductions_over_hundreds_of_numbers(name, xp, dtype, wrong):
    """The noise of a type depends on the operations: no bound holds for all of them."""
    fun, by_hand, args = REDUCING[name]
    narrow = jnp.dtype(dtype)
    with jax.numpy_dtype_promotion("standard"):
        assert_verdict(Case("", "match", fun, partial(by_hand, xp, narrow, 1.0), args))
        assert_verdict(Case("", "manual_wrong", fun, partial(by_hand, xp, narrow, wrong), args))


def test_float16_loses_digits_below_its_normal_numbers():
    """The gradient is of the size of 1e-6, where an ulp is 6 % of it."""
    tiny = partial(in_type, jnp.dtype("float16"), 1e-6)
    report = assert_verdict(Case("", "match", lambda w: 1e-6 * sum_of_tanh(w), tiny))
    assert 2e-2 < report.sensitivity < 0.5


@pytest.mark.parametrize("xp", [np, jnp])
def test_an_overflow_of_the_candidates_type_is_not_a_match(xp):
    """In float64 the same operations are right."""

    def squares(w):
        return jnp.sum((300 * w) ** 2)

    def by_hand(w):
        scaled = (xp.asarray(w).astype("float16") * xp.float16(300)) ** 2
        return (2 * scaled / xp.asarray(w).astype("float16")).astype("float16")

    with np.errstate(over="ignore"):
        assert_verdict(Case("", "manual_wrong", squares, by_hand))


def bfloat16_inside(w):
    return jnp.sum(jnp.tanh(w.astype(jnp.bfloat16))).astype(w.dtype)


def test_the_functions_narrowness_excuses_no_candidate():
    """The function is widened: its rounding to bfloat16 is no noise of its formula."""
    assert_verdict(Case("", "match", bfloat16_inside, tanh_by_hand))
    assert_verdict(Case("", "manual_wrong", bfloat16_inside, scaled_tanh(1.0001)))


def clipped(z):
    p = jnp.clip(jax.nn.sigmoid(z), 1e-6, 1 - 1e-6)
    return -jnp.sum(jnp.log(1 - p))


def clipped_by_hand(z):
    """1 - p has lost most of its digits; equality tells that it was not clipped."""
    e = jnp.exp(-z)
    p = 1 / (1 + e)
    kept = jnp.clip(p, 1e-6, 1 - 1e-6)
    return jnp.where(kept == p, 1 / (1 - kept), 0) * e / (1 + e) ** 2


def test_exact_operations_are_not_moved(monkeypatch):
    """If it were moved, a clipped number would no longer be equal: the noise would jump."""
    report = compare_gradients(clipped, clipped_by_hand, jnp.array([8.8], jnp.float32))
    assert report.ok, str(report)
    assert 1e-13 < report.sensitivity < 1e-9

    def moved():
        with jax.enable_x64(True):
            z = jnp.linspace(5, 9, 200)
            noisy = noise.noisy_outputs(trace(clipped_by_hand, (z,)).graph())
            return np.asarray(noisy([z], 1e-15, 0)[0])

    assert np.all(moved() != 0)
    monkeypatch.setattr(noise, "EXACT", frozenset())
    assert np.mean(moved() == 0) > 0.5


# Faults planted in the comparison

FAULTY_COMPILER = Case("", "compiler_wrong", in_values(faulty_tanh(("float32",))), tanh_by_hand)


def answering(verdict_given):
    def plant(monkeypatch):
        monkeypatch.setattr(verdict, "arbitrate", lambda *_, **__: verdict_given)

    return plant


def believing_autodiff(monkeypatch):
    """Plants a third reference that always agrees with autodiff."""
    right = arbitration._decide

    def decide(differences, autodiff, candidate):
        exactly = arbitration.Derivative(autodiff, 0.0)
        return right(type(differences)(exactly, exactly, exactly), autodiff, candidate)

    monkeypatch.setattr(arbitration, "_decide", decide)


def blind_to_kinks(monkeypatch):
    monkeypatch.setattr(arbitration.Differences, "kinked", False)


def trusting_the_compiler(monkeypatch):
    monkeypatch.setattr(compilation, "_miscompiled", lambda *_: None)


PLANTS = {
    "always manual": (answering("manual_wrong"), AUTODIFF_WRONG[0]),
    "always manual, of a kink": (answering("manual_wrong"), KINKS[2]),
    "always autodiff": (answering("autodiff_wrong"), MANUAL_WRONG[0]),
    "always kink": (answering("kink"), BESIDE_KINKS[0]),
    "always inconclusive": (answering("inconclusive"), MANUAL_WRONG[0]),
    "never inconclusive": (answering("manual_wrong"), INCONCLUSIVE[0]),
    "believes autodiff": (believing_autodiff, AUTODIFF_WRONG[0]),
    "sees no kink": (blind_to_kinks, KINKS[2]),
    "trusts the compiler": (trusting_the_compiler, FAULTY_COMPILER),
}


@pytest.mark.parametrize(("plant", "case"), PLANTS.values(), ids=PLANTS)
def test_a_broken_comparison_does_not_pass_these_tests(plant, case, monkeypatch):
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        assert_verdict(case)
