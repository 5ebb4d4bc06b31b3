"""Evaluations of the claims on baselines, on hand-made datasets with known slopes and distances."""

import numpy as np
import pytest
import xarray as xr

from experiments.studies.baselines import claims as baselines


def tilted(*slopes):
    """Four methods whose best λ has these slopes, at four learning rates that are all used."""
    rates, levels = np.logspace(-3, -1.5, 4), np.logspace(-6, 3, 91)
    best = [slope * (np.log10(rates) + 2.25) - 1.5 for slope in slopes]
    losses = np.array([(np.log10(levels)[:, None] - one) ** 2 for one in best])[..., None]
    # A seed adds the same amount to the losses of every λ at a learning rate, so the best λ stays
    # the same.
    seeds = np.concatenate(
        [losses + 1e-3 * k * (np.log10(rates) + 2.25)[None, None, :, None] for k in range(4)], -1
    )
    methods = ["Adam, coupled L2", "proximal Adam, L2", "AdamW, rate × decay", "AdamW, decay alone"]
    return xr.Dataset(
        {"test_loss": (("method", "level", "rate", "seed"), seeds), "used": ("rate", [True] * 4)},
        {
            "method": methods,
            "strength": (("method", "level"), np.repeat(levels[None], 4, 0)),
            "rate": rates,
        },
    )


def test_slopes_are_evaluated_by_method():
    untied = baselines.tilt({"tilt": tilted(-1.0, -0.9, 0.1, 0.05)})
    assert [one.verdict for one in untied[:4]] == ["supported"] * 4
    assert [one.mean for one in untied] == pytest.approx(
        [-1, -0.9, 0.1, 0.05, -0.9, -0.95], abs=0.01
    )
    tied = baselines.tilt({"tilt": tilted(0.1, 0.05, -1.0, 0.9)})
    assert [one.verdict for one in tied[:4]] == ["contradicted"] * 4
    assert [one.mean for one in tied[4:]] == pytest.approx([0.9, 0.8], abs=0.01)


def paired(comparison, **distances):
    """A dataset of one comparison: the distance of each pair at the end, growing a little with the
    seed.
    """
    names = list(distances)
    table = (
        np.array(list(distances.values()))[None, :, None] * (1 + np.arange(3) / 10)[:, None, None]
    )
    return xr.Dataset(
        {
            f"{comparison}_distance": (("seed", f"{comparison}_pair", "epoch"), table),
            f"{comparison}_accuracy": (
                ("seed", f"{comparison}_pair", "member"),
                np.full((3, len(names), 2), 0.9),
            ),
            "factor": 100.0,
        },
        {f"{comparison}_pair": names},
    )


def test_pairs_are_one_or_apart():
    names = ("SGD", "SGD, momentum 0.9", "Adam")
    same = paired("decay", **dict(zip(names, (1e-16, 0.02, 0.4), strict=True)))
    assert [one.verdict for one in baselines.decay({"pairs": same})] == ["supported"] * 3
    turned = paired("decay", **dict(zip(names, (1e-3, 1e-16, 1e-3), strict=True)))
    assert [one.verdict for one in baselines.decay({"pairs": turned})] == ["contradicted"] * 3
    scaled = {
        "AdamW, eps → 0": 1e-16,
        "AdamW, eps 1e-8": 1e-4,
        "proximal Adam, L1, λ": 0.4,
        "proximal Adam, L1, 100·λ": 1e-15,
    }
    assert [one.verdict for one in baselines.scale({"pairs": paired("scale", **scaled)})] == [
        "supported"
    ] * 4
    turned = dict(zip(scaled, (1e-3, 0.1, 1e-3, 0.1), strict=True))
    assert [one.verdict for one in baselines.scale({"pairs": paired("scale", **turned)})] == [
        "contradicted"
    ] * 4
