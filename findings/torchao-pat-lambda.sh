#!/usr/bin/env bash
# torchao's PruneOptimizer with ProxLasso solves the lasso for the given reg_lambda around plain SGD, but silently for a
# different one around SGD with momentum and around AdamW.
#
# The problem is (1/2n)|y - Xw|^2 + lambda |w|_1 with 8 features, in float64, from w = 0 with full batches. The table shows
# the number of nonzero weights and the residual of the optimality conditions, divided by lambda: 0 at the solution.
# The threshold is reg_lambda times the sum of all learning rates. That sum is the distance that plain SGD moves along a
# constant gradient of 1. Momentum 0.9 moves ten times as far, so the solution is that of lambda/10. Adam divides by the size
# of the gradient, so the solution is that without a penalty.
#
# Prints the versions and the table, and ends with status 1 if this behaviour changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 torchao==0.18.0 numpy

cat > "$folder/lasso.py" <<'PYTHON'
import sys

import numpy as np
import torch
import torchao
from torchao.prototype.pat.optim import PruneOptimizer

print(f"torch {torch.__version__}, torchao {torchao.__version__}, numpy {np.__version__}")
random = np.random.default_rng(0)
x = random.normal(size=(200, 8))
y = x @ np.array([1.0, -1.0, 0.5, 0, 0, 0, 0, 0]) + 0.3 * random.normal(size=200)
x, y = torch.from_numpy(x), torch.from_numpy(y)
strength = 0.05 * float((x.T @ y / len(y)).abs().max())


def solve(make, steps=10_000):
    """The number of nonzero weights, and the residuals at the given lambda and at a tenth of it, each divided by it."""
    w = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    groups = [{"params": [w], "prox_type": "ProxLasso", "group_type": "ElemGrouper"}]
    optimizer = PruneOptimizer(make(groups), reg_lambda=strength)
    for _ in range(steps):
        optimizer.zero_grad()
        (((x @ w - y) ** 2).mean() / 2).backward()
        optimizer.step()
    w = w.detach()
    gradient = x.T @ (x @ w - y) / len(y)

    def residual(own):
        left = torch.where(w != 0, (gradient + own * w.sign()).abs(), (gradient.abs() - own).clamp(min=0))
        return float(left.max()) / own

    return int((w != 0).sum()), residual(strength), residual(strength / 10), float(gradient.abs().max()) / strength


makers = {
    "SGD": lambda groups: torch.optim.SGD(groups, lr=0.1),
    "SGD, momentum 0.9": lambda groups: torch.optim.SGD(groups, lr=0.02, momentum=0.9),
    "AdamW, no weight decay": lambda groups: torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.0),
}
found = {name: solve(make) for name, make in makers.items()}
print(f"{'base optimizer':24}{'nonzero':>8}{'residual at lambda':>20}{'at lambda/10':>14}{'gradient/lambda':>17}")
for name, (nonzero, given, tenth, gradient) in found.items():
    print(f"{name:24}{nonzero:8}{given:20.1e}{tenth:14.1e}{gradient:17.2g}")
as_described = (
    found["SGD"][1] < 1e-6
    and found["SGD, momentum 0.9"][1] > 0.5
    and found["SGD, momentum 0.9"][2] < 1e-6
    and found["AdamW, no weight decay"][1] > 0.5
    and found["AdamW, no weight decay"][3] < 0.1
)
print("the behaviour is as described" if as_described else "the behaviour changed")
sys.exit(not as_described)
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/lasso.py" 2> "$folder/errors" || { tail -20 "$folder/errors" >&2; exit 1; }
