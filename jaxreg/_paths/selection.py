"""Rules that pick a λ by its scores on held-out rows."""

from __future__ import annotations

from typing import Any

import numpy as np

RULES = ("best", "one_se")


def select_strength(
    strengths: Any, scores: Any, rule: str = "one_se", largest: bool = False
) -> int:
    """Picks a λ by its scores on validation rows.

    "best" takes the λ with the best mean score, the largest λ among equals. "one_se" takes the
    largest λ whose mean score is within one standard error of the best one's, with the standard
    error of the best; it is the simplest solution that the data cannot tell from the best.

        >>> import numpy as np, jaxreg
        >>> strengths = np.array([0.01, 0.1, 1.0])
        >>> # A row for each fold
        >>> errors = np.array([[0.30, 0.26, 0.50], [0.20, 0.28, 0.52], [0.24, 0.25, 0.54]])
        >>> select = jaxreg.select_strength
        >>> select(strengths, errors, "best"), select(strengths, errors)
        (0, 1)

    Args:
        strengths: λ (strengths,), in any order.
        scores: (repeats, strengths), a row for each fold or seed; or (strengths,) for the rule
            "best". A strength with a score that is not finite is never picked.
        rule: "best" or "one_se".
        largest: whether large scores are good (accuracies) rather than small ones (losses).

    Returns:
        The index of the strength.

    Raises:
        ValueError: the rule is unknown, the shapes do not fit, no strength has finite scores, or
            "one_se" has fewer than two repeats.

    Source: Breiman, Friedman, Olshen and Stone, Classification and Regression Trees (1984), section
        3.4.3; Friedman, Hastie and Tibshirani, Regularization paths for generalized linear models
        via coordinate descent (2010).
    """
    if rule not in RULES:
        raise ValueError(f"select: rule must be one of {', '.join(RULES)}, got {rule!r}")
    strengths = np.asarray(strengths, float)
    scores = np.atleast_2d(np.asarray(scores, float))
    if strengths.ndim != 1 or scores.ndim != 2 or scores.shape[1] != strengths.size:
        raise ValueError(
            f"select: expected scores of shape (repeats, {strengths.size}) for strengths of shape "
            "(strengths,), got "
            f"{scores.shape} for {strengths.shape}"
        )
    if rule == "one_se" and len(scores) < 2:
        raise ValueError(
            "select: the rule one_se needs a standard error, so at least 2 repeats (folds or "
            "seeds), got 1; use "
            'cross_validate_path, several seeds, or rule="best"'
        )
    usable = np.isfinite(scores).all(0)
    if not usable.any():
        raise ValueError(
            "select: expected finite scores for at least one strength, got none; the training "
            "diverged, or the rows that "
            "score it hold NaN"
        )
    means = np.where(usable, (-scores if largest else scores).mean(0), np.inf)
    best = max(np.flatnonzero(means == means.min()), key=lambda index: strengths[index])
    if rule == "best":
        return int(best)
    error = scores[:, best].std(ddof=1) / len(scores) ** 0.5
    return int(
        max(np.flatnonzero(means <= means[best] + error), key=lambda index: strengths[index])
    )
