"""Runs what the documents show: Python blocks, shell commands, links, the layer to copy."""

import linecache
import re
import shlex
from itertools import pairwise
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
COMMANDS = ROOT / "docs" / "command-line.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def blocks(document: Path) -> list[tuple[str, str]]:
    """Returns (language, content) of every fenced block."""
    return re.findall(r"^```(\w+)\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE)


def blocks_in(document: Path, language: str) -> list[str]:
    return [content for found, content in blocks(document) if found == language]


def run_blocks(
    document: Path, folder: Path, capsys: pytest.CaptureFixture[str], without: str = "nothing"
) -> SimpleNamespace:
    """Runs the Python blocks one after the other, each of which prints the text block after it.

    Blocks that import the package `without` are left out.
    """
    names: dict = {"__name__": document.stem}
    file = folder / "example.py"
    found = [*blocks(document), ("", "")]
    with jax.numpy_dtype_promotion("standard"):  # as a user has it
        for (language, content), (after, text) in pairwise(found):
            if language == "python" and f"import {without}\n" not in content:
                file.write_text(content)
                linecache.checkcache(str(file))
                exec(compile(content, file, "exec"), names)
                printed = capsys.readouterr().out
                assert after != "text" or printed == text
    return SimpleNamespace(**names)


def test_the_readmes_python_blocks_do_what_they_say(tmp_path, capsys):
    names = run_blocks(ROOT / "README.md", tmp_path, capsys)
    training = [code for code in blocks_in(ROOT / "README.md", "python") if "jp.fit(" in code]
    assert len(training[0].strip().splitlines()) <= 17
    assert names.history.loss[0] > 0.3
    assert names.history.loss[-1] < 0.01
    assert names.report.verdict == "manual_wrong"
    probabilities = jax.nn.sigmoid(names.model.apply(names.state.params, names.data.x))
    assert probabilities.ravel().tolist() == pytest.approx([0, 1, 1, 0], abs=0.02)


def test_the_readme_is_one_screen():
    assert len((ROOT / "README.md").read_text()) <= 8000


@pytest.mark.slow
def test_the_page_on_flax_prints_what_it_says(tmp_path, capsys):
    run_blocks(ROOT / "docs" / "flax.md", tmp_path, capsys)
    languages = [language for language, _ in blocks(ROOT / "docs" / "flax.md")]
    assert languages == ["python", "text"] * 7


def test_the_page_on_populations_prints_what_it_says(tmp_path, capsys):
    run_blocks(ROOT / "docs" / "populations.md", tmp_path, capsys)


def test_the_page_on_training_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_blocks(ROOT / "docs" / "training.md", tmp_path, capsys)
    assert (tmp_path / "history.png").exists()


@pytest.mark.slow
def test_the_page_on_data_prints_what_it_says(tmp_path, monkeypatch, capsys):
    pytest.importorskip("grain", reason="Grain is in the extra data")
    monkeypatch.chdir(tmp_path)
    run_blocks(ROOT / "docs" / "data.md", tmp_path, capsys, without="torch")


@pytest.mark.slow
def test_the_page_on_data_prints_what_it_says_of_pytorch(tmp_path, monkeypatch, capsys):
    pytest.importorskip("grain", reason="Grain is in the extra data")
    pytest.importorskip("torch", reason="PyTorch is one of the optional peers")
    monkeypatch.chdir(tmp_path)
    run_blocks(ROOT / "docs" / "data.md", tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_page_on_scikit_learn_prints_what_it_says(tmp_path, capsys):
    run_blocks(ROOT / "docs" / "scikit-learn.md", tmp_path, capsys)
    languages = [language for language, _ in blocks(ROOT / "docs" / "scikit-learn.md")]
    assert languages.count("python") == languages.count("text") == 3


@pytest.mark.parametrize(
    "page", ["comparing-gradients", pytest.param("kinds-of-rule", marks=pytest.mark.slow)]
)
def test_a_page_on_comparisons_prints_what_it_says(page, tmp_path, capsys):
    run_blocks(ROOT / "docs" / f"{page}.md", tmp_path, capsys)


def command_lines() -> list[str]:
    lines = "".join(blocks_in(COMMANDS, "bash")).splitlines()
    return [line for line in lines if line.startswith("jaxpercep ")]


def test_the_table_of_the_page_is_read_as_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (table,), (said,) = blocks_in(COMMANDS, "csv"), blocks_in(COMMANDS, "text")
    (tmp_path / "trips.csv").write_text(table)
    for command in [line for line in command_lines() if "trips" in line]:
        assert main(shlex.split(command)[1:]) == 0
    printed = capsys.readouterr()
    for line in said.splitlines():
        assert line in (printed.err + printed.out).splitlines()
    read = [line.split(",")[0] for line in Path("out/late.csv").read_text().splitlines()[1:]]
    assert read == [line.split(";")[-1] for line in table.splitlines()[1:]]


@pytest.mark.slow
def test_the_command_lines_of_the_page_run(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "trips.csv").write_text("".join(blocks_in(COMMANDS, "csv")))
    commands = [line.partition("#") for line in command_lines()]
    assert len(commands) == 7
    for command, _, remark in commands:
        code = 1 if "exits with 1" in remark else 0
        assert main(shlex.split(command)[1:]) == code, capfd.readouterr().err
    printed = capfd.readouterr().out
    assert float(re.search(r"test +\S+ +(\S+)", printed)[1]) > 0.95
    assert "averaged over the batch of 10" in " ".join(printed.split())
    assert (tmp_path / "out" / "read.csv").read_text().startswith("prediction,probability\n")


@pytest.mark.usefixtures("x64")
def test_the_layer_to_copy_passes_the_contract():
    names: dict = {"__name__": "contributing"}
    code, *others = blocks_in(ROOT / "CONTRIBUTING.md", "python")
    for block in (code, *others):
        exec(compile(block, "example.py", "exec"), names)
    layer = names["Scale"](3)
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
