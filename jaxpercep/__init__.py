"""Perceptrons and multi-layer perceptrons in JAX, every layer with its hand-written pullback.

Read `layer.py` first, then `dense.py`, `compose.py` and `gradients.py`. The public names are listed
in `__init__.pyi` and imported when first used, so that `import jaxpercep` does not import JAX.
"""

import importlib.metadata
import sys
import types
import warnings
from typing import Any

import lazy_loader

_MISCOMPUTING_JAXLIB = {
    "0.10.2": "computes wrong numbers on CPU (jit of a vmapped product followed by a reduction)",
    "0.11.0": "can crash in the same fusions in which 0.10.2 computes wrong numbers on CPU",
}

_lazy_getattr, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    return _lazy_getattr(name)


class _Package(types.ModuleType):
    """Keeps `jaxpercep.perceptron` the public function although there is a module of that name.

    Python binds a submodule to its package when it is first imported; that one binding is left out.
    `from jaxpercep.perceptron import perceptron_rule` does not need it.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name == "perceptron" and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


def _warn_of_miscomputing_jaxlib() -> None:
    version = importlib.metadata.version("jaxlib")
    if version in _MISCOMPUTING_JAXLIB:
        warnings.warn(
            f"jaxlib {version} {_MISCOMPUTING_JAXLIB[version]}. Do not trust results; install "
            'another: pip install "jax!=0.10.2,!=0.11.0" "jaxlib!=0.10.2,!=0.11.0"',
            RuntimeWarning,
            stacklevel=3,
        )


sys.modules[__name__].__class__ = _Package
_warn_of_miscomputing_jaxlib()
