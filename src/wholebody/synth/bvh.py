"""BVH motion files: a tree of joints and the rotations of every frame.

    motion = parse(Path("walk.bvh").read_text())
    motion.global_rotations()  # (T, J, 3, 3)

Root positions are ignored: a generated person stands on the floor.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wholebody.arrays import Doubles
from wholebody.errors import WholebodyError
from wholebody.reading import DAMAGED, MOST, in_line, in_short
from wholebody.synth import bvh
from wholebody.synth.body import Body
from wholebody.synth.posture import Posture
from wholebody.synth.rotations import across_of, cross_product, snapped, turn, unit_vector


@dataclass(frozen=True, eq=False)
class Motion:
    """J joints, T frames. Parents come before their children; the root's parent is -1.

    Attributes:
        names: J. parents: (J,). offsets: (J, 3) from the parent's position, in the file's units and axes.
        rotations: (T, J, 3, 3) of each joint relative to its parent; the identity is the file's rest pose.
        interval: seconds between frames.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Doubles
    rotations: Doubles
    interval: float

    def places(self) -> Doubles:
        """(J, 3) positions of the joints at rest, with the root at the origin."""
        places = np.zeros((len(self.names), 3))
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                places[joint] = places[parent] + self.offsets[joint]
        return places

    def global_rotations(self) -> Doubles:
        """(T, J, 3, 3) rotation of each joint in world coordinates."""
        found = self.rotations.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                found[:, joint] = found[:, parent] @ found[:, joint]
        return found


def parse(text: str) -> Motion:
    """The motion of a BVH file's text.

    Raises:
        WholebodyError: not BVH: a broken tree, an unknown channel, or frames that do not match the channels.
    """
    head, found, tail = text.partition("MOTION")
    words = head.split()
    if not found or words[:1] != ["HIERARCHY"]:
        raise WholebodyError("not a BVH file: HIERARCHY and MOTION are missing")
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[tuple[int, str]] = []
    open_: list[int] = []  # joints whose braces are open; -1 for an end site, which is no joint
    at = 1
    try:
        while at < len(words):
            word = words[at]
            if word in ("ROOT", "JOINT", "End"):
                if word == "End":
                    open_.append(-1)
                else:
                    names.append(words[at + 1])
                    parents.append(open_[-1] if open_ else -1)
                    offsets.append([0.0, 0.0, 0.0])
                    open_.append(len(names) - 1)
                at += 2
            elif word == "OFFSET":
                if open_[-1] >= 0:
                    offsets[open_[-1]] = [float(number) for number in words[at + 1 : at + 4]]
                at += 4
            elif word == "CHANNELS":
                count = int(words[at + 1])
                if not 0 <= count <= 6:
                    raise ValueError(f"a joint has {count} channels")
                channels += [(open_[-1], channel.lower()) for channel in words[at + 2 : at + 2 + count]]
                at += 2 + count
            elif word in ("{", "}"):
                if word == "}":
                    open_.pop()
                at += 1
            else:
                raise WholebodyError(f"not a BVH file: {word[:40]!r} in its HIERARCHY")
        numbers = tail.split()
        start = numbers.index("Time:") + 2
        count, interval = int(numbers[numbers.index("Frames:") + 1]), float(numbers[start - 1])
        frames = np.array(numbers[start:], float).reshape(count, len(channels))
        if not channels or not np.isfinite([*frames.flat, *np.array(offsets).flat]).all():
            raise ValueError("nothing moves, or a number is not finite")
        if count * len(names) * 72 > MOST:
            raise ValueError(f"{count} frames of {len(names)} joints are too many")
    except DAMAGED as error:
        raise WholebodyError(f"not a BVH file: {in_short(error)}") from error
    rotations = np.tile(np.eye(3), (count, len(names), 1, 1))
    for column, (joint, channel) in enumerate(channels):
        axis, kind = "xyz".find(channel[:1]), channel[1:]
        if axis < 0 or kind not in ("rotation", "position"):
            raise WholebodyError(f"not a BVH file: channel {channel[:40]!r}")
        if kind == "rotation":
            rotations[:, joint] = rotations[:, joint] @ _turns(axis, frames[:, column])
    return Motion(tuple(names), tuple(parents), np.array(offsets), rotations, interval)


def _turns(axis: int, degrees: Doubles) -> Doubles:
    """(T, 3, 3) rotations about x, y or z."""
    angle = np.deg2rad(degrees)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turns = np.tile(np.eye(3), (len(degrees), 1, 1))
    turns[:, i, i] = turns[:, j, j] = np.cos(angle)
    turns[:, j, i] = np.sin(angle)
    turns[:, i, j] = -np.sin(angle)
    return turns


# Names that motion files give to the bones of our rig, "*" a side's prefix. Files of this rig use its own names.
_BVH_NAMES: dict[str, tuple[str, ...]] = {
    "root": ("hips", "hip", "pelvis"),
    "spine05": ("spine", "abdomen", "lowerback"),
    "spine03": ("spine1", "chest"),
    "spine01": ("spine2", "spine3", "chest2", "upperchest"),
    "neck01": ("neck", "neck1"),
    "head": ("head",),
    "clavicle.*": ("*shoulder", "*collar"),
    "upperarm01.*": ("*arm", "*shldr", "*uparm", "*upperarm"),
    "lowerarm01.*": ("*forearm", "*lowarm", "*lowerarm"),
    "wrist.*": ("*hand", "*wrist"),
    "upperleg01.*": ("*upleg", "*thigh", "*upperleg"),
    "lowerleg01.*": ("*leg", "*shin", "*lowleg", "*lowerleg"),
    "foot.*": ("*foot", "*ankle"),
    **{
        f"finger{i}-{j}.*": (f"*hand{finger}{j}", f"*{finger}{j}")
        for i, finger in enumerate(("thumb", "index", "middle", "ring", "pinky"), start=1)
        for j in (1, 2, 3)
    },
}


# The bone whose place shows where a bone points; the others take over how their parent differs.
_POINTS_TO = {
    "clavicle": "upperarm01", "upperarm01": "lowerarm01", "lowerarm01": "wrist", "wrist": "finger3-1",
    "upperleg01": "lowerleg01", "lowerleg01": "foot",
    **{f"finger{i}-{j}": f"finger{i}-{j + 1}" for i in range(1, 6) for j in (1, 2)},
}  # fmt: skip


def read_bvh(path: str | os.PathLike[str], body: Body) -> tuple[Posture, ...]:
    """The poses of a BVH file on this body's rig, one per frame.

    Joints are recognised by name: those of this rig (MakeHuman's default), and those in files from CMU, Mixamo and
    Poser. Up and left follow from the skeleton itself. If its rest pose differs (a T-pose), the limbs are first rotated
    to the same directions. Bones that the file does not move stay at rest.

    Raises:
        WholebodyError: the file is missing, is not BVH, or has no joints with known names for hips, head or legs.
    """
    try:
        motion = bvh.parse(Path(path).read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise WholebodyError(f"{path}: cannot read this file ({error}).") from error
    except WholebodyError as error:
        raise WholebodyError(f"{path}: {error}.") from error
    joints = _bvh_joints(motion.names, body)
    needed = ("root", "head", "upperleg01.L", "upperleg01.R")
    if missing := [name for name in needed if name not in joints]:
        raise WholebodyError(
            f"{path}: no joint is known as {', '.join(missing)} (found {in_line(', '.join(motion.names[:8]))})."
        )
    places = motion.places()
    thighs = [places[joints[f"upperleg01.{side}"]] for side in "LR"]
    up = snapped(places[joints["head"]] - (thighs[0] + thighs[1]) / 2)
    left = snapped(across_of(thighs[0] - thighs[1], up))
    axes = np.stack([left, cross_product(up, left), up])  # the file's axes to ours: x to the left, y to the back, z up
    places = places @ axes.T
    turned = np.einsum("ij,tnjk,lk->tnil", axes, motion.global_rotations(), axes)
    corrections = _corrections(body, joints, places)
    frames = np.tile(np.eye(3), (len(turned), len(body.bones), 1, 1))
    globals_ = frames.copy()
    for row, name in enumerate(body.bones):
        parent = int(body.parents[row])
        above = globals_[:, parent] if parent >= 0 else np.eye(3)
        if name in joints:
            globals_[:, row] = turned[:, joints[name]] @ corrections[row]
            frames[:, row] = np.swapaxes(above, -1, -2) @ globals_[:, row]
        else:
            globals_[:, row] = above
    kinds = {"stance": "bvh", "motion": Path(path).stem, "left_arm": "bvh", "right_arm": "bvh"}
    return tuple(Posture(frame.astype(np.float32), kinds) for frame in frames)


def _bvh_joints(names: Sequence[str], body: Body) -> dict[str, int]:
    """Our bones -> rows of a motion file's joints."""
    plain = [re.sub(r"[^a-z0-9]", "", name.split(":")[-1].lower()) for name in names]
    found = {name: row for row, name in enumerate(names) if name in body.bone}
    if len(found) > len(names) / 2:
        return found
    found = {}
    for bone, others in _BVH_NAMES.items():
        for side, prefixes in (("L", ("left", "l")), ("R", ("right", "r"))) if "*" in bone else (("", ("",)),):
            wanted = [other.replace("*", prefix) for prefix in prefixes for other in others]
            row = next((plain.index(name) for name in wanted if name in plain), None)
            if row is not None and bone.replace("*", side) in body.bone:
                found[bone.replace("*", side)] = row
    return found


def _corrections(body: Body, joints: Mapping[str, int], places: Doubles) -> Doubles:
    """(J, 3, 3) rotations from the bones of our rest pose to those of the motion's rest pose."""
    turns = np.tile(np.eye(3), (len(body.bones), 1, 1))
    for row, name in enumerate(body.bones):
        base, _, side = name.partition(".")
        target = f"{_POINTS_TO.get(base, '')}.{side}"
        if name in joints and target in joints:
            ours = unit_vector((body.heads[body.bone[target]] - body.heads[row]).astype(np.float64))
            theirs = unit_vector(places[joints[target]] - places[joints[name]])
            cross = cross_product(ours, theirs)
            turns[row] = turn(cross, float(np.rad2deg(np.arctan2(np.linalg.norm(cross), ours @ theirs))))
        elif body.parents[row] >= 0 and (name not in joints or base.startswith(("finger", "wrist"))):
            turns[row] = turns[body.parents[row]]
    return turns
