"""What all figures share.

Every method keeps its colour from figure to figure (Okabe and Ito's palette, which colour-blind readers can tell apart).
"""

import numpy as np
from matplotlib.figure import Figure

COLOURS = {"before": "#444444", "L1": "#D55E00", "L2": "#0072B2"}
MARKERS = ["o", "s", "^", "D", "v"]
DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, laid out so that nothing overlaps."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def largest_of(*arrays: np.ndarray) -> float:
    """The largest finite |value|, or 1 where there is none but 0: a scale that a diverged network cannot break."""
    values = np.abs(np.concatenate([np.ravel(array) for array in arrays]))
    return float(np.max(values[np.isfinite(values)], initial=0)) or 1.0
