"""The catalogue of mistakes is sound: each is one, and is what it says it is."""

import ast
import inspect
import re
from collections import Counter
from functools import cache

import jax
import jax.numpy as jnp
import mistaken_networks
import numpy as np
import pytest
from mistaken_networks import line_of
from mistakes import MISTAKES, rewritten

SEEN_FROM_A_LEAF = {
    "scaled": 4,
    "sign_flipped": 2,
    "transposed": 2,
    "swapped": 2,
    "zero": 2,
    "not_finite": 2,
    "not_reduced": 2,
    "structure": 2,
    "weight_decay": 2,
}
OF_THE_FLOW = {
    "missing_derivative": 4,
    "derivative_at_output": 4,
    "wrong_orientation": 2,
    "dropped_path": 4,
    "stale_weights": 2,
}
AT_LEAST = SEEN_FROM_A_LEAF | OF_THE_FLOW | {"unexplained": 12}
ROUNDING = 1e-9  # generous for float64
VISIBLE = 1e-6


# What each mistake of the flow amounts to in the forward pass: autodiff of the edited forward pass
# is the mistaken gradient. The edits may use these functions.

stop = jax.lax.stop_gradient


def identity_slope(f, z):
    """f, differentiated as if f' = 1."""
    return stop(f(z)) + (z - stop(z))


def slope_at_output(f, z):
    """f, differentiated as if f' were due at f(z)."""
    y = stop(f(z))
    _, slope = jax.jvp(f, (y,), (jnp.ones_like(y),))
    return y + stop(slope) * (z - stop(z))


def through(v, h, w):
    """h @ w, pulled back to h through v instead of w."""
    return stop(h) @ w + (h - stop(h)) @ stop(v)


def through_transpose(h, w):
    return through(w.T, h, w)


VOCABULARY = {
    "stop": stop,
    "identity_slope": identity_slope,
    "slope_at_output": slope_at_output,
    "through": through,
    "through_transpose": through_transpose,
}

# Edits by which a loop's body learns which iteration it is in.
RNN_TIME = {
    "def step(h, x_t):": "def step(h, t_and_x):\n        t, x_t = t_and_x",
    "scan(step, h0, x)": "scan(step, h0, (jnp.arange(4), x))",
}
STACKED_INDEX = {
    "def layer(h, q):": "def layer(h, i_and_q):\n        i, q = i_and_q",
    'scan(layer, h, p["stack"])': 'scan(layer, h, (jnp.arange(4), p["stack"]))',
}
SETTLING_ROUND = {"settle(_, h)": "settle(i, h)"}

IN_THE_FORWARD_PASS = {
    # missing_derivative
    "tanh_derivative_left_out": {"jnp.tanh(z1)": "identity_slope(jnp.tanh, z1)"},
    "relu_derivative_left_out": {"jax.nn.relu(z2)": "identity_slope(jax.nn.relu, z2)"},
    "sigmoid_derivative_left_out": {"jax.nn.sigmoid(a)": "identity_slope(jax.nn.sigmoid, a)"},
    "silu_derivative_left_out": {"jax.nn.silu(z1)": "identity_slope(jax.nn.silu, z1)"},
    "scale_of_the_branch_left_out": {"0.5 * f2": "identity_slope(lambda f: 0.5 * f, f2)"},
    "sqrt_derivative_left_out": {
        "jnp.sqrt(var + 1e-3)": "identity_slope(jnp.sqrt, var + 1e-3)",
    },
    "square_derivative_left_out": {"z1**2": "identity_slope(jnp.square, z1)"},
    "output_sigmoid_derivative_left_out": {
        "jax.nn.sigmoid(z2)": "identity_slope(jax.nn.sigmoid, z2)",
    },
    "gelu_derivative_left_out": {"jax.nn.gelu(z1)": "identity_slope(jax.nn.gelu, z1)"},
    "softplus_derivative_left_out": {
        "jax.nn.softplus(z2)": "identity_slope(jax.nn.softplus, z2)",
    },
    "log_derivative_left_out": {"jnp.log(rate)": "identity_slope(jnp.log, rate)"},
    "elu_derivative_left_out": {"jax.nn.elu(z)": "identity_slope(jax.nn.elu, z)"},
    "exp_derivative_left_out": {"jnp.exp(-s)": "identity_slope(jnp.exp, -s)"},
    "leaky_relu_derivative_left_out": {
        "jax.nn.leaky_relu(z1, 0.01)": "identity_slope(jax.nn.leaky_relu, z1)",
    },
    "softmax_jacobian_left_out": {"jax.nn.softmax(z2)": "identity_slope(jax.nn.softmax, z2)"},
    "margin_not_looked_at": {
        "jnp.maximum(0.0, 1 - y * score)": "identity_slope(jax.nn.relu, 1 - y * score)",
    },
    "exp_of_the_scores_left_out": {
        "jnp.exp(score - peak)": "identity_slope(jnp.exp, score - peak)",
    },
    "own_activation_left_out": {"squareplus(z)": "identity_slope(squareplus, z)"},
    "derivative_left_out_in_every_layer": {"jnp.tanh(z)": "identity_slope(jnp.tanh, z)"},
    "derivative_left_out_in_the_first_layer": {
        "jnp.tanh(z)": "identity_slope(jnp.tanh, z) if h is x else jnp.tanh(z)",
    },
    "derivative_left_out_at_every_time": {"jnp.tanh(z)": "identity_slope(jnp.tanh, z)"},
    "derivative_left_out_at_one_time": RNN_TIME
    | {"jnp.tanh(z)": "jnp.where(t == 2, identity_slope(jnp.tanh, z), jnp.tanh(z))"},
    "derivative_left_out_in_the_first_of_the_stack": STACKED_INDEX
    | {
        "h = jax.nn.softplus(z)": (
            "f = jax.nn.softplus; h = jnp.where(i == 0, identity_slope(f, z), f(z))"
        )
    },
    "derivative_left_out_in_one_round": SETTLING_ROUND
    | {"jnp.tanh(z)": "jnp.where(i == 1, identity_slope(jnp.tanh, z), jnp.tanh(z))"},
    "own_swish_left_out": {"swish(z)": "identity_slope(swish, z)"},
    "derivative_left_out_in_the_first_call": {
        "dense_tanh(w1, b1, x)": "identity_slope(jnp.tanh, x @ w1 + b1)",
    },
    "derivative_left_out_in_both_calls": {
        "dense_tanh(w1, b1, x)": "identity_slope(jnp.tanh, x @ w1 + b1)",
        "dense_tanh(w2, b2, h1)": "identity_slope(jnp.tanh, h1 @ w2 + b2)",
    },
    "derivative_left_out_in_a_recomputed_block": {
        'block(p["w2"], p["b2"], h1)': (
            'h1 + identity_slope(jax.nn.sigmoid, h1 @ p["w2"] + p["b2"])'
        ),
    },
    "derivative_left_out_in_the_branch_taken": {"jnp.tanh(z)": "identity_slope(jnp.tanh, z)"},
    # derivative_at_output
    "tanh_of_tanh": {"jnp.tanh(z1)": "slope_at_output(jnp.tanh, z1)"},
    "sigmoid_of_sigmoid": {"jax.nn.sigmoid(a)": "slope_at_output(jax.nn.sigmoid, a)"},
    "silu_slope_at_output": {"jax.nn.silu(z2)": "slope_at_output(jax.nn.silu, z2)"},
    "square_slope_at_output": {"z1**2": "slope_at_output(jnp.square, z1)"},
    "output_sigmoid_slope_at_output": {
        "jax.nn.sigmoid(z2)": "slope_at_output(jax.nn.sigmoid, z2)",
    },
    "gelu_slope_at_output": {"jax.nn.gelu(z1)": "slope_at_output(jax.nn.gelu, z1)"},
    "softplus_slope_at_output": {
        "jax.nn.softplus(z2)": "slope_at_output(jax.nn.softplus, z2)",
    },
    "elu_slope_at_output": {"jax.nn.elu(z)": "slope_at_output(jax.nn.elu, z)"},
    "exp_of_exp": {"jnp.exp(-s)": "slope_at_output(jnp.exp, -s)"},
    "softplus_slope_at_output_in_every_layer": {
        "jax.nn.softplus(z)": "slope_at_output(jax.nn.softplus, z)",
    },
    "softplus_slope_at_output_in_one_layer": STACKED_INDEX
    | {
        "h = jax.nn.softplus(z)": (
            "f = jax.nn.softplus; h = jnp.where(i == 1, slope_at_output(f, z), f(z))"
        )
    },
    "tanh_of_tanh_in_the_second_call": {
        "dense_tanh(w2, b2, h1)": "slope_at_output(jnp.tanh, h1 @ w2 + b2)",
    },
    "tanh_of_tanh_in_the_branch_taken": {"jnp.tanh(z)": "slope_at_output(jnp.tanh, z)"},
    "own_slope_at_output": {"squareplus(z)": "slope_at_output(squareplus, z)"},
    # wrong_orientation
    "transpose_forgotten": {"h1 @ p.w2": "through_transpose(h1, p.w2)"},
    "transpose_forgotten_in_a_branch": {
        'h0 @ p["block1"]["w"]': 'through_transpose(h0, p["block1"]["w"])',
    },
    "transpose_forgotten_with_weights_on_the_left": {
        'p["w2"] @ h': 'through_transpose(h, p["w2"].T)',
    },
    "transpose_forgotten_through_time": {'h @ p["wh"]': 'through_transpose(h, p["wh"])'},
    "transpose_forgotten_in_one_layer": STACKED_INDEX
    | {
        'h @ q["w"]': 'jnp.where(i == 2, through_transpose(h, q["w"]), h @ q["w"])',
    },
    "transpose_forgotten_in_the_second_call": {
        "dense_tanh(w2, b2, h1)": "jnp.tanh(through_transpose(h1, w2) + b2)",
    },
    # dropped_path
    "skip_forgotten": {"h1 + 0.5 * f2": "stop(h1) + 0.5 * f2"},
    "skip_forgotten_in_a_recomputed_block": {
        'block(p["w2"], p["b2"], h1)': 'stop(h1) + jax.nn.sigmoid(h1 @ p["w2"] + p["b2"])',
    },
    "tied_weights_without_the_decoder": {"code @ p.w.T": "code @ stop(p.w.T)"},
    "tied_weights_without_the_encoder": {"x @ p.w +": "x @ stop(p.w) +"},
    "mean_taken_for_a_constant": {"h - mean": "h - stop(mean)"},
    "variance_taken_for_a_constant": {"c / sd": "c / stop(sd)"},
    "only_the_mean_reaches_the_trunk": {'h @ p["w_s"]': 'stop(h) @ p["w_s"]'},
    "only_the_log_variance_reaches_the_trunk": {'h @ p["w_mu"]': 'stop(h) @ p["w_mu"]'},
    "penalty_on_magnitudes_forgotten": {"data + penalty": "data + stop(penalty)"},
    "penalty_on_magnitudes_forgotten_in_one_layer": {'jnp.abs(p["w2"])': 'jnp.abs(stop(p["w2"]))'},
    "input_weights_of_the_last_visited_time_only": RNN_TIME
    | {'x_t @ p["wx"]': 'x_t @ jnp.where(t == 0, p["wx"], stop(p["wx"]))'},
    "not_carried_back_through_time": {'h @ p["wh"]': 'stop(h) @ p["wh"]'},
    "input_of_the_last_visited_round_only": SETTLING_ROUND
    | {"drive + h": "jnp.where(i == 0, drive, stop(drive)) + h"},
    "first_state_forgotten": {"settle, drive)": "settle, stop(drive))"},
    "normalizer_taken_for_a_constant": {"e / total": "e / stop(total)"},
    "keys_forgotten_in_the_scores": {'k @ p["query"]': 'stop(k) @ p["query"]'},
    "keys_forgotten_as_values": {"a[..., None] * k": "a[..., None] * stop(k)"},
    "half_of_the_product_rule": {"swish(z)": "z * stop(jax.nn.sigmoid(z))"},
    # stale_weights; `new` are the parameters that the mistaken step returns
    "output_layer_updated_first": {'h @ p["w2"]': 'through(new["w2"], h, p["w2"])'},
    "each_layer_updated_before_the_one_below": {
        "h2 @ p[2]": "through(new[2], h2, p[2])",
        "h1 @ p[1]": "through(new[1], h1, p[1])",
    },
    "only_the_middle_layer_updated_early": {"h1 @ p[1]": "through(new[1], h1, p[1])"},
    "only_the_output_layer_updated_early": {"h2 @ p[2]": "through(new[2], h2, p[2])"},
}


def by_cause(*causes):
    """Parametrizes a test by the mistakes of some causes."""
    chosen = [case for case in MISTAKES if case.cause in causes]
    return pytest.mark.parametrize("case", chosen, ids=[case.name for case in chosen])


every_mistake = by_cause(*AT_LEAST)
NETWORKS = {case.fun.__name__: case for case in MISTAKES}  # a mistake of each
every_network = pytest.mark.parametrize("case", NETWORKS.values(), ids=NETWORKS)


def in_double(args):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), args)


def leaves_of(tree):
    """The leaves in float64, by path."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(leaf, np.float64) for path, leaf in leaves}


def autodiff(case, fun):
    """What `case.right` has to return, by autodiff of fun."""
    args = in_double(case.args)
    gradient = jax.grad(fun)(*args)
    if case.kind == "gradients":
        return gradient
    return jax.tree.map(lambda w, g: w - case.learning_rate * g, args[0], gradient)


@cache
def returned(backward):
    """What a right or a wrong pass returns in float64."""
    (args, *_) = [case.args for case in MISTAKES if backward in (case.right, case.wrong)]
    with jax.enable_x64(True):
        return leaves_of(backward(*in_double(args)))


def gradients(case):
    """The right and the wrong gradient in float64; of a step, what it must have gone along."""
    right, wrong = returned(case.right), returned(case.wrong)
    if case.kind == "gradients":
        return right, wrong
    w = leaves_of(case.args[0])
    return tuple({k: (w[k] - new[k]) / case.learning_rate for k in w} for new in (right, wrong))


def error(right, wrong):
    """The largest error relative to the largest number; infinite for another shape, nan or inf."""
    if right.shape != wrong.shape or not np.isfinite(wrong).all():
        return np.inf
    return np.max(np.abs(wrong - right)) / np.max(np.abs(right))


def wrong_leaves(right, wrong, threshold=ROUNDING):
    """Paths of the leaves that differ, or that only one of the two has."""
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


def test_each_tag_is_on_one_line_of_a_forward_function():
    source = inspect.getsource(mistaken_networks)
    lines = source.splitlines()
    tags = re.findall(r"# \[([a-z_0-9]+\.[a-z_0-9]+)\]$", source, re.MULTILINE)
    for tag in {*tags, *(tag for case in MISTAKES for tag in case.lines)}:
        name, _, number = line_of(tag).partition(":")
        assert name == "mistaken_networks.py"
        assert lines[int(number) - 1].endswith(f"# [{tag}]")
        function = inspect.unwrap(getattr(mistaken_networks, tag.split(".")[0]))
        body, first = inspect.getsourcelines(function)
        assert first < int(number) < first + len(body)


@every_mistake
def test_claims_fit_the_cause(case):
    assert bool(case.lines) == (case.cause not in SEEN_FROM_A_LEAF)
    assert (case.factor is not None) == (case.cause in ("scaled", "weight_decay"))
    assert (case.learning_rate is not None) == (case.kind == "updates")
    assert (case.location is not None) <= (case.cause in OF_THE_FLOW)


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
                came, expected = wrong.sum(0), right
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
    """Whether this leaf alone shows what is wrong with it."""
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


def test_every_mistake_of_the_flow_is_an_edit_of_the_forward_pass():
    assert IN_THE_FORWARD_PASS.keys() == {
        case.name for case in MISTAKES if case.cause in OF_THE_FLOW
    }


@by_cause(*OF_THE_FLOW)
def test_autodiff_of_the_edited_forward_pass_is_the_mistake(case):
    edits = IN_THE_FORWARD_PASS[case.name]
    wrong = returned(case.wrong)
    with jax.enable_x64(True):
        args = in_double(case.args)
        new = case.wrong(*args)
        fun = rewritten(case.fun, edits, new=new, **VOCABULARY)
        value, expected = case.fun(*args), fun(*args)
        spoiled = leaves_of(autodiff(case, fun))
    np.testing.assert_allclose(value, expected, rtol=ROUNDING)
    assert not wrong_leaves(spoiled, wrong)


@by_cause(*OF_THE_FLOW)
def test_the_place_of_a_mistake_is_a_line_edited_or_in_a_helper_called_there(case):
    edited = IN_THE_FORWARD_PASS[case.name]
    source = inspect.getsource(case.fun)
    for tag in case.lines:
        line = re.search(rf".*# \[{re.escape(tag)}\]", source)
        helper = tag.split(".")[0]
        if any(f"{helper}(" in text or (line and text in line[0]) for text in edited):
            return
    raise AssertionError(f"none of {case.lines} is edited")


@by_cause(*OF_THE_FLOW)
def test_the_iteration_of_a_mistake_is_the_one_edited(case):
    edits = " ".join(IN_THE_FORWARD_PASS[case.name].values())
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
    """For each place in fun its tag, and the leaves that a wrong factor there spoils."""
    (args, *_) = [case.args for case in MISTAKES if case.fun is fun]
    source = inspect.getsource(fun)
    bending = Bending(source, fun.__globals__)
    tree = ast.fix_missing_locations(bending.visit(ast.parse(source)))
    code = compile(tree, f"<{fun.__name__} bent>", "exec")

    def gradient(gates, *args):
        def bent(tree, k):
            """The same values; gradients that go through here are off by a factor 1 + gate."""

            def bend(leaf):
                return leaf if callable(leaf) else stop(leaf) + (1 + gates[k]) * (leaf - stop(leaf))

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
    """Tags of the lines at which a mistake makes wrong all the leaves that are, and no other."""
    differing = wrong_leaves(*gradients(case))
    within = {}
    for tag, leaves in spoiled_leaves(case.fun):
        if leaves <= differing:
            within[tag] = within.get(tag, set()) | leaves
    return {tag for tag, leaves in within.items() if leaves == differing}


@by_cause("unexplained")
def test_lines_of_an_unexplained_mistake_are_all_the_possible_places(case):
    assert set(case.lines) == possible_places(case)
