"""Mistakes in attention and in recurrent networks: scales, transposes, gates, carried states."""

from catalogue.mistakes.mistake import mistake
from catalogue.networks.attention import ATTENTION, ROTARY
from catalogue.networks.recurrent import GRU

OF_SEQUENCES = (
    mistake(
        ATTENTION,
        "scale_of_the_scores_left_out",
        "missing_derivative",
        {"    dscore = dscore * scale\n": ""},
        forward={
            "q @ k": "identity_slope(lambda s: s / 2**0.5, q @ k",
            "(2, 3) / jnp.sqrt(2.0)": "(2, 3))",
        },
        lines=("attention.score",),
    ),
    mistake(
        ATTENTION,
        "scores_not_transposed_for_the_keys",
        "unexplained",
        {"dscore.swapaxes(2, 3) @ q": "dscore @ q"},
        leaves=("['position']", "['wk']"),
        lines=("attention.k", "attention.score"),
    ),
    mistake(
        ATTENTION,
        "attention_not_transposed_for_the_values",
        "unexplained",
        {"prob.swapaxes(2, 3) @ dheads": "prob @ dheads"},
        leaves=("['position']", "['wv']"),
        lines=("attention.out", "attention.v"),
    ),
    mistake(
        ATTENTION,
        "softmax_over_the_queries",
        "unexplained",
        {"(prob * dprob).sum(-1, keepdims=True)": "(prob * dprob).sum(-2, keepdims=True)"},
        leaves=("['position']", "['wk']", "['wq']"),
        lines=("attention.out", "attention.prob", "attention.score"),
    ),
    mistake(
        ATTENTION,
        "causal_mask_forgotten_in_the_backward_pass",
        "unexplained",
        {"    dscore = prob * (": "    prob = softmax(score)\n    dscore = prob * ("},
        leaves=("['position']", "['wk']", "['wq']"),
        lines=("attention.out", "attention.prob", "attention.score"),
    ),
    mistake(
        ATTENTION,
        "values_do_not_reach_the_input",
        "dropped_path",
        {'    dh += dv @ p["wv"].T\n': ""},
        forward={'split(h @ p["wv"])': 'split(stop(h) @ p["wv"])'},
        lines=("attention.v",),
    ),
    mistake(
        ATTENTION,
        "heads_merged_without_their_transpose",
        "unexplained",
        {
            "dv = merge(prob.swapaxes(2, 3) @ dheads)": (
                "dv = (prob.swapaxes(2, 3) @ dheads).reshape(h.shape)"
            )
        },
        leaves=("['position']", "['wv']"),
        lines=("attention.out", "attention.v"),
    ),
    mistake(
        ROTARY,
        "rotated_the_same_way_back",
        "unexplained",
        {"g * cos - rotate": "g * cos + rotate"},
        leaves=("['wq']",),
        lines=("rotary.halves", "rotary.q", "rotary.score", "rotary.turned"),
    ),
    mistake(
        GRU,
        "update_gate_of_the_other_sign",
        "unexplained",
        {"dh * (h - n) * z": "dh * (n - h) * z"},
        leaves=("['bn']", "['un']", "['ur']", "['uz']", "['wn']", "['wr']", "['wz']"),
        lines=("gru.h", "gru.loss", "gru.n", "gru.r", "gru.scan", "gru.z"),
    ),
    mistake(
        GRU,
        "update_gates_exchanged",
        "unexplained",
        {"dn = dh * (1 - z) *": "dn = dh * z *", "dprev = dh * z\n": "dprev = dh * (1 - z)\n"},
        leaves=("['bn']", "['un']", "['ur']", "['uz']", "['wn']", "['wr']", "['wz']"),
        lines=("gru.h", "gru.loss", "gru.n", "gru.r", "gru.scan", "gru.z"),
    ),
    mistake(
        GRU,
        "direct_path_of_the_state_forgotten",
        "dropped_path",
        {"dprev = dh * z\n        dprev += drh": "dprev = drh"},
        forward={"z * h": "z * stop(h)"},
        lines=("gru.h",),
    ),
    mistake(
        GRU,
        "reset_gate_path_forgotten",
        "dropped_path",
        {'        dprev += dr @ p["ur"].T\n': ""},
        forward={'h @ p["ur"]': 'stop(h) @ p["ur"]'},
        lines=("gru.r",),
    ),
    mistake(
        GRU,
        "candidate_weights_of_the_state_that_was_not_reset",
        "unexplained",
        {"(r * h).T @ dn": "h.T @ dn"},
        leaves=("['un']",),
        lines=("gru.n",),
    ),
)
