"""What a user reads and types: signatures, help, examples in docstrings, and checked types."""

import doctest
import importlib
import inspect
import json
import pkgutil
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxreg

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "typed_script.py"
FUNCTIONS = [name for name in jaxreg.__all__ if inspect.isfunction(getattr(jaxreg, name))]
# jax and optax leave parts of their own signatures without types.
PYRIGHT = {
    "typeCheckingMode": "strict",
    "reportMissingTypeStubs": False,
    "enableTypeIgnoreComments": True,
    "reportUnnecessaryTypeIgnoreComment": True,
    **{f"reportUnknown{name}Type": False for name in ("Member", "Variable", "Argument")},
    "include": [SCRIPT.name],
    "extraPaths": [str(ROOT)],
}


def test_a_checker_accepts_a_script_and_finds_its_mistakes(tmp_path):
    """A comment that ignores a mistake is an error itself where the checker finds none.

    mypy reads the script too, by its settings in pyproject.toml.
    """
    # Outside the checkout the checker sees jaxreg as a user's does.
    shutil.copy(SCRIPT, tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    command = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "-p", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_script_runs_and_uses_every_public_name(capsys):
    runpy.run_path(str(SCRIPT))
    assert jaxreg.__version__ in capsys.readouterr().out
    text = SCRIPT.read_text(encoding="utf-8")
    assert [name for name in jaxreg.__all__ if f"jaxreg.{name}" not in text] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_stands_by_itself(name):
    function = getattr(jaxreg, name)
    text = inspect.getdoc(function)
    arguments = text.partition("Args:\n")[2].partition("Returns:\n")[0]
    for parameter in inspect.signature(function).parameters:
        assert f"\n    {parameter}: " in f"\n{arguments}".replace("*", ""), parameter
    assert "Returns:\n" in text and "Raises:\n" in text
    if name.startswith("prox_") and name != "prox_l1":
        # Aliases stand by their names, so that a signature takes two or three lines of a terminal.
        assert len(str(inspect.signature(function))) <= 450
        assert f">>> tx = jaxreg.{name}(" in text


def test_examples_in_docstrings():
    attempted = 0
    for module in [
        "jaxreg",
        *(found.name for found in pkgutil.walk_packages(jaxreg.__path__, "jaxreg.")),
    ]:
        results = doctest.testmod(importlib.import_module(module))
        assert results.failed == 0, module
        attempted += results.attempted
    assert attempted > 50


def precisions(function, *arguments):
    """The precisions of all matrix products in a traced function, also in those that it calls."""
    found = set()

    def visit(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "dot_general":
                precision = equation.params["precision"]
                found.add(precision if precision is None else precision[0].name)
            for inner in jax.tree.leaves(
                list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
            ):
                if hasattr(inner, "eqns"):
                    visit(inner)

    visit(jax.make_jaxpr(function)(*arguments))
    return found


X = np.random.default_rng(0).standard_normal((12, 5)).astype(np.float32)
Y = X[:, 0] - X[:, 1]


def loss(w, data):
    return jnp.mean((data[0] @ w - data[1]) ** 2) / 2


def solved(strength):
    return jaxreg.fista(loss, jaxreg.L1(strength)).run(jnp.zeros(5), (X, Y)).params


PRODUCTS = {
    "fista": (solved, np.float32(0.1)),
    "its derivative": (jax.jacobian(solved), np.float32(0.1)),
    "duality gap": (
        lambda w: jaxreg.duality_gap(jaxreg.L1(0.1), w, lambda w: jnp.asarray(X) @ w, Y),
        np.ones(5, np.float32),
    ),
    "linear model": (lambda w: jaxreg.LinearModel(w, 0.0).predict(X), np.ones(5, np.float32)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_not_rounded_further_than_float32(name):
    """On accelerators JAX's default rounds the factors."""
    assert precisions(loss, np.ones(5, np.float32), (X, Y)) == {None}
    assert precisions(*PRODUCTS[name]) == {"HIGHEST"}


def test_a_precision_that_was_set_is_respected():
    with jax.default_matmul_precision("bfloat16"):
        assert precisions(*PRODUCTS["duality gap"]) == {"DEFAULT"}
