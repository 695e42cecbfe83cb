"""Mistakes in the losses of classifiers and of generative models."""

from catalogue.mistakes.mistake import mistake
from catalogue.networks.criteria import FOCAL, ROBUST, TOKENS, VARIATIONAL

OF_CRITERIA = (
    mistake(
        TOKENS,
        "labels_not_smoothed_in_the_gradient",
        "unexplained",
        {"(prob - soft)": "(prob - labels)"},
        leaves=("['w1']", "['w2']"),
        lines=("tokens.each", "tokens.log_p", "tokens.logits", "tokens.loss"),
    ),
    mistake(
        TOKENS,
        "smoothing_not_shared_among_the_classes",
        "unexplained",
        {"0.9 * labels + 0.1 / labels.shape[-1]": "0.9 * labels + 0.1"},
        leaves=("['w1']", "['w2']"),
        lines=("tokens.each", "tokens.log_p", "tokens.logits", "tokens.loss"),
    ),
    mistake(
        TOKENS,
        "temperature_left_out_of_the_gradient",
        "scaled",
        {"(prob - soft) / 1.5": "prob - soft"},
        factor=1.5,
    ),
    mistake(
        TOKENS,
        "temperature_left_out_of_the_probabilities",
        "unexplained",
        {'h @ p["w2"] / 1.5)': 'h @ p["w2"])'},
        leaves=("['w1']", "['w2']"),
        lines=("tokens.each", "tokens.log_p", "tokens.logits", "tokens.loss"),
    ),
    mistake(
        TOKENS,
        "padding_not_masked",
        "missing_derivative",
        {"dlogits * mask[..., None] / mask.sum()": "dlogits / mask.sum()"},
        forward={"mask * each": "identity_slope(lambda e: mask * e, each)"},
        lines=("tokens.loss",),
    ),
    mistake(
        TOKENS,
        "padding_counted_in_the_mean",
        "scaled",
        {"mask[..., None] / mask.sum()": "mask[..., None] / mask.size"},
        factor=5 / 8,
    ),
    mistake(
        TOKENS,
        "mean_over_tokens_of_each_sequence",
        "unexplained",
        {
            "mask[..., None] / mask.sum()": (
                "mask[..., None] / mask.sum(1, keepdims=True)[..., None]"
            )
        },
        leaves=("['w1']", "['w2']"),
        lines=("tokens.each", "tokens.log_p", "tokens.logits", "tokens.loss"),
    ),
    mistake(
        TOKENS,
        "sine_for_its_slope",
        "function_for_derivative",
        {"np.cos(z)": "np.sin(z)"},
        forward={
            'jnp.sin(x @ p["w1"])': (
                'with_slope(jnp.sin(x @ p["w1"]), jnp.sin(x @ p["w1"]), x @ p["w1"])'
            )
        },
        lines=("tokens.logits",),
    ),
    mistake(
        VARIATIONAL,
        "half_of_the_exponent_left_out",
        "missing_derivative",
        {"dz * noise * std / 2": "dz * noise * std"},
        forward={"jnp.exp(logvar / 2)": "jnp.exp(identity_slope(lambda v: v / 2, logvar))"},
        lines=("variational.z",),
    ),
    mistake(
        VARIATIONAL,
        "divergence_without_its_one",
        "dropped_path",
        {"(np.exp(logvar) - 1) / 2": "np.exp(logvar) / 2"},
        forward={"1 + logvar": "1 + stop(logvar)"},
        lines=("variational.kl",),
    ),
    mistake(
        ROBUST,
        "outliers_not_clipped",
        "unexplained",
        {"np.clip(r, -0.5, 0.5) / r.size": "r / r.size"},
        leaves=("['w1']", "['w2']"),
        lines=("robust.each", "robust.loss", "robust.r"),
    ),
    mistake(
        FOCAL,
        "focal_weight_held_constant",
        "dropped_path",
        {
            "(2 * (1 - right) * np.log(right) - (1 - right) ** 2 / right)": (
                "-((1 - right) ** 2) / right"
            )
        },
        forward={"weight * jnp": "stop(weight) * jnp"},
        lines=("focal.weight", "focal.loss"),
    ),
)
