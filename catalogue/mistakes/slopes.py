"""Slopes that are often written for the right one: f for f', or its formula by y at the input."""

from catalogue.mistakes.mistake import mistake
from catalogue.networks.activations import BINARY
from catalogue.networks.calls import TWICE
from catalogue.networks.layers import AUTOENCODER, REGRESSOR
from catalogue.networks.losses import GAUSSIAN

OTHER_SLOPES = (
    mistake(
        AUTOENCODER,
        "sigmoid_for_its_slope",
        "function_for_derivative",
        {"dcode * code * (1 - code)": "dcode * code"},
        forward={"jax.nn.sigmoid(a)": "with_slope(jax.nn.sigmoid(a), jax.nn.sigmoid(a), a)"},
        lines=("autoencoder.code",),
    ),
    mistake(
        TWICE,
        "tanh_for_its_slope_in_the_second_call",
        "function_for_derivative",
        {"1 - h2**2": "h2"},
        forward={
            "dense_tanh(w2, b2, h1)": (
                "with_slope(jnp.tanh(h1 @ w2 + b2), jnp.tanh(h1 @ w2 + b2), h1 @ w2 + b2)"
            )
        },
        lines=("dense_tanh.h", "twice.h2"),
    ),
    mistake(
        GAUSSIAN,
        "elu_slope_without_its_one",
        "function_for_derivative",
        {"1, np.exp(z))": "1, h)"},
        forward={
            "jax.nn.elu(z)": "with_slope(jax.nn.elu(z), jnp.where(z > 0, 1, jax.nn.elu(z)), z)"
        },
        lines=("gaussian.h",),
    ),
    mistake(
        REGRESSOR,
        "tanh_slope_without_its_tanh",
        "output_formula_at_input",
        {"1 - h1**2": "1 - z1**2"},
        forward={"jnp.tanh(z1)": "with_slope(jnp.tanh(z1), 1 - z1**2, z1)"},
        lines=("regressor.h1",),
    ),
    mistake(
        BINARY,
        "sigmoid_slope_of_its_input",
        "output_formula_at_input",
        {
            'prob = logistic(q @ p["w2"] + p["b2"])': (
                'z2 = q @ p["w2"] + p["b2"]\n    prob = logistic(z2)'
            ),
            "dprob * prob * (1 - prob)": "dprob * z2 * (1 - z2)",
        },
        forward={"jax.nn.sigmoid(z2)": "with_slope(jax.nn.sigmoid(z2), z2 * (1 - z2), z2)"},
        lines=("binary.prob",),
    ),
)
