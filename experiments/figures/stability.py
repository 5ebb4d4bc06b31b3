"""The figure of L1's two kinds of instability."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, new_figure
from experiments.verdicts import interval


def stability(records: Mapping[str, xr.Dataset]) -> Figure:
    """Sign changes at rest on the left, Jaccard index of supports on the right."""
    figure = new_figure(8.8, 3.7)
    left, right = figure.subplots(1, 2)
    chatter, supports = records["chatter"], records["stability"]
    for at, problem in enumerate(chatter["problem"].values):
        for way, shift in (("coupled", -0.18), ("proximal", 0.18)):
            values = chatter["sign_changes"].sel(problem=problem, way=way).values
            label = f"{way} L1" if at == 0 else None
            dots(left, at + shift, values, COLOURS[f"{way} L1"], label)
    left.set_xticks(range(chatter.sizes["problem"]), [text.replace(", ", "\n") for text in chatter["problem"].values])
    left.set(ylabel="sign changes per weight\nin 100 steps", ylim=(-1, None))
    left.set_title("long after the start", fontsize=10)
    for at, correlation in enumerate(supports["correlation"].values):
        for way, shift in (("L1", -0.25), ("elastic net", 0), ("group L2", 0.25)):
            values = supports["jaccard"].sel(correlation=correlation, way=way).values
            dots(right, at + shift, values, COLOURS[way], way if at == 0 else None)
    right.set_xticks(
        range(supports.sizes["correlation"]), [f"correlation {value:g}" for value in supports["correlation"].values]
    )
    right.set(ylabel="Jaccard index of supports", ylim=(0, 1))
    right.set_title("over bootstrap resamples", fontsize=10)
    for axes in (left, right):
        axes.grid(axis="y", alpha=0.25)
        axes.legend(frameon=False, fontsize=9)
    return figure


def dots(axes: Axes, place: float, values: np.ndarray, colour: str, label: str | None) -> None:
    """A dot a seed, and beside them their mean with its interval."""
    spread = np.linspace(-0.06, 0.06, len(values))
    axes.plot(place + spread, values, ".", ms=4, color=colour, alpha=0.45)
    found = interval(values)
    reach = np.nan_to_num(found.high - found.mean)
    axes.errorbar(place, found.mean, reach, fmt="D", ms=6, color=colour, mec="k", mew=0.6, capsize=4, label=label)
