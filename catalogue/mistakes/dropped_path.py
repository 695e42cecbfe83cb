"""Paths along which no gradient flows."""

from catalogue.mistakes.forward import RNN_TIME, SETTLING_ROUND
from catalogue.mistakes.mistake import mistake
from catalogue.networks.calls import PER_SAMPLE, RECOMPUTED
from catalogue.networks.layers import AUTOENCODER, NORMED, RESIDUAL
from catalogue.networks.loops import SETTLING
from catalogue.networks.losses import GAUSSIAN, LASSO
from catalogue.networks.sequences import ATTEND, RNN

DROPPED_PATH = (
    mistake(
        RESIDUAL,
        "skip_forgotten",
        "dropped_path",
        {"dh1 = dh2 + dz2": "dh1 = dz2"},
        forward={"h1 + 0.5 * f2": "stop(h1) + 0.5 * f2"},
        lines=("residual.h2",),
    ),
    mistake(
        RECOMPUTED,
        "skip_forgotten_in_a_recomputed_block",
        "dropped_path",
        {"    dh1 += dh2\n": ""},
        forward={
            'block(p["w2"], p["b2"], h1)': 'stop(h1) + jax.nn.sigmoid(h1 @ p["w2"] + p["b2"])',
        },
        lines=("block.sum", "recomputed.h2"),
    ),
    mistake(
        AUTOENCODER,
        "tied_weights_without_the_decoder",
        "dropped_path",
        {"    dw += dback.T @ code\n": ""},
        forward={"code @ p.w.T": "code @ stop(p.w.T)"},
        lines=("autoencoder.back",),
    ),
    mistake(
        AUTOENCODER,
        "tied_weights_without_the_encoder",
        "dropped_path",
        {"dw += dback": "dw = dback"},
        forward={"x @ p.w +": "x @ stop(p.w) +"},
        lines=("autoencoder.a",),
    ),
    mistake(
        NORMED,
        "mean_taken_for_a_constant",
        "dropped_path",
        {"dc - dc.mean(-1, keepdims=True)": "dc"},
        forward={"h - mean": "h - stop(mean)"},
        lines=("normed.c",),
    ),
    mistake(
        NORMED,
        "variance_taken_for_a_constant",
        "dropped_path",
        {"    dh += dvar * 2 * c / width\n": ""},
        forward={"c / sd": "c / stop(sd)"},
        lines=("normed.var", "normed.sd", "normed.n"),
    ),
    mistake(
        GAUSSIAN,
        "only_the_mean_reaches_the_trunk",
        "dropped_path",
        {'    dh += ds @ p["w_s"].T\n': ""},
        forward={'h @ p["w_s"]': 'stop(h) @ p["w_s"]'},
        lines=("gaussian.s",),
    ),
    mistake(
        GAUSSIAN,
        "only_the_log_variance_reaches_the_trunk",
        "dropped_path",
        {"dh += ds": "dh = ds"},
        forward={'h @ p["w_mu"]': 'stop(h) @ p["w_mu"]'},
        lines=("gaussian.mu",),
    ),
    mistake(
        LASSO,
        "penalty_on_magnitudes_forgotten",
        "dropped_path",
        {' + 0.02 * np.sign(p["w1"])': "", ' + 0.02 * np.sign(p["w2"])': ""},
        forward={"data + penalty": "data + stop(penalty)"},
        lines=("lasso.penalty", "lasso.loss"),
    ),
    mistake(
        LASSO,
        "penalty_on_magnitudes_forgotten_in_one_layer",
        "dropped_path",
        {' + 0.02 * np.sign(p["w2"])': ""},
        forward={'jnp.abs(p["w2"])': 'jnp.abs(stop(p["w2"]))'},
        lines=("lasso.penalty",),
    ),
    mistake(
        RNN,
        "input_weights_of_the_last_visited_time_only",
        "dropped_path",
        {'g["wx"] += x[t]': 'g["wx"] = x[t]'},
        forward=RNN_TIME | {'x_t @ p["wx"]': 'x_t @ jnp.where(t == 0, p["wx"], stop(p["wx"]))'},
        lines=("rnn.z",),
    ),
    mistake(
        RNN,
        "not_carried_back_through_time",
        "dropped_path",
        {"reversed(range(len(x)))": "[len(x) - 1]"},
        forward={'h @ p["wh"]': 'stop(h) @ p["wh"]'},
        lines=("rnn.z",),
        structural="the loop has one pass, that of the forward pass four",
    ),
    mistake(
        SETTLING,
        "input_of_the_last_visited_round_only",
        "dropped_path",
        {"ddrive += dz": "ddrive = dz.copy()"},
        forward=SETTLING_ROUND | {"drive + h": "jnp.where(i == 0, drive, stop(drive)) + h"},
        lines=("settling.z",),
    ),
    mistake(
        SETTLING,
        "first_state_forgotten",
        "dropped_path",
        {"    ddrive += dh\n": ""},
        forward={"settle, drive)": "settle, stop(drive))"},
        lines=("settling.loop",),
    ),
    mistake(
        ATTEND,
        "normalizer_taken_for_a_constant",
        "dropped_path",
        {"da / total + dtotal": "da / total"},
        forward={"e / total": "e / stop(total)"},
        lines=("attend.total", "attend.a"),
    ),
    mistake(
        ATTEND,
        "keys_forgotten_in_the_scores",
        "dropped_path",
        {'    dk += dscore[..., None] * p["query"]\n': ""},
        forward={'k @ p["query"]': 'stop(k) @ p["query"]'},
        lines=("attend.score",),
    ),
    mistake(
        ATTEND,
        "keys_forgotten_as_values",
        "dropped_path",
        {"dk += dscore": "dk = dscore"},
        forward={"a[..., None] * k": "a[..., None] * stop(k)"},
        lines=("attend.pooled",),
    ),
    mistake(
        PER_SAMPLE,
        "half_of_the_product_rule",
        "dropped_path",
        {"dh * (s + h * (1 - s))": "dh * s"},
        forward={"swish(z)": "z * stop(jax.nn.sigmoid(z))"},
        lines=("swish.s", "swish.product"),
    ),
)
