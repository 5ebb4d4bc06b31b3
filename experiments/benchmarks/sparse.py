"""From which share of kept weights a sparse product is faster than a dense one.

A float32 matrix W (inputs, units) with weights at random places is multiplied by a batch x (batch,
inputs). JAX's sparse matrices are measured as x W and as (Wᵀ xᵀ)ᵀ; BCSR has no product x W.
`jaxreg.sparsify` is the second form of BCSR, with a batch that is filled up to a multiple of eight
rows and xᵀ that is made in blocks. Every round times every form once, in random order. The time of
the dense product of the same library (JAX, NumPy for SciPy, PyTorch) is divided by that of the
sparse one within the round, before the median over all rounds is taken.

`network` is the whole forward pass of LeNet-300-100 with tanh, where `jaxreg.sparsify` chooses the
form of each product.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiments.lab import Results, Session, Study
from experiments.lazy import jax, jaxreg, jnp, xr
from experiments.settings import at_least, shares
from experiments.tables import Table
from experiments.timing import paired
from experiments.training import described


@dataclasses.dataclass(frozen=True)
class Settings:
    """Sparse products compared with dense ones, on this machine."""

    sizes: tuple[tuple[int, int], ...] = ((784, 300), (4096, 4096))
    """Inputs and units of the matrices."""
    batches: tuple[int, ...] = (1, 32, 256)
    """Numbers of rows that are multiplied at a time."""
    shares: tuple[float, ...] = (0.5, 0.25, 0.1, 0.05, 0.02, 0.01)
    """Shares of weights that are not 0."""
    rounds: int = 50
    """Number of rounds; each round times every form once, in random order. Fewer, but at least
    three, where they take more than `seconds`.
    """
    seconds: float = 2.0
    """Time for all rounds at one size, batch and share."""
    largest: float = 5e7
    """BCOO is not measured where it makes an array of more numbers than this, one for each weight
    kept and row of the batch.
    """
    torch: bool = True
    """Whether to measure PyTorch, if it is installed."""
    seed: int = 0
    """Seed of the weights, the batch and the order."""

    def __post_init__(self) -> None:
        at_least(self, batches=1, rounds=3)
        shares(self, "shares")


JAX, NUMPY, TORCH = "dense in JAX", "dense in NumPy", "dense in PyTorch"
BASELINES = {
    "BCOO, x W": JAX, "BCOO, Wᵀ xᵀ": JAX, "BCSR, Wᵀ xᵀ": JAX, "jaxreg.sparsify": JAX,
    "SciPy CSR, Wᵀ xᵀ": NUMPY, "PyTorch CSR, Wᵀ xᵀ": TORCH,
}  # fmt: skip
"""The sparse forms, and the dense product that each is compared with."""
NETWORK = (784, 300, 100, 10)
QUARTILES = (0.25, 0.5, 0.75)
TEXTS = {
    "form": ("how the product is computed", "1"),
    "size": ("inputs × units of the matrix", "1"),
    "batch": ("rows that are multiplied at a time", "1"),
    "share": ("share of weights that are not 0", "1"),
    "quartile": ("quartile over the rounds", "1"),
    "milliseconds": ("median time", "ms"),
    "speedup": ("time of the dense product divided by that of the sparse one", "1"),
}
Calls = Mapping[str, Callable[[], Any]]


def drawn(rng: np.random.Generator, shape: tuple[int, int], share: float) -> np.ndarray:
    """A float32 matrix with this share of weights at random places."""
    kept = rng.random(shape, np.float32) < share
    return np.where(kept, rng.standard_normal(shape, np.float32), np.float32(0))


def products(weights: np.ndarray, x: np.ndarray, config: Settings) -> Calls:
    """Every form of x W, by its name."""
    import scipy.sparse
    from jax.experimental import sparse

    batch, w, kept = jnp.asarray(x), jnp.asarray(weights), np.count_nonzero(weights)
    calls: dict[str, Callable[[], Any]] = {}

    def add(name: str, function: Callable[[Any, Any], Any], matrix: Any) -> None:
        compiled = jax.jit(function)
        calls[name] = lambda: compiled(matrix, batch)

    add(JAX, lambda w, x: x @ w, w)
    if kept * len(x) <= config.largest:
        add("BCOO, x W", lambda m, x: x @ m, sparse.BCOO.fromdense(w))
        add("BCOO, Wᵀ xᵀ", lambda m, x: (m @ x.T).T, sparse.BCOO.fromdense(w.T))
    add("BCSR, Wᵀ xᵀ", lambda m, x: (m @ x.T).T, sparse.BCSR.fromdense(w.T))
    fast = jaxreg.sparsify(lambda w, x: x @ w, w, batch, max_share=1.0)
    calls["jaxreg.sparsify"] = lambda: fast(batch)
    csr = scipy.sparse.csr_array(weights.T)
    calls[NUMPY] = lambda: x @ weights
    calls["SciPy CSR, Wᵀ xᵀ"] = lambda: np.ascontiguousarray((csr @ x.T).T)
    if config.torch and importlib.util.find_spec("torch"):
        import torch

        dense, rows = torch.from_numpy(weights), torch.from_numpy(x)
        compressed = dense.T.to_sparse_csr()
        calls[TORCH] = lambda: rows @ dense
        calls["PyTorch CSR, Wᵀ xᵀ"] = lambda: (compressed @ rows.T).T.contiguous()
    return calls


def timed(calls: Calls, config: Settings) -> dict[str, np.ndarray]:
    """The seconds that each call takes in each round."""
    seconds = paired([*calls.values()], config.rounds, config.seed, config.seconds)
    return dict(zip(calls, seconds.T, strict=True))


def measure(config: Settings, _: Session) -> xr.Dataset:
    """Times every form of every product; returns the variables in `TEXTS`, NaN where a form was not
    measured.
    """
    import threadpoolctl

    rng = np.random.default_rng(config.seed)
    axes: dict[str, list[Any]] = {
        "form": [*BASELINES, *dict.fromkeys(BASELINES.values())],
        "size": [f"{inputs} × {units}" for inputs, units in config.sizes],
        "batch": list(config.batches),
        "share": list(config.shares),
        "quartile": list(QUARTILES),
    }
    shape = [len(labels) for labels in axes.values()]
    milliseconds, speedup = np.full(shape[:-1], np.nan), np.full(shape, np.nan)
    for place in np.ndindex(*shape[1:-1]):
        size, batch, share = (part[at] for part, at in zip(
            (config.sizes, config.batches, config.shares), place, strict=True))  # fmt: skip
        weights = drawn(rng, size, share)
        x = rng.standard_normal((batch, size[0]), np.float32)
        # OpenBLAS waits for all its threads, which takes milliseconds where a core is busy.
        with threadpoolctl.threadpool_limits(1, "blas"):
            times = timed(products(weights, x, config), config)
        for at, form in enumerate(axes["form"]):
            if form in times:
                ratio = times[BASELINES.get(form, form)] / times[form]
                milliseconds[at, *place] = 1e3 * np.median(times[form])
                speedup[at, *place] = np.quantile(ratio, QUARTILES)
    variables = {"milliseconds": (list(axes)[:-1], milliseconds), "speedup": (list(axes), speedup)}
    device = {"device": jax.devices()[0].device_kind}
    return described(xr.Dataset(variables, axes, device), TEXTS)


def measure_network(config: Settings, _: Session) -> xr.Dataset:
    """Times the forward pass of LeNet-300-100; returns the variables in `TEXTS`."""
    rng = np.random.default_rng(config.seed)
    axes: dict[str, list[Any]] = {
        "batch": list(config.batches), "share": list(config.shares), "quartile": list(QUARTILES)
    }  # fmt: skip
    shape = [len(labels) for labels in axes.values()]
    milliseconds, speedup = np.zeros(shape[:-1]), np.zeros(shape)

    def forward(kernels: list[jax.Array], x: jax.Array) -> jax.Array:
        for kernel in kernels[:-1]:
            x = jnp.tanh(x @ kernel)
        return x @ kernels[-1]

    dense = jax.jit(forward)
    for place in np.ndindex(*shape[:-1]):
        batch, share = axes["batch"][place[0]], axes["share"][place[1]]
        kernels = [jnp.asarray(drawn(rng, size, share)) for size in itertools.pairwise(NETWORK)]
        x = jnp.asarray(rng.standard_normal((batch, NETWORK[0]), np.float32))
        fast = jaxreg.sparsify(forward, kernels, x)
        calls = {
            "dense": lambda kernels=kernels, x=x: dense(kernels, x),
            "sparse": lambda fast=fast, x=x: fast(x),
        }
        times = timed(calls, config)
        milliseconds[place] = 1e3 * np.median(times["sparse"])
        speedup[place] = np.quantile(times["dense"] / times["sparse"], QUARTILES)
    variables = {"milliseconds": (list(axes)[:-1], milliseconds), "speedup": (list(axes), speedup)}
    return described(xr.Dataset(variables, axes), TEXTS)


def break_even(speedup: xr.DataArray) -> str:
    """The largest share up to which a form is faster than dense at every share measured."""
    faster = speedup.dropna("share").sortby("share")
    slower = np.flatnonzero(faster.values <= 1)
    count = slower[0] if slower.size else faster.size
    if not faster.size:
        return "not measured"
    return f"{faster['share'].values[count - 1]:.0%}" if count else "none"


def cell(speedup: xr.DataArray) -> str:
    """A median with its quartiles."""
    low, median, high = speedup.values
    return "" if np.isnan(median) else f"{median:.2f} ({low:.2f} to {high:.2f})"


def tabulate(results: Results) -> list[Table]:
    """Break-even shares and speed-ups of products, and speed-ups of the network."""
    dataset, network = results["products"], results["network"]
    shown = [share for share in (0.05, 0.01) if share in dataset["share"]]
    measured = [form for form in BASELINES if dataset["speedup"].sel(form=form).notnull().any()]
    rows = []
    for size in dataset["size"].values:
        for batch in dataset["batch"].values:
            for form in measured:
                speedup = dataset["speedup"].sel(form=form, size=size, batch=batch)
                cells = [cell(speedup.sel(share=share)) for share in shown]
                rows.append(
                    [str(size), str(batch), form, break_even(speedup.sel(quartile=0.5)), *cells]
                )
    titles = [f"speed-up at {share:.0%}" for share in shown]
    headings = ["inputs × units", "batch", "form", "faster up to", *titles]
    products = Table(
        headings,
        rows,
        f"Products on {dataset.attrs['device']}: the largest measured share of weights kept up to "
        "which the form is faster than dense, and dense ÷ sparse time, median with quartiles",
        "SciPy is compared with NumPy on one thread, PyTorch with its own dense product, and the "
        "others with JAX's. BCOO is left out where its intermediate array would be too large"
        + ("." if set(BASELINES) == set(measured) else
           "; PyTorch was not measured, the extra `torch` installs it."),
    )  # fmt: skip
    whole = [
        [f"{share:.0%}", *(cell(network["speedup"].sel(batch=batch, share=share))
                           for batch in network["batch"].values)]
        for share in network["share"].values
    ]  # fmt: skip
    headings = ["weights kept", *(f"batch {batch}" for batch in network["batch"].values)]
    title = (
        "Forward pass of LeNet-300-100 by `jaxreg.sparsify`: dense ÷ sparse time, median with "
        "quartiles"
    )
    return [products, Table(headings, whole, title)]


STUDY = Study(
    name="bench sparse",
    summary="Sparse products compared with dense ones",
    settings=Settings(),
    quick=Settings(sizes=((784, 300),), batches=(32,), shares=(0.5, 0.05, 0.01), rounds=20),
    sweeps={"products": measure, "network": measure_network},
    tabulate=tabulate,
)
