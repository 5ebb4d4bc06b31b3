"""Estimators for scikit-learn, with the λ of the penalty chosen on held-out rows.

    from jaxreg.estimators import LinearPathRegressor, SparseMLPClassifier

    model = LinearPathRegressor(cv=10).fit(X, y)  # a lasso; model.strength_ is its λ
    model = LinearPathRegressor(lambda s: jaxreg.MCP(s, 3.0), loss="poisson").fit(X, counts)
    model = make_pipeline(StandardScaler(), LinearPathClassifier()).fit(X, labels)

    model = SparseMLPClassifier().fit(X, labels)  # a network that uses few inputs
    model.get_support(indices=True), model.feature_importances_

They follow scikit-learn's conventions: parameters are checked by `fit`, and attributes that it sets
end in an underscore. This module needs the extra `sklearn`, so `import jaxreg` does not import it.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.model_selection import KFold, StratifiedKFold, check_cv, train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxreg._masking import matching
from jaxreg._paths.results import RULES
from jaxreg.linear import cross_validate_linear_path, fit_linear_path
from jaxreg.losses import Loss, Squares, loss_named
from jaxreg.optimizers import prox_adamw
from jaxreg.paths import Recipe, fit_path, select_strength, strength_grid
from jaxreg.penalties import L1, Group, LogSum, Penalty

__all__ = (
    "LinearPathClassifier",
    "LinearPathRegressor",
    "SparseMLPClassifier",
    "SparseMLPRegressor",
)

Layers = Sequence[dict[str, Any]]


class SelectorMixin:
    """What estimators that select features have in common.

    Attributes:
        selection: the rule by which they choose λ.
    """

    selection: str

    @property
    def name(self) -> str:
        """In messages."""
        return type(self).__name__

    def check_selection(self) -> None:
        """Raises a ValueError unless the rule is known."""
        if self.selection not in RULES:
            raise ValueError(
                f"{self.name}: selection must be one of {', '.join(RULES)}, got {self.selection!r}"
            )

    def used(self) -> np.ndarray:
        """Which features the fitted model uses (features,)."""
        raise NotImplementedError

    def get_support(self, indices: bool = False) -> np.ndarray:
        """Returns which features the model uses: a mask (features,), or their indices."""
        check_is_fitted(self)
        return np.flatnonzero(self.used()) if indices else self.used()


class ProbabilitiesMixin(ClassifierMixin):
    """Classes and their probabilities of outputs, which are log-odds of the second class (rows, 1)
    or logarithms of unnormalised probabilities (rows, classes).
    """

    classes_: np.ndarray
    outputs: Callable[[Any], np.ndarray]

    def encode(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Checks the rows, sets `classes_`, and returns X and the number of each row's class."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        return X, labels.astype(np.int32)

    def check_classes(self, labels: np.ndarray) -> None:
        """Raises a ValueError if all rows have one class."""
        if len(np.unique(labels)) == 1:
            raise ValueError(f"{type(self).__name__}: expected at least 2 classes, got 1 class")

    def decision_function(self, X: Any) -> np.ndarray:
        """Computes log-odds of the second of two classes (rows,), or logarithms of unnormalised
        probabilities (rows, classes).
        """
        z = self.outputs(X)
        return z[:, 0] if z.shape[1] == 1 else z

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Computes logarithms of the probabilities of classes (rows, classes)."""
        return log_probabilities(self.outputs(X), np)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Computes the probabilities of classes (rows, classes)."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> np.ndarray:
        """Returns the most probable class of each row (rows,)."""
        labels = self.predict_log_proba(X).argmax(1)
        return self.classes_[labels]


@dataclasses.dataclass(repr=False, eq=False)
class LinearPath(SelectorMixin, BaseEstimator):
    """A linear model at a λ that cross-validation chooses."""

    penalty: str | Callable[[Any], Penalty] = "l1"
    _: dataclasses.KW_ONLY
    strengths: Any = None
    count: int = 100
    ratio: float = 1e-3
    fit_intercept: bool = True
    standardize: bool = False
    cv: Any = 5
    selection: str = "one_se"
    tolerance: float | None = None
    random_state: Any = 0

    def solve(self, X: np.ndarray, y: np.ndarray, loss: Loss, weights: Any, labels: Any) -> Self:
        """Chooses λ and sets the attributes.

        Args:
            X: (rows, features), float64.
            y: targets, as the loss takes them.
            loss: the loss.
            weights: of the rows; None for none.
            labels: the class of each row, by which folds are stratified; None without classes.
        """
        self.check_selection()
        if isinstance(self.penalty, str) and self.penalty != "l1":
            raise ValueError(
                f'{self.name}: penalty must be "l1" or a function from λ to a penalty, such as '
                f"jaxreg.MCP, got {self.penalty!r}"
            )
        penalty: Any = L1 if self.penalty == "l1" else self.penalty
        options: dict[str, Any] = {
            "loss": loss, "intercept": self.fit_intercept, "standardize": self.standardize,
            "tolerance": self.tolerance,
            "sample_weight": None if weights is None else np.asarray(weights),
        }  # fmt: skip
        grid, chosen, self.scores_ = np.atleast_1d(self.strengths), 0, None
        with jax.enable_x64(True):
            if self.strengths is None or grid.size > 1:
                cv = self.cv
                if isinstance(cv, int | np.integer):
                    splitter = KFold if labels is None else StratifiedKFold
                    cv = splitter(cv, shuffle=True, random_state=self.random_state)
                folds = check_cv(cv, y, classifier=labels is not None).split(X, labels)
                self.scores_ = cross_validate_linear_path(
                    X, y, penalty, self.strengths, folds=list(folds), count=self.count,
                    ratio=self.ratio, **options,
                )  # fmt: skip
                grid, chosen = self.scores_.strengths, self.scores_.select(self.selection)
            path = fit_linear_path(X, y, penalty, grid, **options)
        self.path_ = dataclasses.replace(path, params=jax.tree.map(np.asarray, path.params))
        self.strength_ = float(grid[chosen])
        model = jax.tree.map(lambda leaf: leaf[chosen], self.path_.params)
        self.coef_, self.intercept_ = model.weights.T, model.intercept
        weights = options["sample_weight"]
        spread = np.sqrt(np.average(np.square(X - np.average(X, 0, weights)), 0, weights))
        self.feature_importances_ = np.linalg.norm(np.atleast_2d(self.coef_), axis=0) * spread
        return self

    def used(self) -> np.ndarray:
        """Which features the model uses (features,)."""
        return np.any(np.atleast_2d(self.coef_) != 0, 0)

    def linear(self, X: Any) -> np.ndarray:
        """Computes X·w + intercept in the shape of the targets."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return X @ self.coef_.T + self.intercept_


@dataclasses.dataclass(repr=False, eq=False)
class LinearPathRegressor(RegressorMixin, LinearPath):
    """A linear model of numbers or counts, whose λ is chosen by cross-validation.

    It minimises loss(X·w + intercept) + R(w) for a grid of λ by `jaxreg.fit_linear_path`, in
    float64. With its defaults it is a lasso: with `selection="best"` and the same folds and λ,
    scikit-learn's `LassoCV` finds the same.

        >>> import numpy as np
        >>> from jaxreg.estimators import LinearPathRegressor
        >>> X = np.random.default_rng(0).normal(size=(60, 5))
        >>> LinearPathRegressor().fit(X, X[:, 0] - X[:, 1]).get_support(indices=True)
        array([0, 1])

    Args:
        penalty: "l1", or a function from λ to a penalty: `lambda s: jaxreg.ElasticNet(0.5 * s, 0.25
            * s)`, or for several outputs `lambda s: jaxreg.GroupL2(s, axis=1)`, which selects the
            same features for all. See `jaxreg.fit_linear_path`.
        loss: "squares", "huber", "poisson", or an object of a class in `jaxreg.losses`.
        strengths: λ, ascending; None takes `count` of them. One number is taken as it is, without
            cross-validation. λ is in units of the mean loss over rows, as scikit-learn's `alpha` of
            a lasso.
        count: number of λ, if there are none.
        ratio: of the smallest to the largest of these.
        fit_intercept: whether there is an intercept, which is not penalised.
        standardize: whether the penalty sees the weights of columns divided by their standard
            deviations. The weights that are returned are in the units of the data.
        cv: number of folds, which are shuffled; or a splitter of scikit-learn, or pairs of indices.
        selection: "one_se" takes the largest λ whose loss is within one standard error of the
            smallest; "best" takes the smallest loss. See `jaxreg.select_strength`.
        tolerance: as for `jaxreg.fit_linear_path`.
        random_state: of the shuffled folds.

    Attributes:
        coef_: w (features,), or (outputs, features).
        intercept_: a number, or (outputs,).
        strength_: the λ chosen.
        path_: the solutions of all rows for all λ, a `jaxreg.RegularizationPath`.
        scores_: the losses of held-out rows, a `jaxreg.CrossValidation`; None for a single λ.
        feature_importances_: |w| times the standard deviation of the column (features,); the norm
            over outputs if there are several.
        n_features_in_: number of features.
        feature_names_in_: their names, if X was a table with names.
    """

    loss: str | Loss = "squares"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Chooses λ by cross-validation, and fits all rows.

        Args:
            X: (rows, features).
            y: (rows,), or (rows, outputs) for squares; counts for the loss "poisson".
            sample_weight: how much each row counts (rows,), also among held-out rows. A weight of 2
                counts as two rows if folds hold out both.

        Raises:
            TypeError: as for `jaxreg.fit_linear_path`.
            ValueError: the same, or an argument is out of range.

        Warns:
            UserWarning: at some λ the tolerance was not met.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, multi_output=True)
        loss = loss_named(self.name, self.loss)
        if not isinstance(loss, Squares):
            y = column_or_1d(y, warn=True)
        return self.solve(X, y, loss, sample_weight, None)

    def predict(self, X: Any) -> np.ndarray:
        """Computes the expected targets (rows,) or (rows, outputs), such as rates of counts."""
        z = self.linear(X)
        with jax.enable_x64(True):
            return np.asarray(self.path_.params.loss.mean(z))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self.loss == "squares" or isinstance(self.loss, Squares)
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags


@dataclasses.dataclass(repr=False, eq=False)
class LinearPathClassifier(ProbabilitiesMixin, LinearPath):
    """A logistic model of two classes, or a multinomial one of more, whose λ is chosen by
    cross-validation.

    It minimises the mean loss + R(w) for a grid of λ by `jaxreg.fit_linear_path`, in float64. λ =
    1/(n·C) of scikit-learn's `LogisticRegression` for n rows.

    Args:
        penalty: as for `LinearPathRegressor`. With more than two classes it sees w (features,
            classes): "l1" selects features for each class, and `lambda s: jaxreg.GroupL2(s,
            axis=1)` selects them for all.
        strengths: as for `LinearPathRegressor`.
        count: as for `LinearPathRegressor`.
        ratio: as for `LinearPathRegressor`.
        fit_intercept: as for `LinearPathRegressor`.
        standardize: as for `LinearPathRegressor`.
        cv: as for `LinearPathRegressor`; folds have the same share of each class.
        selection: as for `LinearPathRegressor`.
        tolerance: as for `LinearPathRegressor`.
        random_state: as for `LinearPathRegressor`.

    Attributes:
        coef_: w (1, features) for two classes, or (classes, features).
        intercept_: (1,) or (classes,).
        classes_: the classes, sorted.
        strength_: the λ chosen.
        path_: as for `LinearPathRegressor`.
        scores_: as for `LinearPathRegressor`.
        feature_importances_: as for `LinearPathRegressor`.
        n_features_in_: number of features.
        feature_names_in_: their names, if X was a table with names.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Chooses λ by cross-validation, and fits all rows.

        Args:
            X: (rows, features).
            y: classes (rows,).
            sample_weight: as for `LinearPathRegressor`.

        Raises:
            TypeError: as for `jaxreg.fit_linear_path`.
            ValueError: the same, an argument is out of range, or there is one class alone.

        Warns:
            UserWarning: at some λ the tolerance was not met.
        """
        X, labels = self.encode(X, y)
        weights = np.ones(len(labels)) if sample_weight is None else np.asarray(sample_weight)
        if weights.shape == labels.shape:  # others are refused later
            self.check_classes(labels[weights != 0])
        binary = len(self.classes_) == 2
        loss = loss_named(self.name, "logistic" if binary else "multinomial")
        self.solve(X, labels, loss, sample_weight, labels)
        self.coef_, self.intercept_ = np.atleast_2d(self.coef_), np.atleast_1d(self.intercept_)
        return self

    def outputs(self, X: Any) -> np.ndarray:
        """Computes X·w + intercept (rows, 1) or (rows, classes)."""
        return self.linear(X)


@dataclasses.dataclass(repr=False, eq=False)
class SparseMLP(SelectorMixin, BaseEstimator):
    """A network at a λ that validation rows choose."""

    hidden_layer_sizes: int | Sequence[int] = (100,)
    _: dataclasses.KW_ONLY
    scale: float = 0.1
    strengths: Any = None
    count: int = 50
    ratio: float = 1e-3
    learning_rate: float = 5e-3
    weight_decay: float = 0.3
    epochs: int = 10
    first_epochs: int = 100
    batch_size: int = 50
    validation_fraction: float = 0.2
    selection: str = "best"
    random_state: Any = None

    @staticmethod
    def row_losses(z: Any, y: Any, xp: ModuleType) -> Any:
        """Computes the loss of each row (rows,) from outputs (rows, outputs) and targets, by the
        functions of NumPy or jax.numpy.
        """
        raise NotImplementedError

    def train(self, X: np.ndarray, y: np.ndarray, outputs: int, labels: Any) -> Self:
        """Trains the path, chooses λ and sets the attributes.

        Args:
            X: (rows, features), float64.
            y: targets (rows, …); numbers are standardised, classes are not.
            outputs: how many there are.
            labels: y if it holds classes, whose shares the validation rows have; else None.
        """
        self.check_selection()
        hidden = np.atleast_1d(self.hidden_layer_sizes).tolist()
        if any(not isinstance(width, int) or width < 1 for width in hidden):
            raise ValueError(
                f"{self.name}: hidden_layer_sizes must be whole numbers of at least 1, got "
                f"{self.hidden_layer_sizes!r}"
            )
        random = check_random_state(self.random_state)
        parts = train_test_split(
            np.arange(len(X)), test_size=self.validation_fraction, random_state=random,
            stratify=labels,
        )  # fmt: skip
        inputs, center, spread = StandardScaler().fit(X[parts[0]]), 0.0, 1.0
        if labels is None:
            scaler = StandardScaler().fit(y[parts[0]])
            y, center, spread = scaler.transform(y).astype(np.float32), scaler.mean_, scaler.scale_
        rows = inputs.transform(X).astype(np.float32), y
        data, held_out = (tuple(array[part] for array in rows) for part in parts)
        recipe = Recipe(
            lambda layers, rows: jnp.mean(
                self.row_losses(forward(layers, rows[0], jnp), rows[1], jnp)
            ),
            functools.partial(initial, widths=(X.shape[1], *hidden, outputs)),
            lambda strength: Group(LogSum(strength, self.scale), axis=1),
            lambda penalties: prox_adamw(
                self.learning_rate, penalties, weight_decay=self.weight_decay, max_shrink=None
            ),
            mask=matching("0/kernel"), epochs=self.epochs, first_epochs=self.first_epochs,
            batch_size=min(self.batch_size, len(parts[0])),
        )  # fmt: skip
        key = jax.random.key(random.randint(2**31 - 1))
        grid: Any = self.strengths
        if grid is None:
            grid = strength_grid(recipe, data, count=self.count, ratio=self.ratio, key=key)
        self.path_ = path = fit_path(
            recipe, data, np.atleast_1d(grid), validation=held_out, key=key, progress=False
        )
        # From here on in NumPy, which compiles nothing.
        networks = [jax.tree.map(lambda leaf: leaf[i], path.params) for i in range(len(path))]  # noqa: B023
        losses = [
            self.row_losses(forward(layers, held_out[0], np), held_out[1], np)
            for layers in networks
        ]
        chosen = select_strength(path.strengths, np.stack(losses, 1), self.selection)
        self.strength_ = float(path.strengths[chosen])
        alive = np.stack([(layers[0]["kernel"] != 0).any(1) for layers in networks])
        self.feature_importances_ = np.max(alive * path.strengths[:, None], 0)
        # Standardising becomes a part of the first and of the last layer.
        layers = jax.tree.map(lambda leaf: np.asarray(leaf, float), networks[chosen])
        first, last = layers[0], layers[-1]
        first["kernel"] /= inputs.scale_[:, None]
        first["bias"] -= inputs.mean_ @ first["kernel"]
        last["kernel"] *= spread
        last["bias"] = last["bias"] * spread + center
        self.coefs_ = [layer["kernel"] for layer in layers]
        self.intercepts_ = [layer["bias"] for layer in layers]
        return self

    def used(self) -> np.ndarray:
        """Which features the network uses (features,)."""
        return self.coefs_[0].any(1)

    def outputs(self, X: Any) -> np.ndarray:
        """Computes the outputs of the network (rows, outputs)."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        pairs = zip(self.coefs_, self.intercepts_, strict=True)
        return forward([{"kernel": kernel, "bias": bias} for kernel, bias in pairs], X, np)


@dataclasses.dataclass(repr=False, eq=False)
class SparseMLPRegressor(RegressorMixin, SparseMLP):
    """A network of dense layers that predicts numbers from few of the inputs.

    A group log-sum penalty on all outgoing weights of each input removes inputs; `jaxreg.fit_path`
    trains a path of networks from dense to sparse, each from its neighbour's, and the loss of
    held-out rows chooses λ. LassoNet has the same task. Inputs and targets are standardised inside,
    and the network is trained in float32 by `jaxreg.prox_adamw`.

        >>> import numpy as np
        >>> from jaxreg.estimators import SparseMLPRegressor
        >>> X = np.random.default_rng(0).normal(size=(200, 6))
        >>> model = SparseMLPRegressor((16,), count=20, random_state=0)
        >>> model.fit(X, np.abs(X[:, 0]) + X[:, 1] ** 2).get_support(indices=True)
        array([0, 1])

    Args:
        hidden_layer_sizes: units of each hidden layer, which are rectified linear.
        scale: ε > 0, the norm of an input's weights at which the penalty's slope is half of λ. A
            large one gives group L2.
        strengths: λ, ascending, in units of the loss per row: half the squared error of
            standardised targets, or the cross-entropy. None takes `count` of them up to where all
            inputs are removed.
        count: number of λ, if there are none.
        ratio: of the smallest to the largest of these.
        learning_rate: of Adam.
        weight_decay: of all weights, decoupled, as in AdamW.
        epochs: of training at each λ.
        first_epochs: of training at the smallest λ.
        batch_size: rows in a batch, or all training rows if they are fewer.
        validation_fraction: the share of rows that are held out to choose λ, with the same share of
            each class.
        selection: "best" takes the smallest loss of these; "one_se" takes the largest λ whose mean
            loss is within one standard error over these rows.
        random_state: of the held-out rows, the initial weights and the order of rows.

    Attributes:
        coefs_: kernels (inputs, units) of each layer, in the units of the data; rows of the first
            are 0 for inputs that the network does not use.
        intercepts_: biases (units,) of each layer.
        strength_: the λ chosen.
        path_: the networks for all λ, a `jaxreg.RegularizationPath` of lists of layers, for
            standardised data.
        feature_importances_: the largest λ at which the network uses the input, or 0 (features,).
        n_features_in_: number of features.
        feature_names_in_: their names, if X was a table with names.
    """

    @staticmethod
    def row_losses(z: Any, y: Any, xp: ModuleType) -> Any:
        """Computes half the squared error of each row, summed over outputs."""
        return xp.sum(xp.square(z - y), 1) / 2

    def fit(self, X: Any, y: Any) -> Self:
        """Trains the path and chooses λ.

        Args:
            X: (rows, features).
            y: (rows,) or (rows, outputs).

        Raises:
            ValueError: an argument is out of range, or there are too few rows.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, multi_output=True)
        targets = y.reshape(len(y), -1).astype(float)
        self.train(X, targets, targets.shape[1], None)
        self.flat_ = y.ndim == 1
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predicts the targets (rows,) or (rows, outputs)."""
        z = self.outputs(X)
        return z[:, 0] if self.flat_ else z

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


@dataclasses.dataclass(repr=False, eq=False)
class SparseMLPClassifier(ProbabilitiesMixin, SparseMLP):
    """A network of dense layers that predicts classes from few of the inputs.

    See `SparseMLPRegressor`, whose parameters and attributes it has. Its loss is the cross-entropy,
    and `classes_` are the classes, sorted.
    """

    @staticmethod
    def row_losses(z: Any, y: Any, xp: ModuleType) -> Any:
        """Computes the cross-entropy of each row."""
        return -xp.take_along_axis(log_probabilities(z, xp), y[:, None], 1)[:, 0]

    def fit(self, X: Any, y: Any) -> Self:
        """Trains the path and chooses λ.

        Args:
            X: (rows, features).
            y: classes (rows,).

        Raises:
            ValueError: an argument is out of range, or there are too few rows or classes.
        """
        X, labels = self.encode(X, y)
        self.check_classes(labels)
        count = len(self.classes_)
        return self.train(X, labels, 1 if count == 2 else count, labels)


def initial(key: jax.Array, widths: Sequence[int]) -> Layers:
    """Draws the layers of a network (He et al. 2015)."""
    keys, draw = jax.random.split(key, len(widths) - 1), jax.nn.initializers.he_normal()
    return [
        {"kernel": draw(key, shape, jnp.float32), "bias": jnp.zeros(shape[1], jnp.float32)}
        for key, shape in zip(keys, itertools.pairwise(widths), strict=True)
    ]


def forward(layers: Layers, x: Any, xp: ModuleType) -> Any:
    """Computes the outputs of a network (rows, outputs)."""
    for layer in layers[:-1]:
        x = xp.maximum(x @ layer["kernel"] + layer["bias"], 0)
    return x @ layers[-1]["kernel"] + layers[-1]["bias"]


def log_probabilities(z: Any, xp: ModuleType) -> Any:
    """Normalises outputs, whose first class has the output 0 if there is one alone."""
    if z.shape[1] == 1:
        z = xp.concatenate([xp.zeros_like(z), z], 1)
    z = z - z.max(1, keepdims=True)
    return z - xp.log(xp.sum(xp.exp(z), 1, keepdims=True))
