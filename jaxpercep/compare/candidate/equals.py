"""Decides between several places at which the same replacement repairs a candidate.

A value that is right is never the place: of values that are equal and right, it is the last one
that must be replaced; of those that are wrong, the one that is computed first.
"""

from dataclasses import dataclass

from jaxpercep.compare.candidate.runs import Runs
from jaxpercep.compare.candidate.trials import Trials, equal
from jaxpercep.compare.candidate.values import Substitution, Values
from jaxpercep.compare.candidate.variables import Key


@dataclass(frozen=True, eq=False)
class Equals:
    """Moves a substitution to the place of the mistake.

    Attributes:
        runs: of the candidate.
        values: that it computes.
        trials: of substitutions.
    """

    runs: Runs
    values: Values
    trials: Trials

    def place(self, found: Substitution, *, every: bool) -> Substitution:
        """Returns the same replacement where the mistake was made."""
        return self.computed(self.first_wrong(self.last_alias(found, every), every), every)

    def computed(self, found: Substitution, every: bool) -> Substitution:
        """Returns where a wrong value was computed that is read at the place found."""
        (key, *more), pairs = found.keys, self.values.pairs
        if more or not self.is_read(key) or self.values.is_settled(key):
            return found
        same = (k for k in pairs if not self.is_read(k) and equal(pairs[k].here, pairs[key].here))
        moved = (Substitution((k,), found.due) for k in same)
        return next((one for one in moved if self.trials.repairs(one, every=every)), found)

    def first_wrong(self, found: Substitution, every: bool) -> Substitution:
        """Returns the first wrong value that may as well be replaced, where what is found is right.

        `dh = dc - dc.mean()` is right for a right `dc`, and for the `dh` that is due in its place.
        """
        if len(found.keys) > 1 or not self.is_cotangent(found.keys[0]):
            return found
        later = list(self.values.pairs)[self.values.order[found.keys[0]] + 1 :]
        wrong = (k for k in later if self.is_assigned(k) and not self.values.is_settled(k))
        same = (Substitution((key,), found.due) for key in wrong)
        return next((one for one in same if self.trials.repairs(one, every=every)), found)

    def is_cotangent(self, key: Key) -> bool:
        """Returns True for a right cotangent."""
        return any(m.is_exact and m.known.is_gradient for m in self.values.meanings[key])

    def last_alias(self, found: Substitution, every: bool) -> Substitution:
        """Returns the last of the equal values whose replacement repairs as much."""
        if any(self.values.role(key) == "forward" for key in found.keys):
            return found
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
        new, old = (self.runs.sites[one[0].site] for one in (keys, best.keys))
        later &= not new.is_read or old.is_read or new.function == old.function
        return (
            later
            and len(keys) == len(found.keys)
            and all(
                equal(pairs[a].here, pairs[b].here) for a, b in zip(keys, found.keys, strict=True)
            )
        )

    def is_read(self, key: Key) -> bool:
        """Returns True for a variable that is read in the middle of a statement."""
        return self.runs.sites[key.site].is_read

    def is_assigned(self, key: Key) -> bool:
        """Returns True if a value is all that a statement assigns."""
        return self.runs.sites[key.site].variable is not None
