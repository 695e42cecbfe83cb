"""Whatever a program may hold: literals of every type, solvers, callbacks, keys, loops, effects."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import io_callback
from jax.experimental.ode import odeint

from jaxpercep import compare_gradients
from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.function import Function
from jaxpercep.compare.program.jaxprs import trace

pytestmark = pytest.mark.slow

W = np.random.default_rng(3).normal(size=4).astype(np.float32)
M = np.eye(4, dtype=np.float32) + 0.1


def boolean_literal(w):
    return jnp.sum(jnp.where(jnp.logical_and(w > 0, True), w**2, 0))


def mask_with_one_unset(w):
    return jnp.sum(jnp.where((w > -9).at[1].set(False), w**2, 0))


def solve(w):
    return jnp.sum(jnp.linalg.solve(M + jnp.outer(w, w), w) ** 2)


def expm(w):
    return jnp.sum(jax.scipy.linalg.expm(jnp.outer(w, w) / 4))


def conjugate_gradients(w):
    return jnp.sum(jax.scipy.sparse.linalg.cg(M + jnp.diag(w**2), w, tol=1e-14)[0])


def implicit_root(w):
    def f(x):
        return x**3 + x - w

    def newton(f, x):
        def step(state):
            return state[0] - f(state[0]) / (3 * state[0] ** 2 + 1), state[1] + 1

        return lax.while_loop(lambda state: state[1] < 60, step, (x, 0))[0]

    def tangent(g, y):
        return y / g(jnp.ones_like(y))

    return jnp.sum(lax.custom_root(f, jnp.zeros_like(w), newton, tangent))


def counted(w):
    top = jnp.max(lax.stop_gradient(w))
    return jnp.sum(w**2) * lax.while_loop(lambda c: c < top, lambda c: c + 1, -top)


def segments(w):
    return jnp.sum(jax.ops.segment_sum(w**2, jnp.array([0, 1, 0, 2]), 3) ** 2)


def scattered(w):
    x = jnp.ones(3, w.dtype).at[jnp.array([0, 9])].max(w[:2], mode="drop")
    return jnp.sum(x.at[1].min(w[2]) * w[:3])


def cholesky(w):
    return jnp.sum(jnp.linalg.cholesky(M + jnp.outer(w, w)) ** 3)


def eigenvalues(w):
    return jnp.sum(jnp.linalg.eigh(jnp.diag(jnp.arange(4)) + jnp.outer(w, w))[0] ** 3)


def spectrum(w):
    return jnp.sum(jnp.abs(jnp.fft.irfft(jnp.fft.rfft(w) * (2 + 1j))) ** 2)


def complex_inside(w):
    return jnp.sum(jnp.abs(jnp.exp(1j * w) + 2) ** 2)


def sorted_together(w):
    _, second = lax.sort((w, w**2), num_keys=1)
    return jnp.sum(second * jnp.arange(4) + lax.top_k(w, 1)[0])


def branches(w):
    a, (b, on) = lax.cond(w[0] > 0, lambda w: (w, (w, True)), lambda w: (w, (w**2, False)), w)
    return jnp.sum(a) + jnp.sum(b) * ~on


def scans_keys(w):
    def step(c, key):
        return c * jax.random.uniform(key, c.shape, w.dtype), None

    return jnp.sum(lax.scan(step, w, jax.random.split(jax.random.key(1), 3))[0] ** 2)


def reports(w):
    jax.debug.callback(lambda _: None, w, ordered=True)
    io_callback(lambda _: None, None, lax.stop_gradient(w))
    return jnp.sum(jax.checkpoint(jnp.sin)(w))


def references(w):
    ref = jax.new_ref(w)
    ref[0] = w[1] ** 2
    return jnp.sum(ref[...] ** 2)


def bits(w):
    return jnp.sum(jnp.where(lax.bitcast_convert_type(w, jnp.int32) > 0, w**2, w))


@jax.custom_jvp
def sine_in_numpy(x):
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)


@sine_in_numpy.defjvp
def cosine(primals, tangents):
    return sine_in_numpy(*primals), jnp.cos(*primals) * tangents[0]


def callback(w):
    return jnp.sum(sine_in_numpy(w) ** 2)


PROGRAMS = [
    *(boolean_literal, mask_with_one_unset, solve, conjugate_gradients, implicit_root, counted),
    *(segments, scattered, cholesky, eigenvalues, spectrum, complex_inside, sorted_together),
    *(branches, scans_keys, reports, references, bits, callback, expm),
]
CHEAP = {boolean_literal, mask_with_one_unset, scattered, references, bits, callback, reports}
SLOW = [p if p in CHEAP else pytest.param(p, marks=pytest.mark.corpus) for p in PROGRAMS]
NOT_FORWARD = {references, reports}


@pytest.mark.parametrize("fun", SLOW)
def test_a_right_gradient_of_any_program_matches(fun):
    by_hand = jax.grad(fun) if fun in NOT_FORWARD else jax.jit(jax.jacfwd(fun))
    with jax.numpy_dtype_promotion("standard"):
        report = compare_gradients(fun, by_hand, W)
        assert report.ok, str(report)
        assert report.formula == ("float32" if fun is callback else "float64")


WIDENED = [p for p in PROGRAMS if p not in (callback, bits, references)]
if jax.__version_info__ >= (0, 11):
    WIDENED.remove(implicit_root)  # its linear solve keeps the types it was traced with


@pytest.mark.parametrize("fun", WIDENED)
def test_any_program_is_widened(fun):
    """As one is that narrows inside: the bodies of loops and solvers, too."""
    with jax.numpy_dtype_promotion("standard"):
        native, traced = jax.grad(fun)(W), trace(fun, (W,))
        with jax.enable_x64(True):
            graph = traced.graph(widen=True)
            traced.with_moved_constants()
            wide = Function(fun, [0], fun).of_graph(graph).gradient()([W.astype(float)])
    assert wide.value.dtype == wide.leaves[0].dtype == np.float64
    assert trees.distance(native, wide.leaves[0]) < 1e-4 * trees.largest(native)


@pytest.mark.corpus
@pytest.mark.parametrize("times", [[0.0, 1.0], np.array([0, 1], np.float32)])
def test_the_times_of_a_solver_may_be_constants(times):
    """Its rule indexes them with tracers, and refuses float64 beside float32."""

    def fun(w):
        return jnp.sum(odeint(lambda y, _: -y, w, jnp.array(times))[-1])

    report = compare_gradients(fun, lambda w: jnp.full_like(w, np.exp(-1)), W)
    assert report.verdict in ("match", "both_wrong", "inconclusive")  # the solver's own tolerance
    assert report.leaves[0].max_relative_error < 1e-6


def test_a_callback_does_not_excuse_an_error():
    with jax.numpy_dtype_promotion("standard"):
        wrong = compare_gradients(callback, lambda w: (1 + 1e-5) * jnp.sin(2 * w), W)
    assert wrong.verdict != "match"
