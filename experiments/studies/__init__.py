"""The studies, one a file. No study imports another."""

from experiments.studies import path, strength

STUDIES = (strength.STUDY, path.STUDY)
"""All studies; the first one is what `python -m experiments` runs."""
