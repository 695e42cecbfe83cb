"""The networks of a sweep, trained a group at a time."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from jaxpercep import activations
from jaxpercep.commands.arguments import Sweep
from jaxpercep.commands.heads import Bits, Classes
from jaxpercep.commands.networks import OPTIMIZERS
from jaxpercep.compose import Serial, mlp
from jaxpercep.layer import Params
from jaxpercep.losses import Loss
from jaxpercep.population import train_population


class Outcome(NamedTuple):
    """What became of some networks, `[networks]` each."""

    losses: NDArray[np.float32]
    learned: NDArray[np.bool_]
    diverged: NDArray[np.bool_]


@dataclass(frozen=True)
class Experiment:
    """The networks to train, a group at a time: all groups of a width share a compiled program.

    Attributes:
        arguments: Widths, learning rates, and how to train.
        x: The inputs.
        y: The targets, as the loss takes them.
        head: The meaning of the outputs.
        keys: The random keys, which every width and learning rate starts from.
        size: How many networks there are in a group; the last group is padded.
    """

    arguments: Sweep
    x: NDArray[np.float32]
    y: NDArray[Any]
    head: Classes | Bits
    keys: jax.Array
    size: int

    def sizes(self, width: int) -> list[int]:
        """Returns the features from input to output."""
        return [self.x.shape[1], *self.arguments.layers * [width], self.head.outputs]

    def counts(self) -> list[int]:
        """Returns how many samples there are of each class."""
        return np.unique(self.y, return_counts=True)[1].tolist()

    def train(self, start: int, rate: float, width: int) -> Outcome:
        """Trains the group that begins with network `start`."""
        rows = np.minimum(np.arange(start, start + self.size), len(self.keys) - 1)
        model = mlp(self.sizes(width), getattr(activations, self.arguments.activation))
        population = train_population(
            model,
            self.head.loss,
            OPTIMIZERS[self.arguments.optimizer],
            self.keys[rows],
            self.x,
            self.y,
            steps=self.arguments.steps,
            learning_rates=np.full(self.size, rate),
            record_every=self.arguments.steps,
        )
        after = _after(model, self.head.loss, population.states.params, self.x, self.y)
        losses, outputs = map(np.asarray, after)
        diverged = population.diverged | ~np.isfinite(losses)
        right = self.head.right(outputs, self.y).mean(axis=1)
        learned = (right >= self.arguments.accuracy) & ~diverged
        kept = len(self.keys) - start
        return Outcome(np.where(diverged, np.inf, losses)[:kept], learned[:kept], diverged[:kept])


@partial(jax.jit, static_argnums=(0, 1))
def _after(
    model: Serial, loss: Loss, params: Params, x: jax.Array, y: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The losses and the outputs of the networks."""
    outputs = jax.vmap(model.apply, (0, None))(params, x)
    return jax.vmap(loss.apply, (0, None))(outputs, y), outputs
