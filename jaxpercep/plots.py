"""Figures of training and classification. Each function returns a matplotlib figure to save.

Colours are Okabe and Ito's palette and matplotlib's cividis and viridis, which colour-blind readers
can tell apart; classes and curves differ in shape or dash as well.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxpercep._checks import (
    as_numbers,
    check_bool,
    check_callable,
    check_finite,
    check_text,
    shown,
)
from jaxpercep._extras import needed_by

with needed_by("jaxpercep.plots"):
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")

STYLE = {
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.dpi": 120,
}


def loss_curves(
    curves: Mapping[str, np.ndarray],
    *,
    title: str,
    xlabel: str = "training step",
    ylabel: str = "loss",
    log: bool = True,
    steps: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """Draws one named curve per entry.

    Args:
        curves: name -> `[steps]`; the first entry is step 0, before any update.
        title: of the figure.
        xlabel: the label of the horizontal axis.
        ylabel: the label of the vertical axis.
        log: True for a logarithmic vertical axis.
        steps: name -> `[steps]`, where each entry of that curve lies, instead of 0, 1, 2, ...

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: There is no curve, a curve is not `[steps]`, its steps are not as many, or all
            are 0 on a logarithmic axis.
    """
    _check_named("curves", curves)
    _check_texts(title=title, xlabel=xlabel, ylabel=ylabel)
    check_bool("log", log)
    drawn = {name: _array(f"curves[{name!r}]", curve, ["steps"]) for name, curve in curves.items()}
    if log and not any((curve > 0).any() for curve in drawn.values()):
        raise ValueError(f"curves={shown(curves)} have nothing above 0 to draw; pass log=False.")
    places = {name: np.arange(len(curve)) for name, curve in drawn.items()}
    if steps is not None:
        _check_named("steps", steps)
        for name, given in steps.items():
            if name not in places:
                raise ValueError(f"steps={shown(steps)} has {name!r}, which curves does not.")
            places[name] = _array(f"steps[{name!r}]", given, [len(drawn[name])])
    with mpl.rc_context(STYLE):
        figure, (axes,) = _panels(1, width=7.5, height=4.2)
        for i, (name, curve) in enumerate(drawn.items()):
            style = {"color": PALETTE[i % 7], "linestyle": DASHES[i % 4], "linewidth": 2}
            axes.plot(places[name], curve, label=name, **style)
        axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
        if log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", ncols=min(len(curves), 3))
    return figure


def decision_boundaries(
    models: Mapping[str, Callable[[np.ndarray], Any]], x: np.ndarray, y: np.ndarray
) -> Figure:
    """Draws P(class 1) over the plane for each model, its 0.5 contour, and the data on top.

    Args:
        models: title -> function of inputs `[n, 2]` that returns `[n]` or `[n, 1]` probabilities.
        x: data `[n, 2]`.
        y: classes 0 and 1, `[n]` or `[n, 1]`.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: There is no model, a shape is wrong, x holds NaN or infinity, y another class.
    """
    _check_named("models", models)
    for title, predict in models.items():
        check_callable(f"models[{title!r}]", predict, "of inputs [n, 2]", 1)
    x = _array("x", x, ["n", 2])
    check_finite("x", x)
    y = _array("y", np.ravel(as_numbers("y", y)), [len(x)])
    if len(other := y[(y != 0) & (y != 1)]):
        raise ValueError(f"y holds the class {other[0]}; expected 0 and 1 alone.")
    low, high = x.min(axis=0) - 0.4, x.max(axis=0) + 0.4
    grid = np.meshgrid(*(np.linspace(a, b, 201) for a, b in zip(low, high, strict=True)))
    points = np.stack([g.ravel() for g in grid], axis=1).astype(x.dtype)
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure, panels = _panels(len(models), width=4.4, height=4.4)
        for axes, (title, predict) in zip(panels, models.items(), strict=True):
            p = _array(f"models[{title!r}](x)", np.ravel(predict(points)), [len(points)])
            p = p.reshape(grid[0].shape)
            image = axes.pcolormesh(*grid, p, vmin=0, vmax=1, cmap="cividis", shading="gouraud")
            if p.min() < 0.499 and p.max() > 0.501:  # a flat 0.5 has no boundary to draw
                axes.contour(*grid, p, levels=[0.5], colors="white", linewidths=2.5)
            for value, marker in ((0, "o"), (1, "s")):
                points_of = x[y == value]
                axes.scatter(
                    *points_of.T,
                    marker=marker,
                    s=130,
                    label=f"class {value}",
                    linewidths=1.5,
                    edgecolors="white",
                    color=("#0072B2", "#D55E00")[value],
                    zorder=3,
                )
            axes.set(title=title, xlabel="input 1", ylabel="input 2", aspect="equal")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        figure.colorbar(image, ax=panels, label="P(class 1)", ticks=np.linspace(0, 1, 5))
    return figure


def gradient_norms(stacks: Mapping[str, np.ndarray], steps: Sequence[int]) -> Figure:
    """Draws the gradient norm of each layer's weights over training, a panel per stack.

    Args:
        stacks: title -> norms `[len(steps), layers]`, the first layer next to the input.
        steps: the training steps of the norms.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: There is no stack, or a shape is wrong.
    """
    _check_named("stacks", stacks)
    shape: list[int | str] = ["steps", "layers"]
    drawn = {}
    for title, norms in stacks.items():
        drawn[title] = _array(f"stacks[{title!r}]", norms, shape)
        shape = list(drawn[title].shape)
    marks, layers = _array("steps", steps, ["steps"]), int(shape[1])
    if len(marks) != shape[0]:
        raise ValueError(
            f"steps={shown(steps)} are {len(marks)}, but stacks has the norms of {shape[0]} steps."
        )
    with mpl.rc_context(STYLE):
        figure, panels = _panels(len(drawn), width=5.2, height=4.4, sharey=True)
        for axes, (title, norms) in zip(panels, drawn.items(), strict=True):
            colours = mpl.colormaps["viridis"](np.linspace(0, 0.9, norms.shape[1]))
            for layer, colour in enumerate(colours):
                axes.plot(marks, norms[:, layer], color=colour, linewidth=2)
            axes.set(title=title, xlabel="training step", yscale="log")
        panels[0].set_ylabel("gradient norm of a layer's weights")
        mappable = mpl.cm.ScalarMappable(
            cmap=mpl.colors.ListedColormap(mpl.colormaps["viridis"](np.linspace(0, 0.9, layers))),
            norm=mpl.colors.BoundaryNorm(np.arange(0.5, layers + 1), layers),
        )
        figure.colorbar(
            mappable,
            ax=panels,
            label="layer (1 is next to the input)",
            ticks=range(1, layers + 1),
        )
    return figure


def confusion_matrix(counts: np.ndarray, classes: Sequence[str], *, title: str) -> Figure:
    """Draws a confusion matrix: how often each class (row) was read as each class (column).

    Args:
        counts: `[classes, classes]`.
        classes: their names.
        title: of the figure.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: A shape is wrong, or a count is negative or not whole.
    """
    _check_texts(title=title)
    if isinstance(classes, str) or not isinstance(classes, (Sequence, np.ndarray)):
        raise TypeError(f"classes={shown(classes)} must be a sequence of names.")
    for i, name in enumerate(classes):
        check_text(f"classes[{i}]", name)
    counts = _array("counts", counts, ["classes", "classes"])
    if counts.shape != (len(classes), len(classes)):
        raise ValueError(
            f"classes={shown(classes)} names {len(classes)}, but counts has shape "
            f"{list(counts.shape)}; expected a row and a column for each."
        )
    if ((counts < 0) | (counts % 1 != 0)).any():
        raise ValueError(f"counts={counts.tolist()} must be whole numbers, at least 0.")
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure, (axes,) = _panels(1, width=6.2, height=5.6)
        image = axes.imshow(counts, cmap="cividis", norm=LogNorm(0.8, max(counts.max(), 1), True))
        for (row, column), count in np.ndenumerate(counts):
            if count:
                bright = count > counts.max() / 4
                axes.text(
                    column,
                    row,
                    str(count),
                    ha="center",
                    va="center",
                    fontsize=11,
                    color="black" if bright else "white",
                )
        ticks = range(len(classes))
        axes.set(title=title, xlabel="read as", ylabel="true class")
        axes.set_xticks(ticks, classes)
        axes.set_yticks(ticks, classes)
        figure.colorbar(image, ax=axes, label="test samples (log scale)")
    return figure


def misread(
    images: np.ndarray, truth: np.ndarray, read: np.ndarray, confidence: np.ndarray, *, title: str
) -> Figure:
    """Draws misread images, each with its class, the class that was read, and the confidence.

    Args:
        images: `[n, rows, columns]`, at least one.
        truth: the classes, `[n]`.
        read: the classes that were read, `[n]`.
        confidence: the probabilities of the classes that were read, `[n]`.
        title: of the figure.

    Raises:
        TypeError: An argument is of the wrong kind.
        ValueError: There is no image, or a shape is wrong.
    """
    _check_texts(title=title)
    images = _array("images", images, ["n", "rows", "columns"])
    truth = _array("truth", truth, [len(images)])
    read = _array("read", read, [len(images)])
    confidence = _array("confidence", confidence, [len(images)])
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        columns = min(len(images), 6)
        rows = -(-len(images) // columns)
        figure = Figure(figsize=(1.55 * columns, 2.0 * rows + 0.6), layout="constrained")
        figure.suptitle(title)
        for i, axes in enumerate(np.ravel(figure.subplots(rows, columns, squeeze=False))):
            axes.set_axis_off()
            if i < len(images):
                axes.imshow(images[i], cmap="gray_r")
                axes.set_title(
                    f"{truth[i]} read as {read[i]}\n({confidence[i]:.0%} sure)", fontsize=11
                )
    return figure


def _array(argument: str, value: Any, shape: list[int | str]) -> np.ndarray:
    """Returns numbers of this shape, where a name stands for any length above 0."""
    array = as_numbers(argument, value)
    fits = array.ndim == len(shape) and all(
        n > 0 if isinstance(due, str) else n == due
        for n, due in zip(array.shape, shape, strict=True)
    )
    if not fits:
        expected = ", ".join(map(str, shape))
        raise ValueError(f"{argument} has shape {list(array.shape)}, expected [{expected}].")
    return array


def _check_named(argument: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        came = type(value).__name__
        raise TypeError(
            f"{argument}={shown(value)} must be a dict, name -> what to draw, not {came}."
        )
    if not value:
        raise ValueError(f"{argument}={value} is empty; there is nothing to draw.")
    for name in value:
        check_text(f"{argument}: the name", name)


def _check_texts(**texts: Any) -> None:
    for argument, text in texts.items():
        check_text(argument, text)


def _panels(
    count: int, *, width: float, height: float, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width * count, height), layout="constrained")
    return figure, list(np.ravel(figure.subplots(1, count, sharey=sharey, squeeze=False)))
