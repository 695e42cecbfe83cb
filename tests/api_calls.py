"""The calls of `test_api_fuzz.py`: what is public, what to give it, what is wrong with an answer.

Functions, classes, layers and losses are found by themselves, their parameters by the signatures,
and what to give a parameter in the table of `api_values.py`.
"""

import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from api_values import MODEL, SGD, TABLE, Of, Values

import jaxpercep as jp
from jaxpercep.activations import Activation

PACKAGE = Path(jp.__file__).parent
RECORDS = {  # what functions return or take apart: named fields without checks of their own
    "AnnotatedBackward",
    "BlindSpots",
    "DenseParams",
    "Diagnosis",
    "Elementwise",
    "GradientReport",
    "History",
    "Inseparable",
    "Layer",
    "LayerNormParams",
    "Loss",
    "PerceptronResult",
    "Population",
    "Repair",
    "Separable",
    "TrainState",
}
FOREIGN = ("has no attribute", "truth value", "unhashable", "Cannot interpret", "abstract array")


@dataclass(frozen=True)
class Subject:
    """Something to call, and the scopes in which its parameters are looked up."""

    name: str
    call: Callable[..., Any]
    scopes: tuple[str, ...]
    own: Callable[[], dict[str, Any]] = dict  # arguments that are not the table's

    def parameters(self) -> dict[str, inspect.Parameter]:
        return dict(inspect.signature(self.call).parameters)

    def values(self, name: str, values: dict[str, Values]) -> Values:
        """Looks a parameter up in the table."""
        keys = [*(f"{scope}.{name}" for scope in self.scopes), name]
        found = next((values[key] for key in keys if key in values), None)
        assert found is not None, f"{self.name}: no values for the parameter {name!r}; add them"
        return found

    def arguments(self, values: dict[str, Values]) -> dict[str, Any]:
        """Returns the arguments of the base call."""
        own = self.own()
        return {
            name: own[name] if name in own else self.values(name, values).good[0]
            for name in self.parameters()
        }

    def __call__(self, arguments: dict[str, Any]) -> Any:
        positional, keywords = [], {}
        for name, parameter in self.parameters().items():
            match parameter.kind:
                case parameter.VAR_POSITIONAL:
                    positional.extend(arguments[name])
                case parameter.VAR_KEYWORD:
                    keywords.update(arguments[name])
                case parameter.KEYWORD_ONLY:
                    keywords[name] = arguments[name]
                case _:
                    positional.append(arguments[name])
        return self.call(*positional, **keywords)


# What is public


def _public(module: ModuleType) -> list[str]:
    """Returns the names in `__all__` or, without one, those defined here without an underscore."""
    own = [name for name, value in vars(module).items() if _is_own(value, module)]
    return getattr(module, "__all__", [name for name in own if not name.startswith("_")])


def _is_own(value: Any, module: ModuleType) -> bool:
    return getattr(value, "__module__", "") == module.__name__


def functions() -> Iterator[Subject]:
    found = {name: getattr(jp, name) for name in jp.__all__}
    for module in [value for value in found.values() if inspect.ismodule(value)]:
        found |= {name: getattr(module, name) for name in _public(module)}
    for name, value in found.items():
        if inspect.isfunction(value):
            yield Subject(name, value, (name, name.replace("assert_", "compare_")))


def classes() -> dict[str, type]:
    named = {name: getattr(jp, name) for name in jp.__all__}
    return {
        name: value
        for name, value in named.items()
        if inspect.isclass(value) and name not in RECORDS
    }


def built() -> dict[str, Any]:
    """Returns the activations, and a layer or loss of every class, made by its base call."""
    named = {name: getattr(jp, name) for name in jp.__all__}
    made = {name: value for name, value in named.items() if isinstance(value, Activation)}
    for name, kind in classes().items():
        subject = Subject(name, kind, (name,))
        made[name] = subject(subject.arguments(TABLE))
    return made


def methods() -> Iterator[Subject]:
    for name, thing in built().items():
        own = cache(partial(layer_arguments if hasattr(thing, "init") else loss_arguments, thing))
        for method in ("init", "apply", "forward", "backward"):
            if inspect.isfunction(getattr(type(thing), method, None)):
                scopes = (type(thing).__name__, "layer")
                yield Subject(f"{name}.{method}", getattr(thing, method), scopes, own)


def layer_arguments(layer: Any) -> dict[str, Any]:
    params = layer.init(jax.random.key(0))
    y, residuals = layer.forward(params, TABLE["layer.x"].good[0])
    return {"params": params, "residuals": residuals, "dy": jnp.ones_like(y)}


def loss_arguments(loss: Any) -> dict[str, Any]:
    return {"residuals": loss.forward(TABLE["prediction"].good[0], TABLE["target"].good[0])[1]}


def returned() -> Iterator[Subject]:
    """Yields what functions return to be called."""
    for method in ("autodiff", "manual"):
        gradient = jp.value_and_grad(MODEL, jp.SquaredError(), method)
        yield Subject(f"value_and_grad(..., {method!r})()", gradient, ())
        step = jp.make_step(MODEL, jp.SquaredError(), SGD, method).__call__
        yield Subject(f"make_step(..., {method!r})()", step, ("step",))
    yield Subject("with_manual_backward()()", jp.with_manual_backward(MODEL), ())


constructors = (Subject(name, kind, (name,)) for name, kind in classes().items())
SUBJECTS = {s.name: s for s in (*functions(), *constructors, *methods(), *returned())}


# Calls


def variations(subject: Subject, values: dict[str, Values]) -> Iterator[tuple[str, Any, bool]]:
    """Yields (parameter, value, whether it is good)."""
    base = subject.arguments(values)
    for name in subject.parameters():
        good, bad, _ = subject.values(name, values)
        if name in subject.own():  # the table's are of another layer
            good = [base[name], *(value for value in good if isinstance(value, Of))]
        for value, is_good in [*((v, True) for v in good), *((v, False) for v in bad)]:
            yield name, value.make(base[name]) if isinstance(value, Of) else value, is_good


def fault(subject: Subject, name: str, value: Any, is_good: bool, values: Any) -> str | None:
    """Makes a call, and returns what is wrong with the answer."""
    arguments = subject.arguments(values) | {name: value}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            subject(arguments)
    except (TypeError, ValueError) as error:
        if is_good:
            return f"a good value was refused: {type(error).__name__}: {error}"
        return fault_of_message(error, value, (name, *subject.values(name, values).named))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None if is_good else "a bad value was accepted"


def faults(
    subject: Subject, calls: list[tuple[str, Any, bool]], values: dict[str, Values]
) -> list[str]:
    """Makes calls, and returns what is wrong with their answers."""
    found = []
    for name, value, is_good in calls:
        if wrong := fault(subject, name, value, is_good, values):
            given = repr(value).replace("\n", " ")[:80]
            found.append(f"{subject.name}({name}={given}): {wrong}")
    return found


def fault_of_message(error: Exception, value: Any, names: tuple[str, ...]) -> str | None:
    """Returns what an error message lacks."""
    message, trace = str(error), error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    origin = Path(trace.tb_frame.f_code.co_filename) if trace else Path()
    lacks = {
        f"was raised in {origin}": origin.is_relative_to(PACKAGE),
        f"does not name {' or '.join(names)}": re.search(rf"\b({'|'.join(names)})\b", message),
        "does not say what came": any(text in message for text in renderings(value)),
        "is another library's": not any(text in message for text in FOREIGN),
        "is too short": len(message.split()) > 3,
    }
    faults = [what for what, holds in lacks.items() if not holds]
    return f"the message {' and '.join(faults)}: {message[:300]}" if faults else None


def renderings(value: Any) -> Iterator[str]:
    """Yields the ways in which a message may show a value, or a part of it."""
    yield from (type(value).__name__, " ".join(repr(value).split())[:60], f"{value}"[:60])
    if isinstance(value, np.ma.MaskedArray):
        yield "masked"
    if isinstance(value, int | float) or getattr(value, "shape", None) == ():
        yield from ("[]", "()")
    if isinstance(value, np.ndarray | jax.Array):
        yield from (str(value.dtype), str(list(value.shape)), str(value.shape), str(value.size))
    if isinstance(getattr(value, "dtype", None), np.dtype):
        if value.dtype.kind == "i":
            yield "int32"  # as JAX holds it
        if value.dtype.kind == "f" and np.isnan(value).any():
            yield "NaN"
        if value.dtype.kind in "iuf" and value.size < 20:
            yield from (f" {number:g}" for number in np.ravel(value).tolist())
    elif isinstance(value, dict):
        for part in value.items():
            yield from renderings(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from renderings(part)
