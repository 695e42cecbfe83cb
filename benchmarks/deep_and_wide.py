"""Times what no cell of the suite does: 512 scanned layers, a step's own products, two devices.

    python -m benchmarks.deep_and_wide

The two sides of each line are called in turn, and the median of the paired ratios of the time that
passes is printed with its quartiles.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import optax
import tyro
from jax import lax

import jaxpercep as jp
from benchmarks.in_turn import in_turn, quartiles, wall_and_processor
from benchmarks.results import Setting
from benchmarks.small_networks import XOR, data, optax_step

DEEP, WIDE = (64, *(128,) * 512, 10), (1024,) * 5
Run = Callable[[], Any]


class Line(NamedTuple):
    """Two sides of a comparison: its title is that of the ratio, other / ours."""

    title: str
    ours: Run
    other: Run
    calls: int = 1
    remark: str = ""


def updates(sizes: tuple[int, ...], batch: int, **options: Any) -> list[partial[Any]]:
    """Returns calls of a compiled update: by hand, and by autodiff."""
    setting = Setting("classification", sizes, batch)
    model, optimizer = jp.mlp(sizes, jp.tanh, **options), optax.sgd(0.01)
    arguments = jp.init_state(model, optimizer, jax.random.key(0)), *data(setting)

    def compiled(method: Literal["manual", "autodiff"]) -> partial[Any]:
        step: Any = jp.make_step(model, jp.SoftmaxCrossEntropy(), optimizer, method)
        return partial(step.lower(*arguments).compile(), *arguments)

    return [compiled("manual"), compiled("autodiff")]


def deep() -> Line:
    """A step of 512 scanned layers, 128 wide, batch 128: by hand, and by autodiff."""
    manual, autodiff = updates(DEEP, 128, scan=True)
    programs: list[Any] = [manual.func, autodiff.func]
    memory = [program.memory_analysis().temp_size_in_bytes for program in programs]
    remark = f"; by hand it takes {memory[0] / memory[1]:.2f} of the memory"
    return Line("512 layers, autodiff / by hand", manual, autodiff, remark=remark)


def deep_products() -> Line:
    """The same step by hand, and its products alone, in two loops that keep what it does."""
    manual, _ = updates(DEEP, 128, scan=True)
    shapes = (511, 128, 128), (128, 128)
    w, x = (0.05 * jax.random.normal(jax.random.key(0), shape) for shape in shapes)

    @jax.jit
    def products(w: jax.Array, x: jax.Array) -> Any:
        y, inputs = lax.scan(lambda h, w: (h @ w, h), x, w)
        back = lax.scan(lambda d, wh: (d @ wh[0].T, wh[1].T @ d), y, (w, inputs), reverse=True)
        return back[0], w - back[1]

    return Line("512 layers, products / by hand", manual, partial(products, w, x))


def wide() -> Line:
    """A step of four layers 1024 wide, batch 1024: whole, and its products alone."""
    step, _ = updates(WIDE, 1024)
    a = jax.random.normal(jax.random.key(0), (1024, 1024))
    count = 3 * (len(WIDE) - 1) - 1  # forward, to the weights, to the inputs but the first

    @jax.jit
    def products(a: jax.Array, b: jax.Array) -> jax.Array:
        for _ in range(count):
            a = a @ b  # each of the last, so that none is left out
        return a

    return Line("1024 wide, products / step", step, partial(products, a, a))


def narrow() -> Line:
    """The same step in float32, and with products in bfloat16."""
    whole, _ = updates(WIDE, 1024)
    half, _ = updates(WIDE, 1024, dtype="bfloat16")
    return Line("1024 wide, float32 / bfloat16", half, whole)


def one_call() -> Line:
    """A call of `make_step`, and one of plain optax that counts its steps, on XOR."""
    model, optimizer = jp.mlp(XOR.sizes, jp.tanh), optax.sgd(0.01)
    x, y = data(XOR)
    state = jp.init_state(model, optimizer, jax.random.key(0))
    step = jp.make_step(model, jp.BinaryCrossEntropy(), optimizer, "manual")
    plain, start = optax_step(XOR, "tanh")

    @jax.jit
    def counting(carry: Any, x: jax.Array, y: jax.Array) -> Any:
        count, carry = carry
        carry, loss = plain(carry, x, y)
        return (count + 1, carry), loss

    return Line(
        "one call a step, optax that counts / make_step",
        partial(step, state, x, y),
        partial(counting, (state.step, start), x, y),
        calls=2000,
    )


def spread() -> Line:
    """A population of 1024 networks: on one device, and on two, of one core each."""
    model, loss = jp.mlp([2, 10, 10, 10, 1], jp.tanh), jp.BinaryCrossEntropy()
    optimizer = optax.sgd(0.01)  # made once: with another one, every call would compile
    keys, (x, y) = jax.random.split(jax.random.key(0), 1024), data(XOR)

    def train(mesh: Any) -> Any:
        population = jp.train_population(model, loss, optimizer, keys, x, y, steps=1000, mesh=mesh)
        return population.losses

    mesh = jax.make_mesh((2,), ("networks",))
    return Line("1024 networks, one device / two", partial(train, mesh), partial(train, None))


def seconds(run: Run, calls: int) -> float:
    """Returns the seconds a call takes."""

    def several() -> None:
        for _ in range(calls - 1):
            run()
        jax.block_until_ready(run())

    return wall_and_processor(several)[0] / calls


def main(rounds: int = 15) -> None:
    """Prints a line for each comparison."""
    jax.config.update("jax_num_cpu_devices", 2)
    print(f"JAX {jax.__version__}")
    for made in (deep, deep_products, wide, narrow, one_call, spread):
        line = made()
        sides = [partial(seconds, run, line.calls) for run in (line.ours, line.other)]
        ours, other = in_turn(sides, rounds)
        print(f"{line.title}: {quartiles(other / ours)}{line.remark}", flush=True)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
