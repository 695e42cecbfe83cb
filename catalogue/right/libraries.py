"""Functions of libraries on PyPI, with their gradients derived in another way.

Run with optax 0.2.8, flax 0.12.8, equinox 0.13.8, diffrax 0.7.2, optimistix 0.1.0, lineax 0.1.1,
jaxopt 0.8.5, dm-haiku 0.0.17, distrax 0.1.9, rlax 0.1.9, numpyro 0.22.0, dm_pix 0.4.5,
interpax 0.3.16, and JAX 0.10.1. Libraries are imported when their functions are drawn.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

RNG = np.random.default_rng(29)
X = RNG.normal(size=(4, 3)).astype(np.float32)
Y = RNG.normal(size=(4, 3)).astype(np.float32)
P = np.asarray(jax.nn.softmax(RNG.normal(size=(4, 3)).astype(np.float32)))
LABELS = np.array([0, 2, 1, 1])
SIGNS = np.sign(Y)
V = X[0]
S = (np.eye(3) + 0.1 * X.T @ X).astype(np.float32)
IMAGE = RNG.uniform(0.1, 0.9, (5, 5, 3)).astype(np.float32)


class LibraryCase(NamedTuple):
    """A function of a library.

    Attributes:
        package: that is imported.
        name: of the function.
        build: the imported package -> a scalar function of `args`.
        args: the first is differentiated by.
        forward: True if it can be differentiated in forward mode, which is the candidate then.
        by_hand: a gradient written by hand, which is the candidate if given.
    """

    package: str
    name: str
    build: Callable[[Any], Callable[..., Any]]
    args: tuple[Any, ...] = (X, Y)
    forward: bool = True
    by_hand: Callable[..., Any] | None = None

    def candidate(self, fun: Callable[..., Any]) -> Callable[..., Any]:
        if self.by_hand is not None:
            return self.by_hand
        return jax.jit(jax.jacfwd(fun) if self.forward else jax.grad(fun))


def sums(get):
    """Sums what a function of the package returns."""
    return lambda package: lambda *args: jnp.sum(get(package)(*args))


def softmax_by_hand(z, y):
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True) * np.sum(y, axis=-1, keepdims=True) - y


def one_hot_softmax(z, y):
    return softmax_by_hand(np.asarray(z), np.eye(3)[y])


LOSSES = [
    LibraryCase(
        "optax",
        "squared_error",
        sums(lambda o: o.squared_error),
        (X, Y),
        True,
        lambda x, y: 2 * (x - y),
    ),
    LibraryCase("optax", "l2_loss", sums(lambda o: o.l2_loss), (X, Y), True, lambda x, y: x - y),
    LibraryCase(
        "optax",
        "huber_loss",
        sums(lambda o: o.huber_loss),
        (X, Y),
        True,
        lambda x, y: np.clip(x - y, -1, 1),
    ),
    LibraryCase(
        "optax", "log_cosh", sums(lambda o: o.log_cosh), (X, Y), True, lambda x, y: np.tanh(x - y)
    ),
    LibraryCase(
        "optax",
        "sigmoid_binary_cross_entropy",
        sums(lambda o: o.sigmoid_binary_cross_entropy),
        (X, P),
        True,
        lambda x, p: 1 / (1 + np.exp(-x)) - p,
    ),
    LibraryCase(
        "optax",
        "softmax_cross_entropy",
        sums(lambda o: o.softmax_cross_entropy),
        (X, P),
        True,
        softmax_by_hand,
    ),
    LibraryCase(
        "optax",
        "softmax_cross_entropy_with_integer_labels",
        sums(lambda o: o.softmax_cross_entropy_with_integer_labels),
        (X, LABELS),
        True,
        one_hot_softmax,
    ),
    LibraryCase(
        "optax",
        "hinge_loss",
        sums(lambda o: o.hinge_loss),
        (X, SIGNS),
        True,
        lambda x, y: np.where(1 - x * y > 0, -y, 0),
    ),
    LibraryCase("optax", "cosine_similarity", sums(lambda o: o.cosine_similarity)),
    LibraryCase(
        "optax",
        "kl_divergence",
        sums(lambda o: o.kl_divergence),
        (np.log(P), P),
        True,
        lambda _, p: -p,
    ),
    LibraryCase("optax", "sigmoid_focal_loss", sums(lambda o: o.sigmoid_focal_loss), (X, P)),
    LibraryCase(
        "optax", "poly_loss_cross_entropy", sums(lambda o: o.losses.poly_loss_cross_entropy), (X, P)
    ),
    LibraryCase(
        "optax",
        "smooth_labels",
        lambda o: lambda x, y: jnp.sum(o.softmax_cross_entropy(x, o.smooth_labels(y, 0.1))),
        (X, np.eye(3, dtype=np.float32)[LABELS]),
    ),
    LibraryCase(
        "optax",
        "ctc_loss",
        lambda o: (
            lambda x: jnp.sum(
                o.ctc_loss(x[None], jnp.zeros((1, 4)), jnp.array([[1, 2]]), jnp.zeros((1, 2)))
            )
        ),
        (X,),
    ),
    LibraryCase(
        "optax", "ranking_softmax_loss", sums(lambda o: o.losses.ranking_softmax_loss), (X, P)
    ),
]
LAYERS = [
    LibraryCase("jax.nn", name, sums(lambda nn, name=name: getattr(nn, name)), (X,))
    for name in ("gelu", "silu", "softplus", "celu", "mish", "log_sigmoid", "squareplus", "glu")
    if name != "glu"
] + [
    LibraryCase(
        "jax.nn",
        "gelu in bfloat16",
        lambda nn: lambda x: jnp.sum(nn.gelu(x)),
        (X.astype(jnp.bfloat16),),
    ),
    LibraryCase(
        "jax.nn",
        "dot_product_attention",
        lambda nn: lambda x: jnp.sum(nn.dot_product_attention(*3 * [x[None, :, None]]) ** 2),
        (X,),
    ),
    LibraryCase("jax.scipy.special", "gammaln", sums(lambda s: s.gammaln), (P,)),
    LibraryCase("jax.scipy.special", "i1e", sums(lambda s: s.i1e), (X,)),
    LibraryCase(
        "jax.scipy.special",
        "logsumexp",
        sums(lambda s: s.logsumexp),
        (X,),
        True,
        lambda x: np.exp(x) / np.sum(np.exp(x)),
    ),
    LibraryCase(
        "jax.scipy.stats", "t.logpdf", lambda s: lambda x: jnp.sum(s.t.logpdf(x, 3.0)), (X,)
    ),
    LibraryCase("jax.scipy.linalg", "expm", sums(lambda s: s.expm), (S,)),
    LibraryCase(
        "jax.scipy.linalg",
        "cho_solve",
        lambda s: lambda a: jnp.sum(s.cho_solve(s.cho_factor(a), jnp.ones(3))),
        (S,),
    ),
    LibraryCase(
        "jax.scipy.signal", "fftconvolve", lambda s: lambda x, y: jnp.sum(s.fftconvolve(x, y) ** 2)
    ),
    LibraryCase(
        "jax.scipy.ndimage",
        "map_coordinates",
        lambda s: lambda x: jnp.sum(s.map_coordinates(x, [jnp.array([0.3, 1.6])] * 2, 1)),
        (X,),
    ),
]
OTHERS = [
    LibraryCase(
        "equinox",
        "nn.GRUCell",
        lambda e: lambda x: jnp.sum(e.nn.GRUCell(3, 3, key=jax.random.key(0))(x, x)),
        (V,),
    ),
    LibraryCase(
        "equinox", "nn.LayerNorm", lambda e: lambda x: jnp.sum(e.nn.LayerNorm(3)(x) ** 3), (V,)
    ),
    LibraryCase(
        "equinox",
        "filter_jit",
        lambda e: e.filter_jit(lambda x: jnp.sum(jnp.sin(x))),
        (X,),
        True,
        np.cos,
    ),
    LibraryCase(
        "diffrax",
        "Heun",
        lambda d: (
            lambda y: jnp.sum(
                d.diffeqsolve(
                    d.ODETerm(lambda _t, y, _args: -y),
                    d.Heun(),
                    0.0,
                    1.0,
                    0.1,
                    y,
                    adjoint=d.DirectAdjoint(),
                    max_steps=16,
                ).ys
            )
        ),
        (V,),
    ),
    LibraryCase(
        "diffrax",
        "Tsit5",
        lambda d: (
            lambda y: jnp.sum(
                d.diffeqsolve(
                    d.ODETerm(lambda _t, y, _args: -jnp.sin(y)),
                    d.Tsit5(),
                    0.0,
                    1.0,
                    0.25,
                    y,
                    adjoint=d.ForwardMode(),
                ).ys
            )
        ),
        (V,),
    ),
    LibraryCase(
        "lineax",
        "linear_solve",
        lambda x: lambda a: jnp.sum(x.linear_solve(x.MatrixLinearOperator(a), jnp.ones(3)).value),
        (S,),
    ),
    LibraryCase(
        "optimistix",
        "Newton",
        lambda o: (
            lambda y: jnp.sum(
                o.root_find(lambda z, y: z**3 + z - y, o.Newton(1e-6, 1e-6), y, y).value
            )
        ),
        (V,),
    ),
    LibraryCase(
        "jaxopt",
        "projection_simplex",
        lambda j: lambda x: jnp.sum(j.projection.projection_simplex(x) ** 3),
        (V,),
        False,
    ),
    LibraryCase(
        "jaxopt",
        "binary_logreg",
        lambda j: lambda w: j.objective.binary_logreg(w, (X, jnp.array([0, 1, 1, 0]))),
        (V,),
    ),
    LibraryCase(
        "haiku",
        "Linear",
        lambda h: (
            lambda w: jnp.sum(
                jnp.tanh(
                    h.without_apply_rng(h.transform(lambda x: h.Linear(3)(x))).apply(
                        {"linear": {"w": w, "b": jnp.zeros(3)}}, X
                    )
                )
            )
        ),
        (S,),
        True,
        lambda w: X.T @ (1 - np.tanh(X @ w) ** 2),
    ),
    LibraryCase(
        "distrax",
        "Normal.log_prob",
        lambda d: lambda x: jnp.sum(d.Normal(x, 2.0).log_prob(0.5)),
        (X,),
        True,
        lambda x: (0.5 - x) / 4,
    ),
    LibraryCase(
        "distrax",
        "Categorical.entropy",
        lambda d: lambda x: jnp.sum(d.Categorical(logits=x).entropy()),
        (X,),
    ),
    LibraryCase(
        "rlax", "huber_loss", sums(lambda r: r.huber_loss), (X,), True, lambda x: np.clip(x, -1, 1)
    ),
    LibraryCase(
        "rlax", "softmax_entropy", lambda r: lambda x: jnp.sum(r.softmax().entropy(x)), (X,)
    ),
    LibraryCase(
        "numpyro.distributions",
        "Gamma.log_prob",
        lambda n: lambda x: jnp.sum(n.Gamma(jnp.exp(x), 2.0).log_prob(0.7)),
        (X,),
    ),
    LibraryCase(
        "numpyro.distributions",
        "Normal.sample",
        lambda n: lambda x: jnp.sum(n.Normal(x, 1).sample(jax.random.key(0)) ** 2),
        (X,),
    ),
    LibraryCase("dm_pix", "rgb_to_hsv", sums(lambda p: p.rgb_to_hsv), (IMAGE,)),
    LibraryCase(
        "dm_pix",
        "gaussian_blur",
        lambda p: lambda x: jnp.sum(p.gaussian_blur(x, 1.0, 3) ** 2),
        (IMAGE,),
    ),
    LibraryCase(
        "interpax",
        "interp1d",
        lambda i: (
            lambda y: jnp.sum(
                i.interp1d(jnp.array([0.2, 1.1]), jnp.arange(3.0), y, method="cubic") ** 2
            )
        ),
        (V,),
    ),
]
CASES = [*LOSSES, *LAYERS, *OTHERS]


def installed() -> Iterator[tuple[LibraryCase, Any]]:
    """Yields each case with its package, and says which packages are missing."""
    missing = set()
    for case in CASES:
        try:
            yield case, import_module(case.package)
        except ImportError:
            missing.add(case.package.partition(".")[0])
    if missing:
        print(
            f"not installed: {', '.join(sorted(missing))}; pip install -c constraints.txt", end=""
        )
        print(" equinox diffrax lineax optimistix jaxopt dm-haiku distrax rlax numpyro", end="")
        print(" dm_pix interpax")
