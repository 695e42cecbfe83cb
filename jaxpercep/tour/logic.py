"""Logic gates: a perceptron learns AND and OR but not XOR; a hidden layer learns XOR."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxpercep.activations import sigmoid, step
from jaxpercep.certificates import Separable, certify
from jaxpercep.compare import compare_model
from jaxpercep.compose import Serial, mlp, perceptron
from jaxpercep.datasets import logic_gate
from jaxpercep.dense import DenseParams
from jaxpercep.gradients import Method
from jaxpercep.layer import Params
from jaxpercep.losses import BinaryCrossEntropy
from jaxpercep.plots import decision_boundaries, loss_curves
from jaxpercep.rosenblatt import append_bias, perceptron_rule
from jaxpercep.tour.published import dense_params, load
from jaxpercep.tour.section import Picture, Section, Table, agree
from jaxpercep.training import fit
from jaxpercep.update import TrainState

METHODS: tuple[Method, ...] = ("autodiff", "manual")
LOSS = BinaryCrossEntropy(from_logits=False)
SGD = optax.sgd(1.0)
STEPS = 10_001  # the published tables list the loss before update 0, 100, ..., 10000
DEEP_SIZES = (2, 10, 10, 10, 1)
DEEP_SEEDS = range(5)


def threshold_neuron() -> Section:
    """Runs Rosenblatt's rule on AND, OR and XOR, with a certificate for each outcome."""
    results = {gate: _learn_gate(gate) for gate in ("AND", "OR", "XOR")}
    rows = [
        [
            gate,
            "yes" if r["converged"] else f"no, in {r['epochs']} epochs",
            str(r["mistakes"]),
            f"{r['bound']:.1f}" if "bound" in r else "none",
            " ".join(f"{o:.0f}" for o in r["outputs"]),
            " ".join(f"{t:.0f}" for t in r["targets"]),
        ]
        for gate, r in results.items()
    ]
    header = ["gate", "converged", "mistakes", "bound `(R/gamma)^2`", "outputs", "targets"]
    witness = ", ".join(f"{w:.2f}" for w in results["XOR"]["witness"])
    return Section(
        "threshold_neuron",
        "Threshold neuron and Rosenblatt's rule",
        "A single neuron learns AND and OR, within the bound on its mistakes, and never XOR.",
        [
            "A threshold neuron fires where `w x + b > 0`. Rosenblatt's rule adds or subtracts "
            "every sample it gets wrong. On separable data it makes at most `(R/gamma)^2` "
            "mistakes, with radius `R` and margin `gamma` of the data (Novikoff, 1962).",
            "That XOR cannot be learned has a proof: with "
            f"weights {witness} the four samples, each times its label, average to zero. A neuron "
            "that is right on all four needs `label * (w x + b) > 0` for each, and therefore for "
            "their average, which is 0.",
        ],
        results,
        [Table("Rosenblatt's rule from zero weights", header, rows)],
    )


def perceptron_on_xor() -> Section:
    """Trains the sigmoid perceptron on XOR: stuck at ln 2, as in the published table."""
    model, published = perceptron(2), load("lecture_lab08")["lab-08-1"]
    results = _reproduce(model, published)
    worst = max(results[method]["max_absolute_difference"] for method in METHODS)
    outputs = ", ".join(f"{p:.4f}" for p in results["manual"]["outputs"])
    return Section(
        "perceptron_xor",
        "A perceptron on XOR: stuck at ln 2",
        f"The loss stays at {results['manual']['final_loss']:.4f}, which is `ln 2`, and the "
        f"outputs at {outputs}: the best that a single line can do is to remain undecided.",
        [
            "Sigmoid, cross entropy and gradient descent with learning rate 1 for 10,000 steps.",
            "From the published initial weights, the whole published loss table is reproduced: the "
            f"largest absolute difference is {worst:.1e} over {results['table_rows']} rows and "
            f"both gradient methods. {_agreement(results)}",
        ],
        results,
    )


def mlp_on_xor() -> Section:
    """Trains the 2-2-1 network on XOR, as in the published table, and a deeper one."""
    model, published = mlp([2, 2, 1], sigmoid, sigmoid), load("lecture_lab08")["lab-08-2"]
    results = _reproduce(model, published)
    deep = _train_deep()
    difference = max(results[method]["max_relative_difference"] for method in METHODS)
    output_difference = max(results[method]["max_output_difference"] for method in METHODS)
    return Section(
        "mlp_xor",
        "A hidden layer solves XOR",
        "With two hidden neurons the loss falls to "
        f"{results['manual']['final_loss']:.6f} in 10,000 steps, and every output is right.",
        [
            "The loss and the optimizer are the perceptron's. The largest relative difference to "
            f"the published table is {difference:.1e}, and the largest difference to the published "
            f"outputs is {output_difference:.1e}. {_agreement(results)}",
            f"The deeper network 2-10-10-10-1 learns XOR from {deep['solved']} of "
            f"{len(DEEP_SEEDS)} random starts (final losses {min(deep['final_losses']):.1e} to "
            f"{max(deep['final_losses']):.1e}): its long plateau at `ln 2` is the price of three "
            "sigmoid layers.",
        ],
        {**results, "deep": deep},
        [_truth_table(results)],
        _pictures(),
    )


def _learn_gate(gate: str) -> dict[str, Any]:
    data = logic_gate(gate)
    x, labels = append_bias(data.x), 2 * data.y[:, 0] - 1
    result = perceptron_rule(x, labels)
    certificate = certify(x, labels)
    w = result.weights
    neuron = (DenseParams(w[:-1, None], w[-1:]), ())
    learned = {
        "converged": bool(result.converged),
        "epochs": int(result.epochs),
        "mistakes": int(result.mistakes),
        "weights": np.asarray(w).tolist(),
        "outputs": perceptron(2, step).apply(neuron, data.x)[:, 0].tolist(),
        "targets": data.y[:, 0].tolist(),
    }
    if isinstance(certificate, Separable):
        return learned | {
            "margin": certificate.margin,
            "radius": certificate.radius,
            "bound": certificate.bound,
        }
    return learned | {
        "witness": certificate.weights.tolist(),
        "witness_residual": certificate.residual,
    }


def _train(model: Serial, params: Params, method: Method) -> tuple[TrainState, np.ndarray]:
    data = logic_gate("XOR")
    state = TrainState(jnp.zeros((), jnp.int32), params, SGD.init(params))
    state, history = fit(model, LOSS, SGD, state, data.x, data.y, steps=STEPS, method=method)
    return state, history.loss


def _published_start(model: Serial, published: dict[str, Any]) -> Params:
    layers = iter(published["init"])
    empty = model.init(jax.random.key(0))
    return tuple(dense_params(next(layers)) if p else p for p in empty)


def _reproduce(model: Serial, published: dict[str, Any]) -> dict[str, Any]:
    """Trains from the published weights by both methods and compares with the published table."""
    data, params = logic_gate("XOR"), _published_start(model, published)
    steps, table = (np.array(column) for column in zip(*published["loss_table"], strict=True))
    results: dict[str, Any] = {"table_rows": len(table)}
    curves = {}
    for method in METHODS:
        state, losses = _train(model, params, method)
        outputs = np.asarray(model.apply(state.params, data.x))[:, 0]
        difference = np.abs(losses[steps] - table)
        curves[method] = losses
        results[method] = {
            "final_loss": float(losses[-1]),
            "outputs": outputs.tolist(),
            "loss_table": [[int(s), float(losses[s])] for s in steps],
            "max_absolute_difference": float(difference.max()),
            "max_relative_difference": float((difference / table).max()),
            "max_output_difference": float(
                np.abs(outputs - published["final_probabilities"]).max()
            ),
        }
    report = compare_model(model, LOSS, params, data.x, data.y)
    results["agreement"] = {
        "verdict": report.verdict,
        "max_relative_gradient_error": max(leaf.max_relative_error for leaf in report.leaves),
        "max_loss_difference": float(np.abs(curves["manual"] - curves["autodiff"]).max()),
    }
    return results


def _agreement(results: dict[str, Any]) -> str:
    agreement = results["agreement"]
    return (
        "Manual and autodiff gradients "
        f"{agree(agreement['max_relative_gradient_error'])} at the start, in float64; in float32 "
        f"their loss curves {agree(agreement['max_loss_difference'])} throughout."
    )


def _deep_model() -> Serial:
    return mlp(DEEP_SIZES, sigmoid, sigmoid, w_init="torch_linear", b_init="torch_linear")


def _train_deep() -> dict[str, Any]:
    model, data = _deep_model(), logic_gate("XOR")
    runs = [_train(model, model.init(jax.random.key(seed)), "manual") for seed in DEEP_SEEDS]
    outputs = [model.apply(state.params, data.x) for state, _ in runs]
    return {
        "sizes": list(DEEP_SIZES),
        "seeds": list(DEEP_SEEDS),
        "final_losses": [float(losses[-1]) for _, losses in runs],
        "solved": sum(np.array_equal(p > 0.5, data.y) for p in outputs),
    }


def _truth_table(results: dict[str, Any]) -> Table:
    data = logic_gate("XOR")
    rows = [
        [f"{a:.0f} {b:.0f}", f"{target[0]:.0f}", f"{manual:.6f}", f"{auto:.6f}"]
        for (a, b), target, manual, auto in zip(
            data.x,
            data.y,
            results["manual"]["outputs"],
            results["autodiff"]["outputs"],
            strict=True,
        )
    ]
    return Table("XOR by the 2-2-1 network", ["inputs", "target", "manual", "autodiff"], rows)


def _pictures() -> list[Picture]:
    data, published = logic_gate("XOR"), load("lecture_lab08")
    single, two_layers, deep = perceptron(2), mlp([2, 2, 1], sigmoid, sigmoid), _deep_model()
    starts = {
        "perceptron 2-1": (single, _published_start(single, published["lab-08-1"])),
        "MLP 2-2-1": (two_layers, _published_start(two_layers, published["lab-08-2"])),
        "MLP 2-10-10-10-1": (deep, deep.init(jax.random.key(DEEP_SEEDS[0]))),
    }
    runs = {title: _train(model, params, "manual") for title, (model, params) in starts.items()}
    predictors = {
        title: partial(starts[title][0].apply, runs[title][0].params)
        for title in ("perceptron 2-1", "MLP 2-2-1")
    }
    curves = {title: losses for title, (_, losses) in runs.items()}
    spike = int(np.argmax(curves["MLP 2-10-10-10-1"][1000:])) + 1000
    return [
        Picture(
            "xor_boundaries",
            "XOR: the perceptron says 0.5 everywhere; two hidden neurons cut the plane twice.",
            decision_boundaries(predictors, data.x, data.y),
        ),
        Picture(
            "xor_loss",
            "XOR: binary cross entropy over training, learning rate 1, full batch. The spike at "
            f"step {spike:,} is an overshoot: where the deep network leaves its plateau, the "
            "loss is so curved that a step of this length leads uphill; a shorter one would not.",
            loss_curves(curves, title="Learning XOR", ylabel="binary cross entropy (nats)"),
        ),
    ]
