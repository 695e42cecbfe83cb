"""Asks the usual gradient checkers about a gradient, called as their users call them.

Each takes `fun(params, *batch) -> scalar` and `grad_fun(params, *batch)`, which returns the
gradient in params, or (value, gradient), in JAX or NumPy. A checker notices a gradient when it
raises, or if the form of the gradient does not even let it be passed.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads


def check_grads_detects(fun: Callable, grad_fun: Callable, args: tuple[Any, ...]) -> bool:
    """Tells whether `jax.test_util.check_grads` notices, in float32, the default of its users."""
    params, *batch = jax.tree.map(jnp.asarray, cast(args, np.float32))

    @jax.custom_vjp
    def checked(params):
        return fun(params, *batch)

    def forward(params):
        return fun(params, *batch), params

    def backward(params, dy):
        gradient = in_form_of(params, grad_fun(params, *batch))
        return (jax.tree.map(lambda leaf: jnp.asarray(leaf, dy.dtype) * dy, gradient),)

    checked.defvjp(forward, backward)
    try:
        check_grads(checked, (params,), order=1, modes=["rev"])
    except (
        AssertionError,
        TypeError,
        ValueError,
    ):  # the latter two: its form is not that of params
        return True
    return False


def gradcheck_detects(fun: Callable, grad_fun: Callable, args: tuple[Any, ...]) -> bool | None:
    """Tells whether `torch.autograd.gradcheck` notices, in float64; None without torch."""
    try:
        import torch
    except ImportError:
        return None
    params, *batch = cast(args, np.float64)
    leaves, structure = jax.tree.flatten(params)
    compiled = jax.jit(fun)

    def arguments(tensors):
        arrays = [jnp.asarray(tensor.detach().numpy()) for tensor in tensors]
        return structure.unflatten(arrays), *map(jnp.asarray, batch)

    class Checked(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *tensors):
            ctx.save_for_backward(*tensors)
            with jax.enable_x64(True):
                return torch.tensor(np.asarray(compiled(*arguments(tensors))))

        @staticmethod
        def backward(ctx, dy):
            with jax.enable_x64(True):
                given = arguments(ctx.saved_tensors)
                gradient = in_form_of(given[0], grad_fun(*given))
                arrays = [np.array(leaf, np.float64) for leaf in jax.tree.leaves(gradient)]
            return tuple(torch.from_numpy(array) * dy for array in arrays)

    tensors = [torch.from_numpy(leaf).requires_grad_() for leaf in leaves]
    try:
        torch.autograd.gradcheck(Checked.apply, tensors)
    except RuntimeError:  # GradcheckError, or gradients of another number or shape
        return True
    return False


def gradient_of_update(update_fun: Callable, learning_rate: float) -> Callable:
    """Returns the gradient, in float64, that an SGD step `update_fun(params, *batch)` implies."""

    def grad_fun(params, *batch):
        with jax.enable_x64(True):
            before, *others = jax.tree.map(jnp.asarray, cast((params, *batch), np.float64))
            after = in_form_of(before, update_fun(before, *others))
            return jax.tree.map(
                lambda b, a: (np.asarray(b) - np.asarray(a)) / learning_rate, before, after
            )

    return grad_fun


def cast(tree: Any, dtype: Any) -> Any:
    """Copies to NumPy arrays, floating ones in the dtype."""

    def one(leaf: Any) -> np.ndarray:
        array = np.array(leaf)
        return array.astype(dtype) if jnp.issubdtype(array.dtype, jnp.floating) else array

    return jax.tree.map(one, tree)


def in_form_of(params: Any, result: Any) -> Any:
    """Returns the gradient of a result, in the containers of params if the paths are the same."""
    expected = paths(params)
    if isinstance(result, tuple) and len(result) == 2 and paths(result) != expected:
        value, gradient = result
        if jax.tree_util.all_leaves([value]) and np.ndim(value) == 0:
            result = gradient
    if sorted(paths(result)) != sorted(expected):
        return result
    leaves = dict(zip(paths(result), jax.tree.leaves(result), strict=True))
    return jax.tree.unflatten(jax.tree.structure(params), [leaves[path] for path in expected])


def paths(tree: Any) -> list[str]:
    return [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(tree)]
