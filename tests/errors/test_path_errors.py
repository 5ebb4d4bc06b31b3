"""Paths and linear models: wrong use gets one sentence, and what did not converge is said."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas
import pytest
from jax.experimental.sparse import BCSR
from scipy.sparse import csr_array

import jaxreg

RANDOM = np.random.default_rng(0)
ROWS = {"x": RANDOM.normal(size=(8, 3)).astype(np.float32), "y": np.arange(8, dtype=np.float32)}
NO_ROWS = {"x": ROWS["x"][:0], "y": ROWS["y"][:0]}
X, Y = np.eye(6), np.arange(6.0)
CLASSES = (Y > 2) * 1.0


def loss(w, rows):
    return jnp.mean((rows["x"] @ w - rows["y"]) ** 2)


RECIPE = {
    "loss": loss, "params": jnp.zeros(3), "penalty": jaxreg.L1,
    "optimizer": lambda penalty: jaxreg.prox_sgd(0.1, penalty), "epochs": 2,
}  # fmt: skip


def recipe(**changes):
    return jaxreg.Recipe(**{**RECIPE, **changes})


def path(strengths=(0.1, 0.2), data=ROWS, options=None, **changes):
    return jaxreg.fit_path(recipe(**changes), data, list(strengths), **(options or {}))


def folds(count, **changes):
    return jaxreg.cross_validate_path(recipe(**changes), ROWS, [0.1, 0.2], folds=count)


def grid(**options):
    epochs = options.pop("epochs", 10)
    params, penalty = options.pop("params", jnp.zeros(3)), options.pop("penalty", jaxreg.L1)
    return jaxreg.strength_grid(
        recipe(epochs=epochs, params=params, penalty=penalty), ROWS, **options
    )


def linear(x=X, y=Y, penalty=jaxreg.L1, strengths=None, **options):
    return jaxreg.fit_linear_path(x, y, penalty, strengths, **options)


def linear_folds(folds, y=Y, **options):
    return jaxreg.cross_validate_linear_path(X, y, jaxreg.L1, folds=folds, **options)


def factors(values, base=jaxreg.L1):
    return lambda strength: jaxreg.Weighted(base(strength), values)


def gap(penalty=None, w=None, predict=lambda w: X @ w, y=Y, **options):
    w = jnp.ones(6) if w is None else w
    return jaxreg.duality_gap(penalty or jaxreg.L1(0.1), w, predict, y, **options)


def by_hand(seeds=None):
    return jaxreg.RegularizationPath(
        np.ones(2), {"kernel": np.ones((1, 2, 2))}, None, {"loss": np.ones(2)}, np.arange(1), seeds
    )


SENTENCES = {
    "Recipe": [
        (lambda: recipe(epochs=0), "epochs must be at least 1, got 0"),
        (lambda: recipe(epochs=2.5), "epochs must be a whole number, got 2.5"),
        (lambda: recipe(passes=None), "passes must be a whole number, got None"),
        (lambda: recipe(tolerance=0), "tolerance must be greater than 0"),
        (lambda: recipe(order="down"), "order must be 'dense_to_sparse' or .*, got 'down'"),
        (lambda: recipe(passes=2, stop=lambda w: True), "passes must be 1 with stop"),
        (lambda: recipe(penalty=jaxreg.L1(0.1)), "penalty must be a function, .*pass jaxreg.L1"),
        (lambda: recipe(penalty=lambda s: s), "expected a penalty such as jaxreg.L1"),
        (lambda: recipe(penalty=lambda s: [None]), "at least one penalty, got only None"),
        (lambda: recipe(mask=jaxreg.kernels), "the mask selects none of the parameters"),
        (lambda: recipe(optimizer=optax.sgd(0.1)), "optimizer must be a function"),
    ],
    "fit_path": [
        (lambda: path([]), r"strengths of shape \(strengths,\) with at least one, .*\(0,\)"),
        (lambda: path([0.2, 0.1]), r"strengths must be strictly ascending, got \[0.2, 0.1\]"),
        (lambda: path([0.1, 0.1]), "strengths must be strictly ascending"),
        (lambda: path([-0.1, 0.1]), "strengths must not be negative"),
        (lambda: path([0.1, np.nan]), "strengths must be finite"),
        (lambda: path(batch_size=9), "batch_size must be at most .* training rows, 8, got 9"),
        (lambda: path(patience=2), "patience needs validation rows"),
        (lambda: path(optimizer=lambda _: optax.adamw(0.1)), "does not use the penalties"),
        (lambda: path(stop=lambda w: w == 0), r"stop\(params\) must return a scalar bool"),
        (lambda: path(loss=lambda w, rows: rows["x"] @ w), "must return a scalar, .*shape=.8,"),
        (lambda: path(data={**ROWS, "y": np.ones(7)}), r"same number of rows.*\(8,\), .*\(7,\)"),
        (lambda: path(metrics=lambda w, rows: w), "metrics.* must return a dict of scalars"),
        (lambda: path(metrics=lambda w, rows: {"w": w}), r"scalars, got shape \(3,\) for 'w'"),
        (lambda: path(metrics=lambda w, rows: {"loss": 1.0}), "a number named 'loss' itself"),
        (lambda: path(options={"keep": [2]}), "keep must be a list of indices from -2 to 1"),
        (lambda: path(options={"keep": "all"}), "keep must be a list of indices"),
        (lambda: path(data=NO_ROWS), "expected at least one row, got arrays without rows"),
        (lambda: path(options={"validation": NO_ROWS}), "expected at least one row"),
        (lambda: path(data={**ROWS, "y": np.full(8, np.nan)}), "comes first, 0.1, is not finite"),
    ],
    "cross_validate_path": [
        (lambda: folds(1), "folds must be a whole number from 2 to 8, the rows, got 1"),
        (lambda: folds(9), "folds must be a whole number from 2 to 8"),
        (lambda: folds(2, patience=3), "expected a recipe without patience"),
    ],
    "strength_grid": [
        (lambda: grid(count=1), "expected count ≥ 2 and ratio"),
        (lambda: grid(start=0.0), "start must be greater than 0"),
        (lambda: grid(start=100.0), "some weights are not 0, got 100"),
        (
            lambda: grid(start=1e-9, epochs=1, params=jnp.ones(3), penalty=jaxreg.SquaredL2),
            "expected the penalised parameters to become 0, got 3 that do not",
        ),
    ],
    "fit_linear_path": [
        (lambda: linear(penalty=jaxreg.L1(0.1)), "penalty must be a function from λ to a penalty"),
        (lambda: linear(penalty=lambda s: jaxreg.L1(lambda _: s)), "a penalty with numbers"),
        (lambda: linear(penalty=lambda s: jaxreg.L1(s * np.ones(6))), "one strength .*Weighted"),
        (lambda: linear(penalty=lambda s: jaxreg.GroupL2(s)), "or of groups along axis 1"),
        (
            lambda: linear(penalty=lambda s: jaxreg.GroupL2(s, axis=1)),
            r"expected x \(rows, groups, size\) for this penalty, got rows of shape \(6,\)",
        ),
        (lambda: linear(X.reshape(6, 3, 2)), r"expected x \(rows, features\)"),
        (lambda: linear(y=Y[1:]), r"got shapes \(6, 6\) and \(5,\)"),
        (lambda: linear(X * np.nan), "x and y must be finite"),
        (lambda: linear(X + 1j), "real numbers, got complex128 and float64"),
        (lambda: linear(X.astype(str)), "real numbers, got <U32 and float64"),
        (lambda: linear(y=csr_array(X)), "y must be a dense array, got csr_array; y.toar"),
        (lambda: linear(csr_array(np.where(X == 1, np.inf, 0))), "in x at row 0, column 0"),
        (lambda: linear(BCSR.fromdense(X)), "expected a BCOO of shape .rows, features."),
        (
            lambda: linear(csr_array(X), penalty=lambda s: jaxreg.GroupL2(s, axis=1)),
            r"expected x \(rows, groups, size\) for this penalty",
        ),
        (lambda: linear(np.ma.masked_less(X, 1)), "must be complete, got masked numbers"),
        (lambda: linear(pandas.DataFrame({"a": ["b"] * 6})), "column 'a' of x must hold numbers"),
        (lambda: linear(pandas.DataFrame({"a": [None, *Y[1:]]})), "'a' of x has 1 missing"),
        (lambda: linear(penalty=lambda s: jaxreg.L1(1.0)), "found no λ from which on w is 0"),
        (lambda: linear(penalty=jaxreg.SquaredL2), "found no λ from which on w is 0"),
        (lambda: linear(strengths=[0.0, 1.0]), "strengths must be positive"),
        (lambda: linear(strengths=[2.0, 1.0]), "strictly ascending, got .* sort them"),
        (
            lambda: linear(X, Y, lambda s: jaxreg.ElasticNet(s, 1 / abs(s - 2)), [1, 2, 3]),
            r"expected penalty\(λ\) with finite numbers, got inf at λ = 2",
        ),
        (lambda: linear(intercept="no"), "intercept must be True or False, got 'no'"),
        (lambda: linear(loss="hinge"), "loss must be one of squares, logistic, .*, got 'hinge'"),
        (lambda: linear(loss="logistic"), r"needs targets 0 and 1, got .*; pass \(y \+ 1\) / 2"),
        (lambda: linear(y=0 * Y, loss="logistic"), "targets 0 and 1, both of them"),
        (lambda: linear(count=1), "expected count ≥ 2 and ratio"),
        (lambda: linear(ratio=1.0), "expected count ≥ 2 and ratio"),
        (lambda: linear(tolerance=0.0), "tolerance must be greater than 0, got 0.0"),
        (lambda: linear(validation=(X, Y, Y)), r"validation must be a pair \(x, y\)"),
        (lambda: linear(validation=(X[:, 1:], Y)), "expected validation rows of shape"),
        (lambda: linear(sample_weight=np.ones(3)), r"sample_weight of shape \(6,\), .* \(3,\)"),
        (lambda: linear(sample_weight=-np.ones(6)), "finite numbers of at least 0"),
        (lambda: linear(sample_weight=["a"] * 6), "sample_weight must be real numbers"),
        (lambda: linear(penalty=factors(np.zeros(6))), "expected a factor above 0"),
        (
            lambda: linear(penalty=lambda s: jaxreg.Weighted(jaxreg.L1(1.0), s * np.ones(6))),
            "expected factors that are the same at every λ",
        ),
        (lambda: jax.jit(lambda y: linear(y=y))(Y), "call it outside of jit and vmap"),
        (
            lambda: jax.grad(lambda s: linear(strengths=[s]).params.weights.sum())(1.0),
            r"λ must be numbers, .*jaxreg\.fista",
        ),
        (lambda: linear(y=Y - 3, loss="poisson"), "counts, whole numbers of at least 0, got -3"),
        (lambda: linear(y=Y / 2, loss="poisson"), "got 0.5; for rates pass the counts, and"),
        (lambda: linear(y=0 * Y, loss="poisson"), "needs a count above 0, got only 0"),
        (lambda: linear(y=Y, loss="cox"), r"needs y \(rows, 2\), a time and an event"),
        (lambda: linear(y=np.stack([Y, CLASSES], 1), loss="cox"), "times above 0, got 0"),
        (lambda: linear(y=np.stack([Y + 1, Y], 1), loss="cox"), "cox loss needs events 0 and 1"),
        (lambda: linear(y=np.stack([Y + 1, 0 * Y], 1), loss="cox"), "needs an event, got censored"),
        (lambda: linear(y=Y * 2, loss="multinomial"), "a row for each class 0, 1, .* class 10"),
        (lambda: linear(y=Y % 2 * 2, loss="multinomial"), "every class, got none of class 1"),
        (lambda: linear(y=np.stack([Y, Y], 1), loss="huber"), r"needs targets \(rows,\), got"),
        (lambda: linear(np.where(X == 1, np.nan, X)), "infinity in x at row 0, column 0; drop"),
        (lambda: linear(sample_weight=np.zeros(6)), "not all zero"),
        (lambda: linear(offset=np.ones(5)), r"an offset of finite numbers of shape \(6,\), got"),
        (lambda: linear(standardize="yes"), "standardize must be True or False"),
        (lambda: linear(offset=Y, validation=(X, Y)), r"must be three arrays \(x, y, offset\)"),
        (lambda: linear(penalty=lambda s: jaxreg.L0(s)), "L0 w = 0 is stationary at every λ"),
        (lambda: linear(penalty=lambda s: jaxreg.Limited(jaxreg.L1(s), -s)), "limits that are the"),
        (
            lambda: linear(
                penalty=lambda s: jaxreg.Limited(jaxreg.Weighted(jaxreg.L1(s), CLASSES), 0)
            ),
            "a feature with a factor of 0 cannot have limits",
        ),
        (
            lambda: linear(
                X.reshape(6, 3, 2), np.stack([Y, Y], 1), lambda s: jaxreg.GroupL2(s, axis=1)
            ),
            "with several outputs expected x .rows, features.",
        ),
    ],
    "cross_validate_linear_path": [
        (lambda: linear_folds(True), "folds must be a number, a label for each row, or pairs"),
        (lambda: linear_folds("ab"), "folds must be a number, a label for each row, or pairs"),
        (lambda: linear_folds(7), "folds must be a whole number from 2 to 6"),
        (lambda: linear_folds([0, 1]), "expected a label in folds for each of 6 rows"),
        (lambda: linear_folds(np.zeros(6)), "at least 2 folds, got 1"),
        (lambda: linear_folds([([0, 1], [6]), ([0], [1])]), "indices from 0 to 5 in fold 0"),
        (lambda: linear_folds([([0], [2]), ([0, 1], [1])]), "fold 1 holds out rows .* such as 1"),
        (
            lambda: linear_folds([0, 0, 0, 1, 1, 1], sample_weight=CLASSES),
            "a weight above 0 on both sides of fold 0, got none",
        ),
        (
            lambda: linear_folds(6, np.array([0, 0, 1, 1, 2, 0]), loss="multinomial"),
            "without fold [0-5], multinomial loss needs rows of every class, got none of class 2",
        ),
        (
            lambda: linear_folds(6, (Y == 2) * 1.0, loss="logistic"),
            "without fold [0-5], logistic loss needs .* both of them, .*; pass fewer folds",
        ),
    ],
    "duality_gap": [
        (lambda: gap(jaxreg.L1(jnp.ones(6))), "expected one strength, .*Weighted"),
        (lambda: gap({"a": jaxreg.L1(1.0), "b": None}, {"a": jnp.ones(6), "b": jnp.ones(1)},
                     lambda w: X @ w["a"]), "a penalty for every parameter, got none for b"),
        (lambda: gap(predict=lambda w: X @ w + 1), r"expected a linear predict\(params\)"),
        (lambda: gap(predict=lambda w: X @ w**2), r"expected a linear predict\(params\)"),
        (lambda: gap(y=Y[1:]), r"predictions have shape \(6,\), but targets \(5,\)"),
        (lambda: gap(y=np.sign(Y - 3), loss="logistic"), "needs targets 0 and 1, .*; pass"),
        (lambda: gap(loss="hinge"), "loss must be .* got 'hinge'"),
        (lambda: gap(intercept=jnp.zeros(2)), "an intercept must be one number"),
    ],
    "select": [
        (lambda: jaxreg.select_strength([1, 2], [[1, 2]] * 2, "1se"), "best, one_se, got '1se'"),
        (lambda: jaxreg.select_strength([1, 2], [1.0, 2]), "at least 2 repeats"),
        (lambda: jaxreg.select_strength([1, 2], [[1.0], [2]]), r"shape \(repeats, 2\)"),
        (lambda: jaxreg.select_strength([1], [[np.nan], [1]]), "finite scores for at least one"),
        (lambda: by_hand().select(), "by must be one of loss, got 'validation_loss'"),
    ],
    "RegularizationPath.at": [
        (lambda: by_hand().at(1), "no parameters; pass keep to fit_path for strength 1"),
        (lambda: by_hand().at(0, refitted=True), "no refitted parameters; pass refit_epochs"),
        (lambda: by_hand().at(0, seed=1), "expected seed to be None"),
        (lambda: by_hand(np.arange(1)).at(0), "expected seed to be an index"),
    ],
    "coefficient_paths": [
        (lambda: jaxreg.plotting.coefficient_paths(by_hand(), "b"), "kernel must be one of kernel"),
        (lambda: jaxreg.plotting.coefficient_paths(by_hand(), seed=0), "seed to be None"),
    ],
    "LinearModel": [
        (lambda: jaxreg.LinearModel(np.ones((2, 6)), np.ones(2)).predict(X), "one model, got 2"),
        (lambda: jaxreg.LinearModel(np.ones(5), 0.0).predict(X), r"\(rows, 5\), got \(6, 6\)"),
    ],
}  # fmt: skip
CASES = [(owner, *case) for owner, cases in SENTENCES.items() for case in cases]


@pytest.mark.parametrize(
    ("owner", "call", "sentence"), CASES, ids=[f"{owner}: {end}" for owner, _, end in CASES]
)
@pytest.mark.usefixtures("float64")
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_wrong_use(owner, call, sentence):
    with pytest.raises((TypeError, ValueError), match=f"{owner}: .*{sentence}"):
        call()


def test_a_penalty_without_a_conjugate():
    with pytest.raises(NotImplementedError, match=r"LogSum does not define conjugate\(v\) and"):
        gap(jaxreg.LogSum(0.1, 0.1))


def test_names_of_options_are_those_of_python():
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        dataclasses.replace(recipe(), epoch=3)


def test_what_does_not_converge_is_said():
    with pytest.warns(UserWarning, match="budget of epochs .* was 1e-06·λ at strength 0.1, 0.2"):
        assert not path(tolerance=1e-6).record["converged"].any()
    validation = {**ROWS, "y": np.full(8, np.nan)}
    with pytest.warns(UserWarning, match="validation rows is not finite; look for NaN among them"):
        scored = path(options={"validation": validation}, patience=1)
    with pytest.raises(ValueError, match="the rows that score it hold NaN"):
        scored.select()


def test_rounding_ends_the_search_where_a_tolerance_cannot_be_met():
    x = RANDOM.normal(size=(40, 120)) + RANDOM.normal(size=(40, 1))
    y = x[:, :5].sum(1) + 0.3 * RANDOM.normal(size=40)
    with pytest.warns(UserWarning, match="above 1e-07·λ; pass a larger tolerance, or use float64"):
        fitted = linear(np.float32(x), np.float32(y), count=5, ratio=0.05, tolerance=1e-7)
    assert not fitted.record["converged"].all()
    assert fitted.record["steps"].max() < 30
    with pytest.warns(UserWarning, match="the loss is not finite at strength 0.1"):
        lost = linear(np.float32(X[:, :1]), np.float32(1e20 * Y), strengths=[0.1])
    assert not lost.record["converged"].any()


def test_matplotlib_is_needed_only_for_drawing():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import jaxreg, numpy as np\n"
        "scores = jaxreg.CrossValidation(np.ones(1), {'loss': np.ones((2, 1, 1)), "
        "'validation_loss': np.ones((2, 1, 1))})\n"
        "try: jaxreg.plotting.validation_curve(scores)\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'jaxreg.plotting needs matplotlib: pip install "jaxreg[plot]"\n'
