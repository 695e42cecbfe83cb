"""Networks in which mistakes of the public record were made, and which are found nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.attention import softmax
from catalogue.networks.network import Network, as_numpy, batch, draw, logistic, one_hot

# A regressor of several outputs, half the mean over samples and outputs


def outputs(p, x, y):
    z = x @ p["w1"] + p["b1"]  # [outputs.z]
    h = jax.nn.relu(z)  # [outputs.h]
    out = h @ p["w2"] + p["b2"]  # [outputs.out]
    return jnp.mean((out - y) ** 2) / 2  # [outputs.loss]


def outputs_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    z = x @ p["w1"] + p["b1"]
    h = np.maximum(z, 0)
    out = h @ p["w2"] + p["b2"]
    delta = (out - y) / y.size
    inner = delta @ p["w2"].T
    inner[h == 0] = 0
    return {"w1": x.T @ inner, "b1": inner.sum(0), "w2": h.T @ delta, "b2": delta.sum(0)}


OUTPUTS = Network(
    outputs,
    outputs_gradients,
    (draw(281, w1=(3, 4), b1=(4,), w2=(4, 2), b2=(2,)), *batch(282, (5, 3), (5, 2))),
)


# Three layers of three activations: tanh, a sharp softplus, gelu by a sigmoid


def mixture(p, x, y):
    h1 = jnp.tanh(x @ p["w1"])  # [mixture.h1]
    z2 = h1 @ p["w2"]  # [mixture.z2]
    h2 = jnp.log1p(jnp.exp(10 * z2)) / 10  # [mixture.h2]
    z3 = h2 @ p["w3"]  # [mixture.z3]
    out = z3 * jax.nn.sigmoid(1.702 * z3)  # [mixture.out]
    return jnp.mean((out - y) ** 2)  # [mixture.loss]


def mixture_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    h1 = np.tanh(x @ p["w1"])
    z2 = h1 @ p["w2"]
    h2 = np.log1p(np.exp(10 * z2)) / 10
    z3 = h2 @ p["w3"]
    s = logistic(1.702 * z3)
    g3 = 2 * (z3 * s - y) / y.size
    d3 = g3 * (s + 1.702 * z3 * s * (1 - s))
    g2 = d3 @ p["w3"].T
    d2 = g2 * np.exp(10 * z2) / (1 + np.exp(10 * z2))
    g1 = d2 @ p["w2"].T
    d1 = g1 * (1 - h1**2)
    return {"w1": x.T @ d1, "w2": h1.T @ d2, "w3": h2.T @ d3}


MIXTURE = Network(
    mixture,
    mixture_gradients,
    (draw(283, w1=(3, 4), w2=(4, 3), w3=(3, 2)), *batch(284, (5, 3), (5, 2))),
)


# Cross entropy of each sample, weighted, with a penalty on the size of the logits


def penalized(p, x, labels, weight):
    logits = x @ p["w"] + p["b"]  # [penalized.logits]
    size = jax.nn.logsumexp(logits, axis=1)  # [penalized.size]
    each = size - jnp.sum(labels * logits, axis=1)  # [penalized.each]
    return jnp.sum(weight * (each + 0.1 * size**2))  # [penalized.loss]


def penalized_gradients(p, x, labels, weight):
    p, x, labels, weight = as_numpy((p, x, labels, weight))
    logits = x @ p["w"] + p["b"]
    prob = softmax(logits)
    size = np.log(np.exp(logits).sum(1, keepdims=True))
    g = weight[:, None]
    dlogits = g * (prob - labels)
    dlogits += g * 0.2 * size * prob
    return {"w": x.T @ dlogits, "b": dlogits.sum(0)}


PENALIZED = Network(
    penalized,
    penalized_gradients,
    (
        draw(285, w=(3, 4), b=(4,)),
        *batch(286, (5, 3)),
        one_hot(287, 5, 4),
        np.float32([0.5, 2, 1, 0.25, 1.5]),
    ),
)


# Arithmetic, differentiated by a small engine of the candidate's own


def engine(p):
    x, y = p
    a = jnp.sin(x)  # [engine.a]
    b = jnp.sin(y)  # [engine.b]
    distance = jnp.sum((a - b) ** 2)  # [engine.distance]
    cube = jnp.sum(0.1 * a * a * a)  # [engine.cube]
    growth = jnp.sum(jnp.exp(a) * b)  # [engine.growth]
    return distance + cube + growth  # [engine.loss]


def engine_gradients(p):
    class Value:
        def __init__(self, data, parents=(), pull=None):
            self.data, self.parents, self.pull = data, parents, pull
            self.grad = np.zeros_like(data)

        def backward(self):
            self.grad = np.ones_like(self.data)
            for node in reversed(order(self, [])):
                parts = node.pull(node.grad) if node.pull else ()
                for parent, part in zip(node.parents, parts, strict=True):
                    parent.grad = parent.grad + part

    def order(node, done):
        if node not in done:
            for parent in node.parents:
                order(parent, done)
            done.append(node)
        return done

    def add(a, b):
        return Value(a.data + b.data, (a, b), lambda g: (g, g))

    def mul(a, b):
        return Value(a.data * b.data, (a, b), lambda g: (g * b.data, g * a.data))

    def square_distance(a, b):
        difference = a.data - b.data
        return Value(difference**2, (a, b), lambda g: (2 * g * difference, -2 * g * difference))

    def cube(a):
        return Value(0.1 * a.data**3, (a,), lambda g: (g * 0.3 * a.data**2,))

    def exp(a):
        e = np.exp(a.data)
        return Value(e, (a,), lambda g: (g * e,))

    def sin(a):
        return Value(np.sin(a.data), (a,), lambda g: (g * np.cos(a.data),))

    x, y = map(Value, as_numpy(p))
    a, b = sin(x), sin(y)
    add(add(square_distance(a, b), cube(a)), mul(exp(a), b)).backward()
    return x.grad, y.grad


ENGINE = Network(engine, engine_gradients, (batch(288, (4,), (4,)),))


# Dropout with the mask of the forward pass


def dropped(p, x, keep, y):
    h = jnp.tanh(x @ p["w1"])  # [dropped.h]
    d = h * keep / 0.6  # [dropped.d]
    out = d @ p["w2"]  # [dropped.out]
    return 0.5 * jnp.mean((out - y) ** 2)  # [dropped.loss]


def dropped_gradients(p, x, keep, y):
    p, x, keep, y = as_numpy((p, x, keep, y))
    h = np.tanh(x @ p["w1"])
    d = h * keep / 0.6
    dout = (d @ p["w2"] - y) / y.size
    dd = dout @ p["w2"].T
    dh = dd * keep / 0.6
    dz = dh * (1 - h**2)
    return {"w1": x.T @ dz, "w2": d.T @ dout}


KEPT = np.float32([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1], [1, 0, 0, 1], [1, 1, 1, 0]])

DROPPED = Network(
    dropped,
    dropped_gradients,
    (
        draw(289, w1=(3, 4), w2=(4, 2)),
        batch(290, (5, 3))[0],
        KEPT,
        batch(291, (5, 2))[0],
    ),
)


# Two layers of a tutorial: tanh, then a sigmoid with squared error


def tutorial(p, x, y):
    z1 = x @ p["w1"] + p["b1"]  # [tutorial.z1]
    h = jnp.tanh(z1)  # [tutorial.h]
    z2 = h @ p["w2"] + p["b2"]  # [tutorial.z2]
    a = jax.nn.sigmoid(z2)  # [tutorial.a]
    return 0.5 * jnp.sum((a - y) ** 2)  # [tutorial.loss]


def tutorial_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    h = np.tanh(x @ p["w1"] + p["b1"])
    a = logistic(h @ p["w2"] + p["b2"])
    delta2 = (a - y) * a * (1 - a)
    dh = delta2 @ p["w2"].T
    delta1 = dh * (1 - h**2)
    return {
        "w1": x.T @ delta1,
        "b1": delta1.sum(axis=0),
        "w2": h.T @ delta2,
        "b2": delta2.sum(axis=0),
    }


TUTORIAL = Network(
    tutorial,
    tutorial_gradients,
    (draw(292, w1=(3, 4), b1=(4,), w2=(4, 2), b2=(2,)), *batch(293, (5, 3), (5, 2))),
)


# A step for one sample, neuron by neuron


def neurons(p, x, y):
    h = jax.nn.sigmoid(p["w1"] @ x)  # [neurons.h]
    out = jax.nn.sigmoid(p["w2"] @ h)  # [neurons.out]
    return 0.5 * jnp.sum((out - y) ** 2)  # [neurons.loss]


def neurons_step(p, x, y):
    p, x, y = as_numpy((p, x, y))
    w1, w2 = p["w1"].copy(), p["w2"].copy()
    h = logistic(w1 @ x)
    out = logistic(w2 @ h)
    delta2 = out * (1 - out) * (out - y)
    delta1 = h * (1 - h) * np.array([w2[:, i] @ delta2 for i in range(len(h))])
    for k in range(len(w2)):
        w2[k] -= 0.5 * delta2[k] * h
    for i in range(len(w1)):
        w1[i] -= 0.5 * delta1[i] * x
    return {"w1": w1, "w2": w2}


NEURONS = Network(
    neurons,
    neurons_step,
    (draw(294, w1=(4, 3), w2=(2, 4)), *batch(295, (3,), (2,))),
)


# A line through points, as an exercise asks for it


def line(p, x, y):
    out = p["slope"] * x + p["intercept"]  # [line.out]
    return jnp.mean((out - y) ** 2)  # [line.loss]


def line_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    residual = p["slope"] * x + p["intercept"] - y
    dout = 2 * residual / y.size
    return {"slope": (dout * x).sum(), "intercept": dout.sum()}


POINTS = np.float32([1, 2, 3, 5, 6])

LINE = Network(
    line,
    line_gradients,
    ({"slope": np.float32(2), "intercept": np.float32(1)}, POINTS, np.float32([2, 6, 7, 10, 13])),
)
