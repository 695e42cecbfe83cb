"""Real data: 1,797 handwritten digits of 8x8 pixels, and the effect of depth on gradients."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxpercep.activations import Activation, relu, sigmoid
from jaxpercep.compare import compare_model
from jaxpercep.compose import Serial, mlp
from jaxpercep.datasets import Split, digits
from jaxpercep.gradients import Method, value_and_grad
from jaxpercep.layer import Params
from jaxpercep.losses import Loss, SoftmaxCrossEntropy, SquaredError
from jaxpercep.plots import confusion_matrix, gradient_norms, misread
from jaxpercep.tour.section import Picture, Section, Table, agree
from jaxpercep.training import fit
from jaxpercep.update import init_state

SEEDS = range(5)
DEPTH = 8
WIDTH = 30
SNAPSHOTS = 40
STEPS_PER_SNAPSHOT = 25


@dataclass(frozen=True)
class Recipe:
    """A network and its training."""

    title: str
    model: Serial
    loss: Loss
    optimizer: optax.GradientTransformation
    batch_size: int
    epochs: int
    one_hot: bool

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """Returns labels in the form that the loss takes."""
        return np.eye(10, dtype=np.float32)[labels] if self.one_hot else labels


# The deltas that the lecture derives by hand are those of half the summed squared error.
SQUARED_ERROR = Recipe(
    "64-30-10 sigmoid, squared error",
    mlp([64, 30, 10], sigmoid, sigmoid),
    SquaredError(0.5, "sum"),
    optax.sgd(0.5),
    batch_size=10,
    epochs=60,
    one_hot=True,
)
NORMAL_START = replace(
    SQUARED_ERROR,
    title="the same from `N(0, 1)` weights, as in the lecture",
    model=mlp([64, 30, 10], sigmoid, sigmoid, w_init=jax.random.normal, b_init=jax.random.normal),
)
SOFTMAX = Recipe(
    "64-256-10 ReLU, softmax cross entropy",
    mlp([64, 256, 10], relu),
    SoftmaxCrossEntropy(),
    optax.adam(1e-3),
    batch_size=32,
    epochs=40,
    one_hot=False,
)
RECIPES = {
    "squared_error": SQUARED_ERROR,
    "squared_error_normal_start": NORMAL_START,
    "softmax": SOFTMAX,
}


def read_digits() -> Section:
    """Trains each recipe by the manual chain rule from five seeds, and by autodiff from one."""
    data = digits()
    trained = {
        name: [_train(recipe, data, seed, "manual") for seed in SEEDS]
        for name, recipe in RECIPES.items()
    }
    results = {name: _measure(RECIPES[name], data, trained[name]) for name in RECIPES}
    rows = [
        [
            RECIPES[name].title,
            f"{100 * r['mean_test_accuracy']:.1f} %",
            f"{100 * min(r['test_accuracies']):.1f} to {100 * max(r['test_accuracies']):.1f} %",
            f"{100 * r['autodiff_test_accuracy']:.1f} %",
            r["agreement"]["verdict"],
        ]
        for name, r in results.items()
    ]
    header = ["network", "mean test accuracy", "5 seeds", "autodiff, seed 0", "gradients"]
    worst = max(r["agreement"]["max_relative_gradient_error"] for r in results.values())
    return Section(
        "digits",
        "Reading handwritten digits",
        f"The lecture's network reads {100 * results['squared_error']['mean_test_accuracy']:.1f} % "
        "of the test digits, a softmax network "
        f"{100 * results['softmax']['mean_test_accuracy']:.1f} %: means of {len(SEEDS)} seeds.",
        [
            f"{len(data.train.x)} training digits and {len(data.test.x)} test digits, split in the "
            "same way for all networks. The first network is the lecture's: sigmoid layers, deltas "
            "of half the summed squared error derived by hand, batches of 10. The last one ends in "
            "softmax with cross entropy. Seeds change the initial weights and the order of the "
            "samples.",
            "With `N(0, 1)` initial weights, the first network sometimes never learns one digit: "
            "an output neuron that starts saturated gets almost no gradient through its sigmoid, "
            "and stays silent. Scaling the weights to the layer's size (Glorot) prevents it.",
            f"At the trained weights manual and autodiff gradients {agree(worst)} in float64.",
        ],
        results,
        [Table("Test accuracy, trained by the manual chain rule", header, rows)],
        _reading_pictures(data, trained["softmax"][0]),
    )


def vanishing_gradients() -> Section:
    """Measures every layer's gradient norm in a deep sigmoid stack and in a ReLU stack."""
    data = digits()
    norms = {
        f"{name}, {DEPTH} hidden layers": _gradient_norms(activation, w_init, data)
        for name, activation, w_init in (
            ("sigmoid", sigmoid, "glorot_uniform"),
            ("ReLU", relu, "he_uniform"),
        )
    }
    steps = [i * STEPS_PER_SNAPSHOT for i in range(SNAPSHOTS)]
    of_sigmoid, of_relu = norms.values()
    # The fraction of the last layer's gradient that arrives at the first one, before training.
    arriving = {
        "sigmoid": of_sigmoid[0, 0] / of_sigmoid[0, -1],
        "relu": of_relu[0, 0] / of_relu[0, -1],
    }
    return Section(
        "vanishing_gradients",
        "Vanishing gradients",
        f"Before training, the first layer's gradient is {arriving['sigmoid']:.0e} of the last "
        f"layer's in the sigmoid stack, and {arriving['relu']:.2g} of it in the ReLU stack.",
        [
            f"{DEPTH} hidden layers of {WIDTH} neurons on the digits, gradient descent at 0.1. "
            "In the backward pass, every sigmoid multiplies the gradient by at most `1/4`. The "
            "norms are of the same digits at every step: they jump because the weights do.",
        ],
        {
            "steps": steps,
            "norms": {"sigmoid": of_sigmoid.tolist(), "relu": of_relu.tolist()},
            "first_to_last_layer_ratio": {name: float(r) for name, r in arriving.items()},
        },
        pictures=[
            Picture(
                "vanishing_gradients",
                "Norm of each layer's weight gradient over training, on 256 training digits.",
                gradient_norms(norms, steps),
            )
        ],
    )


def _train(recipe: Recipe, data: Split, seed: int, method: Method) -> Params:
    init_key, order_key = jax.random.split(jax.random.key(seed))
    state = init_state(recipe.model, recipe.optimizer, init_key)
    state, _ = fit(
        recipe.model,
        recipe.loss,
        recipe.optimizer,
        state,
        data.train.x,
        recipe.targets(data.train.y),
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        key=order_key,
        method=method,
    )
    return state.params


def _measure(recipe: Recipe, data: Split, trained: list[Params]) -> dict[str, Any]:
    accuracies = [_accuracy(recipe, params, data) for params in trained]
    targets = recipe.targets(data.train.y)
    report = compare_model(recipe.model, recipe.loss, trained[0], data.train.x, targets)
    return {
        "network": recipe.title,
        "seeds": list(SEEDS),
        "test_accuracies": accuracies,
        "mean_test_accuracy": float(np.mean(accuracies)),
        "std_test_accuracy": float(np.std(accuracies, ddof=1)),
        "autodiff_test_accuracy": _accuracy(recipe, _train(recipe, data, 0, "autodiff"), data),
        "agreement": {
            "verdict": report.verdict,
            "max_relative_gradient_error": max(leaf.max_relative_error for leaf in report.leaves),
        },
    }


def _accuracy(recipe: Recipe, params: Params, data: Split) -> float:
    read = np.argmax(recipe.model.apply(params, data.test.x), axis=1)
    return float(np.mean(read == data.test.y))


def _reading_pictures(data: Split, params: Params) -> list[Picture]:
    probabilities = np.asarray(jax.nn.softmax(SOFTMAX.model.apply(params, data.test.x)))
    read = probabilities.argmax(axis=1)
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (data.test.y, read), 1)
    wrong = np.flatnonzero(read != data.test.y)
    wrong = wrong[np.argsort(-probabilities[wrong, read[wrong]])][:12]
    title = f"{(read == data.test.y).sum()} of {len(read)} test digits read correctly"
    return [
        Picture(
            "digits_confusion",
            "The softmax network, seed 0, on the test digits.",
            confusion_matrix(counts, [str(d) for d in range(10)], title=title),
        ),
        Picture(
            "digits_misread",
            "The test digits that it misreads, the most confident mistakes first.",
            misread(
                data.test.x[wrong].reshape(-1, 8, 8),
                data.test.y[wrong],
                read[wrong],
                probabilities[wrong, read[wrong]],
                title="Misread digits",
            ),
        ),
    ]


def _gradient_norms(activation: Activation, w_init: str, data: Split) -> np.ndarray:
    """Returns norms of the weight gradients, `[SNAPSHOTS, DEPTH + 1]`, between calls of `fit`."""
    model = mlp([64, *[WIDTH] * DEPTH, 10], activation, w_init=w_init)
    loss, optimizer = SoftmaxCrossEntropy(), optax.sgd(0.1)
    gradient = jax.jit(value_and_grad(model, loss, "manual"))
    state = init_state(model, optimizer, jax.random.key(0))
    x, y = data.train.x, data.train.y
    norms = []
    for _ in range(SNAPSHOTS):
        _, grads = gradient(state.params, x[:256], y[:256])
        norms.append([float(jnp.linalg.norm(g.w)) for g in grads if g])
        state, _ = fit(
            model,
            loss,
            optimizer,
            state,
            x,
            y,
            steps=STEPS_PER_SNAPSHOT,
            batch_size=32,
            key=jax.random.key(1),
            method="manual",
        )
    return np.array(norms)
