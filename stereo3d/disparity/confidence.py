"""The probability that a disparity is right: a small network over `measurements`.

Its weights were trained on rendered scenes with exact truth by `benchmarks/train_confidence.py`; see the page on
confidence of the documentation for what they are good for.
"""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..kernel_cache import njit
from .measurements import STRIP_PIXELS, MatchMaps, Measured

WEIGHTS = Path(__file__).with_name("confidence.npz")
CLIP = 6.0  # standard deviations: measurements farther from their mean count as this
PIXELS = 512  # of one block of the network: eight of its rows fit into the nearest cache, all into the next
MAX_LOG_ODDS = 12.0  # so that no probability is 0 or 1


class Network(NamedTuple):
    """Layers y = max(0, w^T x + b) over x = clip((measurement - mean) scale), the last one without the maximum.

    Parameters
    ----------
    mean, scale : (n,) f32
        Of the measurements.
    w1, b1, w2, b2, w3, b3 : f32
        (n, k), (k,), (k, m), (m,), (m, 2), (2,). The two outputs are the logarithms of the odds that the error is below
        1 px, and of the error's size in px.
    """

    mean: np.ndarray
    scale: np.ndarray
    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray
    b3: np.ndarray


@functools.cache
def load_network(name: str) -> Network:
    """Return the network of a family of matchers, "planes" or "sgm"."""
    with np.load(WEIGHTS) as stored:
        return Network(*(np.ascontiguousarray(stored[f"{name}.{field}"], np.float32) for field in Network._fields))


@njit(cache=True, nogil=True)
def _add_eight(weights, inputs, i, j, out):
    """out[j] += sum of weights[k, j] inputs[k] over the eight rows from i on: one pass over memory for all of them."""
    a, b, c, d = weights[i, j], weights[i + 1, j], weights[i + 2, j], weights[i + 3, j]
    e, f, g, h = weights[i + 4, j], weights[i + 5, j], weights[i + 6, j], weights[i + 7, j]
    p, q, r, s = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
    t, u, v, x = inputs[i + 4], inputs[i + 5], inputs[i + 6], inputs[i + 7]
    total = out[j]
    for k in range(PIXELS):
        total[k] += ((a * p[k] + b * q[k]) + (c * r[k] + d * s[k])) + ((e * t[k] + f * u[k]) + (g * v[k] + h * x[k]))


@njit(cache=True, nogil=True)
def _layer(inputs, weights, bias, rectify, out):
    """out (>= m, PIXELS) = weights^T inputs + bias, at least 0 where `rectify`; rows in whole groups of eight."""
    for j in range(len(bias)):
        out[j] = bias[j]
    for i in range(0, len(weights), 8):
        for j in range(len(bias)):
            _add_eight(weights, inputs, i, j, out)
    if rectify:
        for j in range(len(bias)):
            for k in range(PIXELS):
                out[j, k] = max(out[j, k], np.float32(0))


@njit(cache=True, nogil=True)
def _in_eights(weights):
    """Return the weights with rows of 0 added, up to a multiple of eight."""
    rows, count = weights.shape
    out = np.zeros((rows + -rows % 8, count), np.float32)
    for i in range(rows):  # an assignment of slices takes 2.5 s to compile
        for j in range(count):
            out[i, j] = weights[i, j]
    return out


@njit(cache=True, nogil=True)
def apply_network(network, values, out):
    """Write the outputs of a network for the measurements values (n, N) f32 to out (2, N) f32."""
    n, pixels = values.shape
    clip = np.float32(CLIP)
    w1, w2, w3 = _in_eights(network.w1), _in_eights(network.w2), _in_eights(network.w3)
    inputs, first, second = (
        np.zeros((len(w1), PIXELS), np.float32),
        np.zeros((len(w2), PIXELS), np.float32),
        np.zeros((len(w3), PIXELS), np.float32),
    )
    last = np.empty((2, PIXELS), np.float32)
    for start in range(0, pixels, PIXELS):
        count = min(PIXELS, pixels - start)
        for i in range(n):
            mean, scale, row, block = network.mean[i], network.scale[i], inputs[i], values[i, start : start + count]
            for k in range(count):
                row[k] = min(max((block[k] - mean) * scale, -clip), clip)
        _layer(inputs, w1, network.b1, True, first)
        _layer(first, w2, network.b2, True, second)
        _layer(second, w3, network.b3, False, last)
        for i in range(len(last)):
            for k in range(count):
                out[i, start + k] = last[i, k]


def estimate(maps: MatchMaps, network: Network) -> np.ndarray:
    """Return P(error < 1 px) of each disparity of a view.

    Parameters
    ----------
    maps : MatchMaps
        Of the view.
    network : Network
        Of the matcher.

    Returns
    -------
    (H, W) float32
        0 where the disparity is unknown.
    """
    height, width = maps.disparity.shape
    probability = np.empty((height, width), np.float32)
    measured = Measured(maps)
    rows = max(16, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        values = measured.strip(top, bottom)
        out = np.empty((2, (bottom - top) * width), np.float32)
        apply_network(network, values.reshape(len(values), -1), out)
        odds = np.clip(out[0], -MAX_LOG_ODDS, MAX_LOG_ODDS).reshape(bottom - top, width)
        probability[top:bottom] = 1 / (1 + np.exp(-odds))
    probability[~np.isfinite(maps.disparity)] = 0
    return probability
