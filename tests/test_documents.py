"""Runs what the documents show: Python blocks, shell commands, links, the layer to copy."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from cases import (
    assert_agree,
    autodiff_pull_back,
    draw_params,
    normal_like,
    pull_back,
)

from jaxpercep.cli import main

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)


def run_blocks(document: Path) -> SimpleNamespace:
    """Runs the Python blocks of a document one after the other, as a reader would paste them."""
    names: dict = {"__name__": document.stem}
    with jax.numpy_dtype_promotion("standard"):  # as a user has it
        for number, block in enumerate(blocks(document, "python"), start=1):
            exec(compile(block, f"{document.name}, block {number}", "exec"), names)
    return SimpleNamespace(**names)


def test_the_readmes_python_blocks_do_what_they_say(capsys):
    assert len(blocks(ROOT / "README.md", "python")) >= 2
    names = run_blocks(ROOT / "README.md")
    assert len(blocks(ROOT / "README.md", "python")[0].strip().splitlines()) <= 17
    assert names.history.loss[0] > 0.3
    assert names.history.loss[-1] < 0.01
    printed = capsys.readouterr().out
    assert printed.startswith("match: the gradients match")
    (said,) = [block for block in blocks(ROOT / "README.md", "text") if "example.py" in block]
    place = "README.md, block 2:5"
    assert said.strip().replace("example.py:5", place) in printed
    probabilities = jax.nn.sigmoid(names.model.apply(names.state.params, names.data.x))
    assert probabilities.ravel().tolist() == pytest.approx([0, 1, 1, 0], abs=0.02)


def test_the_readmes_commands_run(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    commands = [
        line.partition("#")
        for block in blocks(ROOT / "README.md", "bash")
        for line in block.splitlines()
        if line.startswith("jaxpercep ")
    ]
    assert len(commands) == 4
    for command, _, remark in commands:
        code = 1 if "exits with 1" in remark else 0
        assert main(shlex.split(command)[1:]) == code, capfd.readouterr().err
    printed = capfd.readouterr().out
    assert float(re.search(r"test +\S+ +(\S+)", printed)[1]) > 0.95
    assert "averaged over the batch of 10" in printed
    assert (tmp_path / "out" / "read.csv").read_text().startswith("prediction,probability\n")


@pytest.mark.usefixtures("x64")
def test_the_layer_to_copy_passes_the_contract():
    code = blocks(ROOT / "CONTRIBUTING.md", "python")[0]
    layer = run_blocks(ROOT / "CONTRIBUTING.md").Scale(3)
    lines = code[code.index("@dataclass") :].splitlines()
    assert len([line for line in lines if line.strip()]) <= 20
    rng = np.random.default_rng(0)
    params = draw_params(layer, rng)
    x = normal_like(jax.ShapeDtypeStruct((4, 3), "float64"), rng, "float64")
    y, _ = layer.forward(params, x)
    dy = normal_like(y, rng, "float64")
    assert_agree(pull_back(layer, params, x, dy), autodiff_pull_back(layer, params, x, dy))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#]+)\)", document.read_text())
    missing = [link for link in links if not link.startswith("http")]
    missing = [link for link in missing if not (document.parent / link).exists()]
    assert missing == []
