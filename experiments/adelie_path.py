"""A path of adelie, in a Python that has it; adelie needs an older NumPy than jaxreg.

    /path/to/python -m experiments.adelie_path PROBLEM.npz SOLUTION.npz

The problem has the arguments of `solve`, the solution what `measured` returns.
"""

import sys

import adelie
import numpy as np

from experiments.timing import measured


def solve(
    x: np.ndarray,
    y: np.ndarray,
    strengths: np.ndarray,
    family: np.ndarray,
    alpha: np.ndarray,
    size: np.ndarray,
    tolerance: np.ndarray,
) -> np.ndarray:
    """The weights (strengths, features) of a model with groups of neighbouring features."""
    starts = np.arange(0, x.shape[1], int(size))
    options = {"tol": float(tolerance), "alpha": float(alpha), "lmda_path": strengths}
    if family != "gaussian":
        options["irls_tol"] = float(tolerance)
    glm = getattr(adelie.glm, str(family))(y=y)
    # Its own weights of groups are the roots of their sizes.
    state = adelie.grpnet(
        x, glm, groups=starts, penalty=np.ones(len(starts)), intercept=False, early_exit=False,
        progress_bar=False, **options,
    )  # fmt: skip
    return state.betas.toarray()


if __name__ == "__main__":
    with np.load(sys.argv[1]) as found:
        problem = dict(found)
    np.savez(sys.argv[2], **measured(lambda: solve(**problem))._asdict())
