"""Wrong hand-written backward passes, each with the cause that a comparison has to name.

A mistake is one edit of a right backward pass of `mistaken_networks.py`, as it would be seen in a
diff: `{text that was there: text with the mistake}`.
"""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from mistaken_networks import (
    ATTEND,
    AUTOENCODER,
    BINARY,
    CLASSIFIER,
    COUNTS,
    CUSTOM,
    DEEP,
    GAUSSIAN,
    LASSO,
    NORMED,
    PER_SAMPLE,
    POOLED,
    RECOMPUTED,
    RECTIFIED,
    REGRESSOR,
    RESIDUAL,
    RNN,
    SETTLING,
    STACKED,
    SVM,
    SWITCHED,
    THREE_LAYERS,
    TWICE,
    TWO_LAYERS,
    VOTES,
    Network,
    line_of,
)

__all__ = ["MISTAKES", "Mistake", "line_of", "rewritten"]


class Mistake(NamedTuple):
    """A wrong backward pass and what is to be found out about it.

    Attributes:
        name: unique.
        fun: the loss, `fun(params, *batch)`.
        wrong: the mistaken gradient, or SGD step.
        right: the same without the mistake.
        args: float32 arrays.
        cause: the first of the causes that reproduces `wrong` exactly.
        leaves: paths of the wrong leaves, for causes seen from a leaf and for `unexplained`; ()
            means every leaf.
        lines: tags of the lines accepted as the place, for the other causes. For `unexplained`,
            those between the last right gradient and the first wrong one.
        location: the iteration, counted from 1, where the mistake sits in one alone.
        factor: the candidate's for `scaled`; c for `weight_decay`, where wrong = right + c w.
        kind: whether `wrong` returns gradients, or parameters after a step.
        learning_rate: of that step.
    """

    name: str
    fun: Callable[..., Any]
    wrong: Callable[..., Any]
    right: Callable[..., Any]
    args: tuple[Any, ...]
    cause: str
    leaves: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    location: str | None = None
    factor: float | None = None
    kind: Literal["gradients", "updates"] = "gradients"
    learning_rate: float | None = None


def rewritten(
    function: Callable[..., Any], edits: dict[str, str], **names: Any
) -> Callable[..., Any]:
    """The function after edits of its source, each of a text that occurs once; it sees `names`."""
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in edits.items():
        if source.count(old) != 1:
            raise ValueError(f"{old!r} occurs {source.count(old)} times in {function.__name__}.")
        source = source.replace(old, new)
    namespace = function.__globals__ | names
    exec(compile(source, f"<{function.__name__} rewritten>", "exec"), namespace)
    return namespace[function.__name__]


def mistake(
    network: Network, name: str, cause: str, edits: dict[str, str], **claims: Any
) -> Mistake:
    wrong = rewritten(network.right, edits)
    return Mistake(name, network.fun, wrong, network.right, network.args, cause, **claims)


SEEN_FROM_A_LEAF = (
    # scaled
    mistake(
        REGRESSOR,
        "two_of_the_square_forgotten",
        "scaled",
        {"2 * (out - y)": "(out - y)"},
        factor=1 / 2,
    ),
    mistake(
        REGRESSOR,
        "mean_over_the_batch_but_not_over_outputs",
        "scaled",
        {"y.size": "len(y)"},
        factor=3,
    ),
    mistake(
        REGRESSOR,
        "bias_gradients_averaged",
        "scaled",
        {"d1.sum(0)": "d1.mean(0)", "d2.sum(0)": "d2.mean(0)"},
        leaves=("['b1']", "['b2']"),
        factor=1 / 6,
    ),
    mistake(
        CLASSIFIER,
        "batch_mean_forgotten",
        "scaled",
        {"(prob - y) / len(x)": "prob - y"},
        factor=8,
    ),
    mistake(
        RESIDUAL,
        "half_of_the_loss_forgotten",
        "scaled",
        {"(out - y) / len(x)": "2 * (out - y) / len(x)"},
        factor=2,
    ),
    mistake(
        BINARY,
        "two_of_an_inner_square_forgotten",
        "scaled",
        {" * 2 * z1": " * z1"},
        leaves=("['w1']", "['b1']"),
        factor=1 / 2,
    ),
    mistake(
        AUTOENCODER,
        "decoder_bias_averaged_over_the_batch_twice",
        "scaled",
        {"dback.sum(0)": "dback.sum(0) / len(x)"},
        leaves=(".visible",),
        factor=1 / 7,
    ),
    # sign_flipped
    mistake(REGRESSOR, "target_minus_output", "sign_flipped", {"out - y": "y - out"}),
    mistake(
        SVM,
        "bias_of_the_other_sign",
        "sign_flipped",
        {"db = dscore": "db = -dscore"},
        leaves=("['b']",),
    ),
    mistake(
        TWO_LAYERS,
        "ascent",
        "sign_flipped",
        {
            "w2, b2 = w2 - 0.5 * h.T @ d2, b2 - 0.5": "w2, b2 = w2 + 0.5 * h.T @ d2, b2 + 0.5",
            "w1, b1 = w1 - 0.5 * x.T @ d1, b1 - 0.5": "w1, b1 = w1 + 0.5 * x.T @ d1, b1 + 0.5",
        },
        kind="updates",
        learning_rate=0.5,
    ),
    # transposed
    mistake(
        CLASSIFIER,
        "square_weight_gradient_transposed",
        "transposed",
        {"h1.T @ delta2": "delta2.T @ h1"},
        leaves=(".w2",),
    ),
    mistake(
        REGRESSOR,
        "weight_gradient_in_the_shape_of_its_transpose",
        "transposed",
        {"x.T @ d1": "d1.T @ x"},
        leaves=("['w1']",),
    ),
    mistake(
        RNN,
        "recurrent_weight_gradient_transposed",
        "transposed",
        {"h[t].T @ dz": "dz.T @ h[t]"},
        leaves=("['wh']",),
    ),
    # swapped
    mistake(
        CLASSIFIER,
        "hidden_biases_exchanged",
        "swapped",
        {"b1=delta1": "b1=delta2", "b2=delta2": "b2=delta1"},
        leaves=(".b1", ".b2"),
    ),
    mistake(
        GAUSSIAN,
        "weights_of_the_heads_exchanged",
        "swapped",
        {'"w_mu": h.T @ dmu': '"w_mu": h.T @ ds', '"w_s": h.T @ ds': '"w_s": h.T @ dmu'},
        leaves=("['w_mu']", "['w_s']"),
    ),
    # zero
    mistake(
        RNN,
        "recurrent_weight_gradient_never_filled",
        "zero",
        {'        g["wh"] += h[t].T @ dz\n': ""},
        leaves=("['wh']",),
    ),
    mistake(
        SVM,
        "bias_gradient_left_at_zero",
        "zero",
        {"db = dscore.sum(0)": 'db = np.zeros_like(p["b"])'},
        leaves=("['b']",),
    ),
    # not_finite
    mistake(
        POOLED,
        "mean_over_no_steps_is_nan",
        "not_finite",
        {"jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1.0)": "mask.sum(1, keepdims=True)"},
    ),
    mistake(
        RECTIFIED,
        "square_divided_by_relu_is_nan",
        "not_finite",
        {"dq * 2 * h": "dq * 2 * q / h", "jnp.where(z > 0, dh, 0.0)": "dh * jnp.sign(h)"},
        leaves=("['w']", "['b']"),
    ),
    # not_reduced
    mistake(
        REGRESSOR,
        "bias_gradient_of_each_sample",
        "not_reduced",
        {"d1.sum(0)": "d1"},
        leaves=("['b1']",),
    ),
    mistake(
        PER_SAMPLE,
        "all_gradients_of_each_sample",
        "not_reduced",
        {"jax.tree.map(lambda g: g.sum(0), each)": "each"},
    ),
    # structure
    mistake(
        REGRESSOR,
        "output_bias_missing",
        "structure",
        {'        "b2": d2.sum(0),\n': ""},
        leaves=("['b2']",),
    ),
    mistake(
        REGRESSOR,
        "input_gradient_returned_too",
        "structure",
        {'"b2": d2.sum(0),': '"b2": d2.sum(0), "x": d1 @ p["w1"].T'},
        leaves=("['x']",),
    ),
    mistake(
        GAUSSIAN,
        "bias_gradient_kept_as_a_row",
        "structure",
        {"dz.sum(0)": "dz.sum(0, keepdims=True)"},
        leaves=("['b']",),
    ),
    mistake(
        DEEP,
        "layers_from_last_to_first",
        "swapped",
        {"grads[::-1]": "grads"},
        leaves=tuple(f"[{layer}][{leaf}]" for layer in range(6) for leaf in range(2)),
    ),
    # weight_decay
    mistake(
        SVM,
        "penalty_forgotten",
        "weight_decay",
        {'    dw += 0.1 * p["w"]\n': ""},
        leaves=("['w']",),
        factor=-0.1,
    ),
    mistake(
        SVM,
        "penalty_doubled",
        "weight_decay",
        {'0.1 * p["w"]': '0.2 * p["w"]'},
        leaves=("['w']",),
        factor=0.1,
    ),
    mistake(
        SVM,
        "penalty_on_the_bias_too",
        "weight_decay",
        {"db = dscore.sum(0)": 'db = dscore.sum(0) + 0.1 * p["b"]'},
        leaves=("['b']",),
        factor=0.1,
    ),
    mistake(
        AUTOENCODER,
        "penalty_that_the_loss_has_not",
        "weight_decay",
        {"dw += dback.T @ code": "dw += dback.T @ code + 0.01 * p.w"},
        leaves=(".w",),
        factor=0.01,
    ),
)

MISSING_DERIVATIVE = (
    mistake(
        REGRESSOR,
        "tanh_derivative_left_out",
        "missing_derivative",
        {"dh1 * (1 - h1**2)": "dh1"},
        lines=("regressor.h1",),
    ),
    mistake(
        CLASSIFIER,
        "relu_derivative_left_out",
        "missing_derivative",
        {"jnp.where(z2 > 0, delta3 @ p.w3.T, 0.0)": "delta3 @ p.w3.T"},
        lines=("classifier.h2",),
    ),
    mistake(
        AUTOENCODER,
        "sigmoid_derivative_left_out",
        "missing_derivative",
        {"dcode * code * (1 - code)": "dcode"},
        lines=("autoencoder.code",),
    ),
    mistake(
        RESIDUAL,
        "silu_derivative_left_out",
        "missing_derivative",
        {"df1 * silu_slope(z1)": "df1"},
        lines=("residual.f1",),
    ),
    mistake(
        RESIDUAL,
        "scale_of_the_branch_left_out",
        "missing_derivative",
        {"0.5 * dh2": "dh2"},
        lines=("residual.h2",),
    ),
    mistake(
        NORMED,
        "sqrt_derivative_left_out",
        "missing_derivative",
        {"dsd / (2 * sd)": "dsd"},
        lines=("normed.sd",),
    ),
    mistake(
        BINARY,
        "square_derivative_left_out",
        "missing_derivative",
        {" * 2 * z1": ""},
        lines=("binary.q",),
    ),
    mistake(
        BINARY,
        "output_sigmoid_derivative_left_out",
        "missing_derivative",
        {"dprob * prob * (1 - prob)": "dprob"},
        lines=("binary.prob",),
    ),
    mistake(
        COUNTS,
        "gelu_derivative_left_out",
        "missing_derivative",
        {" * gelu_slope(z1)": ""},
        lines=("counts.h1",),
    ),
    mistake(
        COUNTS,
        "softplus_derivative_left_out",
        "missing_derivative",
        {"drate * jax.nn.sigmoid(z2)": "drate"},
        lines=("counts.rate",),
    ),
    mistake(
        COUNTS,
        "log_derivative_left_out",
        "missing_derivative",
        {"1 - y / rate": "1 - y"},
        lines=("counts.log_rate",),
    ),
    mistake(
        GAUSSIAN,
        "elu_derivative_left_out",
        "missing_derivative",
        {"dh * np.where(z > 0, 1, np.exp(z))": "dh"},
        lines=("gaussian.h",),
    ),
    mistake(
        GAUSSIAN,
        "exp_derivative_left_out",
        "missing_derivative",
        {"dprecision * precision": "dprecision"},
        lines=("gaussian.precision",),
    ),
    mistake(
        VOTES,
        "leaky_relu_derivative_left_out",
        "missing_derivative",
        {"jnp.where(z1 > 0, dh1, 0.01 * dh1)": "dh1"},
        lines=("votes.h1",),
    ),
    mistake(
        VOTES,
        "softmax_jacobian_left_out",
        "missing_derivative",
        {"prob * (dprob - jnp.sum(prob * dprob, axis=-1, keepdims=True))": "dprob"},
        lines=("votes.prob",),
    ),
    mistake(
        SVM,
        "margin_not_looked_at",
        "missing_derivative",
        {"np.where(y * score < 1, -y, 0)": "-y"},
        lines=("svm.hinge",),
    ),
    mistake(
        ATTEND,
        "exp_of_the_scores_left_out",
        "missing_derivative",
        {"de * e\n": "de\n"},
        lines=("attend.e",),
    ),
    mistake(
        CUSTOM,
        "own_activation_left_out",
        "missing_derivative",
        {"dh * squareplus_slope(z)": "dh"},
        lines=("custom.h",),
    ),
    mistake(
        DEEP,
        "derivative_left_out_in_every_layer",
        "missing_derivative",
        {" * (1 - h[i + 1] ** 2)": ""},
        lines=("deep.h",),
    ),
    mistake(
        DEEP,
        "derivative_left_out_in_the_first_layer",
        "missing_derivative",
        {"(1 - h[i + 1] ** 2)": "(1 - h[i + 1] ** 2 if i > 0 else 1)"},
        lines=("deep.h",),
    ),
    mistake(
        RNN,
        "derivative_left_out_at_every_time",
        "missing_derivative",
        {"dh * (1 - h[t + 1] ** 2)": "dh"},
        lines=("rnn.h",),
    ),
    mistake(
        RNN,
        "derivative_left_out_at_one_time",
        "missing_derivative",
        {"(1 - h[t + 1] ** 2)": "(1 - h[t + 1] ** 2 if t != 2 else 1)"},
        lines=("rnn.h",),
        location="iteration 3 of 4",
    ),
    mistake(
        STACKED,
        "derivative_left_out_in_the_first_of_the_stack",
        "missing_derivative",
        {"dz = dh * jax.nn.sigmoid(z[i])": "dz = dh * jax.nn.sigmoid(z[i]) if i > 0 else dh"},
        lines=("stacked.h",),
        location="iteration 1 of 4",
    ),
    mistake(
        SETTLING,
        "derivative_left_out_in_one_round",
        "missing_derivative",
        {"(1 - h[i + 1] ** 2)": "(1 - h[i + 1] ** 2 if i != 1 else 1)"},
        lines=("settling.h",),
        location="iteration 2 of 3",
    ),
    mistake(
        PER_SAMPLE,
        "own_swish_left_out",
        "missing_derivative",
        {"dh * (s + h * (1 - s))": "dh"},
        lines=("per_sample.h", "swish.product"),
    ),
    mistake(
        TWICE,
        "derivative_left_out_in_the_first_call",
        "missing_derivative",
        {"dh1 * (1 - h1**2)": "dh1"},
        lines=("dense_tanh.h", "twice.h1"),
    ),
    mistake(
        TWICE,
        "derivative_left_out_in_both_calls",
        "missing_derivative",
        {"dh1 * (1 - h1**2)": "dh1", "dh2 * (1 - h2**2)": "dh2"},
        lines=("dense_tanh.h",),
    ),
    mistake(
        RECOMPUTED,
        "derivative_left_out_in_a_recomputed_block",
        "missing_derivative",
        {"dh2 * s2 * (1 - s2)": "dh2"},
        lines=("block.s", "recomputed.h2"),
    ),
    mistake(
        SWITCHED,
        "derivative_left_out_in_the_branch_taken",
        "missing_derivative",
        {"1 - h**2 if warm": "1 if warm"},
        lines=("switched.warm", "switched.h"),
    ),
)

DERIVATIVE_AT_OUTPUT = (
    mistake(
        REGRESSOR,
        "tanh_of_tanh",
        "derivative_at_output",
        {"1 - h1**2": "1 - np.tanh(h1) ** 2"},
        lines=("regressor.h1",),
    ),
    mistake(
        AUTOENCODER,
        "sigmoid_of_sigmoid",
        "derivative_at_output",
        {"dcode * code * (1 - code)": "dcode * logistic(code) * (1 - logistic(code))"},
        lines=("autoencoder.code",),
    ),
    mistake(
        RESIDUAL,
        "silu_slope_at_output",
        "derivative_at_output",
        {"silu_slope(z2)": "silu_slope(f2)"},
        lines=("residual.f2",),
    ),
    mistake(
        BINARY,
        "square_slope_at_output",
        "derivative_at_output",
        {" * 2 * z1": " * 2 * q"},
        lines=("binary.q",),
    ),
    mistake(
        BINARY,
        "output_sigmoid_slope_at_output",
        "derivative_at_output",
        {"dprob * prob * (1 - prob)": "dprob * logistic(prob) * (1 - logistic(prob))"},
        lines=("binary.prob",),
    ),
    mistake(
        COUNTS,
        "gelu_slope_at_output",
        "derivative_at_output",
        {"gelu_slope(z1)": "gelu_slope(h1)"},
        lines=("counts.h1",),
    ),
    mistake(
        COUNTS,
        "softplus_slope_at_output",
        "derivative_at_output",
        {"jax.nn.sigmoid(z2)": "jax.nn.sigmoid(rate)"},
        lines=("counts.rate",),
    ),
    mistake(
        GAUSSIAN,
        "elu_slope_at_output",
        "derivative_at_output",
        {"np.exp(z))\n    return": "np.exp(h))\n    return"},
        lines=("gaussian.h",),
    ),
    mistake(
        GAUSSIAN,
        "exp_of_exp",
        "derivative_at_output",
        {"dprecision * precision": "dprecision * np.exp(precision)"},
        lines=("gaussian.precision",),
    ),
    mistake(
        STACKED,
        "softplus_slope_at_output_in_every_layer",
        "derivative_at_output",
        {"jax.nn.sigmoid(z[i])": "jax.nn.sigmoid(h[i + 1])"},
        lines=("stacked.h",),
    ),
    mistake(
        STACKED,
        "softplus_slope_at_output_in_one_layer",
        "derivative_at_output",
        {"jax.nn.sigmoid(z[i])": "jax.nn.sigmoid(h[2] if i == 1 else z[i])"},
        lines=("stacked.h",),
        location="iteration 2 of 4",
    ),
    mistake(
        TWICE,
        "tanh_of_tanh_in_the_second_call",
        "derivative_at_output",
        {"1 - h2**2": "1 - jnp.tanh(h2) ** 2"},
        lines=("dense_tanh.h", "twice.h2"),
    ),
    mistake(
        SWITCHED,
        "tanh_of_tanh_in_the_branch_taken",
        "derivative_at_output",
        {"1 - h**2 if warm": "1 - np.tanh(h) ** 2 if warm"},
        lines=("switched.warm", "switched.h"),
    ),
    mistake(
        CUSTOM,
        "own_slope_at_output",
        "derivative_at_output",
        {"squareplus_slope(z)": "squareplus_slope(h)"},
        lines=("custom.h",),
    ),
)

WRONG_ORIENTATION = (
    mistake(
        CLASSIFIER,
        "transpose_forgotten",
        "wrong_orientation",
        {"delta2 @ p.w2.T": "delta2 @ p.w2"},
        lines=("classifier.z2",),
    ),
    mistake(
        RESIDUAL,
        "transpose_forgotten_in_a_branch",
        "wrong_orientation",
        {'dz1 @ w["block1"].T': 'dz1 @ w["block1"]'},
        lines=("residual.z1",),
    ),
    mistake(
        PER_SAMPLE,
        "transpose_forgotten_with_weights_on_the_left",
        "wrong_orientation",
        {'p["w2"].T @ d2': 'p["w2"] @ d2'},
        lines=("per_sample.out",),
    ),
    mistake(
        RNN,
        "transpose_forgotten_through_time",
        "wrong_orientation",
        {'dz @ p["wh"].T': 'dz @ p["wh"]'},
        lines=("rnn.z",),
    ),
    mistake(
        STACKED,
        "transpose_forgotten_in_one_layer",
        "wrong_orientation",
        {"dz @ w[i].T": "dz @ (w[i] if i == 2 else w[i].T)"},
        lines=("stacked.z",),
        location="iteration 3 of 4",
    ),
    mistake(
        TWICE,
        "transpose_forgotten_in_the_second_call",
        "wrong_orientation",
        {"dz2 @ w2.T": "dz2 @ w2"},
        lines=("dense_tanh.z", "twice.h2"),
    ),
)

DROPPED_PATH = (
    mistake(
        RESIDUAL,
        "skip_forgotten",
        "dropped_path",
        {"dh1 = dh2 + dz2": "dh1 = dz2"},
        lines=("residual.h2",),
    ),
    mistake(
        RECOMPUTED,
        "skip_forgotten_in_a_recomputed_block",
        "dropped_path",
        {"    dh1 += dh2\n": ""},
        lines=("block.sum", "recomputed.h2"),
    ),
    mistake(
        AUTOENCODER,
        "tied_weights_without_the_decoder",
        "dropped_path",
        {"    dw += dback.T @ code\n": ""},
        lines=("autoencoder.back",),
    ),
    mistake(
        AUTOENCODER,
        "tied_weights_without_the_encoder",
        "dropped_path",
        {"dw += dback": "dw = dback"},
        lines=("autoencoder.a",),
    ),
    mistake(
        NORMED,
        "mean_taken_for_a_constant",
        "dropped_path",
        {"dc - dc.mean(-1, keepdims=True)": "dc"},
        lines=("normed.c",),
    ),
    mistake(
        NORMED,
        "variance_taken_for_a_constant",
        "dropped_path",
        {"    dh += dvar * 2 * c / width\n": ""},
        lines=("normed.var", "normed.sd", "normed.n"),
    ),
    mistake(
        GAUSSIAN,
        "only_the_mean_reaches_the_trunk",
        "dropped_path",
        {'    dh += ds @ p["w_s"].T\n': ""},
        lines=("gaussian.s",),
    ),
    mistake(
        GAUSSIAN,
        "only_the_log_variance_reaches_the_trunk",
        "dropped_path",
        {"dh += ds": "dh = ds"},
        lines=("gaussian.mu",),
    ),
    mistake(
        LASSO,
        "penalty_on_magnitudes_forgotten",
        "dropped_path",
        {' + 0.02 * np.sign(p["w1"])': "", ' + 0.02 * np.sign(p["w2"])': ""},
        lines=("lasso.penalty", "lasso.loss"),
    ),
    mistake(
        LASSO,
        "penalty_on_magnitudes_forgotten_in_one_layer",
        "dropped_path",
        {' + 0.02 * np.sign(p["w2"])': ""},
        lines=("lasso.penalty",),
    ),
    mistake(
        RNN,
        "input_weights_of_the_last_visited_time_only",
        "dropped_path",
        {'g["wx"] += x[t]': 'g["wx"] = x[t]'},
        lines=("rnn.z",),
    ),
    mistake(
        RNN,
        "not_carried_back_through_time",
        "dropped_path",
        {"reversed(range(len(x)))": "[len(x) - 1]"},
        lines=("rnn.z",),
    ),
    mistake(
        SETTLING,
        "input_of_the_last_visited_round_only",
        "dropped_path",
        {"ddrive += dz": "ddrive = dz.copy()"},
        lines=("settling.z",),
    ),
    mistake(
        SETTLING,
        "first_state_forgotten",
        "dropped_path",
        {"    ddrive += dh\n": ""},
        lines=("settling.loop",),
    ),
    mistake(
        ATTEND,
        "normalizer_taken_for_a_constant",
        "dropped_path",
        {"da / total + dtotal": "da / total"},
        lines=("attend.total", "attend.a"),
    ),
    mistake(
        ATTEND,
        "keys_forgotten_in_the_scores",
        "dropped_path",
        {'    dk += dscore[..., None] * p["query"]\n': ""},
        lines=("attend.score",),
    ),
    mistake(
        ATTEND,
        "keys_forgotten_as_values",
        "dropped_path",
        {"dk += dscore": "dk = dscore"},
        lines=("attend.pooled",),
    ),
    mistake(
        PER_SAMPLE,
        "half_of_the_product_rule",
        "dropped_path",
        {"dh * (s + h * (1 - s))": "dh * s"},
        lines=("swish.s", "swish.product"),
    ),
)

STALE_WEIGHTS = (
    mistake(
        TWO_LAYERS,
        "output_layer_updated_first",
        "stale_weights",
        {
            "    d1 = d2 @ w2.T * (1 - h**2)\n": "",
            "    w1, b1 = w1 -": "    d1 = d2 @ w2.T * (1 - h**2)\n    w1, b1 = w1 -",
        },
        lines=("two_layers.out",),
        kind="updates",
        learning_rate=0.5,
    ),
    mistake(
        THREE_LAYERS,
        "each_layer_updated_before_the_one_below",
        "stale_weights",
        {
            "    w3 = w3 - 0.1 * h2.T @ d3\n    w2 = w2 - 0.1 * h1.T @ d2\n": "",
            "    dh2 =": "    w3 = w3 - 0.1 * h2.T @ d3\n    dh2 =",
            "    dh1 =": "    w2 = w2 - 0.1 * h1.T @ d2\n    dh1 =",
        },
        lines=("three_layers.out", "three_layers.h2"),
        kind="updates",
        learning_rate=0.1,
    ),
    mistake(
        THREE_LAYERS,
        "only_the_middle_layer_updated_early",
        "stale_weights",
        {
            "    w2 = w2 - 0.1 * h1.T @ d2\n": "",
            "    dh1 =": "    w2 = w2 - 0.1 * h1.T @ d2\n    dh1 =",
        },
        lines=("three_layers.h2",),
        kind="updates",
        learning_rate=0.1,
    ),
    mistake(
        THREE_LAYERS,
        "only_the_output_layer_updated_early",
        "stale_weights",
        {
            "    w3 = w3 - 0.1 * h2.T @ d3\n": "",
            "    dh2 =": "    w3 = w3 - 0.1 * h2.T @ d3\n    dh2 =",
        },
        lines=("three_layers.out",),
        kind="updates",
        learning_rate=0.1,
    ),
)

UNEXPLAINED = (
    mistake(
        REGRESSOR,
        "tanh_slope_without_its_square",
        "unexplained",
        {"1 - h1**2": "1 - h1"},
        leaves=("['b1']", "['w1']"),
        lines=("regressor.out", "regressor.h1", "regressor.z1"),
    ),
    mistake(
        REGRESSOR,
        "tanh_slope_without_its_tanh",
        "unexplained",
        {"1 - h1**2": "1 - z1**2"},
        leaves=("['b1']", "['w1']"),
        lines=("regressor.out", "regressor.h1", "regressor.z1"),
    ),
    mistake(
        REGRESSOR,
        "last_sample_only",
        "unexplained",
        {"h1.T @ d2": "np.outer(h1[-1], d2[-1])"},
        leaves=("['w2']",),
        lines=("regressor.out",),
    ),
    mistake(
        CLASSIFIER,
        "relu_mask_of_the_wrong_layer",
        "unexplained",
        {"z2 > 0": "z1 > 0"},
        leaves=(".w1", ".b1", ".w2", ".b2"),
        lines=("classifier.logits", "classifier.h2", "classifier.z2"),
    ),
    mistake(
        CLASSIFIER,
        "activation_of_the_wrong_layer",
        "unexplained",
        {"h1.T @ delta2": "h2.T @ delta2"},
        leaves=(".w2",),
        lines=("classifier.z2",),
    ),
    mistake(
        CLASSIFIER,
        "cross_entropy_delta_divided_by_p",
        "unexplained",
        {"(prob - y) / len(x)": "(prob - y) / prob / len(x)"},
        leaves=(".w1", ".b1", ".w2", ".b2", ".w3", ".b3"),
        lines=("classifier.loss", "classifier.log_p", "classifier.logits"),
    ),
    mistake(
        BINARY,
        "delta_of_squared_error_for_cross_entropy",
        "unexplained",
        {"(prob - y) / (prob * (1 - prob)) / y.size": "(prob - y) / y.size"},
        leaves=("['b1']", "['b2']", "['w1']", "['w2']"),
        lines=("binary.loss", "binary.prob", "binary.z2"),
    ),
    mistake(
        VOTES,
        "diagonal_of_the_softmax_jacobian",
        "unexplained",
        {
            "prob * (dprob - jnp.sum(prob * dprob, axis=-1, keepdims=True))": (
                "dprob * prob * (1 - prob)"
            )
        },
        leaves=("['b1']", "['b2']", "['w1']", "['w2']"),
        lines=("votes.loss", "votes.prob", "votes.z2"),
    ),
    mistake(
        VOTES,
        "leak_of_another_slope",
        "unexplained",
        {"0.01 * dh1": "0.1 * dh1"},
        leaves=("['b1']", "['w1']"),
        lines=("votes.z2", "votes.h1", "votes.z1"),
    ),
    mistake(
        COUNTS,
        "gelu_slope_by_a_sigmoid_alone",
        "unexplained",
        {"gelu_slope(z1)": "jax.nn.sigmoid(1.702 * z1)"},
        leaves=("[0][0]", "[0][1]"),
        lines=("counts.z2", "counts.h1", "counts.z1"),
    ),
    mistake(
        GAUSSIAN,
        "elu_slope_without_its_one",
        "unexplained",
        {"1, np.exp(z))": "1, h)"},
        leaves=("['b']", "['w']"),
        lines=("gaussian.mu", "gaussian.s", "gaussian.h", "gaussian.z"),
    ),
    mistake(
        NORMED,
        "variance_over_one_less",
        "unexplained",
        {"2 * c / width": "2 * c / (width - 1)"},
        leaves=("['b']", "['w']"),
        lines=(
            "normed.affine",
            "normed.n",
            "normed.sd",
            "normed.var",
            "normed.c",
            "normed.mean",
            "normed.h",
        ),
    ),
    mistake(
        SVM,
        "margin_of_the_perceptron",
        "unexplained",
        {"y * score < 1": "y * score < 0"},
        leaves=("['b']", "['w']"),
        lines=("svm.loss", "svm.hinge", "svm.score"),
    ),
    mistake(
        DEEP,
        "delta_clipped",
        "unexplained",
        {
            "d = d @ p[i + 1][0].T * (1 - h[i + 1] ** 2)": (
                "d = np.clip(d @ p[i + 1][0].T * (1 - h[i + 1] ** 2), -0.01, 0.01)"
            )
        },
        leaves=tuple(f"[{layer}][{leaf}]" for layer in range(5) for leaf in range(2)),
        lines=("deep.out", "deep.h", "deep.z"),
    ),
    mistake(
        RNN,
        "state_one_step_late",
        "unexplained",
        {"h[t].T @ dz": "h[t + 1].T @ dz"},
        leaves=("['wh']",),
        lines=("rnn.z",),
    ),
    mistake(
        RNN,
        "slope_one_step_early",
        "unexplained",
        {"1 - h[t + 1] ** 2": "1 - h[t] ** 2"},
        leaves=("['b']", "['wh']", "['wx']"),
        lines=("rnn.out", "rnn.scan", "rnn.h", "rnn.z"),
    ),
    mistake(
        STACKED,
        "stack_from_last_to_first",
        "unexplained",
        {"dw[::-1]": "dw", "db[::-1]": "db"},
        leaves=("['stack']['b']", "['stack']['w']"),
        lines=("stacked.scan", "stacked.z"),
    ),
    mistake(
        SWITCHED,
        "slope_of_the_other_branch",
        "unexplained",
        {"1 - h**2 if warm else h * (1 - h)": "h * (1 - h)"},
        leaves=("['b']", "['w']"),
        lines=("switched.out", "switched.h", "switched.warm", "switched.z"),
    ),
)

MISTAKES: tuple[Mistake, ...] = (
    *SEEN_FROM_A_LEAF,
    *MISSING_DERIVATIVE,
    *DERIVATIVE_AT_OUTPUT,
    *WRONG_ORIENTATION,
    *DROPPED_PATH,
    *STALE_WEIGHTS,
    *UNEXPLAINED,
)
