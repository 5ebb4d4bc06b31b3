"""Settings of every test: eight virtual devices, and float64 where a test asks for it."""

import hypothesis
import jax
import pytest

# Sharding is tested on virtual devices; everything else just uses the first.
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_platforms", "cpu")

# A compile can fall into any example, so a deadline would measure the machine; derandomized, a failure repeats.
hypothesis.settings.register_profile("jaxreg", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("jaxreg")


@pytest.fixture
def float64():
    """Runs the test with 64-bit arrays."""
    with jax.enable_x64(True):
        yield
