"""Mistakes in scales: of weights, of residual branches, of a softened softmax."""

from catalogue.mistakes.mistake import mistake
from catalogue.networks.scales import DIRECTED, DISTILLED, RESCALED

OF_SCALES = (
    mistake(
        DIRECTED,
        "length_of_the_weights_held_constant",
        "dropped_path",
        {" - g * dg / norm**2 * v": ""},
        forward={"/ norm": "/ stop(norm)"},
        lines=("directed.norm", "directed.w"),
    ),
    mistake(
        RESCALED,
        "scale_of_the_skip_left_out",
        "missing_derivative",
        {"dh += 1.5 * dout": "dh += dout"},
        forward={"1.5 * h": "identity_slope(lambda h: 1.5 * h, h)"},
        lines=("rescaled.out",),
    ),
    mistake(
        RESCALED,
        "learned_scale_of_the_branch_left_out",
        "missing_derivative",
        {'df = dout * p["scale"]': "df = dout"},
        forward={'p["scale"] * f': 'p["scale"] * stop(f) + identity_slope(lambda f: 0 * f, f)'},
        lines=("rescaled.out",),
    ),
    mistake(
        DISTILLED,
        "square_of_the_temperature_left_out",
        "missing_derivative",
        {"0.7 * temperature**2 * dkl": "0.7 * dkl"},
        forward={"9 * kl": "identity_slope(lambda kl: 9 * kl, kl)"},
        lines=("distilled.loss",),
    ),
)
