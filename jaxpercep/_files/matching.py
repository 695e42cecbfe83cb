"""Which columns of a table are the target, the features, and those that are left out."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxpercep._checks import counted, nearest_name
from jaxpercep._files.layout import Layout, listed
from jaxpercep._files.table import Table


def column_index(table: Table, argument: str, value: Any) -> int:
    """Returns the index, from the left, of the column that an argument names."""
    if isinstance(value, str):
        if value not in table.names:
            raise ValueError(
                f"{argument}={value!r} is not a column of {table.path}."
                f"{nearest_name(value, table.names)} Its column names: "
                f"{listed(table.names) or 'none (it has no header)'}."
            )
        return table.names.index(value)
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            f"{argument}={value!r} must be a column's name or index, not {type(value).__name__}."
        )
    if not -table.width <= value < table.width:
        raise ValueError(
            f"{argument}={value} is not a column of {table.path}: it has {table.width}."
        )
    return int(value) % table.width


def choose_columns(
    table: Table, target: str | int | None, drop: Sequence[str | int]
) -> tuple[list[int], int, list[int]]:
    """Divides the columns of a file to train on.

    Args:
        table: The file.
        target: The target column; None is the last of those that are not left out.
        drop: The columns to leave out.

    Returns:
        The indices of the features, of the target, and of what is left out.
    """
    dropped = sorted({column_index(table, "drop", value) for value in drop})
    left = [i for i in range(table.width) if i not in dropped]
    if len(left) < 2:
        kept = f", and {counted(len(dropped), 'column')} left out" if dropped else ""
        hint = "; are the cells separated by commas, semicolons or tabs?"
        raise ValueError(
            f"{table.path} has {counted(table.width, 'column')}{kept}, but features and a target "
            f"need at least two{hint if table.unit == 'line' else '.'}"
        )
    column = left[-1] if target is None else column_index(table, "target", target)
    if column in dropped:
        raise ValueError(f"target={target!r} of {table.path} is left out by drop; keep it.")
    for i in left:
        if table.names and not table.names[i]:
            raise ValueError(
                f"{table.path}, {table.place(i)}: the header gives this column no name, as that of "
                f"an index that pandas writes. Leave it out, --drop {i}, or give it a name."
            )
    return [i for i in left if i != column], column, dropped


def match_columns(
    table: Table, layout: Layout, target: str | int | None
) -> tuple[list[int], int | None]:
    """Finds the columns of a layout: by name if both have names, otherwise by position.

    Returns:
        The indices of the features, in the layout's order, and of the target, None if it has none.
    """
    if table.names and layout.columns:
        return _by_name(table, layout, target)
    width = layout.width - 1
    named = isinstance(target, str) and target in table.names
    if table.width == width and not named:
        return layout.places, None
    if table.width == width + 1:
        last = width if layout.target is None else layout.target
        column = column_index(table, "target", last if target is None else target)
        others = [i for i in range(table.width) if i != column]
        return [others[place] for place in layout.places], column
    raise ValueError(
        f"{table.path} has {counted(table.width, 'column')}"
        f"{', the target among them' if named else ''}: expected "
        f"{counted(width, 'column' if layout.dropped else 'feature')}, or "
        f"{counted(width + 1, 'column')} with the target."
    )


def _by_name(
    table: Table, layout: Layout, target: str | int | None
) -> tuple[list[int], int | None]:
    name = layout.named_target
    if target is not None:
        name = table.names[column_index(table, "target", target)]
    features = layout.named_features
    if name in features:
        raise ValueError(
            f"target={target!r} of {table.path} is the column {name!r}, a feature of the model."
        )
    known = {*features, *layout.named_dropped, name}
    missing = [repr(n) for n in features if n not in table.names]
    extra = [repr(n) for n in table.names if n not in known]
    if missing or extra:
        lacks = [f"lacks {listed(missing)}"] if missing else []
        has = [f"has {listed(extra)} besides"] if extra else []
        raise ValueError(
            f"{table.path} {' and '.join(lacks + has)}: the model takes the columns "
            f"{listed(features)}, in any order, with or without the target {name!r}. Rename, add "
            "or remove columns."
        )
    column = table.names.index(name) if name in table.names else None
    return [table.names.index(n) for n in features], column
