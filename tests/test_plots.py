"""Figures hold what was asked for: curves, boundaries, counts, titles and axes."""

import io

import numpy as np
import pytest

from jaxpercep.plots import (
    confusion_matrix,
    decision_boundaries,
    gradient_norms,
    loss_curves,
    misread,
)

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)


def saved(figure) -> bytes:
    """Draws the figure in full, because matplotlib checks much of it only then."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


@pytest.mark.parametrize("log", [True, False])
def test_loss_curves(log):
    curves = {"train": np.array([1.0, 0.1, 0.01]), "test": np.array([1.0, 0.5, 0.4])}
    figure = loss_curves(curves, title="Learning", ylabel="loss (nats)", log=log)
    (axes,) = figure.axes
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == (
        "Learning",
        "training step",
        "loss (nats)",
    )
    assert [line.get_label() for line in axes.lines] == list(curves)
    for line, curve in zip(axes.lines, curves.values(), strict=True):
        assert np.array_equal(line.get_ydata(), curve)
    low, high = axes.get_ylim()
    assert axes.get_yscale() == ("log" if log else "linear")
    assert low < 0.01 < 1.0 < high < 10
    assert low > 1e-3 if log else low == 0
    assert axes.get_legend() is None  # it stands below, where it hides no curve
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(curves)
    assert saved(figure)


def test_loss_curves_over_steps_of_their_own():
    curves = {"train": np.array([1.0, 0.1, 0.01]), "test": np.array([1.0, 0.5])}
    figure = loss_curves(curves, title="Learning", steps={"test": np.array([0, 2])})
    places = [line.get_xdata().tolist() for line in figure.axes[0].lines]
    assert places == [[0, 1, 2], [0, 2]]
    with pytest.raises(ValueError, match=r"steps\['test'\] has shape \[3\], expected \[2\]"):
        loss_curves(curves, title="Learning", steps={"test": np.arange(3)})
    with pytest.raises(ValueError, match=r"steps=.* has 'tset', which curves does not"):
        loss_curves(curves, title="Learning", steps={"tset": np.arange(2)})


def test_decision_boundaries_draw_the_half_contour_and_the_data():
    def left_of_half(points):
        return 1 / (1 + np.exp(20 * (points[:, :1] - 0.5)))

    def undecided(points):
        return np.full(len(points), 0.5)

    figure = decision_boundaries(
        {"line": left_of_half, "flat": undecided}, XOR, np.array([[1], [1], [0], [0]])
    )
    line, flat = figure.axes[:2]
    assert (line.get_title(), flat.get_title()) == ("line", "flat")
    contours = [c for c in line.collections if c.__class__.__name__ == "QuadContourSet"]
    assert np.allclose(contours[0].get_paths()[0].vertices[:, 0], 0.5, atol=0.01)
    assert not [c for c in flat.collections if c.__class__.__name__ == "QuadContourSet"]
    assert (line.get_legend(), len(figure.legends)) == (None, 1)
    dots = {c.get_label(): c.get_offsets() for c in line.collections if c.get_offsets().size > 2}
    assert np.array_equal(dots["class 1"], XOR[:2])
    assert np.array_equal(dots["class 0"], XOR[2:])
    assert saved(figure)


def test_gradient_norms_draw_a_line_per_layer_on_one_scale():
    deep = np.array([[1e-3, 1e-1], [1e-4, 1e-2]])
    figure = gradient_norms({"sigmoid": deep, "ReLU": deep * 100}, [0, 25])
    left, right = figure.axes[:2]
    assert np.array_equal(left.lines[0].get_ydata(), deep[:, 0])
    assert np.array_equal(right.lines[1].get_ydata(), 100 * deep[:, 1])
    assert left.get_ylim() == right.get_ylim()
    assert left.get_yscale() == "log"
    assert saved(figure)


def test_confusion_matrix_writes_every_count():
    counts = np.array([[7, 1], [0, 9]])
    figure = confusion_matrix(counts, ["cat", "dog"], title="Pets")
    axes = figure.axes[0]
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {
        ((0, 0), "7"),
        ((1, 0), "1"),
        ((1, 1), "9"),
    }
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("read as", "true class")
    assert saved(figure)


def test_misread_labels_each_image():
    images = np.zeros((7, 8, 8))
    figure = misread(
        images, np.arange(7), np.arange(7) + 1, np.full(7, 0.875), title="Misread digits"
    )
    titles = [axes.get_title() for axes in figure.axes if axes.images]
    assert titles[0] == "0 read as 1\n(88% sure)"
    assert len(titles) == 7
    assert figure.get_suptitle() == "Misread digits"
    assert saved(figure)
