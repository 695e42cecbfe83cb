"""Quotes the source text of expressions."""

import ast


class Text:
    """The lines of a source, to quote from: `ast.get_source_segment` splits them at every call."""

    def __init__(self, text: str) -> None:
        self.lines = [f"{line}\n".encode() for line in text.split("\n")]  # not at form feeds

    def segment(self, node: ast.AST) -> str:
        """Returns the text of an expression or a statement as it stands."""
        assert isinstance(node, (ast.expr, ast.stmt))
        first, last = node.lineno - 1, (node.end_lineno or 0) - 1
        lines = self.lines[first : last + 1]
        lines[-1] = lines[-1][: node.end_col_offset]
        lines[0] = lines[0][node.col_offset :]
        return b"".join(lines).decode()
