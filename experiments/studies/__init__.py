"""The studies, one a file. No study imports another."""

from experiments.studies import (
    baselines,
    bias,
    images,
    relevance,
    stability,
    strength,
)

STUDIES = (
    strength.STUDY,
    relevance.STUDY,
    stability.STUDY,
    bias.STUDY,
    baselines.STUDY,
    images.STUDY,
)  # fmt: skip
"""All studies; the first one is what `python -m experiments` runs."""
