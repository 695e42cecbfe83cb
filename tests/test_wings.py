"""The wings of `jaxpercep.compare` import only from those before them, and never in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = "jaxpercep.compare"
ROOT = Path(__file__).parents[1] / "jaxpercep" / "compare"
WINGS = (
    "program",
    "evaluation",
    "explanation",
    "candidate",
    "report",
    "comparison",
    "further",
    "rules",
    "forward_mode",
    "layers",
    "entry",
    "annotation",
    "__init__",
)


def imported(source: str) -> set[str]:
    """The modules of the package that a source imports, `program.graph` for example."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith(PACKAGE) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where they lead"
            head, package, module = (node.module or "").partition(PACKAGE)
            if package and not head:
                module = module.removeprefix(".")
                inside = {f"{module}.{alias.name}" for alias in node.names}
                found |= inside if (ROOT / module).is_dir() else {module}
    return found


SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text("utf-8")
    for path in ROOT.rglob("*.py")
}
IMPORTS = {name: imported(source) for name, source in SOURCES.items()}


def wing(module: str) -> int:
    return WINGS.index(module.partition(".")[0])


def assert_in_order(imports: dict[str, set[str]]) -> None:
    upwards = [(a, b) for a, others in imports.items() for b in others if wing(a) < wing(b)]
    assert upwards == []
    TopologicalSorter(imports).prepare()


def test_every_wing_imports_only_from_those_before_it():
    assert {wing(module) for module in IMPORTS} == set(range(len(WINGS)))
    assert set().union(*IMPORTS.values()) <= set(SOURCES)
    assert_in_order(IMPORTS)


def test_an_import_upwards_or_in_a_circle_does_not_pass():
    upwards = f"from {PACKAGE}.explanation.diagnosis import diagnose"
    with pytest.raises(AssertionError):
        assert_in_order(IMPORTS | {"evaluation.trees": imported(upwards)})
    circle = f"from {PACKAGE}.evaluation import reference"
    with pytest.raises(CycleError):
        assert_in_order(IMPORTS | {"evaluation.trees": imported(circle)})
