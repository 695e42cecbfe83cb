"""Weights that were not transposed, or had already been updated."""

from catalogue.mistakes.forward import STACKED_INDEX
from catalogue.mistakes.mistake import mistake
from catalogue.networks.calls import PER_SAMPLE, TWICE
from catalogue.networks.layers import CLASSIFIER, RESIDUAL
from catalogue.networks.loops import STACKED
from catalogue.networks.sequences import RNN
from catalogue.networks.steps import THREE_LAYERS, TWO_LAYERS

WRONG_ORIENTATION = (
    mistake(
        CLASSIFIER,
        "transpose_forgotten",
        "wrong_orientation",
        {"delta2 @ p.w2.T": "delta2 @ p.w2"},
        forward={"h1 @ p.w2": "through_transpose(h1, p.w2)"},
        lines=("classifier.z2",),
    ),
    mistake(
        RESIDUAL,
        "transpose_forgotten_in_a_branch",
        "wrong_orientation",
        {'dz1 @ w["block1"].T': 'dz1 @ w["block1"]'},
        forward={
            'h0 @ p["block1"]["w"]': 'through_transpose(h0, p["block1"]["w"])',
        },
        lines=("residual.z1",),
    ),
    mistake(
        PER_SAMPLE,
        "transpose_forgotten_with_weights_on_the_left",
        "wrong_orientation",
        {'p["w2"].T @ d2': 'p["w2"] @ d2'},
        forward={
            'p["w2"] @ h': 'through_transpose(h, p["w2"].T)',
        },
        lines=("per_sample.out",),
    ),
    mistake(
        RNN,
        "transpose_forgotten_through_time",
        "wrong_orientation",
        {'dz @ p["wh"].T': 'dz @ p["wh"]'},
        forward={'h @ p["wh"]': 'through_transpose(h, p["wh"])'},
        lines=("rnn.z",),
    ),
    mistake(
        STACKED,
        "transpose_forgotten_in_one_layer",
        "wrong_orientation",
        {"dz @ w[i].T": "dz @ (w[i] if i == 2 else w[i].T)"},
        forward=STACKED_INDEX
        | {
            'h @ q["w"]': 'jnp.where(i == 2, through_transpose(h, q["w"]), h @ q["w"])',
        },
        lines=("stacked.z",),
        location="iteration 3 of 4",
    ),
    mistake(
        TWICE,
        "transpose_forgotten_in_the_second_call",
        "wrong_orientation",
        {"dz2 @ w2.T": "dz2 @ w2"},
        forward={
            "dense_tanh(w2, b2, h1)": "jnp.tanh(through_transpose(h1, w2) + b2)",
        },
        lines=("dense_tanh.z", "twice.h2"),
        check_grads=False,
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
        forward={'h @ p["w2"]': 'through(new["w2"], h, p["w2"])'},
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
        forward={
            "h2 @ p[2]": "through(new[2], h2, p[2])",
            "h1 @ p[1]": "through(new[1], h1, p[1])",
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
        forward={"h1 @ p[1]": "through(new[1], h1, p[1])"},
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
        forward={"h2 @ p[2]": "through(new[2], h2, p[2])"},
        lines=("three_layers.out",),
        kind="updates",
        learning_rate=0.1,
    ),
)
