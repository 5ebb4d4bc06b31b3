"""A context in which JAX's caches of traces and compiled operations match nothing that was made in
another one.

`jaxreg.sweep` traces every fit under a number of its own, as JAX would not notice a global variable
that changed. What does not depend on such things leaves the context by `tracing_number(None)`, so
that it is compiled once and not for every sweep.
"""

from typing import Any

import jax

tracing_number: Any = jax.make_user_context(None)
