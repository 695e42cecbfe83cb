"""Implements `jaxpercep compare`: runs the file, checks its definitions, and compares."""

import copy
import json
import math
import sys
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager, redirect_stdout
from importlib.machinery import PathFinder
from numbers import Real
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.commands.arguments import Compare, UsageError
from jaxpercep.compare import GradientReport, compare_gradients, compare_updates

_WRONG = ("manual_wrong", "autodiff_wrong", "both_wrong", "compiler_wrong")


def compare(arguments: Compare) -> int:
    """Compares the gradients of a file and prints the report; returns the exit code.

    Output of the file goes to standard error, so that standard output holds the report alone.

    Raises:
        UsageError: The file cannot be used.
    """
    with redirect_stdout(sys.stderr), _imported(arguments.file) as module:
        report = _report(arguments.file, module)
        text = _json(report, arguments) if arguments.json else _text(report, arguments)
    print(text, flush=True)
    return 0 if report.verdict == "match" else 1 if report.verdict in _WRONG else 2


def _text(report: GradientReport, arguments: Compare) -> str:
    """Returns the report, followed by the source line by line."""
    if arguments.no_source:
        return str(report)
    return f"{report}\n\n{report.annotated.listing()}"


def _json(report: GradientReport, arguments: Compare) -> str:
    """Returns the report as JSON, with the source line by line."""
    data = report.to_dict()
    if not arguments.no_source:
        data["backward"] = report.annotated.to_dict()
    return json.dumps(data, indent=2, allow_nan=False)


def _report(file: Path, module: ModuleType) -> GradientReport:
    """Compares the file's definitions once each of them is known to run."""
    loss, example = _function(file, module, "loss"), _function(file, module, "example")
    name = _candidate_name(file, module)
    candidate = _function(file, module, name)
    rate = _learning_rate(file, module) if name == "step" else None

    with _blamed(file, "example() must return the tuple (params, *batch)"):
        args = example()
    _check_example(file, args)
    params, *batch = args

    def objective(params: Any) -> Any:
        return loss(params, *batch)

    with _blamed(file, "loss(*example()) must return a scalar, under jax.grad too"):
        value, _ = jax.vjp(objective, params)
    _check_value(file, value)
    with _blamed(file, f"{name}(*example()) must return without an error"):
        result = candidate(*copy.deepcopy(args))  # it may write into its arguments
    if rate is not None:
        _check_new_params(file, params, result)

    with _blamed(file, f"loss and {name} must run in float64 too", always=False):
        if rate is None:
            return compare_gradients(loss, candidate, *args)
        return compare_updates(loss, candidate, *args, learning_rate=rate)


# Running the file.


@contextmanager
def _imported(file: Path) -> Generator[ModuleType]:
    """Runs the file as a module, with its folder on the path as for `python FILE.py`.

    Nothing else imports the module by its name. Afterwards the module and its neighbours are
    forgotten, since the next file may have others of the same names.
    """
    code = _compiled(file)
    module = ModuleType(f"compared_{file.stem}")
    module.__file__ = str(file.absolute())
    folder, path, known = str(file.absolute().parent), sys.path[:], _top_level_modules()
    sys.path.insert(0, folder)
    sys.modules[module.__name__] = module
    try:
        with _blamed(file, "importing the file must not raise"):
            exec(code, vars(module))
        yield module
    finally:
        sys.path[:] = path
        new = _top_level_modules() - known
        forgotten = {name for name in new if PathFinder.find_spec(name, [folder])}
        for name in [n for n in sys.modules if n.partition(".")[0] in forgotten]:
            del sys.modules[name]
        sys.modules.pop(module.__name__, None)


def _compiled(file: Path) -> CodeType:
    try:
        return compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
    except OSError as error:
        raise UsageError(
            f"{file}: cannot be read ({error.strerror}): expected a Python file. Make it readable."
        ) from error
    except SyntaxError as error:
        place = f"{file}:{error.lineno}" if error.lineno else str(file)
        raise UsageError(
            f"{place}: expected Python in UTF-8. Fix the SyntaxError: {error.msg}"
        ) from error
    except ValueError as error:  # a byte that is not UTF-8, beside another mistake
        raise UsageError(
            f"{file}: expected Python in UTF-8, but {error}. Save it as that."
        ) from error
    except (MemoryError, RecursionError) as error:  # Python has no better words for it
        raise UsageError(
            f"{file}: expressions are nested too deeply to compile. Divide them into several."
        ) from error


def _top_level_modules() -> set[str]:
    return {name.partition(".")[0] for name in sys.modules}


@contextmanager
def _blamed(file: Path, expected: str, *, always: bool = True) -> Generator[None]:
    """Turns errors of the file's own code into a `UsageError` that names the line.

    With always=False, an error that no line of the file has caused is a bug of ours, and is raised
    unchanged.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too, whose code would be taken for a verdict
        frames = traceback.walk_tb(error.__traceback__)
        lines = [line for frame, line in frames if frame.f_code.co_filename == str(file)]
        if not lines and not always:
            raise
        place, cause = (f"{file}:{lines[-1]}", "this line, which") if lines else (file, "what")
        came = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise UsageError(f"{place}: {expected}. Fix {cause} raised {came}") from error


# The file's definitions and their results.


def _function(file: Path, module: ModuleType, name: str) -> Callable[..., Any]:
    fix = f"Define {name}({'' if name == 'example' else 'params, *batch'})."
    if not hasattr(module, name):
        raise UsageError(
            f"{file}: has no {name}: expected loss, example, and one of grads and step. {fix}"
        )
    function = getattr(module, name)
    if not callable(function):
        raise UsageError(f"{file}: {name} is {_described(function)}: expected a function. {fix}")
    return function


def _candidate_name(file: Path, module: ModuleType) -> str:
    match [name for name in ("grads", "step") if hasattr(module, name)]:
        case [name]:
            return name
        case []:
            came, fix = "neither grads nor step", "Define grads(params, *batch), the gradient."
        case _:
            came, fix = "both grads and step", "Remove one, or compare them in two files."
    raise UsageError(f"{file}: has {came}: expected one of them. {fix}")


def _learning_rate(file: Path, module: ModuleType) -> float:
    fix = "Set it to the one that step uses, learning_rate = 0.5 for instance."
    if not hasattr(module, "learning_rate"):
        raise UsageError(f"{file}: has step and no learning_rate: expected both. {fix}")
    rate = module.learning_rate
    if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 < float(rate) < math.inf:
        raise UsageError(f"{file}: learning_rate={rate!r}: expected a finite number above 0. {fix}")
    return float(rate)


def _check_example(file: Path, args: Any) -> None:
    if type(args) is not tuple or not args:  # a NamedTuple is params without a tuple around them
        came = "()" if type(args) is tuple else _described(args)
        raise UsageError(
            f"{file}: example() returned {came}: expected the tuple (params, *batch). Return "
            "(params, x, y), for instance, or (params,) where there is no batch."
        )
    leaves = jax.tree.leaves_with_path(args[0])
    wrong = [(path, leaf) for path, leaf in leaves if not _is_floating(leaf)]
    if not leaves or wrong:
        where = jax.tree_util.keystr(wrong[0][0]) if wrong else ""
        came = f"is {_described(wrong[0][1])}" if wrong else "holds no array"
        raise UsageError(
            f"{file}: params{where}, from example(), {came}: expected floating-point arrays to "
            "differentiate by. Return them first, and everything else after them."
        )


def _check_value(file: Path, value: Any) -> None:
    if not _is_floating(value) or np.shape(value) != ():
        raise UsageError(
            f"{file}: loss(*example()) returned {_described(value)}: expected a floating-point "
            "scalar. Return a mean or a sum, for instance."
        )


def _check_new_params(file: Path, params: Any, new: Any) -> None:
    expected, came = _shapes(params), _shapes(new)
    for path in (*expected, *came):
        if expected.get(path) != came.get(path):
            raise UsageError(
                f"{file}: step(*example()) returned {came.get(path, 'nothing')} at params{path}: "
                f"expected {expected.get(path, 'nothing')}. Return the new params, in their "
                "structure and shapes."
            )


def _shapes(tree: Any) -> dict[str, str]:
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"shape {list(np.shape(leaf))}" for path, leaf in leaves}


def _is_floating(leaf: Any) -> bool:
    return isinstance(leaf, jax.typing.ArrayLike) and jnp.issubdtype(
        jnp.result_type(leaf), jnp.floating
    )


def _described(value: Any) -> str:
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return f"{value.dtype}{list(value.shape)}"
    return f"a value of type {type(value).__name__}"
