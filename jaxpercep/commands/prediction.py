"""`jaxpercep predict`: some rows at a time, so that a file may be larger than memory."""

import csv
import io
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from jaxpercep._checks import counted
from jaxpercep._files.writing import written_whole
from jaxpercep.commands import checkpoint, sources
from jaxpercep.commands.arguments import Predict, UsageError, inputs, is_dataset
from jaxpercep.commands.checkpoint import Description, Trained
from jaxpercep.commands.heads import UnknownClassError, in_terms_of
from jaxpercep.commands.networks import outputs_of
from jaxpercep.commands.notes import note, note_images, table
from jaxpercep.commands.samples import as_inputs
from jaxpercep.tables import Rows, read_rows


def predict(arguments: Predict) -> int:
    """Writes predictions as CSV, and metrics to standard error; returns the exit code.

    Raises:
        UsageError: The model or the data cannot be read or used, or do not fit each other.
        OSError: A file cannot be written.
    """
    with inputs():
        trained = checkpoint.load(arguments.model)
    prediction = _Prediction(arguments, trained)
    with _predictions(arguments.out) as file:
        metrics = trained.description.head.metrics(prediction.pairs(file))
    note(f"{arguments.data}: {counted(prediction.samples, 'sample')}")
    if prediction.remark:
        note(f"no metrics: {prediction.remark}")
    elif metrics:
        note(table({"": metrics}))
    return 0


class _Prediction:
    """Predicts some rows at a time.

    Attributes:
        samples: How many were predicted so far.
        remark: Why there are no metrics although there are targets, or "".
    """

    def __init__(self, arguments: Predict, trained: Trained) -> None:
        self._arguments, self._trained = arguments, trained
        self.samples, self.remark = 0, ""

    def pairs(self, file: IO[bytes]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Writes the predictions, and yields outputs and targets while these can be used."""
        model, params, description = self._trained
        for rows in self._rows():
            targets = None if self.remark else self._targets(rows)
            x = as_inputs(description.fill, description.scale, rows.x)
            outputs = outputs_of(model, params, x)
            file.write(_as_csv(description.head.columns(outputs), header=not self.samples))
            self.samples += len(x)
            if targets is not None:
                yield outputs, targets

    def _rows(self) -> Iterator[Rows]:
        with inputs():  # around what is read: a generator is not thrown what its user raises
            yield from _rows(self._arguments, self._trained.description)

    def _targets(self, rows: Rows) -> NDArray[Any] | None:
        """Returns the targets, if there are any; notes why they cannot be used."""
        self.remark = rows.remark
        if rows.labelled is None:
            return None
        try:
            return self._trained.description.head.encode(rows.labelled)
        except UnknownClassError as error:
            raise UsageError(f"{rows.where(error.row)}: {error}") from error
        except ValueError as error:  # the predictions stand all the same
            self.remark = str(error)
        return None


def _rows(arguments: Predict, description: Description) -> Iterator[Rows]:
    """Yields the features to predict for and, where there are targets, all of the data."""
    layout = description.layout
    if not is_dataset(arguments.data) and not Path(arguments.data).is_dir():
        for rows in read_rows(
            arguments.data, layout, arguments.target, description.fill is not None
        ):
            note_images(rows.shape)
            yield rows
        return
    source = sources.load(arguments.data, None, description.seed)
    shape, hint = source.layout.shape, f": it was trained on {description.data}"
    layout.check_shape(f"DATA={arguments.data!r}", shape, hint)
    source = in_terms_of(description.head.loss_name, source)
    seen, unseen, remark = sources.hold_out(source, description.test_fraction, description.seed)
    note(remark or "the part that training did not see:")
    data = seen if unseen is None else unseen

    def where(row: int) -> str:
        return f"{arguments.data}: sample {row}"

    yield Rows(data.x, shape, data, where=where)


def _as_csv(columns: Mapping[str, Sequence[str]], header: bool) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if header:
        writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()


@contextmanager
def _predictions(out: Path | None) -> Generator[IO[bytes]]:
    """Yields a file whose content goes to a path, or to standard output, wholly or not at all."""
    if out is not None:
        with written_whole(out) as file:
            yield file
        return
    with tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        while lines := file.readlines(2**16):  # standard output is flushed at each write
            sys.stdout.write(b"".join(lines).decode())
