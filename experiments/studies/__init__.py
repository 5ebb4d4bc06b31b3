"""The studies, one a file. No study imports another."""

from experiments.studies import l1_l2, strength

STUDIES = (l1_l2.STUDY, strength.STUDY)
"""All studies; the first one is what `python -m experiments` runs."""
