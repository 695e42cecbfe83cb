"""Perceptrons and multi-layer perceptrons in JAX, every layer with its hand-written pullback.

Read `layer.py` first, then `dense.py`, `compose.py` and `gradients.py`. The public names are listed
in `__init__.pyi` and imported when first used, so that `import jaxpercep` does not import JAX.
"""

import difflib
import importlib.metadata
import warnings
from typing import Any

import lazy_loader

_MISCOMPUTING_JAXLIB = {
    "0.10.2": "computes wrong numbers on CPU (jit of a vmapped product followed by a reduction)",
    "0.11.0": "can crash in the same fusions in which 0.10.2 computes wrong numbers on CPU",
}

_CALLED_ELSEWHERE = {
    "BCELoss": "BinaryCrossEntropy",
    "BCEWithLogitsLoss": "BinaryCrossEntropy",
    "CrossEntropyLoss": "SoftmaxCrossEntropy",
    "Linear": "Dense",
    "MSELoss": "SquaredError",
    "Sequential": "Serial",
}

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in __all__:
        return _public(name)
    known = {public.lower(): public for public in __all__}
    near = difflib.get_close_matches(name.lower(), known, n=1)
    meant = _CALLED_ELSEWHERE.get(name) or (known[near[0]] if near else None)
    hint = f" Did you mean {meant!r}?" if meant else ""
    raise AttributeError(f"jaxpercep has no attribute {name!r}.{hint}")


def _warn_of_miscomputing_jaxlib() -> None:
    version = importlib.metadata.version("jaxlib")
    if version in _MISCOMPUTING_JAXLIB:
        warnings.warn(
            f"jaxlib {version} {_MISCOMPUTING_JAXLIB[version]}. Do not trust results; install "
            'another: pip install "jax!=0.10.2,!=0.11.0" "jaxlib!=0.10.2,!=0.11.0"',
            RuntimeWarning,
            stacklevel=3,
        )


_warn_of_miscomputing_jaxlib()
