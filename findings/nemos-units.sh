#!/usr/bin/env bash
# NeMoS's GLM.fit reports convergence, without a warning, at coefficients that depend on the unit of the features: at about 0
# after one step where their standard deviation is 1e-4, and 11 % short of the solution where it is 1000.
#
# The model is a Poisson GLM of 1000 rows and 8 features without a regularizer, so that a unit changes nothing but the unit
# of the coefficients: coefficient times unit is one number. The table shows it for the first feature, in float64. The
# solvers stop where parameters and objective change by less than an absolute tol=1e-4 in one step, whatever the gradient is.
#
# Prints the versions and the table, and ends with status 1 if this behaviour changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet nemos==0.2.8 optimistix==0.1.0 jax==0.10.2

cat > "$folder/units.py" <<'PYTHON'
import sys
import warnings

import jax
import nemos
import numpy as np
import optimistix

jax.config.update("jax_enable_x64", True)
print(f"nemos {nemos.__version__}, optimistix {optimistix.__version__}, jax {jax.__version__}")
random = np.random.default_rng(0)
x = random.normal(size=(1000, 8))
y = random.poisson(np.exp(x[:, :3] @ np.array([0.4, -0.3, 0.2]) + 0.3)).astype(float)


def fit(unit, solver):
    """The first coefficient times the unit, the steps, and whether convergence is reported without a warning."""
    model = nemos.glm.GLM(observation_model="Poisson", solver_name=solver)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model.fit(x * unit, y)
    report = model.optim_info_
    return float(model.coef_[0]) * unit, report.num_steps, report.converged and not warned


print(f"{'solver':18}{'unit':>8}{'coefficient':>13}{'steps':>7}{'converged':>11}")
found = {}
for solver, unit in [("GradientDescent", 1.0), ("GradientDescent", 1e-4), ("LBFGS", 1.0), ("LBFGS", 1e3)]:
    found[solver, unit] = coefficient, steps, converged = fit(unit, solver)
    print(f"{solver:18}{unit:8g}{coefficient:13.4f}{steps:7}{str(converged):>11}")
exact = found["LBFGS", 1.0][0]
as_described = (
    all(converged for *_, converged in found.values())
    and abs(found["GradientDescent", 1.0][0] - exact) < 1e-3
    and abs(found["GradientDescent", 1e-4][0]) < 1e-3
    and abs(found["LBFGS", 1e3][0] / exact - 1) > 0.05
)
print("the behaviour is as described" if as_described else "the behaviour changed")
sys.exit(not as_described)
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/units.py" 2> "$folder/errors" || { tail -20 "$folder/errors" >&2; exit 1; }
