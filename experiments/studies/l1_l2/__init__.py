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
    "The small network on the wine data at λ = 0 and with {}, trained from the same weights for the same number of steps. "
    "A line is a weight, as wide as its size but at least a hair, green where positive and purple where negative; a "
    "weight that is exactly 0 has no line, and an input or a unit without a path through it is grey."
)
SWEPT = (
    "The network on the digits as λ grows with {}. Left: the weights by their size, a bar for each λ, with the share of "
    "exact zeros in percent. Right: each layer's zeros and norm, mean ± standard error. L1_2 and L2_2 have the same axes."
)


def drawn(name: str, title: str, *penalties: str) -> Figure:
    """The figure of the small network before and after some penalties."""

    def draw(records: Results) -> figure.Figure:
        return network_row(stages(records["wine"]), ("before", *penalties))

    caption = DRAWN.format(" and ".join(penalties))
    return Figure(name, title, draw, caption, lambda records: drawn_numbers(records, *penalties))


def swept(name: str, title: str, method: str, described: str) -> Figure:
    """The figure of the larger network's weights with one method."""
    numbers = functools.partial(swept_numbers, method=method)
    return Figure(name, title, functools.partial(effect, method=method), SWEPT.format(described), numbers)


STUDY = Study(
    name="l1-l2",
    summary="What L1 and L2 do to the weights of a network",
    description="Trains a network on scikit-learn's digits for every method, strength and seed in one compiled program, "
    "and a small network on the wine data that can be drawn. Writes records (netCDF), a summary table and figures.",
    settings=Settings(),
    quick=QUICK,
    sweeps=(Sweep("digits", digits.count, digits.train_all), Sweep("wine", drawing.count, drawing.train_all)),
    figures=(
        drawn("L1_L2", "One network: without a penalty, with L1, with L2", "L1", "L2"),
        drawn("L1_1", "The small network before and after L1", "L1"),
        drawn("L2_1", "The small network before and after L2", "L2"),
        swept("L1_2", "The weights of a larger network as λ grows, with L1", "proximal L1", "L1, by the proximal step"),
        swept("L2_2", "The weights of a larger network as λ grows, with L2", "coupled L2", "L2, coupled"),
        Figure(
            "L1_3",
            "Which weights vanish and which shrink",
            lambda records: weight_bars(stages(records["wine"])),
            "Every weight of the small network's first layer as a bar, before, after L1 and after L2. All three keep the "
            "order of the first, the largest at the left; a tick on the line marks a weight that is exactly 0.",
            lambda records: drawn_numbers(records, "L1", "L2"),
        ),
    ),
    tabulate=tabulate,
    excerpts={"picture": excerpts.picture, "digits": excerpts.digits},
)
