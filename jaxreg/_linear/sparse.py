"""Linear paths of sparse designs, which stay sparse: columns are centred and divided implicitly.

Products with the design are SciPy's, on the host; a working set is solved by the compiled programs
that dense designs use. Its columns become dense only for losses whose second derivative is not
diagonal.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxreg._arrays import full_precision
from jaxreg._basis import Directions, orthonormal, projected
from jaxreg._duality import gap_below
from jaxreg._linear.inputs import Data
from jaxreg._linear.path import MAX_STEPS, PATIENCE, STEPS, Settings, Solver
from jaxreg._linear.programs import FEWEST, Measured, Solved, relaxed, rounded_up
from jaxreg._linear.quadratic import Charge, Quadratic, Stall, minimise, pull
from jaxreg._typing import PyTree
from jaxreg.losses import Cox
from jaxreg.penalties import Penalty


class Host:
    """A path of a sparse design, before its first λ.

    Attributes:
        settings: what the programs are compiled for.
        design: the rows that are meant (rows, features).
        solver: a solver without columns, which knows rows, targets and basis.
        basis: of what has no penalty (rows, directions).
        means: coefficients of the basis (features, directions) that are subtracted from columns.
        scale: what columns are divided by (features,).
        shift: coefficients of the basis that are subtracted from y.
        back: as in `Subtracted`.
        start: coefficients of the basis where the path begins.
        z: predictions there.
        gradient: there, divided by the factors (blocks, size), and 0 where it is rounding alone.
    """

    def __init__(self, settings: Settings, data: Data) -> None:
        self.settings = settings
        x: Any
        x, y, free, offset, share = data.taken()
        self.design, outputs = x.tocsc(), settings.outputs
        basis, back = orthonormal(free, share, settings.intercept)
        ones = jnp.ones((len(y), 1), free.dtype)
        # A constant changes nothing in a Cox model but rounding.
        centre = basis if settings.loss.shifted else jnp.concatenate([basis, ones], 1)
        self.basis, self.back = np.asarray(basis), np.asarray(back)
        self.centre = np.asarray(centre)
        shares = np.broadcast_to(np.asarray(share), len(y))
        self.means = self.design.T @ (self.centre * shares[:, None])
        squares = np.asarray(self.design.multiply(self.design).T @ shares)
        average = self.design.T @ shares
        eps = np.finfo(self.design.dtype).eps
        deviation = np.sqrt(np.maximum(squares - average**2, 0))
        lengths = np.sqrt(np.maximum(squares - np.square(self.means).sum(1), 0))
        varied = lengths > 8 * eps**0.5 * np.sqrt(squares)
        self.scale = np.where(varied & settings.standardize, deviation, 1).astype(x.dtype)
        each = np.repeat(self.scale, max(outputs, 1)).reshape(-1, settings.size)
        limits = jax.tree.map(lambda limit: limit * each, data.limits)
        self.shift = np.zeros((basis.shape[1], *([outputs] if outputs else [])), x.dtype)
        if settings.quadratic:
            left = y if offset is None else y - offset
            y, shift = (part.T for part in projected(left.T, basis, share))
            self.shift, offset = np.asarray(shift), None
        spread = np.repeat(lengths / self.scale, max(outputs, 1)).reshape(-1, settings.size)
        self.factors = None if data.factors is None else np.asarray(data.factors)
        unit = np.max(spread if self.factors is None else spread / self.factors)
        self.solver = Solver(
            settings, jnp.zeros((0, len(y)), x.dtype), settings.loss.arrange(y, share), offset,
            share, basis, jnp.asarray(unit, x.dtype), data.factors, limits,
        )  # fmt: skip
        blank = jnp.zeros((len(y), *([outputs] if outputs else [])), x.dtype)
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
        raw = self.design.T @ slope - self.means @ (self.centre.T @ slope)
        return (raw.T / self.scale).T.reshape(-1, self.settings.size)

    def shifted(self, z: np.ndarray, free: np.ndarray) -> np.ndarray:
        """Adds what has no penalty to predictions."""
        z = z + self.basis @ free
        return z if self.solver.offset is None else z + np.asarray(self.solver.offset)

    def single(self, places: np.ndarray) -> Directions:
        """What single weights add to the predictions, by their places among all; dense."""
        outputs = self.settings.outputs
        features = places // max(outputs, 1)
        rows = self.design[:, features].toarray().T - self.means[features] @ self.centre.T
        each = jnp.asarray(places % outputs) if outputs else None
        return Directions(jnp.asarray(rows / self.scale[features, None]), each)

    def choose(self, w: np.ndarray, gradient: np.ndarray, needed: np.ndarray) -> Chosen:
        """The support, what violates the optimality conditions, and those of the other blocks that
        have the largest gradient; at most about a quarter more than the support.
        """
        support = w.any(1)
        alive = int(support.sum())
        more = max(alive // 4, FEWEST)
        capacity = rounded_up(alive + min(int((needed & ~support).sum()), more))
        limits = jax.tree.map(np.asarray, self.solver.limits)
        size = np.asarray(pull(w, gradient, self.factors, limits))  # type: ignore[arg-type]
        # Of those that violate them, first those with the largest gradient too.
        order = np.where(support, np.inf, np.where(needed, size + size.max(), size))
        capacity = min(capacity, len(order))
        return Chosen(self, np.sort(np.argpartition(-order, capacity - 1)[:capacity]))

    def path(self, penalties: PyTree, tols: np.ndarray, tested: Data | None, again: bool) -> Solved:
        """Solves, measures and refits λ after λ."""
        blocks, size = self.gradient.shape
        w, free, z = np.zeros((blocks, size), self.z.dtype), self.start, self.z
        slope = np.asarray(gradients(self.solver, z))
        gradient = self.slopes(slope)
        penalties = jax.tree.map(np.asarray, penalties)
        working = self.choose(w, gradient, np.zeros(blocks, bool))
        found, refitted, left = [], [], []
        held = None if tested is None else Tested(tested, self.settings)
        for at, tol in enumerate(tols):
            penalty = jax.tree.map(lambda leaf, at=at: leaf[at], penalties)
            stall, tried = Stall.begin(np.inf), None  # type: ignore[arg-type]
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
                stall = jax.tree.map(float, stall.after(max(tried.max(), unbalanced), rounding))
            found.append(self.measured(penalty, w, free, z, stall, held))
            if again:
                other, both, rest = relaxed(self.solver, self.single, w, free, z)
                each = self.unscaled(other)
                centred = self.design @ each - self.centre @ (self.means.T @ each)
                at_once = self.shifted(centred, both)
                refitted.append(self.measured(penalty, other, both, at_once, stall, held))
                left.append(float(rest))

        def stacked(measured: list[Measured]) -> Any:
            return jax.tree.map(lambda *leaves: np.stack(leaves), *measured)

        if not again:
            return Solved(stacked(found), None, None)
        return Solved(stacked(found), stacked(refitted), np.array(left))

    def measured(
        self, penalty: Penalty, w: np.ndarray, free: np.ndarray, z: np.ndarray, stall: Stall,
        held: Tested | None,
    ) -> Measured:  # fmt: skip
        """The solution at one λ."""
        moved, slope = balanced(self.solver, z) if self.settings.certified else (z, None)
        along = None if slope is None else -self.slopes(np.asarray(slope))
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
        found = (raw.reshape(w.shape), coefficients[1:], coefficients[0])
        w_, free_, intercept = map(jnp.asarray, found)
        return Measured(w_, free_, intercept, record)


class Tested:
    """Rows that are not fitted."""

    def __init__(self, data: Data, settings: Settings) -> None:
        x, y, self.free, self.offset, self.share = data.taken()
        self.design, self.settings = x, settings
        self.y = settings.loss.arrange(y, self.share)

    def loss(self, w: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """The loss of weights by feature, and of the intercept and coefficients behind it."""
        z = self.design @ w + np.asarray(self.free) @ coefficients[1:] + coefficients[0]
        z = z if self.offset is None else z + np.asarray(self.offset)
        return np.asarray(self.settings.loss.total(jnp.asarray(z), self.y, self.share))


class Chosen:
    """A working set: blocks, filled up to one of few sizes by blocks of zeros."""

    def __init__(self, host: Host, places: np.ndarray) -> None:
        settings = host.settings
        self.host, self.places = host, places
        self.capacity = rounded_up(len(places))
        size, outputs = settings.size, settings.outputs
        flat = (places[:, None] * size + np.arange(size)).ravel()
        self.features = flat // max(outputs, 1)
        self.outputs = flat % outputs if outputs else None
        self.columns = host.design[:, self.features]
        factors, limits = host.factors, host.solver.limits
        self.parts = (
            None if factors is None else self.padded(factors[places], 1.0),
            jax.tree.map(lambda leaf: self.padded(np.asarray(leaf)[places]), limits),
        )
        self.dense = None
        if outputs or isinstance(settings.loss, Cox):
            self.dense = host.single(flat)
        # Of squares it is the same everywhere.
        self.hessian = self.forms(host.z)[0] if settings.quadratic else None

    def padded(self, numbers: np.ndarray, value: float = 0.0) -> np.ndarray:
        """Numbers (blocks, …), filled up."""
        missing = [(0, self.capacity - len(numbers)), *[(0, 0)] * (numbers.ndim - 1)]
        return np.pad(numbers, missing, constant_values=value)

    def forms(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The second derivative at some predictions: with respect to the weights, to the weights
        and the coefficients of the basis, and to these.
        """
        host = self.host
        if self.dense is not None:
            hessian, mixed, square = map(np.asarray, dense_forms(host.solver, z, self.dense))
            return hessian, mixed, square
        curvature = np.broadcast_to(np.asarray(curvatures(host.solver, z)), len(z))
        scale, means = host.scale[self.features], host.means[self.features]
        weighted = host.basis.T * curvature
        square = weighted @ host.basis
        plain = self.columns.T @ weighted.T
        mixed = plain - means @ square
        curved = self.columns.multiply(curvature[:, None]).tocsc()
        hessian = (self.columns.T @ curved).toarray() - plain @ means.T - means @ mixed.T
        return hessian / np.outer(scale, scale), mixed / scale[:, None], square

    def combine(self, w: np.ndarray) -> np.ndarray:
        """The predictions of weights (places, size), without offset and basis."""
        host, outputs = self.host, self.host.settings.outputs
        each = w.ravel() / host.scale[self.features]
        if self.outputs is not None:
            each = each[:, None] * (self.outputs[:, None] == np.arange(outputs))
        return self.columns @ each - host.centre @ (host.means[self.features].T @ each)

    def step(
        self, penalty: Penalty, tol: float, w: np.ndarray, free: np.ndarray, z: np.ndarray,
        slopes: np.ndarray, gradient: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, jax.Array]:  # fmt: skip
        """Solves the second-order model of the loss on the working set, with what has no penalty at
        its minimum, and goes there as far as the objective falls.

        Args:
            penalty: at this λ.
            tol: of violations.
            w: weights.
            free: coefficients of the basis.
            z: predictions.
            slopes: the gradient of the loss with respect to these.
            gradient: and with respect to the weights.

        Returns:
            Weights, coefficients of the basis, predictions, and the rounding of violations.
        """
        host, before = self.host, w[self.places]
        slope, solve, mixed = gradient[self.places], None, None
        if self.hessian is not None:
            hessian = self.hessian
        else:
            hessian, mixed, square = self.forms(z)
            if free.size:
                unbalanced = (host.basis.T @ slopes).ravel()
                solve = np.linalg.pinv(square, hermitian=True)
                hessian = hessian - mixed @ solve @ mixed.T
                slope = slope - (mixed @ (solve @ unbalanced)).reshape(slope.shape)
        linear = (hessian @ before.ravel()).reshape(before.shape) - slope
        missing = (0, self.capacity * before.shape[1] - len(hessian))
        model = Quadratic(np.pad(hessian, missing), self.padded(linear))  # type: ignore[arg-type]
        singular = len(z) < host.design.shape[1]
        begun = self.padded(before)
        solved, rounding = solve_model(
            host.solver, penalty, self.parts, model, begun, tol, singular
        )
        after = np.asarray(solved)[: len(before)]
        if self.hessian is None:
            moved = np.zeros_like(free)
            if solve is not None:
                change = (after - before).ravel() @ mixed
                moved = -(solve @ (unbalanced + change)).reshape(free.shape)
            along = self.combine(after - before) + host.basis @ moved
            part = float(share_of_step(host.solver, penalty, self.parts, z, begun, solved, along))
            after = after if part == 1 else before + part * (after - before)
            free = free + part * moved
            if part == 0 and not host.settings.certified:
                after = self.forward(penalty, z, before, gradient[self.places])
        w = w.copy()
        w[self.places] = after
        return w, free, host.shifted(self.combine(after), free), rounding

    def forward(
        self, penalty: Penalty, z: np.ndarray, before: np.ndarray, gradient: np.ndarray
    ) -> np.ndarray:
        """A proximal gradient step, as `Solver.forward` takes one."""
        host, kept = self.host, len(before)
        scale = host.scale[self.features] ** 2
        sizes = self.columns.multiply(self.columns).sum(0) / scale * float(host.solver.share.max())
        steps = 4.0 ** np.arange(4, -STEPS, -1) / sizes.max()
        begun = self.padded(before)
        tried = np.asarray(
            proximal_steps(
                host.solver, penalty, self.parts, begun, self.padded(gradient), jnp.asarray(steps)
            )
        )
        along = np.stack([self.combine((after - begun)[:kept]) for after in tried])
        best = lowest(host.solver, penalty, self.parts, z, begun, tried, along)
        return tried[int(best), :kept]


def charge_of(solver: Solver, penalty: Penalty, parts: PyTree) -> Charge:
    """The penalty of a working set."""
    return solver.charge(penalty)._replace(factors=parts[0], limits=parts[1])


@jax.jit
@full_precision()
def dense_forms(
    solver: Solver, z: jax.Array, along: Directions
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The forms of `Chosen.forms`, from dense columns."""
    form = solver.settings.loss.form(z, solver.y, solver.share)
    basis = Directions.of(solver.basis, solver.settings.outputs)
    return form(along, along), form(along, basis), form(basis, basis)


@jax.jit
def curvatures(solver: Solver, z: jax.Array) -> jax.Array:
    """The second derivative of the loss (rows,)."""
    return solver.share * solver.settings.loss.curvature(z, solver.y)


@jax.jit
def gradients(solver: Solver, z: jax.Array) -> jax.Array:
    """The gradient with respect to the predictions."""
    return solver.settings.loss.gradient(z, solver.y, solver.share)


@jax.jit
@full_precision()
def balanced(solver: Solver, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The predictions with what has no penalty at its minimum, and the gradient there."""
    loss = solver.settings.loss
    moved = loss.balance(solver.basis, z, solver.y, solver.share)
    return moved, loss.gradient(moved, solver.y, solver.share)


@functools.partial(jax.jit, static_argnums=6)
@full_precision()
def solve_model(
    solver: Solver, penalty: Penalty, parts: PyTree, model: Quadratic, before: jax.Array,
    tol: jax.Array, singular: bool,
) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    """The minimum of the quadratic model on a working set, and a bound on rounding."""
    charge = charge_of(solver, penalty, parts)
    after = minimise(model, charge, before, tol / 2, MAX_STEPS, singular)
    return after, model.rounding(charge, after)


@jax.jit
def share_of_step(
    solver: Solver, penalty: Penalty, parts: PyTree, z: jax.Array, before: jax.Array,
    after: jax.Array, along: jax.Array,
) -> jax.Array:  # fmt: skip
    """The share of a step that lowers the objective enough."""
    return solver.longest(charge_of(solver, penalty, parts), z, before, after, along)


@jax.jit
def proximal_steps(
    solver: Solver, penalty: Penalty, parts: PyTree, before: jax.Array, gradient: jax.Array,
    steps: jax.Array,
) -> jax.Array:  # fmt: skip
    """The weights after proximal gradient steps of some sizes (steps, blocks, size)."""
    charge = charge_of(solver, penalty, parts)
    return jax.vmap(lambda step: charge.prox(before - step * gradient, step))(steps)


@jax.jit
def lowest(
    solver: Solver, penalty: Penalty, parts: PyTree, z: jax.Array, before: jax.Array,
    after: jax.Array, along: jax.Array,
) -> jax.Array:  # fmt: skip
    """The index of the weights with the lowest objective."""
    return solver.lowest(charge_of(solver, penalty, parts), z, before, after, along)


@jax.jit
def violations_of(solver: Solver, penalty: Penalty, w: jax.Array, gradient: jax.Array) -> jax.Array:
    """How far each block is from optimal."""
    return solver.charge(penalty).violations(w, gradient)


@jax.jit
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
