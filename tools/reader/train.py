"""Trains the glyph network and writes its weights: JAX on the processor, AdamW, a fixed seed."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from numpy.random import Generator
from rich.progress import Progress

from cloud.stamps.model import ALPHABET
from cloud.stamps.reader.network import NO_SYMBOL, POOLED, SIDE, SYMBOLS, Floats, Network, save
from tools.reader.data import FOLDED, SMALL, Emnist, Glyphs, Part
from tools.reader.variation import french, no_symbol, vary

CHANNELS = (16, 32, 64, 96, 128)  # of the convolutions
HIDDEN = 128
DROPPED = 0.3  # share of the last convolution's outputs left out in training
BATCH = 128
PEAK_RATE = 3e-3
AVERAGED_OVER = 0.995  # the weights kept are a running mean of those trained

Params = dict[str, list[Any]]


class Sampler:
    """Batches in which all symbols are as frequent: codes are random, so the prior is uniform."""

    def __init__(self, emnist: Emnist, fonts: list[tuple[str, Glyphs]], seed: int):
        self._pools = emnist.part(Part.TRAINING)
        self._fonts = {symbol: [ink for of, ink in fonts if of == symbol] for symbol in ALPHABET}
        self._seed = seed

    def batch(self, number: int) -> tuple[Floats, Any]:
        """The batch of this number, always the same: (BATCH, 28, 28) and their outputs (BATCH,)."""
        random = np.random.default_rng((self._seed, number))
        wanted = np.arange(number * BATCH, (number + 1) * BATCH) * 17 % (SYMBOLS + 1)
        return np.stack([self._draw(int(output), random) for output in wanted]), wanted

    def _draw(self, output: int, random: Generator) -> Floats:
        if output == NO_SYMBOL:
            left, right = random.integers(SYMBOLS, size=2)
            return no_symbol(self._glyph(int(left), random), self._glyph(int(right), random), random)
        return vary(self._glyph(output, random), random)

    def _glyph(self, output: int, random: Generator) -> Any:
        symbol = ALPHABET[output]
        kind = random.random()
        if kind < 0.1 and self._fonts[symbol]:
            return self._fonts[symbol][random.integers(len(self._fonts[symbol]))]
        pool = self._pools[symbol]
        if kind < 0.2 and symbol in FOLDED:
            pool = self._pools[FOLDED[symbol]]
        elif kind > 0.7 and symbol in SMALL:
            pool = self._pools[SMALL[symbol]]
        glyph = pool[random.integers(len(pool))]
        return french(symbol, glyph, random) if kind > 0.75 and symbol in "17" else glyph


def train(
    emnist: Emnist, fonts: list[tuple[str, Glyphs]], steps: int, seed: int, folder: Path
) -> tuple[Network, dict[str, Any]]:
    """The trained and folded network, and what its training was. Every 200 steps what is there goes to `folder`."""
    sampler = Sampler(emnist, fonts, seed)
    params = _fresh(jax.random.key(seed))
    schedule = optax.cosine_onecycle_schedule(steps, PEAK_RATE, pct_start=0.15)
    optimiser = optax.adamw(schedule, b2=0.99, weight_decay=0.02)
    state, mean = optimiser.init(params), params

    @jax.jit
    def step(params, mean, state, glyphs, wanted, key):
        def loss(params: Params) -> Any:
            logits, _ = _apply(params, glyphs, key=key)
            return optax.softmax_cross_entropy_with_integer_labels(logits, wanted).mean()

        value, slope = jax.value_and_grad(loss)(params)
        updates, state = optimiser.update(slope, state, params)
        params = optax.apply_updates(params, updates)
        return params, optax.incremental_update(params, mean, 1 - AVERAGED_OVER), state, value

    began, key, losses = time.monotonic(), jax.random.key(seed + 1), []
    with Progress() as progress:
        task = progress.add_task("training", total=steps)
        for number, (glyphs, wanted) in enumerate(_ahead(sampler, steps)):
            params, mean, state, loss = step(params, mean, state, glyphs, wanted, jax.random.fold_in(key, number))
            if number % 50 == 49:
                losses.append(float(loss))
                progress.update(task, completed=number + 1, description=f"loss {np.mean(losses[-10:]):.3f}")
            if number % 200 == 199:  # so that what is trained so far can be looked at
                save(fold(mean, sampler.batch(steps)[0]), folder / f"reader-{number + 1}.npz")
    seconds = time.monotonic() - began
    network = fold(mean, np.concatenate([sampler.batch(steps + i)[0] for i in range(32)]))
    return network, {"seed": seed, "steps": steps, "batch": BATCH, "minutes": round(seconds / 60, 1)}


def reference(network: Network, glyphs: Floats) -> Floats:
    """What JAX makes of the same weights: numpy must give the same."""
    x = jnp.asarray(glyphs)[..., None]
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        if layer < len(POOLED):
            x = _convolved(x, weight.reshape(3, 3, -1, weight.shape[-1]))
        else:
            x = x.reshape(len(x), -1) @ weight
        x = x + bias
        x = jax.nn.relu(x) if layer < len(network.weights) - 1 else x
        x = _largest(x) if layer < len(POOLED) and POOLED[layer] else x
    return np.asarray(x)


def _convolved(x: Any, weight: Any) -> Any:
    return lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _largest(x: Any) -> Any:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _fresh(key: Any) -> Params:
    shapes = [(3, 3, before, after) for before, after in zip((1, *CHANNELS), CHANNELS, strict=False)]
    side = SIDE
    for pooled in POOLED:
        side = side // 2 if pooled else side
    shapes += [(side * side * CHANNELS[-1], HIDDEN), (HIDDEN, SYMBOLS + 1)]
    keys = jax.random.split(key, len(shapes))
    return {
        "weights": [jax.random.normal(k, s) * np.sqrt(2 / np.prod(s[:-1])) for k, s in zip(keys, shapes, strict=True)],
        "gains": [jnp.ones(s[-1]) for s in shapes[:-1]],
        "biases": [jnp.zeros(s[-1]) for s in shapes],
    }


def _apply(params: Params, glyphs: Any, key: Any = None) -> tuple[Any, list[Any]]:
    """Logits (n, 33), and each layer's mean and variance, by which its batch was normalised."""
    x, moments = glyphs[..., None], []
    for layer, weight in enumerate(params["weights"]):
        x = _convolved(x, weight) if layer < len(POOLED) else x.reshape(len(x), -1) @ weight
        if layer < len(params["gains"]):
            axes = tuple(range(x.ndim - 1))
            moments.append((x.mean(axes), x.var(axes)))
            x = (x - moments[-1][0]) * lax.rsqrt(moments[-1][1] + 1e-5) * params["gains"][layer]
        x = x + params["biases"][layer]
        if layer < len(params["weights"]) - 1:
            x = jax.nn.relu(x)
        if layer < len(POOLED) and POOLED[layer]:
            x = _largest(x)
        if layer == len(POOLED) - 1 and key is not None:
            x = x * jax.random.bernoulli(key, 1 - DROPPED, x.shape) / (1 - DROPPED)
    return x, moments


def fold(params: Params, glyphs: Floats) -> Network:
    """The normalisations, with the moments they have on `glyphs`, inside weights and biases."""
    _, moments = jax.jit(_apply)(params, glyphs)
    weights, biases = [], []
    for layer, weight in enumerate(params["weights"]):
        flat, bias = np.asarray(weight).reshape(-1, weight.shape[-1]), np.asarray(params["biases"][layer])
        if layer < len(moments):
            mean, variance = (np.asarray(moment) for moment in moments[layer])
            gain = np.asarray(params["gains"][layer]) / np.sqrt(variance + 1e-5)
            flat, bias = flat * gain, bias - mean * gain
        weights.append(flat.astype(np.float32))
        biases.append(bias.astype(np.float32))
    return Network(tuple(weights), tuple(biases), temperature=1.0)


def _ahead(sampler: Sampler, steps: int, by: int = 4) -> Iterator[tuple[Floats, Any]]:
    """Batches in order, the next few made in another thread meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(sampler.batch, number) for number in range(min(by, steps))]
        for number in range(steps):
            yield waiting.pop(0).result()
            if number + by < steps:
                waiting.append(pool.submit(sampler.batch, number + by))
