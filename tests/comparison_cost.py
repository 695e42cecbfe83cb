"""What a comparison costs: `python tests/comparison_cost.py SIZES` in a fresh process.

`SIZES` are those of a tanh network with a softmax, as 784-512-512-10. The derivative of its second
tanh is left out. Times include compilation; memory is the peak of the process.
"""

import argparse
import itertools
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import jax
import jax.numpy as jnp
import numpy as np

import jaxpercep.compare as comparison


def loss(params, x, y):
    *hidden, (w, b) = params
    for v, c in hidden:
        x = jnp.tanh(x @ v + c)
    return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(x @ w + b), axis=-1))


def by_hand(params, x, y):
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
        delta = delta if layer == 1 else delta * (1 - a**2)
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


def peak():
    """The largest resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_of_a_gradient(sizes, batch):
    """What one gradient by autodiff in float64 adds to a fresh process, in MB."""
    args = problem(sizes, batch)
    before = peak()
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), args)
        jax.block_until_ready(jax.jit(jax.value_and_grad(loss))(*wide))
    return peak() - before


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes")
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split("-")]
    with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
        one = fresh.submit(memory_of_a_gradient, sizes, options.batch).result()
    args = problem(sizes, options.batch)
    diagnose, spent = comparison.diagnose, []

    def timed(*arguments):
        start = time.perf_counter()
        result = diagnose(*arguments)
        spent.append(time.perf_counter() - start)
        return result

    comparison.diagnose = timed
    before, start = peak(), time.perf_counter()
    report = comparison.compare_gradients(loss, by_hand, *args)
    total = time.perf_counter() - start
    print(report)
    print(f"verdict {total - spent[0]:.1f} s, diagnosis {spent[0]:.1f} s")
    more = peak() - before
    print(f"memory {more:.0f} MB, of one gradient in float64 {one:.0f} MB: {more / one:.1f} times")


if __name__ == "__main__":
    main()
