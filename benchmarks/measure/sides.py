"""The two sides of a comparison: what each of them runs, and where that comes from.

Both run the workloads, the peers and the protocol of *this* `benchmarks`; only `jaxpercep` is each
side's own, so that a ratio is one of the library alone. What runs is copied first: edits in the
meantime change neither side.
"""

import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import benchmarks
import jaxpercep
from benchmarks.arguments import UsageError
from benchmarks.measure.pool import Home

OLD, NEW = "old", "new"  # of the same length: so are paths and variables of both
PYTHONS = ("bin/python", "Scripts/python.exe")
ROOT = Path(benchmarks.__path__[0]).parent


def prepare(against: str, folder: Path) -> dict[str, Home]:
    """Copies what both sides run into a folder, and returns their homes.

    Args:
        against: a commit of this checkout, the folder of another checkout, or of a Python
            environment in which jaxpercep is installed; its packages are then the old side's.
        folder: an empty one.

    Raises:
        UsageError: It is none of these.
    """
    suite = str(folder / "suite")
    _copy(ROOT / "benchmarks", folder / "suite")
    _copy(Path(jaxpercep.__path__[0]), folder / NEW)
    new = Home(path=[str(folder / NEW), suite, *Home().path])
    place = Path(against)
    python = next((place / name for name in PYTHONS if (place / name).exists()), None)
    if python is not None:
        return {OLD: Home(str(python.absolute()), [suite]), NEW: new}
    if (place / "jaxpercep" / "__init__.py").exists():
        _copy(place / "jaxpercep", folder / OLD)
    else:
        _extract(against, folder / OLD)
    return {OLD: Home(sys.executable, [str(folder / OLD), suite, *Home().path]), NEW: new}


def _copy(package: Path, folder: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "results")
    shutil.copytree(package, folder / package.name, ignore=ignored)


def _extract(commit: str, folder: Path) -> None:
    """Takes `jaxpercep` of a commit out of git's store; no worktree is made, and none is left."""
    git = ["git", "-C", str(ROOT)]
    named = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"]
    try:
        found = subprocess.run([*git, *named], capture_output=True, text=True, check=True)
        archive = ["archive", "--format=tar", found.stdout.strip(), "jaxpercep"]
        packed = subprocess.run([*git, *archive], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise UsageError(
            f"--against {commit!r}: expected a commit of this checkout that has jaxpercep, the "
            "folder of another checkout, or of a Python environment. To compare with a release, "
            "make an environment: python -m venv ENV; ENV/bin/pip install "
            f"'jaxpercep[bench]==VERSION'; then --against ENV. It is not made here, for that takes "
            "minutes, and its packages are a choice of yours."
        ) from error
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(folder, filter="data")
