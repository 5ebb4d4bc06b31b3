"""The benchmarks, one a file; each is a `Study` without claims."""

import dataclasses

from experiments.studies import STUDIES

BENCHMARKS = (dataclasses.replace(STUDIES[0], name="bench toy"),)
"""All benchmarks."""
