"""Networks of flax and scikit-learn, to and from jaxpercep, bit for bit.

flax: `from_linen(model, variables)` and `from_nnx(model, module)` return the parameters of `model`,
the same network in jaxpercep; `to_linen(model, params, variables)` and `to_nnx(model, params,
module)` go back. Every array has exactly one counterpart: nothing is made up, dropped or converted,
and a layer that does not fit is refused by name. `flax_layers` finds the order in which flax
applies its layers, `matching` the counterparts, and `transfer` moves the arrays.

Only parameters are compared. Activations, a LayerNorm's epsilon in linen (1e-6 there by default,
1e-5 here) and compute types leave no trace in them: compare the outputs once.

scikit-learn: `from_sklearn(estimator)` returns the model of a fitted MLPClassifier or MLPRegressor
with its parameters, and `to_sklearn(model, params)` a fitted estimator.
"""

from jaxpercep.interop.linen import from_linen, to_linen
from jaxpercep.interop.nnx import from_nnx, to_nnx
from jaxpercep.interop.scikit_learn import from_sklearn, to_sklearn

__all__ = ["from_linen", "from_nnx", "from_sklearn", "to_linen", "to_nnx", "to_sklearn"]
