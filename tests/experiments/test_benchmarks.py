"""The benchmarks as commands, in small: what they print, save, and put into the documents."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from processes import run

from experiments.benchmarks import linear
from experiments.benchmarks.excerpts import EXCERPTS
from experiments.benchmarks.parts import Parts
from experiments.benchmarks.settings import BENCHMARKS, LinearBenchmark


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_saves_where_the_documents_look_for_it(name):
    assert BENCHMARKS[name]().out == Path("results/bench") / f"{name}.json"


def excerpts(name, path):
    """The small tables of a saved file, whose rows must have a cell for each heading."""
    tables = EXCERPTS[name](json.loads(path.read_text()))
    for table, _ in tables.values():
        assert {len(row) for row in table.rows if not isinstance(row, str)} == {len(table.headings)}
    return tables


def test_bench_update_prints_bytes_and_ratios(tmp_path):
    status, said = run(
        "bench",
        "update",
        "--parameters",
        "100000",
        "--rounds",
        "5",
        "--out",
        tmp_path / "update.json",
    )
    assert status == 0, said
    numbers = json.loads((tmp_path / "update.json").read_text())["numbers"]
    # What the proximal step adds to AdamW's traffic is nothing but a few scalars, and for groups a
    # few passes.
    bytes_of = {name: row["bytes_per_parameter"] for name, row in numbers.items()}
    for penalty in ("L1", "LogSum", "MCP", "Bridge ½"):
        assert bytes_of[f"prox_adam({penalty})"] <= bytes_of["optax.adamw"] + 0.01
    for penalty in ("GroupL2", "Group(LogSum)"):
        assert bytes_of[f"prox_adam({penalty})"] < 2.2 * bytes_of["optax.adamw"]
    assert numbers["optax.adamw"]["ratio"] == 1.0
    assert {"optax.adamw", "prox_adam(L1)", "add_l1 → adam", "add_l2 → adam"} <= set(numbers)
    table = excerpts("update", tmp_path / "update.json")["optimizers"].table
    assert table.rows[0][:3] == ["`optax.adamw`", "40", "1.00"]


def test_bench_lasso_separates_exact_optimizers_from_naive_chains(tmp_path):
    status, said = run("bench", "lasso", "--no-torch", "--out", tmp_path / "lasso.json")
    assert status == 0, said
    assert "torchao was not measured" in said
    scores = json.loads((tmp_path / "lasso.json").read_text())["scores"]
    exact = {name: row for name, row in scores.items() if name.startswith("prox_")}
    assert len(exact) == 13
    for name, row in exact.items():
        assert row["error"] < 1e-8, name
        assert row["nonzero"] == scores["scikit-learn's Lasso"]["nonzero"] == 7
    naive = scores["sgd, momentum 0.9 → prox_l1"]
    assert naive["nonzero"] == 10
    assert naive["residual"] > 0.5
    for name in ("clip → prox_sgd", "clip → prox_adam"):
        assert scores[name]["nonzero"] < 7, name
        assert scores[name]["residual"] > 1, name
    rows = excerpts("lasso", tmp_path / "lasso.json")["optimizers"].table.rows
    assert [row[2] for row in rows] == ["7", "7", "7", "0", "0", "10", "10", "10", "10", "10"]
    assert rows[1][0] == "`prox_sgd`, `prox_sgd` momentum 0.9, `prox_sgd` Nesterov, `prox_sgd` clip"
    assert rows[3][0] == "`clip → prox_sgd`"


def test_bench_sweep_trains_the_same_network_everywhere(tmp_path):
    words = ["--widths", "16", "--runs", "6", "--epochs", "8", "--scaling-width", "16"]
    scaling = ["--scaling-devices", "1", "--scaling-runs", "12", "--no-torch"]
    scaling += ["--scaling-workers", "1"]
    status, said = run("bench", "sweep", *words, *scaling, "--out", tmp_path / "sweep.json")
    assert status == 0, said
    assert "PyTorch was not measured" in said
    assert "On a GPU: not measured here." in said
    saved = json.loads((tmp_path / "sweep.json").read_text())
    measured = {row["contestant"]: row for row in saved["rows"]}
    accuracies = [row["accuracy"] for row in measured.values() if "accuracy" in row]
    assert len(accuracies) == 4
    assert min(accuracies) > 0.7
    assert max(accuracies) - min(accuracies) < 0.08
    assert "seconds" not in measured["PyTorch"]
    assert [row["runs"] for row in saved["scaling"]] == [6, 12]
    assert [(row["workers"], row["runs"]) for row in saved["workers"]] == [(1, 6)]
    assert saved["ceiling_gflops"] > 1
    assert 50 < saved["scaling"][0]["mib_before"] <= saved["scaling"][0]["mib_after"]
    tables = excerpts("sweep", tmp_path / "sweep.json")
    assert [row[0] for row in tables["speed"].table.rows] == ["16"]
    assert tables["speed"].table.rows[0][4] == "not measured"
    assert [row[:2] for row in tables["scaling"].table.rows] == [["1", "6"], ["2", "12"]]


def test_bench_linear_compares_paths_at_the_same_accuracy(tmp_path):
    words = [
        "--models",
        "lasso",
        "--large",
        "60",
        "--small",
        "20",
        "--correlation",
        "0",
        "--strengths",
        "10",
    ]
    options = ["--packages", "scikit-learn", "--repeats", "2", "--out", tmp_path / "linear.json"]
    status, said = run("bench", "linear", *words, *options)
    assert status == 0, said
    saved = json.loads((tmp_path / "linear.json").read_text())
    assert [row["design"] for row in saved["rows"]] == [[60, 20, 0.0], [20, 60, 0.0]]
    for row in saved["rows"]:
        assert row["gap"] < 1e-9
        for found in row["solvers"].values():
            assert found["distance"] <= 1e-8
            assert found["objective"] <= 1e-8
            assert found["support"] == 10
            assert len(found["seconds"]) == 2
            assert found["cold"] > 0
    for row in saved["validation"]:
        assert row["gap"] < 1e-8
        assert [(peer["tolerance"], len(peer["seconds"])) for peer in row["LassoCV"]] == [
            (1e-4, 2),
            (1e-8, 2),
        ]
    assert list(saved["packages"]) == ["scikit-learn"]
    assert [path.name for path in tmp_path.iterdir()] == ["linear.json"]
    tables = excerpts("linear", tmp_path / "linear.json")
    assert tables["paths"].table.rows[0] == "lasso"
    assert tables["paths"].table.rows[1][0] == "60 × 20"
    assert "×) · " in tables["paths"].table.rows[1][2]


@pytest.mark.filterwarnings("ignore:JAXopt is no longer maintained:DeprecationWarning")
@pytest.mark.parametrize("model", LinearBenchmark.models)
def test_all_packages_solve_the_same_problem(float64, model):
    config = LinearBenchmark((model,), 80, 20, 0.5, strengths=6)
    problem = linear.make_problem(config, model, (80, 20, 0.5))
    reference = linear.reference_of(problem)
    assert np.all(reference.objectives - reference.below <= 1e-9 * reference.objectives)
    for name in linear.solvers_for(model, config.packages):
        objectives, _ = linear.judge(problem, linear.SOLVERS[name](problem, 1e-8))
        np.testing.assert_allclose(objectives, reference.objectives, rtol=1e-6, err_msg=name)


def test_an_interrupted_bench_linear_goes_on_where_it_was(tmp_path, monkeypatch):
    config = LinearBenchmark(("lasso",), 60, 20, 0.0, strengths=10, out=tmp_path / "linear.json")
    asked = []

    def solve(config, model, design):
        asked.append(design)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return {"gap": 0.0, "solvers": {"jaxreg": {"seconds": [float(len(asked))]}}}

    monkeypatch.setattr(linear, "solve_problem", solve)
    monkeypatch.setattr(linear, "cross_validate", lambda config, design: {"jaxreg": [1.0]})
    with pytest.raises(KeyboardInterrupt):
        linear.measure_linear(config, lambda count: None)
    found = linear.measure_linear(config, lambda count: None)
    assert asked == [(60, 20, 0.0), (20, 60, 0.0), (20, 60, 0.0)]
    assert [row["solvers"]["jaxreg"]["seconds"] for row in found["rows"]] == [[1.0], [3.0]]
    assert found["earlier_seconds"] > 0
    assert not list(tmp_path.iterdir())


def test_parts_of_other_settings_are_not_used(tmp_path):
    first = Parts(tmp_path / "out.json", {"seed": 0})
    assert first.get("part", lambda: 1) == 1
    assert Parts(tmp_path / "out.json", {"seed": 0}).get("part", lambda: 2) == 1
    assert Parts(tmp_path / "out.json", {"seed": 1}).get("part", lambda: 2) == 2


def test_bench_linear_keeps_the_error_of_a_solver():
    config = LinearBenchmark(("lasso",), 60, 20, 0.0, strengths=10)
    problem = linear.make_problem(config, "lasso", (60, 20, 0.0))
    reference = linear.Reference(np.zeros((10, 20)), np.ones(10), np.ones(10))
    failed = linear.time_solver("no such package", problem, reference, config)
    assert failed == {"error": "KeyError: 'no such package'"}
    solvers = {"jaxreg": {"seconds": [2.0], "cold": 3.0}, "celer": failed}
    rows = [{"model": "lasso", "design": [60, 20, 0.0], "gap": 0.0, "solvers": solvers}]
    saved = {
        "rows": rows,
        "validation": [],
        "packages": {},
        "made_by": {"config": dataclasses.asdict(config)},
    }
    table, text = EXCERPTS["linear"](saved)["paths"]
    assert table.rows[1][1:] == ["2.00 · 3.0", "–", "– error", "–", "–"]
    assert "fastest on 1 of 1 problems." in text
