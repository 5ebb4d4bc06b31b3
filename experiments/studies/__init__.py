"""The studies, one a file. No study imports another."""

from experiments.studies import strength

STUDIES = (strength.STUDY,)
"""All studies; the first one is what `python -m experiments` runs."""
