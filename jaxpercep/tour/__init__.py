"""Six experiments of the lecture, reproduced by autodiff and by the manual chain rule."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable

from jaxpercep._files.writing import write_whole
from jaxpercep.tour.chain_rule import chain_rule
from jaxpercep.tour.handwritten_digits import read_digits, vanishing_gradients
from jaxpercep.tour.logic import mlp_on_xor, perceptron_on_xor, threshold_neuron
from jaxpercep.tour.report import render
from jaxpercep.tour.section import Section

PARTS = (
    threshold_neuron,
    perceptron_on_xor,
    mlp_on_xor,
    chain_rule,
    read_digits,
    vanishing_gradients,
)


def run(out: Path) -> None:
    """Runs every part; writes pictures, report.html and results.json to `out`.

    Each part's account is printed as soon as it is done. The figures in results.json are the same
    in every run on one machine, because seeds are fixed and no times are recorded.
    """
    console = Console()
    sections = []
    for number, section in enumerate(_sections(console), start=1):
        _print(console, number, section)
        for picture in section.pictures:
            write_whole(out / f"{picture.name}.png", picture.png)
            console.print(f"  [dim]picture:[/] {out / picture.name}.png\n", soft_wrap=True)
        sections.append(section)
    write_whole(out / "report.html", render(sections))
    write_whole(out / "results.json", _to_json({s.key: s.results for s in sections}))
    console.print(f"[bold]Report:[/] {out / 'report.html'}", soft_wrap=True)
    console.print(f"[bold]Figures:[/] {out / 'results.json'}", soft_wrap=True)


def _sections(console: Console) -> Iterator[Section]:
    for number, part in enumerate(PARTS, start=1):
        console.print(f"[dim]Part {number} of {len(PARTS)}: {part.__doc__}")
        yield part()


def _print(console: Console, number: int, section: Section) -> None:
    console.rule(f"[bold]{number}. {section.title}", align="left")
    console.print(Padding(_plain(section.result), (0, 2, 1, 2)), style="bold", highlight=False)
    for paragraph in section.account:
        console.print(Padding(_plain(paragraph), (0, 2, 1, 2)), highlight=False)
    for table in section.tables:
        grid = RichTable(*map(_plain, table.header), title=table.title, title_justify="left")
        for row in table.rows:
            grid.add_row(*map(_plain, row))
        console.print(Padding(grid, (0, 2, 1, 2)))


def _plain(text: str) -> str:
    """Formulas read as they are written where they cannot be typeset."""
    return text.replace("`", "")


def _to_json(results: Mapping[str, Any]) -> str:
    return json.dumps(results, indent=1, allow_nan=False) + "\n"
