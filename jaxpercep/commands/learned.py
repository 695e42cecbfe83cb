"""How many networks of each width and learning rate learned."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table
from scipy.stats import binomtest


@dataclass(frozen=True)
class Cell:
    """The networks of one width and learning rate, `[networks]` each.

    Attributes:
        hidden: The hidden width.
        learning_rate: The learning rate.
        losses: The losses after the last step; infinite for one that diverged.
        learned: True where enough samples are right.
        diverged: True where the loss or a parameter is NaN or infinite.
    """

    hidden: int
    learning_rate: float
    losses: NDArray[np.float32]
    learned: NDArray[np.bool_]
    diverged: NDArray[np.bool_]

    @property
    def networks(self) -> int:
        """How many networks there are."""
        return len(self.losses)

    @property
    def fraction(self) -> float:
        """The share that learned."""
        return float(self.learned.mean())

    def interval(self) -> tuple[float, float]:
        """Returns Wilson's interval, which holds the probability of learning with 95 %."""
        test = binomtest(int(self.learned.sum()), self.networks)
        found = test.proportion_ci(confidence_level=0.95, method="wilson")
        return float(found.low), float(found.high)

    def texts(self) -> tuple[str, str]:
        """Returns the share and its interval, in percent: `"54.1 %"`, `"51.0 to 57.2"`."""
        low, high = (100 * bound for bound in self.interval())
        return f"{100 * self.fraction:.1f} %", f"{low:.1f} to {high:.1f}"


def as_csv(cells: Sequence[Cell]) -> str:
    """Returns a row for each width and learning rate."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "hidden",
            "learning_rate",
            "networks",
            "learned",
            "fraction",
            "low",
            "high",
            "diverged",
            "median_loss",
        ]
    )
    for cell in sorted(cells, key=lambda cell: (cell.hidden, cell.learning_rate)):
        counts = cell.hidden, f"{cell.learning_rate:.9g}", cell.networks, cell.learned.sum()
        shares = (f"{share:.6f}" for share in (cell.fraction, *cell.interval()))
        median = f"{np.median(cell.losses):.6g}"
        writer.writerow([*counts, *shares, cell.diverged.sum(), median])
    return text.getvalue()


def as_table(cells: Sequence[Cell]) -> Table:
    """Returns the shares that learned, a row for each width and a column for each rate."""
    rates = sorted({cell.learning_rate for cell in cells})
    texts = {(cell.hidden, cell.learning_rate): "\n".join(cell.texts()) for cell in cells}
    table = Table()
    for name in ("hidden", *(f"{rate:g}" for rate in rates)):
        table.add_column(name, justify="right")
    for hidden in sorted({cell.hidden for cell in cells}):
        table.add_row(str(hidden), *(texts.get((hidden, rate), "") for rate in rates))
    return table
