"""Imports point one way, jaxreg needs little, and experiments use it as a user would."""

import ast
import graphlib
import importlib.metadata
import sys
from pathlib import Path

import jaxreg

ROOT = Path(__file__).parents[1]
# A part may use those of earlier layers and of its own; private parts lie in between.
LAYERS = (
    {"penalties", "_masking"},
    {"transforms", "preconditioners", "measures"},
    {"optimizers", "sweeps", "solvers"},
    {"paths", "linear", "compaction", "sparsification", "nemos", "optimistix"},
    {"estimators", "stability"},
)
NEEDED = {"jax", "optax", "numpy", "scipy", *sys.stdlib_module_names}
# What serves one feature is imported where it is called.
EXTRAS = {
    "cloudpickle",
    "rich",
    "xarray",
    "matplotlib",
    "threadpoolctl",
    "typing_extensions",
    "dask",
    "nemos",
}
# What derives from another package's classes imports it at its top, and no other module imports it.
ADAPTERS = {"optimistix": {"optimistix", "lineax"}, "estimators": {"sklearn"}}


def imports(path, *, within=True):
    """What a file imports, with the names it takes from packages; at its top alone or anywhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if within else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(package):
    return [
        path for path in (ROOT / package).rglob("*.py") if path != ROOT / package / "__init__.py"
    ]


def parts():
    """The modules and packages of jaxreg, and which of them each imports."""
    graph = {}
    for path in files("jaxreg"):
        part = path.relative_to(ROOT / "jaxreg").parts[0].removesuffix(".py")
        used = (name.split(".")[1] for name in imports(path) if name.startswith("jaxreg."))
        graph.setdefault(part, set()).update(name for name in used if name != part)
    return graph


def reached(graph, part):
    found, waiting = set(), {part}
    while waiting:
        waiting = set().union(*(graph[name] for name in waiting)) - found
        found |= waiting
    return found


def test_imports_point_down():
    graph = parts()
    order = list(
        graphlib.TopologicalSorter(graph).static_order()
    )  # an error where they form a cycle
    assert set(order) == set(graph)
    for number, layer in enumerate(LAYERS):
        above = set().union(*LAYERS[number + 1 :])
        for part in layer:
            assert not reached(graph, part) & above, part


def test_diagnostics_know_neither_transforms_nor_optimizers():
    assert not reached(parts(), "measures") & {"transforms", "optimizers", "_proximal", "_metric"}


def test_jaxreg_needs_jax_numpy_and_optax_alone():
    for path in files("jaxreg"):
        everywhere = {name.split(".")[0] for name in imports(path)} - {"jaxreg"}
        needed = NEEDED | ADAPTERS.get(path.stem, set())
        assert everywhere <= needed | EXTRAS, path
        assert {name.split(".")[0] for name in imports(path, within=False)} - {
            "jaxreg"
        } <= needed, path
    for path in (ROOT / "jaxreg").rglob("*.py"):
        assert not {f"jaxreg.{name}" for name in ADAPTERS} & {
            ".".join(name.split(".")[:2]) for name in imports(path)
        }, path


def test_experiments_use_jaxreg_as_a_user_does_and_no_study_imports_another():
    for path in files("experiments"):
        study = path.relative_to(ROOT / "experiments").with_suffix("").parts[:2]
        for name in imports(path):
            assert not name.startswith("jaxreg.") or name.startswith("jaxreg.plotting"), (
                f"{path}: {name}"
            )
            if (
                study[0] == "studies"
                and study[1] != "__init__"
                and name.startswith("experiments.studies.")
            ):
                assert name.split(".")[2] == study[1], f"{path} imports {name}"


def test_public_names():
    for name in jaxreg.__all__:
        assert name == "__version__" or getattr(jaxreg, name).__doc__, name
    assert jaxreg.__version__ == importlib.metadata.version("jaxreg")
    modules = {path.stem for path in (ROOT / "jaxreg").iterdir()}
    assert {name for name in vars(jaxreg) if not name.startswith("_")} <= {
        *jaxreg.__all__,
        *modules,
    }
