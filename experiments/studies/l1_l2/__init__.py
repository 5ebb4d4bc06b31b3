"""The main job: what L1 and L2 do to the weights of two networks."""

import functools

from matplotlib import figure

from experiments.figures.network import network_row, weight_bars
from experiments.studies.l1_l2 import digits, drawing, excerpts
from experiments.studies.l1_l2.drawing import stages
from experiments.studies.l1_l2.effect import effect
from experiments.studies.l1_l2.settings import QUICK, Settings
from experiments.studies.l1_l2.table import drawn_numbers, swept_numbers, tabulate
from experiments.study import Figure, Results, Study, Sweep

DRAWN = (
    "A small network on the wine data, without a penalty and with {}. All were trained from the "
    "same weights for the same "
    "number of steps. A line is a weight: green if it is positive, purple if it is negative. The "
    "line is as wide as the "
    "weight is large, but never too thin to be seen. A weight that is exactly 0 has no line. An "
    "input or a unit is grey if "
    "all weights that enter it or all that leave it are exactly 0."
)
SWEPT = (
    "The network on the digits, for each strength λ of {}. Left: the weights by their size, one "
    "bar "
    "for each λ; the number in a bar is the share of exact zeros in percent. Right: each layer's "
    "share of exact zeros and "
    "its norm, mean ± standard error over the seeds. The figures for L1 and L2 have the same axes."
)


def drawn_figure(name: str, title: str, *penalties: str) -> Figure:
    """The figure of the small network before and after some penalties."""

    def draw(results: Results) -> figure.Figure:
        return network_row(stages(results["wine"]), ("before", *penalties))

    caption = DRAWN.format(" and with ".join(penalties) if len(penalties) > 1 else penalties[0])
    return Figure(name, title, draw, caption, lambda results: drawn_numbers(results, *penalties))


def swept_figure(name: str, title: str, method: str, description: str) -> Figure:
    """The figure of the larger network's weights with one method."""
    numbers = functools.partial(swept_numbers, method=method)
    return Figure(
        name, title, functools.partial(effect, method=method), SWEPT.format(description), numbers
    )


STUDY = Study(
    name="l1-l2",
    summary="What L1 and L2 do to the weights of a network",
    description="Trains a network on scikit-learn's digits for every method, strength and seed in "
    "one compiled program, "
    "and a small network on the wine data that can be drawn. Writes results (netCDF), a summary "
    "table and figures.",
    settings=Settings(),
    quick=QUICK,
    sweeps=(
        Sweep("digits", digits.count_networks, digits.train_digits),
        Sweep("wine", drawing.count_networks, drawing.train_wine),
    ),
    figures=(
        drawn_figure("L1_L2", "A small network without a penalty, with L1 and with L2", "L1", "L2"),
        drawn_figure("L1_1", "The small network without a penalty and with L1", "L1"),
        drawn_figure("L2_1", "The small network without a penalty and with L2", "L2"),
        swept_figure(
            "L1_2",
            "The weights of a larger network as λ grows, with L1",
            "proximal L1",
            "L1 (proximal)",
        ),
        swept_figure(
            "L2_2",
            "The weights of a larger network as λ grows, with L2",
            "coupled L2",
            "L2 (coupled)",
        ),
        Figure(
            "L1_3",
            "Which weights become zero and which only shrink",
            lambda results: weight_bars(stages(results["wine"])),
            "Every weight of the small network's first layer as a bar: without a penalty, with L1 "
            "and with L2. The order is "
            "the same in all three panels: from the largest weight without a penalty to the "
            "smallest. A tick on the zero "
            "line marks a weight that is exactly 0.",
            lambda results: drawn_numbers(results, "L1", "L2"),
        ),
    ),
    tabulate=tabulate,
    excerpts={"picture": excerpts.picture, "digits": excerpts.digits},
)
