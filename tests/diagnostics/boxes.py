"""Simulations in little: lognormal densities in periodic boxes, and images cut out of them."""

import numpy as np


def lognormal_boxes(count, seed, *, amplitude=0.8, smoothing=1.0, pixels=64):
    """Periodic densities of mean about one, exp of a Gaussian field of power ∝ k^-1.5 below a cut."""
    k = pixels * np.hypot(np.fft.fftfreq(pixels)[:, None], np.fft.rfftfreq(pixels))
    power = np.where(k > 0, np.maximum(k, 1.0) ** -1.5, 0.0) * np.exp(-((4 * smoothing * k / pixels) ** 2))
    white = np.fft.rfft2(np.random.default_rng(seed).normal(size=(count, pixels, pixels)))
    total = 2 * power.sum() - power[:, [0, -1]].sum()  # modes but those of the outer columns stand for their mirrors too
    field = np.fft.irfft2(white * pixels * np.sqrt(power / total), s=(pixels, pixels))
    return np.exp(amplitude * field - amplitude**2 / 2).astype(np.float32)


def quarters(boxes):
    """The four quarters of every box, and the number of the box that each is from."""
    n = boxes.shape[1] // 2
    images = np.concatenate([boxes[:, :n, :n], boxes[:, :n, n:], boxes[:, n:, :n], boxes[:, n:, n:]])
    return images, np.tile(np.arange(len(boxes)), 4)
