"""Perceptrons and multi-layer perceptrons in JAX, every layer with its hand-written pullback.

Read `layer.py` first, then `dense.py`, `compose.py` and `gradients.py`. The public names are listed
in `__init__.pyi` and imported when first used, so that `import jaxpercep` does not import JAX.
"""

import importlib.metadata
import warnings

import lazy_loader

_MISCOMPUTING_JAXLIB = {
    "0.10.2": "computes wrong numbers on CPU (jit of a vmapped product followed by a reduction)",
    "0.11.0": "can crash in the same fusions in which 0.10.2 computes wrong numbers on CPU",
}

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


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
