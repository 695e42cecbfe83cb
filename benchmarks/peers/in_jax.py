"""The common parts of the peers in JAX: the loop over the batches, losses and optimizers."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from benchmarks.peers import Preparation
from benchmarks.workloads import Parameters, Workload

Step = Callable[[Any, Any, Any], tuple[Any, Any]]
"""A jitted (state, x, y) -> (state, loss), the loss before the update."""


def mean_loss(workload: Workload, prediction: jax.Array, y: jax.Array) -> jax.Array:
    """Returns the workload's loss, by optax's functions."""
    match workload.loss:
        case "softmax":
            return optax.softmax_cross_entropy_with_integer_labels(prediction, y).mean()
        case "squared":
            return optax.l2_loss(prediction, y).sum(-1).mean()
        case "binary":
            return optax.sigmoid_binary_cross_entropy(prediction, y).mean()


def make_optimizer(workload: Workload) -> optax.GradientTransformation:
    """Returns the workload's optimizer."""
    make = {"sgd": optax.sgd, "adam": optax.adam}[workload.optimizer]
    return make(workload.learning_rate)


def stacked(layers: Sequence[Any]) -> Any:
    """Stacks the parameters of all layers along a new first axis."""

    def stack(*arrays: jax.Array) -> jax.Array:
        return jnp.stack(arrays)

    return jax.tree.map(stack, *layers)


def compile_ahead(jitted: Any, *args: Any) -> Preparation:
    """Traces and compiles for these arguments; a call of `jitted` finds the program afterwards."""
    start = time.perf_counter()
    lowered = jitted.lower(*args)
    traced = time.perf_counter()
    compiled = lowered.compile()
    done = time.perf_counter()
    temporary = compiled.memory_analysis().temp_size_in_bytes
    return Preparation(traced - start, done - traced, temporary)


class JaxTrainer:
    """Calls a jitted step on one batch after the other.

    Args:
        step: takes the state and a batch; it may consume the state.
        state: the first one; nothing else may hold its arrays.
        read: takes the parameters from a state.
    """

    def __init__(self, step: Step, state: Any, read: Callable[[Any], Parameters]) -> None:
        self.step, self.state, self._read = step, state, read

    def place(self, x: np.ndarray, y: np.ndarray) -> Any:
        """Returns a pair of arrays for each step."""
        pairs = zip(x, y, strict=True)
        return jax.block_until_ready([(jnp.array(a), jnp.array(b)) for a, b in pairs])

    def prepare(self, batches: Any) -> Preparation:
        """Compiles the step."""
        return compile_ahead(self.step, self.state, *batches[0])

    def run(self, batches: Any, passes: int) -> Any:
        """Takes the steps; dispatch runs ahead of the computation, so it ends with a wait."""
        state, step = self.state, self.step
        losses: list[jax.Array] = []
        for _ in range(passes):
            losses = []
            for x, y in batches:
                state, loss = step(state, x, y)
                losses.append(loss)
        self.state, losses = jax.block_until_ready((state, losses))
        return losses

    def losses(self, result: Any) -> np.ndarray:
        """Converts them to numbers."""
        return np.array(jax.device_get(result))

    def parameters(self) -> Parameters:
        """Returns copies: views would keep the next step from reusing their memory."""
        return [(np.array(w), np.array(b)) for w, b in self._read(self.state)]


class OneProgram(JaxTrainer):
    """Runs all passes over the batches in one call; their number is an argument of the program."""

    def __init__(self, step: Step, state: Any, read: Callable[[Any], Parameters]) -> None:
        super().__init__(step, state, read)

        @partial(jax.jit, donate_argnums=0)
        def train(state: Any, x: jax.Array, y: jax.Array, passes: jax.Array) -> Any:
            def on_batch(state: Any, batch: Any) -> Any:
                return step(state, *batch)

            def one_pass(_: jax.Array, carry: Any) -> Any:
                # In a loop body of a single step, XLA copies every weight before it updates it.
                return lax.scan(on_batch, carry[0], (x, y), unroll=2)

            return lax.fori_loop(0, passes, one_pass, (state, jnp.zeros(len(x))))

        self._train = train

    def place(self, x: np.ndarray, y: np.ndarray) -> Any:
        """Returns two arrays for all steps."""
        return jax.block_until_ready((jnp.array(x), jnp.array(y)))

    def prepare(self, batches: Any) -> Preparation:
        """Compiles the training."""
        return compile_ahead(self._train, self.state, *batches, 1)

    def run(self, batches: Any, passes: int) -> Any:
        """Calls the program."""
        result = self._train(self.state, *batches, passes)
        self.state, losses = jax.block_until_ready(result)
        return losses
