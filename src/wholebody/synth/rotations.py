"""Rotations: matrices from axes, angles and pairs of directions."""

import numba
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Doubles


def snapped(v: Doubles) -> Doubles:
    """The axis, with its sign, that is nearest to a vector."""
    axis = np.zeros(3)
    largest = int(np.abs(v).argmax())
    axis[largest] = np.sign(v[largest])
    return axis


def turn(axis: npt.ArrayLike, degrees: float) -> Doubles:
    """(3, 3) rotation about an axis, right handed."""
    return np.asarray(_turn(np.asarray(axis, np.float64), float(degrees)))


# A pose takes hundreds of these products of three numbers; NumPy's general ones cost more than all the rest.


@numba.njit(cache=True)
def _turn(axis: Doubles, degrees: float) -> Doubles:
    axis = unit_vector(axis)
    x, y, z = axis[0], axis[1], axis[2]
    angle = np.deg2rad(degrees)
    c, s, t = np.cos(angle), np.sin(angle), 1 - np.cos(angle)
    return np.array(
        [
            [c + x * x * t, x * y * t - z * s, x * z * t + y * s],
            [y * x * t + z * s, c + y * y * t, y * z * t - x * s],
            [z * x * t - y * s, z * y * t + x * s, c + z * z * t],
        ]
    )


@numba.njit(cache=True)
def cross_product(u: Doubles, v: Doubles) -> Doubles:
    return np.array([u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]])


@numba.njit(cache=True)
def unit_vector(v: Doubles) -> Doubles:
    unit: Doubles = v / (np.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]) + 1e-12)
    return unit


@numba.njit(cache=True)
def across_of(v: Doubles, u: Doubles) -> Doubles:
    """The part of v at right angles to the unit vector u, as a unit vector."""
    rest = v - (v[0] * u[0] + v[1] * u[1] + v[2] * u[2]) * u
    if rest[0] * rest[0] + rest[1] * rest[1] + rest[2] * rest[2] < 1e-12:
        rest = cross_product(u, np.array([0.31, 0.53, 0.79]))
    return unit_vector(rest)


@numba.njit(cache=True)
def between(from_axis: Doubles, from_side: Doubles, to_axis: Doubles, to_side: Doubles) -> Doubles:
    """The rotation that maps one axis and its side vector to others."""
    from_third, to_third = cross_product(from_axis, from_side), cross_product(to_axis, to_side)
    rotation = np.empty((3, 3))
    for i in range(3):
        for j in range(3):
            rotation[i, j] = to_axis[i] * from_axis[j] + to_side[i] * from_side[j] + to_third[i] * from_third[j]
    return rotation


X, Y, Z = np.eye(3)


def _angle(rotation: Doubles) -> float:
    """The angle of a rotation in degrees, 0 to 180."""
    return float(np.rad2deg(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1))))


def twist_of(rotation: Doubles, axis: Doubles) -> tuple[float, Doubles]:
    """The twist of a rotation about an axis, in degrees, after a rotation about axes perpendicular to it."""
    bent = rotation @ axis
    cross, cosine = cross_product(axis, bent), float(axis @ bent)
    swing = turn(cross, np.rad2deg(np.arctan2(np.linalg.norm(cross), cosine)))
    rest = swing.T @ rotation  # keeps the axis
    side = across_of(np.array([0.31, 0.53, 0.79]), axis)
    angle = float(np.rad2deg(np.arctan2(cross_product(side, rest @ side) @ axis, side @ rest @ side)))
    twist = turn(axis, angle)
    return angle, np.asarray(twist.T @ swing @ twist)


def limited(rotation: Doubles, limit: float) -> Doubles:
    """The same rotation, by at most `limit` degrees."""
    angle = _angle(rotation)
    if angle <= limit:
        return rotation
    axis = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    return turn(axis, limit)
