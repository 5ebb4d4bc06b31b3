"""torchao's pruning-aware optimizer on the problem of `bench lasso`, in the extra `torch`.

`PruneOptimizer` is a method of dual averaging: the base optimizer moves latent weights, and the
weights of the model are those, soft-thresholded by λ times the sum of all learning rates. This sum
is the step that plain SGD took, but not the effective step of momentum or Adam.
"""

from importlib.util import find_spec
from typing import Any

import numpy as np

NAMES = ("torchao SGD", "torchao SGD, momentum 0.9", "torchao AdamW")
"""The optimizers that are wrapped, AdamW without weight decay."""


def installed() -> bool:
    """Whether PyTorch and torchao are."""
    return find_spec("torch") is not None and find_spec("torchao") is not None


def by_torchao(
    name: str, inputs: np.ndarray, targets: np.ndarray, strength: float, steps: int
) -> np.ndarray:
    """Minimises (1/2n)‖y − Xw‖² + λ‖w‖₁ from w = 0 in float64.

    Args:
        name: one of `NAMES`.
        inputs: X, of shape (n, features).
        targets: y, of shape (n,).
        strength: λ.
        steps: number of full-batch steps.

    Returns:
        The weights, of shape (features,).
    """
    import torch
    from torchao.prototype.pat.optim import PruneOptimizer

    x, y = torch.from_numpy(inputs), torch.from_numpy(targets)
    weights = torch.zeros(inputs.shape[1], dtype=torch.float64, requires_grad=True)
    penalised = [
        {
            "params": [weights],
            "prox_type": "ProxLasso",
            "group_type": "ElemGrouper",
            "reg_lambda": strength,
        }
    ]
    bases: dict[str, Any] = {
        "torchao SGD": lambda: torch.optim.SGD(penalised, lr=0.1),
        "torchao SGD, momentum 0.9": lambda: torch.optim.SGD(penalised, lr=0.02, momentum=0.9),
        "torchao AdamW": lambda: torch.optim.AdamW(penalised, lr=1e-2, weight_decay=0.0),
    }
    optimizer = PruneOptimizer(bases[name]())
    for _ in range(steps):
        optimizer.zero_grad()
        (torch.mean(torch.square(x @ weights - y)) / 2).backward()
        optimizer.step()
    return np.asarray(weights.detach().numpy())
