"""Seven body parts as bones and soft tissue, centred on (0, 0), about 400 x 512 units.

Each builder takes the patient's own generator, so that every view of a patient has the same bones
in the same order, and the view: `spread` (1: frontal, 0.4: nearly lateral) and `bend` in [0, 1].
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from radiograph.bones import Bone, Point, long_bone, round_bone, tube


@dataclass(frozen=True)
class View:
    """How the beam meets the body part."""

    spread: float = 1.0
    bend: float = 0.0


@dataclass(frozen=True)
class Anatomy:
    """Bones, those of them that may be broken (`targets`), and tissue as (from, to, r, r)."""

    bones: list[Bone] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    tissue: list[tuple[Point, Point, float, float]] = field(default_factory=list)

    def add(self, *bones: Bone, target: bool = False) -> None:
        """Append bones; `target` ones may carry a defect."""
        if target:
            self.targets.extend(range(len(self.bones), len(self.bones) + len(bones)))
        self.bones.extend(bones)


def _vary(rng: np.random.Generator, value: float, share: float = 0.1) -> float:
    return value * float(rng.uniform(1 - share, 1 + share))


def _toward(start: Point, angle: float, length: float) -> Point:
    """The point `length` away; angle 0 points up, positive to the right, in radians."""
    return start[0] + length * float(np.sin(angle)), start[1] - length * float(np.cos(angle))


def _carpals(
    anatomy: Anatomy, rng: np.random.Generator, centre: Point, size: float, spread: float
) -> None:
    """Eight bones in two rows."""
    for row in range(2):
        for column in range(4):
            x = centre[0] + (column - 1.5) * 1.55 * size * spread
            y = centre[1] + (row - 0.5) * 1.7 * size + abs(column - 1.5) * 0.25 * size
            radii = (_vary(rng, size * 0.95, 0.2), _vary(rng, size * 0.8, 0.2))
            anatomy.add(round_bone((x, y), radii, float(rng.uniform(0, 3)), rng))


def _ray(
    anatomy: Anatomy,
    rng: np.random.Generator,
    base: Point,
    angle: float,
    scale: float,
    lengths: tuple[float, ...],
    curl: float,
) -> None:
    """A metacarpal and its phalanges; every bone can be a target."""
    start = base
    tips: list[Point] = [base]
    for number, length in enumerate(lengths):
        shaft = scale * (8.5, 7.5, 6.5, 5.0)[number + 4 - len(lengths)]
        angle += curl * float(rng.uniform(-0.5, 1.0)) if number else 0.0
        end = _toward(start, angle, _vary(rng, length * scale, 0.05))
        bone = long_bone(start, end, shaft * 1.45, shaft, shaft * 1.4, float(rng.uniform(-2, 2)))
        anatomy.add(bone, target=True)
        tips.append(end)
        start = _toward(end, angle, 3.5 * scale)
    for one, other in itertools.pairwise(tips):
        anatomy.tissue.append((one, other, 21 * scale, 16 * scale))


def humerus(rng: np.random.Generator, view: View) -> Anatomy:
    """Head, shaft, condyles; the glenoid and the elbow at the edges."""
    anatomy = Anatomy()
    shaft = _vary(rng, 19)
    anatomy.add(
        long_bone(
            (0, -195),
            (0, 185),
            33,
            shaft,
            36 * (0.6 + 0.4 * view.spread),
            float(rng.uniform(-8, 8)),
        ),
        target=True,
    )
    side = 24 * view.spread
    anatomy.add(round_bone((-side, -200), (_vary(rng, 40), 37), 0.6, rng, 0.6))
    anatomy.add(
        round_bone((side, 188), (19, 16), 0.2, rng), round_bone((-side, 190), (20, 15), 0, rng)
    )
    anatomy.add(tube((18 * view.spread, 212), (24 * view.spread, 330), (17, 12, 13, 13)))
    anatomy.add(tube((-16 * view.spread, 196), (-18 * view.spread, 330), (20, 16, 13, 13)))
    anatomy.add(round_bone((-82 * view.spread, -195), (46, 15), 1.5, rng, 0.6))
    anatomy.add(tube((-150, -262), (5, -258), (10, 12, 14), density=0.7))
    anatomy.tissue.append(((0, -215), (0, 300), _vary(rng, 88), _vary(rng, 62)))
    anatomy.tissue.append(((-190, -300), (-170, -40), 100, 60))
    return anatomy


def forearm(rng: np.random.Generator, view: View) -> Anatomy:
    """Radius and ulna from the elbow to the wrist."""
    anatomy = Anatomy()
    width, spread = _vary(rng, 13), view.spread
    radius = long_bone((26 * spread, -172), (34 * spread, 180), 16, width, 29, 14 * spread)
    ulna = long_bone((-20 * spread, -195), (-30 * spread, 172), 25, width, 12, -4)
    anatomy.add(radius, ulna, target=True)
    anatomy.add(tube((0, -330), (0, -205), (22, 22, 40 * (0.55 + 0.45 * spread), 36)))
    _carpals(anatomy, rng, (4, 218), 17, spread)
    for finger in range(5):
        x = (finger - 2) * 22 * spread + 4
        anatomy.add(tube((x, 250), (x + (finger - 2) * 6, 340), (11, 7, 8)))
    anatomy.tissue.append(((0, -280), (0, 0), _vary(rng, 84), _vary(rng, 74)))
    anatomy.tissue.append(((0, 0), (4, 300), 70, _vary(rng, 50)))
    return anatomy


def elbow(rng: np.random.Generator, view: View) -> Anatomy:
    """Humerus above, radius and ulna at the angle of flexion."""
    anatomy = Anatomy()
    angle = np.pi - view.bend * float(rng.uniform(1.2, 1.7))
    wide = 54 * (0.5 + 0.5 * view.spread)
    anatomy.add(long_bone((0, -330), (0, -8), 30, _vary(rng, 26), wide), target=True)
    across = angle + np.pi / 2
    head = _toward(_toward((0, 0), angle, 26), across, -26 * view.spread)
    notch = _toward(_toward((0, 0), angle, -8), across, 22 * view.spread + 8)
    length = 330.0
    radius_end = _toward(head, angle + 0.04, length)
    ulna_end = _toward(notch, angle + 0.02, length)
    anatomy.add(long_bone(head, radius_end, 23, _vary(rng, 17), 30), target=True)
    anatomy.add(long_bone(notch, ulna_end, 36, _vary(rng, 18), 17), target=True)
    anatomy.add(
        round_bone((16 * view.spread, -2), (22, 19), 0.2, rng),
        round_bone((-20 * view.spread, 0), (24, 17), 0.1, rng),
    )
    anatomy.tissue.append(((0, -300), (0, 0), _vary(rng, 98), 86))
    anatomy.tissue.append(((0, 0), _toward((0, 0), angle, 320), 88, _vary(rng, 76)))
    return anatomy


def wrist(rng: np.random.Generator, view: View) -> Anatomy:
    """The ends of radius and ulna, eight carpals, five metacarpals."""
    anatomy, spread = Anatomy(), view.spread
    radius = long_bone(
        (36 * spread, 330), (30 * spread, 62), 25, _vary(rng, 25), 54 * (0.4 + 0.6 * spread)
    )
    ulna = long_bone((-46 * spread, 330), (-50 * spread, 72), 20, _vary(rng, 18), 25)
    anatomy.add(radius, ulna, target=True)
    _carpals(anatomy, rng, (0, 6), 30, spread)
    lengths = (150.0, 205.0, 200.0, 180.0, 165.0)
    for finger, length in enumerate(lengths):
        angle = (0.75, 0.13, 0.02, -0.08, -0.18)[finger] * (0.3 + 0.7 * spread)
        base = ((62 - 32 * finger) * spread, -48.0 + (26 if finger == 0 else 3 * finger))
        shaft = _vary(rng, 13)
        anatomy.add(long_bone(base, _toward(base, angle, length), 23, shaft, 22), target=True)
    anatomy.tissue.append(((0, 320), (0, 40), _vary(rng, 92), 84))
    anatomy.tissue.append(((0, 40), (-4, -270), 88, _vary(rng, 128) * (0.5 + 0.5 * spread)))
    return anatomy


def hand(rng: np.random.Generator, view: View) -> Anatomy:
    """Five rays, the carpals, the ends of the forearm."""
    anatomy, spread = Anatomy(), view.spread
    fan = _vary(rng, 1.0, 0.4) * (0.3 + 0.7 * spread)
    lengths = (
        (86.0, 52.0, 33.0),
        (98.0, 62.0, 37.0, 26.0),
        (96.0, 68.0, 43.0, 28.0),
        (88.0, 62.0, 40.0, 27.0),
        (80.0, 48.0, 29.0, 24.0),
    )
    for finger, bones in enumerate(lengths):
        angle = (0.62, 0.16, 0.02, -0.12, -0.27)[finger] * fan
        base = ((64 - 30 * finger) * spread, 138.0 + (34 if finger == 0 else 3 * finger))
        _ray(anatomy, rng, base, angle, 1.35, bones, view.bend * 0.35)
    _carpals(anatomy, rng, (4, 184), 23, spread)
    anatomy.add(tube((26 * spread, 236), (30 * spread, 360), (38, 36, 24, 20, 20)))
    anatomy.add(tube((-38 * spread, 240), (-40 * spread, 360), (18, 18, 14, 14)))
    anatomy.tissue.append(((0, 150), (0, 40), 80, _vary(rng, 92) * (0.45 + 0.55 * spread)))
    anatomy.tissue.append(((0, 340), (0, 140), 62, 74))
    return anatomy


def finger(rng: np.random.Generator, view: View) -> Anatomy:
    """One finger, large, with the neighbour beside it."""
    anatomy = Anatomy()
    lean = float(rng.uniform(-0.08, 0.08))
    scale = _vary(rng, 2.45)
    _ray(anatomy, rng, (0, 330), lean, scale, (68.0, 64.0, 40.0, 27.0), view.bend * 0.5)
    del anatomy.targets[0]
    beside = (1 if rng.random() < 0.5 else -1) * (60 + 85 * view.spread)
    count = len(anatomy.targets)
    _ray(
        anatomy,
        rng,
        (beside, 360),
        lean + 0.05 * np.sign(beside),
        scale * 0.97,
        (68.0, 62.0, 38.0, 26.0),
        view.bend * 0.5,
    )
    del anatomy.targets[count:]
    return anatomy


def shoulder(rng: np.random.Generator, view: View) -> Anatomy:
    """Humeral head, glenoid, scapula, acromion, clavicle and some ribs."""
    anatomy, spread = Anatomy(), 0.6 + 0.4 * view.spread
    shaft = _vary(rng, 29)
    swing = float(rng.uniform(-20, 40)) + 60 * view.bend
    anatomy.add(
        tube((68, -40), (95 + swing, 330), (46, 50, 40, shaft, shaft, shaft, shaft), 0, 0.36),
        target=True,
    )
    anatomy.add(tube((-250, -150), (52 * spread, -158), (20, 14, 13, 14, 18), 18, 0.4), target=True)
    anatomy.add(round_bone((50 * spread, -66), (_vary(rng, 62), 57), 0.8, rng, 0.65))
    anatomy.add(round_bone((-22 * spread, -52), (54, 17), 1.45, rng, 0.7))
    anatomy.add(tube((-55, -70), (-95, 210), (62, 58, 40, 24, 8), 12, 0.12, 0.3))
    anatomy.add(tube((-150, -95), (62, -128), (9, 12, 15, 22), -16, 0.3, 0.7))
    anatomy.add(tube((-60, -95), (2, -100), (16, 13, 12), 10, 0.3, 0.6))
    for rib in range(4):
        y = -105.0 + 95 * rib
        anatomy.add(tube((-330, y - 60), (-105, y + 70), (11, 11, 10, 9), -45, 0.3, 0.35))
    anatomy.tissue.append(((70, -60), (95 + swing, 320), _vary(rng, 112), _vary(rng, 88)))
    anatomy.tissue.append(((-240, -60), (40, -60), 150, 100))
    anatomy.tissue.append(((-240, 0), (-200, 300), 150, 160))
    return anatomy


def scaled(anatomy: Anatomy, width: float) -> Anatomy:
    """The same anatomy with all bones `width` times as wide."""
    bones = [replace(bone, half_width=bone.half_width * width) for bone in anatomy.bones]
    return replace(anatomy, bones=bones)


Builder = Callable[[np.random.Generator, View], Anatomy]

BODY_PARTS: dict[str, Builder] = {
    "XR_ELBOW": elbow,
    "XR_FINGER": finger,
    "XR_FOREARM": forearm,
    "XR_HAND": hand,
    "XR_HUMERUS": humerus,
    "XR_SHOULDER": shoulder,
    "XR_WRIST": wrist,
}
