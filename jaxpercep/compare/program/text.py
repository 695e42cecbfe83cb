"""Quotes the source text of expressions."""

import ast


class Text:
    """The lines of a source, to quote from: `ast.get_source_segment` splits them at every call."""

    def __init__(self, text: str) -> None:
        self.lines = [f"{line}\n".encode() for line in text.split("\n")]  # not at form feeds

    def segment(self, node: ast.AST) -> str:
        """Returns the text of an expression or a statement as it stands."""
        assert isinstance(node, (ast.expr, ast.stmt))
        begin, end = (
            (node.lineno, node.col_offset),
            (node.end_lineno or 0, node.end_col_offset or 0),
        )
        return self.between(begin, end)

    def between(self, begin: tuple[int, int], end: tuple[int, int]) -> str:
        """Returns the text between two places: a line, counted from 1, and a column in bytes."""
        lines = self.lines[begin[0] - 1 : end[0]]
        lines[-1] = lines[-1][: end[1]]
        lines[0] = lines[0][begin[1] :]
        return b"".join(lines).decode()
