"""The studies, one a file. No study imports another."""

from experiments.studies import baselines, images, strength

STUDIES = (strength.STUDY, baselines.STUDY, images.STUDY)
"""All studies; the first one is what `python -m experiments` runs."""
