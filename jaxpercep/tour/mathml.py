"""Formulas as MathML, from the plain text that a terminal shows.

The notation is that of the tour: `w x + b > 0`, `(R/gamma)^2`, `dE_o1/dout_h1`. A name's part after
`_`, or its digits, are an index; d before a name in a fraction is a partial derivative.
"""

import re
from collections.abc import Sequence
from html import escape

TOKEN = re.compile(r"[A-Za-z]\w*|\d+(?:[.,]\d+)*|\S")
OPERATORS = {"/": "mfrac", "^": "msup"}
SYMBOLS = {"gamma": "\N{GREEK SMALL LETTER GAMMA}", "delta": "δ", "*": "·", "-": "\N{MINUS SIGN}"}
NAME = re.compile(r"([A-Za-z]+?)(?:_(\w+)|(\d+))?")


def mathml(formula: str) -> str:
    """Returns a formula as a `<math>` element."""
    parts: list[str] = []
    tokens = TOKEN.findall(formula)
    for place, token in enumerate(tokens):
        before = tokens[place - 1] if place else ""
        if tag := OPERATORS.get(before):
            base = _row(_base(parts))
            parts.append(f"<{tag}>{base}{_term(token, tokens)}</{tag}>")
        elif token not in OPERATORS:
            parts.append(_term(token, tokens))
    return f"<math>{''.join(parts)}</math>"


def _base(parts: list[str]) -> Sequence[str]:
    """Takes away what a fraction or a power stands on: the last term, or the last parentheses."""
    start = len(parts) - 1
    if parts[start] == "<mo>)</mo>":
        start = parts.index("<mo>(</mo>")
    taken = parts[start:]
    del parts[start:]
    return taken


def _row(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"<mrow>{''.join(parts)}</mrow>"


def _term(token: str, tokens: Sequence[str]) -> str:
    if token[0].isdigit():
        return f"<mn>{token}</mn>"
    if not token[0].isalpha():
        return f"<mo>{escape(SYMBOLS.get(token, token))}</mo>"
    if token[0] == "d" and "/" in tokens and token != "delta":
        return f"<mrow><mo>∂</mo>{_name(token[1:])}</mrow>"
    return _name(token)


def _name(token: str) -> str:
    match = NAME.fullmatch(token)
    if match is None:
        raise ValueError(f"{token!r} is not a name with an index.")
    name, word, number = match.groups()
    space = '<mspace width="0.2em"/>' if name == "ln" else ""
    base = f"<mi>{SYMBOLS.get(name, name)}</mi>{space}"
    if number:
        return f"<msub>{base}<mn>{number}</mn></msub>"
    return f"<msub>{base}<mi>{word}</mi></msub>" if word else base
