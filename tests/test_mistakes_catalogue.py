"""The catalogue of mistakes is sound: each mistake is wrong, and in the way it claims."""

import ast
import importlib
import inspect
import pkgutil
import re
from collections import Counter
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from catalogue import networks
from catalogue.mistakes import MISTAKES
from catalogue.mistakes.forward import VOCABULARY, stop
from catalogue.mistakes.mistake import rewritten
from catalogue.networks.network import line_of
from jaxpercep import compare_gradients

pytestmark = pytest.mark.corpus

SEEN_FROM_A_LEAF = {
    "scaled": 4,
    "sign_flipped": 2,
    "transposed": 2,
    "swapped": 2,
    "zero": 2,
    "not_finite": 2,
    "not_reduced": 2,
    "wrong_axis": 2,
    "structure": 2,
    "weight_decay": 2,
}
OF_THE_FLOW = {
    "missing_derivative": 4,
    "derivative_at_output": 4,
    "function_for_derivative": 2,
    "output_formula_at_input": 2,
    "wrong_orientation": 2,
    "dropped_path": 4,
    "index_overwritten": 2,
    "stale_weights": 2,
}
AT_LEAST = SEEN_FROM_A_LEAF | OF_THE_FLOW | {"unexplained": 12}
ROUNDING = 1e-9  # generous for float64
VISIBLE = 1e-6
MODULES = [
    importlib.import_module(f"{networks.__name__}.{module.name}")
    for module in pkgutil.iter_modules(networks.__path__)
]


def by_cause(*causes):
    """Parametrizes a test by the mistakes of some causes."""
    chosen = [case for case in MISTAKES if case.cause in causes]
    return pytest.mark.parametrize("case", chosen, ids=[case.name for case in chosen])


def of_kind(kind):
    """Parametrizes a test by the mistakes of a kind."""
    chosen = [case for case in MISTAKES if case.kind == kind]
    return pytest.mark.parametrize("case", chosen, ids=[case.name for case in chosen])


every_mistake = by_cause(*AT_LEAST)
HIDDEN = [case for case in MISTAKES if case.hidden]
NETWORKS = {case.fun.__name__: case for case in MISTAKES}  # a mistake of each
every_network = pytest.mark.parametrize("case", NETWORKS.values(), ids=NETWORKS)


def is_real(leaf):
    return jnp.issubdtype(jnp.result_type(leaf), jnp.floating)


def in_double(args):
    """Returns the arguments in float64; integers stay what they are."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64 if is_real(x) else None), args)


def leaves_of(tree):
    """Returns the leaves in float64, by path."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf, np.float64) for path, leaf in leaves}


def autodiff(case, fun):
    """Returns what `case.right` should, by autodiff of fun."""
    args = in_double(case.args)
    if case.kind == "second order":
        return differentiated(jax.grad(fun))(*args)
    gradient = jax.grad(fun)(*args)
    if case.kind == "gradients":
        return gradient
    return jax.tree.map(lambda w, g: w - case.learning_rate * g, args[0], gradient)


def differentiated(gradient):
    """Returns the gradient of the inner product of a gradient with some weights."""

    def product(*args):
        leaves = jax.tree.leaves(gradient(*args))
        return sum(jnp.sum(jnp.cos(jnp.arange(leaf.size)) * leaf.ravel()) for leaf in leaves)

    return jax.grad(product)


@cache
def returned(backward):
    """Returns the leaves of a right or a wrong pass in float64, or those of its own gradient."""
    (case, *_) = [case for case in MISTAKES if backward in (case.right, case.wrong)]
    compared = differentiated(backward) if case.kind == "second order" else backward
    with jax.enable_x64(True):
        return leaves_of(compared(*in_double(case.args)))


def gradients(case):
    """Returns the right and the wrong gradient in float64; those that a step implies."""
    right, wrong = returned(case.right), returned(case.wrong)
    if case.kind != "updates":
        return right, wrong
    w = leaves_of(case.args[0])
    return tuple({k: (w[k] - new[k]) / case.learning_rate for k in w} for new in (right, wrong))


def error(right, wrong):
    """Returns max |error| / max |right|, or infinity for another shape, nan or inf."""
    if right.shape != wrong.shape or not np.isfinite(wrong).all():
        return np.inf
    return np.max(np.abs(wrong - right)) / np.max(np.abs(right))


def wrong_leaves(right, wrong, threshold=ROUNDING):
    """Returns the paths of leaves that differ, or that only one of the two has."""
    common = right.keys() & wrong.keys()
    differing = {path for path in common if error(right[path], wrong[path]) > threshold}
    return differing | (right.keys() ^ wrong.keys())


def claimed_leaves(case):
    return set(case.leaves or leaves_of(case.args[0]))


# The table


def test_names_are_unique():
    assert max(Counter(case.name for case in MISTAKES).values()) == 1


def test_every_cause_is_there_often_enough():
    found = Counter(case.cause for case in MISTAKES)
    assert found.keys() == AT_LEAST.keys()
    assert all(found[cause] >= least for cause, least in AT_LEAST.items())
    assert found.total() >= 66


def test_edits_of_a_text_that_does_not_occur_once_are_refused():
    with pytest.raises(ValueError, match="occurs 0 times in error"):
        rewritten(error, {"no such text": ""})
    with pytest.raises(ValueError, match="occurs 4 times in error"):
        rewritten(error, {"wrong": ""})


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_each_tag_is_on_one_line_of_the_function_it_names(module):
    lines = inspect.getsource(module).splitlines()
    for tag in re.findall(r"# \[([a-z_0-9]+\.[a-z_0-9]+)\]$", "\n".join(lines), re.MULTILINE):
        name, _, number = line_of(tag).partition(":")
        assert name == Path(module.__file__).name
        assert lines[int(number) - 1].endswith(f"# [{tag}]")
        function = inspect.unwrap(getattr(module, tag.split(".")[0]))
        body, first = inspect.getsourcelines(function)
        assert first < int(number) < first + len(body)


@every_mistake
def test_claims_fit_the_cause(case):
    assert bool(case.lines) == (case.cause not in SEEN_FROM_A_LEAF)
    assert all(line_of(tag) for tag in case.lines)
    assert (case.factor is not None) == (case.cause in ("scaled", "weight_decay"))
    assert (case.learning_rate is not None) == (case.kind == "updates")
    assert (case.location is not None) <= (case.cause in OF_THE_FLOW)
    assert bool(case.forward) == (case.cause in OF_THE_FLOW)


# Right and wrong


@every_network
def test_the_right_pass_is_right(case):
    with jax.enable_x64(True):
        expected = leaves_of(autodiff(case, case.fun))
    assert returned(case.right).keys() == expected.keys()
    assert not wrong_leaves(expected, returned(case.right))


@every_mistake
def test_both_passes_keep_the_dtype_of_their_arguments(case):
    with jax.enable_x64(True):
        for args, dtype in ((case.args, "float32"), (in_double(case.args), "float64")):
            for backward in (case.right, case.wrong):
                assert {leaf.dtype.name for leaf in jax.tree.leaves(backward(*args))} == {dtype}


@every_mistake
def test_the_wrong_pass_is_wrong_where_the_case_says(case):
    right, wrong = gradients(case)
    differing = wrong_leaves(right, wrong)
    assert differing
    assert differing == wrong_leaves(right, wrong, VISIBLE)
    if case.cause in SEEN_FROM_A_LEAF or case.leaves:
        assert differing == claimed_leaves(case)


@of_kind("second order")
def test_a_mistake_of_second_order_is_right_at_first(case):
    with jax.enable_x64(True):
        args = in_double(case.args)
        right, wrong = (leaves_of(side(*args)) for side in (case.right, case.wrong))
    assert not wrong_leaves(right, wrong)


@pytest.mark.parametrize("case", HIDDEN, ids=[case.name for case in HIDDEN])
def test_a_hidden_mistake_matches_and_is_listed(case):
    report = compare_gradients(case.fun, case.wrong, *case.hidden)
    assert report.ok, str(report)
    assert "any factor" in str(report.blind_spots())


# Causes seen from a leaf


@by_cause(*SEEN_FROM_A_LEAF.keys() - {"structure", "swapped"})
def test_each_wrong_leaf_is_what_its_cause_says(case):
    rights, wrongs = gradients(case)
    params = leaves_of(case.args[0])
    for path in claimed_leaves(case):
        right, wrong = rights[path], wrongs[path]
        match case.cause:
            case "scaled":
                came, expected = wrong, case.factor * right
            case "sign_flipped":
                came, expected = wrong, -right
            case "transposed":
                came, expected = wrong, right.T
            case "zero":
                came, expected = wrong, 0 * right
            case "not_finite":
                came, expected = np.isfinite(wrong).all(), False
            case "not_reduced":
                came, expected = wrong.sum(tuple(range(wrong.ndim - right.ndim))), right
            case "wrong_axis":
                came, expected = wrong.sum(), right.sum()
            case "weight_decay":
                came, expected = wrong - right, case.factor * params[path]
        np.testing.assert_allclose(came, expected, rtol=ROUNDING, atol=ROUNDING)


@by_cause("swapped")
def test_swapped_leaves_are_each_other(case):
    right, wrong = gradients(case)
    for path in case.leaves:
        places = [p for p in case.leaves if right[p].shape == wrong[path].shape]
        (other,) = (p for p in places if error(right[p], wrong[path]) < ROUNDING)
        assert other != path
        assert error(right[path], wrong[other]) < ROUNDING


@by_cause("structure")
def test_leaves_of_another_structure_are_missing_extra_or_misshapen(case):
    right, wrong = gradients(case)
    shapes = [{path: leaf.shape for path, leaf in tree.items()} for tree in (right, wrong)]
    differing = {path for path, _ in shapes[0].items() ^ shapes[1].items()}
    assert differing == claimed_leaves(case)


def seen_from(right, wrong, params):
    """Tells whether this leaf alone shows what is wrong with it."""
    if right.shape != wrong.shape or not np.isfinite(wrong).all() or not wrong.any():
        return True
    factor = np.vdot(right, wrong) / np.vdot(right, right)
    decay = np.vdot(params, wrong - right) / np.vdot(params, params)
    candidates = [factor * right, right + decay * params]
    if right.ndim == 2 and right.shape[0] == right.shape[1]:
        candidates.append(right.T)
    return any(error(candidate, wrong) < VISIBLE for candidate in candidates if candidate.any())


@by_cause(*OF_THE_FLOW, "unexplained")
def test_no_cause_seen_from_the_leaves_reproduces_a_mistake_of_the_flow(case):
    right, wrong = gradients(case)
    params = leaves_of(case.args[0])
    differing = wrong_leaves(right, wrong)
    assert not all(seen_from(right[path], wrong[path], params[path]) for path in differing)
    others = {path: [r for p, r in right.items() if p != path] for path in differing}
    assert all(error(r, wrong[path]) > VISIBLE for path in differing for r in others[path])


# Causes in the flow


@by_cause(*OF_THE_FLOW)
def test_autodiff_of_the_edited_forward_pass_is_the_mistake(case):
    wrong = returned(case.wrong)
    with jax.enable_x64(True):
        args = in_double(case.args)
        new = case.wrong(*args)
        fun = rewritten(case.fun, case.forward, new=new, **VOCABULARY)
        value, expected = case.fun(*args), fun(*args)
        spoiled = leaves_of(autodiff(case, fun))
    np.testing.assert_allclose(value, expected, rtol=ROUNDING)
    assert not wrong_leaves(spoiled, wrong)


@by_cause(*OF_THE_FLOW)
def test_the_place_of_a_mistake_is_a_line_edited_or_in_a_helper_called_there(case):
    source = inspect.getsource(case.fun)
    for tag in case.lines:
        line = re.search(rf".*# \[{re.escape(tag)}\]", source)
        helper = tag.split(".")[0]
        if any(f"{helper}(" in text or (line and text in line[0]) for text in case.forward):
            return
    raise AssertionError(f"none of {case.lines} is edited")


@by_cause(*OF_THE_FLOW)
def test_the_iteration_of_a_mistake_is_the_one_edited(case):
    edits = " ".join(case.forward.values())
    (iteration,) = re.findall(r"jnp.where\([ti] == (\d), (?:identity|slope|through)", edits) or [
        None
    ]
    found = None if iteration is None else f"iteration {int(iteration) + 1}"
    claimed = case.location and case.location.split(" of ")[0]
    assert found == claimed


# Unexplained


class Bending(ast.NodeTransformer):
    """Writes `bent(value, k)` for the value of each tagged line and for each local name in it.

    Attributes:
        tags: for each k the tag of its line.
    """

    def __init__(self, source, known):
        self.lines = dict(enumerate(re.findall(r"(?:# \[(.+)\])?\n", source), start=1))
        self.known = known
        self.tags = []

    def bend(self, node):
        if not self.lines[node.lineno]:
            return node
        self.tags.append(self.lines[node.lineno])
        return ast.Call(ast.Name("bent", ast.Load()), [node, ast.Constant(len(self.tags) - 1)], [])

    def visit_statement(self, node):
        self.generic_visit(node)
        node.value = self.bend(node.value)
        return node

    visit_Assign = visit_Return = visit_statement  # noqa: N815

    def visit_Name(self, node):
        loaded = isinstance(node.ctx, ast.Load) and node.id not in self.known
        return self.bend(node) if loaded else node


@cache
def spoiled_leaves(fun):
    """Returns, for each place in fun, its tag and the leaves that a wrong factor there spoils."""
    (args, *_) = [case.args for case in MISTAKES if case.fun is fun]
    source = inspect.getsource(fun)
    bending = Bending(source, fun.__globals__)
    tree = ast.fix_missing_locations(bending.visit(ast.parse(source)))
    code = compile(tree, f"<{fun.__name__} bent>", "exec")

    def gradient(gates, *args):
        def bent(tree, k):
            """The same values; gradients that go through here are off by a factor 1 + gate."""

            def bend(leaf):
                if callable(leaf) or not is_real(leaf):
                    return leaf
                return stop(leaf) + (1 + gates[k]) * (leaf - stop(leaf))

            return jax.tree.map(bend, tree)

        namespace = fun.__globals__ | {"bent": bent}
        exec(code, namespace)
        return jax.grad(namespace[fun.__name__])(*args)

    places = len(bending.tags)
    with jax.enable_x64(True):
        args = in_double(args)
        right = leaves_of(jax.grad(fun)(*args))
        over_places = jax.vmap(gradient, in_axes=(0, *(None for _ in args)))
        spoiled = leaves_of(jax.jit(over_places)(jnp.eye(places), *args))
    return [
        (tag, wrong_leaves(right, {path: leaf[k] for path, leaf in spoiled.items()}))
        for k, tag in enumerate(bending.tags)
    ]


def possible_places(case):
    """Returns the tags of the lines at which a mistake spoils exactly the leaves that are wrong."""
    differing = wrong_leaves(*gradients(case))
    within = {}
    for tag, leaves in spoiled_leaves(case.fun):
        if leaves <= differing:
            within[tag] = within.get(tag, set()) | leaves
    return {tag for tag, leaves in within.items() if leaves == differing}


@by_cause("unexplained")
def test_lines_of_an_unexplained_mistake_are_all_the_possible_places(case):
    assert set(case.lines) == possible_places(case)
