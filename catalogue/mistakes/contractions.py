"""Mistakes in contractions: an axis taken for another, or not summed."""

from catalogue.mistakes.mistake import mistake
from catalogue.networks.contractions import BILINEAR, SHARED_KEYS

OF_CONTRACTIONS = (
    mistake(
        BILINEAR,
        "contraction_over_the_other_axis",
        "unexplained",
        {'np.einsum("nk,ijk,nj->ni"': 'np.einsum("nk,jik,nj->ni"'},
        leaves=("['a']",),
        lines=("bilinear.a", "bilinear.out"),
    ),
    mistake(
        SHARED_KEYS,
        "keys_of_the_first_head_of_each_group_alone",
        "unexplained",
        {"dkeys.reshape(2, 2, *k.shape[1:]).sum(1)": "dkeys[::2]"},
        leaves=("['wk']",),
        lines=("shared_keys.k", "shared_keys.keys", "shared_keys.out", "shared_keys.score"),
    ),
)
