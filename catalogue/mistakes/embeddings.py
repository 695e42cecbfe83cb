"""Mistakes in embeddings, whose rows are used several times, and in losses that compare them."""

from catalogue.mistakes.mistake import mistake
from catalogue.networks.embeddings import CONTRAST, TRIPLETS, WORDS

OF_EMBEDDINGS = (
    mistake(
        WORDS,
        "repeated_words_counted_once",
        "index_overwritten",
        {"np.add.at(dtable, ids, de)": "dtable[ids] += de"},
        forward={'p["table"][ids]': 'of_last_use(p["table"], ids)'},
        lines=("words.e",),
    ),
    mistake(
        WORDS,
        "rows_overwritten",
        "index_overwritten",
        {
            "np.add.at(dtable, ids, de)": (
                "for n, d in zip(ids, de, strict=True):\n        dtable[n] = d"
            )
        },
        forward={
            'p["table"][ids]': 'of_last_use(p["table"], ids)',
            'p["table"].T': 'stop(p["table"]).T',  # every row is overwritten
        },
        lines=("words.e",),
        named=False,  # but as this and a dropped path
    ),
    mistake(
        WORDS,
        "length_of_the_bag_left_out",
        "missing_derivative",
        {"dbag[:, None] / length": "dbag[:, None]"},
        forward={"jnp.mean(e, axis=1)": "identity_slope(lambda s: s / 3, jnp.sum(e, axis=1))"},
        lines=("words.bag",),
        check_grads=False,
    ),
    mistake(
        WORDS,
        "output_use_of_the_tied_table_forgotten",
        "dropped_path",
        {"dtable = dlogits.T @ h": "dtable = np.zeros_like(table)"},
        forward={'p["table"].T': 'stop(p["table"]).T'},
        lines=("words.logits",),
    ),
    mistake(
        WORDS,
        "input_use_of_the_tied_table_forgotten",
        "dropped_path",
        {"    np.add.at(dtable, ids, de)\n": ""},
        forward={'p["table"][ids]': 'stop(p["table"])[ids]'},
        lines=("words.e",),
        check_grads=False,
    ),
    mistake(
        CONTRAST,
        "norm_held_constant_in_one_tower",
        "dropped_path",
        {"(dna - na * (na * dna).sum(1, keepdims=True)) / la": "dna / la"},
        forward={"jnp.sum(a**2, axis": "jnp.sum(stop(a) ** 2, axis"},
        lines=("contrast.na",),
    ),
    mistake(
        CONTRAST,
        "temperature_left_out_of_contrast",
        "scaled",
        {"dsim @ nb / 0.5": "dsim @ nb", "dsim.T @ na / 0.5": "dsim.T @ na"},
        factor=1 / 2,
        repaired=False,
    ),
    mistake(
        CONTRAST,
        "one_direction_of_the_loss_alone",
        "dropped_path",
        {"    dsim += softmax(sim.T).T - eye\n": ""},
        forward={"(rows + columns)": "(rows + stop(columns))"},
        lines=("contrast.columns", "contrast.loss"),
    ),
    mistake(
        CONTRAST,
        "similarities_not_transposed",
        "unexplained",
        {"dsim.T @ na": "dsim @ na"},
        leaves=("['wy']",),
        lines=("contrast.b", "contrast.nb", "contrast.sim"),
    ),
    mistake(
        TRIPLETS,
        "anchor_of_the_negative_forgotten",
        "dropped_path",
        {"da = (dnear - dfar) *": "da = dnear *"},
        forward={"(a - c) ** 2": "(stop(a) - c) ** 2"},
        lines=("triplets.far",),
    ),
    mistake(
        TRIPLETS,
        "margin_not_looked_at_in_triplets",
        "missing_derivative",
        {"(near - far + 0.4 > 0) / len(a)": "np.ones_like(near) / len(a)"},
        forward={"jax.nn.relu(near - far + 0.4)": "identity_slope(jax.nn.relu, near - far + 0.4)"},
        lines=("triplets.loss",),
        repaired=False,
    ),
    mistake(
        TRIPLETS,
        "distance_without_its_root",
        "missing_derivative",
        {
            "active * (a - b) / near": "active * 2 * (a - b)",
            "active * (a - c) / far": "active * 2 * (a - c)",
        },
        forward={
            "jnp.sqrt(jnp.sum((a - b) ** 2, axis=1))": (
                "identity_slope(jnp.sqrt, jnp.sum((a - b) ** 2, axis=1))"
            ),
            "jnp.sqrt(jnp.sum((a - c) ** 2, axis=1))": (
                "identity_slope(jnp.sqrt, jnp.sum((a - c) ** 2, axis=1))"
            ),
        },
        lines=("triplets.near", "triplets.far"),
        repaired=False,
    ),
    mistake(
        TRIPLETS,
        "negative_missing_from_the_shared_weights",
        "dropped_path",
        {"    dw += negative.T @ dc\n": ""},
        forward={'negative @ p["w"]': 'negative @ stop(p["w"])'},
        lines=("triplets.c",),
    ),
)
