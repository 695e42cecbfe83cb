"""The least that a training step has to compute and to move, from the sizes of the network."""

from itertools import pairwise
from typing import Literal

from benchmarks.results import Setting
from benchmarks.workloads import WORKLOADS

FLOAT = 4  # bytes of a float32, and of an int32 label


def step_flops(setting: Setting) -> int:
    """Counts the floating point operations of one step: those of its matrix products.

    Of a dense layer from n to m features, on B samples, each of these takes B n m multiplications
    and as many additions:

        x w       forward
        x^T dy    the gradient of w
        dy w^T    the gradient of x; not in the first layer, where it is not needed

    so a step takes 2 B (3 sum of n m over the layers - n_1 m_1). Elementwise work is left out:
    biases, activations, the loss and the optimizer. In layers of 128 features it adds 2 % on
    batches of 64 (with Adam 5 %); on single samples the optimizer alone adds 20 % (with Adam twice
    the products); in the networks for XOR it is most of the work.
    """
    products = [n * m for n, m in pairwise(setting.sizes)]
    return 2 * setting.batch * (3 * sum(products) - products[0])


def step_bytes(setting: Setting, optimizer: Literal["sgd", "adam"]) -> int:
    """Counts the bytes that a step moves at least, if no array stays cached between two uses.

    Written once and read once: each parameter, its gradient, with Adam its two moments, and each
    hidden activation, which the backward pass needs again. Read once: x and y. Errors are taken to
    be consumed where they arise, and weights to be read once for both passes: this is a lower
    bound, and a step that fits into the cache is faster than memory would allow.
    """
    parameters = sum((n + 1) * m for n, m in pairwise(setting.sizes))
    arrays = {"sgd": 2, "adam": 4}[optimizer]
    hidden = setting.batch * sum(setting.sizes[1:-1])
    labels = WORKLOADS[setting.workload].loss == "softmax"
    data = setting.batch * (setting.sizes[0] + (1 if labels else setting.sizes[-1]))
    return FLOAT * (2 * (arrays * parameters + hidden) + data)
