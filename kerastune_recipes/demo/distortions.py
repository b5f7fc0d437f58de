"""Distortions that make printed letters look handwritten, at any contrast and resolution."""

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

# Height and width of the distorted pictures, pixels. Drawings are twice as large, so that thin strokes survive.
PICTURE_SIZE = 32
_DRAWING_SIZE = 2 * PICTURE_SIZE


def distort(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn drawings of printed letters into pictures that look handwritten, at any contrast and resolution.

    Args:
        images: float32 (n, 64, 64), 0 for paper, 1 for ink.
        rng: Random generator.

    Returns:
        float32 (n, 32, 32, 3), 0..255, with equal channels.

    Example:
        >>> distort(np.zeros((5, 64, 64), np.float32), np.random.default_rng(0)).shape
        (5, 32, 32, 3)
    """
    ink = _warp(_thicken(images, rng), rng)
    choices = _resolutions()
    lower = choices[rng.integers(len(choices), size=len(images))]
    gray = _shade(lower @ ink @ lower.transpose(0, 2, 1), rng)
    return np.repeat(gray[..., np.newaxis], 3, axis=-1)


def _thicken(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make the strokes of some images thinner by 1 pixel, or thicker by 2, 4 or 6."""
    images = images.copy()
    window = rng.choice((-2, 1, 3, 5, 7), len(images), p=(0.1, 0.25, 0.3, 0.25, 0.1))
    images[window == -2] = minimum_filter(images[window == -2], (1, 2, 2))
    for size in (3, 5, 7):
        images[window == size] = maximum_filter(images[window == size], (1, size, size))
    return images


def _warp(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate, shear, stretch, shift and bend images of 64 pixels, and return them at 32.

    Standard deviations as in handwriting, by eye: 11 degrees of rotation, 0.2 of slant, 15% of size.
    """
    n = len(images)
    angle, shear = rng.normal(0, 0.2, (2, n, 1, 1))
    cos, sin = np.cos(angle), np.sin(angle)
    # Maps positions in the output, as columns (y, x), to positions in the drawing.
    turn = np.block([[cos, -sin], [sin, cos]])
    slant = np.block([[np.ones_like(shear), np.zeros_like(shear)], [shear, np.ones_like(shear)]])
    # On average exp(-0.25) of the frame is visible, so that a letter of 44 of 64 pixels nearly fills the output.
    stretch = np.exp(rng.normal(-0.25, 0.15, (n, 1, 2)))
    axis = (np.arange(PICTURE_SIZE) + 0.5) * (_DRAWING_SIZE / PICTURE_SIZE) - _DRAWING_SIZE / 2
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij")).reshape(2, -1)
    positions = (slant @ turn * stretch) @ grid
    # A coarse random field, bilinearly interpolated, bends strokes as a hand does.
    smooth = _interpolation(5, np.linspace(0, 4, PICTURE_SIZE))
    bends = rng.normal(0, 1, (n, 2, 5, 5)) * rng.uniform(0, 3.5, (n, 1, 1, 1))
    positions += (smooth @ bends @ smooth.T).reshape(n, 2, -1)
    positions += rng.normal(0, 2, (n, 2, 1)) + (_DRAWING_SIZE - 1) / 2
    return _sample(images, positions.astype(np.float32)).reshape(n, PICTURE_SIZE, PICTURE_SIZE)


def _shade(ink: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn ink (n, h, w), 0..1, into gray levels 0..255 of random paper and pen, with random gamma and noise."""
    n = len(ink)
    # Squared uniform numbers favour full contrast and little noise; levels are at least 120 apart.
    dark, wear, noise = rng.uniform(0, 1, (3, n, 1, 1)) ** 2 * [[[[80]]], [[[1]]], [[[15]]]]
    bright = 255 - wear * (135 - dark)
    light_paper = rng.uniform(0, 1, (n, 1, 1)) < 0.25
    paper, pen = np.where(light_paper, bright, dark), np.where(light_paper, dark, bright)
    gamma = np.exp(rng.normal(0, 0.3, (n, 1, 1)))
    gray = paper + (pen - paper) * np.clip(ink, 0, 1) ** gamma
    return np.clip(gray + noise * rng.normal(0, 1, gray.shape), 0, 255).astype(np.float32)


def _resolutions() -> np.ndarray:
    """Return matrices (k, 32, 32) that reduce the resolution of an axis to 7..16 pixels, or keep it.

    A quarter keep it, and half reduce it to 7..10 pixels, where strokes begin to merge.
    """
    lowered = [lower_resolution(size) for size in (7, 7, 8, 8, 8, 9, 9, 10, 10, 11, 12, 13, 14, 16)]
    return np.stack([*lowered, *[np.eye(PICTURE_SIZE, dtype=np.float32)] * 5])


def lower_resolution(size: int) -> np.ndarray:
    """Return the matrix (32, 32) that averages an axis into `size` pixels and interpolates them bilinearly.

    Args:
        size: Pixels of the reduced axis, 1..32.
    """
    fine = np.arange(PICTURE_SIZE)
    edges = np.linspace(0, PICTURE_SIZE, size + 1)[:, np.newaxis]
    covered = np.minimum(edges[1:], fine + 1) - np.maximum(edges[:-1], fine)
    average = np.maximum(0, covered) * size / PICTURE_SIZE
    return _interpolation(size, (fine + 0.5) * size / PICTURE_SIZE - 0.5) @ average.astype(np.float32)


def _sample(images: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Interpolate images (n, h, w) bilinearly at positions (n, 2, m), as (y, x); outside, take the nearest edge."""
    n, height, width = images.shape
    y = np.clip(positions[:, 0], 0, height - 1.001)
    x = np.clip(positions[:, 1], 0, width - 1.001)
    row, column = y.astype(np.int32), x.astype(np.int32)
    y, x = y - row, x - column
    flat = images.reshape(-1)
    corner = np.arange(n, dtype=np.int32)[:, np.newaxis] * (height * width) + row * width + column
    above = flat[corner] * (1 - x) + flat[corner + 1] * x
    below = flat[corner + width] * (1 - x) + flat[corner + width + 1] * x
    return above * (1 - y) + below * y


def _interpolation(size: int, points: np.ndarray) -> np.ndarray:
    """Return the matrix (len(points), size) that interpolates `size` samples linearly at fractional positions."""
    position = np.clip(points, 0, size - 1)
    return np.maximum(0, 1 - np.abs(position[:, np.newaxis] - np.arange(size))).astype(np.float32)
