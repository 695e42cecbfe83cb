"""Mistakes in linear algebra, in chains and in gated units."""

from catalogue.mistakes.mistake import mistake
from catalogue.networks.algebra import CHAIN, COSINE, SOLVED
from catalogue.networks.attention import GATED
from catalogue.networks.field import DROPPED

OF_ALGEBRA = (
    mistake(
        SOLVED,
        "matrix_not_transposed_in_the_adjoint",
        "unexplained",
        {"np.linalg.solve(a.T, dbeta)": "np.linalg.solve(a, dbeta)"},
        leaves=("['ridge']", "['w']"),
        lines=("solved.a", "solved.beta", "solved.loss", "solved.out"),
        check_grads=False,
    ),
    mistake(
        SOLVED,
        "outer_product_transposed",
        "transposed",
        {"-dc @ beta.T": "-beta @ dc.T"},
        leaves=("['ridge']",),
    ),
    mistake(
        SOLVED,
        "one_of_two_factors_of_the_gram_matrix",
        "dropped_path",
        {"h @ (da + da.T)": "h @ da"},
        forward={"h.T @ h": "stop(h).T @ h"},
        lines=("solved.a",),
    ),
    mistake(
        COSINE,
        "norm_held_constant_in_the_cosine",
        "dropped_path",
        {"g * (v / (nu * nv) - cos * u / nu**2)": "g * v / (nu * nv)"},
        forward={"(nu * nv)": "(stop(nu) * nv)"},
        lines=("cosine.nu", "cosine.loss"),
    ),
    mistake(
        CHAIN,
        "transition_of_the_first_step_alone",
        "dropped_path",
        {"dtransition += flow": "dtransition = flow.copy()"},
        forward={
            "for row in unary[1:]:": "for i, row in enumerate(unary[1:]):",
            'p["transition"], axis=0': (
                '(stop(p["transition"]) if i else p["transition"]), axis=0'
            ),
        },
        lines=("chain.step",),
    ),
    mistake(
        CHAIN,
        "best_predecessor_for_all_of_them",
        "unexplained",
        {"weight = np.exp(s) / np.exp(s).sum(0)": "weight = (s == s.max(0)).astype(s.dtype)"},
        leaves=("['transition']", "['w']"),
        lines=("chain.loss", "chain.score", "chain.step", "chain.total"),
        repaired=False,
    ),
    mistake(
        CHAIN,
        "predecessors_normalized_over_the_other_axis",
        "unexplained",
        {"np.exp(s) / np.exp(s).sum(0)": "np.exp(s) / np.exp(s).sum(1, keepdims=True)"},
        leaves=("['transition']", "['w']"),
        lines=("chain.loss", "chain.score", "chain.step", "chain.total"),
    ),
    mistake(
        GATED,
        "silu_slope_of_a_sigmoid",
        "unexplained",
        {"dact * (s + gate * s * (1 - s))": "dact * s * (1 - s)"},
        leaves=("['gate']",),
        lines=("gated.act", "gated.gate", "gated.h"),
    ),
    mistake(
        GATED,
        "gate_and_value_exchanged",
        "unexplained",
        {"dup = dh * act": "dup = dh * up", "dact = dh * up": "dact = dh * act"},
        leaves=("['gate']", "['up']"),
        lines=("gated.down", "gated.h"),
    ),
    mistake(
        GATED,
        "highway_input_forgotten_in_the_mix",
        "dropped_path",
        {"dout * (down - x)": "dout * down"},
        forward={"(1 - t) * x": "(1 - stop(t)) * x"},
        lines=("gated.out",),
    ),
    mistake(
        DROPPED,
        "scale_of_dropout_left_out",
        "scaled",
        {"dh = dd * keep / 0.6": "dh = dd * keep"},
        leaves=("['w1']",),
        factor=0.6,
    ),
    mistake(
        DROPPED,
        "weights_of_what_was_not_dropped",
        "unexplained",
        {"d.T @ dout": "h.T @ dout"},
        leaves=("['w2']",),
        lines=("dropped.out",),
    ),
)
