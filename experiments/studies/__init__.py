"""The studies, one a file. No study imports another."""

from experiments.studies import path, published, strength

STUDIES = (strength.STUDY, path.STUDY, published.STUDY)
"""All studies; the first one is what `python -m experiments` runs."""
