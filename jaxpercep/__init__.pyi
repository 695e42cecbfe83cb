# The public names and where each is defined: imported lazily by __init__.py.
from . import compare, datasets, interop, plots
from .activations import (
    elu,
    gelu,
    identity,
    leaky_relu,
    relu,
    sigmoid,
    silu,
    softplus,
    step,
    tanh,
)
from .certificates import Inseparable, Separable, certify
from .compare import (
    Diagnosis,
    GradientReport,
    assert_gradients,
    compare_custom_vjp,
    compare_gradients,
    compare_model,
    compare_updates,
    compare_vjp,
)
from .compose import Repeat, Residual, Serial, mlp, perceptron
from .dense import Dense, DenseParams
from .gradients import value_and_grad, with_manual_backward
from .layer import AutodiffLayer, Layer
from .losses import (
    BinaryCrossEntropy,
    Hinge,
    Loss,
    PerceptronLoss,
    SoftmaxCrossEntropy,
    SquaredError,
)
from .norm import LayerNorm, LayerNormParams
from .rosenblatt import PerceptronResult, append_bias, perceptron_rule
from .training import History, TrainState, fit, init_state, make_step

__all__ = [
    "AutodiffLayer",
    "BinaryCrossEntropy",
    "Dense",
    "DenseParams",
    "Diagnosis",
    "GradientReport",
    "Hinge",
    "History",
    "Inseparable",
    "Layer",
    "LayerNorm",
    "LayerNormParams",
    "Loss",
    "PerceptronLoss",
    "PerceptronResult",
    "Repeat",
    "Residual",
    "Separable",
    "Serial",
    "SoftmaxCrossEntropy",
    "SquaredError",
    "TrainState",
    "append_bias",
    "assert_gradients",
    "certify",
    "compare",
    "compare_custom_vjp",
    "compare_gradients",
    "compare_model",
    "compare_updates",
    "compare_vjp",
    "datasets",
    "elu",
    "fit",
    "gelu",
    "identity",
    "init_state",
    "interop",
    "leaky_relu",
    "make_step",
    "mlp",
    "perceptron",
    "perceptron_rule",
    "plots",
    "relu",
    "sigmoid",
    "silu",
    "softplus",
    "step",
    "tanh",
    "value_and_grad",
    "with_manual_backward",
]
