"""Neurons and heads of a small GPT: bits per byte against how many are kept, what a smaller network
gains, and how many features of a sparse autoencoder are active.

A neuron is a column of its block's `up` kernel with its bias, and a row of `down`; a head is its
slice of query, key, value and output. Each block has to keep the same share of them, with a
strength of its own, because what all blocks may share is often taken from one of them alone.

Every method chooses its learning rate by validation text, with the first seed, at the smallest
share. A steered penalty ends at `released`, as in `language`; pruning has reached its share when
steering has. A dense network "with as many" has these neurons or heads from the start.

The sparse autoencoder reads the hidden units of the last block. Its penalty is L1 on activations,
not weights; the same `jaxreg.Controller` finds the strength at which `active` features are active.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from experiments import transformer
from experiments.claims import Finding, above, between, mean_and_error, mean_text, within
from experiments.figures import COLOURS, new_figure
from experiments.lab import Claim, Results, Session, Study
from experiments.lazy import Figure, jax, jaxreg, jnp, nnx, optax, xr
from experiments.rivals import prune_gradually
from experiments.settings import at_least, positive, require, shares
from experiments.tables import Table
from experiments.timing import paired
from experiments.training import described
from experiments.transformer import HEADS, NEURONS, Method, largest_blocks
from experiments.trials import MAIN, Trials, fit_of

if TYPE_CHECKING:
    from jax.typing import ArrayLike

Kind = Literal["neurons", "heads"]
"""What is kept or removed as a whole."""


@dataclasses.dataclass(frozen=True)
class Settings(transformer.Settings):
    """Bits per byte of a small GPT against its neurons and heads, times of smaller networks, and
    sparse autoencoders.
    """

    decay: float = 0.3
    """optax's weight_decay of the kernels, for every method."""
    kinds: tuple[Kind, ...] = get_args(Kind)
    """What is removed."""
    neurons: tuple[float, ...] = (0.5, 0.25, 0.1, 0.05)
    """Shares of each block's neurons to keep."""
    kept_heads: tuple[float, ...] = (0.75, 0.5, 0.25)
    """Shares of each block's heads to keep."""
    scale: float = 0.1
    """ε of log-sum of the norms of groups."""
    weights: float = 0.02
    """Share of single block weights of the network whose sparse products are timed."""
    batches: tuple[int, ...] = (1, 32)
    """Rows of a batch in which networks are timed."""
    rounds: int = 200
    """Rounds of timing; each times every network once, in random order."""
    active: float = 32.0
    """Wanted mean number of active features of the sparse autoencoder."""
    features: tuple[int, ...] = (384, 768)
    """Numbers of features, for hidden layers of 192 units."""
    rates: tuple[float, ...] = (1e-3, 3e-3)
    """Learning rates of the sparse autoencoder, which fall to 0 in the last fifth of its steps."""
    fitting: int = 4000
    """Steps of the sparse autoencoder, of 128 positions each."""
    response: float = 100.0
    """`response` of its controller, the same for all."""
    examples: int = 1024
    """Rows of training text whose hidden units it sees."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, decay=0, batches=1, rounds=3, features=2, fitting=10, examples=1)
        positive(self, "scale", "active", "rates", "response")
        shares(self, "neurons", "kept_heads", "weights")
        once = 0 < len(self.kinds) == len(set(self.kinds))
        require(once, "kinds", "one or several", self.kinds)


QUICK = Settings(
    **transformer.QUICK,
    kinds=("neurons",),
    neurons=(0.25,),
    kept_heads=(0.5,),
    batches=(1, 2),
    rounds=3,
    active=8.0,
    features=(32,),
    rates=(3e-3,),
    fitting=40,
    response=10.0,
    examples=32,
)


class Run(NamedTuple):
    """The hyperparameters of one network: scalars in one fit, arrays with one entry for each run in
    a sweep.

    Attributes:
        learning_rate: at the peak of the schedule.
        decay: of the kernels.
        share: of each block's neurons or heads to keep.
        seed: number of the repetition.
    """

    learning_rate: ArrayLike
    decay: ArrayLike
    share: ArrayLike = 1.0
    seed: ArrayLike = 0


DENSE = "AdamW"
LOG_SUM, GROUP_L2, GROUP_L0 = (f"group {name}, steered" for name in ("log-sum", "L2", "L0"))
NORMS, METRIC = "gradual pruning by norms", "gradual pruning by norms of |w|√D"
FEW = "dense, with as many"
OURS, RIVALS = (LOG_SUM, GROUP_L2, GROUP_L0), (NORMS, METRIC, FEW)
GROUPS: Mapping[Kind, Mapping[str, Any]] = {"neurons": NEURONS, "heads": HEADS}


def shares_of(kind: str, config: Settings) -> tuple[float, ...]:
    """The shares of a kind of group that are kept, from large to small."""
    return tuple(sorted(config.neurons if kind == "neurons" else config.kept_heads, reverse=True))


def in_each_block(share: ArrayLike, config: Settings) -> dict[str, ArrayLike]:
    """The same share for every block, which has a strength of its own."""
    return {f"blocks/{number}": share for number in range(config.layers)}


def removing(name: str, optimizer: Callable[[Any, Any], Any], kind: Kind) -> Method:
    """A method that keeps the same share of the groups of every block."""

    def cut(params: Any, share: ArrayLike, config: Settings) -> Any:
        return jaxreg.keep_largest(params, in_each_block(share, config), per=GROUPS[kind])

    return Method(f"{kind}: {name}", optimizer, cut=cut, per=GROUPS[kind])


def penalty_of(name: str, strength: Any, per: Any, config: Settings) -> jaxreg.Penalty:
    """A penalty of groups."""
    if name == LOG_SUM:
        return jaxreg.Group(jaxreg.LogSum(strength, config.scale), per=per)
    if name == GROUP_L0:
        return jaxreg.Group(jaxreg.L0(strength), per=per)
    return jaxreg.GroupL2(strength, per=per)


def steered(name: str, kind: Kind) -> Method:
    """A penalty of groups whose strengths are steered to a share, until zeros are held."""
    per = GROUPS[kind]

    def optimizer(run: Run, config: Settings) -> optax.GradientTransformation:
        def with_strengths(strengths: Any) -> optax.GradientTransformation:
            penalties = jax.tree.map(lambda s: penalty_of(name, s, per, config), strengths)
            shrink = 1.0 if name == GROUP_L2 else None
            every = {**penalties, "*": None}
            return transformer.prox_adamw(run, every, config, max_shrink=shrink)

        share = in_each_block(run.share, config)
        return transformer.steered(with_strengths, share, config, per=per)

    return removing(name, optimizer, kind)


def pruned(name: str, kind: Kind) -> Method:
    """Gradual pruning of AdamW's groups."""
    per = GROUPS[kind]

    def optimizer(run: Run, config: Settings) -> optax.GradientTransformation:
        begin, reached = transformer.pruning_steps(config)
        metric = jaxreg.preconditioners.adam(transformer.B2) if name == METRIC else None
        adamw, share = transformer.adamw(run, config), in_each_block(run.share, config)
        return prune_gradually(adamw, share, reached, metric, per, begin)

    return removing(name, optimizer, kind)


def few(kind: Kind, share: float, config: Settings) -> Method:
    """A dense network with that share of the neurons or heads."""
    sizes = transformer.sizes_of(config)
    field = "hidden" if kind == "neurons" else "heads"
    few = tuple(max(1, round(share * count)) for count in getattr(sizes, field))
    sizes = sizes._replace(**{field: few})  # type: ignore[arg-type]
    return Method(f"{kind}: {FEW} {100 * share:g} %", transformer.adamw, sizes=sizes)


TEXTS = transformer.TEXTS | {
    "decay": ("optax's weight_decay of the kernels", "1"),
    "share": ("share of each block's neurons or heads that are kept", "1"),
    "network": ("what was made sparse, and how", "1"),
    "form": ("what is timed", "1"),
    "batch": ("rows of a batch", "count"),
    "parameters": ("number of parameters of the dense network and of the smaller one", "count"),
    "difference": ("largest difference of a logit, divided by the largest logit", "1"),
    "seconds": ("median time of a forward pass", "s"),
    "speedup": ("median of the dense network's time divided by this one's", "1"),
    "features": ("number of features of the sparse autoencoder", "count"),
    "rate": ("learning rate of the sparse autoencoder", "1"),
    "part": ("a hundredth of the steps", "1"),
    "active": ("mean number of active features in that part", "count"),
    "strength": ("λ at the end of that part", "1"),
    "explained": ("share of the variance of the hidden units that is reconstructed", "1"),
}


def train_networks(config: Settings, session: Session) -> xr.Dataset:
    """Trains every method to its shares.

    Returns:
        Along (setting, seed): bits per byte; NaN for seeds beyond a setting's `repeats`, and for
        networks that diverged.
    """
    text = transformer.load_text(config)
    fit = functools.partial(transformer.train_network, vocabulary=len(text.vocabulary))
    rows = transformer.rows_of(text, config)
    trials = Trials(session, fit_of(fit, config), rows, "validation_bits", largest=False)

    def train(method: Method, targets: Sequence[float]) -> None:
        runs = [Run(rate, config.decay, targets[-1]) for rate in config.learning_rates]
        best = trials.choose(method, runs)
        trials.train(method, [best._replace(share=share) for share in targets], config.seeds)

    train(Method(DENSE, transformer.adamw), (1.0,))
    for kind in config.kinds:
        targets = shares_of(kind, config)
        for name in OURS:
            train(steered(name, kind), targets)
        for name in (NORMS, METRIC):
            train(pruned(name, kind), targets)
        for share in targets:
            train(few(kind, share, config), (share,))
    labels = ("learning_rate", "decay", "share")
    return trials.dataset(TEXTS, (), labels, transformer.attributes_of(text, config))


def steered_weights(share: float) -> Method:
    """Log-sum of single block weights, steered to a share."""

    def optimizer(run: Run, config: Settings) -> optax.GradientTransformation:
        def with_strength(strength: optax.Schedule) -> optax.GradientTransformation:
            penalty = jaxreg.LogSum(strength, config.scale / 10)
            return transformer.prox_adamw(run, penalty, config, transformer.blocks)

        return transformer.steered(with_strength, run.share, config, mask=transformer.blocks)

    return Method(f"{100 * share:g} % of the weights", optimizer, cut=largest_blocks)


def measure_speed(config: Settings, _: Session) -> xr.Dataset:
    """Times networks with few neurons, heads or weights, dense and smaller, in the same rounds.

    Returns:
        Along (network, seed, batch): parameters, differences of outputs, and speedups.
    """
    text = transformer.load_text(config)
    rows, vocabulary = transformer.rows_of(text, config), len(text.vocabulary)
    networks: dict[str, tuple[Method, float]] = {
        f"{100 * share:g} % of the {kind}, compacted": (steered(GROUP_L0, kind), share)
        for kind in config.kinds
        for share in shares_of(kind, config)[-2:]
    }
    label = f"{100 * config.weights:g} % of the weights, sparse products"
    networks[label] = (steered_weights(config.weights), config.weights)
    plain = jax.jit(forward(config, vocabulary))
    found: list[list[list[float]]] = []
    parameters: list[tuple[int, int]] = []
    for method, share in networks.values():

        def fit(
            seed: ArrayLike, rows: transformer.Rows, method: Method = method, share: float = share
        ) -> Any:
            tx = method.optimizer(Run(config.learning_rates[-1], config.decay, share), config)
            return transformer.train(tx, seed, rows, config, vocabulary)[1]

        trained = jax.jit(fit)
        for seed in range(config.seeds):
            params, smaller, left = shrink(trained(seed, rows), method, share, config, vocabulary)
            parameters.append((jaxreg.sparsity(params).size, left))
            raced = []
            for batch in config.batches:
                tokens = jnp.asarray(rows.test[np.arange(batch) % len(rows.test), :-1], int)
                programs = functools.partial(plain, params, tokens), smaller(tokens)
                raced.append(race(programs, config.rounds))
            found.append(raced)
    shape = (len(networks), config.seeds)
    times = np.array(found).reshape(*shape, len(config.batches), 3)
    axes = ("network", "seed", "batch")
    variables: dict[str, Any] = {
        name: (axes, times[..., at]) for at, name in enumerate(("seconds", "speedup", "difference"))
    }
    variables["parameters"] = ((*axes[:2], "form"), np.reshape(parameters, (*shape, 2)))
    coordinates = {
        "network": list(networks), "seed": np.arange(config.seeds),
        "batch": list(config.batches), "form": ["dense", "smaller"],
    }  # fmt: skip
    attributes = {"device": jax.devices()[0].device_kind}
    return described(xr.Dataset(variables, coordinates, attributes), TEXTS)


def forward(config: Settings, vocabulary: int, **sizes: tuple[int, ...]) -> Any:
    """The forward pass of a network, of the sizes of the settings except these."""
    sized = transformer.sizes_of(config)._replace(**sizes)  # type: ignore[arg-type]
    structure = transformer.structure_of(config, vocabulary, sized)
    return lambda params, tokens: nnx.merge(structure, params)(tokens)


def shrink(
    params: Any, method: Method, share: float, config: Settings, vocabulary: int
) -> tuple[Any, Callable[[jax.Array], Callable[[], jax.Array]], int]:
    """Makes a network smaller: by `compact` if groups were removed, by `sparsify` if weights were.

    Returns:
        The dense network with exactly this share, a function from tokens to the smaller one's
        forward pass for them, and the number of its parameters.
    """
    assert method.cut is not None
    params = method.cut(params, share, config)
    if method.per is None:
        apply = forward(config, vocabulary)

        def sparse(tokens: jax.Array) -> Callable[[], jax.Array]:
            return functools.partial(jaxreg.sparsify(apply, params, tokens), tokens)

        return params, sparse, int(jaxreg.sparsity(params).nonzeros)
    small = jaxreg.compact(params, jax.nn.gelu, per=method.per)
    widths = {"hidden" if method.per is NEURONS else "heads": small.widths}
    program = jax.jit(forward(config, vocabulary, **widths))

    def compacted(tokens: jax.Array) -> Callable[[], jax.Array]:
        return functools.partial(program, small.params, tokens)

    return params, compacted, jaxreg.sparsity(small.params).size


def race(programs: Sequence[Callable[[], Any]], rounds: int) -> list[float]:
    """Times two forward passes in the same rounds.

    Returns:
        The median time of the second, how many times faster it is, and the largest difference of
        outputs, divided by the largest output.
    """
    seconds = paired(programs, rounds)
    logits, same = (program() for program in programs)
    difference = jnp.max(jnp.abs(same - logits)) / jnp.max(jnp.abs(logits))
    ratio = np.median(seconds[:, 0] / seconds[:, 1])
    return [float(np.median(seconds[:, 1])), float(ratio), float(difference)]


def fit_autoencoder(
    key: jax.Array, run: Any, units: jax.Array, *, features: int, config: Settings
) -> dict[str, jax.Array]:
    """Trains a sparse autoencoder on hidden units (examples, units), with L1 on its activations
    times the norms of the decoder's rows, so that activations cannot shrink behind larger rows.

    Returns:
        The share of the variance that it explains at the end, and along `part` the mean number of
        active features and λ.
    """
    decoder_key, order_key = jax.random.split(key)
    units = (units - jnp.mean(units, 0)) / jnp.std(units)
    decoder = jax.random.normal(decoder_key, (features, units.shape[1])) / units.shape[1] ** 0.5
    params = {
        "encoder": decoder.T,
        "threshold": jnp.zeros(features),
        "decoder": decoder,
        "bias": jnp.zeros(units.shape[1]),
    }
    controller = jaxreg.Controller(config.active, config.response)
    fall = optax.linear_schedule(1.0, 0.0, config.fitting // 5, config.fitting * 4 // 5)
    optimizer = optax.adam(lambda count: run["rate"] * fall(count))

    def loss(params: Any, batch: jax.Array, strength: jax.Array) -> tuple[jax.Array, Any]:
        active = jax.nn.relu(batch @ params["encoder"] + params["threshold"])
        missed = active @ params["decoder"] + params["bias"] - batch
        error = jnp.mean(jnp.sum(jnp.square(missed), 1))
        penalty = jnp.mean(active @ jnp.linalg.norm(params["decoder"], axis=1))
        counted = jnp.mean(jnp.sum(active > 0, 1))
        return error + strength * penalty, (counted, error)

    def step(carry: Any, key: jax.Array) -> tuple[Any, tuple[jax.Array, ...]]:
        params, state, control = carry
        batch = units[jax.random.randint(key, (128,), 0, len(units))]
        gradient, (counted, error) = jax.grad(loss, has_aux=True)(params, batch, control.strength)
        updates, state = optimizer.update(gradient, state)
        carry = optax.apply_updates(params, updates), state, controller.update(control, counted)
        return carry, (counted, control.strength, error)

    start: Any = params, optimizer.init(params), controller.init(0.01)
    _, history = jax.lax.scan(step, start, jax.random.split(order_key, config.fitting))
    parts = min(100, config.fitting)
    counted, strength, error = (x[-(len(x) // parts * parts) :].reshape(parts, -1) for x in history)
    variance = jnp.sum(jnp.var(units, 0))
    return {
        "active": jnp.mean(counted, 1),
        "strength": strength[:, -1],
        "explained": 1 - jnp.mean(error[-1]) / variance,
    }


def train_autoencoders(config: Settings, session: Session) -> xr.Dataset:
    """Trains a transformer, and sparse autoencoders on the hidden units of its last block.

    Returns:
        Along (features, rate, seed, part): active features and λ; along the first three: the share
        of the variance that is explained.
    """
    text = transformer.load_text(config)
    rows, vocabulary = transformer.rows_of(text, config), len(text.vocabulary)
    starts = np.linspace(0, rows.train.size - config.context, config.examples).astype(int)
    tokens = rows.train[starts[:, None] + np.arange(config.context)]

    @jax.jit
    def hidden_units(rows: transformer.Rows) -> jax.Array:
        tx = transformer.adamw(Run(config.learning_rates[-1], config.decay), config)
        structure, params, _ = transformer.train(tx, 0, rows, config, vocabulary)
        model = nnx.merge(structure, params)
        units = jax.lax.map(lambda row: model.units(row[None].astype(int))[0], tokens)
        return units.reshape(-1, units.shape[-1])

    units, found = hidden_units(rows), []
    grid = jaxreg.grid(rate=list(config.rates), seed=range(config.seeds))
    for features in config.features:
        fit = functools.partial(fit_autoencoder, features=features, config=config)
        runs = session.sweep(fit, grid, units, part=f"features-{features}", chunk=1)
        named = {"active_0": "part", "strength_0": "part"}
        found.append(runs.dataset().rename(named).assign_coords(features=features))
    attributes = {"wanted": config.active, "steps": config.fitting}
    return described(xr.concat(found, "features").assign_attrs(attributes), TEXTS)


class Point(NamedTuple):
    """One method at one share.

    Attributes:
        validation: bits per byte of validation text (seeds,).
        test: bits per byte of test text (seeds,).
    """

    validation: np.ndarray
    test: np.ndarray


def points_of(results: Results) -> dict[tuple[str, str, float], Point]:
    """The compared settings by kind, method and share; the dense network has no kind."""
    dataset, points = results["units"], {}
    for setting in range(dataset.sizes["setting"]):
        row = dataset.isel(setting=setting)
        if row["role"] != MAIN:
            continue
        row = row.isel(seed=slice(int(row["repeats"])))
        kind, _, name = str(row["method"].values).rpartition(": ")
        name = FEW if name.startswith(FEW) else name
        bits = (row[f"{part}_bits"].values.astype(float) for part in ("validation", "test"))
        points[kind, name, round(float(row["share"]), 6)] = Point(*bits)
    return points


def kept_shares(points: Mapping[tuple[str, str, float], Point], kind: str) -> list[float]:
    """The shares of a kind of group, from large to small."""
    return sorted({share for group, _, share in points if group == kind}, reverse=True)


def kinds_of(points: Mapping[tuple[str, str, float], Point]) -> list[str]:
    """The kinds of groups that were removed."""
    return [kind for kind in GROUPS if kept_shares(points, kind)]


def against_rivals(results: Results) -> list[Finding]:
    """The best penalty of groups against each rival, at each share."""
    points, findings = points_of(results), []
    for kind in kinds_of(points):
        for share in kept_shares(points, kind):
            means = [points[kind, name, share].validation.mean() for name in OURS]
            ours = OURS[int(np.argmin(np.nan_to_num(means, nan=np.inf)))]
            point = points[kind, ours, share]
            for rival in RIVALS:
                theirs = points[kind, rival, share].test
                tested = (
                    f"Bits per byte of test text of {rival}, {theirs.mean():.3f}, minus those of "
                    f"{ours}, {point.test.mean():.3f}; the penalty chosen by validation text"
                )
                statement = f"With {100 * share:g} % of the {kind}, a penalty beats {rival}."
                gain = theirs - point.test
                findings.append(above(statement, tested, gain, 0.0, "bits", 3, sign=True))
    return findings


ROUNDING = 1e-4
"""Largest difference of outputs, divided by the largest output, that counts as rounding."""


def smaller_networks(results: Results) -> list[Finding]:
    """Whether smaller networks compute the same, and faster."""
    speed, findings = results["speed"], []
    for name, network in speed.groupby("network"):
        network = network.squeeze("network")
        findings.append(
            within(
                f"With {name}, outputs are the same.",
                "The largest difference of a logit, divided by the largest logit, of all seeds and "
                "batches",
                float(network["difference"].max(skipna=False)),
                ROUNDING,
                "difference",
            )
        )
        findings += [
            above(
                f"With {name}, a batch of {batch} is faster.",
                "The dense network's time divided by that of the smaller one, in the same rounds, "
                "median of the rounds; above 1",
                network["speedup"].sel(batch=batch).values,
                1.0,
                "times",
                2,
            )
            for batch in speed["batch"].values
        ]
    return findings


CLOSE = 0.05
"""How far the number of active features may be from the wanted one, relatively."""


def reached_features(results: Results) -> list[Finding]:
    """Whether the wanted number of features is active in the last tenth of the steps."""
    dataset = results["features"]
    wanted, last = dataset.attrs["wanted"], max(1, dataset.sizes["part"] // 10)
    reached = dataset["active"].isel(part=slice(-last, None)).mean("part", skipna=False) / wanted
    return [
        between(
            f"{wanted:g} of {features} features are active, with a learning rate of {rate:g}.",
            f"The number of active features in the last tenth of the steps, divided by {wanted:g}; "
            f"between {1 - CLOSE} and {1 + CLOSE}",
            reached.sel(features=features, rate=rate).values,
            1 - CLOSE,
            1 + CLOSE,
            3,
        )
        for features in dataset["features"].values
        for rate in dataset["rate"].values
    ]


def tabulate(results: Results) -> list[Table | str]:
    """Bits per byte by method and share, times, and active features."""
    points = points_of(results)
    dense = mean_text(points["", DENSE, 1.0].test)
    return [
        transformer.sentence_of(results["units"].attrs),
        f"The dense network needs {dense} bits per byte.",
        *(bits_of(points, kind) for kind in kinds_of(points)),
        times_of(results["speed"]),
        activity_of(results["features"]),
    ]


def bits_of(points: Mapping[tuple[str, str, float], Point], kind: str) -> Table:
    """Bits per byte of every method at every share of a kind of group."""
    targets = kept_shares(points, kind)
    rows = [
        (name, *(mean_text(points[kind, name, share].test) for share in targets))
        for name in (*OURS, *RIVALS)
    ]
    return Table(
        (f"{kind} kept", *(f"{100 * share:g} %" for share in targets)),
        rows,
        f"Bits per byte of test text with few {kind}, mean ± standard error.",
    )


def times_of(speed: xr.Dataset) -> Table:
    """Parameters and times of the smaller networks."""
    batches, rows = speed["batch"].values, []
    for name in speed["network"].values:
        network = speed.sel(network=name)
        left, of = (
            network["parameters"].sel(form=form).mean().item() for form in ("smaller", "dense")
        )
        times = [1e6 * network["seconds"].sel(batch=batch).mean().item() for batch in batches]
        faster = [mean_text(network["speedup"].sel(batch=batch).values, 2) for batch in batches]
        rows.append(
            (str(name), f"{left:,.0f} of {of:,.0f}", *map("{:,.0f}".format, times), *faster)
        )
    return Table(
        (
            "network",
            "parameters",
            *(f"µs, batch {batch}" for batch in batches),
            *(f"times faster, batch {batch}" for batch in batches),
        ),
        rows,
        f"Forward passes on {speed.attrs['device']}: the smaller network beside the dense one that "
        "it was made of, in the same rounds; mean ± standard error over the seeds. Sparse products "
        "count parameters that are not 0.",
    )


def activity_of(features: xr.Dataset) -> Table:
    """Active features of each sparse autoencoder."""
    last, rows = max(1, features.sizes["part"] // 10), []
    for width in features["features"].values:
        for rate in features["rate"].values:
            row = features.sel(features=width, rate=rate)
            active = row["active"].isel(part=slice(-last, None)).mean("part").values
            strength = row["strength"].isel(part=-1).mean().item()
            explained = mean_text(row["explained"].values)
            texts = (f"{width}", f"{rate:g}", mean_text(active, 2), f"{strength:.3g}", explained)
            rows.append(texts)
    return Table(
        ("features", "learning rate", "active", "λ", "variance explained"),
        rows,
        f"Sparse autoencoders of which {features.attrs['wanted']:g} features are to be active, in "
        "the last tenth of the steps; mean ± standard error over the seeds.",
    )


STYLES = {
    LOG_SUM: (COLOURS["log-sum"], "s", "-"),
    GROUP_L2: (COLOURS["L1"], "o", "-"),
    GROUP_L0: (COLOURS["L0"], "^", "-"),
    NORMS: ("#888888", "v", "--"),
    METRIC: ("#444444", "D", "--"),
    FEW: (COLOURS["elastic net"], "*", "-."),
}


def draw_groups(results: Results) -> Figure:
    """Bits per byte against the neurons and heads that are kept."""
    points = points_of(results)
    figure = new_figure(9.6, 4.8)
    panels = figure.subplots(1, len(kinds_of(points)), sharey=True, squeeze=False)[0]
    for axes, kind in zip(panels, kinds_of(points), strict=True):
        targets = kept_shares(points, kind)
        for name, (colour, marker, line) in STYLES.items():
            shown = [s for s in targets if np.isfinite(points[kind, name, s].test).all()]
            means = [mean_and_error(points[kind, name, share].test) for share in shown]
            if means:
                mean, error = np.array(means).T
                axes.errorbar(
                    [100 * share for share in shown], mean, error, label=name, color=colour,
                    marker=marker, ls=line, ms=5, lw=1.3, capsize=2,
                )  # fmt: skip
        mean, error = mean_and_error(points["", DENSE, 1.0].test)
        if math.isfinite(mean):
            low, high = mean - error, mean + error
            axes.axhspan(low, high, color=COLOURS["none"], alpha=0.3, lw=0, label="all, dense")
        ticks = [100 * share for share in targets]
        axes.set(xscale="log", xlabel=f"{kind} kept, % (fewer to the right)", title=kind)
        axes.set_xlim(1.25 * max(ticks), 0.8 * min(ticks))
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("bits per byte of test text")
    figure.legend(
        *panels[0].get_legend_handles_labels(), frameon=False, fontsize=8, ncols=3,
        loc="outside lower center",
    )  # fmt: skip
    return figure


def draw_speed(results: Results) -> Figure:
    """How many times faster smaller networks are."""
    speed = results["speed"]
    names, batches = [str(name) for name in speed["network"].values], speed["batch"].values
    figure = new_figure(8.4, 0.55 * len(names) + 1.6)
    axes = figure.subplots()
    height = 0.8 / len(batches)
    for at, batch in enumerate(batches):
        values = speed["speedup"].sel(batch=batch).values
        mean, error = np.array([mean_and_error(row) for row in values]).T
        places = np.arange(len(names)) + (at - (len(batches) - 1) / 2) * height
        axes.barh(
            places, mean, 0.9 * height, xerr=error, label=f"batch of {batch}",
            color=(COLOURS["log-sum"], COLOURS["L1"])[at % 2],
        )  # fmt: skip
    axes.axvline(1, color=COLOURS["none"], lw=1, ls=":")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("time of the dense network ÷ time of the smaller one")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def draw_features(results: Results) -> Figure:
    """Active features and λ while the sparse autoencoder is trained."""
    dataset = results["features"]
    steps = dataset.attrs["steps"] * (1 + np.arange(dataset.sizes["part"])) / dataset.sizes["part"]
    figure = new_figure(9.6, 3.9)
    left, right = figure.subplots(1, 2)
    colours = [COLOURS[name] for name in ("L1", "elastic net", "log-sum", "group L2")]
    for at, (features, rate) in enumerate(
        (features, rate)
        for features in dataset["features"].values
        for rate in dataset["rate"].values
    ):
        row = dataset.sel(features=features, rate=rate)
        label = f"{features} features, learning rate {rate:g}"
        for axes, name in ((left, "active"), (right, "strength")):
            mean = row[name].mean("seed").values
            axes.plot(steps, mean, color=colours[at % len(colours)], label=label, lw=1.3)
    left.axhline(dataset.attrs["wanted"], color=COLOURS["none"], ls=":", lw=1)
    left.set(yscale="log", ylabel="active features")
    left.minorticks_off()
    ticks = [dataset.attrs["wanted"] * 2**power for power in range(5)]
    left.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    right.set(yscale="log", ylabel="λ")
    for axes in (left, right):
        axes.set_xlabel("step")
        axes.grid(alpha=0.25)
    left.legend(frameon=False, fontsize=8)
    return figure


CLAIMS = (
    Claim(
        "groups",
        "Neurons and heads",
        "Groups select heads and neurons.",
        against_rivals,
        draw_groups,
        "Bits per byte of test text (fewer are better) against the share of each block's neurons "
        "and heads that are kept, mean ± standard error over the seeds; the band is the dense "
        "network. Stars are dense networks that have no more neurons or heads from the start.",
    ),
    Claim(
        "smaller",
        "Smaller networks",
        "A network without its dead neurons, heads or weights computes the same, faster.",
        smaller_networks,
        draw_speed,
        "How many times faster a forward pass of the smaller network is than that of the dense "
        "network with the same zeros, mean ± standard error over the seeds.",
    ),
    Claim(
        "features",
        "Features of sparse autoencoders",
        "A controller finds the strength at which a wanted number of features is active.",
        reached_features,
        draw_features,
        "Left: the number of active features, and the wanted one (dotted). Right: λ of L1 on the "
        "activations, which the same controller finds for each number of features and each "
        "learning rate; means over the seeds.",
    ),
)

STUDY = Study(
    name="units",
    summary="Neurons, heads and features of a small GPT",
    description="Compares penalties of groups with pruning and with dense networks that have as "
    "many neurons or heads, times the smaller networks, and steers the number of active features "
    "of sparse autoencoders, on the text of the King James Bible or on any file.",
    settings=Settings(),
    quick=QUICK,
    sweeps={"units": train_networks, "speed": measure_speed, "features": train_autoencoders},
    claims=CLAIMS,
    tabulate=tabulate,
    variant=lambda config: Path(config.text).stem * (config.text != transformer.BIBLE),
    check=transformer.load_text,
)
