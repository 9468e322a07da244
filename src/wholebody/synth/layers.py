"""The types of a dressed body: textures, layers, pieces of clothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from wholebody.arrays import Floats, Image, Ints32


@dataclass(frozen=True, eq=False)
class Texture:
    """An image (h, w, 4) BGRA that repeats, v upwards.

    Attributes:
        cut: alpha below a half is a hole.
        gloss: 0 dull .. 1 wet.
        closed: the back of this surface is never visible and is not drawn.
    """

    image: Image
    cut: bool = False
    gloss: float = 0.05
    closed: bool = False


@dataclass(frozen=True, eq=False)
class Layer:
    """A textured surface of n vertices, attached to vertices of the body, and m faces.

    Attributes:
        refs, weights, offsets: (n, 3) body vertices, their weights, and metres added in the rest pose.
        faces: (m, 3) rows of this layer's vertices. uvs: (m, 3, 2), v upwards.
    """

    refs: Ints32
    weights: Floats
    offsets: Floats
    faces: Ints32
    uvs: Floats
    texture: Texture


@dataclass(frozen=True, eq=False)
class Piece:
    """A mesh fitted to the body, from the asset archive: clothes, shoes, hair, brows, lashes."""

    kind: str
    name: str
    refs: Ints32
    weights: Floats
    offsets: Floats
    scales: tuple[tuple[int, int, float], ...]
    faces: Ints32
    uvs: Floats
    hides: Ints32
    image: Image


@dataclass(frozen=True, eq=False)
class Assets:
    """Optional material: pieces by kind, skins (h, w, 4), and wallpapers (h, w, 3) BGR for backgrounds and prints."""

    pieces: dict[str, list[Piece]] = field(default_factory=dict)
    skins: list[tuple[str, Image]] = field(default_factory=list)
    wallpapers: Sequence[Image] = ()
