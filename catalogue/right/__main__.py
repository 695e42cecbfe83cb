"""Compares random right gradients with autodiff, and exits with 1 if one does not match.

`python -m catalogue.right --seed 1 --count 1000` draws others than `--seed 0`. With `--libraries`,
it compares functions of libraries on PyPI instead, those that are installed.
"""

import argparse
import time

import jax

from catalogue.right.drawing import candidates
from catalogue.right.libraries import installed
from jaxpercep import compare_gradients


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--libraries", action="store_true")
    options = parser.parse_args()
    if options.libraries:
        return compare_libraries()
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


def compare_libraries() -> int:
    """Compares every installed one; returns 1 unless all match."""
    matches = count = 0
    for case, package in installed():
        count += 1
        fun = case.build(package)
        try:
            report = compare_gradients(fun, case.candidate(fun), *case.args)
        except Exception as error:  # a crash is a failure, and the others are still compared
            print(f"\n{case.package} {case.name}\n{type(error).__name__}: {error}\n", flush=True)
            continue
        matches += report.ok
        if not report.ok:
            print(f"\n{case.package} {case.name}\n{report}\n", flush=True)
        if count % 10 == 0:
            jax.clear_caches()
    print(f"{matches} of {count} match")
    return int(matches < count)


if __name__ == "__main__":
    raise SystemExit(main())
