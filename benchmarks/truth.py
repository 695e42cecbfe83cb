"""The result of a workload's training in float64, and how far a method may be from it.

Written by hand in NumPy, so that it shares no code with the methods it judges.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.linalg import norm
from numpy.typing import NDArray
from scipy.special import expit, log_softmax

from benchmarks.workloads import Floats, Parameters, Targets, Workload

BOUND = 2e-3
"""The largest deviation that an honest float32 method may have."""

ULP = 2.0**-24  # a float32 is rounded by at most this much, relatively


class Reference(NamedTuple):
    """The result of training in float64, and the part that float32 cannot decide.

    Attributes:
        losses: `[steps]`, before each update.
        parameters: after the last.
        undecided: of each array of the parameters, and last of the losses (their largest): how far
            it moves if every number that float32 cannot tell from a kink is on the kink's other
            side.
    """

    losses: Floats
    parameters: Parameters
    undecided: Floats


def reference(workload: Workload, initial: Parameters, x: Floats, y: Targets) -> Reference:
    """Trains in float64, where there are kinks twice."""
    losses, parameters = train(workload, initial, x, y)
    undecided = np.zeros(2 * len(initial) + 1)
    if workload.activation == "relu" or workload.optimizer == "adam":
        other_losses, others = train(workload, initial, x, y, other_side=True)
        pairs = zip(_leaves(others), _leaves(parameters), strict=True)
        undecided[:-1] = [norm(other - leaf) for other, leaf in pairs]
        undecided[-1] = np.abs(other_losses - losses).max()
    return Reference(losses, parameters, undecided)


@np.errstate(over="ignore", invalid="ignore")
def train(
    workload: Workload, parameters: Parameters, x: Floats, y: Targets, other_side: bool = False
) -> tuple[Floats, Parameters]:
    """Takes one step on each batch, in float64.

    Two things jump where float32 may be on the one side and float64 on the other: the slope of relu
    at z = 0, and Adam's first change, which is about -learning_rate * sign(gradient). With
    `other_side`, every z within 32 sqrt(layer) rounding errors of 0 (they add up through the
    layers), and every gradient of Adam within 256, is taken to be on the other side; both are
    relative to the root mean square of their array.

    Args:
        workload: activation, loss and optimizer.
        parameters: the first ones.
        x: `[steps, batch, in]`.
        y: `[steps, batch]` labels or `[steps, batch, out]` numbers.
        other_side: whether to decide the other way where float32 cannot tell.

    Returns:
        The losses before each step's update, and the parameters after the last.
    """
    leaves: list[Floats] = [leaf.astype(np.float64) for leaf in _leaves(parameters)]
    moments = [(np.zeros_like(leaf), np.zeros_like(leaf)) for leaf in leaves]
    losses: list[float] = []
    for step, (inputs, targets) in enumerate(zip(x.astype(np.float64), y, strict=True), 1):
        loss, grads = value_and_grad(workload, _layers(leaves), inputs, targets, other_side)
        changes = _leaves(grads)
        if workload.optimizer == "adam":
            if other_side:
                doubtful = [np.abs(g) < 256 * ULP * _rms(g) for g in changes]
                changes = [np.where(d, -g, g) for d, g in zip(doubtful, changes, strict=True)]
            changes = _adam(moments, changes, step)
        rate = workload.learning_rate
        leaves = [leaf - rate * d for leaf, d in zip(leaves, changes, strict=True)]
        losses.append(loss)
    return np.array(losses), _layers(leaves)


def value_and_grad(
    workload: Workload, parameters: Parameters, x: Floats, y: Targets, other_side: bool = False
) -> tuple[float, Parameters]:
    """Goes forward through h_k = f(h_k-1 w_k + b_k), and back by the chain rule.

    With d_k = dL/dz_k: dw_k = h_k-1^T d_k, db_k = sum of d_k over the batch, and
    d_k-1 = (d_k w_k^T) f'(z_k-1).
    """
    value = {"relu": partial(np.maximum, 0), "tanh": np.tanh, "sigmoid": expit}[workload.activation]
    last = len(parameters) - 1
    h, zs = [x], list[Floats]()
    for k, (w, b) in enumerate(parameters):
        zs.append(h[-1] @ w + b)
        h.append(value(zs[-1]) if k < last else zs[-1])
    loss, d = _loss(workload.loss, h.pop(), y)
    grads: Parameters = []
    for k in range(last, -1, -1):
        grads.append((h[k].T @ d, d.sum(0)))
        if k > 0:
            doubt = 32 * ULP * np.sqrt(k) if other_side else 0.0
            d = d @ parameters[k][0].T * _slope(workload.activation, zs[k - 1], h[k], doubt)
    return loss, grads[::-1]


def deviation(initial: Parameters, trained: Parameters, losses: Floats, truth: Reference) -> float:
    """Measures how far a method's result is from truth: the largest of these numbers.

    Of each array of the parameters, the error relative to how far it moved,

        ||trained - true|| / (||true - initial|| + steps ulp ||true|| / BOUND)

    where the second term, ulp = 2^-24, is what rounding the parameters to float32 after each step
    can cost: without it, an array whose steps are smaller than its rounding would be refused, and
    one that does not move would divide by zero. Of the losses, max |loss - true| / max |true|.
    Infinite where a number is not finite.
    """
    errors, scales = _errors(initial, trained, losses, truth)
    return float((errors / scales).max())


def check(initial: Parameters, trained: Parameters, losses: Floats, truth: Reference) -> str | None:
    """Says why a method's result is not that of truth, or returns None if it is.

    It is if each number of `deviation` is at most `BOUND`, apart from three times what is
    undecided: float32 decides some of it the other way, and what some of it changes can be more
    than what all of it does, where that cancels. In networks of a few layers nothing or little is
    undecided, and a gradient off by 1 % is refused, by 10 % at the latest. Behind 16 layers of relu
    and more, the check sees 1 % in the last layer, and factors of 2 in the others.
    """
    if not np.isfinite(truth.losses).all():
        return "the training diverges in float64 too: lower the learning rate"
    if mismatch := _mismatch(trained, losses, truth):
        return mismatch
    errors, scales = _errors(initial, trained, losses, truth)
    excess = (errors - 3 * np.nan_to_num(truth.undecided, nan=np.inf)) / scales
    if excess.max() <= BOUND:
        return None
    k = int(excess.argmax())
    size = f"off by {errors[k] / scales[k]:.2g}"
    if k == len(excess) - 1:
        step = int(np.abs(losses - truth.losses).argmax())
        came = f"{losses[step]:.6g}, in float64 {truth.losses[step]:.6g}"
        return f"the loss of step {step + 1} is {came}: {size}, bound {BOUND:g}"
    leaf = f"{_named(k)} of {len(initial)}"
    return f"{leaf} is {size} of how far it moves in float64, bound {BOUND:g}"


def _errors(
    initial: Parameters, trained: Parameters, losses: Floats, truth: Reference
) -> tuple[Floats, Floats]:
    """Returns the errors of each array of the parameters and of the losses, and their scales."""
    leaves = zip(_leaves(initial), _leaves(trained), _leaves(truth.parameters), strict=True)
    rounding = len(truth.losses) * ULP / BOUND
    pairs = [
        (norm(came - true), norm(true - first) + rounding * norm(true))
        for first, came, true in leaves
    ]
    pairs.append((np.abs(losses - truth.losses).max(), np.abs(truth.losses).max()))
    errors, scales = np.array(pairs).T
    return np.where(np.isfinite(errors), errors, np.inf), np.maximum(scales, ULP**4)


def _mismatch(trained: Parameters, losses: Floats, truth: Reference) -> str | None:
    if len(trained) != len(truth.parameters):
        return f"there are parameters of {len(trained)} layers, expected {len(truth.parameters)}"
    pairs = zip(_leaves(trained), _leaves(truth.parameters), strict=True)
    for k, (came, true) in enumerate(pairs):
        if came.shape != true.shape:
            return f"{_named(k)} has the shape {came.shape}, expected {true.shape}"
    if losses.shape != truth.losses.shape:
        return f"the losses have the shape {losses.shape}, expected {truth.losses.shape}"
    if not all(np.isfinite(array).all() for array in (losses, *_leaves(trained))):
        return "it diverges, and float64 does not"
    return None


def _loss(kind: str, p: Floats, y: Targets) -> tuple[float, Floats]:
    """Returns L and dL/dp, of predictions p `[batch, out]`."""
    n = len(p)
    if kind == "softmax":
        log_q, rows = log_softmax(p, axis=-1), np.arange(n)
        d = np.exp(log_q)
        d[rows, y] -= 1
        return -log_q[rows, y].mean(), d / n
    if kind == "squared":
        return 0.5 * np.square(p - y).sum() / n, (p - y) / n
    return (np.logaddexp(0, p) - y * p).mean(), (expit(p) - y) / p.size


def _slope(kind: str, z: Floats, h: Floats, doubt: float) -> Floats | NDArray[np.bool_]:
    """Returns f'(z), with h = f(z)."""
    if kind == "relu":
        return (z > 0) ^ (np.abs(z) < doubt * _rms(z))
    return (1 + h) * (1 - h) if kind == "tanh" else h * (1 - h)


def _adam(moments: list[tuple[Floats, Floats]], grads: list[Floats], steps: int) -> list[Floats]:
    """Returns m / (sqrt(v) + eps), m and v the corrected means of g and g^2 (Kingma & Ba)."""
    beta1, beta2, eps = 0.9, 0.999, 1e-8
    moments[:] = [
        (beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g)
        for (m, v), g in zip(moments, grads, strict=True)
    ]
    return [m / (1 - beta1**steps) / (np.sqrt(v / (1 - beta2**steps)) + eps) for m, v in moments]


def _named(k: int) -> str:
    return f"{'wb'[k % 2]} of layer {k // 2 + 1}"


def _rms(a: Floats) -> float:
    return float(np.sqrt(np.mean(a * a)))


def _leaves(parameters: Parameters) -> list[Floats]:
    return [leaf for layer in parameters for leaf in layer]


def _layers(leaves: list[Floats]) -> Parameters:
    return list(zip(leaves[::2], leaves[1::2], strict=True))
