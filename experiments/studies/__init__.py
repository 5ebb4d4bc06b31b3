"""The studies, one a file. No study imports another."""

from experiments.studies import bias, relevance, stability, strength

STUDIES = (strength.STUDY, relevance.STUDY, stability.STUDY, bias.STUDY)
"""All studies; the first one is what `python -m experiments` runs."""
