"""The contract of every layer and loss of `cases`, as one program for any configuration of JAX.

    JAX_ENABLE_X64=1 python -O tests/contract.py

Features stay in float32, as the datasets have them, whatever type the parameters have. Nothing here
is an `assert`, which -O would leave out.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from cases import (
    DENSE,
    FOREIGN,
    LAYERS,
    LOSSES,
    Case,
    LossCase,
    assert_agree,
    assert_same_form,
    assert_same_output,
    assert_same_value,
    draw,
    draw_params,
)

import jaxpercep as jp

README = Path(__file__).parents[1] / "README.md"
TOLERANCE = 64 * float(jnp.finfo(jnp.float32).eps)
OPTIMIZER = optax.sgd(1e-3)


def check_layer(case: Case) -> None:
    params = draw_params(case.layer, np.random.default_rng(0), jnp.zeros(()).dtype)
    x = draw(case, np.float32)[1]
    if case.layer == FOREIGN:  # a foreign function promotes its types itself
        x = x.astype(params["w"].dtype)
    y, _ = case.layer.forward(params, x)
    assert_same_output(y, case.layer.apply(params, x))
    check_step(case.layer, jp.SquaredError(), params, x, np.zeros(y.shape, np.float32))


def check_loss(case: LossCase) -> None:
    prediction, target = case.draw(np.random.default_rng(0))
    p = jnp.asarray(prediction, jnp.zeros(()).dtype)
    value, _ = case.loss.forward(p, target)
    assert_same_value(case.loss, value, case.loss.apply(p, target), TOLERANCE)
    np.testing.assert_allclose(value, case.reference(prediction, target), TOLERANCE)
    features = p.shape[-1]
    end = jp.identity if case.loss.takes_logits else jp.sigmoid
    model = jp.mlp([features, features], output=end)
    params = draw_params(model, np.random.default_rng(0), p.dtype)
    check_step(model, case.loss, params, p.astype(np.float32), target)


def check_step(model: jp.Layer, loss: jp.Loss, params: Any, x: Any, y: Any) -> None:
    """Takes a step of gradient descent by each method; dL/dx has to agree too."""
    prediction, residuals = model.forward(params, x)
    value, loss_residuals = loss.forward(prediction, y)
    ours = model.backward(params, residuals, loss.backward(loss_residuals))

    def objective(params: Any, x: Any) -> jax.Array:
        return loss.apply(model.apply(params, x), y)

    assert_agree((value, ours), jax.value_and_grad(objective, (0, 1))(params, x), TOLERANCE)
    changes, _ = OPTIMIZER.update(ours[0], OPTIMIZER.init(params))
    assert_same_form(optax.apply_updates(params, changes), params)


def check_training() -> None:
    """Trains one network of every kind of layer by both methods, and compares its gradients."""
    data = jp.datasets.logic_gate("XOR")
    block = jp.Residual(jp.Serial(jp.LayerNorm(3), DENSE, jp.gelu))
    model = jp.Serial(jp.Residual(jp.Dense(2, 2)), jp.Dense(2, 3, b_init="normal"))
    model, loss = jp.Serial(model, jp.Repeat(block, 2), jp.Dense(3, 1)), jp.BinaryCrossEntropy()
    state = jp.init_state(model, OPTIMIZER, jax.random.key(0))
    train = partial(jp.fit, model, loss, OPTIMIZER, state, data.x, data.y, steps=3)
    ours, theirs = (train(method=method)[1].loss for method in ("manual", "autodiff"))
    np.testing.assert_allclose(ours, theirs, TOLERANCE)
    if not ours[2] < ours[0]:
        raise AssertionError(f"training does not lower the loss: {ours}")
    jp.compare_model(model, loss, state.params, data.x, data.y).raise_if_wrong()


def check_readme() -> None:
    """Runs the first example of the README, which prints what stands below it."""
    blocks = re.findall(r"^```\w+\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "example.py"  # whose source is read
        file.write_text(blocks[0])
        exec(compile(blocks[0], file, "exec"), names)
        message = str(names["report"].repair)
    if message != blocks[1].strip():
        raise AssertionError(message)


def checks() -> Iterator[tuple[str, Callable[[], None]]]:
    yield from ((case.name, partial(check_layer, case)) for case in LAYERS)
    yield from ((case.name, partial(check_loss, case)) for case in LOSSES)
    yield "training", check_training
    yield "the README", check_readme


def main() -> None:
    failures = []
    for name, check in checks():
        try:
            check()
        except Exception as error:
            error.add_note(f"in the contract of {name}")
            failures.append(error)
    if failures:
        raise ExceptionGroup("the contract does not hold", failures)


if __name__ == "__main__":
    main()
