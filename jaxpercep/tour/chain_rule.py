"""The chain rule on the published 2-2-2 example, with all of its figures, in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxpercep.activations import sigmoid
from jaxpercep.compose import mlp
from jaxpercep.dense import DenseParams
from jaxpercep.gradients import value_and_grad
from jaxpercep.layer import Params
from jaxpercep.losses import SquaredError
from jaxpercep.tour.published import load
from jaxpercep.tour.section import Section, Table, agree
from jaxpercep.training import fit
from jaxpercep.update import TrainState

MODEL = mlp([2, 2, 2], sigmoid, sigmoid)
HALF_SQUARED_ERROR = SquaredError(0.5, "sum")
LONG_RUN = 10_000


def chain_rule() -> Section:
    """Recomputes the published example, forward, backward and update, to every printed digit."""
    published = load("mazur")
    with jax.enable_x64(True):
        groups = _compute(published)
        long_run = _long_run(published)
    figures = {
        name: {"published": p, "computed": c, "agrees": _agrees(p, c)}
        for group, computed in groups.items()
        for name, p, c in _pairs(published[group], computed)
    }
    off = [name for name, f in figures.items() if not f["agrees"]]
    wrong = published["published_but_wrong"]
    rows = [
        [
            _typeset(name),
            f"{f['published']}",
            f"{f['computed']:.12f}",
            "yes" if f["agrees"] else "last digit",
        ]
        for name, f in figures.items()
    ]
    return Section(
        "chain_rule",
        "The chain rule, number by number",
        f"The manual chain rule reproduces {len(figures) - len(off)} of the {len(figures)} figures "
        "of a well-known example to every printed digit; what remains is a misprint.",
        [
            "The best-known worked example of backpropagation: two inputs, two hidden neurons, two "
            "outputs, half the summed squared error, learning rate 0.5, biases kept fixed. The "
            "table holds its forward, backward and updated figures; the gradients of the manual "
            f"chain rule and of autodiff {agree(long_run['max_gradient_difference'])}. "
            + "".join(_misprint(name, figures[name]) for name in off),
            "Two more published figures are wrong, by more than rounding: the error "
            f"after one update is {long_run['error_after_one_update']:.9f}, not "
            f"{wrong['error_after_one_update']}, and after 10,000 updates the outputs are "
            f"{_listed(long_run['outputs_after_10000_updates'])}, not "
            f"{_listed(wrong['outputs_after_10000_updates'])}. Those come from propagating "
            "the gradient through output weights that were already updated.",
        ],
        {"figures": figures, "misprinted": off, **long_run},
        [Table("Worked example", ["figure", "published", "computed", "agrees"], rows)],
    )


def _params(published: dict[str, Any]) -> Params:
    def dense(name: str) -> DenseParams:
        w, b = published[f"w_{name}[in,out]"], published[f"b_{name}"]
        return DenseParams(jnp.asarray(w, jnp.float64), jnp.asarray(b, jnp.float64))

    return (dense("hidden"), (), dense("output"), ())


def _data(published: dict[str, Any]) -> tuple[jax.Array, jax.Array]:
    return jnp.asarray([published["inputs"]]), jnp.asarray([published["targets"]])


def _compute(published: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Runs forward and backward through the layers, and keeps every number on the way."""
    params, (x, target) = _params(published), _data(published)
    outputs: list[jax.Array] = [x]
    residuals: list[jax.Array] = []
    for layer, p in zip(MODEL.layers, params, strict=True):
        y, r = layer.forward(p, outputs[-1])
        outputs.append(y)
        residuals.append(r)
    total, loss_residuals = HALF_SQUARED_ERROR.forward(outputs[-1], target)
    deltas = [HALF_SQUARED_ERROR.backward(loss_residuals)]
    grads: list[DenseParams] = []
    for layer, p, r in reversed(list(zip(MODEL.layers, params, residuals, strict=True))):
        dparams, dx = layer.backward(p, r, deltas[-1])
        deltas.append(dx)
        grads.append(dparams)
    output_grads, hidden_grads = grads[1], grads[3]
    net_h, out_h, net_o, out_o = (y[0] for y in outputs[1:])
    errors = 0.5 * (out_o - target[0]) ** 2
    delta_o = deltas[1][0]
    through = delta_o * params[2].w  # dE_o/dout_h, a column per output neuron
    rate = published["learning_rate"]
    return {
        "forward": {
            "net_h1": net_h[0],
            "out_h1": out_h[0],
            "out_h2": out_h[1],
            "net_o1": net_o[0],
            "out_o1": out_o[0],
            "out_o2": out_o[1],
            "E_o1": errors[0],
            "E_o2": errors[1],
            "E_total": total,
        },
        "backward": {
            "dE/dout_o1": deltas[0][0, 0],
            "dout_o1/dnet_o1": sigmoid.derivative(out_o)[0],
            "delta_o1": delta_o[0],
            "dE/dw5": output_grads.w[0, 0],
            "dE_o1/dout_h1": through[0, 0],
            "dE_o2/dout_h1": through[0, 1],
            "dE/dout_h1": deltas[2][0, 0],
            "dout_h1/dnet_h1": sigmoid.derivative(out_h)[0],
            "dE/dw1": hidden_grads.w[0, 0],
        },
        # The example numbers the weights by the neuron they lead to, hence the transposes.
        "after_one_update": {
            "w1..w4": (params[0].w - rate * hidden_grads.w).T.ravel(),
            "w5..w8": (params[2].w - rate * output_grads.w).T.ravel(),
        },
    }


def _pairs(published: dict[str, Any], computed: dict[str, Any]) -> list[tuple[str, float, float]]:
    pairs: list[tuple[str, float, float]] = []
    for name, value in published.items():
        if not isinstance(value, list):
            pairs.append((name, value, float(computed[name])))
            continue
        first = int(name[1])  # "w5..w8"
        pairs += [
            (f"w{first + i} updated", v, float(c))
            for i, (v, c) in enumerate(zip(value, computed[name], strict=True))
        ]
    return pairs


def _agrees(published: float, computed: float) -> bool:
    """Compares after rounding the computed value to the digits that were printed."""
    digits = len(repr(published).partition(".")[2])
    return round(computed, digits) == published


def _typeset(name: str) -> str:
    """Puts the formula into backticks, and not the word after it."""
    formula, space, word = name.partition(" ")
    return f"`{formula}`{space}{word}"


def _misprint(name: str, figure: dict[str, Any]) -> str:
    right = f"{figure['computed']:.12f}"
    return f"{_typeset(name)} is misprinted in its last digit: {figure['published']} for {right}. "


def _long_run(published: dict[str, Any]) -> dict[str, Any]:
    """Compares both methods' gradients, and updates the weights 1 and 10,000 times."""
    params, (x, target) = _params(published), _data(published)
    _, manual = value_and_grad(MODEL, HALF_SQUARED_ERROR, "manual")(params, x, target)
    _, auto = value_and_grad(MODEL, HALF_SQUARED_ERROR)(params, x, target)
    labels = jax.tree.unflatten(jax.tree.structure(params), ["weight", "bias"] * 2)
    optimizer = optax.multi_transform(
        {"weight": optax.sgd(published["learning_rate"]), "bias": optax.set_to_zero()}, labels
    )
    state = TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))
    arguments = (MODEL, HALF_SQUARED_ERROR, optimizer, state, x, target)
    state, history = fit(*arguments, steps=LONG_RUN, method="manual")
    outputs = MODEL.apply(state.params, x)
    return {
        "max_gradient_difference": float(
            max(
                np.abs(a - b).max()
                for a, b in zip(jax.tree.leaves(manual), jax.tree.leaves(auto), strict=True)
            )
        ),
        "error_after_one_update": float(history.loss[1]),
        "error_after_10000_updates": float(HALF_SQUARED_ERROR.apply(outputs, target)),
        "outputs_after_10000_updates": outputs[0].tolist(),
    }


def _listed(numbers: list[float]) -> str:
    return ", ".join(f"{n:.8f}" for n in numbers)
