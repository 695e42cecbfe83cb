"""The order in which the methods of a cell are sampled."""

import numpy as np


def balanced_order(entries: int, rounds: int, seed: int) -> list[list[int]]:
    """Draws random orders in which position and predecessor are balanced; one for each round.

    Within each block of n rounds (2n if n is odd) every entry takes every position equally often,
    and follows every other one equally often: caches and clocks, as a method leaves them, favour
    none. Rows come in random order, under random names.

    Source: Williams, "Experimental designs balanced for the estimation of residual effects of
    treatments", Australian Journal of Scientific Research A2 (1949).
    """
    rng = np.random.default_rng(seed)
    zigzag = [(k + 1) // 2 if k % 2 else -(k // 2) for k in range(entries)]  # 0, 1, -1, 2, -2, ...
    square = (np.arange(entries)[:, None] + zigzag) % entries
    if entries % 2:
        square = np.concatenate([square, square[:, ::-1]])
    found: list[list[int]] = []
    while len(found) < rounds:
        names = rng.permutation(entries)
        found.extend(names[row].tolist() for row in rng.permutation(square))
    return found[:rounds]
