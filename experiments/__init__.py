"""What L1 and L2 regularization do to a network, measured: `python -m experiments --help`."""

import os

# jaxlib reads this when its CPU backend starts. With as many threads as devices, batched LAPACK
# calls can deadlock.
os.environ.setdefault("PJRT_NPROC", str(max(8, 4 * (os.cpu_count() or 1))))
