"""What studies compute, on problems with known answers."""

import dataclasses
import functools
import gzip
import importlib.util
import itertools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr
from sklearn.datasets import load_diabetes
from sklearn.linear_model import lars_path

import jaxreg
from experiments import datasets, networks, rivals, timing, training, transformer
from experiments.benchmarks import linear, sparse
from experiments.lab import Session
from experiments.selection import best_level
from experiments.settings import SettingError
from experiments.studies import (
    baselines,
    images,
    language,
    published,
    relevance,
    stability,
    strength,
)


def descend(tx, start, gradient, steps):
    """The parameters after some steps, in one scan."""

    def step(carry, number):
        params, state = carry
        updates, state = tx.update(gradient(params, number), state, params)
        return (optax.apply_updates(params, updates), state), None

    steps = jnp.arange(steps)
    return jax.jit(lambda p: jax.lax.scan(step, (p, tx.init(p)), steps)[0])(start)


def test_mean_jaccard_over_pairs():
    supports = np.random.default_rng(0).random((7, 9)) < 0.4
    supports[0] = supports[1] = False
    sets = [set(np.flatnonzero(row)) for row in supports]
    pairs = [len(a & b) / len(a | b) if a | b else 1 for a, b in itertools.combinations(sets, 2)]
    assert stability.mean_jaccard(supports) == pytest.approx(np.mean(pairs), rel=1e-6)


def test_the_corrected_index_is_nogueiras():
    supports = np.random.default_rng(0).random((30, 40)) < np.r_[np.full(10, 0.9), np.full(30, 0.1)]
    p, m, k = supports.mean(0), 30, supports.sum(1).mean()
    expected = 1 - (m / (m - 1) * p * (1 - p)).mean() / (k / 40 * (1 - k / 40))
    assert stability.nogueira(supports) == pytest.approx(expected, rel=1e-5)
    assert stability.nogueira(supports[:1].repeat(5, 0)) == pytest.approx(1)
    assert stability.nogueira(np.zeros((5, 4), bool)) == 1
    random = np.random.default_rng(1).random((400, 50)) < 0.7
    assert stability.nogueira(random) == pytest.approx(0, abs=0.01)


def test_coupled_steps_oscillate_and_proximal_steps_come_to_rest():
    config = stability.Oscillation(steps=500, watched=50)
    none, coupled, proximal = (
        stability.measure_oscillation(
            lambda p: 0.5 * jnp.sum(jnp.square(p["kernel"] - jnp.array([[0.02, 1.0]]))),
            {"kernel": jnp.full((1, 2), 0.7)},
            stability.optimizer("SGD", method, 0.1, 0.1),
            config,
        )
        for method in ("none", "coupled", "proximal")
    )
    # One of two weights is 0 in the solution; it crosses 0 in almost every step of 0.1 · 0.1.
    assert 25 < float(coupled["sign_changes"]) <= 50
    for still in (none, proximal):
        assert float(still["sign_changes"]) == float(still["support_changes"]) == 0
    assert float(proximal["largest_step"]) < 1e-6 < float(coupled["largest_step"])


def test_weights_of_constant_pixels_are_not_counted():
    rows = datasets.Rows(jnp.array([[0.0, 1, 5], [0, 2, 5]]), jnp.array([0, 1]))
    kernels = [jnp.array([[0.0, 0], [0, 1], [2, 0]]), jnp.array([[0.0], [1]])]
    counts = strength.count_varying(kernels, rows)
    assert (float(counts["varying_weights"]), float(counts["varying_zeros"])) == (2 + 2, 1 + 1)


def test_proportion_of_known_weights():
    start = np.array([1.0, -2, 4, 8])
    stack = np.stack([start, 0.5 * start, np.array([0.5, 1, 2, 4]), np.zeros(4)])
    measured = strength.proportion(stack[:, None, None])
    np.testing.assert_allclose(measured["factor"][:, 0, 0], [1, 0.5, (0.5 - 2 + 8 + 32) / 85, 0])
    np.testing.assert_allclose(measured["near_factor"][1:, 0, 0], [1, 0, 1])
    np.testing.assert_allclose(measured["smaller"][:, 0, 0], [0, 1, 1, 1])
    np.testing.assert_allclose(measured["explained"][[0, 1, 3], 0, 0], [1, 1, 1])
    assert measured["explained"][2, 0, 0] < 0.95


def test_drawn_data_have_the_stated_signal_and_noise():
    config = relevance.Linear(features=50, rows=20_000)
    run = {"share": jnp.array(0.8), "design": jnp.array(0)}
    drawn = relevance.draw_data(jax.random.key(0), run, jnp.eye(50)[None], config)
    assert int((drawn["true"] != 0).sum()) == 10
    signal = drawn["inputs"][0] @ drawn["true"]
    assert float(signal.var()) == pytest.approx(1, rel=0.05)
    assert float((drawn["targets"][0] - signal).var()) == pytest.approx(1 / 3, rel=0.05)


def test_irrelevant_columns_are_shuffled_pixels():
    rows = datasets.digits()
    noisy, other = (datasets.with_noise(rows, 70, seed) for seed in (0, 1))
    np.testing.assert_array_equal(noisy[:, :64], rows.inputs)
    varying = np.flatnonzero(np.ptp(rows.inputs, 0))
    for column in (0, 20, 66):
        source = rows.inputs[:, varying[column % len(varying)]]
        np.testing.assert_array_equal(np.sort(noisy[:, 64 + column]), np.sort(source))
        assert (noisy[:, 64 + column] != source).any()
    assert (noisy != other).any()
    assert abs(np.corrcoef(noisy[:, 64 + 20], noisy[:, 64 + 21])[0, 1]) < 0.1


def test_exactly_the_share_of_labels_is_wrong():
    rows = datasets.Rows(jnp.zeros((200, 1)), jnp.arange(200) % 10)
    for share in (0.0, 0.2):
        labels = training.mislabelled(jax.random.key(0), rows, share).labels
        assert int((labels != rows.labels).sum()) == 200 * share
        assert int(labels.min()) >= 0 and int(labels.max()) <= 9


def test_levels_share_the_unpenalised_run():
    methods = {"L1": ("proximal_l1", (0.1, 0.2)), "L2": ("coupled_l2", (1.0, 2.0))}
    settings, places, levels = training.settings_of(methods)
    np.testing.assert_allclose(settings.proximal_l1, [0, 0.1, 0.2, 0, 0])
    np.testing.assert_allclose(settings.coupled_l2, [0, 0, 0, 1, 2])
    outputs = {"metric": np.arange(5.0)[:, None]}
    dataset = training.along_levels(outputs, places, levels, ("seed",), {})
    np.testing.assert_array_equal(dataset["metric"].sel({"method": "L2"}).values.ravel(), [0, 3, 4])
    np.testing.assert_array_equal(dataset["strength"].sel({"method": "L2"}), [0, 1, 2])


def test_the_best_level_is_the_largest_of_equals_and_never_a_diverged_run():
    metric = xr.DataArray([[9.0, 9], [1, 2], [3, np.nan], [3, 1]], dims=("level", "seed"))
    dataset = metric.to_dataset(name="metric")
    np.testing.assert_array_equal(best_level(dataset, "metric"), [3, 1])
    np.testing.assert_array_equal(best_level(dataset, "metric", largest=False), [1, 3])


METHODS = {
    "proximal_l1": lambda rate: jaxreg.prox_adam(rate, jaxreg.L1(1e-2), mask=jaxreg.kernels),
    "coupled_l1": lambda rate: optax.chain(
        jaxreg.add_l1(1e-2, mask=jaxreg.kernels), optax.adam(rate)
    ),
    "coupled_l2": lambda rate: optax.chain(
        optax.masked(optax.add_decayed_weights(2e-2), jaxreg.kernels), optax.adam(rate)
    ),
    "decoupled_l2": lambda rate: optax.adamw(rate, weight_decay=2e-2, mask=jaxreg.kernels),
    "": optax.adam,
}


@pytest.mark.parametrize("field", METHODS)
def test_each_method_is_the_optimizer_a_user_would_type(field):
    _, params = networks.initial((6, 4, 3), jax.random.key(0))
    schedule = optax.cosine_decay_schedule(1e-2, 30)
    chosen = training.Strengths(**{field: 1e-2} if field else {})
    ends = [
        training.weights_of(descend(tx, params, lambda p, _: jax.tree.map(jnp.sin, p), 10)[0])
        for tx in (training.optimizer(chosen, schedule), METHODS[field](schedule))
    ]
    np.testing.assert_allclose(*ends, rtol=1e-4, atol=1e-6)


def tilted(**lines):
    """Losses whose log best λ is a line over the log learning rate; at the last rate λ makes no
    difference.
    """
    rates, strengths = np.logspace(-3, -1, 5), np.logspace(-6, 3, 46)
    logs = np.log10(rates)
    losses = []
    for slope, offset in lines.values():
        distance = np.log10(strengths)[:, None] - (slope * logs + offset)
        losses.append(np.where(logs == logs[-1], 1, 1 + 0.1 * distance**2))
    loss = (("method", "level", "rate", "seed"), np.repeat(np.array(losses)[..., None], 3, -1))
    grid = (("method", "level"), np.repeat(strengths[None], len(lines), 0))
    coordinates = {"method": list(lines), "strength": grid, "rate": rates}
    return xr.Dataset({"test_loss": loss}, coordinates)


def test_known_slopes_are_found_at_rates_with_a_best_strength():
    dataset = tilted(falling=(-0.7, -3.2), rising=(0.3, -1.0))
    used = baselines.usable_rates(dataset, 0.05)
    np.testing.assert_array_equal(used, [True] * 4 + [False])
    dataset = dataset.assign(used=("rate", used))
    np.testing.assert_allclose(baselines.slopes(dataset, "falling"), -0.7, rtol=1e-9)
    np.testing.assert_allclose(baselines.slopes(dataset, "rising"), 0.3, rtol=1e-9)
    # A rate at which one method's best λ lies outside its grid is used for no method.
    outside = baselines.usable_rates(tilted(falling=(-0.7, -3.2), steep=(3.0, 8.0)), 0.05)
    np.testing.assert_array_equal(outside, [True] * 3 + [False] * 2)
    few = dataset.assign(used=("rate", used & (np.arange(5) < 2)))
    assert np.isnan(baselines.slopes(few, "falling")).all()


def pull(target):
    """The gradient of ½‖w − target‖²."""
    return lambda w, _: jax.tree.map(jnp.subtract, w, target)


def test_gradual_pruning_keeps_the_largest_and_its_zeros_stay():
    target = {"kernel": jnp.linspace(0.1, 4, 40).reshape(8, 5), "bias": jnp.ones(5)}
    start = jax.tree.map(lambda leaf: leaf + 0.5, target)
    tx = rivals.prune_gradually(optax.adam(0.02), 0.25, 300)
    w, _ = descend(tx, start, pull(target), 600)
    left = np.asarray(w["kernel"]) != 0
    np.testing.assert_array_equal(left.ravel(), np.arange(40) >= 30)
    np.testing.assert_allclose(w["kernel"][left], target["kernel"][left], atol=1e-3)
    np.testing.assert_allclose(w["bias"], 1, atol=1e-3)
    # Half way, the cubic schedule keeps 1 − 0.75·(1 − 0.5³) = 34 % of the weights.
    half, _ = descend(tx, start, pull(target), 150)
    assert np.count_nonzero(half["kernel"]) in (13, 14, 15)


def test_gradual_pruning_of_neurons_cuts_whole_neurons_of_each_block():
    neurons = {"*/up": "unit", "*/down/kernel": "input"}
    sizes = np.array([[1.0, 4.0, 2.0, 3.0], [8.0, 5.0, 7.0, 6.0]])
    target = {
        name: {
            "up": {"kernel": jnp.ones((3, 1)) * row, "bias": 0.1 * jnp.ones(4)},
            "down": {"kernel": row[:, None] * jnp.ones((1, 2)), "bias": jnp.ones(2)},
        }
        for name, row in zip(("a", "b"), sizes, strict=True)
    }
    start = jax.tree.map(jnp.zeros_like, target)
    tx = rivals.prune_gradually(
        optax.adam(0.05), {"a": 0.5, "b": 0.25}, 600, per=neurons, begin=300
    )
    w, _ = descend(tx, start, pull(target), 900)
    # Every neuron is as far from 0 as its target is when pruning begins, and biases start at 0.
    for name, kept in (("a", [0, 1, 0, 1]), ("b", [1, 0, 0, 0])):
        expected = jax.tree.map(np.asarray, target[name])
        expected["up"] = {part: leaf * np.array(kept) for part, leaf in expected["up"].items()}
        expected["down"]["kernel"] = expected["down"]["kernel"] * np.array(kept)[:, None]
        for leaf, wanted in zip(*map(jax.tree.leaves, (w[name], expected)), strict=True):
            np.testing.assert_allclose(leaf, wanted, atol=0.02)
            np.testing.assert_array_equal(leaf != 0, wanted != 0)


@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("key", [None, 0])
def test_factorised_weights_minimise_the_loss_with_a_power_of_the_weights(depth, key):
    target, strength = np.array([2.0, 1.5, 0.2, -0.1]), 0.5
    tx = rivals.factorise(
        optax.adam(optax.cosine_decay_schedule(0.02, 4000)),
        strength,
        depth,
        None if key is None else jax.random.key(key),
    )
    start = {"kernel": jnp.tile(jnp.linspace(0.5, 1.5, 50)[:, None], 4), "bias": jnp.zeros(1)}
    w, _ = descend(tx, start, pull({"kernel": target, "bias": jnp.ones(1)}), 4000)
    grid = np.linspace(-3, 3, 60001)
    losses = (grid[:, None] - target) ** 2 / 2 + strength * np.abs(grid[:, None]) ** (2 / depth)
    expected = grid[losses.argmin(0)]
    found, zero = np.abs(w["kernel"] - expected) < 2e-3, np.abs(w["kernel"]) < 2e-3
    assert found.all() if depth == 2 else (found | zero).all()
    # 0 is a local minimum for more than two factors, where weights of the wrong sign stay.
    assert found[np.prod(tx.init(start).factors["kernel"], 0) * target > 0].all()
    np.testing.assert_allclose(w["bias"], 1, atol=1e-3)


def test_the_squares_of_factors_are_a_power_of_their_product():
    u, v = np.meshgrid(*[np.geomspace(0.05, 5, 1001)] * 2)
    for w in (0.01, 0.3, 2.0):
        smallest = ((u**2 + v**2 + (w / (u * v)) ** 2) / 3).min()
        assert smallest == pytest.approx(w ** (2 / 3), rel=1e-4)


def test_drawn_factors_are_neither_small_nor_large():
    params = {"kernel": 0.1 * jax.random.normal(jax.random.key(0), (300, 200)), "bias": jnp.ones(1)}
    deviation = float(jnp.std(params["kernel"]))
    state = rivals.factorise(optax.sgd(0.0), 0.0, 3, jax.random.key(1)).init(params)
    sizes = np.abs(state.factors["kernel"])
    assert sizes.shape == (3, 300, 200)
    assert sizes.min() >= (deviation / 4) ** (1 / 3) - 1e-6
    assert sizes.max() <= (2 * deviation) ** (1 / 3) + 1e-6
    product = np.prod(state.factors["kernel"], 0)
    assert 0.7 < product.std() / deviation < 1 and abs(product.mean()) < 1e-3
    np.testing.assert_array_equal(state.factors["bias"], params["bias"])


def test_the_published_lasso_is_that_of_the_homotopy():
    settings = dataclasses.replace(published.STUDY.quick, decay_strengths=(50.0, 600.0))
    lasso = published.fit_diabetes(settings, Session())
    x, y = load_diabetes(return_X_y=True)
    alphas = lars_path(x, y - y.mean(), method="lasso")[0]
    np.testing.assert_allclose(lasso["knot"], len(y) * alphas[:-1], rtol=1e-8)
    np.testing.assert_allclose(lasso["excess"], 0, atol=1e-10)
    np.testing.assert_allclose(lasso["error"], 0, atol=1e-6)


def idx(array):
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    for part, count in (("train", 6), ("t10k", 4)):
        pixels = generator.integers(0, 256, (count, 4, 4))
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        labels = gzip.compress(idx(np.arange(count) % 3))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(labels)
    return tmp_path


def test_a_folder_of_images_is_read(folder):
    train, test = datasets.load_images(folder)
    assert train.inputs.dtype == np.float32 and train.inputs.shape == (6, 16)
    raw = (folder / "train-images-idx3-ubyte").read_bytes()
    np.testing.assert_allclose(train.inputs.ravel() * 255, list(raw[16:]), rtol=1e-6)
    assert test.labels.tolist() == [0, 1, 2, 0] and test.labels.dtype == np.int32


@pytest.mark.parametrize(
    "change",
    [lambda _: b"hello world", lambda _: b"", lambda old: old[:-1], lambda old: old[:9]],
    ids=["other", "empty", "short", "header"],
)
def test_a_damaged_image_file_is_named(folder, change):
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SettingError, match=r"data: expected .*train-images-idx3-ubyte"):
        datasets.load_images(folder)


def test_the_break_even_is_the_largest_share_below_which_every_product_is_faster():
    shares = [0.5, 0.25, 0.1, 0.05, 0.02, 0.01]
    for speedups, expected in (
        ([0.5, 1.2, 0.9, 2, 3, np.nan], "5%"),
        ([2, 2, 2, 2, 2, 2], "50%"),
        ([2, 2, 2, 2, 2, 0.9], "none"),
        ([np.nan] * 6, "not measured"),
    ):
        speedup = xr.DataArray(speedups, {"share": shares}, "share")
        assert sparse.break_even(speedup) == expected


def test_every_round_times_every_program_once_in_random_order():
    calls = []
    programs = [functools.partial(calls.append, number) for number in range(3)]
    assert timing.paired(programs, 5, seed=1).shape == (5, 3)
    rounds = np.reshape(calls[timing.WARM_UP * 3 :], (5, 3))
    np.testing.assert_array_equal(np.sort(rounds), [[0, 1, 2]] * 5)
    assert len({tuple(order) for order in rounds.tolist()}) > 1
    assert timing.paired(programs, 5, longest=0).shape == (timing.FEWEST, 3)


def test_sparse_products_are_measured_in_every_form():
    config = sparse.Settings(sizes=((12, 8),), batches=(2,), shares=(0.5, 0.05), rounds=3)
    results = {name: sweep(config, Session()) for name, sweep in sparse.STUDY.sweeps.items()}
    measured = (
        results["products"]["speedup"].notnull().all([*results["products"]["speedup"].dims[1:]])
    )
    torch = importlib.util.find_spec("torch") is not None
    for form in sparse.BASELINES:
        assert measured.sel(form=form) == (torch or "PyTorch" not in form), form
    for table in sparse.tabulate(results):
        assert {len(row) for row in table.rows} == {len(table.headings)}


def test_a_text_is_split_into_parts_that_share_nothing():
    content = bytes(range(65, 91)) * 400
    text = datasets.split_text(content)
    assert text.vocabulary == bytes(range(65, 91)) and text.train.max() == 25
    sizes = [part.size / len(content) for part in (text.train, text.validation, text.test)]
    np.testing.assert_allclose(sizes, [0.9, 0.05, 0.05], atol=1e-3)
    piece = len(content) // datasets.PIECES
    whole = np.frombuffer(content, np.uint8) - 65
    np.testing.assert_array_equal(text.validation[:piece], whole[7 * piece : 8 * piece])
    np.testing.assert_array_equal(text.test[:piece], whole[17 * piece : 18 * piece])


@pytest.mark.skipif(not shutil.which("bible"), reason="Debian's bible-kjv is not installed")
def test_the_bible_begins_at_the_beginning():
    content = datasets.bible()
    assert content.startswith(b"In the beginning God created") and content.count(b"\n") == 31101


@pytest.mark.parametrize("share", [0.5, 0.2, 0.1, 0.05, 0.02])
def test_a_small_dense_transformer_has_as_many_weights_as_a_sparse_one(share):
    config = language.Settings()
    sizes, key = language.as_many(config, 63, share), jax.random.key(0)
    count = transformer.count_weights(config, 63, sizes)
    whole = transformer.initial(config, 63, transformer.sizes_of(config), key)[1]
    inside = jaxreg.sparsity(whole, transformer.blocks).size
    wanted = jaxreg.sparsity(whole).size - round((1 - share) * inside)
    assert wanted <= count < 1.02 * wanted
    assert jaxreg.sparsity(transformer.initial(config, 63, sizes, key)[1]).size == count


def test_networks_are_timed_in_every_form_that_they_have():
    rows = jax.random.normal(jax.random.key(1), (4, 784))
    for name, has in (("mlp", 4), ("lenet-5", 2)):
        config = images.Settings(network=name, hidden=(8,))
        structure, params = images.network_of(config, 784, jax.random.key(0))
        params = jaxreg.keep_largest(params, 0.01, mask=jaxreg.kernels)
        chain = name == "mlp"
        stored, seconds = images.time_forms(structure, params, rows, chain)
        assert seconds.shape == (images.ROUNDS, 4)
        assert np.isfinite(stored).sum() == np.isfinite(seconds).all(0).sum() == has
        counts = jaxreg.sparsity(params, jaxreg.kernels)
        assert stored[0] == counts.size and stored[1] == counts.nonzeros
    assert images.runs_at(xr.Dataset(), "L0", (0.1,)) == []


def test_hyperbolic_steps_and_the_largest_of_each_matrix():
    params = {"a": jnp.array([[1.0, -2.0], [3.0, -4.0]]), "b": jnp.ones((2, 2))}
    gradient = jax.tree.map(lambda w: 0.1 * jnp.ones_like(w), params)

    def mask(params):
        return {"a": True, "b": False}

    tx = rivals.hyperbolic(optax.sgd(0.5), lambda _: 0.01, 200.0, mask)
    moved = optax.apply_updates(params, tx.update(gradient, tx.init(params), params)[0])
    stepped = params["a"] - 0.05
    expected = stepped * jnp.exp(-0.01 * (200 * jnp.sign(stepped) * 0.1 + 1e-3))
    np.testing.assert_allclose(moved["a"], expected, rtol=1e-6)
    np.testing.assert_allclose(moved["b"], 0.95)
    tx = rivals.keep_largest_always(optax.sgd(0.0), 0.25, 2, mask)
    state = tx.init(params)
    for left in (2, 1, 1):  # 1 − 0.75/2 of four weights are 2.5, and even numbers are rounded to
        updates, state = tx.update(gradient, state, params)
        kept = optax.apply_updates(params, updates)["a"]
        assert int(jnp.sum(kept != 0)) == left and float(kept[1, 1]) == -4


CASES = [
    ("lasso", 40, 60, 0.5, 1.0),
    ("lasso", 60, 100, 0.0, 0.1),
    ("elastic net", 60, 20, 0.5, 1.0),
    ("sparse logistic", 60, 20, 0.0, 1.0),
    ("group lasso", 60, 20, 0.0, 1.0),
    ("poisson", 60, 20, 0.0, 1.0),
    ("mcp", 100, 20, 0.0, 1.0),
]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[4]:g}")
def test_linear_solvers_agree_at_the_certified_accuracy(case):
    config = linear.Settings(strengths=5, ratio=0.03, sparse_ratio=0.03)
    problem = linear.make_problem(config, case)
    reference = linear.reference_of(problem)
    allowed = config.distance if problem.convex else config.residual
    assert reference.distance(problem, reference.objectives, reference.gaps) < 1e-3 * allowed
    assert not reference.weights[0].any() and reference.weights[1].any()
    wrong = linear.judge(problem, 0.9 * reference.weights)
    assert reference.distance(problem, *wrong) > 100 * allowed
    for name in {"jaxreg", *linear.installed(config)} & {"jaxreg", "skein-glm"}:
        weights, seconds, memory = linear.timed_solve(name, problem, 1e-10)
        found = linear.judge(problem, weights)
        assert reference.distance(problem, *found) <= allowed
        np.testing.assert_allclose(found[0], reference.objectives, rtol=1e-7)
        assert seconds > 0 and (memory >= 0 or np.isnan(memory))


def test_where_another_package_is_ahead_the_table_says_so():
    seconds = [[1.0, np.nan], [3.0, 2.0], [np.nan, 5.0], [np.nan, np.nan]]
    paths = xr.Dataset(
        {
            "seconds": (("problem", "solver"), seconds),
            "model": ("problem", ["lasso", "lasso", "mcp", "poisson"]),
            "design": ("problem", ["9 × 2", "9 × 3", "9 × 4", "9 × 5"]),
        },
        {"solver": ["jaxreg", "celer"]},
    )
    assert linear.standing(paths) == (
        "After a first call jaxreg is the fastest on 1 of 4 problems; another is on lasso 9 × 3 "
        "(celer); mcp 9 × 4 (celer); poisson 9 × 5 (no package in time). jaxreg takes at most 1.5 "
        "times as long as the fastest: lasso 9 × 3. jaxreg does not reach the accuracy in time on "
        "mcp 9 × 4; poisson 9 × 5."
    )


@pytest.mark.parametrize(
    "case", [("lasso", 9, 20, 0.0, 1.0), ("lasso", 20, 21, 0.0, 1.0), ("mcp", 20, 20, 0.0, 0.5)]
)
def test_linear_problems_that_cannot_be_made_are_refused(case):
    with pytest.raises(SettingError, match="more"):
        linear.Settings(more=(case,))
