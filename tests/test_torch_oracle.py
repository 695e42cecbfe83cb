"""The same weights, the same loss, another framework: gradients to the rounding of float64."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import LOSSES, assert_agree, draw_params

import jaxpercep as jp
from jaxpercep.tour.published import load

torch = pytest.importorskip("torch", reason="PyTorch is one of the optional peers")
F = torch.nn.functional

pytestmark = pytest.mark.usefixtures("x64")
METHODS = ("autodiff", "manual")
BATCH, INPUTS = 6, 3


def gelu(x):
    return F.gelu(x, approximate="tanh")


ACTIVATIONS = {
    jp.identity: lambda x: x,
    jp.sigmoid: torch.sigmoid,
    jp.tanh: torch.tanh,
    jp.relu: torch.relu,
    jp.leaky_relu: F.leaky_relu,
    jp.elu: F.elu,
    jp.softplus: F.softplus,
    jp.silu: F.silu,
    jp.gelu: gelu,
}


def torch_model(layer, params, x):
    """Computes `layer.apply` in PyTorch's own functions."""
    match layer:
        case jp.Serial():
            for part, p in zip(layer.layers, params, strict=True):
                x = torch_model(part, p, x)
            return x
        case jp.Residual():
            return x + torch_model(layer.layer, params, x)
        case jp.Repeat():
            for i in range(layer.times):
                x = torch_model(layer.layer, jax.tree.map(lambda leaf, i=i: leaf[i], params), x)
            return x
        case jp.Dense():
            return F.linear(x, params.w.T, params.b)
        case jp.LayerNorm():
            return F.layer_norm(x, (layer.features,), params.scale, params.bias, layer.epsilon)
        case _:
            return ACTIVATIONS[layer](x)


def torch_loss(loss, p, t):
    """Computes `loss.apply` in PyTorch's own functions."""
    match loss:
        case jp.SquaredError():
            if loss.reduction == "batch_mean":
                return loss.scale * F.mse_loss(p, t, reduction="sum") / p[..., 0].numel()
            return loss.scale * F.mse_loss(p, t, reduction=loss.reduction)
        case jp.BinaryCrossEntropy(from_logits=True):
            return F.binary_cross_entropy_with_logits(p, t)
        case jp.BinaryCrossEntropy():
            return F.binary_cross_entropy(p, t)
        case jp.SoftmaxCrossEntropy():
            return F.cross_entropy(p, t)
        case jp.Hinge():
            return F.margin_ranking_loss(p, torch.zeros_like(p), t, margin=1)
        case jp.PerceptronLoss():
            return F.margin_ranking_loss(p, torch.zeros_like(p), t)


def as_tensor(array):
    """Keeps numbers in float64, labels in int64; targets of ±1 and 0/1 are numbers to PyTorch."""
    return torch.tensor(np.array(array))


def torch_value_and_grad(model, loss, params, x, y):
    tensors = jax.tree.map(lambda leaf: as_tensor(leaf).requires_grad_(), params)
    value = torch_loss(loss, torch_model(model, tensors, as_tensor(x)), as_tensor(y))
    leaves, structure = jax.tree.flatten(tensors)
    gradients = torch.autograd.grad(value, leaves)
    return jax.tree.map(
        lambda tensor: jnp.asarray(tensor.detach().numpy()),
        (value, structure.unflatten(gradients)),
    )


def assert_agrees_with_torch(model, loss, x, y):
    params = draw_params(model, np.random.default_rng(1))
    expected = torch_value_and_grad(model, loss, params, x, y)
    for method in METHODS:
        assert_agree(jp.value_and_grad(model, loss, method)(params, x, y), expected)


DENSE = jp.Dense(INPUTS, INPUTS)
MODELS = {
    **{repr(f): jp.mlp([INPUTS, 5, 4, 2], f) for f in ACTIVATIONS},
    "without bias": jp.mlp([INPUTS, 5, 2], jp.tanh, use_bias=False),
    "perceptron": jp.perceptron(INPUTS),
    "layer norm": jp.Serial(jp.Dense(INPUTS, 5), jp.LayerNorm(5), jp.relu, jp.Dense(5, 2)),
    "layer norm last": jp.Serial(DENSE, jp.LayerNorm(INPUTS, epsilon=0.1)),
    "residual": jp.Serial(jp.Residual(jp.Serial(DENSE, jp.silu, DENSE)), jp.Dense(INPUTS, 2)),
    "repeat": jp.Serial(jp.Repeat(jp.Serial(DENSE, jp.tanh), 3), jp.Dense(INPUTS, 2)),
    "repeat residual": jp.Repeat(jp.Residual(jp.Serial(jp.LayerNorm(3), DENSE, jp.gelu)), 2),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_models(model):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, INPUTS))
    y = rng.normal(size=jax.eval_shape(model.apply, draw_params(model, rng), x).shape)
    assert_agrees_with_torch(model, jp.SquaredError(), x, y)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: case.name)
def test_losses(case):
    rng = np.random.default_rng(0)
    prediction, y = case.draw(rng)
    if "labels" not in case.name:
        y = y.astype(np.float64)
    model = jp.mlp([INPUTS, 4, prediction.shape[-1]], jp.tanh)
    if case.loss == jp.BinaryCrossEntropy(from_logits=False):
        model = jp.Serial(*model.layers, jp.sigmoid)
    x = rng.normal(size=(*prediction.shape[:-1], INPUTS))
    assert_agrees_with_torch(model, case.loss, x, y)


def test_probabilities_clamp_like_torch_at_exactly_0_and_1():
    """The values agree there; the gradients differ, as the documentation says."""
    p, t = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])
    loss = jp.BinaryCrossEntropy(from_logits=False)
    np.testing.assert_array_equal(loss.apply(p, t), F.binary_cross_entropy(*map(as_tensor, (p, t))))


@pytest.mark.parametrize("name", ["lab-08-1", "lab-08-2"])
def test_the_lecture_started_from_these_draws(name):
    network = load("lecture_lab08")[name]
    torch.manual_seed(777)
    for (m, n), published in zip(pairwise(network["sizes"]), network["init"], strict=True):
        drawn = torch.nn.Linear(m, n)
        assert drawn.weight.T.tolist() == published["w"]
        assert drawn.bias.tolist() == published["b"]
