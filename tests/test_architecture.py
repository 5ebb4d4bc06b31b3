"""Imports point one way, package by package, and experiments use jaxreg as a user would."""

import ast
import importlib.metadata
import sys
from pathlib import Path

import pytest

import jaxreg

ROOT = Path(__file__).parents[1]
# Layers from the ground up: a module may import those of earlier layers, and those of its own.
JAXREG = (
    {"_typing", "_tracing", "_losses", "_precision"},
    {
        "_checks",
        "_division",
        "_dtypes",
        "_fusion",
        "_groups",
        "_pytrees",
        "_states",
        "_connections",
        "_counting",
        "_patterns",
        "_clipping",
    },
    {"penalties", "_masking", "_roles", "preconditioners"},
    {"_assigning", "_sparsity"},
    {"_duality"},
    {"transforms", "measures", "_metric", "pruning"},
    {"_proximal", "_fista", "steering", "master"},
    {"optimizers", "_sweep", "sweeps", "solvers"},
    {"_paths", "paths", "_chains", "compaction"},
    {"_linear", "linear"},
    {"plotting"},
)
EXPERIMENTS = (
    {"settings", "stopping", "output", "datasets", "networks", "idx", "claims", "sheet"},
    {"training", "linear_models", "selection", "layout", "terminal", "figures", "study"},
    {"studies", "results", "benchmarks"},
    {"report", "runner", "parsing"},
    {"command_line"},
    {"__main__"},
)
SUBMODULES = {
    "compaction",
    "linear",
    "master",
    "measures",
    "optimizers",
    "paths",
    "penalties",
    "pruning",
    "solvers",
    "steering",
    "sweeps",
}
SUBMODULES |= {"transforms"}
# What a figure of results on disk must not need.
TRAINING = {"jax", "optax", "flax", "experiments.training", "experiments.networks"}


def imports(path):
    """Every module that a file names in an import, with the names it takes from packages."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            packages = ("jaxreg", "jaxreg._sweep", "experiments")
            yield from (
                (f"{node.module}.{alias.name}" for alias in node.names)
                if node.module in packages
                else (node.module,)
            )


def modules(package):
    return {
        str(p.relative_to(ROOT / package).with_suffix("")): p
        for p in (ROOT / package).rglob("*.py")
        if p.relative_to(ROOT / package).parts != ("__init__.py",)
    }


def layer_of(layers, part):
    found = [number for number, layer in enumerate(layers) if part in layer]
    assert len(found) == 1, f"{part} has no layer, or several"
    return found[0]


@pytest.mark.parametrize(("package", "layers"), [("jaxreg", JAXREG), ("experiments", EXPERIMENTS)])
def test_imports_point_down(package, layers):
    for module, path in modules(package).items():
        own = layer_of(layers, module.split("/")[0])
        for name in imports(path):
            root, *rest = name.split(".")
            # `from experiments.studies import …` and the like name the registry, which is a part
            # like any other.
            if root == package and rest and not (module.startswith("__") and package == "jaxreg"):
                assert layer_of(layers, rest[0]) <= own, f"{module} imports {name}"


@pytest.mark.parametrize("module", modules("jaxreg"))
def test_jaxreg_needs_little_and_knows_no_experiments(module):
    needed = {
        "jaxreg",
        "jax",
        "optax",
        "numpy",
        "rich",
        "xarray",
        "typing_extensions",
        "threadpoolctl",
        "cloudpickle",
        *sys.stdlib_module_names,
    }
    needed |= {"matplotlib"} if module == "plotting" else set()
    for name in imports(modules("jaxreg")[module]):
        assert name.split(".")[0] in needed, name


def test_diagnostics_know_neither_transforms_nor_optimizers():
    named = set(imports(ROOT / "jaxreg" / "measures.py"))
    assert not {
        name for name in named if name.split(".")[-1] in ("transforms", "optimizers", "_proximal")
    }


@pytest.mark.parametrize("module", modules("experiments"))
def test_experiments_type_import_jaxreg(module):
    for name in imports(modules("experiments")[module]):
        # The plots are a module of their own, as they need matplotlib.
        assert not name.startswith("jaxreg.") or name == "jaxreg.plotting", (
            f"{name}: a user types `import jaxreg`"
        )


def test_no_study_imports_another():
    for module, path in modules("experiments").items():
        if module.startswith("studies/"):
            own = module.split("/")[1]
            for name in imports(path):
                parts = name.split(".")
                if parts[:2] == ["experiments", "studies"] and len(parts) > 2:
                    assert parts[2] == own, f"{module} imports {name}"


def test_what_is_shown_comes_from_disk_alone():
    for module, path in modules("experiments").items():
        if module.startswith(("report/", "figures/")) or module.endswith("/figures"):
            assert not set(imports(path)) & TRAINING, module
            assert "savefig(pixels" in path.read_text() or "savefig" not in path.read_text(
                encoding="utf-8"
            ), module


def test_public_names():
    promised = """L1 SquaredL2 ElasticNet GroupL2 Group SparseGroupL2 LogSum MCP SCAD Bridge L0
    add_penalty add_l1 add_l2 proximal_step prox_l1 proximal prox_sgd prox_adam
    prox_adamw prox_nadam prox_amsgrad prox_yogi prox_adabelief prox_adamax
    prox_rmsprop prox_adagrad penalty_value hold_zeros steer_strength
    keep_largest kkt_residual critical_strength duality_gap sparsity kernels
    matching preconditioners sweep grid Grid Runs fit_path cross_validate_path
    strength_grid select_strength Recipe RegularizationPath CrossValidation compact Compacted fista
    Fista FistaState Solution plotting fit_linear_path
    cross_validate_linear_path LinearModel"""
    for name in promised.split():
        assert name in jaxreg.__all__
        assert getattr(jaxreg, name).__doc__, name


def test_the_version_is_the_installed_one():
    assert jaxreg.__version__ == importlib.metadata.version("jaxreg")
    assert {name for name in vars(jaxreg) if not name.startswith("_")} - set(
        jaxreg.__all__
    ) <= SUBMODULES
