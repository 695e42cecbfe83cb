"""Flax and jaxpercep compute the same from the same parameters; a misfit is named."""

import re
import subprocess
import sys
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import ACTIVATIONS, FOREIGN, ROUNDING, assert_agree, draw_params, relative_error
from flax import linen as nn
from flax import nnx
from flax.core import freeze
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxpercep as jp
from jaxpercep.interop import from_linen, from_nnx, to_linen, to_nnx

BATCH, INPUTS, WIDTH = 5, 3, 4
EPSILON = 1e-6  # flax's default
KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def promotion_as_a_user_has_it():
    """The LayerNorm of flax adds numbers of different types."""
    with jax.numpy_dtype_promotion("standard"):
        yield


# Networks, each in jaxpercep and in flax


class LinenNetwork(nn.Module):
    """Any jaxpercep model as one compact module, with the names that linen gives."""

    model: jp.Layer

    @nn.compact
    def __call__(self, x):
        return self.run(self.model, x)

    def run(self, layer, x):
        match layer:
            case jp.Serial():
                for part in layer.layers:
                    x = self.run(part, x)
                return x
            case jp.Residual():
                return x + self.run(layer.layer, x)
            case jp.Repeat():
                return self.run(jp.Serial(*[layer.layer] * layer.times), x)
            case jp.Dense():
                return nn.Dense(layer.out_features, layer.use_bias)(x)
            case jp.LayerNorm():
                return nn.LayerNorm(layer.epsilon)(x)
        return layer.apply((), x)


class NNXNetwork(nnx.Module):
    """Any jaxpercep model in nnx: its layers with parameters, in the order of application."""

    def __init__(self, model):
        self.model = model
        rngs, layers = nnx.Rngs(0), []
        for layer in parametrized(model):
            if isinstance(layer, jp.Dense):
                sizes = layer.in_features, layer.out_features
                layers.append(nnx.Linear(*sizes, use_bias=layer.use_bias, rngs=rngs))
            else:
                layers.append(nnx.LayerNorm(layer.features, epsilon=layer.epsilon, rngs=rngs))
        self.layers = nnx.List(layers)

    def __call__(self, x):
        return self.run(self.model, x, iter(self.layers))

    def run(self, layer, x, layers):
        match layer:
            case jp.Serial():
                for part in layer.layers:
                    x = self.run(part, x, layers)
                return x
            case jp.Residual():
                return x + self.run(layer.layer, x, layers)
            case jp.Repeat():
                return self.run(jp.Serial(*[layer.layer] * layer.times), x, layers)
            case jp.Dense() | jp.LayerNorm():
                return next(layers)(x)
        return layer.apply((), x)


def parametrized(layer):
    """Yields the layers with parameters, as often as they are applied."""
    match layer:
        case jp.Serial():
            return [found for part in layer.layers for found in parametrized(part)]
        case jp.Residual():
            return parametrized(layer.layer)
        case jp.Repeat():
            return parametrized(layer.layer) * layer.times
        case jp.Dense() | jp.LayerNorm():
            return [layer]
    return []


class LinenNamed(nn.Module):
    """Names without numbers, whose alphabetical order is not that of application."""

    def setup(self):
        self.embed = nn.Dense(WIDTH)
        self.middle = nn.Dense(WIDTH)
        self.head = nn.Dense(WIDTH)

    def __call__(self, x):
        return self.head(nn.tanh(self.middle(nn.tanh(self.embed(x)))))


class LinenBlock(nn.Module):
    @nn.compact
    def __call__(self, x, _=None):
        return x + nn.silu(nn.Dense(WIDTH)(nn.LayerNorm()(x))), None


class LinenScan(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(WIDTH)(x)
        axes = {"variable_axes": {"params": 0}, "split_rngs": {"params": True}, "length": 3}
        x, _ = nn.scan(LinenBlock, **axes)()(x, None)
        return nn.Dense(2)(x)


class LinenBlocks(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(WIDTH)(x)
        for _ in range(3):
            x, _ = LinenBlock()(x)
        return nn.Dense(2)(nn.LayerNorm()(x))


class NNXNamed(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Linear(INPUTS, WIDTH, rngs=rngs)
        self.middle = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, deterministic=True, rngs=rngs)
        self.head = nnx.Linear(WIDTH, WIDTH, rngs=rngs)

    def __call__(self, x):
        x = nnx.tanh(self.middle(nnx.tanh(self.embed(x))))
        return self.head(self.dropout(x))


class NNXBlock(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.LayerNorm(WIDTH, rngs=rngs)
        self.linear = nnx.Linear(WIDTH, WIDTH, rngs=rngs)

    def __call__(self, x):
        return x + nnx.silu(self.linear(self.norm(x)))


class NNXScan(nnx.Module):
    def __init__(self, rngs):
        self.layer1 = nnx.Linear(INPUTS, WIDTH, rngs=rngs)
        keys = jax.random.split(rngs.params(), 3)
        self.blocks = nnx.vmap(lambda key: NNXBlock(nnx.Rngs(key)))(keys)
        self.layer2 = nnx.Linear(WIDTH, 2, rngs=rngs)

    def __call__(self, x):
        apply = nnx.scan(lambda x, block: block(x), in_axes=(nnx.Carry, 0), out_axes=nnx.Carry)
        return self.layer2(apply(self.layer1(x), self.blocks))


def nnx_sequential(rngs):
    return nnx.Sequential(
        nnx.Linear(INPUTS, WIDTH, use_bias=False, rngs=rngs),
        nnx.relu,
        nnx.LayerNorm(WIDTH, rngs=rngs),
        nnx.Linear(WIDTH, 2, rngs=rngs),
    )


DENSE = jp.Dense(WIDTH, WIDTH)
NORM = jp.LayerNorm(WIDTH, EPSILON)
FIRST, LAST = jp.Dense(INPUTS, WIDTH), jp.Dense(WIDTH, 2)
NAMED = jp.Serial(FIRST, jp.tanh, DENSE, jp.tanh, DENSE)
BLOCK = jp.Residual(jp.Serial(NORM, DENSE, jp.silu))
BLOCKS = jp.Serial(FIRST, jp.Repeat(BLOCK, 3), NORM, LAST)
SEQUENTIAL = jp.Serial(jp.Dense(INPUTS, WIDTH, use_bias=False), jp.relu, NORM, LAST)
DEEP = jp.mlp([INPUTS] + [WIDTH] * 12, jp.tanh)
BY_NAME = ["embed", "middle", "head"]
BLOCK_ORDER = ["Dense_0", "Block_0", "Block_1", "Block_2", "LayerNorm_0", "Dense_1"]

LINEN = {
    "dense": (jp.Dense(INPUTS, 2), nn.Dense(2), None),
    "compact, more than ten": (DEEP, LinenNetwork(DEEP), None),
    "compact, normalized": (SEQUENTIAL, LinenNetwork(SEQUENTIAL), None),
    "compact, repeated": (BLOCKS, LinenNetwork(BLOCKS), None),
    "sequential": (
        SEQUENTIAL,
        nn.Sequential(
            [nn.Dense(WIDTH, use_bias=False), nn.relu, nn.LayerNorm(), nn.Dense(2)],
        ),
        None,
    ),
    "named": (NAMED, LinenNamed(), BY_NAME),
    "scanned": (jp.Serial(*BLOCKS.layers[:2], LAST), LinenScan(), None),
    "blocks": (BLOCKS, LinenBlocks(), [re.sub("^Block", "LinenBlock", n) for n in BLOCK_ORDER]),
}
NNX = {
    "linear": (jp.Dense(INPUTS, 2), lambda rngs: nnx.Linear(INPUTS, 2, rngs=rngs), None),
    "list, more than ten": (DEEP, lambda _: NNXNetwork(DEEP), None),
    "list, repeated": (BLOCKS, lambda _: NNXNetwork(BLOCKS), None),
    "sequential": (SEQUENTIAL, nnx_sequential, None),
    "named": (NAMED, NNXNamed, BY_NAME),
    "scanned": (jp.Serial(*BLOCKS.layers[:2], LAST), NNXScan, None),
}


def inputs(dtype=np.float64):
    return jnp.asarray(np.random.default_rng(0).normal(size=(BATCH, INPUTS)), dtype)


def normal(tree, dtype):
    """Draws standard normal numbers in the same form: no bias is 0, no scale is 1."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), dtype), tree)


def linen_variables(module, dtype=np.float64):
    return normal(jax.eval_shape(module.init, KEY, inputs(np.float32)), dtype)


def nnx_module(build, dtype=np.float64):
    module = build(nnx.Rngs(0))
    nnx.update(module, normal(nnx.state(module, nnx.Param), dtype))
    return module


def nnx_apply(module):
    graph, parameters, others = nnx.split(module, nnx.Param, ...)
    return lambda parameters, x: nnx.merge(graph, parameters, others)(x), parameters


def assert_same_bits(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert (a.dtype, a.shape) == (e.dtype, e.shape)
        assert np.asarray(a).tobytes() == np.asarray(e).tobytes()


def assert_same_function(model, params, apply, flax_params, read, dtype=np.float64):
    """Asserts that outputs agree, and gradients: those of flax, read as parameters, and ours."""
    x = inputs(dtype)
    assert_agree(model.apply(params, x), apply(flax_params, x))
    gradient = jax.grad(lambda p: jnp.sum(jnp.sin(apply(p, x))))(flax_params)
    y, residuals = model.forward(params, x)
    by_hand, _ = model.backward(params, residuals, jnp.cos(y))
    assert_agree(by_hand, read(gradient))


# The same function, there and back


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("model", "module", "order"), LINEN.values(), ids=LINEN)
def test_linen_computes_the_same(model, module, order):
    variables = linen_variables(module)
    params = from_linen(model, variables, order=order)
    assert_same_bits(to_linen(model, params, variables, order=order), variables)

    def read(tree):
        return from_linen(model, tree, order=order)

    assert_same_function(model, params, module.apply, variables, read)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("model", "build", "order"), NNX.values(), ids=NNX)
def test_nnx_computes_the_same(model, build, order):
    module = nnx_module(build)
    params = from_nnx(model, module, order=order)
    apply, state = nnx_apply(module)
    assert_same_bits(to_nnx(model, params, module, order=order), state)
    assert_same_bits(from_nnx(model, state, order=order), params)

    def read(tree):
        return from_nnx(model, tree, order=order)

    assert_same_function(model, params, apply, state, read)


WIDTHS = st.integers(2, 3)


@st.composite
def architectures(draw):
    """Draws dense layers of few widths, so that shapes seldom tell them apart."""
    sizes = [INPUTS, *draw(st.lists(WIDTHS, min_size=1, max_size=3))]
    layers = []
    for n, m in pairwise(sizes):
        layers.append(jp.Dense(n, m, use_bias=draw(st.booleans())))
        square = jp.Serial(draw(st.sampled_from([jp.Dense(m, m), jp.LayerNorm(m)])), jp.tanh)
        combine = draw(st.sampled_from([None, jp.Residual, lambda layer: jp.Repeat(layer, 2)]))
        layers += [draw(st.sampled_from(ACTIVATIONS))] + ([combine(square)] if combine else [])
    return jp.Serial(*layers)


def rounding(model, params, x):
    """How far ulps move the outputs: far behind a norm of nearly equal features.

    Flax loses more digits there, for its variance is a difference: E[x^2] - E[x]^2.
    """
    rng = np.random.default_rng(0)

    def moved(leaf):
        return leaf * (1 + np.finfo(np.float64).eps * rng.choice([-1, 1], leaf.shape))

    expected = model.apply(params, x)
    runs = (model.apply(jax.tree.map(moved, params), moved(x)) for _ in range(4))
    return max(ROUNDING, 64 * max(relative_error(run, expected) for run in runs))


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@settings(deadline=None, max_examples=12, print_blob=True)
@given(model=architectures(), seed=st.integers(0, 2**32 - 1))
def test_any_architecture_goes_there_and_back(model, seed):
    params, x = draw_params(model, np.random.default_rng(seed)), inputs()
    linen = LinenNetwork(model)
    variables = to_linen(model, params, jax.eval_shape(linen.init, KEY, x))
    assert_same_bits(from_linen(model, variables), params)
    expected, tolerance = model.apply(params, x), rounding(model, params, x)
    assert_agree(linen.apply(variables, x), expected, tolerance)
    module = NNXNetwork(model)
    nnx.update(module, to_nnx(model, params, module))
    assert_same_bits(from_nnx(model, module), params)
    assert_agree(module(x), expected, tolerance)


@pytest.mark.usefixtures("x64")
def test_two_layers_exchanged_are_seen():
    """Checks a premise of the tests above: the outputs tell layers of one shape apart."""
    variables = linen_variables(LinenNamed())
    expected = LinenNamed().apply(variables, inputs())
    params = from_linen(NAMED, variables, order=BY_NAME)
    assert_agree(NAMED.apply(params, inputs()), expected)
    exchanged = from_linen(NAMED, variables, order=["embed", "head", "middle"])
    assert_same_bits(exchanged, (*params[:2], params[4], params[3], params[2]))
    with pytest.raises(AssertionError):
        assert_agree(NAMED.apply(exchanged, inputs()), expected)


# Bits and containers


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, np.float16])
def test_arrays_are_the_very_ones(dtype):
    variables = linen_variables(LinenNetwork(SEQUENTIAL), dtype)
    params = from_linen(SEQUENTIAL, variables)
    assert params[0].w is variables["params"]["Dense_0"]["kernel"]
    assert params[0].b is None
    assert params[2].scale is variables["params"]["LayerNorm_0"]["scale"]
    assert to_linen(SEQUENTIAL, params, variables)["params"]["Dense_1"]["bias"] is params[3].b
    module = nnx_module(nnx_sequential, dtype)
    assert from_nnx(SEQUENTIAL, module)[3].w is module.layers[3].kernel.get_value()


@pytest.mark.parametrize(("stacked", "layers"), [((2, 3), 1), ((3,), 2), ((), 6)])
def test_repeats_in_repeats_are_stacked_or_not(stacked, layers):
    rng = np.random.default_rng(0)
    kernels = [rng.normal(size=(*stacked, WIDTH, WIDTH)) for _ in range(layers)]
    tree = flat(*({"kernel": kernel} for kernel in kernels))
    inner = jp.Serial(jp.Repeat(jp.tanh, 2), jp.Dense(WIDTH, WIDTH, use_bias=False))
    model = jp.Repeat(jp.Repeat(inner, 3), 2)
    params = from_linen(model, tree)
    assert_same_bits(params[1].w, np.reshape(kernels, (2, 3, WIDTH, WIDTH)))
    assert_same_bits(to_linen(model, params, tree), tree)


def test_numpys_float64_stays_although_jax_would_narrow_it():
    model = jp.Repeat(DENSE, 3)
    template = jax.eval_shape(LinenNetwork(model).init, KEY, jnp.ones((1, WIDTH)))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), template)
    params = from_linen(model, variables)
    assert params.w.dtype == np.float64
    assert_same_bits(to_linen(model, params, template), variables)


def test_not_a_number_and_minus_zero_keep_their_bits():
    variables = {"kernel": jnp.array([[-0.0, jnp.nan]]), "bias": jnp.array([jnp.inf, -0.0])}
    model = jp.Repeat(jp.Dense(1, 2), 1)
    stacked = jax.tree.map(lambda leaf: leaf[None], variables)
    for form in (variables, stacked):
        assert_same_bits(to_linen(model, from_linen(model, form), form), form)


def test_containers_come_back_as_they_were():
    model, module, _ = LINEN["sequential"]
    variables = linen_variables(module, np.float32)
    params = from_linen(model, variables)
    for form in (variables["params"], freeze(variables), {**variables, "batch_stats": {}}):
        assert_same_bits(from_linen(model, form), params)
        back = to_linen(model, params, form)
        assert type(back) is type(form)
        assert_same_bits(back, form)


def test_what_goes_in_stays_as_it_is():
    module = nnx_module(nnx_sequential, np.float32)
    before = jax.tree.map(np.asarray, nnx.state(module))
    params = jax.tree.map(jnp.zeros_like, from_nnx(SEQUENTIAL, module))
    state = to_nnx(SEQUENTIAL, params, module)
    assert_same_bits(jax.tree.map(np.asarray, nnx.state(module)), before)
    assert all(isinstance(variable, nnx.Param) for _, variable in nnx.to_flat_state(state))
    nnx.update(module, state)
    assert not module.layers[0].kernel[...].any()


def test_works_under_jit():
    variables = linen_variables(LinenNetwork(BLOCKS), np.float32)
    there = jax.jit(lambda tree: from_linen(BLOCKS, tree))
    back = jax.jit(lambda params: to_linen(BLOCKS, params, variables))
    assert_same_bits(there(variables), from_linen(BLOCKS, variables))
    assert_same_bits(back(there(variables)), variables)


def test_layers_around_a_foreign_one_are_converted_apart():
    with pytest.raises(TypeError, match=r"layers\[0\]: AutodiffLayer\(.*parameters of a form of"):
        from_linen(jp.Serial(FOREIGN, DENSE), {"kernel": jnp.ones((3, 3))})


def test_an_epsilon_is_compared_where_it_is_known():
    module = nnx_module(nnx_sequential, np.float32)
    model = jp.Serial(*SEQUENTIAL.layers[:2], jp.LayerNorm(WIDTH), LAST)
    with pytest.raises(ValueError, match=r"would be LayerNorm\(4, epsilon=1e-06\)"):
        from_nnx(model, module)
    from_nnx(model, nnx.state(module))  # a state does not say


# Errors


def layer(n, m):
    return {"kernel": jnp.ones((n, m)), "bias": jnp.ones(m)}


def norm(n):
    return {"scale": jnp.ones(n), "bias": jnp.ones(n)}


def flat(*layers):
    return {f"layers_{i}": tree for i, tree in enumerate(layers)}


MODEL = jp.Serial(jp.Dense(2, 3), jp.relu, jp.LayerNorm(3), jp.Dense(3, 3))
FITS = {"Dense_0": layer(2, 3), "LayerNorm_0": norm(3), "Dense_1": layer(3, 3)}
MISFITS = {
    "too few": (
        {"Dense_0": layer(2, 3), "LayerNorm_0": norm(3)},
        r"layers\[3\]: Dense\(3, 3\) has kernel \[3, 3\], bias \[3\], but flax has no layer left "
        r"for it: all 2 are used\.",
    ),
    "too many": (
        FITS | {f"Dense_{i}": layer(3, 3) for i in range(2, 8)},
        r"no layer for 'Dense_2' with kernel \[3, 3\], bias \[3\]; .*; and 2 more\. 'Dense_2' "
        r"would be Dense\(3, 3\)\.",
    ),
    "shape": (
        FITS | {"Dense_1": layer(3, 5)},
        r"layers\[3\]: Dense\(3, 3\) has kernel \[3, 3\], bias \[3\], but next in flax is "
        r"'Dense_1' with kernel \[3, 5\], bias \[5\]\. 'Dense_1' would be Dense\(3, 5\)\.",
    ),
    "no bias": (
        FITS | {"Dense_0": {"kernel": jnp.ones((2, 3))}},
        r"layers\[0\]: Dense\(2, 3\) .*'Dense_0' would be Dense\(2, 3, use_bias=False\)\.",
    ),
    "no scale": (
        FITS | {"LayerNorm_0": {"bias": jnp.ones(3)}},
        r"layers\[2\]: LayerNorm\(3\) has scale \[3\], bias \[3\], .* 'LayerNorm_0' with bias "
        r"\[3\]\. .* give the one in flax both\.",
    ),
    "another kind": (
        flat(layer(2, 3), norm(3), norm(3)),
        r"layers\[3\]: Dense\(3, 3\) .*'layers_2' would be LayerNorm\(3, epsilon=1e-06\)\.",
    ),
    "another order": (
        flat(layer(2, 3), layer(3, 3), norm(3)),
        r"layers\[2\]: LayerNorm\(3\) .* next in flax is 'layers_1' with kernel",
    ),
    "stacked": (
        FITS | {"Dense_1": jax.tree.map(lambda leaf: jnp.stack([leaf] * 7), layer(3, 3))},
        r"'Dense_1' would be Repeat\(Dense\(3, 3\), 7\)\.",
    ),
    "many axes": (
        FITS | {"Dense_1": {"kernel": jnp.ones((3, 3, 3, 3)), "bias": jnp.ones(3)}},
        r"'Dense_1' is not a Dense: its kernel would have two axes\.",
    ),
    "ambiguous": (
        {"hidden": layer(2, 3), "norm": norm(3), "out": layer(2, 3)},
        r"layers\[0\]: Dense\(2, 3\) could be any of 'hidden' .*; 'out' .*Pass order=\[\.\.\.\]",
    ),
    "convolution": (
        FITS | {"Conv_0": {"kernel": jnp.ones((3, 3, 3)), "bias": jnp.ones(3)}},
        r"'Conv_0' \(flax\.linen\.Conv\) has no counterpart.*AutodiffLayer",
    ),
    "normalization": (
        FITS | {"inner": {"GroupNorm_0": norm(3)}},
        r"'inner/GroupNorm_0' \(flax\.linen\.GroupNorm\) has no counterpart",
    ),
    "embedding": (
        FITS | {"words": {"embedding": jnp.ones((9, 3))}},
        r"flax layer 'words' \(embedding \[9, 3\]\) has no counterpart",
    ),
    "parameters beside layers": (
        {"kernel": jnp.ones((2, 3)), **FITS},
        r"flax layer '\(root\)' \(kernel \[2, 3\]\) has no counterpart",
    ),
    "batch statistics": (
        {"params": FITS, "batch_stats": {"BatchNorm_0": {"mean": jnp.ones(3)}}},
        r"variables has batch_stats beside params: a layer with state \(BatchNorm, say\)",
    ),
    "nothing": ({}, r"layers\[0\]: Dense\(2, 3\) .* has no layer left for it: all 0 are used"),
}


@pytest.mark.parametrize(("variables", "message"), MISFITS.values(), ids=MISFITS)
def test_what_does_not_fit_is_named(variables, message):
    for call in (
        lambda: from_linen(MODEL, variables),
        lambda: to_linen(MODEL, MODEL.init(KEY), variables),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_nested_places_are_named():
    model = jp.Serial(jp.Repeat(jp.Residual(jp.Serial(DENSE, jp.Dense(4, 4))), 2))
    with pytest.raises(
        ValueError,
        match=re.escape("layers[0].layer (iteration 2 of 2).layer.layers[1]: Dense(4, 4) has"),
    ):
        from_linen(model, flat(*[layer(4, 4)] * 3))


def test_a_repeat_that_could_be_stacked_or_not_is_ambiguous():
    stacked = jax.tree.map(lambda leaf: leaf[None], layer(4, 4))
    with pytest.raises(ValueError, match=r"layers\[0\]: Repeat\(.*could be any of 'a' .*; 'b' "):
        from_linen(jp.Serial(jp.Repeat(DENSE, 1), DENSE), {"a": stacked, "b": layer(4, 4)})


def test_a_repeat_stacks_one_dtype():
    wide = {"kernel": jnp.ones((4, 4), jnp.bfloat16), "bias": jnp.ones(4)}
    with pytest.raises(TypeError, match=r"params\[1\]\.w: .*bfloat16 and float32"):
        from_linen(jp.Serial(jp.tanh, jp.Repeat(DENSE, 2)), flat(layer(4, 4), wide))


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        (["Dense_0", "norm", "Dense_1"], ValueError, r"has 'LayerNorm_0' 0 times, .*name all of"),
        (["Dense_0", "LayerNorm_0"], ValueError, r"has 'Dense_1' 0 times"),
        ([*FITS, "Dense_0"], ValueError, r"has 'Dense_0' 2 times, expected once"),
        ("Dense_0", TypeError, r"order='Dense_0': expected names, \["),
        ([0, 1, 2], TypeError, r"order=\[0, 1, 2\]: expected names"),
        (["Dense_1", "LayerNorm_0", "Dense_0"], ValueError, r"is 'Dense_1' .* be Dense\(3, 3\)\."),
    ],
)
def test_an_order_that_does_not_fit_is_named(order, error, message):
    with pytest.raises(error, match=message):
        from_linen(MODEL, FITS, order=order)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (nn.Dense(3), r"variables is a Dense, expected a result of module\.init\(key, x\)"),
        (None, r"variables is a NoneType"),
        ({"Dense_0": {"kernel": 1.0}}, r"Dense_0/kernel is a float, not an array"),
        ({"layers": [jnp.ones(3)]}, r"layers is a list, not an array"),
        (
            {"a": {"kernel": nn.Partitioned(jnp.ones((2, 3)), (None, None))}},
            r"a/kernel is a Partit",
        ),
    ],
)
def test_what_is_no_tree_of_arrays_is_refused(variables, message):
    with pytest.raises(TypeError, match=message):
        from_linen(MODEL, variables)


def test_params_of_another_model_are_refused():
    def convert(params):
        return to_linen(MODEL, params, FITS)

    params = MODEL.init(KEY)
    with pytest.raises(ValueError, match=r"params\[0\]\.b missing or unknown.*its init\(key\)"):
        convert((jp.DenseParams(params[0].w, None), *params[1:]))
    with pytest.raises(ValueError, match=r"a container missing or unknown"):
        convert(list(params))
    with pytest.raises(ValueError, match=r"params\[3\]\.w has shape \[3, 4\], expected \[3, 3\]"):
        convert((*params[:3], jp.Dense(3, 4).init(KEY)))
    with pytest.raises(TypeError, match="model=1 is not a layer"):
        from_linen(1, FITS)


class WithBatchNorm(nnx.Module):
    def __init__(self, rngs):
        self.linear = nnx.Linear(2, 3, rngs=rngs)
        self.norm = nnx.BatchNorm(3, rngs=rngs)


class WithItsOwn(nnx.Module):
    def __init__(self):
        self.temperature = nnx.Param(jnp.ones(()))


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (WithBatchNorm(nnx.Rngs(0)), ValueError, r"'norm' \(BatchNorm\) has no counterpart"),
        (nnx.state(WithBatchNorm(nnx.Rngs(0))), ValueError, r"'norm' \(mean is a BatchStat\)"),
        (nnx.Conv(2, 3, (3,), rngs=nnx.Rngs(0)), ValueError, r"'\(root\)' \(Conv\) has no"),
        (WithItsOwn(), ValueError, r"'\(root\)' \(WithItsOwn\) has no counterpart"),
        (
            nnx.Linear(2, 4, rngs=nnx.Rngs(0)),
            ValueError,
            r"^Dense\(2, 3\) .*'\(root\)' with kernel",
        ),
        (FITS, TypeError, r"source is a dict, expected an nnx\.Module or an nnx\.State"),
    ],
)
def test_nnx_names_what_does_not_fit(source, error, message):
    with pytest.raises(error, match=message):
        from_nnx(jp.Dense(2, 3), source)


def test_a_shared_layer_is_refused():
    shared = nnx.Linear(4, 4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"applies twice has no counterpart"):
        from_nnx(jp.Serial(DENSE, DENSE), nnx.Sequential(shared, shared))


def test_importing_jaxpercep_does_not_import_flax():
    code = (
        "import sys, jaxpercep\n"
        "jaxpercep.mlp([2, 2, 1])\n"
        "assert 'flax' not in sys.modules\n"
        "import jaxpercep.interop\n"
        "assert 'flax' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
