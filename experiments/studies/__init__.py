"""The studies, one a file. No study imports another."""

from experiments.studies import (
    baselines,
    bias,
    images,
    l1_l2,
    language,
    path,
    published,
    relevance,
    stability,
    strength,
    units,
)

STUDIES = (
    l1_l2.STUDY,
    strength.STUDY,
    relevance.STUDY,
    stability.STUDY,
    bias.STUDY,
    baselines.STUDY,
    images.STUDY,
    language.STUDY,
    units.STUDY,
    path.STUDY,
    published.STUDY,
)
"""All studies; the first one is what `python -m experiments` runs."""
