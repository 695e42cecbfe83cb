"""Mistakes that are seen from a wrong leaf alone."""

from catalogue.mistakes.mistake import mistake
from catalogue.networks.activations import BINARY, RECTIFIED
from catalogue.networks.calls import PER_SAMPLE
from catalogue.networks.layers import AUTOENCODER, CLASSIFIER, REGRESSOR, RESIDUAL
from catalogue.networks.loops import DEEP
from catalogue.networks.losses import GAUSSIAN, SVM
from catalogue.networks.sequences import POOLED, RNN
from catalogue.networks.steps import TWO_LAYERS

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
        structural="each of the four updates has the wrong sign",
    ),
    # transposed
    mistake(
        REGRESSOR,
        "weight_gradient_in_the_shape_of_its_transpose",
        "transposed",
        {"x.T @ d1": "d1.T @ x"},
        leaves=("['w1']",),
    ),
    mistake(
        CLASSIFIER,
        "square_weight_gradient_transposed",
        "transposed",
        {"h1.T @ delta2": "delta2.T @ h1"},
        leaves=(".w2",),
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
        SVM,
        "bias_gradient_left_at_zero",
        "zero",
        {"db = dscore.sum(0)": 'db = np.zeros_like(p["b"])'},
        leaves=("['b']",),
    ),
    mistake(
        RNN,
        "recurrent_weight_gradient_never_filled",
        "zero",
        {'        g["wh"] += h[t].T @ dz\n': ""},
        leaves=("['wh']",),
    ),
    # not_finite
    mistake(
        RECTIFIED,
        "square_divided_by_relu_is_nan",
        "not_finite",
        {"dq * 2 * h": "dq * 2 * q / h", "jnp.where(z > 0, dh, 0.0)": "dh * jnp.sign(h)"},
        leaves=("['w']", "['b']"),
    ),
    mistake(
        POOLED,
        "mean_over_no_steps_is_nan",
        "not_finite",
        {"jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1.0)": "mask.sum(1, keepdims=True)"},
    ),
    # not_reduced
    mistake(
        REGRESSOR,
        "bias_gradient_of_each_sample",
        "not_reduced",
        {"d1.sum(0)": "d1"},
        leaves=("['b1']",),
        gradcheck=False,
    ),
    mistake(
        PER_SAMPLE,
        "all_gradients_of_each_sample",
        "not_reduced",
        {"jax.tree.map(lambda g: g.sum(0), each)": "each"},
        gradcheck=False,
        structural="a tree is returned as it is, whose leaves should be summed",
    ),
    # wrong_axis
    mistake(
        REGRESSOR,
        "bias_gradient_summed_over_units",
        "wrong_axis",
        {"d1.sum(0)": "d1.sum(1)"},
        leaves=("['b1']",),
    ),
    mistake(
        DEEP,
        "bias_gradients_summed_over_units_in_a_loop",
        "wrong_axis",
        {"(h[i].T @ d, d.sum(0))": "(h[i].T @ d, d.sum(1))"},
        leaves=tuple(f"[{layer}][1]" for layer in range(5)),
        repaired=False,
    ),
    # structure
    mistake(
        REGRESSOR,
        "output_bias_missing",
        "structure",
        {'        "b2": d2.sum(0),\n': ""},
        leaves=("['b2']",),
        structural="a gradient is not returned",
    ),
    mistake(
        REGRESSOR,
        "input_gradient_returned_too",
        "structure",
        {'"b2": d2.sum(0),': '"b2": d2.sum(0), "x": d1 @ p["w1"].T'},
        leaves=("['x']",),
        structural="more is returned than the gradients",
    ),
    mistake(
        GAUSSIAN,
        "bias_gradient_kept_as_a_row",
        "structure",
        {"dz.sum(0)": "dz.sum(0, keepdims=True)"},
        leaves=("['b']",),
        gradcheck=False,
    ),
    mistake(
        DEEP,
        "layers_from_last_to_first",
        "swapped",
        {"grads[::-1]": "grads"},
        leaves=tuple(f"[{layer}][{leaf}]" for layer in range(6) for leaf in range(2)),
        structural="a list is returned in the wrong order",
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
        {"dw += dback.T @ code": "dw += dback.T @ code + 0.05 * p.w"},
        leaves=(".w",),
        factor=0.05,
    ),
)
