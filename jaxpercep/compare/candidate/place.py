"""Finds the first wrong value: the one whose replacement by a known one makes every leaf right.

A value that is right is never the place: `equals` decides between places at which the same
replacement repairs as much, and values of the forward pass come last.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from jaxpercep.compare.candidate.equals import Equals
from jaxpercep.compare.candidate.identify import Dictionary, Meaning
from jaxpercep.compare.candidate.known import RANK, Known
from jaxpercep.compare.candidate.runs import Runs
from jaxpercep.compare.candidate.structure import filling, loop_around
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
        both: of those of the forward pass too, where a statement assigns one.
    """

    of: tuple[Role, ...]
    scaled: bool = False
    gradient: bool = True
    both: bool = False

    def takes(self, known: Known, *, assigned: bool) -> bool:
        """Returns True for a value that may be put in the place of one, which may be assigned."""
        return known.is_gradient == self.gradient or (self.both and assigned)


TIERS = (
    Tier(("other", "parallel"), both=True),
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
        if any(leaf is None for leaf in self.present()) or all(self.trials.judged([], 0)):
            return []  # no value mends a leaf that is not returned, or that no argument has
        found: list[Substitution] = []
        while len(found) < MOST_FAULTS:
            if last := self.first(every=True):
                return self.joined(self.needed([*found, last]))
            if not (one := self.first(every=False)):
                return []
            found.append(one)
            self.go_on_with(tuple(found))
            if all(all(self.trials.judged([], where)) for where in (0, 1)):
                return self.joined(found)
        return []

    @cached_property
    def misshapen(self) -> list[Known]:
        """The right gradients by the leaves that are returned in another shape."""
        pairs = zip(self.trials.leaves([]) or (), self.runs.target.right, strict=False)
        due = [right[0] for leaf, right in pairs if np.shape(leaf) != right[0].shape]
        return [
            known
            for known in self.dictionary.known
            if known.kind == "leaf" and any(equal(known.pair.here, one) for one in due)
        ]

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

    def joined(self, found: list[Substitution]) -> list[Substitution]:
        """Makes one of the substitutions at several passes of one expression."""
        by_site: dict[int, Substitution] = {}
        for one in found:
            before = by_site.get(one.keys[0].site, Substitution((), ()))
            both = Substitution(before.keys + one.keys, before.due + one.due)
            by_site[one.keys[0].site] = both
        return list(by_site.values())

    def first(self, *, every: bool) -> Substitution | None:
        """Returns the first substitution that makes every leaf right, or else more of them.

        The values of whole statements are tried first, then the parts of the one that is found; if
        none is, the parts of all.
        """
        self.runs.count = 0
        ordered = sorted(self.values.pairs, key=self.is_shared)
        whole = [key for key in ordered if not self.is_part(key)]
        parts = [key for key in ordered if self.is_part(key)]
        for keys in (whole, parts):
            for tier in TIERS if every else ONE_OF_SEVERAL:
                if found := self.among(keys, tier, every=every):
                    site = found.keys[0].site
                    inside = [k for k in parts if site in self.runs.sites[k.site].parents]
                    first = self.among(inside, tier, every=every) if keys is whole else None
                    equals = Equals(self.runs, self.values, self.trials)
                    moved = equals.place(first or found, every=every)
                    return self.after(moved, tier, every=every) or moved
        return None

    def after(self, found: Substitution, tier: Tier, *, every: bool) -> Substitution | None:
        """Returns what repairs the first multiple of a known value after one that is right.

        `dh = dd * keep` lacks a factor; that factor at the line that computes `dd` would do, too.
        """
        (key, *more), pairs = found.keys, self.values.pairs
        kinds = {m.known.kind for m in self.values.meanings[key] if m.is_exact}
        before = list(pairs)[: self.values.order[key]]
        is_copy = any(equal(pairs[k].here, pairs[key].here) for k in before)
        if more or is_copy or not kinds & {"cotangent", "leaf"}:
            return None
        later = list(pairs)[self.values.order[key] + 1 :]
        assigned = (key for key in later if self.runs.sites[key.site].variable is not None)
        multiples = (key for key in assigned if self.values.meanings[key])
        wrong = [key for key in multiples if not self.values.is_right(key)]
        return self.among(wrong, tier, every=every)

    def among(self, keys: Sequence[Key], tier: Tier, *, every: bool) -> Substitution | None:
        """Returns the first of some values whose replacement repairs the candidate."""
        candidates = self.candidates(keys, tier, every=every)
        return next((one for one in candidates if self.trials.repairs(one, every=every)), None)

    def is_shared(self, key: Key) -> bool:
        """Returns True in a function that is called several times: its callers come first."""
        return (
            len(self.values.turns[key.site]) > 1 and loop_around(self.runs.sites[key.site]) is None
        )

    def is_part(self, key: Key) -> bool:
        """Returns True for the value of an expression inside another that has a value."""
        return any(parent in self.values.turns for parent in self.runs.sites[key.site].parents)

    # What may be put in the place of what

    def candidates(self, keys: Sequence[Key], tier: Tier, *, every: bool) -> Iterator[Substitution]:
        """Yields what may repair the candidate, in the order of execution."""
        for key in keys:
            turns = self.values.turns[key.site]
            assigned = self.runs.sites[key.site].variable is not None
            if self.values.role(key) not in tier.of or self.runs.count > MOST_RUNS:
                continue
            if "forward" in tier.of and self.runs.sites[key.site].is_variable:
                continue
            one_of_several = not every or self.trials.fixed
            if one_of_several and self.values.is_of_forward_pass(key):
                continue  # one of several wrong values must be wrong by itself
            if not self.trials.may_matter(self.values, key.site, every=every):
                continue
            if len(turns) > 1 and not tier.scaled:
                yield from (one for one in self.together(turns, tier) if self.begins(one) is key)
            for known in self.targets(key, every=every):
                if not tier.takes(known, assigned=assigned):
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
            yield from (k for k in self.misshapen if k.pair.here.shape != pair.here.shape)

    def together(self, turns: Sequence[Key], tier: Tier) -> Iterator[Substitution]:
        """Yields what may be due at all passes of one expression: a value in all iterations."""
        shapes = [self.values.pairs[key].here.shape for key in turns]
        for count in (len(turns), len(turns) - 1):  # the last pass may compute what nobody reads
            for members in self.families if count > 1 else ():
                if not tier.takes(members[0], assigned=False):
                    continue
                for start in range(len(members) - count + 1):
                    some = members[start : start + count]
                    for chosen in (some[::-1], some):  # a backward pass runs backwards
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

        An array that was filled element by element is computed from what it was filled with.
        One of several mistakes must be told from those before it: there, multiples are not right.
        """
        is_right = self.values.is_settled if every else self.values.is_right
        own, sites = self.runs.sites[key.site], self.runs.sites
        filled = filling(own) if isinstance(own.node, ast.Name) else None
        if filled is None:
            near = [site for site in sites if key.site in site.parents]
        else:
            near = [site for site in sites if site.statement is filled and site.text != own.text]
        inside = [s.number for s in near if isinstance(s.node, (ast.Name, ast.Subscript))]
        inside += [key.site] if filled is None and own.is_read else []
        turns = self.values.turns
        return all(is_right(k) for number in inside for k in turns.get(number, ()))


def _from_the_loss(known: Sequence[Known]) -> list[Known]:
    """Sorts known values of each kind in the order of the backward pass."""
    order = sorted(range(len(known)), key=lambda i: (RANK.index(known[i].kind), -i))
    return [known[i] for i in order]
