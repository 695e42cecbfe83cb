"""Mistakes that no cause reproduces: the place is a span of lines."""

from catalogue.mistakes.mistake import mistake
from catalogue.networks.activations import BINARY
from catalogue.networks.calls import SWITCHED
from catalogue.networks.layers import CLASSIFIER, NORMED, REGRESSOR
from catalogue.networks.loops import DEEP, STACKED
from catalogue.networks.losses import COUNTS, SVM, VOTES
from catalogue.networks.sequences import RNN

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
