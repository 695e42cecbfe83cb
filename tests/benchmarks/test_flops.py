"""Operations and bytes of a step: by hand, and beside XLA's own count."""

import itertools

import jax
import numpy as np
import pytest

from benchmarks.flops import step_bytes, step_flops
from benchmarks.peers import METHODS
from benchmarks.results import Setting
from benchmarks.workloads import WORKLOADS

THREE_LAYERS = Setting("classification", (2, 3, 4, 5), 7)


def test_products_by_hand():
    """Every multiplication and addition of plain matrix products, counted one by one."""
    count = 0

    def product(rows: int, inner: int, columns: int) -> None:
        nonlocal count
        for _ in itertools.product(range(rows), range(columns), range(inner)):
            count += 2

    for n, m in ((2, 3), (3, 4), (4, 5)):
        product(7, n, m)  # x w
        product(n, 7, m)  # x^T dy
    product(7, 5, 4)  # dy w^T of the last layer
    product(7, 4, 3)  # and of the one before; that of the first is not needed
    assert step_flops(THREE_LAYERS) == count == 1512


def test_flops_are_proportional_to_the_batch_and_grow_with_every_size():
    def flops(*sizes: int, batch: int = 7) -> int:
        return step_flops(Setting("classification", sizes, batch))

    assert flops(2, 3, 4, 5, batch=14) == 2 * flops(2, 3, 4, 5)
    assert all(flops(*sizes) > 1512 for sizes in ((3, 3, 4, 5), (2, 4, 4, 5), (2, 3, 4, 6)))
    assert flops(2, 3) == 2 * 2 * 7 * 2 * 3  # without a hidden layer: forward, and dw


@pytest.mark.parametrize("name", ["classification", "classification-adam", "regression"])
@pytest.mark.parametrize(("width", "depth", "batch"), [(128, 1, 64), (64, 4, 256), (256, 3, 32)])
def test_flops_are_those_that_xla_counts(name, width, depth, batch):
    """XLA adds the elementwise work: under a tenth of it at these sizes."""
    setting = Setting(name, (64, *[width] * depth, 10), batch)
    (optax,) = (method for method in METHODS if method.name == "optax")
    workload = WORKLOADS[name]
    trainer = optax.build(workload, setting, workload.initial(setting, 0))
    (batches,) = trainer.place(*workload.batches(setting, 1, 0))
    with jax.numpy_dtype_promotion("standard"):
        lowered = trainer.step.lower(trainer.state, *batches)
    counted = lowered.cost_analysis()["flops"]
    assert 1 <= counted / step_flops(setting) <= 1.1


def test_bytes_by_hand():
    parameters = 2 * 3 + 3 + 3 * 4 + 4 + 4 * 5 + 5
    hidden, inputs, labels = 7 * (3 + 4), 7 * 2, 7
    moved = 4 * (2 * (2 * parameters + hidden) + inputs + labels)
    assert step_bytes(THREE_LAYERS, "sgd") == moved
    assert step_bytes(THREE_LAYERS, "adam") == moved + 4 * 2 * 2 * parameters


def test_targets_of_a_regression_are_as_wide_as_its_output():
    setting = Setting("regression", THREE_LAYERS.sizes, THREE_LAYERS.batch)
    wider = step_bytes(setting, "sgd") - step_bytes(THREE_LAYERS, "sgd")
    assert wider == 4 * 7 * (5 - 1)


def test_bytes_are_those_of_the_arrays():
    """The bound covers what a step is given and returns: parameters twice, data once."""
    workload = WORKLOADS["classification"]
    initial = workload.initial(THREE_LAYERS, 0)
    arrays = [array.nbytes for layer in initial for array in layer]
    data = [array.nbytes for array in workload.batches(THREE_LAYERS, 1, 0)]
    assert step_bytes(THREE_LAYERS, "sgd") > 2 * np.sum(arrays) + np.sum(data)
