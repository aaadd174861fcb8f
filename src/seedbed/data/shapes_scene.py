"""One image of the built-in data: animals on clutter, drawn with numpy from a seed.

Six classes = 3 body textures x 2 colour families, so that neither texture nor colour alone names a class; a small
*head* with a class-specific pattern does. A classifier can therefore be right while looking at the head only, which is
the under-covering that class activation maps show on photographs. Distractors reuse the body textures and colours.
"""

import functools
from dataclasses import dataclass

import numpy as np

CLASS_NAMES = ("banded_warm", "dotted_warm", "lined_warm", "banded_cool", "dotted_cool", "lined_cool")
VOID = 255
_HEAD_HUES = (0.33, 0.80, 0.15, 0.95, 0.50, 0.70)
_FAMILY_HUES = (0.05, 0.58)
_MAX_TRIES = 12


@dataclass(frozen=True)
class Scene:
    """A rendered image and its ground truth.

    Attributes:
        image: uint8 [S, S, 3], RGB.
        mask: uint8 [S, S]; 0 background, ``class index + 1`` for objects, 255 on both sides of every object's contour.
        classes: class index (0-based) of each object, in painting order.
        boxes: int (xmin, ymin, xmax, ymax) of each object's visible pixels, 1-based and inclusive as in PASCAL VOC.
    """

    image: np.ndarray
    mask: np.ndarray
    classes: tuple[int, ...]
    boxes: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True)
class _Animal:
    """Pose and looks of one object; lengths in pixels, angles in radians."""

    label: int
    centre: tuple[float, float]
    half_height: float
    aspect: float
    angle: float
    flipped: bool
    head_radius: float
    wobble_phase: float
    hue: float
    head_hue: float


def render_scene(seed: tuple[int, ...], size: int, single_object: bool = False) -> Scene:
    """Draw the image that ``seed`` stands for.

    Args:
        seed: integers that identify the image, for instance ``(data set seed, index)``; same seed, same image.
        size: side length S in pixels.
        single_object: one larger, more central object instead of one to three.
    """
    rng = np.random.default_rng(seed)
    canvas = _background(rng, size)
    for _ in range(rng.poisson(2)):
        _draw_distractor(rng, canvas)
    count = 1 if single_object else int(rng.choice((1, 2, 3), p=(0.35, 0.40, 0.25)))
    instances = np.zeros((size, size), np.uint8)
    heads = np.zeros((size, size), np.uint8)
    labels: list[int] = []
    for _ in range(count):
        label = int(rng.integers(len(CLASS_NAMES)))
        placed = _place(rng, label, instances, heads, size, count == 1, single_object)
        if placed is not None:
            labels.append(label)
            _paint(rng, canvas, instances, heads, placed, number=len(labels))
    return _finish(rng, canvas, instances, labels)


def _finish(rng: np.random.Generator, canvas: np.ndarray, instances: np.ndarray, labels: list[int]) -> Scene:
    size = len(instances)
    canvas *= rng.uniform(0.85, 1.1)
    canvas += rng.standard_normal(canvas.shape, np.float32) * np.float32(0.025)
    image = (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
    mask = np.array([0, *(label + 1 for label in labels)], np.uint8)[instances]
    contour = np.zeros((size, size), bool)
    for axis in (0, 1):
        a, b = np.moveaxis(instances, axis, 0)[:-1], np.moveaxis(instances, axis, 0)[1:]
        edge = a != b
        np.moveaxis(contour, axis, 0)[:-1] |= edge
        np.moveaxis(contour, axis, 0)[1:] |= edge
    mask[contour] = VOID
    return Scene(image, mask, tuple(labels), tuple(_box(instances == k + 1) for k in range(len(labels))))


def _box(visible: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    return int(xs[0]) + 1, int(ys[0]) + 1, int(xs[-1]) + 1, int(ys[-1]) + 1


# -- background ------------------------------------------------------------------------------------------------------


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Float32 [S, S, 3]: gradients, coarse colour noise, one-channel finer noise, sometimes a horizon."""
    hue = rng.uniform(0.08, 0.45) if rng.random() < 0.85 else rng.random()
    base = _rgb(hue, rng.uniform(0.15, 0.45), rng.uniform(0.35, 0.75))
    ramp = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    canvas = np.empty((size, size, 3), np.float32)
    canvas[:] = base
    slope = rng.normal(0, 0.12, (2, 3)).astype(np.float32)
    canvas += ramp[:, None, None] * slope[0] + ramp[None, :, None] * slope[1]
    if rng.random() < 0.5:
        other = _rgb(rng.random(), rng.uniform(0.1, 0.4), rng.uniform(0.4, 0.85))
        line = rng.uniform(0.25, 0.75) * size + rng.normal(0, 0.1) * size * ramp
        below = np.arange(size)[:, None] > line[None, :]
        canvas[below] += (other - base) * np.float32(rng.uniform(0.5, 1.0))
    coarse = rng.normal(0, 0.07, (int(rng.integers(3, 7)),) * 2 + (3,)).astype(np.float32)
    canvas += _upsample(coarse, size)
    fine = rng.normal(0, rng.uniform(0.02, 0.09), (int(rng.integers(12, 30)),) * 2 + (1,)).astype(np.float32)
    canvas += _upsample(fine, size)
    return canvas


def _upsample(grid: np.ndarray, size: int) -> np.ndarray:
    """Smoothly enlarge [g, g, c] to [size, size, c]."""
    weights = _cubic_weights(grid.shape[0], size)
    rows = np.tensordot(weights, grid, axes=(1, 0))
    return np.tensordot(weights, rows, axes=(1, 1)).transpose(1, 0, 2)


@functools.lru_cache(maxsize=64)
def _cubic_weights(cells: int, size: int) -> np.ndarray:
    """Float32 [size, cells]: cubic B-spline weights of each pixel on a row of cells; rows sum to 1."""
    position = (np.arange(size) + 0.5) / size * cells - 0.5
    distance = np.abs(position[:, None] - np.arange(-1, cells + 1)[None, :])
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    padded = np.where(distance < 1, near, far)
    weights = padded[:, 1:-1].copy()
    weights[:, 0] += padded[:, 0]
    weights[:, -1] += padded[:, -1]
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _draw_distractor(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """An ellipse, box or wedge; half of them wear a class's body texture and colours."""
    size = len(canvas)
    half = rng.uniform(0.05, 0.16) * size * np.array([rng.uniform(0.8, 2.0), 1.0])
    centre = rng.uniform(0, size, 2)
    window, u, v = _local_frame(size, centre, rng.uniform(0, np.pi), float(np.hypot(*half)) + 1)
    if not u.size:
        return
    x, y = u / half[0], v / half[1]
    kind = rng.integers(3)
    if kind == 0:
        inside = x * x + y * y < 1
    elif kind == 1:
        inside = np.maximum(np.abs(x), np.abs(y)) < 0.9
    else:
        inside = (np.abs(y) < (1 - x) / 2) & (x > -1)
    if rng.random() < 0.5:
        colour = _texture(rng, int(rng.integers(3)), u, v, half[1], _family_hue(rng, int(rng.integers(2))))
    else:
        colour = np.broadcast_to(_rgb(rng.random(), rng.uniform(0.1, 0.6), rng.uniform(0.3, 0.9)), (*u.shape, 3))
    canvas[window][inside] = colour[inside]


# -- objects ---------------------------------------------------------------------------------------------------------


def _place(rng, label, instances, heads, size, alone, single_object) -> _Animal | None:
    """Draw a pose; redraw it while it would hide too much of another object, another head, or lose its own head."""
    for _ in range(_MAX_TRIES):
        animal = _pose(rng, label, size, alone, single_object)
        body, head, window = _silhouette(animal, size)
        if head.sum() < 20:
            continue
        if (heads[window][body] > 0).sum() > 6:
            continue
        hidden = np.bincount(instances[window][body], minlength=4)[1:]
        areas = np.bincount(instances.ravel(), minlength=4)[1:]
        if (hidden > 0.35 * areas).any():
            continue
        return animal
    return None if instances.any() else animal


def _pose(rng: np.random.Generator, label: int, size: int, alone: bool, single_object: bool) -> _Animal:
    half_height = (rng.uniform(0.13, 0.20) if single_object else rng.uniform(0.085, 0.17)) * size
    if alone and not single_object:
        half_height *= 1.12
    spread = 0.14 if single_object else 0.30
    return _Animal(
        label=label,
        centre=tuple(size * (0.5 + rng.uniform(-spread, spread, 2))),
        half_height=half_height,
        aspect=rng.uniform(1.35, 1.95),
        angle=rng.normal(0, 0.35) + (np.pi if rng.random() < 0.15 else 0.0),
        flipped=bool(rng.random() < 0.5),
        head_radius=rng.uniform(0.62, 0.75) * half_height,
        wobble_phase=rng.uniform(0, 2 * np.pi),
        hue=_family_hue(rng, label // 3),
        head_hue=_HEAD_HUES[label] + rng.normal(0, 0.02),
    )


def _silhouette(animal: _Animal, size: int) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
    """Boolean masks of the whole animal and of its head inside a window of the image."""
    window, u, v = _frame(animal, size)
    a, b = animal.half_height * animal.aspect, animal.half_height
    power = (2.0, 3.5, 2.4)[animal.label % 3]
    radius = 1 + 0.06 * np.sin(3 * np.arctan2(v, u) + animal.wobble_phase)
    body = (np.abs(u) / a) ** power + (np.abs(v) / b) ** power < radius
    along = (-a - u) / (0.75 * a)
    body |= (along > -0.15) & (along < 1) & (np.abs(v + 0.35 * b * (1 + along)) < 0.22 * b * (1 - along) + 0.6)
    leg = np.minimum(np.abs(u - 0.5 * a), np.abs(u + 0.5 * a)) < max(0.14 * b, 1.4)
    body |= leg & (v > 0) & (v < 1.55 * b)
    head = _head_distance(animal, u, v) < 1
    return body | head, head, window


def _frame(animal: _Animal, size: int) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    reach = animal.half_height * (animal.aspect * 1.75 + 0.3)
    window, u, v = _local_frame(size, animal.centre, animal.angle, reach)
    return window, (-u if animal.flipped else u), v


def _head_distance(animal: _Animal, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    x, y = _head_frame(animal, u, v)
    return np.hypot(x, y)


def _head_frame(animal: _Animal, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b, r = animal.half_height * animal.aspect, animal.half_height, animal.head_radius
    return (u - 1.0 * a) / r, (v + 0.45 * b) / r


def _paint(rng, canvas, instances, heads, animal: _Animal, number: int) -> None:
    size = len(canvas)
    body, head, window = _silhouette(animal, size)
    _, u, v = _frame(animal, size)
    colour = _texture(rng, animal.label % 3, u, v, animal.half_height, animal.hue)
    colour *= (1.0 - 0.22 * np.clip(v / animal.half_height, -1, 1))[..., None]
    colour[head] = _head_pattern(animal, *_head_frame(animal, u[head], v[head]))
    canvas[window][body] = colour[body]
    instances[window][body] = number
    heads[window][body] = 0
    heads[window][head] = number


def _head_pattern(animal: _Animal, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Colours [n, 3] of head pixels: rings, cross, quadrants, wedge, two eyes, or spokes, by class."""
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    dark = (
        (radius % 0.5) > 0.25,
        (np.abs(x) < 0.25) | (np.abs(y) < 0.25),
        (x > 0) ^ (y > 0),
        np.abs(angle) < 0.7,
        np.minimum(np.hypot(x - 0.4, y), np.hypot(x + 0.4, y)) < 0.28,
        np.sin(4 * angle) > 0.2,
    )[animal.label]
    light_rgb, dark_rgb = _rgb(animal.head_hue, 0.75, 0.95), _rgb(animal.head_hue + 0.5, 0.6, 0.25)
    return np.where(dark[:, None], dark_rgb, light_rgb)


def _texture(rng, kind: int, u: np.ndarray, v: np.ndarray, half_height: float, hue: float) -> np.ndarray:
    """Float32 [h, w, 3]: cross bands (0), dots (1) or length lines (2) in two tones of one hue."""
    period = half_height * rng.uniform(0.5, 0.7)
    phase = rng.uniform(0, 2 * np.pi)
    x, y = 2 * np.pi * u / period + phase, 2 * np.pi * v / period
    dark = (np.sin(x) > 0.1, np.sin(x) * np.sin(y) > 0.25, np.sin(y + phase) > 0.1)[kind]
    value = rng.uniform(0.65, 0.85)
    light_rgb = _rgb(hue, rng.uniform(0.45, 0.6), value)
    return np.where(dark[..., None], light_rgb * np.float32(0.5), light_rgb)


# -- geometry and colour ---------------------------------------------------------------------------------------------


def _local_frame(size, centre, angle, reach) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """Window of the image within ``reach`` of ``centre`` and its pixels' coordinates along the rotated axes."""
    cy, cx = centre
    rows = slice(max(0, int(cy - reach)), min(size, int(cy + reach) + 2))
    columns = slice(max(0, int(cx - reach)), min(size, int(cx + reach) + 2))
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - np.float32(cy)
    x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - np.float32(cx)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return (rows, columns), x * cos + y * sin, y * cos - x * sin


def _family_hue(rng: np.random.Generator, family: int) -> float:
    return _FAMILY_HUES[family] + rng.normal(0, 0.035)


def _rgb(hue: float, saturation: float, value: float) -> np.ndarray:
    """Float32 [3] of an HSV colour; hue wraps around."""
    k = (np.array([5.0, 3.0, 1.0]) + hue * 6) % 6
    return (value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)).astype(np.float32)
