"""BVH motion files: a tree of joints and the rotations of every frame.

    motion = parse(Path("walk.bvh").read_text())
    motion.global_rotations()  # (T, J, 3, 3)

Positions of the root are read over, not kept: a generated person stands where the floor is.
"""

from dataclasses import dataclass

import numpy as np

from wholebody.arrays import Doubles
from wholebody.errors import WholebodyError


@dataclass(frozen=True, eq=False)
class Motion:
    """J joints, T frames. Parents come before their children; the root's parent is -1.

    Attributes:
        names: J. parents: (J,). offsets: (J, 3) from the parent's place, in the file's units and axes.
        rotations: (T, J, 3, 3) of each joint against its parent's frame; identity is the file's rest pose.
        interval: seconds between frames.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Doubles
    rotations: Doubles
    interval: float

    def places(self) -> Doubles:
        """(J, 3) of the joints at rest, the root at the origin."""
        places = np.zeros((len(self.names), 3))
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                places[joint] = places[parent] + self.offsets[joint]
        return places

    def global_rotations(self) -> Doubles:
        """(T, J, 3, 3) of each joint against the world."""
        found = self.rotations.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                found[:, joint] = found[:, parent] @ found[:, joint]
        return found


def parse(text: str) -> Motion:
    """The motion of a BVH file's text.

    Raises:
        WholebodyError: not BVH: a broken tree, a channel no one knows, or frames of another length than the channels.
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
                channels += [(open_[-1], channel.lower()) for channel in words[at + 2 : at + 2 + count]]
                at += 2 + count
            elif word in ("{", "}"):
                if word == "}":
                    open_.pop()
                at += 1
            else:
                raise WholebodyError(f"not a BVH file: {word!r} in its HIERARCHY")
        numbers = tail.split()
        start = numbers.index("Time:") + 2
        count, interval = int(numbers[numbers.index("Frames:") + 1]), float(numbers[start - 1])
        frames = np.array(numbers[start:], float).reshape(count, len(channels))
    except (IndexError, ValueError) as error:
        raise WholebodyError(f"not a BVH file: {error}") from error
    rotations = np.tile(np.eye(3), (count, len(names), 1, 1))
    for column, (joint, channel) in enumerate(channels):
        axis, kind = "xyz".find(channel[:1]), channel[1:]
        if axis < 0 or kind not in ("rotation", "position"):
            raise WholebodyError(f"not a BVH file: channel {channel!r}")
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
