"""The backward pass is read line by line: what each value is, the first wrong one, the repair."""

import ast
import importlib.util
import json
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import run

from jaxpercep import (
    annotate_gradients,
    compare_custom_vjp,
    compare_gradients,
    compare_updates,
    compare_vjp,
)
from jaxpercep.compare.candidate import runs, trials
from jaxpercep.compare.candidate.grammar import edits, tidy

pytestmark = pytest.mark.slow

LOSS = """
import jax
import jax.numpy as jnp
import numpy as np


def loss(p, x, y):
    h = jnp.tanh(x @ p["w1"] + p["b1"])
    k = h + jnp.sin(h @ p["w2"])
    return jnp.mean((k @ p["w3"] - y) ** 2)


def example():
    rng = np.random.default_rng(4)
    shapes = {"w1": (6, 4), "b1": (4,), "w2": (4, 4), "w3": (4, 3)}
    p = {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    return p, rng.normal(size=(5, 6)).astype("f4"), rng.normal(size=(5, 3)).astype("f4")

"""
GRADS = """
def grads(p, x, y):
    p, x, y = jax.tree.map(np.asarray, (p, x, y))
    h = np.tanh(x @ p["w1"] + p["b1"])
    z = h @ p["w2"]
    k = h + np.sin(z)
    dout = 2 * (k @ p["w3"] - y) / y.size
    dk = dout @ p["w3"].T
    dz = dk * np.cos(z)
    dh = dk + dz @ p["w2"].T
    d1 = dh * (1 - h**2)
    return {
        "w1": x.T @ d1,
        "b1": d1.sum(0),
        "w2": h.T @ dz,
        "w3": k.T @ dout,
    }
"""

D1 = 'dL/d(x @ p["w1"] + p["b1"])'
# edit of a right candidate -> the line, what it should be, and the code that is suggested
MISTAKES = {
    "slope": ({"(1 - h**2)": "(1 - h)"}, "d1 = dh * (1 - h)", D1, "d1 = dh * (1 - h**2)"),
    "slope left out": (
        {"dk * np.cos(z)": "dk"},
        "dz = dk",
        'dL/d(h @ p["w2"])',
        "dz = dk * np.cos(z)",
    ),
    "orientation": (
        {'dz @ p["w2"].T': 'dz @ p["w2"]'},
        'dz @ p["w2"]',
        'the part of the gradient that flows back from h @ p["w2"] of line 9',
        'dz @ p["w2"].T',
    ),
    "scale": (
        {" / y.size": " / len(y)"},
        'dout = 2 * (k @ p["w3"] - y) / len(y)',
        'dL/d(k @ p["w3"] - y)',
        'dout = 2 * (k @ p["w3"] - y) / y.size',
    ),
    "term": (
        {'dk + dz @ p["w2"].T': 'dz @ p["w2"].T'},
        'dh = dz @ p["w2"].T',
        'dL/d(jnp.tanh(x @ p["w1"] + p["b1"]))',
        'dh = dz @ p["w2"].T + dk',
    ),
    "before a value without a name": (
        {
            'dout = 2 * (k @ p["w3"] - y) / y.size': (
                'miss = (k @ p["w3"] - x[:, :3]) * np.cos(x[:, :3])\n'
                "    dout = 2 * miss / y.size / np.cos(x[:, :3])"
            )
        },
        'miss = (k @ p["w3"] - x[:, :3]) * np.cos(x[:, :3])',
        '`(k @ p["w3"] - y) * np.cos(x[:, :3])`',
        'miss = (k @ p["w3"] - y) * np.cos(x[:, :3])',
    ),
    "sum": ({"d1.sum(0)": "d1.mean(0)"}, "d1.mean(0)", "dL/dp['b1']", "d1.sum(0)"),
    "variable": ({"h.T @ dz": "k.T @ dz"}, "k.T @ dz", "dL/dp['w2']", "h.T @ dz"),
}
UNREPAIRED = {
    "a gradient is not returned": {'        "b1": d1.sum(0),\n': ""},
    "more is returned than the gradients": {
        "    return {\n": '    return {\n        "x": d1 @ p["w1"].T,\n'
    },
    "No value was found whose replacement": {
        "return {": "return {name: np.cos(v) for name, v in p.items()} or {"
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("candidates")


def module_of(path, text):
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def edited(folder, edits):
    """Returns the module with edits of the right candidate, each of a text that occurs once."""
    text = GRADS
    for old, new in edits:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return module_of(folder / f"mlp{abs(hash(edits))}.py", LOSS + text)


@cache
def report_of(folder, edits=()):
    module = edited(folder, edits)
    return compare_gradients(module.loss, module.grads, *module.example())


@cache
def annotated_of(folder, edits=()):
    module = edited(folder, edits)
    return annotate_gradients(module.loss, module.grads, *module.example())


@pytest.mark.parametrize("name", list(MISTAKES))
def test_the_first_wrong_value_is_placed_and_the_suggested_code_mends_it(folder, name):
    edits, code, due, suggestion = MISTAKES[name]
    (repair,) = annotated_of(folder, tuple(edits.items())).repairs
    source = (LOSS + GRADS).splitlines()
    (old,) = edits
    (line,) = (i for i, text in enumerate(source, 1) if old in text)
    assert repair.source.partition(":")[2] == str(line)
    assert repair.due == due
    assert repair.suggestion == suggestion
    assert repair.verified
    assert f"`{code}` should be {due}" in str(repair)
    assert str(repair).endswith(f"with `{suggestion}` every gradient is right (verified).")
    (_, new), *_ = edits.items()
    mended = GRADS.replace(old, new).replace(code, suggestion)
    module, right = module_of(folder / "mended.py", LOSS + mended), edited(folder, ())
    pairs = jax.tree.map(np.subtract, *(m.grads(*m.example()) for m in (module, right)))
    assert max(np.max(np.abs(leaf)) for leaf in jax.tree.leaves(pairs)) < 1e-5


SMALLEST = {
    "another axis": ("d.sum(1)", "d.sum(0)", "d.T.sum(1)"),
    "another named axis": ("np.sum(d, axis=-1)", "np.sum(d, axis=0)", "np.sum(d.T, axis=-1)"),
    "all uses of a variable": ("d * z * (1 - z)", "d * h * (1 - h)", "d * z * (1 - z) * h"),
}


@pytest.mark.parametrize("name", SMALLEST)
def test_the_smallest_edit_comes_first(name):
    text, smaller, larger = SMALLEST[name]
    every = [tidy(edit) for edit in edits(text, ["d", "h", "z"], [])]
    assert every.index(smaller) < every.index(larger)


def test_a_missing_term_is_named(folder):
    (repair,) = annotated_of(folder, tuple(MISTAKES["term"][0].items())).repairs
    assert repair.missing == 'dL/d(h + jnp.sin(h @ p["w2"]))'
    assert f": {repair.missing} is missing; with" in str(repair)


def test_two_mistakes_are_both_repaired(folder):
    edits = MISTAKES["slope"][0] | MISTAKES["scale"][0]
    report = report_of(folder, tuple(edits.items()))
    assert [repair.suggestion for repair in report.repairs] == [
        MISTAKES["scale"][3],
        MISTAKES["slope"][3],
    ]
    assert report.repair == report.repairs[0]
    assert str(report).splitlines()[1].strip().startswith(report.repair.source)
    assert "and the other repair every gradient is right (verified)" in str(report.repair)


def test_an_edit_is_run_before_it_is_called_a_repair(folder):
    edits = MISTAKES["slope"][0] | MISTAKES["scale"][0]
    backward = report_of(folder, tuple(edits.items())).backward
    with backward.native.double_precision():
        runs, _ = backward.prepared()
        runs.record()
        nodes = {site.text: site.node for site in runs.sites}
        slope = {nodes["1 - h"]: ast.parse("1 - h**2", mode="eval").body}
        scale = {nodes["len(y)"]: ast.parse("y.size", mode="eval").body}
        given = [{} for _ in runs.args]
        assert runs.mends(slope | scale, given)
        assert not runs.mends(slope, given)
        assert not runs.mends(scale, given)


@pytest.mark.parametrize("said", list(UNREPAIRED))
def test_where_no_value_mends_it_the_listing_says_so(folder, said):
    annotated = annotated_of(folder, tuple(UNREPAIRED[said].items()))
    assert not annotated.ok
    assert annotated.repairs == ()
    assert said in str(annotated)


def test_a_repair_that_only_mends_these_arguments_is_none(folder, monkeypatch):
    edits = tuple(MISTAKES["slope"][0].items())
    module = edited(folder, edits)
    judged = trials.Trials.judged
    monkeypatch.setattr(
        trials.Trials,
        "judged",
        lambda self, some, where: judged(self, some, 0) if not where else (False,) * 4,
    )
    assert annotate_gradients(module.loss, module.grads, *module.example()).repairs == ()


def test_code_that_does_not_mend_the_candidate_when_it_is_run_is_not_suggested(folder, monkeypatch):
    module = edited(folder, tuple(MISTAKES["slope"][0].items()))
    monkeypatch.setattr(runs.Runs, "mends", lambda *_: False)
    (repair,) = annotate_gradients(module.loss, module.grads, *module.example()).repairs
    assert repair.suggestion is None
    assert repair.due == D1


def test_right_code_is_listed_with_what_each_value_is(folder):
    annotated = annotated_of(folder)
    assert annotated.ok
    assert annotated.repairs == ()
    (listing,) = annotated.listings
    assert listing.name == "grads"
    said = {value.expression: value for line in listing.lines for value in line.values}
    assert {value.status for value in said.values()} == {"known"}
    assert said["d1"].meaning == D1
    assert said["dz"].meaning == 'dL/d(h @ p["w2"])'
    assert said["h"].meaning == 'jnp.tanh(x @ p["w1"] + p["b1"]) of line 8'
    assert said["x.T @ d1"].meaning == "dL/dp['w1']"
    texts = {line.number: line.text for line in listing.lines}
    assert texts == {
        i: text for i, text in enumerate((LOSS + GRADS).splitlines(), 1) if i >= min(texts)
    }


def test_wrong_code_is_marked_at_the_first_wrong_value_alone(folder):
    annotated = annotated_of(folder, tuple(MISTAKES["slope"][0].items()))
    said = {v.expression: v for x in annotated.listings for line in x.lines for v in line.values}
    assert {name for name, value in said.items() if value.status == "wrong"} == {"d1"}
    assert said["d1"].due == D1
    assert said["dh"].status == "known"
    assert said["x.T @ d1"].status == said["d1.sum(0)"].status == "unknown"
    marked = [line for line in str(annotated).splitlines() if ">" in line[:8]]
    assert len(marked) == 1
    assert "d1 = dh * (1 - h)" in marked[0]
    assert "should be" in annotated._repr_html_()
    assert json.loads(json.dumps(annotated.to_dict()))["repairs"][0]["variable"] == "d1"


def scanned(w, x):
    return jnp.sum(jax.lax.scan(lambda h, row: (jnp.tanh(h @ w + row), None), x[0], x)[0])


LOOP = """
import numpy as np


def through_time(w, x):
    hs = [x[0]]
    for row in x:
        hs.append(np.tanh(hs[-1] @ w + row))
    dw, dh = np.zeros_like(w), np.ones_like(x[0])
    for t in reversed(range(len(x))):
        dz = dh * (1 - hs[t + 1] ** 2)
        dw += np.outer(hs[t], dz)
        dh = w @ dz
    return dw
"""
USE = "the part of the gradient that flows back from "
LOOPS = {
    "value": ("hs[t + 1] **", "hs[t] **", "dz = dh * (1 - hs[t + 1] ** 2)", "dL/d(h @ w + row)"),
    "term": ("np.outer(hs[t], dz)", "np.outer(dz, hs[t])", "np.outer(dz, hs[t]).T", USE),
    "overwritten": ("dw += ", "dw = ", "dw += np.outer(hs[t], dz)", "dL/dw"),
}


@pytest.mark.parametrize("name", list(LOOPS))
def test_a_loop_is_repaired_in_all_its_passes(folder, name):
    rng = np.random.default_rng(1)
    args = rng.normal(size=(3, 3)), rng.normal(size=(4, 3))
    old, new, suggestion, due = LOOPS[name]
    module = module_of(folder / f"loop_{name}.py", LOOP.replace(old, new))
    (repair,) = annotate_gradients(scanned, module.through_time, *args).repairs
    assert repair.suggestion == suggestion
    assert repair.due.startswith(due)
    assert repair.due.endswith(", passes 4, 3, 2, 1") == (name != "overwritten")


def curve(x, w):
    return jnp.tanh(x @ w)


def curve_forward(x, w):
    y = jnp.tanh(x @ w)
    return y, (x, w, y)


def curve_backward(saved, dy):
    x, w, y = saved
    dz = dy * (1 - y)
    return dz @ w.T, x.T @ dz


ruled = jax.custom_vjp(curve)
ruled.defvjp(curve_forward, curve_backward)


def calls_a_rule(x, w):
    return ruled(x * 2.0, w) + 1.0


PULLBACKS = {
    "compare_vjp": lambda *args: compare_vjp(curve, curve_forward, curve_backward, *args),
    "a rule inside": lambda *args: compare_custom_vjp(calls_a_rule, *args),
}


@pytest.mark.parametrize("name", list(PULLBACKS))
def test_the_lines_of_a_pullback_are_read(name):
    rng = np.random.default_rng(2)
    args = (rng.normal(size=shape).astype("f4") for shape in ((5, 3), (3, 2)))
    repair = PULLBACKS[name](*args).repair
    assert Path(__file__).name in repair.source
    assert repair.due == "dL/d(x @ w)"
    assert repair.suggestion == "dz = dy * (1 - y**2)"


def squares(w, x):
    return 0.5 * jnp.sum(jnp.tanh(x @ w) ** 2)


@jax.jit
def stepped(w, x):
    def slope(h):
        return 1 - h

    def one(row):
        h = jnp.tanh(row @ w)
        dz = h * slope(h)
        return jnp.outer(row, dz)

    return w - 0.5 * jax.vmap(one)(x).sum(0)


def test_the_lines_of_a_step_in_jax_are_read_through_jit_and_vmap():
    rng = np.random.default_rng(3)
    w, x = rng.normal(size=(3, 2)).astype("f4"), rng.normal(size=(5, 3)).astype("f4")
    repair = compare_updates(squares, stepped, w, x, learning_rate=0.5).repair
    assert (repair.variable, repair.expression) == ("dz", "h * slope(h)")
    assert repair.due == "dL/d(x @ w)"
    assert repair.suggestion == "dz = h * (1 - h**2)"


def speaking(w, x):
    print("running")
    return x.T @ np.tanh(x @ np.asarray(w))


def test_what_a_candidate_prints_appears_once(capsys):
    rng = np.random.default_rng(3)
    args = rng.normal(size=(3, 2)), rng.normal(size=(5, 3))
    report = compare_gradients(squares, speaking, *args)
    assert "There is no listing" not in str(report.annotated)
    assert capsys.readouterr().out == "running\n"


def test_a_candidate_without_a_source_has_a_report_and_no_listing():
    namespace = {"np": np}
    exec("def grads(w, x):\n    return x.T @ np.tanh(x @ np.asarray(w))\n", namespace)
    rng = np.random.default_rng(3)
    args = rng.normal(size=(3, 2)), rng.normal(size=(5, 3))
    report = compare_gradients(squares, namespace["grads"], *args)
    assert report.repair is None
    assert "the source of grads is not available" in str(report.annotated)


def test_the_command_prints_the_repair_and_the_listing(folder):
    path = edited(folder, tuple(MISTAKES["slope"][0].items())).__file__
    both, report = run("compare", path), run("compare", path, "--no-source")
    assert both.code == report.code == 1
    assert both.out.startswith(report.out.rstrip())
    assert "with `d1 = dh * (1 - h**2)` every gradient is right (verified)." in " ".join(
        report.out.split()
    )
    assert "grads" in both.out.removeprefix(report.out.rstrip())
    assert "    h = np.tanh" not in report.out
    data = json.loads(run("compare", path, "--json").out)
    assert data["backward"]["repairs"] == data["repairs"]
    assert data["repairs"][0]["verified"]
