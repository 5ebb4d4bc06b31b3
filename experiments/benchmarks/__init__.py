"""The benchmarks, one a file; each is a `Study` without claims. None imports another."""

from experiments.benchmarks import lasso, linear, sparse, sweep, update

BENCHMARKS = (lasso.STUDY, update.STUDY, linear.STUDY, sparse.STUDY, sweep.STUDY)
"""All benchmarks."""
