"""Networks trained together are those that `fit` trains one by one."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxpercep as jp
from jaxpercep.datasets import logic_gate
from jaxpercep.lanes import in_lanes, suits_lanes

DATA = logic_gate("XOR")
KEYS = jax.random.split(jax.random.key(0), 130)  # a block and two more
CROSS_ENTROPY = jp.BinaryCrossEntropy()
MLP = jp.mlp([2, 3, 1], jp.tanh)


def train(model=MLP, loss=CROSS_ENTROPY, optimizer=None, keys=KEYS, data=DATA, steps=6, **options):
    optimizer = optimizer or optax.sgd(0.5)
    return jp.train_population(model, loss, optimizer, keys, *data[:2], steps=steps, **options)


def network(population, i):
    return jax.tree.map(lambda a: a[i], population.states)


def assert_is_fit(
    population, i, model, loss, optimizer, data=DATA, steps=6, method="manual", rtol=1e-4, atol=1e-5
):
    state = jp.init_state(model, optimizer, KEYS[i])
    due, history = jp.fit(model, loss, optimizer, state, *data[:2], steps=steps, method=method)
    np.testing.assert_allclose(population.losses[i], history.loss, rtol, atol)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol, atol),
        network(population, i),
        due,
    )


@pytest.mark.usefixtures("x64")  # Adam and a layer norm magnify rounding
@pytest.mark.parametrize("method", ["manual", "autodiff"])
@pytest.mark.parametrize(
    ("model", "loss", "optimizer"),
    [
        (MLP, CROSS_ENTROPY, optax.chain(optax.clip_by_global_norm(0.05), optax.sgd(0.5))),
        (
            jp.Serial(jp.Dense(2, 4), jp.LayerNorm(4), jp.gelu, jp.Dense(4, 2)),
            jp.SoftmaxCrossEntropy(),
            optax.adam(0.05),
        ),
        (jp.mlp([2, 3, 3, 3, 1], jp.relu, scan=True), jp.SquaredError(), optax.sgd(0.1)),
    ],
    ids=["clipped", "normalized", "repeated"],
)
def test_each_network_is_what_fit_makes_of_it(model, loss, optimizer, method):
    labels = isinstance(loss, jp.SoftmaxCrossEntropy)
    data = (DATA.x.astype(float), DATA.y[:, 0].astype(int) if labels else DATA.y)
    population = train(model, loss, optimizer, data=data, method=method)
    for i in (0, 128, 129):
        assert_is_fit(
            population, i, model, loss, optimizer, data, method=method, rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("count", [3, 130])
def test_each_network_has_its_own_learning_rate(count):
    rates = np.linspace(0.1, 2, count)
    population = train(optimizer=optax.adam, keys=KEYS[:count], learning_rates=rates)
    for i in (0, count - 1):
        assert_is_fit(population, i, MLP, CROSS_ENTROPY, optax.adam(float(rates[i])))


def test_one_that_diverges_leaves_the_others_alone():
    rates = np.full(130, 0.1)
    rates[7] = 1e30
    loss = jp.SquaredError()
    with pytest.warns(RuntimeWarning, match="1 network of 130 diverged"):
        population = train(loss=loss, optimizer=optax.sgd, learning_rates=rates)
    assert np.flatnonzero(population.diverged).tolist() == [7]
    assert_is_fit(population, 8, MLP, loss, optax.sgd(0.1))


def test_keeps_the_loss_of_every_third_step():
    every, third = train(), train(record_every=3)
    assert third.losses.shape == (130, 2)
    np.testing.assert_allclose(third.losses, every.losses[:, ::3], rtol=1e-5)
    np.testing.assert_allclose(third.states.params[0].w, every.states.params[0].w, rtol=1e-4)
    assert (third.states.step == 6).all()


def test_the_states_predict_by_vmap():
    prediction = jax.vmap(MLP.apply, (0, None))(train().states.params, DATA.x)
    assert prediction.shape == (130, 4, 1)


def test_networks_are_spread_over_the_devices_of_a_mesh():
    program = (
        "import jax, numpy as np, optax, jaxpercep as jp\n"
        "from jaxpercep.datasets import logic_gate\n"
        "x, y, _ = logic_gate('XOR')\n"
        "args = jp.mlp([2, 3, 1], jp.tanh), jp.BinaryCrossEntropy(), optax.sgd(0.5)\n"
        "mesh = jax.make_mesh((2,), ('networks',))\n"
        "for n in (5, 130):\n"
        "    keys = jax.random.split(jax.random.key(0), n)\n"
        "    one = jp.train_population(*args, keys, x, y, steps=4)\n"
        "    two = jp.train_population(*args, keys, x, y, steps=4, mesh=mesh)\n"
        "    np.testing.assert_allclose(one.losses, two.losses, rtol=1e-5)\n"
    )
    environment = os.environ | {
        "JAX_NUM_CPU_DEVICES": "2",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"keys": KEYS[0]}, TypeError, r"keys=.*jax\.random\.split"),
        ({"keys": KEYS[:0]}, ValueError, "and no key"),
        ({"optimizer": optax.sgd}, TypeError, r"is a function; pass optax\.sgd\(0\.1\)"),
        ({"learning_rates": [0.1] * 130}, TypeError, "pass optax.sgd, for instance, and not"),
        (
            {"optimizer": optax.sgd, "learning_rates": [0.1]},
            ValueError,
            r"shape \[1\], expected \[130\]",
        ),
        ({"optimizer": optax.sgd, "learning_rates": [0.0] * 130}, ValueError, "above 0"),
        ({"steps": 0}, ValueError, "steps=0"),
        ({"record_every": 4}, ValueError, "steps=6 is not a multiple of record_every=4"),
        ({"steps": 2**31 - 1}, ValueError, "larger record_every"),
        ({"method": "auto"}, ValueError, "method='auto'"),
        ({"mesh": 2}, TypeError, "mesh=2"),
        ({"data": (DATA.x, DATA.y[:3])}, ValueError, "one target per sample"),
    ],
)
def test_refuses(options, error, message):
    with pytest.raises(error, match=message):
        train(**options)


# Lanes


@pytest.mark.parametrize(
    "fun",
    [
        lambda a, x: (a @ x.T, a.sum(), a.T.reshape(-1), x + 1),
        lambda a, x: jnp.where(a.max() > 0, a * x, jnp.sort(a, 1)[:, ::-1]) / jnp.linalg.norm(a),
        lambda a, x: jax.lax.scan(lambda c, r: (c + r @ x.T, c), jnp.zeros(3), a),
        lambda a, x: jnp.einsum("ij,ij->i", a, x).cumsum() + jnp.tile(a[0], 50).sum(),
    ],
)
def test_in_lanes_is_vmap(fun):
    rng = np.random.default_rng(0)
    a = jnp.asarray(rng.normal(size=(3, 2, 8)), jnp.float32)
    x = jnp.asarray(rng.normal(size=(3, 2)), jnp.float32)
    due = jax.vmap(fun, (-1, None), out_axes=-1)(a, x)
    came = jax.jit(in_lanes(fun))(a, x)
    jax.tree.map(lambda p, q: np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-6), came, due)


def test_lanes_are_for_small_products_without_a_loop():
    small, large = jnp.ones((4, 8)), jnp.ones((64, 64))
    assert suits_lanes(lambda a: a @ a.T, small)
    assert not suits_lanes(lambda a: a @ a.T, large)
    assert not suits_lanes(lambda a: jnp.sum(a[:, :, None] * a.T, 1), large)
    assert not suits_lanes(lambda a: jax.lax.scan(lambda c, r: (c + r, c), a[0], a), small)
