"""Measures what a comparison costs: `python -m catalogue.cost 784-512-512-10`.

The sizes are those of a tanh network with a softmax. A right gradient costs the verdict; one that
leaves out the derivative of the first tanh costs the diagnosis too. Each is compared in a fresh
process. Times include compilation; memory is what the peak of the process gains.
"""

import argparse
import itertools
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep import compare_gradients


def loss(params, x, y):
    *hidden, (w, b) = params
    for v, c in hidden:
        x = jnp.tanh(x @ v + c)
    return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(x @ w + b), axis=-1))


def by_hand(left_out, params, x, y):
    """Returns the gradient, without the derivative of hidden layer `left_out`, if any."""
    *hidden, (w, b) = params
    activations = [x]
    for v, c in hidden:
        activations.append(jnp.tanh(activations[-1] @ v + c))
    delta = (jax.nn.softmax(activations[-1] @ w + b) - y) / len(x)
    grads = []
    for layer in reversed(range(len(params))):
        a = activations[layer]
        grads.append((a.T @ delta, delta.sum(0)))
        delta = delta @ params[layer][0].T
        delta = delta if layer == left_out else delta * (1 - a**2)
    return grads[::-1]


def problem(sizes, batch):
    rng = np.random.default_rng(0)
    params = [
        (
            rng.normal(size=(n, m)).astype(np.float32) / np.sqrt(n).astype(np.float32),
            np.full(m, 0.1, np.float32),
        )
        for n, m in itertools.pairwise(sizes)
    ]
    x = rng.normal(size=(batch, sizes[0])).astype(np.float32)
    return params, x, np.eye(sizes[-1], dtype=np.float32)[rng.integers(sizes[-1], size=batch)]


def cost(sizes, batch, measured):
    """Returns the seconds and the MB that `measured` takes on a problem drawn here."""
    args = problem(sizes, batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    measured(*args)
    seconds = time.perf_counter() - start
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024


def gradient(*args):
    """Evaluates one gradient by autodiff in float64."""
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), args)
        jax.block_until_ready(jax.jit(jax.value_and_grad(loss))(*wide))


def comparison(left_out, *args):
    """Compares the gradient by hand with autodiff."""
    print(compare_gradients(loss, partial(by_hand, left_out), *args))


def main():
    """Prints seconds and MB."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes")
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split("-")]
    (_, one), (verdict, _), (total, more) = (
        in_fresh_process(cost, sizes, options.batch, measured)
        for measured in (gradient, partial(comparison, None), partial(comparison, 1))
    )
    print(f"verdict {verdict:.1f} s, diagnosis {total - verdict:.1f} s")
    print(f"memory {more:.0f} MB, of one gradient in float64 {one:.0f} MB: {more / one:.1f} times")


def in_fresh_process(function, *args):
    """Calls the function where nothing has been compiled yet."""
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        return fresh.submit(function, *args).result()


if __name__ == "__main__":
    main()
