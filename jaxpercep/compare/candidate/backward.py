"""A candidate that is read when asked for: its values, what they are, and how to repair it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.candidate.annotated import AnnotatedBackward
from jaxpercep.compare.candidate.earlier import Earlier
from jaxpercep.compare.candidate.identify import Dictionary
from jaxpercep.compare.candidate.instrument import Site
from jaxpercep.compare.candidate.instrumented import Build
from jaxpercep.compare.candidate.known import Known, Pair
from jaxpercep.compare.candidate.listing import Lister, over_passes
from jaxpercep.compare.candidate.place import Search
from jaxpercep.compare.candidate.quantities import Program, Spot
from jaxpercep.compare.candidate.quiet import quietly
from jaxpercep.compare.candidate.reader import Reader, TangentReader
from jaxpercep.compare.candidate.repair import Repair
from jaxpercep.compare.candidate.runs import Runs, Target, drawn
from jaxpercep.compare.candidate.source import Home, UnreadableError, file_of
from jaxpercep.compare.candidate.structure import filling, holds, structural
from jaxpercep.compare.candidate.suggest import Suggester
from jaxpercep.compare.candidate.tangents import TangentProgram
from jaxpercep.compare.candidate.values import Substitution, Values
from jaxpercep.compare.evaluation.arbitration import Verdict
from jaxpercep.compare.evaluation.function import UNFIT
from jaxpercep.compare.evaluation.native import Native
from jaxpercep.compare.evaluation.reference import Evaluation
from jaxpercep.compare.evaluation.trees import largest
from jaxpercep.compare.explanation.blind_spots import BlindSpots, blind_spots
from jaxpercep.compare.explanation.messages import FactorNames
from jaxpercep.compare.program.jaxprs import NEEDS_NUMBERS, trace
from jaxpercep.compare.program.words import leaf_names, parameters

TIGHT = 1e-9  # relative: in float64 equal values are closer
LOOSEST = 1e-6  # although the rounding of a wrong candidate may be anything
SETS = 5  # of other arguments
UNTRACEABLE = "the function cannot be traced with abstract arguments"


class Forward(NamedTuple):
    """What a derivative in forward mode is of.

    Attributes:
        function: of the candidate's arguments; it returns the results that have tangents.
        tangents: the position of the tangent of each leaf of the arguments, among these leaves.
    """

    function: Callable[..., Sequence[Any]]
    tangents: Mapping[int, int]

    def program(self, native: Native, args: tuple[Any, ...]) -> TangentProgram:
        """Traces the function in float64; if it refuses that, or narrows, widens its graph.

        Raises:
            UnreadableError: It needs concrete arguments.
        """
        with suppress(*UNFIT):
            traced = trace(self.function, args)
            if traced.narrowest() == "float64":
                return TangentProgram(traced.graph(reverse=False), self.tangents)
        try:
            with jax.enable_x64(native.x64):
                traced = trace(self.function, native.sides.args)
        except NEEDS_NUMBERS as error:
            raise UnreadableError(UNTRACEABLE) from error
        return TangentProgram(traced.graph(widen=True, reverse=False), self.tangents)


@dataclass(frozen=True)
class Candidate:
    """A candidate as the caller has it.

    Attributes:
        build: of the user's functions.
        function: the user's function whose file, with its neighbours, is read.
        names: of the arguments.
        methods: of layers of the library that are read as well.
        forward: None for a gradient.
    """

    build: Build
    function: Callable[..., Any]
    names: tuple[str, ...]
    methods: tuple[Callable[..., Any], ...] = ()
    forward: Forward | None = None

    @property
    def home(self) -> Home:
        """Decides which files are read."""
        return Home(file_of(self.function), frozenset(map(file_of, self.methods)))

    @classmethod
    def of(
        cls, fun: Callable[..., Any], function: Callable[..., Any], args: Sequence[Any]
    ) -> "Candidate":
        """Describes a candidate that is one function of the same arguments as `fun`."""
        return cls(lambda follow: follow(function), function, parameters(fun, len(args)))


@dataclass(frozen=True, eq=False)
class Backward:
    """A candidate that is read when asked for.

    Attributes:
        candidate: as the caller has it.
        native: both sides in the caller's dtype.
        evaluation: both sides in float64.
        batch: the arguments that are not differentiated.
        verdict: on the two gradients.
    """

    candidate: Candidate
    native: Native
    evaluation: Evaluation
    batch: Sequence[Any]
    verdict: Verdict

    @cached_property
    def annotated(self) -> AnnotatedBackward:
        """The candidate line by line, or the reason why it cannot be read."""
        # The candidate is run one operation at a time anyway; the programs around it are compiled.
        with self.native.double_precision(), jax.disable_jit(False), quietly():
            try:
                return self.read()
            except UnreadableError as error:
                return AnnotatedBackward(self.verdict == "match", (), (), str(error))
            except Exception as error:  # whatever it is, the verdict must not be lost with it
                reason = f"reading it has failed, with {type(error).__name__}: {error}"
                return AnnotatedBackward(self.verdict == "match", (), (), reason)

    @cached_property
    def blind_spots(self) -> BlindSpots:
        """What the arguments could not have revealed."""
        names = leaf_names(self.candidate.names, self.native.sides.args)
        with self.native.double_precision():
            return blind_spots(self.evaluation, self.batch, names)

    def read(self) -> AnnotatedBackward:
        """Reads the candidate.

        Raises:
            UnreadableError: It cannot be read.
        """
        if self.verdict in ("autodiff_wrong", "both_wrong"):
            raise UnreadableError("autodiff, which would name its values, is wrong here itself")
        runs, dictionary = self.prepared()
        here, there = runs.record()
        values = Values.of(here, there, dictionary)
        names = FactorNames(self.batch)
        faults: list[Substitution] = []
        remark = None
        if self.verdict == "manual_wrong":
            faults = Search(runs, values, dictionary).faults()
            remark = structural(runs, values, dictionary, faults)
            faults = [] if remark else faults
        suggester = Suggester(runs, faults, values, dictionary.tolerance)
        suggestions = suggester.suggestions()
        if suggestions == [None] and (moved := Earlier(suggester).moved(faults[0])):
            faults, suggestions = [moved.fault], [moved.suggestion]
        repairs = [
            replace(
                described(fault, found.text if found else None, runs, values, dictionary, names),
                together=len(faults),
                of="gradient" if self.candidate.forward is None else "tangent",
            )
            for fault, found in zip(faults, suggestions, strict=True)
        ]
        listings = Lister(runs.sites, values, faults, names).listings()
        unread = tuple(runs.unread.items())
        return AnnotatedBackward(
            self.verdict == "match", listings, tuple(repairs), None, unread, remark
        )

    def prepared(self) -> tuple[Runs, Dictionary]:
        """Computes the known values, at the caller's arguments and at others."""
        evaluation = self.evaluation
        structure = jax.tree.structure(self.native.sides.args)
        args = jax.tree.unflatten(structure, evaluation.values)
        forward = self.candidate.forward
        moving = evaluation.leaves.positions if forward is None else tuple(forward.tangents)
        every = [args, *(drawn(args, moving, seed) for seed in range(SETS))]
        home = self.candidate.home
        known, right = self.known(every, home)
        eps = float(jnp.finfo(evaluation.formula).eps)
        tolerance = TIGHT if evaluation.formula == "float64" else eps**0.5
        sizes = [largest(leaf) for leaf in evaluation.autodiff]
        limits = [
            min(max(tolerance, floor / size if size else 0.0), max(tolerance, LOOSEST))
            for floor, size in zip(evaluation.floor, sizes, strict=True)
        ]
        target = Target(evaluation.leaves, right, limits, evaluation.candidate.frozen)
        is_traceable = self.native.sides.candidate.traced is not None
        proved = every[: len(right[0])]
        runs = Runs(self.candidate.build, home, proved, target, is_traceable)
        return runs, Dictionary.of(known, tolerance)

    def known(
        self, every: Sequence[tuple[Any, ...]], home: Home
    ) -> tuple[list[Known], list[list[np.ndarray]]]:
        """Returns the known values, and what is right for each leaf at all sets of arguments.

        Values are known at two sets. The others prove suggestions; they are left out if there is no
        right gradient at one of them, or if branches may be taken there that were not traced here.
        """
        positions, forward = self.evaluation.leaves.positions, self.candidate.forward
        if forward is not None:
            program: Program | TangentProgram = forward.program(self.native, every[0])
            spots = [Spot("output", 0, i) for i in range(len(positions))]
        elif self.evaluation.graph is not None:
            program = Program(self.evaluation.graph)
            spots = [Spot("input", 0, i) for i in positions]
        else:
            raise UnreadableError(UNTRACEABLE)
        branches = any(operation.kind == "cond" for operation in program.graph.walk())
        chosen = every[:2] if branches else every
        here, there, *more = (program.at(jax.tree.leaves(some)) for some in chosen)
        right = [[at.derivatives[spot] for at in (here, there, *more)] for spot in spots]
        if not all(np.isfinite(leaf).all() for leaves in right for leaf in leaves[2:]):
            right = [leaves[:2] for leaves in right]
        names = leaf_names(self.candidate.names, every[0])
        if isinstance(program, TangentProgram):
            reader: Reader = TangentReader(program, names, positions, home.file)
        else:
            reader = Reader(program, names, positions, home.file)
        return reader.known(here, there), right


def described(
    fault: Substitution,
    suggestion: str | None,
    runs: Runs,
    values: Values,
    dictionary: Dictionary,
    names: FactorNames,
) -> Repair:
    """Puts a repair into words."""
    site = runs.sites[fault.keys[0].site]
    found = [next(iter(values.meanings[key]), None) for key in fault.keys]
    due = [next(iter(dictionary.meanings(m.pair())), m) for m in fault.due]
    repair = Repair(
        source=site.place,
        expression=site.text,
        variable=site.variable,
        is_=over_passes([None if m is None else m.words(names) for m in found]),
        due=over_passes([meaning.words(names) for meaning in due]) or "",
        suggestion=suggestion,
        verified=True,
        missing=missing_term(fault, values, dictionary, names),
    )
    if suggestion or any(found) or is_cut(fault, runs, values):
        return repair
    return where_filled(repair, site)


def is_cut(fault: Substitution, runs: Runs, values: Values) -> bool:
    """Returns True if what is due is another part of the array that a part is read of."""
    (key, *_), due = fault.keys, fault.due[0].pair().here
    inside = (site.number for site in runs.sites if key.site in site.parents)
    keys = (k for number in inside for k in values.turns.get(number, ()))
    return any(holds(values.pairs[k].here, due) for k in keys)


def where_filled(repair: Repair, site: Site) -> Repair:
    """Names the statement that fills the array that is read, if it is filled by its elements."""
    filled = filling(site)
    if filled is None:
        return repair
    place = f"{site.place.rpartition(':')[0]}:{filled.lineno}"
    code, due = site.source.segment(filled), f"what fills `{site.text}` with {repair.due}"
    return replace(repair, source=place, expression=code, variable=None, due=due)


def missing_term(
    fault: Substitution, values: Values, dictionary: Dictionary, names: FactorNames
) -> str | None:
    """Names the term that a sum lacks: what one use of a value contributes to its gradient."""
    pair, due = values.pairs[fault.keys[0]], fault.due[0].pair()
    if pair.here.shape != due.here.shape or not pair.here.any():
        return None
    lacking = dictionary.meanings(Pair(due.here - pair.here, due.there - pair.there))
    if any(meaning.known is fault.due[0].known for meaning in values.meanings[fault.keys[0]]):
        return None  # a multiple of what is due
    uses = [meaning for meaning in lacking if meaning.known.is_gradient and meaning.is_exact]
    text = uses[0].words(names) if uses else None
    return None if text == fault.due[0].words(names) else text
