"""Linear paths of sparse designs, which stay sparse: columns are centred and divided implicitly.

Products with the design are SciPy's, on the host; penalties and losses are compiled. A working set
is solved without its Hessian, which would not be sparse: by proximal gradient steps, and Newton
steps on the support by conjugate gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._arrays import full_precision
from jaxreg._basis import Directions, by_rows, orthonormal, projected
from jaxreg._duality import gap_below
from jaxreg._linear.inputs import Data
from jaxreg._linear.path import MAX_STEPS, PATIENCE, STEPS, Grid, Settings, Solver
from jaxreg._linear.programs import ROUNDING, Measured, Solved, compiled, kept, relaxed
from jaxreg._linear.quadratic import CROSSINGS, RIDGE, Charge, pull
from jaxreg._typing import PyTree
from jaxreg.losses import Cox
from jaxreg.penalties import Penalty

FEWEST, TIMES = 1024, 8
"""For how many blocks the programs of the smallest working sets are compiled, and how many times
that the next ones have.
"""
SMALLEST = 256
"""Blocks of the smallest working set."""
FORCING = 0.03
"""The residual of conjugate gradients, as a share of the largest violation before them."""
PRODUCTS = 500
"""The most products with the Hessian in one Newton step."""
GROWTH = 1.1
"""How much above what was seen a bound on curvature is set."""


class Host:
    """A path of a sparse design, before its first λ.

    Attributes:
        settings: what the programs are compiled for.
        design: the rows that are meant (rows, features).
        transposed: the same (features, rows).
        solver: a solver without columns, which knows rows, targets and basis.
        basis: of what has no penalty (rows, directions).
        centre: of what is subtracted from columns (rows, directions): the basis, and a constant
            behind it in a Cox model.
        means: its coefficients (features, directions).
        scale: what columns are divided by (features,).
        factors: of the penalty of each block (blocks, 1); None for 1.
        shift: coefficients of the basis that are subtracted from y.
        back: as in `Subtracted`.
        lengths: root mean squares of the centred columns (features,), before they are divided.
        bound: on the curvature of the loss along changes of weights, in units of the squares of
            these lengths, as far as it has been seen.
        start: coefficients of the basis where the path begins.
        z: predictions there.
        gradient: there, divided by the factors (blocks, size), and 0 where it is rounding alone.
    """

    @full_precision()
    def __init__(self, settings: Settings, data: Data) -> None:
        self.settings = settings
        columns: Any
        basis: Any
        columns, y, free, offset, share = data.taken()
        self.design, outputs, dtype = columns.T.tocsc(), settings.outputs, columns.dtype
        self.transposed = self.design.T
        # Around the mean in a Cox model too, where that changes nothing but rounding.
        centred = settings.intercept or not settings.loss.shifted
        basis, back = jax.tree.map(np.asarray, orthonormal(free, share, centred))
        shares = np.broadcast_to(np.asarray(share), len(y)).astype(float)
        means = self.design.T @ (basis * shares[:, None])
        raw, average, deviation = moments(self.design, shares)
        around = deviation if centred else raw
        squares = around**2 - np.square(means[:, int(centred) :]).sum(1)
        # Of a column that what was subtracted explains, nothing but rounding is left.
        eps = np.finfo(dtype).eps
        alive = deviation > ROUNDING * eps * np.abs(average)
        varied = (squares > ROUNDING * eps * around**2) & (alive | (not centred))
        self.lengths = lengths = np.sqrt(np.maximum(squares, 0)).astype(dtype)
        self.scale = np.where(varied & alive & settings.standardize, deviation, 1).astype(dtype)
        self.centre, self.means = basis, means.astype(dtype)
        if not settings.loss.shifted:
            self.centre, self.means = (np.roll(each, -1, 1) for each in (basis, self.means))
            basis, back = basis[:, 1:], np.where(np.arange(len(back))[:, None], back[:, 1:], 0)
        self.basis, self.back = basis, back
        self.bound = 1.0
        each = np.repeat(self.scale, max(outputs, 1)).reshape(-1, settings.size)
        limits = jax.tree.map(lambda limit: limit * each, data.limits)
        self.shift = np.zeros((basis.shape[1], *([outputs] if outputs else [])), dtype)
        if settings.quadratic:
            left = y if offset is None else y - offset
            y, shift = (part.T for part in projected(left.T, basis, share))
            self.shift, offset = np.asarray(shift), None
        spread = np.repeat(lengths / self.scale, max(outputs, 1)).reshape(-1, settings.size)
        self.factors = None if data.factors is None else np.asarray(data.factors)
        unit = np.max(spread if self.factors is None else spread / self.factors)
        self.solver = Solver(
            settings, jnp.zeros((0, len(y)), dtype), settings.loss.arrange(y, share), offset,
            share, basis, jnp.asarray(unit, dtype), data.factors, limits,
        )  # fmt: skip
        blank = jnp.zeros((len(y), *([outputs] if outputs else [])), dtype)
        begun = blank if offset is None else blank + offset
        z, slope = balanced(self.solver, begun)
        without = z if offset is None else z - offset
        self.start, self.z = np.asarray(projected(without.T, basis, share)[1].T), np.asarray(z)
        gradient = self.slopes(np.asarray(slope))
        gradient = gradient if self.factors is None else gradient / self.factors
        largest = np.abs(np.asarray(data.y)).max() if settings.loss.shifted else 1
        varied &= np.abs(slope).sum() > 2 * eps * largest
        known = np.repeat(varied, max(outputs, 1)).reshape(gradient.shape)
        self.gradient = np.where(known, gradient, 0)

    def by_feature(self, w: np.ndarray) -> np.ndarray:
        """Weights (blocks, size) as (features,) or (features, outputs)."""
        return w.reshape(-1, self.settings.outputs) if self.settings.outputs else w.ravel()

    def unscaled(self, w: np.ndarray) -> np.ndarray:
        """Weights by feature in the units of the data."""
        return (self.by_feature(w).T / self.scale).T

    def slopes(self, slope: np.ndarray) -> np.ndarray:
        """The gradient (blocks, size) for one with respect to the predictions."""
        raw = self.transposed @ slope - self.means @ (self.centre.T @ slope)
        return (raw.T / self.scale).T.reshape(-1, self.settings.size)

    def shifted(self, z: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Adds what has no penalty to predictions."""
        z = z + self.basis @ free
        return z if self.solver.offset is None else z + np.asarray(self.solver.offset)

    def predict(self, w: np.ndarray, free: np.ndarray) -> np.ndarray:
        """The predictions of weights (blocks, size)."""
        each = self.unscaled(w)
        return self.shifted(self.design @ each - self.centre @ (self.means.T @ each), free)

    def single(self, places: np.ndarray) -> Directions:
        """What single weights add to the predictions, by their places among all; dense."""
        outputs = self.settings.outputs
        features = places // max(outputs, 1)
        rows = self.design[:, features].toarray().T - self.means[features] @ self.centre.T
        each = jnp.asarray(places % outputs) if outputs else None
        return Directions(jnp.asarray(rows / self.scale[features, None]), each)

    def choose(self, w: np.ndarray, gradient: np.ndarray, needed: np.ndarray) -> Chosen:
        """The support and, up to twice as many blocks or a few hundred, those of the others that
        violate the optimality conditions or have the largest gradient.
        """
        support = w.any(1)
        limits = jax.tree.map(np.asarray, self.solver.limits)
        size = np.asarray(pull(w, gradient, self.factors, limits))  # type: ignore[arg-type]
        # Of those that violate them, first those with the largest gradient too.
        order = np.where(support, np.inf, np.where(needed, size + size.max(), size))
        capacity = min(max(2 * int(support.sum()), SMALLEST), len(order))
        return Chosen(self, np.sort(np.argpartition(-order, capacity - 1)[:capacity]))

    def curved(self, z: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """The products of changes of predictions with the loss's second derivative at z."""
        if isinstance(self.settings.loss, Cox):
            return lambda along: np.asarray(turned(self.solver, z, along))
        curvature = np.asarray(curvatures(self.solver, z))
        if curvature.ndim == 3:
            return lambda along: np.einsum("nij,nj->ni", curvature, along)
        return lambda along: curvature * along

    @kept()
    @full_precision()
    def path(self, grid: Grid, tested: Data | None, again: bool) -> Solved:
        """Solves, measures and refits λ after λ."""
        blocks, size = self.gradient.shape
        w, free, z = np.zeros((blocks, size), self.z.dtype), self.start, self.z
        slope = np.asarray(gradients(self.solver, z))
        gradient, before = self.slopes(slope), (w, free)
        grid = jax.tree.map(np.asarray, grid)
        working = self.choose(w, gradient, np.zeros(blocks, bool))
        found, refitted, left = [], [], []
        held = None if tested is None else Tested(tested, self.settings)
        for at in range(len(grid.tols)):
            penalty, tol, ahead = jax.tree.map(lambda leaf, at=at: leaf[at], grid)
            now = w, free
            if self.settings.certified and ahead > 0:
                w, free, z = self.begun(penalty, working, before, w, free, z, ahead)
                slope = np.asarray(gradients(self.solver, z))
            before, stall, tried = now, Stall(), None
            while stall.last > tol and stall.since < PATIENCE and stall.taken < MAX_STEPS:
                if tried is not None:
                    outside = tried > tol
                    outside[working.places] = False
                    if outside.any():
                        working = self.choose(w, gradient, outside)
                w, free, z, rounding = working.step(penalty, tol, w, free, z, slope, gradient)
                slope = np.asarray(gradients(self.solver, z))
                gradient = self.slopes(slope)
                tried = np.array(violations_of(self.solver, penalty, w, gradient))
                unbalanced = np.abs(self.basis.T @ slope).max(initial=0) * float(self.solver.unit)
                stall = stall.after(max(tried.max(), unbalanced), rounding)
            found.append(self.measured(penalty, w, free, z, gradient, stall, held))
            if again:
                other, both, rest = relaxed(self.solver, self.single, w, free, z)
                there = self.predict(other, both)
                along = self.slopes(np.asarray(gradients(self.solver, there)))
                refitted.append(self.measured(penalty, other, both, there, along, stall, held))
                left.append(float(rest))

        def stacked(measured: list[Measured]) -> Any:
            every = np.zeros((len(measured), *w.shape), w.dtype)
            for each, solution in zip(every, measured, strict=True):
                places, numbers = solution.w
                each.ravel()[places] = numbers
            rest = [solution._replace(w=None) for solution in measured]
            return jax.tree.map(lambda *leaves: np.stack(leaves), *rest)._replace(w=every)

        if not again:
            return Solved(stacked(found), None, None)
        return Solved(stacked(found), stacked(refitted), np.array(left))

    def begun(
        self, penalty: Penalty, working: Chosen, before: tuple[np.ndarray, np.ndarray],
        w: np.ndarray, free: np.ndarray, z: np.ndarray, ahead: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
        """Weights, coefficients and predictions where a λ begins, as `Solver.begun` has them."""
        on, moved = (new + ahead * (new - old) for old, new in zip(before, (w, free), strict=True))
        on = np.where(np.sign(on) == np.sign(w), on, 0)
        limits = jax.tree.map(np.asarray, self.solver.limits)
        on = on if limits is None else np.clip(on, *limits)
        there = self.shifted(working.combine(on[working.places]), moved)
        if not self.settings.quadratic:
            values = [
                working.call(objective, penalty, each[working.places], rows=[at])
                for each, at in ((w, z), (on, there))
            ]
            if not values[1] <= values[0]:
                return w, free, z
        return on, moved, there

    def measured(
        self, penalty: Penalty, w: np.ndarray, free: np.ndarray, z: np.ndarray,
        gradient: np.ndarray, stall: Stall, held: Tested | None,
    ) -> Measured:  # fmt: skip
        """The solution at one λ; of its weights the places and values of those that are not 0."""
        settings, moved, along = self.settings, z, None
        if settings.certified:
            along = -gradient
            # Under squares the gradient along the basis is 0 whatever the weights.
            if self.basis.shape[1] and not settings.quadratic:
                moved, slope = balanced(self.solver, z)
                along = -self.slopes(np.asarray(slope))
        record = dict(numbers_of(self.solver, penalty, w, z, moved, along))
        raw = self.unscaled(w)
        used = np.flatnonzero(raw.reshape(len(raw), -1).any(1))
        means = self.means[used, : self.basis.shape[1]]
        coefficients = self.back @ (free + self.shift - means.T @ raw[used])
        if self.settings.loss.invariant:
            coefficients = coefficients - coefficients.mean(-1, keepdims=True)
        record |= {"residual": stall.last, "steps": int(stall.taken)}
        record["nonzeros"] = np.count_nonzero(w) + np.count_nonzero(coefficients[1:])
        if held is not None:
            record["validation_loss"] = held.loss(raw, coefficients)
        places = np.flatnonzero(raw)
        numbers = raw.ravel()[places]
        return Measured((places, numbers), coefficients[1:], coefficients[0], record)


def moments(design: Any, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The root mean square, the mean and the standard deviation of each column, in float64."""
    numbers, by = design.data.astype(float), shares[design.indices]
    features = np.repeat(np.arange(design.shape[1]), np.diff(design.indptr))

    def summed(each: np.ndarray) -> np.ndarray:
        return np.bincount(features, by * each, design.shape[1])

    average, zeros = summed(numbers), 1 - summed(np.ones_like(numbers))
    # Around the mean number by number, as the difference of large sums has no digits left.
    squares = summed((numbers - average[features]) ** 2) + np.maximum(zeros, 0) * average**2
    return np.sqrt(summed(numbers**2)), average, np.sqrt(squares)


class Tested:
    """Rows that are not fitted."""

    def __init__(self, data: Data, settings: Settings) -> None:
        columns, y, self.free, self.offset, self.share = data.taken()
        self.design, self.settings = columns.T, settings
        self.y = settings.loss.arrange(y, self.share)

    def loss(self, w: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """The loss of weights by feature, and of the intercept and coefficients behind it."""
        z = self.design @ w + np.asarray(self.free) @ coefficients[1:] + coefficients[0]
        z = z if self.offset is None else z + np.asarray(self.offset)
        return np.asarray(self.settings.loss.total(jnp.asarray(z), self.y, self.share))


class Stall(NamedTuple):
    """As `jaxreg._linear.quadratic.Stall`, on the host."""

    last: float = np.inf
    least: float = np.inf
    since: int = 0
    taken: int = 0

    def after(self, violation: float, rounding: float) -> Stall:
        """With one more violation, where rounding alone can cause one of `rounding`."""
        since = 0 if violation < self.least or self.least > rounding else self.since + 1
        return Stall(float(violation), min(float(violation), self.least), since, self.taken + 1)


class Point(NamedTuple):
    """Weights of a working set, as far as a model of the loss has been evaluated there.

    Attributes:
        w: weights (places, size).
        gradient: of the model.
        along: the change of the predictions from where the model was made.
        moved: and that of the coefficients of the basis.
        violation: of the optimality conditions, the largest.
    """

    w: np.ndarray
    gradient: np.ndarray
    along: np.ndarray
    moved: np.ndarray
    violation: float


class Chosen:
    """A working set: blocks.

    Attributes:
        host: the path.
        places: their indices among all.
        capacity: for how many the programs are compiled.
        features: of their single weights.
        outputs: and the output of each; None if there is one.
        columns: of the features (rows, single weights).
        transposed: the same (single weights, rows).
        means: as those of the path, of the features.
        lengths: root mean squares of the centred columns (places, size).
        squares: the largest square of these in each block (places, 1); 1 for a block of zeros.
        factors: of the penalty (places, 1), or 1.
        parts: factors and limits, filled up to the capacity.
    """

    def __init__(self, host: Host, places: np.ndarray) -> None:
        settings = host.settings
        self.host, self.places = host, places
        self.capacity = FEWEST
        while self.capacity < len(places):
            self.capacity *= TIMES
        size, outputs = settings.size, settings.outputs
        flat = (places[:, None] * size + np.arange(size)).ravel()
        self.features = flat // max(outputs, 1)
        self.outputs = flat % outputs if outputs else None
        self.columns = host.design[:, self.features]
        self.transposed = self.columns.T
        self.means = host.means[self.features]
        self.lengths = (host.lengths / host.scale)[self.features].reshape(-1, size)
        longest = np.square(self.lengths).max(1, keepdims=True)
        self.squares = np.where(longest > 0, longest, 1)
        factors, limits = host.factors, host.solver.limits
        self.factors: Any = 1.0 if factors is None else factors[places]
        self.parts = (
            None if factors is None else self.padded(factors[places], 1.0),
            jax.tree.map(lambda leaf: self.padded(np.asarray(leaf)[places]), limits),
        )

    def padded(self, numbers: np.ndarray, value: float = 0.0) -> np.ndarray:
        """Numbers (places, …), filled up to the capacity."""
        filled = np.full((self.capacity, *numbers.shape[1:]), value, numbers.dtype)
        filled[: len(numbers)] = numbers
        return filled

    def call(
        self, program: Any, penalty: Penalty, *numbers: np.ndarray, rows: Sequence[np.ndarray] = ()
    ) -> Any:
        """Calls a compiled function of the penalty, numbers (places, …) and numbers (rows, …); of
        arrays that it returns the places are taken.
        """
        filled = map(self.padded, numbers)
        found = program(self.host.solver, penalty, self.parts, *filled, *rows)
        count = len(self.places)
        return jax.tree.map(lambda a: np.asarray(a)[:count] if a.ndim else float(a), found)

    def combine(self, w: np.ndarray) -> np.ndarray:
        """The predictions of weights (places, size), without offset and basis."""
        host, outputs = self.host, self.host.settings.outputs
        each = w.ravel() / host.scale[self.features]
        if self.outputs is not None:
            each = each[:, None] * (self.outputs[:, None] == np.arange(outputs))
        return self.columns @ each - host.centre @ (self.means.T @ each)

    def slopes(self, slope: np.ndarray) -> np.ndarray:
        """The gradient (places, size) for one with respect to the predictions."""
        host = self.host
        raw = self.transposed @ slope - self.means @ (host.centre.T @ slope)
        if self.outputs is not None:
            raw = np.take_along_axis(raw, self.outputs[:, None], 1)[:, 0]
        return (raw / host.scale[self.features]).reshape(self.lengths.shape)

    def rounding(self, at: Point, slope: np.ndarray) -> float:
        """A bound on the rounding of violations, for a gradient by the predictions."""
        products = self.lengths * (self.lengths * np.abs(at.w)).sum()
        subtracted = (
            np.abs(self.means).sum(1) / self.host.scale[self.features] * np.abs(slope).sum()
        )
        each = 2 * products + np.abs(at.gradient) + subtracted.reshape(products.shape)
        return float(np.finfo(at.w.dtype).eps * (each / self.factors).max())

    def step(
        self, penalty: Penalty, tol: float, w: np.ndarray, free: np.ndarray, z: np.ndarray,
        slope: np.ndarray, gradient: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:  # fmt: skip
        """Solves the second-order model of the loss on the working set, with what has no penalty at
        its minimum, and goes there as far as the objective falls.

        Args:
            penalty: at this λ.
            tol: of violations.
            w: weights.
            free: coefficients of the basis.
            z: predictions.
            slope: the gradient of the loss with respect to these.
            gradient: and with respect to the weights.

        Returns:
            Weights, coefficients of the basis, predictions, and the rounding of violations.
        """
        before = w[self.places]
        model = Model(self, penalty, before, z, slope, free.shape)
        point = model.minimise(tol / 2)
        after, rounding = point.w, self.rounding(point, slope)
        if not self.host.settings.quadratic:
            part = self.call(share_of_step, penalty, before, after, rows=(z, point.along))
            after = after if part == 1 else before + part * (after - before)
            free = free + part * point.moved
            if part == 0 and self.host.settings.certified:
                rounding = np.inf  # the same step would be tried again
            elif part == 0:
                after = self.forward(penalty, z, before, gradient[self.places])
        w = w.copy()
        w[self.places] = after
        return w, free, self.host.shifted(self.combine(after), free), rounding

    def forward(
        self, penalty: Penalty, z: np.ndarray, before: np.ndarray, gradient: np.ndarray
    ) -> np.ndarray:
        """A proximal gradient step, as `Solver.forward` takes one."""
        steps = 4.0 ** np.arange(4, -STEPS, -1) / self.squares.max()
        tried = [
            self.call(shrunk, penalty, before, gradient, np.full_like(self.squares, step))
            for step in steps
        ]
        values = [
            self.call(objective, penalty, after, rows=[z + self.combine(after - before)])
            for after in tried
        ]
        return tried[int(np.argmin(np.where(np.isnan(values), np.inf, values)))]


class Model:
    """The second-order model of the loss in the weights of a working set, with what has no penalty
    at its minimum, and the penalty.

    Attributes:
        chosen: the working set.
        penalty: at this λ.
        before: weights where the model was made.
        slope: the gradient of the loss with respect to the predictions there.
        curved: products with its second derivative.
    """

    def __init__(
        self, chosen: Chosen, penalty: Penalty, before: np.ndarray, z: np.ndarray,
        slope: np.ndarray, free: tuple[int, ...],
    ) -> None:  # fmt: skip
        host = chosen.host
        self.chosen, self.penalty, self.before, self.slope = chosen, penalty, before, slope
        self.curved, self.free = host.curved(z), free
        self.solve = None
        # Under squares columns are orthogonal to the basis, so its coefficients do not change.
        if np.prod(free) and not host.settings.quadratic:
            units = np.eye(int(np.prod(free))).reshape(-1, *free).astype(z.dtype)
            self.weighted = np.stack([self.curved(host.basis @ unit).ravel() for unit in units])
            square = np.stack([(host.basis @ unit).ravel() for unit in units]) @ self.weighted.T
            rcond = np.finfo(z.dtype).eps ** 0.75
            self.solve = np.linalg.pinv(np.nan_to_num(square), rcond, hermitian=True)

    def balanced(self, along: np.ndarray, slope: Any) -> tuple[np.ndarray, np.ndarray]:
        """A change of the predictions with the change of the coefficients of the basis after which
        the gradient along it is 0, if it has been `slope` with respect to the predictions.
        """
        if self.solve is None:
            return along, np.zeros(self.free, along.dtype)
        host = self.chosen.host
        left = self.weighted @ along.ravel()
        if slope is not None:
            left = left + (host.basis.T @ slope).ravel()
        moved = -(self.solve @ left).reshape(self.free)
        if host.settings.loss.invariant:
            moved -= moved.mean(-1, keepdims=True)
        return along + host.basis @ moved, moved

    def times(self, w: np.ndarray) -> np.ndarray:
        """The product of the Hessian with a change of weights."""
        along, _ = self.balanced(self.chosen.combine(w), None)
        return self.chosen.slopes(self.curved(along))

    def at(self, w: np.ndarray) -> Point:
        """Evaluates the model."""
        along, moved = self.balanced(self.chosen.combine(w - self.before), self.slope)
        gradient = self.chosen.slopes(self.slope + self.curved(along))
        return Point(w, gradient, along, moved, self.chosen.call(worst, self.penalty, w, gradient))

    def change(self, old: Point, new: Point) -> float:
        """The difference of the model with the penalty."""
        moved = new.w - old.w
        extra = self.chosen.call(charged, self.penalty, old.w, new.w)
        return float((moved * (old.gradient + new.gradient)).sum() / 2 + extra)

    def minimise(self, tol: float) -> Point:
        """Goes to the minimum, down to a violation."""
        at = self.at(self.before)
        stall = Stall(at.violation, at.violation)
        while stall.last > tol and stall.since < PATIENCE and stall.taken < MAX_STEPS:
            at = self.descend(at)
            if at.violation > tol:
                at = self.newton_step(at, tol)
            stall = stall.after(at.violation, self.chosen.rounding(at, self.slope))
        return at

    def descend(self, at: Point) -> Point:
        """A proximal gradient step, with a step for each block."""
        chosen = self.chosen
        noise = chosen.rounding(at, self.slope) * chosen.factors
        while True:
            steps = 1 / (chosen.host.bound * chosen.squares)
            new = self.at(chosen.call(shrunk, self.penalty, at.w, at.gradient, steps))
            moved = new.w - at.w
            length = (chosen.squares * moved**2).sum()
            bent = (moved * (new.gradient - at.gradient)).sum()
            # Of steps as small as rounding nothing is learnt.
            small = bent <= (noise * np.abs(moved)).sum() or length == 0
            if small or not bent > GROWTH * chosen.host.bound * length:
                return new
            chosen.host.bound = GROWTH * bent / length
            if self.change(at, new) <= 0:
                return new

    def newton_step(self, at: Point, tol: float) -> Point:
        """A Newton step on the support, as far as it lowers the objective: `newton_step` of
        `jaxreg._linear.quadratic`, but the first point that lowers it is taken.
        """
        chosen, w = self.chosen, at.w
        active, slope, curvature = chosen.call(parts_of, self.penalty, w, at.gradient)
        step = self.conjugate(active, slope, curvature, max(FORCING * at.violation, tol / 2))
        along, lengths = step * w, w * w
        if not chosen.host.settings.jagged:
            along, lengths = (each.sum(1, keepdims=True) for each in (along, lengths))
        crossings = np.where(along < 0, -lengths / np.where(along < 0, along, 1), np.inf)
        several = min(CROSSINGS, crossings.size)
        first = np.sort(np.partition(crossings.ravel(), several - 1)[:several])[::-1]
        for fraction in [1.0, *first[first < 1]]:
            tried = np.where(crossings <= fraction, 0, w + fraction * step)
            if chosen.parts[1] is not None:
                low, high = (limit[: len(w)] for limit in chosen.parts[1])
                tried = np.clip(tried, low, high)
            new = self.at(tried)
            if self.change(at, new) < 0:
                return new
        return at

    def conjugate(
        self, active: np.ndarray, slope: np.ndarray, curvature: np.ndarray, tol: float
    ) -> np.ndarray:
        """The Newton step by conjugate gradients, until the gradient left is below a number, or
        the curvature along a direction is not positive.
        """
        squares = self.chosen.squares
        ridge = RIDGE * np.finfo(slope.dtype).eps * squares
        residual = np.where(active, -slope, 0)
        step, scaled = np.zeros_like(slope), residual / squares
        direction, now = scaled, (residual * scaled).sum()
        for _ in range(PRODUCTS):
            if np.abs(residual / self.chosen.factors).max() <= tol:
                break
            product = self.times(direction) + ridge * direction
            product += np.einsum("bij,bj->bi", curvature, direction)
            product = np.where(active, product, 0)
            bent = (direction * product).sum()
            if not bent > 0:
                break
            part = now / bent
            step = step + part * direction
            residual = residual - part * product
            scaled = residual / squares
            now, last = (residual * scaled).sum(), now
            direction = scaled + now / last * direction
        return step


def charge_of(solver: Solver, penalty: Penalty, parts: PyTree) -> Charge:
    """The penalty of a working set."""
    return solver.charge(penalty)._replace(factors=parts[0], limits=parts[1])


@compiled
def curvatures(solver: Solver, z: jax.Array) -> jax.Array:
    """The second derivative of the loss by the predictions of each row, see `Loss.curvature`."""
    return by_rows(solver.share, solver.settings.loss.curvature(z, solver.y))


@compiled
def gradients(solver: Solver, z: jax.Array) -> jax.Array:
    """The gradient with respect to the predictions."""
    return solver.settings.loss.gradient(z, solver.y, solver.share)


@compiled
@full_precision()
def balanced(solver: Solver, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The predictions with what has no penalty at its minimum, and the gradient there."""
    loss = solver.settings.loss
    moved = loss.balance(solver.basis, z, solver.y, solver.share)
    return moved, loss.gradient(moved, solver.y, solver.share)


@compiled
def turned(solver: Solver, z: jax.Array, along: jax.Array) -> jax.Array:
    """The product of the second derivative of the loss with a change of the predictions."""
    loss = solver.settings.loss
    return jax.jvp(lambda z: loss.gradient(z, solver.y, solver.share), (z,), (along,))[1]


@compiled
def share_of_step(
    solver: Solver, penalty: Penalty, parts: PyTree, before: jax.Array, after: jax.Array,
    z: jax.Array, along: jax.Array,
) -> jax.Array:  # fmt: skip
    """The share of a step that lowers the objective enough."""
    return solver.longest(charge_of(solver, penalty, parts), z, before, after, along)


@compiled
def shrunk(
    solver: Solver, penalty: Penalty, parts: PyTree, before: jax.Array, gradient: jax.Array,
    steps: jax.Array,
) -> jax.Array:  # fmt: skip
    """The weights after a proximal gradient step of a size for each block (blocks, 1)."""
    charge = charge_of(solver, penalty, parts)
    moving = before - steps * gradient
    return charge.within(charge.penalty.prox(moving, charge.times(steps)))


@compiled
def charged(
    solver: Solver, penalty: Penalty, parts: PyTree, before: jax.Array, after: jax.Array
) -> jax.Array:
    """How much more the penalty is."""
    charge = charge_of(solver, penalty, parts)
    return jnp.sum(charge.values(after) - charge.values(before))


@compiled
def worst(
    solver: Solver, penalty: Penalty, parts: PyTree, w: jax.Array, gradient: jax.Array
) -> jax.Array:
    """The largest violation of the optimality conditions."""
    return jnp.max(charge_of(solver, penalty, parts).violations(w, gradient))


@compiled
def parts_of(
    solver: Solver, penalty: Penalty, parts: PyTree, w: jax.Array, gradient: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Which weights have Newton steps, the slope of the objective, and the penalty's curvature."""
    charge = charge_of(solver, penalty, parts)
    active = charge.active(w)
    curvature = charge.curvature(jnp.where(jnp.any(active, 1, keepdims=True), w, 1))
    both = active[:, :, None] & active[:, None]
    return active, gradient + charge.subgradient(w), jnp.where(both, curvature, 0)


@compiled
def objective(
    solver: Solver, penalty: Penalty, parts: PyTree, w: jax.Array, z: jax.Array
) -> jax.Array:
    """The objective of weights and their predictions."""
    charge = charge_of(solver, penalty, parts)
    value = solver.settings.loss.total(z, solver.y, solver.share)
    return value + jnp.sum(charge.values(w))


@compiled
def violations_of(solver: Solver, penalty: Penalty, w: jax.Array, gradient: jax.Array) -> jax.Array:
    """How far each block is from optimal."""
    return solver.charge(penalty).violations(w, gradient)


@compiled
def numbers_of(
    solver: Solver, penalty: Penalty, w: jax.Array, z: jax.Array, moved: jax.Array, along: Any
) -> dict[str, jax.Array]:
    """Objective, loss and, with minus the gradient at balanced predictions, gap."""
    charge, loss = solver.charge(penalty), solver.settings.loss
    value = loss.total(z, solver.y, solver.share)
    objective = value + jnp.sum(charge.values(w))
    record = {"objective": objective, "loss": value}
    if along is not None:
        duals = [(charge.whole(), along)]
        record["gap"] = gap_below(
            objective, loss, moved, solver.offset, solver.y, solver.share, duals
        )
    return record
