"""Imports within the suite go one way."""

import ast
import re
from pathlib import Path

import pytest

from benchmarks import measure

ROOT = Path(measure.__file__).parents[1]
COMMANDS = "run.py", "against.py", "fit_against.py"
ORDER = re.findall(r"^ {4}(\w+) ", measure.__doc__ or "", re.MULTILINE)


def imported(path: Path) -> set[str]:
    """The modules of benchmarks/measure that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {m[1] for n in names if (m := re.match(r"benchmarks\.measure\.(\w+)", n))}
    return found


def test_each_module_imports_those_below_it() -> None:
    assert {path.stem for path in ROOT.glob("measure/*.py")} == {"__init__", *ORDER}
    for place, name in enumerate(ORDER, start=1):
        assert imported(ROOT / "measure" / f"{name}.py") <= set(ORDER[place:]), name


@pytest.mark.parametrize("part", ["*.py", "report/*.py", "peers/*.py"])
def test_only_the_commands_measure(part: str) -> None:
    for path in ROOT.glob(part):
        assert path.name in COMMANDS or not imported(path), path
