"""flax nnx: modules and an optimizer with state of their own, after its performance guide.

Under `nnx.jit`, `nnx.cached_partial` spares each call the walk through the modules. Under
`jax.jit`, the training loop is functional: the modules are split into a state outside, and merged
inside.
"""

from functools import partial
from typing import Any, Literal

import jax
from flax import nnx

from benchmarks.peers.in_jax import JaxTrainer, make_optimizer, mean_loss
from benchmarks.peers.jaxpercep_steps import from_params, make_model, to_params
from benchmarks.results import Setting
from benchmarks.workloads import Parameters, Workload
from jaxpercep.interop import from_nnx, to_nnx


def build(
    workload: Workload, setting: Setting, initial: Parameters, jit: Literal["nnx", "jax"]
) -> JaxTrainer:
    """Builds the trainer."""
    model = make_model(workload, setting)
    network = nnx.eval_shape(lambda: make_network(workload, setting))
    nnx.update(network, to_nnx(model, to_params(initial), network))
    optimizer = nnx.Optimizer(network, make_optimizer(workload), wrt=nnx.Param)

    def train_step(network: Any, optimizer: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        def objective(network: nnx.Sequential) -> jax.Array:
            return mean_loss(workload, network(x), y)

        loss, grads = nnx.value_and_grad(objective)(network)
        optimizer.update(network, grads)
        return loss

    def read(modules: Any) -> Parameters:
        return from_params(from_nnx(model, modules[0]))

    modules = network, optimizer
    if jit == "nnx":
        return JaxTrainer(CachedStep(train_step, *modules), modules, read)
    graphdef, state = nnx.split(modules)

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, x: jax.Array, y: jax.Array) -> tuple[Any, jax.Array]:
        modules = nnx.merge(graphdef, state)
        loss = train_step(*modules, x, y)
        return nnx.state(modules), loss

    def read_merged(state: Any) -> Parameters:
        return read(nnx.merge(graphdef, state))

    return JaxTrainer(step, state, read_merged)


def make_network(workload: Workload, setting: Setting) -> nnx.Sequential:
    """Builds the network, with random parameters."""
    activation, rngs = getattr(nnx, workload.activation), nnx.Rngs(0)
    pairs = zip(setting.sizes[:-1], setting.sizes[1:], strict=True)
    layers = [layer for n, m in pairs for layer in (nnx.Linear(n, m, rngs=rngs), activation)]
    return nnx.Sequential(*layers[:-1])


class CachedStep:
    """The step under `nnx.jit`, which updates the modules in place: they are the state."""

    def __init__(self, train_step: Any, *modules: Any) -> None:
        self._jitted = nnx.jit(train_step, donate_argnums=(0, 1))
        self._cached = nnx.cached_partial(self._jitted, *modules)

    def __call__(self, modules: Any, x: jax.Array, y: jax.Array) -> Any:
        """Takes a step."""
        return modules, self._cached(x, y)

    def lower(self, modules: Any, x: jax.Array, y: jax.Array) -> Any:
        """Lowers the step as `jax.jit` does."""
        return self._jitted.lower(*modules, x, y)
