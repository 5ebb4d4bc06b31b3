"""Packages that are imported when they are first used, so that `--help` and a wrong setting answer
at once: JAX alone takes more than a second.

    from experiments.lazy import jnp        # nothing is imported yet

Modules that use it import at their top only what is light, begin with
`from __future__ import annotations`, and compute nothing when they are imported.
"""

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ("Axes", "Figure", "jax", "jaxreg", "jnp", "networks", "nnx", "optax", "xr")

if TYPE_CHECKING:
    import jax
    import jax.numpy as jnp
    import optax
    import xarray as xr
    from flax import nnx
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    import jaxreg
    from experiments import networks
else:

    class Lazy:
        """Stands for a module and imports it at the first use of one of its names."""

        def __init__(self, name: str):
            self.name = name

        def __getattr__(self, attribute: str) -> Any:
            return getattr(importlib.import_module(self.name), attribute)

    jax, jnp, nnx, optax = Lazy("jax"), Lazy("jax.numpy"), Lazy("flax.nnx"), Lazy("optax")
    jaxreg, networks, xr = Lazy("jaxreg"), Lazy("experiments.networks"), Lazy("xarray")
    Axes = Figure = Any
