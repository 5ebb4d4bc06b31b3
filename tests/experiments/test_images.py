"""Accuracy against weights kept: findings, tables and figures from datasets that are made by
hand.
"""

import numpy as np
import pytest
import xarray as xr

from experiments import selection
from experiments.studies.images import STUDY, claims, figures, tradeoff
from experiments.studies.images.settings import defaults


def dataset_of(settings, seeds=4):
    """A hand-made dataset from settings (method, strength, kept, validation, test), with a small
    spread over the seeds.
    """
    spread = np.linspace(-0.002, 0.002, seeds)
    names, strengths, kept, validation, test = zip(*settings, strict=True)
    shape = (len(settings), seeds)
    axes = ("setting", "seed")
    return xr.Dataset(
        {
            "kept": (axes, np.array(kept)[:, None] + np.zeros(shape)),
            "validation_accuracy": (axes, np.array(validation)[:, None] + spread),
            "test_accuracy": (axes, np.array(test)[:, None] + spread),
            "unrefitted_test_accuracy": (axes, np.array(test)[:, None] - 0.01 + spread),
            "live": ((*axes, "layer"), np.ones((*shape, 3))),
        },
        {
            "method": ("setting", list(names)),
            "strength": ("setting", list(strengths)),
            "share": ("setting", list(kept)),
            "decay": ("setting", np.where(np.array(names) == "AdamW", strengths, 0)),
            "learning_rate": ("setting", np.full(len(settings), 1e-3)),
            "role": ("setting", ["main"] * len(settings)),
            "repeats": ("setting", [seeds] * len(settings)),
        },
    )


SETTINGS = [
    ("AdamW", 0.0, 1.0, 0.90, 0.89),
    ("AdamW", 0.1, 1.0, 0.92, 0.90),
    ("L1, constant", 1e-4, 0.4, 0.9205, 0.901),
    ("L1, constant", 1e-3, 0.08, 0.9198, 0.902),
    ("L1, constant", 1e-2, 0.01, 0.88, 0.86),
    ("L1, steered", 0, 0.05, 0.90, 0.88),
    ("L1, steered", 0, 0.01, 0.88, 0.86),
    ("L0, steered", 0, 0.05, 0.91, 0.90),
    ("L0, steered", 0, 0.01, 0.90, 0.88),
    ("gradual magnitude pruning", 0, 0.05, 0.90, 0.89),
    ("gradual magnitude pruning", 0, 0.01, 0.88, 0.89),
]


def test_validation_chooses_and_the_sparsest_within_one_error_is_found():
    dataset = dataset_of(SETTINGS)
    curves = tradeoff.curves_of(dataset)
    base = selection.best(curves["AdamW"])
    assert base.label == "decay 0.1, rate 0.001"
    # Spread ±0.002 in even steps over four seeds: the standard error is 0.00086.
    assert selection.one_standard_error_below(base) == pytest.approx(0.92 - 0.0008607, abs=1e-6)
    least = selection.one_standard_error_below(base)
    assert selection.sparsest(curves["L1, constant"], least).label == "λ = 0.001"
    assert selection.sparsest(curves["L1, steered"], least) is None
    said = claims.answer(dataset)
    chosen = (
        "L1, constant, λ = 0.001, with 8.00 ± 0.00 % of the weights and a test accuracy of "
        "90.20 ± 0.09 %"
    )
    assert f"within one standard error of it is {chosen}, and the sparsest within one point" in said
    assert "L0, steered, target 5 %, with 5.00 ± 0.00 % of the weights" in said
    assert said.endswith(
        "The sparsest network from gradual pruning within one point is not to be found."
    )


def test_findings_follow_the_dataset():
    found = {one.statement: one for one in claims.sparse({"images": dataset_of(SETTINGS)})}
    assert (
        found["L1, constant keeps AdamW's accuracy with less than 10 % of the weights."].verdict
        == "supported"
    )
    assert (
        found["L1, steered keeps AdamW's accuracy with less than 10 % of the weights."].verdict
        == "not supported"
    )
    same = found[
        "The sparsest network of L1, constant that keeps AdamW's validation accuracy also keeps "
        "its test accuracy."
    ]
    assert (same.verdict, same.mean) == ("supported", pytest.approx(0.2))


def test_penalties_are_compared_with_pruning_at_equal_shares():
    found = {one.statement: one for one in claims.against_pruning({"images": dataset_of(SETTINGS)})}
    better = found[
        "At 5 % of the weights, L0, steered is more accurate than gradual magnitude pruning."
    ]
    worse = found[
        "At 1 % of the weights, L0, steered is more accurate than gradual magnitude pruning."
    ]
    assert (better.verdict, better.mean) == ("supported", pytest.approx(1.0))
    assert (worse.verdict, worse.mean) == ("contradicted", pytest.approx(-1.0))
    alone = dataset_of([row for row in SETTINGS if row[0] != "gradual magnitude pruning"])
    assert "not trained" in claims.against_pruning({"images": alone})[0].tested
    between = found[
        "At 2 % of the weights, L0, steered is more accurate than gradual magnitude pruning."
    ]
    assert between.mean == pytest.approx(100 * (0.88 + 0.02 * np.log(2) / np.log(5) - 0.89))


def test_ways_to_set_the_strength_are_compared():
    rows = []
    for penalty, gain in (("L1", 0.01), ("L0", 0.02)):
        for way, test in (("constant", 0.8), ("grown", 0.8 + gain), ("steered", 0.8 - gain)):
            rows += [(f"{penalty}, {way}", 0, share, test, test) for share in (0.1, 0.01)]
    rows += [("L0 by width, steered", 0, share, 0.77, 0.77) for share in (0.1, 0.01)]
    dataset = dataset_of(rows).assign_attrs(
        data="made by hand", network="mlp", widths=(784, 300, 100)
    )
    found = {one.statement: one for one in claims.strengths({"images": dataset})}
    grown = found["At 5 % of the weights, L0, grown is more accurate than L0, constant."]
    assert (grown.verdict, grown.mean) == ("supported", pytest.approx(2))
    steered = found["At 2 % of the weights, L1, steered is more accurate than L1, constant."]
    assert (steered.verdict, steered.mean) == ("contradicted", pytest.approx(-1))
    layers = found["At 1 % of the weights, L0, steered is more accurate than L0 by width, steered."]
    assert layers.mean == pytest.approx(1)
    assert len(found) == 2 * 2 * 2 + 3
    dataset["repeats"][:] = 1
    assert [one.verdict for one in claims.strengths({"images": dataset})] == ["not measured"]
    figures.growth({"images": dataset}).canvas.draw()


def test_methods_with_one_seed_are_shown_but_not_compared():
    dataset = dataset_of([*SETTINGS, ("MCP, steered", 0, 0.05, 0.99, 0.99)])
    dataset["repeats"][-1] = 1
    assert not any("MCP" in one.statement for one in claims.against_pruning({"images": dataset}))
    rows = STUDY.tabulate(
        {"images": dataset.assign_attrs(data="x", network="mlp", widths=(784, 300, 100))}
    ).table.rows
    assert [
        "target 5 %",
        "5.00 (1 seed)",
        "98.80 (1 seed)",
        "97.80 (1 seed)",
        "98.80 (1 seed)",
        "1",
        "1 + 1",
    ] in rows


def test_between_settings_accuracy_is_a_line_over_the_logarithm():
    curves = tradeoff.curves_of(dataset_of(SETTINGS))
    at = tradeoff.at_share(
        curves["L1, constant"], 0.0282842712
    )  # half-way between 1 % and 8 % in the logarithm
    np.testing.assert_allclose(at.mean(), (0.86 + 0.902) / 2, atol=1e-6)
    assert np.isnan(tradeoff.at_share(curves["L1, constant"], 0.005)).all()
    # A target of 1 % leaves slightly fewer weights that lead to an output, and the curve ends
    # there.
    np.testing.assert_allclose(
        tradeoff.at_share(curves["L1, constant"], 0.0098).mean(), 0.86, atol=1e-9
    )


def test_a_diverged_setting_is_never_chosen():
    dataset = dataset_of(SETTINGS).assign_attrs(
        data="broken", network="mlp", widths=(784, 300, 100)
    )
    dataset["validation_accuracy"][1, 0] = np.nan
    base = selection.best(tradeoff.curves_of(dataset)["AdamW"])
    assert base.label.startswith("decay 0,")
    dataset["validation_accuracy"][0, 0] = np.nan
    assert [one.verdict for one in claims.sparse({"images": dataset})] == ["not measured"]
    assert "there is nothing to compare with" in claims.answer(dataset)
    for draw in (figures.pareto, figures.duel):
        draw({"images": dataset}).canvas.draw()


def test_the_excerpt_compares_the_best_of_both_sides():
    dataset = dataset_of(SETTINGS).assign_attrs(
        data="made by hand", network="mlp", widths=(784, 300, 100)
    )
    table, text = STUDY.excerpts["tradeoff"]({"images": dataset})
    rows = [row[:2] for row in table.rows]
    assert rows[0] == ["AdamW at its best", "decay 0.1, rate 0.001"]
    assert ["concave penalties: the sparsest within one point", "L0, steered, target 5 %"] in rows
    assert ["L0, steered", "interpolated", "5", "90.00 ± 0.09"] in table.rows
    assert "AdamW's standard error is 0.09 points" in text
    assert not any("nan" in cell for row in table.rows for cell in row)
    published = STUDY.excerpts["published"]
    assert published({"images": dataset}).table.rows[-1] == [
        "sparse variational dropout, Molchanov et al. (2017)",
        "1.5",
        "98.08",
    ]
    assert not published({"images": dataset.assign_attrs(widths=(784, 16))}).table.rows
    assert "Caffe" in published({"images": dataset.assign_attrs(network="lenet-5")}).table.title
    dataset["validation_accuracy"][:2, 0] = np.nan
    table, text = STUDY.excerpts["tradeoff"]({"images": dataset})
    assert not table.rows
    assert "nothing can be compared" in text


def test_inputs_and_units_are_compared_by_what_is_used():
    names = (
        "group L2, steered",
        "group log-sum, steered",
        "group L0, steered",
        "gradual pruning of units",
    )
    rows = [(name, 0, 0.3, 0.5, 0.5 + 0.1 * better) for better, name in enumerate(names)] * 2
    dataset = dataset_of(rows).assign_attrs(data="made by hand", widths=(10, 6, 4))
    # The first four settings use 2 + 1 + 1 of 20 inputs and units, the others 1 + 1 + 0.
    live = np.repeat([[2.0, 1, 1], [1, 1, 0]], 4, 0)[:, None] + np.zeros((8, 4, 1))
    dataset = dataset.assign(live=(("setting", "seed", "layer"), live))
    curves = tradeoff.curves_of(dataset, units=True)
    np.testing.assert_allclose(
        [point.kept.mean() for point in curves["group L2, steered"]], [0.2, 0.1]
    )
    found = {one.statement: one for one in claims.units({"units": dataset})}
    better = found[
        "At 20 % of the inputs and units, group L0, steered is more accurate than group L2, "
        "steered."
    ]
    worse = found[
        "At 10 % of the inputs and units, group L0, steered is more accurate than gradual pruning "
        "of units."
    ]
    assert (better.verdict, better.mean) == ("supported", pytest.approx(20))
    assert (worse.verdict, worse.mean) == ("contradicted", pytest.approx(-10))
    figures.units(
        {
            "units": dataset,
            "images": dataset_of(SETTINGS).assign_attrs(
                data="x", network="mlp", widths=(784, 300, 100)
            ),
        }
    ).canvas.draw()
    assert [one.verdict for one in claims.units({"units": xr.Dataset()})] == ["not measured"]
    figures.units(
        {
            "units": xr.Dataset(),
            "images": dataset_of(SETTINGS).assign_attrs(
                data="x", network="mlp", widths=(784, 300, 100)
            ),
        }
    ).canvas.draw()


@pytest.mark.parametrize(
    ("data", "network", "name"),
    [
        ("fashion-mnist", "mlp", "fashion-mnist"),
        ("fashion-mnist", "lenet-5", "fashion-mnist-lenet-5"),
        ("/my/fashion-mnist", "mlp", "folder-fashion-mnist"),
        ("/my/letters", "mlp", "letters"),
    ],
)
def test_own_files_never_replace_results_on_a_known_data_set(data, network, name):
    assert STUDY.variant(defaults(data, quick=False, network=network)) == name
