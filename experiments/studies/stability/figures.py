"""The figure of L1's two kinds of instability."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.claims import interval
from experiments.figures.style import COLOURS, new_figure
from experiments.study import Results


def stability(records: Results) -> Figure:
    """Restlessness on the left, stability of supports on the right."""
    figure = new_figure(10.2, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.35])
    chatter, supports = records["oscillation"], records["bootstrap"]
    for at, problem in enumerate(chatter["problem"].values):
        of = chatter.sel(problem=problem)
        for method, shift in (("none", -0.25), ("coupled", 0), ("proximal", 0.25)):
            values = (of["sign_changes"] + of["support_changes"]).sel({"method": method}).values
            name = "none" if method == "none" else f"{method} L1"
            dots(left, at + shift, values, COLOURS[name], None if at else "no penalty" if method == "none" else name)
    left.set_xticks(range(chatter.sizes["problem"]), [text.replace(", ", "\n") for text in chatter["problem"].values])
    left.set(ylabel="changes of sign, or from or to 0,\nper weight in 100 steps", ylim=(-1, None))
    left.set_title("long after the start", fontsize=10)
    measures = (("jaccard", "Jaccard"), ("corrected", "corrected for chance"))
    groups = [(name, text, value) for name, text in measures for value in supports["correlation"].values]
    for at, (name, _, correlation) in enumerate(groups):
        for method, shift in (("L1", -0.25), ("elastic net", 0), ("group L2", 0.25)):
            values = supports[name].sel({"correlation": correlation, "method": method}).values
            dots(right, at + shift, values, COLOURS[method], None if at else method)
    right.set_xticks(range(len(groups)), [f"{text}\ncorrelation {value:g}" for _, text, value in groups], fontsize=8)
    right.set(ylabel="index of the supports", ylim=(0, 1.05))
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
