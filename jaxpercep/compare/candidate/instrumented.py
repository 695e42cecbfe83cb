"""A candidate made of instrumented functions, whose values are told to a recorder."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from jaxpercep.compare.candidate.instrument import Instrument
from jaxpercep.compare.candidate.record import Recorder
from jaxpercep.compare.candidate.source import Home
from jaxpercep.compare.candidate.twins import Twins
from jaxpercep.compare.candidate.variables import Variables

Follow: TypeAlias = Callable[[Any], Any]
"""Replaces one of the user's functions by a twin that reports its values."""

Build: TypeAlias = Callable[[Follow], Callable[..., Any]]
"""Builds the candidate, a function of the arguments, from the user's functions."""


def as_it_is(function: Any) -> Any:
    """Returns one of the user's functions unchanged, as a `Follow` for plain runs."""
    return function


@dataclass(eq=False)
class Instrumented:
    """A candidate that tells its values.

    Attributes:
        build: of the candidate.
        home: the user's files.
        instrument: numbers the expressions.
        unread: functions that could not be read, with the reason.
    """

    build: Build
    home: Home
    instrument: Instrument = field(default_factory=Instrument)
    unread: dict[str, str] = field(default_factory=dict)
    recorder: Recorder = field(default_factory=Recorder)

    def __post_init__(self) -> None:
        self.twins = Twins(self.home, self.instrument, self.tell, self.unread)
        self.candidate = self.build(self.twins.root)

    def run(self, recorder: Recorder, *args: Any) -> Any:
        """Runs the candidate; the recorder is told every value."""
        self.recorder = recorder
        return self.candidate(*args)

    def tell(self, number: int, value: Any) -> Any:
        """Returns what the candidate goes on with; it has called this itself."""
        if callable(value):
            return self.twins.of(value)
        if number == self.recorder.watched:
            return self.recorder.tell(number, value, Variables.of(sys._getframe(1)))
        return self.recorder.tell(number, value)
