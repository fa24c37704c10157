"""What makes a study abnormal, and what only looks odd: fractures, metal, lesions, distractors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from radiograph.anatomy import Anatomy
from radiograph.bones import Array, Bone

KINDS = ("fracture", "plate", "wire", "lesion")


@dataclass(frozen=True)
class Defect:
    """One defect of a study: which bone, where along it, and its own seed for the details."""

    kind: str
    choice: float
    position: float
    severity: float
    seed: int


@dataclass(frozen=True)
class Blob:
    """A round change of density: below zero a hole with a rim, above zero a dense spot."""

    centre: Array
    radius: float
    amount: float


@dataclass
class Scene:
    """All that one view draws: bones, metal polygons (K, 2), blobs."""

    bones: list[Bone]
    metal: list[Array] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)


def random_defect(rng: np.random.Generator) -> Defect:
    """Draw a defect: six fractures in ten, the rest metal and lesions."""
    kind = str(rng.choice(KINDS, p=(0.55, 0.15, 0.1, 0.2)))
    severity = float(rng.uniform(0.35, 1.0))
    return Defect(
        kind,
        float(rng.random()),
        float(rng.uniform(0.22, 0.78)),
        severity,
        int(rng.integers(2**31)),
    )


def broken(bone: Bone, t: float, step: float, angle: float, gap: float, slant: int) -> list[Bone]:
    """Split a bone at `t`: the far piece moved sideways by `step`, turned by `angle` (radians)."""
    count, cut = len(bone.axis), bone.at(t)
    reach = min(abs(slant), cut - 2, count - cut - 3)
    reach = max(reach, 0)
    pivot, normal, tangent = bone.axis[cut], bone.normals[cut], bone.tangents[cut]
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    near_end, far_start = cut + reach, cut - reach
    near_trim = (0, 0, 0, 2 * reach) if slant > 0 else (0, 2 * reach, 0, 0)
    far_trim = (2 * reach, 0, 0, 0) if slant > 0 else (0, 0, 2 * reach, 0)
    near = replace(
        bone,
        axis=bone.axis[: near_end + 1],
        half_width=bone.half_width[: near_end + 1],
        trim=near_trim,
    )
    far_axis = (bone.axis[far_start:] - pivot) @ turn.T + pivot + normal * step + tangent * gap
    far = replace(bone, axis=far_axis, half_width=bone.half_width[far_start:], trim=far_trim)
    return [near, far]


def _bar(start: Array, end: Array, half_width: float) -> Array:
    """A rectangle (4, 2) around a line."""
    along = (end - start) / max(float(np.linalg.norm(end - start)), 1e-9)
    across = np.array([along[1], -along[0]]) * half_width
    return np.stack([start + across, end + across, end - across, start - across])


def _fracture(
    bone: Bone, defect: Defect, visibility: float, rng: np.random.Generator
) -> list[Bone]:
    width = float(bone.half_width[bone.at(defect.position)])
    strength = defect.severity * visibility
    sign = 1.0 if rng.random() < 0.5 else -1.0
    step = sign * strength * width * float(rng.uniform(0.2, 0.9))
    angle = sign * strength * np.deg2rad(float(rng.uniform(3, 22)))
    gap = (0.25 + 0.75 * strength) * width * float(rng.uniform(0.12, 0.35))
    return broken(bone, defect.position, step, float(angle), gap, int(rng.integers(-4, 5)))


def _plate(bone: Bone, defect: Defect, visibility: float, rng: np.random.Generator) -> list[Array]:
    """A plate beside or over the shaft, with screws through it."""
    half = float(rng.uniform(0.12, 0.28))
    first, last = (
        bone.at(max(defect.position - half, 0.05)),
        bone.at(min(defect.position + half, 0.95)),
    )
    width = float(bone.half_width[bone.at(defect.position)])
    side = 1.0 if rng.random() < 0.5 else -1.0
    shift = bone.normals * (side * width * (0.2 + 0.9 * visibility))
    path = (bone.axis + shift)[first : last + 1]
    thick = width * (0.42 - 0.22 * visibility) + 1.0
    across = bone.normals[first : last + 1] * thick
    metal = [np.concatenate([path + across, (path - across)[::-1]])]
    for index in np.linspace(first, last, int(rng.integers(3, 8))).astype(int):
        head = bone.axis[index] + shift[index]
        tip = bone.axis[index] - bone.normals[index] * side * width * visibility
        metal.append(_bar(head, tip, max(0.09 * width, 1.0)))
    return metal


def _wire(bone: Bone, defect: Defect, visibility: float, rng: np.random.Generator) -> list[Array]:
    """One or two thin wires or screws, slanting through the bone."""
    metal = []
    for _ in range(int(rng.integers(1, 3))):
        index = bone.at(defect.position + float(rng.uniform(-0.06, 0.06)))
        width = float(bone.half_width[index])
        slant = float(rng.uniform(0.4, 2.2)) * width
        along, across = (
            bone.tangents[index] * slant,
            bone.normals[index] * width * 1.25 * visibility,
        )
        metal.append(
            _bar(
                bone.axis[index] - along - across,
                bone.axis[index] + along + across,
                max(0.07 * width, 1.0),
            )
        )
    return metal


def _lesion(bone: Bone, defect: Defect, visibility: float, rng: np.random.Generator) -> Blob:
    index = bone.at(defect.position)
    width = float(bone.half_width[index])
    centre = bone.axis[index] + bone.normals[index] * width * float(rng.uniform(-0.4, 0.4))
    lytic = rng.random() < 0.65
    amount = (-0.85 if lytic else 0.9) * (0.3 + 0.7 * defect.severity) * visibility
    return Blob(centre, width * float(rng.uniform(0.6, 1.15)), amount)


def location(defect: Defect, anatomy: Anatomy) -> Array:
    """Where the defect is, or would be in a normal study: (2,)."""
    bone = anatomy.bones[anatomy.targets[int(defect.choice * len(anatomy.targets))]]
    return np.asarray(bone.axis[bone.at(defect.position)], np.float64)


def apply(defect: Defect, anatomy: Anatomy, visibility: float) -> Scene:
    """Draw the defect into an anatomy; at `visibility` 0 the view does not show it."""
    scene = Scene(list(anatomy.bones))
    if visibility <= 0:
        return scene
    rng = np.random.default_rng(defect.seed)
    target = anatomy.targets[int(defect.choice * len(anatomy.targets))]
    bone = anatomy.bones[target]
    if defect.kind == "fracture":
        scene.bones[target : target + 1] = _fracture(bone, defect, visibility, rng)
    elif defect.kind == "plate":
        scene.metal += _plate(bone, defect, visibility, rng)
    elif defect.kind == "wire":
        scene.metal += _wire(bone, defect, visibility, rng)
    else:
        scene.blobs.append(_lesion(bone, defect, visibility, rng))
    return scene


def distract(scene: Scene, body_part: str, rng: np.random.Generator) -> None:
    """Add what normal films have too, whatever the label: rings, buttons, bone islands."""
    if rng.random() < 0.15:
        bone = scene.bones[int(rng.integers(len(scene.bones)))]
        index = bone.at(float(rng.uniform(0.1, 0.9)))
        scene.blobs.append(
            Blob(bone.axis[index], float(rng.uniform(2, 4)), float(rng.uniform(0.2, 0.5)))
        )
    if body_part in ("XR_HAND", "XR_FINGER") and rng.random() < 0.12:
        bone = scene.bones[1]
        middle, across = bone.axis[bone.at(0.5)], bone.normals[bone.at(0.5)]
        reach = across * 2.2 * float(bone.half_width[bone.at(0.5)])
        scene.metal.append(_bar(middle - reach, middle + reach, 3.0))
    if rng.random() < 0.12:
        angle = np.linspace(0, 2 * np.pi, 24)
        centre = rng.uniform(-200, 200, size=2)
        disc = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.uniform(4, 9)
        scene.metal.append(centre + disc)


def with_growth_plates(anatomy: Anatomy, gap: float) -> Anatomy:
    """A young patient: a dark line near one end of every target, which is no fracture."""
    bones = list(anatomy.bones)
    for target in reversed(anatomy.targets):
        near, far = broken(bones[target], 0.9, 0.0, 0.0, gap, 0)
        bones[target] = near
        bones.append(far)
    return replace(anatomy, bones=bones)
