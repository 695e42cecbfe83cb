"""`jaxpercep compare`: its output, its exit codes, and its messages for unusable files."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import Result, run, without_jax

from jaxpercep.commands import comparison


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(
    loss: str = "return jnp.sum((x @ params) ** 2)",
    grads: str = "return 2 * x.T @ (x @ params)",
    example: str = "return jnp.ones(2), jnp.array([[1.0, 2.0], [3.0, 4.0]])",
    end: str = "",
) -> str:
    """A right file by default; its bodies are lines 6, 10 and 14, its end is line 17."""
    return f"""\
import jax
import jax.numpy as jnp


def loss(params, x):
    {loss}


def grads(params, x):
    {grads}


def example():
    {example}


{end}
"""


RIGHT = written()
STEP = RIGHT.replace("grads", "step").replace("return 2 *", "return params - 0.125 * 2 *")


def compare(source: str, *options: str) -> Result:
    Path("net.py").write_text(source)
    return run("compare", "net.py", *options)


# The output.

WRONG_RULE = """\
@jax.custom_jvp
def half_square(z):
    return z**2 / 2

half_square.defjvp(lambda primals, tangents: (half_square(*primals), 2 * primals[0] * tangents[0]))
"""


@pytest.mark.parametrize(
    ("source", "verdict", "code"),
    [
        (RIGHT, "match", 0),
        (STEP + "learning_rate = 0.125", "match", 0),
        (STEP + "learning_rate = 0.25", "manual_wrong", 1),
        (written(grads="return [params, params]"), "manual_wrong", 1),
        (written(grads="return x.T @ (x @ params)"), "manual_wrong", 1),
        (
            written(
                loss="return jnp.sum(half_square(x @ params))",
                grads="return x.T @ (x @ params)",
                end=WRONG_RULE,
            ),
            "autodiff_wrong",
            1,
        ),
        (
            written(
                loss="return jnp.sum(half_square(x @ params))",
                grads="return x.T @ jnp.sin(x @ params)",
                end=WRONG_RULE,
            ),
            "both_wrong",
            1,
        ),
        (
            written(
                loss="return jnp.sum(jnp.abs(params - x[0]))",  # zero, and -1
                grads="return jnp.array([0.5, -1.0], params.dtype)",
            ),
            "kink",
            2,
        ),
    ],
)
def test_the_verdict_is_the_exit_code(source: str, verdict: str, code: int) -> None:
    result = compare(source)
    assert result.out.partition(":")[0] == verdict
    assert (result.code, result.err) == (code, "")


def refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize("grads", ["return 2 * x.T @ (x @ params)", "return params * jnp.nan"])
def test_json_is_strict_and_alone_on_standard_output(grads: str) -> None:
    source = "print('importing')\n" + written(grads=f"print('running'); {grads}")
    result = compare(source, "--json")
    report = json.loads(result.out, parse_constant=refuse)
    assert report["ok"] == (report["verdict"] == "match") == ("nan" not in grads)
    assert result.err.startswith("importing\nrunning\n")
    assert compare(source).out.startswith(report["verdict"])


def test_a_file_is_unusable_in_json_too() -> None:
    result = compare("", "--json")
    assert (result.code, result.out) == (2, "")
    assert "has no loss" in result.err


# Unusable files.


COMMANDS = [
    ("nowhere.py", "nowhere.py: there is no such file: expected the path of a Python file."),
    ("models.py", "models.py: is a folder: expected the path of a Python file in it."),
    ("notes.txt", "notes.txt: is not a .py file: expected the path of a Python file. Rename it"),
    ("net.py --jsn", "--jsn"),
    ("", "FILE.py"),
]


def test_arguments_that_cannot_work_are_answered_without_jax() -> None:
    Path("models.py").mkdir()
    Path("notes.txt").touch()
    results = without_jax("jaxpercep.cli", *(f"compare {words}" for words, _ in COMMANDS))
    for (_, message), result in zip(COMMANDS, results, strict=True):
        assert (result.code, result.out) == (2, "")
        assert message in result.err


@pytest.mark.parametrize(
    ("source", "message"),
    [
        # The file as a whole.
        (
            "x = 1\nloss = (",
            "net.py:2: expected Python in UTF-8. Fix the SyntaxError",
        ),
        (
            "x = '\0'",
            "net.py: expected Python in UTF-8. Fix the SyntaxError",
        ),
        ("x = " + "-" * 10**5 + "1", "net.py: expressions are nested too deeply to compile. D"),
        ("x" + ".a" * 10**5, "net.py: expressions are nested too deeply to compile. Divide them"),
        (
            written(end="1 / 0"),
            "net.py:17: importing the file must not raise. "
            "Fix this line, which raised ZeroDivisionError: division by zero\n",
        ),
        ("\nimport nowhere_to_be_found", "net.py:2: importing the file must not raise. Fix this"),
        (written(end="import sys; sys.exit(0)"), "net.py:17: importing the file must not raise. "),
        (written(end="import sys; sys.exit(0)"), "Fix this line, which raised SystemExit: 0\n"),
        (
            written(end="class Stop(BaseException): pass\nraise Stop"),
            "net.py:18: importing the file must not raise. Fix this line, which raised Stop\n",
        ),
        (
            written(end="import os; os.chdir('/'); 1 / 0"),
            "net.py:17: importing the file must not raise. ",
        ),
        # Its definitions.
        (
            RIGHT.replace("def loss(", "def lost("),
            "net.py: has no loss: expected loss, example, and one of grads and step. "
            "Define loss(params, *batch).\n",
        ),
        (RIGHT.replace("def example(", "def examples("), "has no example: expected loss, example"),
        (RIGHT.replace("def example(", "def examples("), "Define example().\n"),
        (
            RIGHT.replace("def grads(", "def gradient("),
            "net.py: has neither grads nor step: expected one of them. Define grads(params",
        ),
        (
            written(end="step = grads"),
            "net.py: has both grads and step: expected one of them. Remove one",
        ),
        (
            written(end="loss = 3"),
            "net.py: loss is a value of type int: expected a function. Define loss(params, *ba",
        ),
        (written(end="grads = jnp.ones(2)"), "net.py: grads is float32[2]: expected a function."),
        (
            written(end="example = example()"),
            "net.py: example is a value of type tuple: expected",
        ),
        (
            STEP,
            "net.py: has step and no learning_rate: expected both. "
            "Set it to the one that step uses, learning_rate = 0.5 for instance.\n",
        ),
        *(
            (
                f"{STEP}learning_rate = {rate}",
                f"net.py: learning_rate={rate}: expected a finite number above 0. Set it to the",
            )
            for rate in ("0", "-0.5", "'0.5'", "True", "None", "1j")
        ),
        (STEP + "learning_rate = float('nan')", "net.py: learning_rate=nan: expected a finite"),
        (STEP + "learning_rate = float('inf')", "net.py: learning_rate=inf: expected a finite"),
        # The result of example.
        (
            written(example="return open('data.csv')"),
            "net.py:14: example() must return the tuple (params, *batch). "
            "Fix this line, which raised FileNotFoundError: [Errno 2] No such file",
        ),
        (RIGHT.replace("example()", "example(seed)"), "net.py: example() must return the tuple"),
        (RIGHT.replace("example()", "example(seed)"), "Fix what raised TypeError: example() miss"),
        (
            written(example="return {'w': jnp.ones(2)}"),
            "net.py: example() returned a value of type dict: expected the tuple (params, *batch). "
            "Return (params, x, y), for instance, or (params,) where there is no batch.\n",
        ),
        (
            written(example="return [jnp.ones(2)]"),
            "net.py: example() returned a value of type list",
        ),
        (written(example="return jnp.ones(2)"), "net.py: example() returned float32[2]: expected"),
        (written(example="return ()"), "net.py: example() returned (): expected the tuple"),
        (
            written(
                example="return Params(jnp.ones(2))",
                end="import typing\nclass Params(typing.NamedTuple):\n    w: jax.Array",
            ),
            "net.py: example() returned a value of type Params: expected the tuple",
        ),
        (
            written(example="return jnp.arange(2), jnp.ones((2, 2))"),
            "net.py: params, from example(), is int32[2]: expected floating-point arrays to "
            "differentiate by. Return them first, and everything else after them.\n",
        ),
        (
            written(example="return {'w': jnp.ones(2), 'depth': 3}, jnp.ones((2, 2))"),
            "net.py: params['depth'], from example(), is a value of type int: expected float",
        ),
        (written(example="return None, 1"), "net.py: params, from example(), holds no array: expe"),
        # The result of loss.
        (
            written(loss="return jnp.sum(params @ x.T @ jnp.ones(3))"),
            "net.py:6: loss(*example()) must return a scalar, under jax.grad too. "
            "Fix this line, which raised TypeError: dot_general requires",
        ),
        (
            "import numpy as np\n" + written(loss="return np.sum(np.square(x @ params))"),
            "net.py:7: loss(*example()) must return a scalar, under jax.grad too. "
            "Fix this line, which raised TracerArrayConversionError: ",
        ),
        (RIGHT.replace("loss(params, x)", "loss(x)"), "net.py: loss(*example()) must return a sca"),
        (RIGHT.replace("loss(params, x)", "loss(x)"), "Fix what raised TypeError: loss() takes 1"),
        (
            written(loss="return x @ params"),
            "net.py: loss(*example()) returned float32[2]: expected a floating-point scalar. "
            "Return a mean or a sum, for instance.\n",
        ),
        (written(loss="x @ params"), "net.py: loss(*example()) returned a value of type NoneType"),
        (
            written(loss="return params.size"),
            "net.py: loss(*example()) returned a value of type int",
        ),
        (written(loss="return jnp.argmax(params)"), "loss(*example()) returned int32[]: expected"),
        # The results of grads and step.
        (
            written(grads="return x @ params.w"),
            "net.py:10: grads(*example()) must return without an error. Fix this line, which "
            "raised AttributeError: ",
        ),
        (
            written(grads="import sys; sys.exit(1)"),
            "net.py:10: grads(*example()) must return without an error. "
            "Fix this line, which raised SystemExit: 1\n",
        ),
        (RIGHT.replace("grads(params, x)", "grads()"), "net.py: grads(*example()) must return wit"),
        (
            RIGHT.replace("return 2", "assert not calls.append(0) and len(calls) < 2; return 2")
            + "calls = []",
            "net.py:10: loss and grads must run in float64 too. "
            "Fix this line, which raised AssertionError\n",
        ),
        (
            f"{STEP}learning_rate = 0.5\ndef step(params, x): return params[:1]",
            "net.py: step(*example()) returned shape [1] at params: expected shape [2]. "
            "Return the new params, in their structure and shapes.\n",
        ),
        (
            f"{STEP}learning_rate = 0.5\ndef step(params, x): return [params, params]",
            "net.py: step(*example()) returned nothing at params: expected shape [2]. Return the",
        ),
        (
            f"{STEP}learning_rate = 0.5\ndef step(params, x): return params, 1 / 0",
            "net.py:19: step(*example()) must return without an error. Fix this line, which",
        ),
    ],
)
def test_a_file_that_is_unusable(source: str, message: str) -> None:
    result = compare(source)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("jaxpercep compare: error: net.py")
    assert message in result.err
    assert "Traceback" not in result.err


def test_a_file_that_is_not_utf_8() -> None:
    for content, message in (
        (b"x = 1\nname = '\xff'\n", "net.py:2: expected Python in UTF-8. Fix the SyntaxError: (u"),
        (
            b"-import x\n\xff",
            "net.py: expected Python in UTF-8, but 'utf-8' codec can't decode byte",
        ),
    ):
        Path("net.py").write_bytes(content)
        result = run("compare", "net.py")
        assert (result.code, result.out) == (2, "")
        assert message in result.err


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that fails to read")
def test_a_file_that_cannot_be_read() -> None:
    Path("net.py").symlink_to("/proc/self/mem")  # permissions would not stop the superuser
    result = run("compare", "net.py")
    assert (result.code, result.out) == (2, "")
    assert "net.py: cannot be read (Input/output error): expected a Python file." in result.err


def test_a_bug_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("a bug of ours")

    monkeypatch.setattr(comparison, "compare_gradients", fail)
    result = compare(RIGHT)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("Traceback")
    assert result.err.endswith("ValueError: a bug of ours\n")


def test_ctrl_c_is_not_a_verdict() -> None:
    result = compare(written(example="raise KeyboardInterrupt"))
    assert (result.code, result.out) == (130, "")
    assert result.err == "jaxpercep compare: interrupted\n"


# The file as a module.


def test_a_file_has_its_neighbours_and_leaves_nothing_behind(folder: Path) -> None:
    before, path = set(sys.modules), sys.path[:]
    for code, factor in enumerate(("2", "[2, 2]")):  # each folder has its own neighbour
        other = folder / str(code)
        (other / "parts").mkdir(parents=True)
        (other / "parts" / "__init__.py").touch()
        (other / "parts" / "inner.py").write_text(f"FACTOR = {factor}\n")
        (other / "helper.py").write_text("from parts.inner import FACTOR\n")
        grads = "import helper; g = x.T @ (x @ params)\n    "
        grads += "return 2 * g if helper.FACTOR == 2 else [g, g]"
        (other / "net.py").write_text(written(grads=grads))
        assert run("compare", other / "net.py").code == code
    assert sys.path == path
    left = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert left.isdisjoint({"net", "compared_net", "helper", "parts"})


@pytest.mark.parametrize("name", ["json.py", "jax.py", "my net-2.py"])
def test_a_file_may_have_any_name(name: str) -> None:
    Path(name).write_text(written(end="import json\nassert json.dumps(1) == '1'"))
    assert run("compare", name).code == 0
    assert sys.modules["json"] is json


def test_a_file_may_define_a_class_of_params() -> None:
    source = f"""\
from __future__ import annotations  # dataclasses then look their module up by its name
from dataclasses import dataclass
{RIGHT}
@jax.tree_util.register_dataclass
@dataclass
class Params:
    w: jax.Array

_loss, _grads, _example = loss, grads, example
def loss(params, x): return _loss(params.w, x)
def grads(params, x): return Params(_grads(params.w, x))
def example():
    w, x = _example()
    return Params(w), x
"""
    result = compare(source)
    assert (result.code, result.err) == (0, "")


def test_a_gradient_may_write_into_its_arguments() -> None:
    grads = "params *= 0; return 2 * x.T @ x @ (params + 1)"
    example = "import numpy as np; return np.ones(2, np.float32), np.eye(2, dtype=np.float32)"
    assert compare(written(grads=grads, example=example)).code == 0
