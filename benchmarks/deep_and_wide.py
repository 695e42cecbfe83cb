"""Times what no cell of the suite does: 512 scanned layers, a step's own products, one call a step.

    python -m benchmarks.deep_and_wide

The two sides of each line are called in turn, and the median of the paired ratios of the time that
passes is printed with its quartiles.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxpercep as jp

Run = Callable[[], Any]


class Line(NamedTuple):
    """Two sides of a comparison: its title is that of the ratio, other / ours."""

    title: str
    ours: Run
    other: Run
    calls: int = 1
    remark: str = ""


def data(sizes: list[int], batch: int) -> tuple[jax.Array, jax.Array]:
    """Draws inputs, and labels or, for one output, targets of 0 and 1."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, sizes[0]))
    y = rng.integers(0, max(2, sizes[-1]), (batch, 1) if sizes[-1] == 1 else batch)
    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32 if y.ndim == 2 else jnp.int32)


def steps(sizes: list[int], batch: int, scan: bool = False) -> Iterator[tuple[Any, Any]]:
    """Yields a compiled update and its arguments, by hand and then by autodiff."""
    model, optimizer = jp.mlp(sizes, jp.tanh, scan=scan), optax.sgd(0.01)
    state = jp.init_state(model, optimizer, jax.random.key(0))
    arguments = state, *data(sizes, batch)
    for method in ("manual", "autodiff"):
        step: Any = jp.make_step(model, jp.SoftmaxCrossEntropy(), optimizer, method)
        yield step.lower(*arguments).compile(), arguments


def deep() -> Line:
    """A step of 512 scanned layers, 128 wide, batch 128: by hand, and by autodiff."""
    (manual, arguments), (autodiff, _) = steps([64, *[128] * 512, 10], 128, scan=True)
    memory = [step.memory_analysis().temp_size_in_bytes for step in (manual, autodiff)]
    remark = f"; by hand it takes {memory[0] / memory[1]:.2f} of the memory"
    ours, other = partial(manual, *arguments), partial(autodiff, *arguments)
    return Line("512 layers, autodiff / by hand", ours, other, remark=remark)


def wide() -> Line:
    """A step of four layers 1024 wide, batch 1024: whole, and its products alone."""
    sizes = [1024] * 5
    (step, arguments), _ = steps(sizes, 1024)
    a = jax.random.normal(jax.random.key(0), (1024, 1024))
    count = 3 * (len(sizes) - 1) - 1  # forward, to the weights, to the inputs but the first

    @jax.jit
    def products(a: jax.Array, b: jax.Array) -> jax.Array:
        for _ in range(count):
            a = a @ b  # each of the last, so that none is left out
        return a

    return Line("1024 wide, products / step", partial(step, *arguments), partial(products, a, a))


def one_call() -> Line:
    """A call of `make_step`, and one of plain optax that counts its steps, on XOR."""
    sizes, optimizer = [2, 2, 1], optax.sgd(0.01)
    model, x, y = jp.mlp(sizes, jp.tanh), *data(sizes, 4)
    state = jp.init_state(model, optimizer, jax.random.key(0))
    step = jp.make_step(model, jp.BinaryCrossEntropy(), optimizer, "manual")
    params = [p for p in state.params if p]

    def objective(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        (w1, b1), (w2, b2) = params
        p = jnp.tanh(x @ w1 + b1) @ w2 + b2
        return optax.sigmoid_binary_cross_entropy(p, y).mean()

    @jax.jit
    def plain(carry: Any, x: jax.Array, y: jax.Array) -> Any:
        count, params, opt_state = carry
        loss, grads = jax.value_and_grad(objective)(params, x, y)
        changes, opt_state = optimizer.update(grads, opt_state)
        return (count + 1, optax.apply_updates(params, changes), opt_state), loss

    carry = state.step, params, optimizer.init(params)
    return Line(
        "one call a step, optax that counts / make_step",
        partial(step, state, x, y),
        partial(plain, carry, x, y),
        calls=2000,
    )


def seconds(run: Run, calls: int) -> float:
    """Returns the seconds a call takes."""
    start = time.perf_counter()
    for _ in range(calls - 1):
        run()
    jax.block_until_ready(run())
    return (time.perf_counter() - start) / calls


def main() -> None:
    """Prints a line for each comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    print(f"JAX {jax.__version__}")
    for made in (deep, wide, one_call):
        line = made()
        pairs = [
            [seconds(run, line.calls) for run in (line.ours, line.other)] for _ in range(rounds + 1)
        ]
        ratios = np.divide(*np.array(pairs[1:]).T[::-1])
        low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
        print(f"{line.title}: {middle:.2f} ({low:.2f} to {high:.2f}){line.remark}", flush=True)


if __name__ == "__main__":
    main()
