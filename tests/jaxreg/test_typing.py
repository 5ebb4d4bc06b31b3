"""Type checkers accept a user's script with every public name, and signatures and help texts can be
read.
"""

import doctest
import importlib
import inspect
import json
import os
import pkgutil
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jaxreg

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("typed_script.py")
MYPY = (
    "[mypy]\nstrict = true\n[mypy-optax.*]\nignore_missing_imports = "
    "true\n[mypy-jaxreg.*]\nfollow_imports = silent\n"
)
# jax and optax leave parts of their own signatures without types.
PYRIGHT = {
    "typeCheckingMode": "strict",
    "reportMissingTypeStubs": False,
    **{f"reportUnknown{name}Type": False for name in ("Member", "Variable", "Argument")},
}
OPTIMIZERS = [name for name in jaxreg.__all__ if name.startswith("prox_") and name != "prox_l1"]
FUNCTIONS = [name for name in jaxreg.__all__ if inspect.isfunction(getattr(jaxreg, name))]
# A wrong argument, a wrong type of a result, and a penalty without a prox.
MISTAKES = """
jaxreg.prox_adam(1e-3, jaxreg.L1(1e-4), b3=0.9)
wrong: int = jaxreg.penalty_value(jaxreg.L1(1e-4), params)
jaxreg.sweep(fit, axes).outputs["value"].no_such_method()
"""


@pytest.fixture
def script(tmp_path):
    """A copy outside the checkout, where the checkers see jaxreg as a user's do."""
    return Path(shutil.copy(SCRIPT, tmp_path))


def mypy(script):
    (script.parent / "mypy.ini").write_text(MYPY)
    return [sys.executable, "-m", "mypy", "--cache-dir", str(script.parent / "cache"), script.name]


def pyright(script):
    config = {**PYRIGHT, "include": [script.name], "extraPaths": [str(ROOT)]}
    (script.parent / "pyrightconfig.json").write_text(json.dumps(config))
    return [
        sys.executable,
        "-m",
        "basedpyright",
        "--pythonpath",
        sys.executable,
        "-p",
        str(script.parent),
    ]


def check(checker, script):
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    command = checker(script)
    done = subprocess.run(
        command, cwd=script.parent, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_checkers_accept_a_script_and_find_its_mistakes(checker, script):
    status, said = check(checker, script)
    assert status == 0, said
    script.write_text(script.read_text(encoding="utf-8") + MISTAKES, encoding="utf-8")
    status, said = check(checker, script)
    assert status == 1
    assert "b3" in said
    assert "no_such_method" in said
    assert '"int"' in said


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
    assert "Returns:\n" in text
    assert "Raises:\n" in text


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_signatures_name_their_types(name):
    function = getattr(jaxreg, name)
    signature = inspect.signature(function)
    # Aliases stand by their names, so that a signature takes two or three lines of a terminal and
    # not eight.
    assert signature.parameters["learning_rate"].annotation == "ScalarOrSchedule"
    assert len(str(signature)) <= 450
    assert f">>> tx = jaxreg.{name}(" in inspect.getdoc(function)


@pytest.mark.parametrize(
    "module", ["jaxreg", *(one.name for one in pkgutil.walk_packages(jaxreg.__path__, "jaxreg."))]
)
def test_docstring_examples(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_the_examples_are_found():
    assert doctest.testmod(importlib.import_module("jaxreg.penalties.base")).attempted >= 3
    assert doctest.testmod(importlib.import_module("jaxreg.optimizers.adam")).attempted >= 8
