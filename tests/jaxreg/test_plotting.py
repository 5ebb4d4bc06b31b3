"""The plots of paths show the numbers that they are given."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

import jaxreg

mpl.use("agg")
STRENGTHS = np.array([0.0, 0.1, 0.2, 0.4])


def scores():
    """Three folds whose mean loss is lowest at the second strength, and equal within the error at
    the third.
    """
    losses = np.array([[1.0, 0.5, 0.55, 2], [1.2, 0.7, 0.75, 2], [1.1, 0.6, 0.65, 2]])[:, None]
    live = np.broadcast_to(np.array([9, 7, 4, 0]), (3, 1, 4))
    record = {
        "loss": losses / 2,
        "validation_loss": losses,
        "nonzeros": 2 * live,
        "live_inputs": {"first/kernel": live},
    }
    return jaxreg.CrossValidation(STRENGTHS, record)


def path(seeds=None):
    """Two inputs that die at the second and the third of four strengths, the last of which was not
    kept.
    """
    kernel = np.array(
        [[[3.0, 4], [1, 0], [0, 2]], [[0, 0], [1, 0], [0, 2]], [[0, 0], [0, 0], [0, 2]]]
    )
    params = {"first": {"kernel": kernel, "bias": np.zeros((3, 2))}}
    return jaxreg.Path(STRENGTHS, params, None, {"loss": np.ones(4)}, np.arange(3), seeds)


def lines_at(axes):
    return {
        float(line.get_xdata()[0])
        for line in axes.get_lines()
        if line.get_linestyle() in ("--", ":")
    }


def top_labels(axes):
    (above,) = axes.child_axes
    return [label.get_text() for label in above.get_xticklabels()], above.get_xlabel()


def test_the_curve_marks_both_choices_and_counts_inputs():
    axes = jaxreg.plotting.validation_curve(scores())
    assert lines_at(axes) == {0.1, 0.2}
    ((points, *_),) = axes.containers
    np.testing.assert_allclose(points.get_xdata(), [0.01, 0.1, 0.2, 0.4])
    np.testing.assert_allclose(points.get_ydata(), [1.1, 0.6, 0.65, 2])
    assert axes.get_xscale() == "log"
    assert top_labels(axes) == (["9", "7", "4", "0"], "live inputs of first/kernel")
    axes.figure.canvas.draw()


def test_the_curve_of_an_accuracy():
    numbers = scores()
    numbers.record["accuracy"] = -numbers.record["validation_loss"]
    figure = mpl.figure.Figure()
    axes = jaxreg.plotting.validation_curve(numbers, "accuracy", largest=True, ax=figure.subplots())
    assert axes.figure is figure
    assert lines_at(axes) == {0.1, 0.2}
    numbers.record["live_inputs"] = {}
    assert top_labels(jaxreg.plotting.validation_curve(numbers))[1] == "nonzero parameters"
    with pytest.raises(ValueError, match="by must be one of accuracy, loss"):
        jaxreg.plotting.validation_curve(numbers, "error")


def test_paths_of_norms_and_of_weights():
    axes = jaxreg.plotting.coefficient_paths(path(), axis=1)
    drawn = sorted(
        tuple(line.get_ydata()) for line in axes.get_lines() if len(line.get_xdata()) == 3
    )
    assert drawn == [(1, 1, 0), (2, 2, 2), (5, 0, 0)]
    assert top_labels(axes) == (["3", "2", "1"], "live")
    axes = jaxreg.plotting.coefficient_paths(path(), "first/kernel")
    assert len([line for line in axes.get_lines() if len(line.get_xdata()) == 3]) == 6
    axes.figure.canvas.draw()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"kernel": "second"}, "kernel must be one of first/bias, "
    "first/kernel"), ({"seed": 0}, "expected seed to be None")],
)  # fmt: skip
def test_wrong_names(options, message):
    with pytest.raises(ValueError, match=message):
        jaxreg.plotting.coefficient_paths(path(), **options)


def test_matplotlib_is_needed_only_for_drawing():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import jaxreg, numpy as np\n"
        "scores = jaxreg.CrossValidation(np.ones(1), {'loss': np.ones((2, 1, 1)), "
        "'validation_loss': np.ones((2, 1, 1))})\n"
        "try: jaxreg.plotting.validation_curve(scores)\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'jaxreg.plotting needs matplotlib: pip install "jaxreg[plot]"\n'
