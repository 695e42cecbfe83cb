"""Training by L-BFGS: SciPy's, which scikit-learn uses too, with the manual gradient."""

import warnings
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy import optimize
from sklearn.exceptions import ConvergenceWarning

from jaxpercep._networks import unlayered
from jaxpercep.estimators.program import Rule, objective
from jaxpercep.estimators.samples import Data, rounded

if TYPE_CHECKING:
    from jaxpercep.estimators.base import BaseMLP


def minimize(mlp: "BaseMLP", data: Data) -> None:
    """Minimizes the loss in all samples: sets `coefs_`, `intercepts_`, `loss_` and `n_iter_`."""
    model, params = mlp._network()
    rule, dtype = Rule(model, *mlp._loss()), data.x.dtype
    table, alpha = data.table(rounded(len(data.x))), np.asarray(mlp.alpha, dtype)

    def at(flat: Any) -> tuple[float, Any]:
        value, gradient = objective(rule, params, flat.astype(dtype), alpha, table)
        return float(value), np.asarray(gradient, np.float64)

    start, restored = ravel_pytree(params)
    options = {"maxfun": mlp.max_fun, "maxiter": mlp.max_iter, "gtol": mlp.tol}
    found = optimize.minimize(
        at, np.asarray(start, np.float64), method="L-BFGS-B", jac=True, options=options
    )
    mlp.n_iter_, mlp.loss_ = min(found.nit, mlp.max_iter), float(found.fun)
    if mlp.verbose:
        print(f"L-BFGS: {found.nit} iterations, loss = {mlp.loss_:.8f}")
    if found.status:
        message = f"L-BFGS did not converge: {found.message}. Raise max_iter, or scale X."
        warnings.warn(message, ConvergenceWarning, stacklevel=4)
    mlp.coefs_, mlp.intercepts_ = unlayered(restored(jnp.asarray(found.x, dtype)))
