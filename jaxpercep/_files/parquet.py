"""Parquet files as tables, read by pyarrow a batch of rows at a time.

A column holds numbers (booleans and decimals among them) or text, and may be a dictionary of these.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jaxpercep._checks import shown
from jaxpercep._extras import needed_by
from jaxpercep._files.table import Block, Table, check_names, rows_of_block
from jaxpercep._files.unpacking import check_unpacked

MAGIC = b"PAR1"
BUFFER = 2**16  # bytes of each column that are read ahead; without it, the whole of a row group


@contextmanager
def open_parquet(path: Path) -> Generator[Table]:
    """Opens a Parquet file as a table.

    Raises:
        OSError: The file is missing, a directory, or not readable.
        ValueError: It is not a Parquet file, or is damaged, or announces more rows than it can
            honestly hold; or columns have no names, or the same.
        MissingExtraError: pyarrow is not installed.
    """
    with needed_by("a Parquet file"):
        from pyarrow import parquet

    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError(
                f"{path} is not a Parquet file; write one with pyarrow.parquet.write_table, or "
                "DataFrame.to_parquet of pandas or polars."
            )
    with _naming_damage(path):
        source = parquet.ParquetFile(path, buffer_size=BUFFER)
    with source:
        rows, names = source.metadata.num_rows, list(source.schema_arrow.names)
        try:
            fix = "if it is none, write it with compression='none', use_dictionary=False."
            check_unpacked(path.stat().st_size, 4 * rows * len(names), fix)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        table = Table(path, names, len(names), partial(_blocks, path, source), rows, "row")
        check_names(table, str(path))
        yield table


@contextmanager
def _naming_damage(path: Path) -> Generator[None]:
    from pyarrow import ArrowException

    try:
        yield
    except MemoryError:  # an ArrowException too, and no fault of the file
        raise
    except (ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
        raise ValueError(
            f"{path} cannot be read as a Parquet file: {shown(reason)[1:-1]}. Write it again, or "
            "restore it from a copy."
        ) from error


def _blocks(path: Path, source: Any, columns: Sequence[int]) -> Iterator[Block]:
    names = [source.schema_arrow.names[column] for column in columns]
    texts = [_is_text(path, source.schema_arrow.field(column)) for column in columns]
    first = 1
    with _naming_damage(path):
        size = rows_of_block(len(columns))
        for batch in source.iter_batches(size, columns=names, use_threads=False):
            if not len(batch):
                continue
            cells = [batch.column(name) for name in names]
            numbers = [_numbers(*pair) for pair in zip(cells, texts, strict=True)]
            read = {i: cells[i].to_pylist() for i, is_text in enumerate(texts) if is_text}
            lines = range(first, first := first + len(batch))
            yield Block(lines, np.stack(numbers, axis=1), partial(_text, cells, read))


def _is_text(path: Path, field: Any) -> bool:
    """Returns True if a column holds text, False if numbers; raises if it is anything else."""
    from pyarrow import types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return True
    if not (
        types.is_boolean(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_null(kind)
    ):
        raise ValueError(
            f"{path}: the column {field.name!r} is of the type {field.type}, expected numbers, "
            "booleans or text; leave it out with --drop, or write it as one of these."
        )
    return False


def _numbers(column: Any, is_text: bool) -> NDArray[np.float64]:
    """Returns a column as numbers; NaN where a cell is empty, or text."""
    import pyarrow as pa

    if is_text:
        return np.full(len(column), np.nan)
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return plain.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _text(
    cells: Sequence[Any], read: Mapping[int, Sequence[str | None]], row: int, column: int
) -> str:
    cell = read[column][row] if column in read else cells[column][row].as_py()
    return "" if cell is None else str(cell).strip()
