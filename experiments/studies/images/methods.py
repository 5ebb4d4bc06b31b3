"""The methods that the study compares: what trains a network in the first phase, before it is
refitted with its zeros held.

The penalties are those of jaxreg; what others use instead is in `rivals`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax
from jax.typing import ArrayLike

import jaxreg
from experiments.studies.images import rivals
from experiments.studies.images.settings import Rival, Settings
from experiments.studies.images.tradeoff import (
    ADAMW,
    BRIDGE,
    CONCAVE,
    CUT,
    ELASTIC,
    GRADUAL,
    GRADUAL_ADAM,
    GROUP,
    GROUP_L0,
    GROUP_LOG_SUM,
    L0,
    L0_BY_WIDTH,
    L1,
    LOG_SUM,
    MCP,
    SPRED,
    STEERED,
    UNIT_PRUNING,
    UNIT_PRUNING_ADAM,
)

OUTGOING = 1
"""The axis of a kernel (in, out) along which all weights run that leave an input or a unit."""
REACHED = 0.75
"""The part of the first phase after which pruning has reached its share, as `jaxreg.steer_strength`
has.
"""
SPRED_ZERO = 1e-4
"""Products of factors below this count as 0; the factors approach 0 but do not reach it."""


class Run(NamedTuple):
    """The hyperparameters of one network: scalars in one fit, arrays with one entry for each run in
    a sweep.

    Attributes:
        seed: number of the repetition.
        learning_rate: of the first phase, and at the first step of the second.
        decay: optax's weight_decay.
        strength: λ, or the λ that a growing strength ends with.
        growth: power of time along which λ grows to `strength`; 0 for a constant λ.
        share: of the weights to keep; 1 where the method has no such target.
    """

    seed: ArrayLike
    learning_rate: ArrayLike
    decay: ArrayLike
    strength: ArrayLike
    growth: ArrayLike
    share: ArrayLike


Make = Callable[[Run, int, Settings], optax.GradientTransformation]
"""From the hyperparameters, the number of steps of the first phase and the settings to the
optimizer of that phase.
"""


class Method(NamedTuple):
    """A method.

    Attributes:
        name: of the method.
        optimizer: of the first phase.
        target: whether the share of weights to keep is an input of the method.
        axis: the axis of a group, if the share counts groups; None if it counts weights.
        zero: weights up to this size become 0 after the first phase.
    """

    name: str
    optimizer: Make
    target: bool
    axis: int | None = None
    zero: float = 0.0


def penalty_of(name: str, strength: ArrayLike | optax.Schedule, config: Settings) -> jaxreg.Penalty:
    """The penalty with a strength, a number or a schedule."""
    made: Mapping[str, Callable[[], jaxreg.Penalty]] = {
        L1: lambda: jaxreg.L1(strength),
        ELASTIC: lambda: jaxreg.ElasticNet(strength, times(config.l2_ratio, strength)),
        GROUP: lambda: jaxreg.GroupL2(strength, axis=OUTGOING),
        LOG_SUM: lambda: jaxreg.LogSum(strength, config.scale),
        BRIDGE: lambda: jaxreg.Bridge(strength, 0.5),
        MCP: lambda: jaxreg.MCP(strength, config.gamma),
        L0: lambda: jaxreg.L0(strength),
        GROUP_LOG_SUM: lambda: jaxreg.Group(
            jaxreg.LogSum(strength, config.group_scale), axis=OUTGOING
        ),
        GROUP_L0: lambda: jaxreg.Group(jaxreg.L0(strength), axis=OUTGOING),
    }
    return made[name]()


def times(factor: float, strength: ArrayLike | optax.Schedule) -> ArrayLike | optax.Schedule:
    """A multiple of a strength, a number or a schedule."""
    return (lambda count: factor * strength(count)) if callable(strength) else factor * strength


def adamw(run: Run) -> optax.GradientTransformation:
    """AdamW with weight decay on the kernels."""
    return optax.adamw(run.learning_rate, weight_decay=run.decay, mask=jaxreg.kernels)


def gradual(
    importance: Callable[[jax.Array, jax.Array], jax.Array], axis: int | None = None
) -> Make:
    """Gradual pruning of AdamW's network."""
    return lambda run, steps, _: rivals.prune_gradually(
        adamw(run), run.share, round(REACHED * steps), importance, axis
    )


def proximal(
    run: Run, penalty: str, strength: ArrayLike | optax.Schedule, config: Settings
) -> optax.GradientTransformation:
    """AdamW with the proximal step of a penalty; under a concave penalty, weights of any size may
    jump to 0.
    """
    concave = penalty in (*CONCAVE, L0_BY_WIDTH, GROUP_LOG_SUM, GROUP_L0)
    return jaxreg.prox_adamw(
        run.learning_rate,
        by_width(strength) if penalty == L0_BY_WIDTH else penalty_of(penalty, strength, config),
        weight_decay=run.decay,
        weight_decay_mask=jaxreg.kernels,
        mask=jaxreg.kernels,
        max_shrink=None if concave else 1.0,
    )


def by_width(strength: ArrayLike | optax.Schedule) -> Callable[[Any], Any]:
    """L0 whose λ is divided by the number of inputs of a layer, as is the variance of initial
    weights.
    """

    def penalties(params: Any) -> Any:
        return jax.tree.map(
            lambda leaf: jaxreg.L0(times(1 / max(1, leaf.size // leaf.shape[-1]), strength)), params
        )

    return penalties


def steered(penalty: str, axis: int | None = None) -> Make:
    """A penalty whose strength is steered so that the wanted share of weights, or groups, is kept
    after all steps.
    """

    def make(run: Run, steps: int, config: Settings) -> optax.GradientTransformation:
        def with_strength(strength: jax.Array) -> optax.GradientTransformation:
            return proximal(run, penalty, strength, config)

        return jaxreg.steer_strength(
            with_strength, run.share, steps, axis=axis, mask=jaxreg.kernels
        )

    return make


def scheduled(penalty: str) -> Make:
    """A penalty whose strength is constant or grows along a power of time."""

    def make(run: Run, steps: int, config: Settings) -> optax.GradientTransformation:
        def strength(count: ArrayLike) -> ArrayLike:
            return run.strength * ((count + 1) / steps) ** run.growth

        return proximal(run, penalty, strength, config)

    return make


def spred(run: Run, steps: int, config: Settings) -> optax.GradientTransformation:
    """L1 by factorised weights."""
    del steps, config
    return rivals.factorise(optax.adam(run.learning_rate), run.strength)


DENSE = Method(ADAMW, lambda run, *_: adamw(run), target=False)
RIVALS: Mapping[Rival, Method] = {
    "cut": Method(CUT, lambda run, *_: adamw(run), target=True),
    "magnitude": Method(GRADUAL, gradual(rivals.magnitude), target=True),
    "adam-magnitude": Method(GRADUAL_ADAM, gradual(rivals.adam_magnitude), target=True),
    "spred": Method(SPRED, spred, target=False, zero=SPRED_ZERO),
}


def steered_method(penalty: str) -> Method:
    """A penalty with a steered strength."""
    return Method(penalty + STEERED, steered(penalty), target=True)


UNIT_METHODS = (
    *(
        Method(name + STEERED, steered(name, OUTGOING), True, OUTGOING)
        for name in (GROUP, GROUP_LOG_SUM, GROUP_L0)
    ),
    Method(UNIT_PRUNING, gradual(rivals.mean_magnitude, OUTGOING), True, OUTGOING),
    Method(UNIT_PRUNING_ADAM, gradual(rivals.mean_adam_magnitude, OUTGOING), True, OUTGOING),
)
"""Methods that remove inputs and units."""


def scheduled_method(penalty: str) -> Method:
    """A penalty with a constant or a growing strength, which one compiled program serves."""
    return Method(penalty, scheduled(penalty), target=False)
