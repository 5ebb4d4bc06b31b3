"""The two plots that users of regularization paths expect; matplotlib is imported when one is
drawn.

    jaxreg.plotting.validation_curve(scores)                          # after cross_validate_path
    jaxreg.plotting.coefficient_paths(path, "layers/0/kernel", 1)     # norms of inputs against λ

Both draw into `ax`, a new one by default, and return it: `ax.figure.savefig("curve.png")`. They
need the extra `plot`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxreg._masking import name_of
from jaxreg._paths.results import CrossValidation, RegularizationPath

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ("coefficient_paths", "validation_curve")

MOST_LINES = 500
"""At most this many lines are drawn, those with the largest values."""


def validation_curve(
    scores: CrossValidation,
    by: str = "validation_loss",
    largest: bool = False,
    count: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plots the mean score on held-out rows against λ, with bars of one standard error, and marks
    both rules' choices.

    Args:
        scores: from `jaxreg.cross_validate_path`.
        by: the name of the score.
        largest: whether large scores are good.
        count: what is counted above the plot: the name of a kernel, for its live inputs; None takes
            the first kernel, or the nonzero parameters if there is no kernel.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there is no such score or kernel.
    """
    ax = ax or new_axes()
    strengths, mean, error = positive(scores.strengths), scores.mean(by), scores.error(by)
    ax.errorbar(
        strengths, mean, error, fmt="o", ms=3, color="C3", ecolor="0.7", elinewidth=1, capsize=2
    )
    for rule, style in (("best", "--"), ("one_se", ":")):
        picked = strengths[scores.select(rule, by, largest)]
        label = {"best": "best", "one_se": "within one standard error"}[rule]
        ax.axvline(picked, color="0.3", linestyle=style, label=f"{label}: λ = {picked:.3g}")
    ax.set(xscale="log", xlabel="λ", ylabel=by.replace("_", " "))
    ax.legend(frameon=False)
    title, counts = counts_of(scores.record, count)
    add_counts(ax, strengths, counts.reshape(-1, len(strengths)).mean(0), title)
    return ax


def coefficient_paths(
    path: RegularizationPath,
    kernel: str | None = None,
    axis: int | None = None,
    seed: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plots parameters, or norms of their groups, against λ: one line each.

    Args:
        path: from `jaxreg.fit_path`, with the parameters of the strengths to plot.
        kernel: the name of the parameter, as `jaxreg.sparsity` prints it; None takes the only one,
            or the first kernel.
        axis: the axis along which norms are taken: 1 plots a line for each input of a kernel (in,
            out). None plots the parameters themselves.
        seed: index of the seed, if the path has seeds.
        ax: where to draw.

    Returns:
        The axes.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: no parameters were kept, the name is unknown, or `seed` is missing or
            superfluous.
    """
    if path.params is None:
        raise ValueError('coefficient_paths: the path holds no parameters; fit it with keep="all"')
    if (seed is None) != (path.seeds is None):
        wanted = "an index" if seed is None else "None"
        raise ValueError(
            f"coefficient_paths: expected seed to be {wanted}, got {seed}; the path has seeds "
            f"{path.seeds}"
        )
    leaves = {
        name_of(place): np.asarray(leaf)
        for place, leaf in jax.tree_util.tree_leaves_with_path(path.params)
    }
    leaves = leaves if seed is None else {name: leaf[seed] for name, leaf in leaves.items()}
    name = kernel or next(
        (name for name, leaf in leaves.items() if leaf.ndim > 2), next(iter(leaves))
    )
    if name not in leaves:
        raise ValueError(
            f"coefficient_paths: kernel must be one of {', '.join(leaves)}, got {kernel!r}"
        )
    values = leaves[name].astype(float)
    if axis is not None:
        values = np.linalg.norm(values, axis=axis if axis < 0 else axis + 1)
    lines = values.reshape(len(values), -1)
    largest = np.argsort(-np.abs(lines).max(0))[:MOST_LINES]
    ax = ax or new_axes()
    strengths = positive(path.strengths)[path.kept_indices]
    ax.plot(strengths, lines[:, largest], linewidth=0.8)
    ax.axhline(0, color="0.6", linewidth=0.6)
    what = name if axis is None else f"norms of {name}"
    ax.set(
        xscale="log",
        xlabel="λ",
        ylabel=what if lines.shape[1] <= MOST_LINES else f"{what}, the {MOST_LINES} largest",
    )
    add_counts(ax, strengths, (lines != 0).sum(1), "nonzero" if axis is None else "live")
    return ax


def new_axes() -> Axes:
    """Makes a figure with one plot."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError('jaxreg.plotting needs matplotlib: pip install "jaxreg[plot]"') from error
    return pyplot.subplots(figsize=(6, 4), layout="constrained")[1]


def positive(strengths: np.ndarray) -> np.ndarray:
    """Replaces a strength of 0, which a logarithmic axis does not have, by a tenth of the next
    one.
    """
    strengths = np.array(strengths, float)
    if strengths[0] == 0 and strengths.size > 1:
        strengths[0] = strengths[1] / 10
    return strengths


def counts_of(record: dict[str, Any], name: str | None) -> tuple[str, np.ndarray]:
    """Finds what is counted above a plot: its title, and the counts with the strengths along the
    last axis.
    """
    live: dict[str, np.ndarray] = record["live_inputs"]
    if name is None and not live:
        return "nonzero parameters", np.asarray(record["nonzeros"])
    name = name or next(iter(live))
    if name not in live:
        raise ValueError(f"validation_curve: count must be one of {', '.join(live)}, got {name!r}")
    return f"live inputs of {name}", np.asarray(live[name])


def add_counts(ax: Axes, strengths: np.ndarray, counts: np.ndarray, title: str) -> None:
    """Writes counts along the upper axis, as glmnet does."""
    above = ax.secondary_xaxis("top")
    places = np.unique(
        np.linspace(0, len(strengths) - 1, min(len(strengths), 9)).round().astype(int)
    )
    above.set_xticks(strengths[places], [f"{counts[place]:.0f}" for place in places])
    above.minorticks_off()
    above.set_xlabel(title)
