"""Clothes, hair and skins from the MakeHuman archive."""

import io
import os
import re
import tarfile
from pathlib import PurePosixPath

import cv2
import numpy as np

from wholebody.arrays import Image
from wholebody.images import decode_image, is_picture
from wholebody.reading import in_line, reading, tar_members
from wholebody.synth.layers import Assets, Piece

_VERTICES = 10**6  # more than any body has; MakeHuman's has 19,158


def load_assets(
    archive: str | os.PathLike[str] | None = None, wallpapers: str | os.PathLike[str] | None = None
) -> Assets:
    """Read the optional material.

    Args:
        archive: tar of MakeHuman's CC0 assets: folders hair, eyebrows, eyelashes, clothes with .mhclo, .obj and .mhmat,
            and textures/.
        wallpapers: tar of pictures for backgrounds and prints.

    Raises:
        WholebodyError: a file is missing or is not a tar file.
    """
    files = _untar(archive)
    images = {
        PurePosixPath(name).name: image
        for name, data in files.items()
        if "/textures/" in name and name.endswith(".png") and (image := _texture(data, name)) is not None
    }
    pieces: dict[str, list[Piece]] = {}
    for name in sorted(files):
        path = PurePosixPath(name)
        if path.suffix == ".mhclo" and "cocked" not in name:
            with reading(f"{archive}: {in_line(name)}", "clothes of MakeHuman"):
                piece = _read_piece(files, path, images)
            if piece is not None:
                pieces.setdefault(piece.kind, []).append(piece)
    skins = [
        (name, images[PurePosixPath(name).name])
        for name in sorted(files)
        if "/skins/" in name and "suit" not in name and PurePosixPath(name).name in images
    ]
    papers = [_paper(decode_image(data, name)) for name, data in sorted(_untar(wallpapers).items()) if is_picture(data)]
    return Assets(pieces, skins, papers)


def _untar(path: str | os.PathLike[str] | None) -> dict[str, bytes]:
    if path is None:
        return {}
    with reading(path, "an archive"), tarfile.open(path) as archive:
        found = {}
        for member in tar_members(archive, path):
            if (file := archive.extractfile(member)) is not None:
                found[member.name] = file.read()
        return found


def _texture(data: bytes, name: str) -> Image | None:
    """(H, W, 4) BGRA; None if it is no picture, like the notes that stand for large files in a clone."""
    return decode_image(data, name, alpha=True) if is_picture(data) else None


def _paper(image: Image) -> Image:
    """480 pixels wide; of a very tall picture, the top."""
    image = image[: 8 * image.shape[1]]
    height = max(round(480 * image.shape[0] / image.shape[1]), 1)
    return np.asarray(cv2.resize(image, (480, height), interpolation=cv2.INTER_AREA), np.uint8)


def _read_piece(files: dict[str, bytes], path: PurePosixPath, images: dict[str, Image]) -> Piece | None:
    text = files[str(path)].decode("utf-8", "replace")
    header = dict(re.findall(r"^(name|obj_file|material|x_scale|y_scale|z_scale)\s+(.+?)\s*$", text, re.M))
    body, _, deleted = text.partition("delete_verts")
    rows: list[list[float]] = []
    started = False
    for line in body.splitlines():
        words = line.split()
        if words[:1] == ["verts"]:
            started = True
        elif started and words and re.fullmatch(r"-?[\d.]+", words[0]) and len(words) in (1, 9):
            numbers = [float(word) for word in words]
            rows.append(numbers if len(numbers) == 9 else [numbers[0]] * 3 + [1, 0, 0, 0, 0, 0])
    table = np.array(rows)
    vertices, coordinates, faces, corners = 0, [], [], []
    for line in io.StringIO(files[str(path.with_name(header["obj_file"]))].decode("utf-8", "replace")):
        words = line.split()
        if words[:1] == ["v"]:
            vertices += 1
        elif words[:1] == ["vt"]:
            coordinates.append([float(words[1]), float(words[2])])
        elif words[:1] == ["f"]:
            pairs = [[int(x) - 1 for x in word.split("/")[:2]] for word in words[1:]]
            for i in range(1, len(pairs) - 1):
                triangle = [pairs[0], pairs[i], pairs[i + 1]]
                faces.append([pair[0] for pair in triangle])
                corners.append([pair[-1] for pair in triangle])
    if len(table) != vertices or not faces:
        return None
    hides: list[int] = []
    for first, last in re.findall(r"(\d+)(?:\s*-\s*(\d+))?", deleted):
        if int(last or first) > _VERTICES:
            raise ValueError(f"vertex {last or first} of a body")
        hides += range(int(first), int(last or first) + 1)
    material = files.get(str(path.with_name(PurePosixPath(header["material"]).name)), b"").decode("utf-8", "replace")
    found = re.search(r"^diffuseTexture\s+(\S+)", material, re.M)
    image = images.get(PurePosixPath(found.group(1)).name) if found else None
    image = images.get(f"{path.stem}.png") if image is None else image
    if image is None:
        return None
    if path.parent.parent.name == "hair":
        # Only the strands are kept; the colour comes later. 128 is the middle one.
        gray = image[..., :3].mean(axis=2, keepdims=True)
        middle = max(1.0, float(np.median(gray[image[..., 3] > 128])))
        image = np.concatenate([np.clip(gray * 128 / middle, 0, 255).astype(np.uint8).repeat(3, 2), image[..., 3:]], 2)
    scales = []
    for axis in "xyz":
        a, b, length = header[f"{axis}_scale"].split()[:3]
        scales.append((int(a), int(b), float(length)))
    return Piece(
        kind=path.parent.parent.name,
        name=path.stem,
        refs=table[:, :3].astype(np.int32),
        weights=table[:, 3:6].astype(np.float32),
        offsets=table[:, 6:9].astype(np.float32),
        scales=tuple(scales),
        faces=np.array(faces, np.int32),
        uvs=np.array(coordinates, np.float32)[np.array(corners)],
        hides=np.array(hides, np.int32),
        image=image,
    )
