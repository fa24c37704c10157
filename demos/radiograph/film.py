"""From a scene to a film: absorption, exposure, collimation, noise, burnt-in letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from radiograph.bones import Array, Bone, Point
from radiograph.defects import Blob, Scene

Plane = NDArray[np.float32]

METAL = 3.2
CLOSE_UP = 208
CORTEX_STEPS = (0.0, 0.3, 0.65, 1.0)
MARROW_STEPS = (0.75, 0.4)


@dataclass(frozen=True)
class Pose:
    """Where the body part lies on the film: size (width, height), x -> matrix @ x + offset."""

    size: tuple[int, int]
    matrix: Array
    offset: Array

    def __call__(self, points: Array) -> Array:
        """Map (K, 2) points from the body to the film."""
        return points @ self.matrix.T + self.offset

    @property
    def scale(self) -> float:
        """Film pixels per unit."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))


def random_pose(rng: np.random.Generator, mirrored: bool) -> Pose:
    """A film with a long side near 512, the part turned, moved and scaled a little."""
    height = int(rng.integers(496, 528))
    width = int(height * rng.uniform(0.68, 0.98))
    angle = np.deg2rad(rng.normal(0, 7))
    scale = rng.uniform(0.86, 1.08)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flip = np.diag([-1.0 if mirrored else 1.0, 1.0])
    offset = np.array([width / 2, height / 2]) + rng.normal(0, 12, size=2)
    if rng.random() < 0.12:
        width, height, offset = height, width, offset[::-1].copy()
        rotation = rotation @ np.array([[0.0, -1.0], [1.0, 0.0]])
    return Pose((width, height), scale * rotation @ flip, offset)


def close_up(pose: Pose, point: Array, rng: np.random.Generator) -> Pose:
    """The same pose on a small film around a point of the body, off centre by up to a sixth."""
    shift = CLOSE_UP / 2 + rng.uniform(-CLOSE_UP / 6, CLOSE_UP / 6, size=2) - pose(point[None])[0]
    return Pose((CLOSE_UP, CLOSE_UP), pose.matrix, pose.offset + shift)


def _window(points: Array, size: tuple[int, int], margin: int) -> tuple[int, int, int, int] | None:
    """The box of the points inside the film, or None where they miss it."""
    left, top = np.floor(points.min(axis=0)).astype(int) - margin
    right, bottom = np.ceil(points.max(axis=0)).astype(int) + margin
    box = max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])
    return box if box[2] - box[0] > 1 and box[3] - box[1] > 1 else None


def _polygons(
    box: tuple[int, int, int, int], shapes: Sequence[tuple[Array, int]], blur: float
) -> Plane:
    """Fill polygons one over the other into the box, antialiased; 0..1."""
    width, height = box[2] - box[0], box[3] - box[1]
    tile = Image.new("L", (2 * width, 2 * height))
    draw = ImageDraw.Draw(tile)
    for points, value in shapes:
        corners = (points - (box[0], box[1])) * 2
        draw.polygon([(float(x), float(y)) for x, y in corners], fill=value)
    small = tile.reduce(2).filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(small, dtype=np.float32) / np.float32(255)


def _levels(bone: Bone) -> list[tuple[Array, int]]:
    """Nested outlines with the length of the beam's way through the wall of a tube."""
    hollow = 1 - bone.cortex
    shrinks = [1 - bone.cortex * step for step in CORTEX_STEPS] + [hollow * m for m in MARROW_STEPS]
    inner = [*shrinks[1:], 0.0]
    shapes = []
    for shrink, below in zip(shrinks, inner, strict=True):
        x = (shrink + below) / 2
        wall = np.sqrt(1 - x * x) - 0.85 * np.sqrt(max(hollow**2 - x * x, 0))
        shapes.append((bone.outline(shrink), int(255 * min(0.12 + 1.05 * wall, 1.0))))
    return shapes


def _draw_bones(bones: Sequence[Bone], size: tuple[int, int], blur: float) -> Plane:
    plane = np.zeros((size[1], size[0]), np.float32)
    for bone in bones:
        shapes = _levels(bone)
        box = _window(shapes[0][0], size, 4)
        if box is None:
            continue
        left, top, right, bottom = box
        plane[top:bottom, left:right] += bone.density * _polygons(box, shapes, blur)
    return plane


def _draw_blob(plane: Plane, blob: Blob) -> None:
    """Change the bone's density in place: a hole with a thin rim, or a dense spot."""
    height, width = plane.shape
    reach = 1.8 * blob.radius
    box = _window(np.stack([blob.centre - reach, blob.centre + reach]), (width, height), 0)
    if box is None:
        return
    left, top, right, bottom = box
    y, x = np.mgrid[top:bottom, left:right]
    distance = np.hypot(x - blob.centre[0], y - blob.centre[1]) / blob.radius
    core = np.exp(-(distance**4))
    rim = np.exp(-(((distance - 1.1) / 0.14) ** 2)) if blob.amount < 0 else 0.0
    factor = 1 + blob.amount * core - 0.25 * blob.amount * rim
    plane[top:bottom, left:right] *= factor.astype(np.float32)


def _clouds(rng: np.random.Generator, size: tuple[int, int], cell: int) -> Plane:
    """Smooth noise of mean 0 and deviation about 1: (height, width)."""
    shape = (size[1] // cell + 2, size[0] // cell + 2)
    coarse = Image.fromarray(rng.standard_normal(shape, dtype=np.float32))
    return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)


def _draw_tissue(tissue: Sequence[tuple[Point, Point, float, float]], pose: Pose) -> Plane:
    """The soft halo: tapering capsules, drawn at a quarter of the size; 0..1."""
    small = (pose.size[0] // 4 + 1, pose.size[1] // 4 + 1)
    mask = Image.new("L", small)
    draw = ImageDraw.Draw(mask)
    for start, end, first, last in tissue:
        ends = pose(np.array([start, end], float)) / 4
        for t in np.linspace(0, 1, 24):
            x, y = ends[0] + t * (ends[1] - ends[0])
            radius = (first + t * (last - first)) * pose.scale / 4
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    soft = mask.filter(ImageFilter.GaussianBlur(5 * pose.scale))
    edge = Image.blend(soft, mask.filter(ImageFilter.GaussianBlur(1)), 0.3)
    return np.asarray(
        edge.resize(pose.size, Image.Resampling.BICUBIC), dtype=np.float32
    ) / np.float32(255)


def _collimate(plane: Plane, rng: np.random.Generator) -> None:
    """Blacken what lies outside the beam's slightly turned rectangle."""
    if rng.random() < 0.4:
        return
    height, width = plane.shape
    angle = np.deg2rad(rng.normal(0, 2.5))
    y, x = np.ogrid[-height / 2 : height / 2, -width / 2 : width / 2]
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    left, right, top, bottom = rng.uniform(0.36, 0.56, size=4)
    inside = (u > -left * width) & (u < right * width) & (v > -top * height) & (v < bottom * height)
    plane *= np.where(inside[:height, :width], 1.0, rng.uniform(0.0, 0.08)).astype(np.float32)


def _expose(density: Plane, rng: np.random.Generator) -> Plane:
    """Absorption to grey values in 0..1, with the exposure of a hurried day."""
    height, width = density.shape
    penetration = rng.uniform(0.75, 1.35)
    grey = 1 - np.exp(-penetration * density)
    heel = np.linspace(rng.uniform(-0.06, 0.06), rng.uniform(-0.06, 0.06), height)
    grey = np.clip(grey + heel[:, None].astype(np.float32) * (grey > 0.02), 0, 1)
    grey = rng.uniform(0.75, 1.05) * grey ** rng.uniform(0.8, 1.3) + rng.uniform(0.0, 0.07)
    grain = rng.standard_normal((height, width), dtype=np.float32)
    grain[1:] = 0.75 * grain[1:] + 0.5 * grain[:-1]
    return np.asarray(grey + rng.uniform(0.006, 0.028) * grain * np.sqrt(grey + 0.08), np.float32)


def _letters(image: Image.Image, marker: str, rng: np.random.Generator) -> None:
    """Burn in the side marker and the word that keeps this from passing for a medical image."""
    draw = ImageDraw.Draw(image)
    width, height = image.size
    x = int(
        rng.uniform(0.05, 0.13) * width if rng.random() < 0.5 else rng.uniform(0.8, 0.9) * width
    )
    y = int(
        rng.uniform(0.04, 0.16) * height if rng.random() < 0.5 else rng.uniform(0.78, 0.88) * height
    )
    font = ImageFont.load_default(size=int(rng.integers(20, 34)))
    draw.text((x, y), marker, fill=int(rng.integers(200, 256)), font=font)
    corner = (6, height - 16) if rng.random() < 0.5 else (width - 62, height - 16)
    draw.text(corner, "PHANTOM", fill=190, font=ImageFont.load_default(size=11))


def develop(
    scene: Scene,
    tissue: Sequence[tuple[Point, Point, float, float]],
    pose: Pose,
    marker: str,
    rng: np.random.Generator,
) -> Image.Image:
    """The finished film of a scene: 8-bit grey, `pose.size`, with `marker` ("L" or "R")."""
    size = pose.size
    bones = [bone.mapped(pose.matrix, pose.offset) for bone in scene.bones]
    bone_plane = _draw_bones(bones, size, float(rng.uniform(0.7, 1.3)))
    bone_plane *= 1 + 0.07 * _clouds(rng, size, 5) + 0.08 * _clouds(rng, size, 24)
    for blob in scene.blobs:
        _draw_blob(
            bone_plane, Blob(pose(blob.centre[None])[0], blob.radius * pose.scale, blob.amount)
        )
    density = rng.uniform(0.8, 1.25) * bone_plane
    soft = _draw_tissue(tissue, pose)
    density += rng.uniform(0.22, 0.55) * soft * (1 + 0.12 * _clouds(rng, size, 40))
    metal = [pose(points) for points in scene.metal]
    if metal:
        density += METAL * _polygons((0, 0, *size), [(points, 255) for points in metal], 0.6)
    grey = _expose(density, rng)
    _collimate(grey, rng)
    image = Image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8))
    _letters(image, marker, rng)
    return image
