"""Derivatives evaluated at the output of a function instead of its input."""

from catalogue.mistakes.forward import STACKED_INDEX
from catalogue.mistakes.mistake import mistake
from catalogue.networks.activations import BINARY, CUSTOM
from catalogue.networks.calls import SWITCHED, TWICE
from catalogue.networks.layers import AUTOENCODER, REGRESSOR, RESIDUAL
from catalogue.networks.loops import STACKED
from catalogue.networks.losses import COUNTS, GAUSSIAN

DERIVATIVE_AT_OUTPUT = (
    mistake(
        REGRESSOR,
        "tanh_of_tanh",
        "derivative_at_output",
        {"1 - h1**2": "1 - np.tanh(h1) ** 2"},
        forward={"jnp.tanh(z1)": "slope_at_output(jnp.tanh, z1)"},
        lines=("regressor.h1",),
    ),
    mistake(
        AUTOENCODER,
        "sigmoid_of_sigmoid",
        "derivative_at_output",
        {"dcode * code * (1 - code)": "dcode * logistic(code) * (1 - logistic(code))"},
        forward={"jax.nn.sigmoid(a)": "slope_at_output(jax.nn.sigmoid, a)"},
        lines=("autoencoder.code",),
    ),
    mistake(
        RESIDUAL,
        "silu_slope_at_output",
        "derivative_at_output",
        {"silu_slope(z2)": "silu_slope(f2)"},
        forward={"jax.nn.silu(z2)": "slope_at_output(jax.nn.silu, z2)"},
        lines=("residual.f2",),
    ),
    mistake(
        BINARY,
        "square_slope_at_output",
        "derivative_at_output",
        {" * 2 * z1": " * 2 * q"},
        forward={"z1**2": "slope_at_output(jnp.square, z1)"},
        lines=("binary.q",),
    ),
    mistake(
        BINARY,
        "output_sigmoid_slope_at_output",
        "derivative_at_output",
        {"dprob * prob * (1 - prob)": "dprob * logistic(prob) * (1 - logistic(prob))"},
        forward={
            "jax.nn.sigmoid(z2)": "slope_at_output(jax.nn.sigmoid, z2)",
        },
        lines=("binary.prob",),
    ),
    mistake(
        COUNTS,
        "gelu_slope_at_output",
        "derivative_at_output",
        {"gelu_slope(z1)": "gelu_slope(h1)"},
        forward={"jax.nn.gelu(z1)": "slope_at_output(jax.nn.gelu, z1)"},
        lines=("counts.h1",),
    ),
    mistake(
        COUNTS,
        "softplus_slope_at_output",
        "derivative_at_output",
        {"jax.nn.sigmoid(z2)": "jax.nn.sigmoid(rate)"},
        forward={
            "jax.nn.softplus(z2)": "slope_at_output(jax.nn.softplus, z2)",
        },
        lines=("counts.rate",),
    ),
    mistake(
        GAUSSIAN,
        "elu_slope_at_output",
        "derivative_at_output",
        {"np.exp(z))\n    return": "np.exp(h))\n    return"},
        forward={"jax.nn.elu(z)": "slope_at_output(jax.nn.elu, z)"},
        lines=("gaussian.h",),
    ),
    mistake(
        GAUSSIAN,
        "exp_of_exp",
        "derivative_at_output",
        {"dprecision * precision": "dprecision * np.exp(precision)"},
        forward={"jnp.exp(-s)": "slope_at_output(jnp.exp, -s)"},
        lines=("gaussian.precision",),
        named=False,
    ),
    mistake(
        STACKED,
        "softplus_slope_at_output_in_every_layer",
        "derivative_at_output",
        {"jax.nn.sigmoid(z[i])": "jax.nn.sigmoid(h[i + 1])"},
        forward={
            "jax.nn.softplus(z)": "slope_at_output(jax.nn.softplus, z)",
        },
        lines=("stacked.h",),
    ),
    mistake(
        STACKED,
        "softplus_slope_at_output_in_one_layer",
        "derivative_at_output",
        {"jax.nn.sigmoid(z[i])": "jax.nn.sigmoid(h[2] if i == 1 else z[i])"},
        forward=STACKED_INDEX
        | {
            "h = jax.nn.softplus(z)": (
                "f = jax.nn.softplus; h = jnp.where(i == 1, slope_at_output(f, z), f(z))"
            )
        },
        lines=("stacked.h",),
        location="iteration 2 of 4",
        check_grads=False,
    ),
    mistake(
        TWICE,
        "tanh_of_tanh_in_the_second_call",
        "derivative_at_output",
        {"1 - h2**2": "1 - jnp.tanh(h2) ** 2"},
        forward={
            "dense_tanh(w2, b2, h1)": "slope_at_output(jnp.tanh, h1 @ w2 + b2)",
        },
        lines=("dense_tanh.h", "twice.h2"),
    ),
    mistake(
        SWITCHED,
        "tanh_of_tanh_in_the_branch_taken",
        "derivative_at_output",
        {"1 - h**2 if warm": "1 - np.tanh(h) ** 2 if warm"},
        forward={"jnp.tanh(z)": "slope_at_output(jnp.tanh, z)"},
        lines=("switched.warm", "switched.h"),
    ),
    mistake(
        CUSTOM,
        "own_slope_at_output",
        "derivative_at_output",
        {"squareplus_slope(z)": "squareplus_slope(h)"},
        forward={"squareplus(z)": "slope_at_output(squareplus, z)"},
        lines=("custom.h",),
    ),
)
