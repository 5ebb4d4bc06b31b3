"""Linear paths: what must hold whatever the data, their units, dtypes and containers.

Most tests fit the lasso to data of one shape, so that they share one compiled program.
"""

import logging
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import polars
import pytest
import scipy.sparse
from jax.experimental.compilation_cache import compilation_cache
from sklearn.datasets import load_diabetes

import jaxreg

pytestmark = pytest.mark.usefixtures("float64")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 8)) @ (np.eye(8) + 0.4) + 2
Y = X @ np.array([1.0, -1, 0.5, 0, 0, 0, 2, 0]) + RANDOM.normal(size=60) + 3
LABEL = (np.median(Y) < Y).astype(float)
SOME_FREE = np.array([1.0, 0, 2, 1, 1, 0.5, 0, 1])


def fit(x=X, y=Y, make=jaxreg.L1, strengths=None, **options):
    return jaxreg.fit_linear_path(x, y, make, strengths, count=6, **options)


def weighted(factors):
    return lambda strength: jaxreg.Weighted(jaxreg.L1(strength), factors)


def certify(path, bound=1e-9):
    assert path.record["converged"].all()
    assert (path.record["gap"] <= bound * path.record["objective"].max()).all()


def test_one_program_solves_all_strengths_and_other_data_of_the_shape(caplog):
    fit()
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        path = fit(X[::-1] * 2, Y + 1, lambda s: jaxreg.L1(0.2 * s))
    certify(path)
    assert "Compiling jit(advance)" not in caplog.text
    assert "Compiling jit(measure)" not in caplog.text


def test_programs_are_kept_in_the_folder_that_the_user_has_set(tmp_path):
    compilation_cache.reset_cache()
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    try:
        fit(X[:-7], Y[:-7])
        jax.jit(lambda x: x * 3 + 7)(jnp.ones(3))
    finally:
        jax.config.update("jax_compilation_cache_dir", None)
        compilation_cache.reset_cache()
    kept = {path.name.partition("-")[0] for path in tmp_path.iterdir()}
    # Of others, those that take JAX's second.
    assert {"jit_advance", "jit_measure"} <= kept and "jit__lambda_" not in kept
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 1


def test_equal_columns_constant_columns_and_columns_of_zeros():
    x = X.copy()
    x[:, 3], x[:, 4], x[:, 5], x[:, 7] = x[:, 0], -x[:, 6], 0, 1
    path = fit(x)
    certify(path, 1e-8)
    assert not path.params.weights[:, [5, 7]].any()
    z = x @ path.at(0).weights + path.at(0).intercept - Y
    assert np.abs((x - x.mean(0)).T @ z / 60).max() == pytest.approx(path.strengths[0], rel=1e-6)


def test_large_means_cost_no_accuracy():
    near = fit()
    far = fit(X + 1e5, Y + 1e5, strengths=near.strengths)
    np.testing.assert_allclose(far.params.weights, near.params.weights, atol=1e-6)
    np.testing.assert_allclose(far.at(3).predict(X + 1e5), near.at(3).predict(X) + 1e5, rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_targets_that_do_not_vary_have_the_null_model(value):
    path = fit(y=np.full(60, value))
    assert path.record["converged"].all() and not path.params.weights.any()
    np.testing.assert_allclose(path.params.intercept, value, rtol=1e-6)


def test_float32_is_certified_to_its_precision_in_any_unit():
    exact = fit()
    for unit in (1.0, 1e-6):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            path = fit((X * unit).astype(np.float32), Y.astype(np.float32))
        assert path.params.weights.dtype == jnp.float32
        assert path.record["converged"].all() and path.record["steps"].max() < 10
        np.testing.assert_allclose(path.params.weights * unit, exact.params.weights, atol=2e-3)
        # Rounding is relative to the largest objective, that of w = 0.
        certify(path, 16 * np.finfo(np.float32).eps)


def test_float32_is_enough_for_a_certificate_at_every_strength():
    raw, y = load_diabetes(return_X_y=True)
    x = raw * np.sqrt(len(y)) + 3
    path = jaxreg.fit_linear_path(x.astype(np.float32), y.astype(np.float32), jaxreg.L1)
    assert (path.record["gap"] <= 2e-5 * path.record["objective"]).all()
    exact = jaxreg.fit_linear_path(x, y, jaxreg.L1, path.strengths)
    np.testing.assert_allclose(path.params.weights, exact.params.weights, atol=0.05)


@pytest.mark.parametrize(("loss", "y"), [("squares", Y), ("logistic", LABEL)])
def test_what_has_no_penalty_may_depend_on_each_other_and_have_any_unit(loss, y):
    plain = fit(y=y, make=weighted(SOME_FREE), loss=loss, tolerance=1e-9)
    units = 10.0 ** np.arange(-4, 4)
    dependent = np.column_stack([X * units, X[:, 1] - 3 * X[:, 6], np.ones(60)])
    factors = np.concatenate([SOME_FREE * units, [0, 0]])
    path = fit(dependent, y, weighted(factors), plain.strengths, loss=loss, tolerance=1e-9)
    np.testing.assert_allclose(path.record["objective"], plain.record["objective"], rtol=1e-9)
    np.testing.assert_allclose(path.at(2).predict(dependent), plain.at(2).predict(X), atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "make", "x"),
    [
        ("squares", jaxreg.L1, X),
        ("squares", lambda s: jaxreg.Group(jaxreg.L1(s), axis=1), X.reshape(60, 4, 2)),
        ("logistic", weighted(SOME_FREE), X),
    ],
    ids=["lasso", "groups of L1", "logistic with factors"],
)
def test_gaps_bound_the_distance_from_the_minimum_and_are_those_of_duality_gap(loss, make, x):
    y = Y if loss == "squares" else LABEL
    exact = fit(x, y, make, loss=loss, ratio=0.05, tolerance=1e-10)
    loose = fit(x, y, make, exact.strengths, loss=loss, ratio=0.05, tolerance=0.5)
    above = loose.record["objective"] - exact.record["objective"]
    assert (loose.record["gap"] >= above - 1e-14).all()

    @jax.jit
    def gap(strength, w, constant):
        return jaxreg.duality_gap(
            make(strength), w, lambda w: jnp.tensordot(x, w, w.ndim), y, loss, intercept=constant
        )

    for place, strength in enumerate(exact.strengths):
        w, constant = loose.at(place)
        np.testing.assert_allclose(
            gap(strength, w, constant), loose.record["gap"][place], rtol=1e-5, atol=1e-12
        )
        # Anywhere, also far from the minimum of what has no penalty.
        noise = 0.1 * jax.random.normal(jax.random.key(place), (w.size + 1,))
        other, moved = w + noise[1:].reshape(w.shape), constant + noise[0]
        z = np.tensordot(x, other, w.ndim) + moved
        value = np.mean((z - y) ** 2) / 2
        if loss == "logistic":
            value = np.mean(np.logaddexp(0, z) - y * z)
        value += make(strength).value(other)
        assert gap(strength, other, moved) >= value - exact.record["objective"][place] - 1e-10


def test_validation_rows_choose_a_strength():
    path = fit(X[:40], Y[:40], validation=(X[40:], Y[40:]))
    predicted = [np.asarray(path.at(at).predict(X[40:])) for at in range(6)]
    expected = [np.mean((z - Y[40:]) ** 2) / 2 for z in predicted]
    np.testing.assert_allclose(path.record["validation_loss"], expected, rtol=1e-9)
    assert path.select() == np.argmin(expected)
    assert "gap" in str(path)
    vectorised = jax.vmap(lambda model: model.predict(X[40:]))(path.params)
    np.testing.assert_allclose(vectorised, predicted)


def test_a_mesh_of_explicit_axes_and_strict_dtypes():
    mesh = jax.make_mesh((1,), ("rows",))
    plain = fit()
    with jax.set_mesh(mesh), jax.numpy_dtype_promotion("strict"):
        spec = jax.sharding.PartitionSpec("rows")
        path = fit(jax.device_put(X, jax.sharding.NamedSharding(mesh, spec)))
    np.testing.assert_allclose(path.params.weights, plain.params.weights, atol=1e-9)


@pytest.mark.parametrize("kind", ["pandas", "nullable", "polars"])
def test_tables(kind):
    raw = {f"c{at}": X[:, at] for at in range(6)}
    raw |= {"member": LABEL == 1, "count": np.arange(60) % 4}
    array = np.column_stack(list(raw.values())).astype(float)
    table = polars.DataFrame(raw) if kind == "polars" else pandas.DataFrame(raw)
    if kind == "nullable":
        table = table.astype({"c0": "Float64", "member": "boolean", "count": "Int64"})
    y = type(table)({"y": Y})["y"]
    expected, path = fit(array), fit(table, y, validation=(table, y))
    np.testing.assert_allclose(path.params.weights, expected.params.weights, rtol=1e-9)
    np.testing.assert_allclose(path.at(0).predict(table), expected.at(0).predict(array), rtol=1e-9)
    np.testing.assert_allclose(path.record["validation_loss"], path.record["loss"], rtol=1e-9)


@pytest.mark.parametrize(("x", "y"), [(int, float), (np.float32, float), (float, np.float32)])
def test_no_argument_loses_digits(x, y):
    numbers = (2 * X).round().astype(x)
    targets = (1e8 + numbers[:, 0] + 0.125).astype(y)
    path = fit(numbers, targets, strengths=[1e-3])
    expected = fit(numbers.astype(float), targets.astype(float), strengths=[1e-3])
    assert path.params.weights.dtype == np.float64
    np.testing.assert_array_equal(path.params.weights, expected.params.weights)


EITHER = pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csc_array])


@EITHER
def test_constant_columns_without_an_intercept_are_not_standardised(form):
    x, units = np.column_stack([np.ones(60), np.full(60, 0.1), X[:, :2]]), np.ones(4)
    units[2:] = x[:, 2:].std(0)
    path = fit(form(x), standardize=True, intercept=False)
    plain = fit(x / units, strengths=path.strengths, intercept=False)
    certify(path)
    np.testing.assert_allclose(path.params.weights * units, plain.params.weights, atol=1e-8)


@EITHER
def test_rows_that_do_not_count_may_overflow(form):
    x, counts = X.copy(), np.arange(60) % 3
    x[7], counts[7] = 1e5, 4
    weights = np.where(np.arange(60) == 7, 0.0, 1)
    options = {"loss": "poisson", "strengths": [0.02, 0.1]}
    path = fit(form(x), counts, sample_weight=weights, **options)
    assert path.record["converged"].all()
    rest = fit(x[weights > 0], counts[weights > 0], **options)
    np.testing.assert_allclose(path.params.weights, rest.params.weights, atol=1e-6)


@EITHER
def test_float32_keeps_small_deviations_beside_large_means(form):
    random = np.random.default_rng(3)
    years = np.round(2020 + random.normal(size=(100, 2)) * [3, 8])
    y = (years - 2020) @ [1 / 3, 1 / 8] + random.normal(size=100)
    exact = fit(years, y, strengths=[0.3], standardize=True)
    years, y = years.astype(np.float32), y.astype(np.float32)
    path = fit(form(years), y, strengths=[0.3], standardize=True)
    assert path.params.weights.dtype == np.float32 and path.record["converged"].all()
    np.testing.assert_allclose(path.params.weights, exact.params.weights, rtol=5e-3)


def test_classes_of_a_sparse_design_in_float32():
    """What has no penalty is known but for the same shift of all classes."""
    x = np.where(np.random.default_rng(0).random(X.shape) < 0.4, X, 0).astype(np.float32)
    kinds = (np.median(Y) < Y).astype(int) + (X[:, 1] > 2.5)
    options = {"loss": "multinomial", "strengths": [0.003, 0.03]}
    dense, path = (fit(form(x), kinds, **options) for form in (np.asarray, scipy.sparse.csc_array))
    assert path.record["converged"].all()
    np.testing.assert_allclose(path.params.weights, dense.params.weights, atol=1e-3)
    np.testing.assert_allclose(path.params.intercept, dense.params.intercept, atol=1e-3)


@EITHER
def test_a_large_mean_without_a_penalty_in_a_cox_model(form):
    random = np.random.default_rng(0)
    x = np.column_stack([60 + 10 * random.normal(size=60), random.random((60, 4)) < 0.6])
    times = random.exponential(size=60) * np.exp(-x[:, 1])
    factors = np.array([0.0, 1, 1, 1, 1])
    path = fit(form(x), np.stack([times, np.ones(60)], 1), weighted(factors), loss="cox")
    certify(path, 1e-8)
    # From the largest λ on, the other weights are 0.
    assert not path.params.weights[-1, 1:].any() and path.params.weights[-2, 1:].any()
    assert path.params.weights[-1, 0] and not path.params.intercept.any()


@EITHER
def test_limits_of_concave_penalties(form):
    positive = lambda s: jaxreg.Limited(jaxreg.MCP(s), low=0)  # noqa: E731
    path = fit(form(X), make=positive, ratio=0.01)
    weights = np.asarray(path.params.weights)
    assert path.record["converged"].all() and (weights >= 0).all()
    assert (weights[0] == 0).any() and (fit(form(X), ratio=0.01).params.weights < 0).any()


def test_the_arrays_of_a_sparse_matrix_stay_as_they_are():
    x = scipy.sparse.csc_array(X)
    x.data[::5] = 0
    before = x.data.copy(), x.indices.copy(), x.indptr.copy()
    for array in (x.data, x.indices, x.indptr):
        array.flags.writeable = False
    weights = np.where(np.arange(60) < 5, 0.0, 1)
    path = fit(x, sample_weight=weights)
    path.at(0).predict(x)
    for array, old in zip((x.data, x.indices, x.indptr), before, strict=True):
        np.testing.assert_array_equal(array, old)


def test_numbers_of_a_sparse_matrix_that_are_not_finite_are_found():
    # Its numbers are in the order of columns.
    x = scipy.sparse.csc_array([[1.0, 0, 0], [0, 0, 7], [5, 0, np.nan], [2, 3, 0]])
    with pytest.raises(ValueError, match="row 2, column 2"):
        fit(x, np.arange(4.0))
    large = scipy.sparse.csc_array([[1.0, 0], [0, 1e300], [0, 2], [0, 3]])
    with jax.enable_x64(False), pytest.raises(ValueError, match="row 1, column 1"):
        fit(large, np.arange(4.0))
