"""Files larger than the memory of a process are learnt, and predicted from, from disk."""

from pathlib import Path

import limited_memory
import pytest
from limited_memory import prove, rows_beyond, write

LIMIT = limited_memory.LIMIT * 2**20  # JAX and its compiler take the most of it

pytestmark = pytest.mark.slow


def test_a_file_beyond_the_limit_of_the_process(tmp_path: Path) -> None:
    path = tmp_path / "table.npy"
    write(path, rows_beyond(LIMIT))
    found = prove(path, LIMIT)
    assert found["train"].code != 0
    assert "does not fit into memory" in found["train"].said
    for command in ("train --stream", "predict"):
        assert found[command].code == 0, found[command].said
        assert "accuracy" in found[command].said
        assert found[command].peak < LIMIT + 2**28  # code that is mapped is not data
    with path.with_suffix(".out").open() as lines:
        assert sum(1 for _ in lines) == 1 + rows_beyond(LIMIT)


def test_the_tables_are_the_same_in_every_format(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is in the extra data")
    from test_table_formats import assert_alike

    from jaxpercep.tables import read_examples

    rows = limited_memory.ROWS + 10
    paths = [tmp_path / f"table.{suffix}" for suffix in ("npy", "parquet", "csv")]
    for path in paths:
        write(path, rows, 3)
    first, *others = [read_examples(path) for path in paths]
    for data, _ in others:
        assert_alike((data, None), (first[0], None))
