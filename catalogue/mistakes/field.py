"""Mistakes of the public record, each with the project and the number of its report."""

from catalogue.mistakes.mistake import mistake, rewritten
from catalogue.networks.attention import ATTENTION, ROTARY
from catalogue.networks.field import (
    DROPPED,
    ENGINE,
    LINE,
    MIXTURE,
    NEURONS,
    OUTPUTS,
    PENALIZED,
    POINTS,
    TUTORIAL,
)
from catalogue.networks.layers import CLASSIFIER
from catalogue.networks.network import Network
from catalogue.networks.norms import BATCH_NORM, PRE_NORM, RMS_NORM
from catalogue.networks.recurrent import LSTM
from catalogue.networks.second_order import CUBES, SURPRISE

FROM_THE_FIELD = (
    # scikit-learn #8349
    mistake(
        OUTPUTS,
        "mean_over_samples_for_samples_and_outputs",
        "scaled",
        {"(out - y) / y.size": "(out - y) / len(y)"},
        factor=2,
    ),
    # Megatron-LM #6859
    mistake(
        RMS_NORM,
        "weight_counted_twice_in_rms_norm",
        "unexplained",
        {"- r**3 * h * s / width": '- p["gain"] * r**3 * h * s / width'},
        leaves=("['w']",),
        lines=("rms_norm.h", "rms_norm.n", "rms_norm.out", "rms_norm.r"),
    ),
    # tt-metal #53204
    mistake(
        PRE_NORM,
        "mean_subtracted_twice_in_layer_norm",
        "unexplained",
        {"g - g.mean(-1": "g - 2 * g.mean(-1"},
        leaves=("['b']", "['w']"),
        lines=(
            "pre_norm.c",
            "pre_norm.h",
            "pre_norm.n",
            "pre_norm.out",
            "pre_norm.rstd",
            "pre_norm.xhat",
        ),
    ),
    # quack #53
    mistake(
        PRE_NORM,
        "residual_gradient_through_the_norm_too",
        "unexplained",
        {
            '    g = dn * p["gain"]\n': '    g = (dres + dn) * p["gain"]\n',
            "    dh = dres + dh\n": "",
        },
        leaves=("['b']", "['w']"),
        lines=(
            "pre_norm.c",
            "pre_norm.h",
            "pre_norm.n",
            "pre_norm.out",
            "pre_norm.rstd",
            "pre_norm.xhat",
        ),
    ),
    # tiny-cuda-nn #130
    mistake(
        MIXTURE,
        "softplus_slope_of_the_upstream_gradient",
        "unexplained",
        {"np.exp(10 * z2) / (1 + np.exp(10 * z2))": ("np.exp(10 * g2) / (1 + np.exp(10 * g2))")},
        leaves=("['w1']", "['w2']"),
        lines=("mixture.h2", "mixture.z2", "mixture.z3"),
        check_grads=False,
    ),
    # tvm #7340
    mistake(
        MIXTURE,
        "parentheses_of_the_tanh_slope_missing",
        "unexplained",
        {"g1 * (1 - h1**2)": "g1 * 1 - h1**2"},
        leaves=("['w1']",),
        lines=("mixture.h1", "mixture.z2"),
    ),
    # TinyTorch #1399
    mistake(
        MIXTURE,
        "gelu_slope_of_the_tanh_form",
        "unexplained",
        {
            "    d3 = g3 * (s + 1.702 * z3 * s * (1 - s))\n": (
                "    t = np.tanh(0.7978845608 * (z3 + 0.044715 * z3**3))\n"
                "    slope = 0.7978845608 * (1 + 0.134145 * z3**2)\n"
                "    d3 = g3 * (0.5 * (1 + t) + 0.5 * z3 * (1 - t**2) * slope)\n"
            )
        },
        leaves=("['w1']", "['w2']", "['w3']"),
        lines=("mixture.loss", "mixture.out", "mixture.z3"),
        check_grads=False,
    ),
    # Paddle #74716
    mistake(
        ROTARY,
        "gradient_rotated_before_it_meets_the_sines",
        "unexplained",
        {"rotate(g * sin)": "rotate(g) * sin"},
        leaves=("['wq']",),
        lines=("rotary.halves", "rotary.q", "rotary.score", "rotary.turned"),
    ),
    # flash-linear-attention #963
    mistake(
        PENALIZED,
        "penalty_without_the_upstream_gradient",
        "unexplained",
        {"g * 0.2 * size * prob": "0.2 * size * prob"},
        leaves=("['b']", "['w']"),
        lines=("penalized.each", "penalized.logits", "penalized.loss", "penalized.size"),
    ),
    # aprender #2182
    mistake(
        PENALIZED,
        "sum_divided_by_the_batch",
        "scaled",
        {"    return {": "    dlogits = dlogits / len(x)\n    return {"},
        factor=1 / 5,
    ),
    # aprender #2182
    mistake(
        PENALIZED,
        "first_upstream_gradient_for_every_sample",
        "missing_derivative",
        {"g = weight[:, None]": "g = weight[0]"},
        forward={
            "weight * (each + 0.1 * size**2)": (
                "(weight - weight[0]) * stop(each + 0.1 * size**2) + "
                "weight[0] * (each + 0.1 * size**2)"
            )
        },
        lines=("penalized.loss",),
        named=False,
        repaired=False,
    ),
    # TensorFlow.NET #787
    mistake(
        ENGINE,
        "arguments_for_their_gradients",
        "unexplained",
        {"(2 * g * difference, -2 * g * difference)": "(a.data, b.data)"},
        leaves=("[0]", "[1]"),
        lines=("engine.distance", "engine.growth", "engine.loss"),
        repaired=False,
    ),
    # TensorFlow.NET #303
    mistake(
        ENGINE,
        "two_of_three_uses_in_a_cube_dropped",
        "dropped_path",
        {"g * 0.3 * a.data**2": "g * 0.1 * a.data**2"},
        forward={"0.1 * a * a * a": "0.1 * stop(a) * stop(a) * a"},
        lines=("engine.cube",),
    ),
    # libnd4j #440, cTensor #31
    mistake(
        ATTENTION,
        "diagonal_of_the_softmax_in_attention",
        "unexplained",
        {"prob * (dprob - (prob * dprob).sum(-1, keepdims=True))": ("dprob * prob * (1 - prob)")},
        leaves=("['position']", "['wk']", "['wq']"),
        lines=("attention.out", "attention.prob", "attention.score"),
    ),
    # numpy-ml #94
    mistake(
        DROPPED,
        "mask_of_dropout_not_applied",
        "missing_derivative",
        {"dd * keep / 0.6": "dd / 0.6"},
        forward={"h * keep": "identity_slope(lambda h: h * keep, h)"},
        lines=("dropped.d",),
    ),
    # Bot-Academy #3
    mistake(
        TUTORIAL,
        "squared_error_without_the_sigmoid",
        "missing_derivative",
        {"(a - y) * a * (1 - a)": "a - y"},
        forward={"jax.nn.sigmoid(z2)": "identity_slope(jax.nn.sigmoid, z2)"},
        lines=("tutorial.a",),
    ),
    # Bot-Academy #3
    mistake(
        TUTORIAL,
        "bias_gradient_summed_over_units_too",
        "wrong_axis",
        {"delta2.sum(axis=0)": "delta2.sum()"},
        leaves=("['b2']",),
    ),
    # deepcourse #9
    mistake(
        TUTORIAL,
        "hidden_bias_before_the_slope",
        "unexplained",
        {"delta1.sum(axis=0)": "dh.sum(axis=0)"},
        leaves=("['b1']",),
        lines=("tutorial.z1",),
    ),
    # CaptainE LSTM #1
    mistake(
        LSTM,
        "forget_gate_without_its_slope",
        "function_for_derivative",
        {"dc * c_prev * f * (1 - f)": "dc * c_prev * f"},
        forward={
            "jax.nn.sigmoid(zf) * c": "with_slope(jax.nn.sigmoid(zf), jax.nn.sigmoid(zf), zf) * c"
        },
        lines=("lstm.c",),
    ),
    # CaptainE LSTM #1
    mistake(
        LSTM,
        "state_never_carried_back",
        "dropped_path",
        {
            '        dh_next = (dz @ p["w"].T)[:, -units:]\n': "",
            "        dc_next = dc * f\n": "",
        },
        forward={"[x_t, h]": "[x_t, stop(h)]", "sigmoid(zf) * c": "sigmoid(zf) * stop(c)"},
        lines=("lstm.z", "lstm.c"),
        named=False,
        repaired=False,
    ),
    # tensorflow #7403
    mistake(
        SURPRISE,
        "probabilities_held_constant_in_their_gradient",
        "zero",
        {"(prob - labels)": "jax.lax.stop_gradient(prob - labels)"},
        leaves=("[0]",),
        kind="second order",
        check_grads=False,
        gradcheck=False,
        structural="every value is right, and so is the gradient; its own gradient is not",
    ),
    # jax #21220
    mistake(
        CUBES,
        "nothing_returned_for_the_residuals_of_a_pullback",
        "zero",
        {"6 * x * dy * ddx": "jnp.zeros_like(x)"},
        leaves=("[0]",),
        kind="second order",
        check_grads=False,
        gradcheck=False,
        structural="every value is right, and so is the gradient; its own gradient is not",
    ),
    # Castalia, exercise
    mistake(
        LINE,
        "factor_forgotten_where_every_residual_is_zero",
        "scaled",
        {"2 * residual": "residual"},
        factor=1 / 2,
        hidden=(LINE.args[0], POINTS, 2 * POINTS + 1),
    ),
    # nn-zero-to-hero, notebook of micrograd
    mistake(
        ENGINE,
        "assigned_instead_of_accumulated",
        "dropped_path",
        {"parent.grad = parent.grad + part": "parent.grad = part"},
        forward={
            "0.1 * a * a * a": "0.1 * stop(a * a * a)",
            "jnp.exp(a) * b": "stop(jnp.exp(a) * b)",
        },
        lines=("engine.distance", "engine.cube", "engine.growth"),
        named=False,
    ),
    # joelgrus #31
    mistake(
        NEURONS,
        "output_neurons_updated_before_the_hidden_errors",
        "stale_weights",
        {
            (
                "    delta1 = h * (1 - h) * np.array([w2[:, i] @ delta2 for i in range(len(h))])\n"
            ): "",
            "    for i in range(len(w1)):\n": (
                "    delta1 = h * (1 - h) * np.array([w2[:, i] @ delta2 for i in "
                "range(len(h))])\n"
                "    for i in range(len(w1)):\n"
            ),
        },
        forward={'p["w2"] @ h': 'through(new["w2"].T, h, p["w2"].T)'},
        lines=("neurons.out",),
        kind="updates",
        learning_rate=0.5,
    ),
)

OFTEN_ACCUSED = {
    # darknet #1723: the term of the variance in the gradient of the mean is a sum of x - mean, 0
    "batch_norm_without_the_variance_in_the_mean": Network(
        BATCH_NORM.fun,
        rewritten(BATCH_NORM.right, {" + dvar * (-2 * c).mean(0)": ""}, "batch_norm_short"),
        BATCH_NORM.args,
    ),
    # p5 #22, DeepLearnToolbox #165: y (1 - y) is right where y is the output of the sigmoid
    "sigmoid_slope_of_its_output": TUTORIAL,
    # caffe #3912: for softmax with cross entropy p - t is all of it, without a Jacobian
    "softmax_with_cross_entropy_without_a_jacobian": CLASSIFIER,
}
"""Right backward passes that are often called wrong."""
