"""The commands' arguments, and the checks that need no file.

Nothing here imports JAX, so that `--help` and wrong arguments are answered without it.
"""

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import tyro

from jaxpercep._files import writing
from jaxpercep.commands.folder import check_checkpoints, check_replaceable
from jaxpercep.commands.paths import DATA

ActivationName: TypeAlias = Literal[
    "elu",
    "gelu",
    "identity",
    "leaky_relu",
    "relu",
    "sigmoid",
    "silu",
    "softplus",
    "step",
    "tanh",
]
LossName: TypeAlias = Literal["auto", "softmax", "binary", "squared"]
OptimizerName: TypeAlias = Literal["sgd", "momentum", "adam", "adamw"]
ScheduleName: TypeAlias = Literal["constant", "linear", "cosine", "exponential"]
MethodName: TypeAlias = Literal["autodiff", "manual"]

DATASETS = ("and", "circles", "digits", "moons", "nand", "nor", "or", "spirals", "xnor", "xor")
PARITY = re.compile(r"parity-([0-9]{1,9})")
PREDICTION = b"prediction"  # how every file of predictions begins
SWEEP = ("sweep.csv", "learned.png", "losses.png")  # the files of a sweep
MAX_PARITY_BITS = 20  # as of jaxpercep.datasets, which takes NumPy to import

Data: TypeAlias = Annotated[tyro.conf.Positional[str], DATA]
Rates: TypeAlias = Annotated[tuple[float, ...], tyro.conf.arg(metavar="[RATE ...]")]
Target: TypeAlias = Annotated[
    int | str | None,
    tyro.conf.arg(metavar="COLUMN", help_behavior_hint="(default: the last)"),
]
Columns: TypeAlias = Annotated[
    tuple[int | str, ...],
    tyro.conf.arg(metavar="[COLUMN ...]", help_behavior_hint="(default: none)"),
]


class UsageError(ValueError):
    """Arguments, or files that they name, that cannot work, alone or together: exit code 2."""


@contextmanager
def inputs() -> Generator[None]:
    """Turns the error of a file that cannot be read, or used, into a `UsageError`."""
    try:
        yield
    except writing.WriteError:  # of a scratch file
        raise
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(sentence(error)) from error
    except MemoryError as error:
        raise UsageError(f"there is not enough memory: {error or 'none is left'}.") from error


def sentence(error: Exception) -> str:
    """Returns the message; that of the operating system without its number."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


@dataclass(frozen=True)
class Tour:
    """Run the experiments of the tour, and write a report with its pictures.

    Attributes:
        out: folder for the report
    """

    out: Path = Path("out/tour")


@dataclass(frozen=True)
class Train:
    """Train a multi-layer perceptron, measure it, and save it.

    DATA is and, or, nand, nor, xor, xnor, parity-N, moons, circles, spirals or digits; or the path
    of a table (a CSV, Parquet or NPY file), an NPZ file with the arrays x and y, or a folder of
    MNIST's four IDX files.

    Whole numbers, text and one-hot rows are class labels, other numbers are values to predict.
    Features and values from files are standardized. A feature that is text becomes one of 0 and 1
    for each of its categories.

    Attributes:
        data: a dataset's name or a path
        target: the column of a table to predict, by name or index
        drop: columns of a table to leave out, by name or index
        missing: what becomes of a cell of a table that is empty, NA, NaN or ?; mean fills it
            with the mean of training, of a category its share
        class_weight: balanced weighs each sample by samples / (classes * samples of its class)
        hidden: neurons of each hidden layer; without a number the model is linear
        activation: function of the hidden neurons
        loss: softmax for class labels, binary for targets 0 and 1, squared for values (whole
            numbers too); auto chooses
        optimizer: how gradients become updates; momentum is sgd with momentum 0.9
        learning_rate: step size of the optimizer
        schedule: how the learning rate falls until the end: linear and cosine to 0, exponential to
            a hundredth
        warmup_epochs: passes over which the learning rate first rises to its full size
        batch_size: samples in each update; with --stream 256 by default
        epochs: passes over the training samples
        method: gradients by jax.grad, or by the layers' own chain rule
        seed: of the parameters, the order of samples, the held-out part and drawn datasets
        test_fraction: share of the samples to hold out for testing; 0 holds out nothing
        out: folder for the model; one that an earlier run saved is replaced
        checkpoints: write a checkpoint to the folder every minute, and at the end, for --resume
        resume: go on from the checkpoints in the folder, with the arguments that wrote them (more
            --epochs train on), and write more
        stream: train from disk, batch by batch, on a table that may be larger than memory; scratch
            files beside --out take up to twice its size as float32
    """

    data: Data
    target: Target = None
    drop: Columns = ()
    missing: Literal["refuse", "mean"] = "refuse"
    class_weight: Literal["none", "balanced"] = "none"
    hidden: Annotated[tuple[int, ...], tyro.conf.arg(metavar="[N ...]")] = (30, 20)
    activation: ActivationName = "relu"
    loss: LossName = "auto"
    optimizer: OptimizerName = "adam"
    learning_rate: float = 0.01
    schedule: ScheduleName = "constant"
    warmup_epochs: int = 0
    batch_size: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")
    ] = None
    epochs: int = 500
    method: MethodName = "autodiff"
    seed: int = 0
    test_fraction: float = 0.2
    out: Path = Path("out/train")
    checkpoints: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    stream: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False

    def check(self) -> None:
        """Raises a `UsageError` for arguments that cannot work, before any file is read."""
        missing = None if self.missing == "refuse" else self.missing
        check_data(self.data, target=self.target, drop=self.drop, missing=missing)
        self._check_stream()
        _check_out(check_replaceable, self.out)
        with inputs():
            check_checkpoints(self.out, self.resume)
        _check_activation(self.activation)
        warm = f"at least 0 and below --epochs {self.epochs}"
        _check_options(
            self,
            ("hidden", all(size >= 1 for size in self.hidden), "sizes of at least 1"),
            ("learning_rate", _is_rate(self.learning_rate), "a float32 number above 0"),
            ("batch_size", self.batch_size is None or self.batch_size >= 1, "at least 1"),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("warmup_epochs", 0 <= self.warmup_epochs < self.epochs, warm),
            ("seed", 0 <= self.seed < 2**32, "at least 0 and below 2**32"),
            ("test_fraction", 0 <= self.test_fraction < 1, "at least 0 and below 1"),
        )

    def _check_stream(self) -> None:
        """Raises a `UsageError` for --stream with what is not a table."""
        if self.stream and (is_dataset(self.data) or Path(self.data).is_dir()):
            raise UsageError(
                f"--stream: DATA={self.data!r} is not a table, which it takes; leave it out."
            )


@dataclass(frozen=True)
class Sweep:
    """Count how often a network learns, over hidden width and learning rate.

    DATA is what train takes, with classes or a column of zeros and ones to learn. A network learns
    if it gets every sample right, or as many as --accuracy says, after the last step.

    Writes a table as CSV, a map of the shares that learned, and the final losses of the smallest
    network, with the losses of its local minima. Every width and learning rate starts from the same
    random keys. Ctrl-C keeps the networks that are done.

    Attributes:
        data: a dataset's name or a path
        target: the column of a table to predict, by name or index
        drop: columns of a table to leave out, by name or index
        hidden: hidden widths to try
        layers: hidden layers, each of that width
        learning_rates: learning rates to try
        networks: networks for each width and learning rate
        steps: updates of each network, on all samples
        activation: function of the hidden neurons
        optimizer: how gradients become updates; momentum is sgd with momentum 0.9
        accuracy: share of the samples that a network has to get right
        seed: of the parameters and of drawn datasets
        out: folder for the results; those of an earlier sweep are replaced
    """

    data: Data
    target: Target = None
    drop: Columns = ()
    hidden: Annotated[tuple[int, ...], tyro.conf.arg(metavar="[N ...]")] = (2, 3, 4, 8)
    layers: int = 1
    learning_rates: Rates = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    networks: int = 1000
    steps: int = 2000
    activation: ActivationName = "tanh"
    optimizer: OptimizerName = "sgd"
    accuracy: float = 1.0
    seed: int = 0
    out: Path = Path("out/sweep")

    def check(self) -> None:
        """Raises a `UsageError` for arguments that cannot work, before any file is read."""
        check_data(self.data, target=self.target, drop=self.drop)
        _check_out(self.check_replaceable, self.out)
        _check_activation(self.activation)
        rates, most = self.learning_rates, 10**6
        are_rates = bool(rates) and all(map(_is_rate, rates))
        _check_options(
            self,
            ("hidden", min(self.hidden, default=0) >= 1, "one size or more, of at least 1"),
            ("layers", 1 <= self.layers <= 1000, "at least 1 and at most 1000"),
            ("learning_rates", are_rates, "float32 numbers above 0, at least one"),
            ("networks", 1 <= self.networks <= most, f"at least 1 and at most {most}"),
            ("steps", 1 <= self.steps < 2**31, "at least 1 and below 2**31"),
            ("accuracy", 0 < self.accuracy <= 1, "above 0 and at most 1"),
            ("seed", 0 <= self.seed < 2**32, "at least 0 and below 2**32"),
        )

    @staticmethod
    def check_replaceable(out: Path) -> None:
        """Raises a `ValueError` unless a sweep may be written to `out` without losing anything."""
        writing.check_replaceable(out, "sweep", SWEEP[0], SWEEP)


@dataclass(frozen=True)
class Predict:
    """Predict with a saved model, as CSV.

    Classes come with their probability. Where DATA has the targets, the model's metrics on them go
    to standard error. A file is predicted wholly; of a dataset by name, and of a folder of IDX
    files, the part that training did not see, where there is one. Columns are matched by the names
    in the headers of the two tables; without names, by position.

    Attributes:
        model: a folder that train saved
        data: a dataset's name or a path, as for train
        target: the column of a table that holds the targets, if it is not that of training
        out: CSV file to write; predictions that are there are replaced
        force: replace any other file at --out too, but never one that is read
    """

    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    data: Data
    target: Annotated[
        int | str | None,
        tyro.conf.arg(metavar="COLUMN", help_behavior_hint="(default: as in training)"),
    ] = None
    out: Annotated[
        Path | None,
        tyro.conf.arg(metavar="PATH", help_behavior_hint="(default: standard output)"),
    ] = None
    force: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False

    def check(self) -> None:
        """Raises a `UsageError` for arguments that cannot work, before any file is read."""
        check_data(self.data, target=self.target)
        if not self.model.is_dir():
            raise UsageError(f"MODEL={str(self.model)!r}: there is no such folder.")
        if self.out is not None and self.out.exists():
            self._check_replaceable(self.out)

    def _check_replaceable(self, out: Path) -> None:
        """Raises a `UsageError` unless the file may be lost: never one that is read."""
        if not out.is_file():
            raise UsageError(f"--out {out}: exists and is not a regular file.")
        target, read = out.resolve(), (Path(self.data).resolve(), self.model.resolve())
        if target in read or any(folder in target.parents for folder in read):
            raise UsageError(f"--out {out} is an input of this command; choose another file.")
        with out.open("rb") as file:
            written_here = file.read(len(PREDICTION)) == PREDICTION
        if not written_here and not self.force:
            raise UsageError(
                f"--out {out} exists, and predict did not write it; choose another file, or add "
                "--force to replace it."
            )


@dataclass(frozen=True)
class Compare:
    """Compare a hand-written gradient with jax.grad, and name the mistake.

    FILE.py defines loss(params, *batch), example() returning the tuple (params, *batch), and one of
    grads(params, *batch), the gradient by params, and step(params, *batch), new params after one
    step of gradient descent with the number learning_rate.

    Exit codes: 0, the two match; 1, one of them is wrong; 2, undecided, or FILE.py is unusable.

    Attributes:
        file: the Python file; it is run
        json: print the report as JSON
        no_source: leave out the lines of grads or step, with what each value on them is
    """

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE.py")]
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    no_source: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False

    def check(self) -> None:
        """Raises a `UsageError` for arguments that cannot work, before the file is read."""
        expected = "expected the path of a Python file"
        if not self.file.exists():
            raise UsageError(f"{self.file}: there is no such file: {expected}.")
        if self.file.is_dir():
            raise UsageError(f"{self.file}: is a folder: {expected} in it.")
        if self.file.suffix != ".py":
            raise UsageError(
                f"{self.file}: is not a .py file: {expected}. Rename it if it contains Python."
            )


def is_dataset(data: str) -> bool:
    """Returns True if DATA is the name of a dataset."""
    return data.lower() in DATASETS or PARITY.fullmatch(data.lower()) is not None


def check_data(data: str, **columns: object) -> None:
    """Raises a `UsageError` unless DATA is a dataset's name or an existing path.

    Args:
        data: DATA.
        **columns: the options about columns, which only a table has; None or () if not given.
    """
    path = Path(data)
    parity = PARITY.fullmatch(data.lower())
    if parity is not None and not 1 <= int(parity[1]) <= MAX_PARITY_BITS:
        raise UsageError(f"DATA={data!r}: expected parity-1 to parity-{MAX_PARITY_BITS}.")
    if not is_dataset(data) and not path.exists():
        from jaxpercep._checks import nearest_name

        raise UsageError(
            f"DATA={data!r} is not a dataset, and there is no file or folder {path.absolute()}."
            f"{nearest_name(data.lower(), DATASETS)} Datasets: {', '.join(DATASETS)}, parity-N."
        )
    for name, value in columns.items():
        if value not in (None, ()) and (is_dataset(data) or path.is_dir() or path.suffix == ".npz"):
            raise UsageError(
                f"--{name} {_words(value)}: DATA={data!r} is not a table, so it has no columns."
            )


def _check_out(check: Callable[[Path], None], out: Path) -> None:
    try:
        check(out)
    except ValueError as error:
        raise UsageError(f"--out {error}") from error


def _check_activation(name: ActivationName) -> None:
    if name == "step":
        raise UsageError(
            "--activation step: its derivative is 0 everywhere, so gradients train nothing "
            "before it. A single threshold neuron is trained by jaxpercep.perceptron_rule; for "
            "a network choose another activation."
        )


def _check_options(command: Any, *options: tuple[str, bool, str]) -> None:
    """Raises a `UsageError` for the first option, of (name, fits, what is expected), not to fit."""
    for name, fits, expected in options:
        if not fits:
            came = _words(getattr(command, name))
            raise UsageError(f"--{name.replace('_', '-')} {came}: expected {expected}.")


def _words(value: object) -> str:
    """Returns the value of an option as it is typed."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _is_rate(rate: float) -> bool:
    return 1e-45 < rate < 2**128
