"""Finds the first wrong value: the one whose replacement by a known one makes every leaf right.

A value that is right is never the place: of several values that are equal, it is the last one that
must be replaced, and values of the forward pass come last.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxpercep.compare.candidate.identify import Dictionary, Meaning
from jaxpercep.compare.candidate.known import Known, Pair
from jaxpercep.compare.candidate.record import Key
from jaxpercep.compare.candidate.runs import Runs

MOST_RUNS = 800  # in one search
MOST_FAULTS = 3


class Tier(NamedTuple):
    """What is tried together.

    Attributes:
        of: replace values of these kinds.
        scaled: by constant multiples.
        gradient: of values of the backward pass, instead of the forward pass.
    """

    of: tuple[Literal["other", "parallel", "forward"], ...]
    scaled: bool = False
    gradient: bool = True


TIERS = (
    Tier(("other",)),
    Tier(("parallel",)),
    Tier(("other",), scaled=True),
    Tier(("parallel",), scaled=True),
    Tier(("other",), gradient=False),
    Tier(("forward",)),
)
ONE_OF_SEVERAL = (Tier(("other", "parallel")), Tier(("other", "parallel"), scaled=True))


class Substitution(NamedTuple):
    """Values, and what to put in their place."""

    keys: tuple[Key, ...]
    due: tuple[Meaning, ...]

    def at(self, where: int) -> dict[Key, np.ndarray]:
        """Returns the replacements at one of the two sets of arguments."""
        return {key: m.pair()[where] for key, m in zip(self.keys, self.due, strict=True)}


@dataclass(eq=False)
class Values:
    """The recorded values of a candidate, and what they are.

    Attributes:
        pairs: by key, in the order of execution; those that were recorded at both arguments.
        meanings: by key.
        turns: by site, the keys of its passes.
    """

    pairs: dict[Key, Pair]
    meanings: dict[Key, list[Meaning]]
    turns: dict[int, list[Key]]

    @classmethod
    def of(
        cls,
        here: Mapping[Key, np.ndarray],
        there: Mapping[Key, np.ndarray],
        dictionary: Dictionary,
    ) -> "Values":
        """Looks every value up."""
        pairs = {key: Pair(value, there[key]) for key, value in here.items() if key in there}
        turns: dict[int, list[Key]] = defaultdict(list)
        for key in pairs:
            turns[key.site].append(key)
        return cls(pairs, {k: dictionary.meanings(pair) for k, pair in pairs.items()}, turns)

    def kind(self, key: Key) -> str:
        """Returns `"forward"` for a value of the forward pass, or a constant multiple of one.

        If it is a multiple of a cotangent too, as the residual of a squared error, it is
        `"parallel"`; every value else is `"other"`.
        """
        gradients = [meaning.known.is_gradient for meaning in self.meanings[key]]
        if all(gradients):
            return "other"
        return "parallel" if any(gradients) else "forward"

    def is_right(self, key: Key) -> bool:
        """Returns True for a settled value; a multiple of a cotangent is none."""
        found = self.meanings[key]
        exact = any(m.factor == 1.0 or not m.known.is_gradient for m in found)
        return exact or (not found and self.is_settled(key))

    def is_settled(self, key: Key) -> bool:
        """Returns True for a value that is known, or does not depend on the arguments."""
        pair = self.pairs[key]
        constant = pair.here.shape == pair.there.shape and np.array_equal(*pair)
        return bool(self.meanings[key]) or constant


@dataclass(eq=False)
class Search:
    """Looks for the first wrong value.

    Attributes:
        runs: of the candidate.
        values: that it computes.
        dictionary: the known values.
        fixed: what was repaired already.
    """

    runs: Runs
    values: Values
    dictionary: Dictionary
    fixed: tuple[Substitution, ...] = ()
    answers: dict[Any, Any] = field(default_factory=dict)

    def faults(self) -> list[Substitution]:
        """Returns what repairs the candidate, at most three substitutions; [] if nothing does."""
        if any(leaf is None for leaf in self.present()):
            return []  # no value of the candidate can stand in for a leaf that it does not return
        for _ in range(MOST_FAULTS):
            if found := self.first(every=True):
                return self.alone([*self.fixed, found])
            if len(self.fixed) + 1 == MOST_FAULTS or not (found := self.first(every=False)):
                return []
            self.fix((*self.fixed, found))
        return []

    def present(self) -> list[Any]:
        """Returns the leaves as they are, those that are not compared aside."""
        leaves, frozen = self.leaves([]) or [None], self.runs.target.frozen
        return [leaf for i, leaf in enumerate(leaves) if i not in frozen]

    def fix(self, fixed: tuple[Substitution, ...]) -> None:
        """Goes on with some substitutions in place."""
        self.fixed = fixed
        self.answers.clear()
        here, there = (self.runs.replayed(self.given(where), where) for where in (0, 1))
        self.values = Values.of(here, there, self.dictionary)
        self.__dict__.pop("order", None)

    def alone(self, found: list[Substitution]) -> list[Substitution]:
        """Drops substitutions that turn out not to be needed."""
        if self.fixed:
            self.fix(())
        for one in found[:-1]:
            rest = [other for other in found if other is not one]
            if all(all(self.judged(rest, where)) for where in (0, 1)):
                found = rest
        return found

    def first(self, *, every: bool) -> Substitution | None:
        """Returns the first substitution that makes every leaf right, or else more of them."""
        self.runs.count = 0
        for tier in TIERS if every else ONE_OF_SEVERAL:
            for found in self.candidates(tier, every=every):
                if self.repairs(found, every=every):
                    return self.last_alias(found, every=every)
        return None

    # What may be put in the place of what

    def candidates(self, tier: "Tier", *, every: bool) -> Iterator[Substitution]:
        """Yields what may repair the candidate, in the order of execution."""
        for key in self.values.pairs:
            turns = self.values.turns[key.site]
            if self.values.kind(key) not in tier.of:
                continue
            if "forward" in tier.of and self.is_read_only(key):
                continue
            if not self.may_matter(key.site, every=every):
                continue
            if self.runs.count > MOST_RUNS:
                return
            if len(turns) > 1 and key is turns[0] and not tier.scaled:
                yield from self.together(turns, tier)
            for known in self.targets(key, every=every):
                if known.is_gradient != tier.gradient:
                    continue
                meaning = self.scaled(key, known) if tier.scaled else Meaning(known)
                if meaning is not None:
                    yield Substitution((key,), (meaning,))

    def targets(self, key: Key, *, every: bool) -> Iterator[Known]:
        """Yields the known values that may be due at a key."""
        pair = self.values.pairs[key]
        own = {id(m.known) for m in self.values.meanings[key] if m.is_exact}
        for known in self.dictionary.of_shape(pair.here.shape):
            if id(known) in own or known.kind in ("row", "part", "inside"):
                continue
            if known.kind == "leaf" and not self.operands_are_right(key, every=every):
                continue
            yield known
        if every and self.operands_are_right(key, every=True):
            for known in self.dictionary.known:
                if known.kind == "leaf" and known.pair.here.shape != pair.here.shape:
                    yield known

    def together(self, turns: Sequence[Key], tier: "Tier") -> Iterator[Substitution]:
        """Yields what may be due at all passes of one expression: a value in all iterations."""
        shapes: list[Any] = [self.values.pairs[key].here.shape for key in turns]
        for members in self.families().values():
            count = len(turns)
            if members[0].is_gradient != tier.gradient:
                continue
            for start in range(len(members) - count + 1):
                some = members[start : start + count]
                for chosen in (some, some[::-1]):
                    if [known.pair.here.shape for known in chosen] == shapes:
                        yield Substitution(tuple(turns), tuple(map(Meaning, chosen)))

    def families(self) -> dict[Any, list[Known]]:
        """Returns the known values of each family in the order of their iterations."""
        found: dict[Any, list[Known]] = defaultdict(list)
        for known in self.dictionary.known:
            if known.family and known.kind != "leaf":
                found[known.family].append(known)
        return {
            family: sorted(members, key=lambda known: known.index)
            for family, members in found.items()
            if len(members) > 1
        }

    def scaled(self, key: Key, known: Known) -> Meaning | None:
        """Returns the multiple of a known value that would make the leaves right, if any would."""
        one = self.leaves([Substitution((key,), (Meaning(known),))])
        zero = self.leaves([Substitution((key,), (Meaning(known, 0.0),))])
        if one is None or zero is None:
            return None
        pairs = zip(one, zero, self.runs.target.right, strict=True)
        moved = [
            (np.ravel(a) - np.ravel(b), np.ravel(pair.here) - np.ravel(b))
            for a, b, pair in pairs
            if a is not None and b is not None and np.shape(a) == np.shape(b) == pair.here.shape
        ]
        if not moved:
            return None
        direction, due = (
            np.concatenate(parts).astype(np.float64) for parts in zip(*moved, strict=True)
        )
        square = direction @ direction
        factor = float(direction @ due / square) if square > 0 and np.isfinite(square) else 0.0
        factor = _rounded(factor)
        return Meaning(known, factor) if factor and np.isfinite(factor) else None

    def may_matter(self, site: int, *, every: bool) -> bool:
        """Returns True if the wrong leaves change when the values of a site do."""
        if ("moved", site) not in self.answers:
            keys = self.values.turns[site]
            moved = {key: _moved(self.values.pairs[key].here) for key in keys}
            self.answers["moved", site] = self.runs.answer(self.given(0) | moved, 0)
        moved_leaves, base = self.answers["moved", site], self.leaves([])
        if moved_leaves is None or base is None:
            return True
        pairs = zip(moved_leaves, base, self.judged([], 0), strict=True)
        changed = [not _same(a, b) for a, b, right in pairs if not right]
        return all(changed) if every else any(changed)

    def operands_are_right(self, key: Key, *, every: bool) -> bool:
        """Returns True if the variables that an expression is computed from are right.

        One of several mistakes must be told from those before it: there, multiples are not right.
        """
        is_right = self.values.is_settled if every else self.values.is_right
        sites = self.runs.sites
        inside = [
            site.number
            for site in sites
            if key.site in site.parents and isinstance(site.node, (ast.Name, ast.Subscript))
        ]
        return all(is_right(k) for number in inside for k in self.values.turns.get(number, ()))

    # Trials

    def given(self, where: int) -> dict[Key, np.ndarray]:
        """Returns what was repaired already, at one of the two sets of arguments."""
        return {key: value for one in self.fixed for key, value in one.at(where).items()}

    def leaves(self, some: Sequence[Substitution], where: int = 0) -> list[Any] | None:
        """Returns the leaves after some substitutions."""
        key = (where, *((s.keys, tuple((id(m.known), *m[1:]) for m in s.due)) for s in some))
        if key not in self.answers:
            replaced = self.given(where)
            for one in some:
                replaced |= one.at(where)
            self.answers[key] = self.runs.answer(replaced, where)
        return self.answers[key]

    def judged(self, some: Sequence[Substitution], where: int) -> tuple[bool, ...]:
        """Returns which leaves are right after some substitutions."""
        leaves = self.leaves(some, where)
        if leaves is None:
            return (False,) * len(self.runs.target.right)
        return self.runs.target.is_right(leaves, where)

    def repairs(self, one: Substitution, *, every: bool) -> bool:
        """Returns True if a substitution makes every leaf right, or more right and none wrong."""
        for where in (0, 1):
            before, after = self.judged([], where), self.judged([one], where)
            worse = any(b and not a for b, a in zip(before, after, strict=True))
            if not all(after) and (every or worse or sum(after) <= sum(before)):
                return False
        return True

    def last_alias(self, found: Substitution, *, every: bool) -> Substitution:
        """Returns the last of the equal values whose replacement repairs as much."""
        if not all(any(m.is_exact for m in self.values.meanings[key]) for key in found.keys):
            return found
        best, pairs = found, self.values.pairs
        for site, turns in self.values.turns.items():
            del site
            groups = [tuple(turns)] if len(found.keys) > 1 else [(key,) for key in turns]
            for keys in groups:
                if len(keys) != len(found.keys) or keys == found.keys:
                    continue
                same = all(
                    _same(pairs[a].here, pairs[b].here)
                    for a, b in zip(keys, found.keys, strict=True)
                )
                later = self.order[keys[0]] > self.order[best.keys[0]]
                later &= self.is_assigned(keys[0]) or not self.is_assigned(best.keys[0])
                moved = Substitution(keys, found.due)
                if same and later and self.repairs(moved, every=every):
                    best = moved
        return best

    def is_read_only(self, key: Key) -> bool:
        """Returns True for a variable that is read, which nobody has computed here."""
        return isinstance(self.runs.sites[key.site].node, (ast.Name, ast.Subscript))

    def is_assigned(self, key: Key) -> bool:
        """Returns True if a value is all that a statement assigns."""
        return self.runs.sites[key.site].variable is not None

    @cached_property
    def order(self) -> dict[Key, int]:
        """The position of each value in the order of execution."""
        return {key: i for i, key in enumerate(self.values.pairs)}


def _moved(value: np.ndarray) -> np.ndarray:
    """Returns a value with every number changed."""
    rng = np.random.default_rng(3)
    scale = float(np.max(np.abs(value), initial=0.0)) or 1.0
    return value + scale * rng.uniform(0.5, 1.5, value.shape)


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None or np.shape(a) != np.shape(b):
        return a is b
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    scale = np.max(np.abs(b), initial=0.0)
    with np.errstate(invalid="ignore"):
        return bool(np.array_equal(a, b) or np.max(np.abs(a - b), initial=0.0) <= 1e-12 * scale)


def _rounded(factor: float) -> float:
    """Returns a factor without the rounding of the fit, where it is a simple fraction."""
    if not np.isfinite(factor):
        return 0.0
    simple = float(Fraction(factor).limit_denominator(100_000))
    return simple if abs(simple - factor) <= 1e-9 * abs(factor) else factor
