"""Derivatives left out."""

from catalogue.mistakes.forward import RNN_TIME, SETTLING_ROUND, STACKED_INDEX
from catalogue.mistakes.mistake import mistake
from catalogue.networks.activations import BINARY, CUSTOM
from catalogue.networks.calls import PER_SAMPLE, RECOMPUTED, SWITCHED, TWICE
from catalogue.networks.layers import AUTOENCODER, CLASSIFIER, NORMED, REGRESSOR, RESIDUAL
from catalogue.networks.loops import DEEP, SETTLING, STACKED
from catalogue.networks.losses import COUNTS, GAUSSIAN, SVM, VOTES
from catalogue.networks.sequences import ATTEND, RNN

MISSING_DERIVATIVE = (
    mistake(
        REGRESSOR,
        "tanh_derivative_left_out",
        "missing_derivative",
        {"dh1 * (1 - h1**2)": "dh1"},
        forward={"jnp.tanh(z1)": "identity_slope(jnp.tanh, z1)"},
        lines=("regressor.h1",),
    ),
    mistake(
        CLASSIFIER,
        "relu_derivative_left_out",
        "missing_derivative",
        {"jnp.where(z2 > 0, delta3 @ p.w3.T, 0.0)": "delta3 @ p.w3.T"},
        forward={"jax.nn.relu(z2)": "identity_slope(jax.nn.relu, z2)"},
        lines=("classifier.h2",),
    ),
    mistake(
        AUTOENCODER,
        "sigmoid_derivative_left_out",
        "missing_derivative",
        {"dcode * code * (1 - code)": "dcode"},
        forward={"jax.nn.sigmoid(a)": "identity_slope(jax.nn.sigmoid, a)"},
        lines=("autoencoder.code",),
    ),
    mistake(
        RESIDUAL,
        "silu_derivative_left_out",
        "missing_derivative",
        {"df1 * silu_slope(z1)": "df1"},
        forward={"jax.nn.silu(z1)": "identity_slope(jax.nn.silu, z1)"},
        lines=("residual.f1",),
    ),
    mistake(
        RESIDUAL,
        "scale_of_the_branch_left_out",
        "missing_derivative",
        {"0.5 * dh2": "dh2"},
        forward={"0.5 * f2": "identity_slope(lambda f: 0.5 * f, f2)"},
        lines=("residual.h2",),
    ),
    mistake(
        NORMED,
        "sqrt_derivative_left_out",
        "missing_derivative",
        {"dsd / (2 * sd)": "dsd"},
        forward={
            "jnp.sqrt(var + 1e-3)": "identity_slope(jnp.sqrt, var + 1e-3)",
        },
        lines=("normed.sd",),
    ),
    mistake(
        BINARY,
        "square_derivative_left_out",
        "missing_derivative",
        {" * 2 * z1": ""},
        forward={"z1**2": "identity_slope(jnp.square, z1)"},
        lines=("binary.q",),
    ),
    mistake(
        BINARY,
        "output_sigmoid_derivative_left_out",
        "missing_derivative",
        {"dprob * prob * (1 - prob)": "dprob"},
        forward={
            "jax.nn.sigmoid(z2)": "identity_slope(jax.nn.sigmoid, z2)",
        },
        lines=("binary.prob",),
    ),
    mistake(
        COUNTS,
        "gelu_derivative_left_out",
        "missing_derivative",
        {" * gelu_slope(z1)": ""},
        forward={"jax.nn.gelu(z1)": "identity_slope(jax.nn.gelu, z1)"},
        lines=("counts.h1",),
    ),
    mistake(
        COUNTS,
        "softplus_derivative_left_out",
        "missing_derivative",
        {"drate * jax.nn.sigmoid(z2)": "drate"},
        forward={
            "jax.nn.softplus(z2)": "identity_slope(jax.nn.softplus, z2)",
        },
        lines=("counts.rate",),
    ),
    mistake(
        COUNTS,
        "log_derivative_left_out",
        "missing_derivative",
        {"1 - y / rate": "1 - y"},
        forward={"jnp.log(rate)": "identity_slope(jnp.log, rate)"},
        lines=("counts.log_rate",),
    ),
    mistake(
        GAUSSIAN,
        "elu_derivative_left_out",
        "missing_derivative",
        {"dh * np.where(z > 0, 1, np.exp(z))": "dh"},
        forward={"jax.nn.elu(z)": "identity_slope(jax.nn.elu, z)"},
        lines=("gaussian.h",),
    ),
    mistake(
        GAUSSIAN,
        "exp_derivative_left_out",
        "missing_derivative",
        {"dprecision * precision": "dprecision"},
        forward={"jnp.exp(-s)": "identity_slope(jnp.exp, -s)"},
        lines=("gaussian.precision",),
        repaired=False,
    ),
    mistake(
        VOTES,
        "leaky_relu_derivative_left_out",
        "missing_derivative",
        {"jnp.where(z1 > 0, dh1, 0.01 * dh1)": "dh1"},
        forward={
            "jax.nn.leaky_relu(z1, 0.01)": "identity_slope(jax.nn.leaky_relu, z1)",
        },
        lines=("votes.h1",),
    ),
    mistake(
        VOTES,
        "softmax_jacobian_left_out",
        "missing_derivative",
        {"prob * (dprob - jnp.sum(prob * dprob, axis=-1, keepdims=True))": "dprob"},
        forward={"jax.nn.softmax(z2)": "identity_slope(jax.nn.softmax, z2)"},
        lines=("votes.prob",),
    ),
    mistake(
        SVM,
        "margin_not_looked_at",
        "missing_derivative",
        {"np.where(y * score < 1, -y, 0)": "-y"},
        forward={
            "jnp.maximum(0.0, 1 - y * score)": "identity_slope(jax.nn.relu, 1 - y * score)",
        },
        lines=("svm.hinge",),
    ),
    mistake(
        ATTEND,
        "exp_of_the_scores_left_out",
        "missing_derivative",
        {"de * e\n": "de\n"},
        forward={
            "jnp.exp(score - peak)": "identity_slope(jnp.exp, score - peak)",
        },
        lines=("attend.e",),
    ),
    mistake(
        CUSTOM,
        "own_activation_left_out",
        "missing_derivative",
        {"dh * squareplus_slope(z)": "dh"},
        forward={"squareplus(z)": "identity_slope(squareplus, z)"},
        lines=("custom.h",),
    ),
    mistake(
        DEEP,
        "derivative_left_out_in_every_layer",
        "missing_derivative",
        {" * (1 - h[i + 1] ** 2)": ""},
        forward={"jnp.tanh(z)": "identity_slope(jnp.tanh, z)"},
        lines=("deep.h",),
    ),
    mistake(
        DEEP,
        "derivative_left_out_in_the_first_layer",
        "missing_derivative",
        {"(1 - h[i + 1] ** 2)": "(1 - h[i + 1] ** 2 if i > 0 else 1)"},
        forward={
            "jnp.tanh(z)": "identity_slope(jnp.tanh, z) if h is x else jnp.tanh(z)",
        },
        lines=("deep.h",),
    ),
    mistake(
        RNN,
        "derivative_left_out_at_every_time",
        "missing_derivative",
        {"dh * (1 - h[t + 1] ** 2)": "dh"},
        forward={"jnp.tanh(z)": "identity_slope(jnp.tanh, z)"},
        lines=("rnn.h",),
    ),
    mistake(
        RNN,
        "derivative_left_out_at_one_time",
        "missing_derivative",
        {"(1 - h[t + 1] ** 2)": "(1 - h[t + 1] ** 2 if t != 2 else 1)"},
        forward=RNN_TIME
        | {"jnp.tanh(z)": "jnp.where(t == 2, identity_slope(jnp.tanh, z), jnp.tanh(z))"},
        lines=("rnn.h",),
        location="iteration 3 of 4",
    ),
    mistake(
        STACKED,
        "derivative_left_out_in_the_first_of_the_stack",
        "missing_derivative",
        {"dz = dh * jax.nn.sigmoid(z[i])": "dz = dh * jax.nn.sigmoid(z[i]) if i > 0 else dh"},
        forward=STACKED_INDEX
        | {
            "h = jax.nn.softplus(z)": (
                "f = jax.nn.softplus; h = jnp.where(i == 0, identity_slope(f, z), f(z))"
            )
        },
        lines=("stacked.h",),
        location="iteration 1 of 4",
    ),
    mistake(
        SETTLING,
        "derivative_left_out_in_one_round",
        "missing_derivative",
        {"(1 - h[i + 1] ** 2)": "(1 - h[i + 1] ** 2 if i != 1 else 1)"},
        forward=SETTLING_ROUND
        | {"jnp.tanh(z)": "jnp.where(i == 1, identity_slope(jnp.tanh, z), jnp.tanh(z))"},
        lines=("settling.h",),
        location="iteration 2 of 3",
    ),
    mistake(
        PER_SAMPLE,
        "own_swish_left_out",
        "missing_derivative",
        {"dh * (s + h * (1 - s))": "dh"},
        forward={"swish(z)": "identity_slope(swish, z)"},
        lines=("per_sample.h", "swish.product"),
    ),
    mistake(
        TWICE,
        "derivative_left_out_in_the_first_call",
        "missing_derivative",
        {"dh1 * (1 - h1**2)": "dh1"},
        forward={
            "dense_tanh(w1, b1, x)": "identity_slope(jnp.tanh, x @ w1 + b1)",
        },
        lines=("dense_tanh.h", "twice.h1"),
    ),
    mistake(
        TWICE,
        "derivative_left_out_in_both_calls",
        "missing_derivative",
        {"dh1 * (1 - h1**2)": "dh1", "dh2 * (1 - h2**2)": "dh2"},
        forward={
            "dense_tanh(w1, b1, x)": "identity_slope(jnp.tanh, x @ w1 + b1)",
            "dense_tanh(w2, b2, h1)": "identity_slope(jnp.tanh, h1 @ w2 + b2)",
        },
        lines=("dense_tanh.h",),
    ),
    mistake(
        RECOMPUTED,
        "derivative_left_out_in_a_recomputed_block",
        "missing_derivative",
        {"dh2 * s2 * (1 - s2)": "dh2"},
        forward={
            'block(p["w2"], p["b2"], h1)': (
                'h1 + identity_slope(jax.nn.sigmoid, h1 @ p["w2"] + p["b2"])'
            ),
        },
        lines=("block.s", "recomputed.h2"),
    ),
    mistake(
        SWITCHED,
        "derivative_left_out_in_the_branch_taken",
        "missing_derivative",
        {"1 - h**2 if warm": "1 if warm"},
        forward={"jnp.tanh(z)": "identity_slope(jnp.tanh, z)"},
        lines=("switched.warm", "switched.h"),
    ),
)
