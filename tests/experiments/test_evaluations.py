"""Evaluations of claims on hand-made datasets with known verdicts and numbers, which pin every sign
and every choice.

Wherever a level is chosen, validation and test data have different best levels, so a choice on test
data would fail.
"""

import numpy as np
import pytest
import xarray as xr

from experiments.studies.relevance import claims as relevance
from experiments.studies.stability import claims as stability
from experiments.studies.strength import claims as strength

SPREAD = np.linspace(-1e-3, 1e-3, 4)
METHODS = ["coupled L1", "decoupled L1", "proximal L1", "coupled L2", "decoupled L2"]


def along(*axes, **metrics):
    """A dataset along the axes and `seed`: each metric is an array along the axes, with a small
    spread over four seeds.
    """
    return xr.Dataset(
        {
            name: ((*axes, "seed"), np.asarray(v, float)[..., None] + SPREAD)
            for name, v in metrics.items()
        }
    )


def exact(dataset, *axes, **metrics):
    """Adds metrics along the axes and `seed` without spread."""
    return dataset.assign(
        {
            name: ((*axes, "seed"), np.repeat(np.asarray(v, float)[..., None], 4, -1))
            for name, v in metrics.items()
        }
    )


def for_all_methods(levels):
    """The same three levels for each method and both shares of wrong labels: (method, level,
    wrong).
    """
    return np.broadcast_to(np.asarray(levels, float)[None, :, None], (5, 3, 2))


@pytest.fixture
def strengths():
    axes = ("method", "level", "wrong")
    dataset = along(
        *axes,
        validation_accuracy=for_all_methods([0.5, 0.6, 0.7]),
        test_accuracy=for_all_methods([0.80, 0.95, 0.85]),
        validation_loss=for_all_methods([3, 2, 1]),
        test_loss=for_all_methods([2.0, 0.5, 1.5]),
        gap=for_all_methods([0.3, 0.1, -0.2]),
        norm=for_all_methods([10, 8, 5]),
        absolute_sum=for_all_methods([100, 50, 20]),
        smaller=for_all_methods([0, 0.97, 0.5]),
        near_factor=for_all_methods([1, 0.99, 0.1]),
    )
    dataset = exact(
        dataset,
        *axes,
        zero_fraction=for_all_methods([0, 0.1, 0.4]),
        varying_weights=for_all_methods([90] * 3),
        varying_zeros=for_all_methods([0] * 3),
        explained=for_all_methods([1, 0.9, 0.2]),
        factor=for_all_methods([1, 0.8, 0.4]),
    )
    levels = np.tile([0, 0.1, 0.2], (5, 1))
    coords = {
        "method": METHODS,
        "wrong": [0.0, 0.2],
        "strength": (("method", "level"), levels),
        "weight": np.arange(100),
    }
    return dataset.assign_coords(coords)


def test_overfitting_is_evaluated_at_the_level_chosen_on_validation_data(strengths):
    found = strength.overfitting({"strength": strengths})
    assert len(found) == 12
    for gap, accuracy, loss in zip(found[::3], found[1::3], found[2::3], strict=True):
        assert [one.verdict for one in (gap, accuracy, loss)] == ["supported"] * 3
        # The absolute gap falls from 0.3 to 0.2; the best levels on test data would give +15 and
        # -1.5.
        assert [one.mean for one in (gap, accuracy, loss)] == pytest.approx([-10, 5, -0.5])
    worse = strengths.assign(
        test_accuracy=1 - strengths["test_accuracy"], test_loss=-strengths["test_loss"]
    )
    turned = strength.overfitting({"strength": worse.assign(gap=1 / strengths["gap"])})
    assert {one.verdict for one in turned} == {"contradicted"}


def test_zeros_need_every_step_and_no_exception(strengths):
    assert [one.verdict for one in strength.zeros({"strength": strengths})] == ["supported"] * 3
    strengths["varying_zeros"][{"method": 0, "level": 2, "wrong": 0, "seed": 1}] = 1
    strengths["zero_fraction"][{"method": 2, "level": 2}] = 0.1
    found = strength.zeros({"strength": strengths})
    assert [one.verdict for one in found] == ["not supported", "contradicted", "supported"]
    assert found[1].numbers == "1 of 720 weights are 0"


def test_shrinkage_is_evaluated_at_the_level_where_one_factor_fits_best(strengths):
    ridge = xr.Dataset({"deviation": ("seed", [1e-12] * 4)})
    found = strength.shrinkage({"strength": strengths, "ridge": ridge})
    assert [one.verdict for one in found] == ["supported"] * 6
    assert [found[2].mean, found[3].mean] == pytest.approx([97, 99])
    poor = strengths.assign(
        smaller=1 - strengths["smaller"], near_factor=1 - strengths["near_factor"]
    )
    off = ridge + 1e-3
    verdicts = [one.verdict for one in strength.shrinkage({"strength": poor, "ridge": off})]
    assert verdicts == ["contradicted", "supported", *["contradicted"] * 4]
    # If no norm shrinks by a tenth, there is no level to evaluate.
    kept = strengths.assign(norm=0 * strengths["norm"] + 10)
    verdicts = [one.verdict for one in strength.shrinkage({"strength": kept, "ridge": ridge})]
    assert verdicts[2:] == ["not measured"] * 4


def test_each_method_is_evaluated_by_its_own_norm(strengths):
    assert [one.verdict for one in strength.norm({"strength": strengths})] == ["supported"] * 3
    grown = strengths.assign(norm=1 / strengths["norm"])
    assert [one.verdict for one in strength.norm({"strength": grown})] == [
        "supported",
        "contradicted",
        "contradicted",
    ]


def shares(levels):
    """Three methods, three levels and two shares, (method, level, share), from a mapping of method
    to share to levels.
    """
    return np.array(
        [[levels[method][0], levels[method][1]] for method in ("L1", "L2", "group L2")]
    ).transpose(0, 2, 1)


@pytest.fixture
def noisy():
    """Networks: level 2 is best on validation data, level 1 on test data."""
    test = {
        "L1": ([0.90, 0.99, 0.90], [0.70, 0.99, 0.88]),
        "L2": ([0.90, 0.99, 0.93], [0.70, 0.99, 0.75]),
        "group L2": ([0.90, 0.99, 0.90], [0.70, 0.99, 0.88]),
    }
    rising = {method: ([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]) for method in test}
    dataset = along(
        "method", "level", "share", test_accuracy=shares(test), validation_accuracy=shares(rising)
    )
    live = {
        "L1": ([0] * 3, [100, 60, 20]),
        "L2": ([0] * 3, [100] * 3),
        "group L2": ([0] * 3, [100, 30, 5]),
    }
    pixels = {method: ([50] * 3, [50, 40, 30]) for method in test}
    dataset = exact(
        dataset, "method", "level", "share", live_noise=shares(live), live_pixels=shares(pixels)
    )
    coords = {
        "noise": ("share", [0, 100]),
        "pixels": ("share", [50, 50]),
        "strength": (("method", "level"), [[0, 0.1, 0.2]] * 3),
    }
    return dataset.assign_coords(method=["L1", "L2", "group L2"], share=[0.0, 0.9], **coords)


@pytest.fixture
def linear():
    """Paths: level 1 has the smallest validation error, but does not explain the most signal."""
    axes = ("design", "share", "method", "level")

    def both(levels):
        return np.broadcast_to(np.asarray(levels, float), (2, 2, 2, 3))

    explained = np.array([[[0.1, 0.3, 0.9], [0.1, 0.6, 0.9]], [[0.1, 0.8, 0.9], [0.1, 0.5, 0.9]]])
    dataset = along(
        *axes,
        validation_error=both([3, 1, 2]),
        explained=np.broadcast_to(explained, (2, 2, 2, 3)),
        recall=both([0.5, 0.97, 0.5]),
        precision=both([0.01, 0.4, 0.01]),
        f1=both([0.1, 0.5, 0.8]),
        kkt=both([0.01] * 3),
    )
    return dataset.assign_coords(
        method=["L1", "L2"], share=[0.0, 0.9], correlation=("design", [0.0, 0.8])
    )


def test_l1_and_l2_are_compared_at_levels_chosen_on_validation_data(noisy, linear):
    found = relevance.relevance({"network": noisy, "linear": linear})
    assert [one.verdict for one in found] == ["supported"] * 6 + ["not supported"]
    most, least = found[0], found[1]
    assert [most.mean, least.mean] == pytest.approx([13, -3])
    assert [found[3].mean, found[4].mean] == pytest.approx([30, -30])
    # The difference rises from -3 to 13, and from -30 to 30, between 0 and 90 %.
    assert found[2].numbers.startswith("at 17 %")
    assert found[5].numbers.startswith("at 45 %")
    turned = noisy.assign_coords(method=["L2", "L1", "group L2"])
    again = relevance.relevance(
        {"network": turned, "linear": linear.assign_coords(method=["L2", "L1"])}
    )
    assert [one.verdict for one in again[:2]] == ["contradicted"] * 2
    assert again[2].verdict == "contradicted"


def test_selection_is_evaluated_at_the_level_chosen_on_validation_data(noisy, linear):
    found = relevance.selection({"network": noisy, "linear": linear})
    assert [one.verdict for one in found[:3]] == ["supported", "supported", "contradicted"]
    assert [one.mean for one in found[:3]] == pytest.approx([97, 40, 50])
    # 30 of 50 pixels and 20 of 100 irrelevant columns.
    assert (found[6].verdict, found[6].mean) == ("supported", pytest.approx(40))


def test_l2_is_compared_with_no_penalty_and_with_l1(noisy):
    found = relevance.no_selection({"network": noisy})
    assert [one.verdict for one in found] == ["supported", "contradicted", "supported"]
    assert [found[1].mean, found[2].mean] == pytest.approx([5, -13])
    noisy["live_noise"][{"method": 1, "level": 2, "share": 1, "seed": 0}] = 97
    assert relevance.no_selection({"network": noisy})[0].numbers == "3 of 800 inputs dropped"


def network_dataset(accuracy, live_noise, live_pixels=30.0):
    """A dataset along (method, level, share, seed), from each method's accuracies and irrelevant
    inputs at each level.
    """
    shape = (2, 3, 2, 4)
    spread = np.linspace(-0.001, 0.001, 4)
    table = np.asarray(accuracy)[:, :, None, None] + np.zeros(shape) + spread
    noise = np.asarray(live_noise, float)[:, :, None, None] + np.zeros(shape)
    axes = ("method", "level", "share", "seed")
    return xr.Dataset(
        {
            "test_accuracy": (axes, table),
            "validation_accuracy": (axes, table),
            "live_noise": (axes, noise),
            "live_pixels": (axes, np.full(shape, live_pixels)),
        },
        {
            "method": ["L1", "group L2"],
            "share": [0.0, 0.9],
            "noise": ("share", [0, 100]),
            "pixels": ("share", [60, 60]),
            "strength": (("method", "level"), [[0, 0.1, 0.2]] * 2),
        },
    )


@pytest.mark.parametrize(
    ("noise", "verdict"),
    [
        ([[100, 80, 60], [100, 40, 10]], "supported"),
        ([[100, 40, 10], [100, 80, 60]], "contradicted"),
    ],
)
def test_groups_are_evaluated_at_matched_accuracy(noise, verdict):
    # The strongest setting of each method is too inaccurate, so the middle one is compared.
    dataset = network_dataset([[0.8, 0.9, 0.7], [0.8, 0.9, 0.7]], noise)
    found = relevance.groups({"network": dataset})
    assert found[0].verdict == verdict
    gap = noise[1][1] - noise[0][1]
    assert found[0].mean == pytest.approx(gap)
    assert found[1].verdict == verdict
    assert found[2].verdict == "supported"
    assert found[2].mean == pytest.approx(0)


def test_where_lines_cross():
    shares = np.array([0.0, 0.5, 0.9])
    assert relevance.crossing_of(np.array([-1.0, 1.0, 2.0]), shares) == pytest.approx(0.25)
    assert np.isnan(relevance.crossing_of(np.array([1.0, 2.0, 3.0]), shares))
    assert np.isnan(relevance.crossing_of(np.array([-3.0, -2.0, -1.0]), shares))
    certain = relevance.crossing("m", np.array([[-1.0] * 4, [1.0] * 4, [2.0] * 4]), shares)
    assert certain.verdict == "supported"
    assert certain.numbers == "at 25 % [25, 25]"
    assert relevance.crossing("m", np.ones((3, 4)), shares).verdict == "contradicted"
    unsure = np.array([[-1.0, 1.0, -1.0, 1.5], [1.0] * 4, [1.0] * 4])
    assert relevance.crossing("m", unsure, shares).verdict == "not supported"
    assert relevance.crossing("m", np.full((3, 4), np.nan), shares).verdict == "not measured"


def test_groups_without_a_network_as_accurate_are_not_measured():
    dataset = network_dataset([[0.8, 0.9, 0.7], [0.8, 0.85, 0.7]], [[100, 80, 60], [100, 40, 10]])
    assert {one.verdict for one in relevance.groups({"network": dataset})} == {"not measured"}


def test_oscillation_is_compared_with_no_penalty():
    shape = (4, 3, 3)
    signs = np.broadcast_to([2.0, 30.0, 0.0], shape) + 0.1 * np.arange(4)[:, None, None] * [1, 2, 0]
    still = np.broadcast_to([1e-3, 1e-2, 1e-6], shape)
    axes = ("seed", "problem", "method")
    dataset = xr.Dataset(
        {
            "sign_changes": (axes, signs),
            "support_changes": (axes, np.zeros(shape)),
            "largest_step": (axes, still),
        },
        {"problem": ["a", "b", "c"], "method": ["none", "coupled", "proximal"]},
    )
    found = stability.oscillation(dataset)
    assert [one.verdict for one in found] == ["supported"] * 9
    assert [found[0].mean, found[1].mean] == pytest.approx([28.15, -30.3])
    # A proximal step that changes the support as often as the coupled one changes signs does not
    # oscillate less; a coupled step that changes signs as rarely as no penalty does not oscillate.
    busy = dataset.assign(
        support_changes=dataset["sign_changes"].sel({"method": "coupled"})
        * (dataset["method"] == "proximal"),
        sign_changes=dataset["sign_changes"].sel({"method": "none"})
        * (dataset["method"] != "proximal"),
        largest_step=dataset["largest_step"] * 1e3,
    )
    assert [one.verdict for one in stability.oscillation(busy)[:3]] == [
        "not supported",
        "contradicted",
        "contradicted",
    ]


def test_selections_are_compared_by_both_indices():
    index = np.array([[0.5, 0.5, 0.5], [0.3, 0.4, 0.2]])
    dataset = along("correlation", "method", jaccard=index, corrected=1 - index, size=10 * index)
    dataset = dataset.assign_coords(
        correlation=[0.0, 0.95], method=["L1", "elastic net", "group L2"]
    )
    found = stability.selection(dataset)
    assert [one.mean for one in found] == pytest.approx([-20, 10, -10, 20, -10, 10])
    names = ["supported", "supported", "contradicted"]
    assert [one.verdict for one in found] == [*names, "contradicted", "contradicted", "supported"]
    assert (
        "L1 at correlation 0.95 (30, 3 columns kept) minus L1 at correlation 0 (50, 5 columns kept)"
        in found[0].tested
    )
