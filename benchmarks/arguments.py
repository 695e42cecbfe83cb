"""The arguments of `python -m benchmarks`, and the errors in them that need no measuring.

Nothing here imports JAX, so that `--help` and wrong arguments are answered without it.
"""

import re
import shlex
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, TypeAlias

import tyro

from benchmarks.results import RESULTS, check_replaceable, unfinished

PROGRAM = "python -m benchmarks"
HOW_FAR = tyro.conf.create_mutex_group(required=False)
Flag: TypeAlias = Annotated[bool, tyro.conf.FlagCreatePairsOff]
optional = partial(tyro.conf.arg, help_behavior_hint="")


class UsageError(ValueError):
    """Arguments that cannot work, alone or together: exit code 2."""


@dataclass(frozen=True)
class Run:
    """Measure how fast CPU training is: jaxpercep beside every peer that is installed.

    Takes under 20 minutes on 2 cores, --quick under 3, --full under 60; what does not fit is listed
    as skipped. Ctrl-C keeps what is done, and --resume continues from there.

    To see what a change has made slower: python -m benchmarks compare --against REV

    Attributes:
        quick: 5 cells, for a first impression
        full: every power of two, and fine grids
        name: of the folder for the results, in --out; by default quick, default or full
        resume: continue the run of this name that was interrupted
        methods: only these; by default all that are installed
        time_limit: seconds that the run may take
        out: the folder that holds the folders of results
        seed: of the data, the first weights, the order of samples, and the bootstrap
    """

    quick: Annotated[Flag, HOW_FAR] = False
    full: Annotated[Flag, HOW_FAR] = False
    name: Annotated[str | None, optional(metavar="NAME")] = None
    resume: Flag = False
    methods: Annotated[tuple[str, ...], optional(metavar="METHOD ...")] = ()
    time_limit: Annotated[float | None, optional(metavar="SECONDS")] = None
    out: Path = Path("benchmarks/results")
    seed: int = 0

    @property
    def profile(self) -> str:
        """Name of the profile."""
        return "quick" if self.quick else "full" if self.full else "default"

    @property
    def folder(self) -> Path:
        """Folder of the results."""
        return self.out / (self.name or self.profile)

    def words(self) -> str:
        """Returns the command that makes this run, without the folders of this machine."""
        words = [*PROGRAM.split(), *(["--" + self.profile] if self.profile != "default" else [])]
        for name in ("name", "time_limit", "seed"):
            if value := getattr(self, name):
                words += ["--" + name.replace("_", "-"), str(value)]
        return shlex.join([*words, *(["--methods", *self.methods] if self.methods else [])])

    def check(self) -> None:
        """Raises a `UsageError` for arguments that cannot work, before anything is measured."""
        if self.name is not None and not re.fullmatch(r"[\w-][\w.+-]*", self.name):
            raise UsageError(f"--name {self.name!r}: expected letters, digits, '.', '-' and '_'.")
        if self.time_limit is not None and not self.time_limit > 0:
            raise UsageError(f"--time-limit {self.time_limit}: expected above 0 seconds.")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"--seed {self.seed}: expected at least 0 and below 2**32.")
        check_methods(self.methods)
        self._check_folders()

    def _check_folders(self) -> None:
        there = unfinished(self.folder)
        try:
            check_replaceable(self.folder)
            check_replaceable(there)
        except (OSError, ValueError) as error:
            raise UsageError(str(error)) from error
        if self.resume and not (there / RESULTS).exists():
            raise UsageError(f"--resume: there is no run to continue at {there}.")
        if not self.resume and (there / RESULTS).exists():
            raise UsageError(
                f"{there} holds a run that was interrupted: continue it with --resume, remove it, "
                "or choose another --name."
            )


@dataclass(frozen=True)
class Compare:
    """Say what has become slower or faster: in this checkout, or from one run to another.

    --against is the way to ask whether a change made something slower: it takes minutes, and runs
    both sides in turn. Between two stored runs the machine drifts as well.

    Exit codes: 0, nothing has become slower; 1, something has; 2, there is no answer.

    Attributes:
        old: results.json of a run, or its folder
        new: the same of the later run
        against: instead of two runs, the old side: a commit, a checkout, or a Python environment
        methods: only these of jaxpercep's, with --against
        cells: only those whose names contain one of these, with --against, such as 'xor 2-2-1'
        threshold: the least relative change that counts
    """

    old: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="OLD")] = None
    new: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="NEW")] = None
    against: Annotated[str | None, optional(metavar="SIDE")] = None
    methods: Annotated[tuple[str, ...], optional(metavar="METHOD ...")] = ()
    cells: Annotated[tuple[str, ...], optional(metavar="CELL ...")] = ()
    threshold: float = 0.05

    def check(self) -> None:
        """Raises a `UsageError` for arguments that cannot work, before anything is read or run."""
        if not 0 <= self.threshold < 1:
            raise UsageError(f"--threshold {self.threshold}: expected at least 0 and below 1.")
        if self.against is None:
            self._check_runs()
        elif self.old or self.new:
            raise UsageError("--against runs this checkout: expected no OLD and NEW beside it.")
        else:
            check_methods(self.methods)

    def _check_runs(self) -> None:
        if self.methods or self.cells:
            raise UsageError("--methods and --cells choose what --against runs: expected that too.")
        for name, path in (("OLD", self.old), ("NEW", self.new)):
            if path is None:
                raise UsageError(f"{name} is missing: expected OLD and NEW, or --against SIDE.")
            if not path.exists():
                raise UsageError(f"{name}={str(path)!r}: there is no such file or folder.")

    def files(self) -> tuple[Path, Path]:
        """Returns the two files of results."""
        old, new = (p / RESULTS if p.is_dir() else p for p in (self.old, self.new) if p)
        return old, new


def check_methods(methods: tuple[str, ...]) -> None:
    """Raises a `UsageError` for a name that is no method's."""
    from benchmarks.peers import METHODS
    from jaxpercep._checks import nearest_name

    names = [method.name for method in METHODS]
    for name in methods:
        if name not in names:
            raise UsageError(
                f"--methods {name!r}: expected one of {', '.join(names)}."
                f"{nearest_name(name, names)}"
            )
