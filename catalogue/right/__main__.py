"""Compares random right gradients with autodiff, and exits with 1 if one does not match.

`python -m catalogue.right --seed 1 --count 1000` draws others than `--seed 0`.
"""

import argparse
import time

import jax

from catalogue.right.drawing import candidates
from jaxpercep import compare_gradients


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    started, matches = time.monotonic(), 0
    for done, candidate in enumerate(candidates(options.seed, options.count), start=1):
        report = compare_gradients(candidate.fun, candidate.grad_fun, *candidate.args)
        matches += report.verdict == "match"
        if report.verdict != "match":
            print(f"\n{candidate.name}\n{report}\n")
        if done % 40 == 0 or done == options.count:
            print(f"{matches} of {done} match, {time.monotonic() - started:.0f} s", flush=True)
            jax.clear_caches()  # compiled programs would fill the memory
    return int(matches < options.count)


if __name__ == "__main__":
    raise SystemExit(main())
