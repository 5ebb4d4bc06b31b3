"""A slow sweep for tests that stop it: python killed_sweep.py FOLDER RESULT [PROCESSES PROCESS
PORT].
"""

import sys

import jax

folder, result, *distributed = sys.argv[1:]
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 1 if distributed else 2)
if distributed:
    processes, process, port = map(int, distributed)
    jax.distributed.initialize(f"127.0.0.1:{port}", processes, process)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import jaxreg  # noqa: E402


def fit(key, hyperparams, data):
    """A random walk that shrinks: long enough to be hit in the middle."""

    def step(_, carry):
        w, key = carry
        key, noise = jax.random.split(key)
        return hyperparams["penalty"].prox(
            w + 0.1 * jax.random.normal(noise, w.shape) @ data, 0.1
        ), key

    w, _ = jax.lax.fori_loop(0, 6000, step, (jnp.zeros((16, 8)), key))
    return {"w": w, "zeros": jnp.mean(w == 0)}


print("started", flush=True)
runs = jaxreg.sweep(
    fit,
    jaxreg.grid(penalty=jaxreg.L1(np.linspace(0, 3, 5, dtype=np.float32))),
    np.eye(8, dtype=np.float32),
    seeds=[3, 1, 4, 15, 9],
    folder=None if folder == "none" else folder,
    chunk=1,
)
if jax.process_index() == 0:
    np.savez(result, w=runs.outputs["w"], zeros=runs.outputs["zeros"])
print(runs, flush=True)
