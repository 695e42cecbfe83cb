"""One update of a network: its state, and the jitted step that changes it."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache, partial, update_wrapper
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from jaxpercep._checks import check_bool, counted, shown
from jaxpercep._kinds import brief, misplaced
from jaxpercep.gradients import Method, value_and_grad
from jaxpercep.layer import (
    Layer,
    Params,
    as_array,
    as_floating,
    check_key,
    check_layer,
    typed_list,
)
from jaxpercep.losses import Loss


class TrainState(NamedTuple):
    """Everything a step changes: the number of steps taken, parameters, optimizer state."""

    step: jax.Array
    params: Params
    opt_state: optax.OptState

    @classmethod
    def create(cls, params: Params, optimizer: optax.GradientTransformation) -> "TrainState":
        """Returns the state at step 0 of parameters that are there already.

        Raises:
            TypeError: A parameter is not an array of floating point, or `optimizer` is not an optax
                gradient transformation.
        """
        check_optimizer(optimizer)
        params = as_floating("params", params)
        # Copied, for some optimizers keep the first parameters, and no buffer can be donated twice.
        opt_state = jax.tree.map(jnp.copy, optimizer.init(params))
        return cls(jnp.zeros((), jnp.int32), params, opt_state)


Step = Callable[[TrainState, ArrayLike, ArrayLike], tuple[TrainState, jax.Array]]


def init_state(model: Layer, optimizer: optax.GradientTransformation, key: jax.Array) -> TrainState:
    """Draws parameters and returns the state at step 0.

    The same state serves both gradient methods: `opt_state` is `optimizer.init(params)`.

    Raises:
        TypeError: `model` is not a layer, `optimizer` not an optax gradient transformation, or
            `key` not a key.
    """
    check_layer("model", model)
    check_optimizer(optimizer)
    check_key(key)
    return _first_state(model, optimizer, key)


def make_step(
    model: Layer,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    method: Method = "autodiff",
    donate: bool = False,
) -> Step:
    """Returns a jitted (state, x, y) -> (state, loss), one update: params + optimizer(gradients).

    The loss is that of the batch before the update. It compiles once per shape of x and y.

    Args:
        model: a layer.
        loss: a loss.
        optimizer: an optax gradient transformation.
        method: `"autodiff"` or `"manual"`.
        donate: consume the state: its buffers are reused for the new one, which saves a copy of
            the parameters, and the state passed in must not be used again.

    Raises:
        ValueError: The method is unknown, or the model ends in `sigmoid` and the loss takes logits.
        TypeError: An argument is of the wrong kind.
    """
    check_optimizer(optimizer)
    check_bool("donate", donate)
    step = update_of(model, loss, optimizer, method)

    def checked(state: TrainState, x: ArrayLike, y: ArrayLike) -> tuple[TrainState, jax.Array]:
        check_state(state, optimizer)
        return step(state, x, y)

    return _Step(jax.jit(checked, donate_argnums=0 if donate else ()), optimizer)


@cache
def _is_array(kind: type) -> bool:
    return issubclass(kind, jax.Array)  # asked once for each type: it takes as long as all the rest


def _held(argument: str, value: Any) -> ArrayLike:
    """Returns what `jax.jit` takes as it is.

    It would take a masked array without its mask, and refuse frames and long doubles. Of the other
    byte order it reads the bytes in this machine's once it has compiled a program for that type.
    """
    if type(value) is np.ndarray and value.dtype.isnative and value.itemsize <= 8:
        return value
    return as_array(argument, value)


class _Step:
    """A jitted step that says what is wrong with arguments that JAX refuses before it traces."""

    def __init__(self, jitted: Any, optimizer: optax.GradientTransformation) -> None:
        self._jitted = jitted
        self._optimizer = optimizer
        update_wrapper(self, jitted)

    def __call__(
        self, state: TrainState, x: ArrayLike, y: ArrayLike
    ) -> tuple[TrainState, jax.Array]:
        try:
            if not (_is_array(type(x)) and _is_array(type(y))):
                x, y = _held("x", typed_list("x", x)), _held("y", y)
            return self._jitted(state, x, y)
        except (TypeError, ValueError):
            check_state(state, self._optimizer)
            as_array("x", x)
            as_array("y", y)
            raise

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # those of the class, which copying asks for too early
            raise AttributeError(name)
        return getattr(self._jitted, name)  # lower, trace and so on


@partial(jax.jit, static_argnums=(0, 1))
def _first_state(
    model: Layer, optimizer: optax.GradientTransformation, key: jax.Array
) -> TrainState:
    return TrainState.create(model.init(key), optimizer)


def update_of(
    model: Layer, loss: Loss, optimizer: optax.GradientTransformation, method: Method
) -> Step:
    """Returns one update that is neither jitted nor checked."""
    gradient = value_and_grad(model, loss, method)

    def update(state: TrainState, x: ArrayLike, y: ArrayLike) -> tuple[TrainState, jax.Array]:
        value, grads = gradient(state.params, x, y)
        # optax raises a float to an integer power, which strict promotion would refuse.
        with jax.numpy_dtype_promotion("standard"), _naming_the_optimizer():
            changes, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, changes)
        return TrainState(state.step + 1, params, opt_state), value

    return update


@contextmanager
def _naming_the_optimizer() -> Generator[None]:
    """Says so if an optimizer needs more than gradients, which shows only when it is called."""
    try:
        yield
    except TypeError as error:
        if "required keyword-only argument" not in str(error):
            raise
        raise TypeError(
            f"optimizer needs more than gradients, state and parameters ({error}), as line "
            "searches and optax.contrib.reduce_on_plateau do; use one that does not, such as "
            "optax.adam(0.01), or write the loop with value_and_grad."
        ) from error


def check_optimizer(optimizer: Any) -> None:
    """Raises a `TypeError` unless this is an optax gradient transformation."""
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            f"optimizer={brief(optimizer)} is not an optax gradient transformation; "
            f"optax.sgd(0.1) is one.{misplaced(optimizer)}"
        )


def check_state(state: Any, optimizer: optax.GradientTransformation) -> None:
    """Raises unless this is a state of the optimizer."""
    if not isinstance(state, TrainState):
        raise TypeError(
            f"state={brief(state)} is not a TrainState; make one with "
            "init_state(model, optimizer, key), or of parameters that are there already with "
            f"TrainState.create(params, optimizer).{misplaced(state)}"
        )
    params = as_floating("state.params", state.params)
    step = as_array("state.step", state.step)
    if step.shape or not jnp.issubdtype(step.dtype, jnp.integer):
        raise TypeError(f"state.step is {shown(state.step)}, expected one integer.")
    expected = jax.eval_shape(optimizer.init, params)
    if _shapes(state.opt_state) != _shapes(expected):
        raise ValueError(
            f"state.opt_state is {_outline(state.opt_state)}, expected that of this optimizer and "
            f"these parameters, {_outline(expected)}; make the state with init_state(model, "
            "optimizer, key), or put optimizer.init(state.params) into it."
        )


def _outline(opt_state: Any) -> str:
    """Returns the types of the states in that of an optimizer, and the number of its values."""

    def named(node: Any) -> bool:
        return hasattr(node, "_fields")

    kinds = [type(node).__name__ for node in jax.tree.leaves(opt_state, is_leaf=named)]
    values = sum(map(np.size, jax.tree.leaves(opt_state)))
    return f"({', '.join(kinds)}) with {counted(values, 'value')}"


def _shapes(tree: Any) -> Any:
    return jax.tree.structure(tree), [jnp.shape(leaf) for leaf in jax.tree.leaves(tree)]
