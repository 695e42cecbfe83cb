"""Finds the first wrong value: the one whose replacement by a known one makes every leaf right.

A value that is right is never the place: of several values that are equal, it is the last one that
must be replaced, and values of the forward pass come last.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from jaxpercep.compare.candidate.identify import Dictionary, Meaning
from jaxpercep.compare.candidate.known import RANK, Known
from jaxpercep.compare.candidate.runs import Runs
from jaxpercep.compare.candidate.trials import Trials, equal
from jaxpercep.compare.candidate.values import Role, Substitution, Values
from jaxpercep.compare.candidate.variables import Key

MOST_RUNS = 1500  # in one search
MOST_FAULTS = 3


class Tier(NamedTuple):
    """What is tried together.

    Attributes:
        of: replace values of these roles.
        scaled: by constant multiples.
        gradient: of values of the backward pass, instead of the forward pass.
    """

    of: tuple[Role, ...]
    scaled: bool = False
    gradient: bool = True


TIERS = (
    Tier(("other",)),
    Tier(("parallel",)),
    Tier(("other",), scaled=True),
    Tier(("other",), gradient=False),
    Tier(("forward",)),
    Tier(("forward",), gradient=False),
)
ONE_OF_SEVERAL = (Tier(("other", "parallel")), Tier(("other",), scaled=True))


@dataclass(eq=False)
class Search:
    """Looks for the first wrong value.

    Attributes:
        runs: of the candidate.
        values: that it computes.
        dictionary: the known values.
    """

    runs: Runs
    values: Values
    dictionary: Dictionary

    def __post_init__(self) -> None:
        self.trials = Trials(self.runs)

    def faults(self) -> list[Substitution]:
        """Returns what repairs the candidate, at most three substitutions; [] if nothing does."""
        if any(leaf is None for leaf in self.present()):
            return []  # no value of the candidate can stand in for a leaf that it does not return
        found: list[Substitution] = []
        while len(found) < MOST_FAULTS:
            if last := self.first(every=True):
                return self.needed([*found, last])
            if not (one := self.first(every=False)):
                return []
            found.append(one)
            self.go_on_with(tuple(found))
        return []

    def present(self) -> list[Any]:
        """Returns the leaves as they are, those that are not compared aside."""
        leaves, frozen = self.trials.leaves([]) or [None], self.runs.target.frozen
        return [leaf for i, leaf in enumerate(leaves) if i not in frozen]

    def go_on_with(self, fixed: tuple[Substitution, ...]) -> None:
        """Looks for the next one, with some substitutions in place."""
        self.trials = Trials(self.runs, fixed)
        here, there = (self.runs.replayed(self.trials.given(w), w) for w in (0, 1))
        self.values = Values.of(here, there, self.dictionary)

    def needed(self, found: list[Substitution]) -> list[Substitution]:
        """Drops substitutions that turn out not to be needed."""
        trials = Trials(self.runs)
        for one in found[:-1]:
            rest = [other for other in found if other is not one]
            if all(all(trials.judged(rest, where)) for where in (0, 1)):
                found = rest
        return found

    def first(self, *, every: bool) -> Substitution | None:
        """Returns the first substitution that makes every leaf right, or else more of them.

        The values of whole statements are tried first, then the parts of the one that is found; if
        none is, the parts of all.
        """
        self.runs.count = 0
        whole = [key for key in self.values.pairs if not self.is_part(key)]
        parts = [key for key in self.values.pairs if self.is_part(key)]
        for keys in (whole, parts):
            for tier in TIERS if every else ONE_OF_SEVERAL:
                if found := self.among(keys, tier, every=every):
                    site = found.keys[0].site
                    inside = [k for k in parts if site in self.runs.sites[k.site].parents]
                    first = self.among(inside, tier, every=every) if keys is whole else None
                    return self.last_alias(first or found, every=every)
        return None

    def among(self, keys: Sequence[Key], tier: Tier, *, every: bool) -> Substitution | None:
        """Returns the first of some values whose replacement repairs the candidate."""
        candidates = self.candidates(keys, tier, every=every)
        return next((one for one in candidates if self.trials.repairs(one, every=every)), None)

    def is_part(self, key: Key) -> bool:
        """Returns True for the value of an expression inside another that has a value."""
        return any(parent in self.values.turns for parent in self.runs.sites[key.site].parents)

    # What may be put in the place of what

    def candidates(self, keys: Sequence[Key], tier: Tier, *, every: bool) -> Iterator[Substitution]:
        """Yields what may repair the candidate, in the order of execution."""
        for key in keys:
            turns = self.values.turns[key.site]
            if self.values.role(key) not in tier.of or self.runs.count > MOST_RUNS:
                continue
            if "forward" in tier.of and self.is_read_only(key):
                continue
            if not self.trials.may_matter(self.values, key.site, every=every):
                continue
            if len(turns) > 1 and not tier.scaled:
                yield from (one for one in self.together(turns, tier) if self.begins(one) is key)
            for known in self.targets(key, every=every):
                if known.is_gradient != tier.gradient:
                    continue
                due: Meaning | None = Meaning(known)
                if tier.scaled:
                    due = self.trials.scaled(key, known, every=every)
                if due is not None and not (tier.scaled and self.values.is_exactly(key, due)):
                    yield Substitution((key,), (due,))

    def targets(self, key: Key, *, every: bool) -> Iterator[Known]:
        """Yields the known values that may be due at a key, those nearest to the loss first."""
        pair = self.values.pairs[key]
        may_be_leaf = self.operands_are_right(key, every=every)
        for known in _from_the_loss(self.dictionary.of_shape(pair.here.shape)):
            if known.kind not in ("data", "row", "part", "inside") and (
                may_be_leaf or known.kind != "leaf"
            ):
                yield known
        if every and may_be_leaf:
            for known in self.dictionary.known:
                if known.kind == "leaf" and known.pair.here.shape != pair.here.shape:
                    yield known

    def together(self, turns: Sequence[Key], tier: Tier) -> Iterator[Substitution]:
        """Yields what may be due at all passes of one expression: a value in all iterations."""
        shapes = [self.values.pairs[key].here.shape for key in turns]
        for count in (len(turns), len(turns) - 1):  # the last pass may compute what nobody reads
            for members in self.families if count > 1 else ():
                if members[0].is_gradient != tier.gradient:
                    continue
                for start in range(len(members) - count + 1):
                    some = members[start : start + count]
                    for chosen in (some, some[::-1]):
                        if [known.pair.here.shape for known in chosen] == shapes[:count]:
                            yield Substitution(tuple(turns[:count]), tuple(map(Meaning, chosen)))

    def begins(self, one: Substitution) -> Key:
        """Returns the first of the values that a substitution changes."""
        pairs = zip(one.keys, one.due, strict=True)
        differing = (k for k, m in pairs if not equal(self.values.pairs[k].here, m.pair().here))
        return next(differing, one.keys[0])

    @cached_property
    def families(self) -> list[list[Known]]:
        """The known values of each family in the order of their iterations."""
        found: dict[Any, list[Known]] = defaultdict(list)
        for known in self.dictionary.known:
            if known.family and known.kind != "leaf":
                found[known.family].append(known)
        several = (members for members in found.values() if len(members) > 1)
        return [sorted(members, key=lambda known: known.index) for members in several]

    def operands_are_right(self, key: Key, *, every: bool) -> bool:
        """Returns True if the variables that an expression is computed from are right.

        One of several mistakes must be told from those before it: there, multiples are not right.
        """
        is_right = self.values.is_settled if every else self.values.is_right
        inside = [
            site.number
            for site in self.runs.sites
            if key.site in site.parents and isinstance(site.node, (ast.Name, ast.Subscript))
        ]
        turns = self.values.turns
        return all(is_right(k) for number in inside for k in turns.get(number, ()))

    # Equal values

    def last_alias(self, found: Substitution, *, every: bool) -> Substitution:
        """Returns the last of the equal values whose replacement repairs as much."""
        if not all(any(m.is_exact for m in self.values.meanings[key]) for key in found.keys):
            return found
        best = found
        for turns in self.values.turns.values():
            for keys in [tuple(turns)] if len(found.keys) > 1 else [(key,) for key in turns]:
                if keys == found.keys or not self.is_alias(keys, found, best):
                    continue
                moved = Substitution(keys, found.due)
                if self.trials.repairs(moved, every=every):
                    best = moved
        return best

    def is_alias(self, keys: tuple[Key, ...], found: Substitution, best: Substitution) -> bool:
        """Returns True for values equal to those found, and later than the best so far."""
        pairs = self.values.pairs
        later = self.values.order[keys[0]] > self.values.order[best.keys[0]]
        later &= self.is_assigned(keys[0]) or not self.is_assigned(best.keys[0])
        return (
            later
            and len(keys) == len(found.keys)
            and all(
                equal(pairs[a].here, pairs[b].here) for a, b in zip(keys, found.keys, strict=True)
            )
        )

    def is_read_only(self, key: Key) -> bool:
        """Returns True for a variable that is read, which nobody has computed here."""
        return isinstance(self.runs.sites[key.site].node, (ast.Name, ast.Subscript))

    def is_assigned(self, key: Key) -> bool:
        """Returns True if a value is all that a statement assigns."""
        return self.runs.sites[key.site].variable is not None


def _from_the_loss(known: Sequence[Known]) -> list[Known]:
    """Sorts known values of each kind in the order of the backward pass."""
    order = sorted(range(len(known)), key=lambda i: (RANK.index(known[i].kind), -i))
    return [known[i] for i in order]
