"""Mistakes in convolutions and in pooling: flips, padding, strides, windows."""

from catalogue.mistakes.mistake import mistake
from catalogue.networks.images import IMAGES, POOLING, SIGNAL

OF_IMAGES = (
    mistake(
        IMAGES,
        "kernel_flipped_where_it_must_not_be",
        "unexplained",
        {"dout @ k2[a, b].T": "dout @ k2[2 - a, 2 - b].T"},
        leaves=("['b1']", "['k1']"),
        lines=("images.h1", "images.out"),
    ),
    mistake(
        IMAGES,
        "padding_cut_at_one_side_only",
        "unexplained",
        {"dpadded[:, 1:-1, 1:-1]": "dpadded[:, :-2, :-2]"},
        leaves=("['b1']", "['k1']"),
        lines=("images.h1", "images.out"),
    ),
    mistake(
        IMAGES,
        "patches_overwritten_in_the_input_gradient",
        "unexplained",
        {
            "dpadded[:, a : a + rows, b : b + columns] += dout": (
                "dpadded[:, a : a + rows, b : b + columns] = dout"
            )
        },
        leaves=("['b1']", "['k1']"),
        lines=("images.h1", "images.out"),
    ),
    mistake(
        IMAGES,
        "convolution_bias_averaged_over_space",
        "scaled",
        {"dz1.sum((0, 1, 2))": "dz1.mean((1, 2)).sum(0)"},
        leaves=("['b1']",),
        factor=1 / 9,
    ),
    mistake(
        IMAGES,
        "convolution_bias_summed_over_the_batch_alone",
        "not_reduced",
        {"dz1.sum((0, 1, 2))": "dz1.sum(0)"},
        leaves=("['b1']",),
        gradcheck=False,
    ),
    mistake(
        SIGNAL,
        "stride_forgotten_in_the_kernel_gradient",
        "unexplained",
        {
            'dk1 += np.einsum("nwc,no->wco", padded[:, 2 * t : 2 * t + 3], dz[:, t])': (
                'dk1 += np.einsum("nwc,no->wco", padded[:, t : t + 3], dz[:, t])'
            )
        },
        leaves=("['k1']",),
        lines=("signal.h", "signal.out", "signal.z"),
        repaired=False,
    ),
    mistake(
        SIGNAL,
        "taps_of_the_kernel_exchanged",
        "unexplained",
        {"dh[:, t + a] += dout[:, t] @ k2[a].T": "dh[:, t + a] += dout[:, t] @ k2[1 - a].T"},
        leaves=("['k1']",),
        lines=("signal.h", "signal.out", "signal.z"),
    ),
    mistake(
        POOLING,
        "gradient_to_every_element_of_a_window",
        "unexplained",
        {"mask * dm[:, :, None]": "np.ones_like(windows) * dm[:, :, None]"},
        leaves=("['w']",),
        lines=("pooling.a", "pooling.h", "pooling.m", "pooling.out"),
    ),
    mistake(
        POOLING,
        "maximum_taken_for_a_mean",
        "unexplained",
        {"mask * dm[:, :, None]": "np.ones_like(windows) * dm[:, :, None] / 2"},
        leaves=("['w']",),
        lines=("pooling.a", "pooling.h", "pooling.m", "pooling.out"),
    ),
    mistake(
        POOLING,
        "overlapping_windows_overwritten",
        "unexplained",
        {"dm[:, i] += da": "dm[:, i] = da"},
        leaves=("['w']",),
        lines=("pooling.a", "pooling.h", "pooling.m", "pooling.out"),
    ),
)
