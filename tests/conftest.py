"""Settings of every test: quick compilation, eight virtual devices, and float64 where a test asks
for it.
"""

import ctypes
import gc
import os
import signal
import sys

import hypothesis
import jax
import pytest

# Compiling is most of the tests' time. Whoever sets XLA_FLAGS, even to nothing, gets the programs
# that users have: .ci/run does so for penalties, optimizers and transformations.
QUICK = "--xla_backend_optimization_level=0"
if jax.__version_info__ < (0, 11):  # later versions do not know this flag, and stop at it
    QUICK += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", QUICK)

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
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture
def float64():
    """Runs the test with 64-bit arrays."""
    with jax.enable_x64(True):
        yield
