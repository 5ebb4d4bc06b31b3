"""Settings of every test: eight virtual devices, and float64 where a test asks for it."""

import gc
import signal

import hypothesis
import jax
import pytest

# Sharding is tested on virtual devices; everything else just uses the first.
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_platforms", "cpu")

# Shells start background commands with SIGINT ignored, and nohup ignores SIGHUP; tests and their
# child processes need both.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# A compile can fall into any example, so a deadline would measure the machine; derandomized, a
# failure repeats.
hypothesis.settings.register_profile("jaxreg", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("jaxreg")


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Frees a file's compiled programs: thousands take gigabytes, and all the memory maps that
    Linux grants a process.
    """
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def float64():
    """Runs the test with 64-bit arrays."""
    with jax.enable_x64(True):
        yield
