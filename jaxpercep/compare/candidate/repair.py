"""A repair: the value that is wrong, what it should be, and the proof that this mends the rest."""

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Repair:
    """One wrong value of a candidate, and what it should be.

    Attributes:
        source: `"file.py:104"`, in the candidate.
        expression: its text there.
        variable: that it is assigned to, or None.
        is_: what the value is, in words, or None if it is nothing known.
        due: what it should be, in words.
        suggestion: code in the candidate's own variables that computes the due value, or None.
        verified: True if the candidate was run again with the due value in place, and every leaf
            then matched.
        missing: the term that the value lacks, in words, or None.
        together: the number of repairs that are needed at once.
        of: what is right with them all.
    """

    source: str
    expression: str
    variable: str | None
    is_: str | None
    due: str
    suggestion: str | None
    verified: bool
    missing: str | None = None
    together: int = 1
    of: Literal["gradient", "tangent"] = "gradient"

    @property
    def code(self) -> str:
        """The statement, where it assigns the wrong value to a variable; else the expression."""
        if self.variable is None:
            return self.expression
        augmented = re.match(rf"{re.escape(self.variable)} \S?\S?\S=", self.expression)
        return self.expression if augmented else f"{self.variable} = {self.expression}"

    def __str__(self) -> str:
        """Returns the sentence that leads a report."""
        text = f"{self.source}: `{self.code}` should be {self.due}"
        if self.missing:
            verb = "are" if self.missing.startswith("the parts") else "is"
            text += f": {self.missing} {verb} missing"
        proof = " (verified)" if self.verified else ""
        new = f"`{self.suggestion}`" if self.suggestion else "that value"
        others = {1: "", 2: " and the other repair"}.get(self.together, " and the other repairs")
        return f"{text}; with {new}{others} every {self.of} is right{proof}."
