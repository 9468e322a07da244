"""Pictures from files and back: every picture inside the program is (H, W, 3) uint8 BGR, the right way up.

    read_image(path)            decode_image(data)          from_rgb(array)         in
    write_image(path, image)    encode_image(image, ".png") to_rgb(image)           and out

The file's header is read first. A picture is refused before decoding if it is truncated, needs more memory than
`MAX_BYTES`, or claims a size that its data cannot fill. JPEGs are decoded by simplejpeg, which gives the same pixels as
OpenCV and also libjpeg's warnings about damage: damaged parts are grey or misplaced.

Supported: JPEG, PNG, WebP, TIFF, BMP, GIF. 16-bit channels are scaled to eight bits, palettes and CMYK are converted to
RGB colours, transparency is composited onto white as in a viewer, and only the first frame of an animation is read. Not
supported: HEIC, AVIF, and floating-point samples, which have no agreed white level.
"""

import functools
import logging
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wholebody.arrays import Image
from wholebody.errors import WholebodyError
from wholebody.files import as_result, replacing

# 268 million pixels are 0.8 GB in memory; the largest phone cameras make 200 million.
MAX_PIXELS = 2**28
# Memory limit for decoding; it counts all copies of the picture except the one that turns it upright.
MAX_BYTES = 2**30
# OpenCV's warps use 16-bit pixel coordinates.
MAX_SIDE = 2**15 - 2

_HEADER_BYTES = 2**16

READ_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
WRITE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
# Pictures that cannot be read here: in a folder they are reported, whereas a text file is skipped.
FOREIGN_SUFFIXES = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd", ".dng", ".cr2", ".nef", ".arw", ".svg")


def read_image(path: str | os.PathLike[str], *, strict: bool = False) -> Image:
    """Decode one picture file.

    Args:
        strict: refuse a JPEG whose data are damaged according to libjpeg. Otherwise the logger "wholebody" warns, and
            the picture is what libjpeg could recover.

    Returns:
        (H, W, 3) uint8 BGR, EXIF orientation applied, transparency composited onto white.

    Raises:
        WholebodyError: the file is missing, unreadable, empty, truncated, damaged, of an unsupported kind, or larger
            than MAX_PIXELS, MAX_SIDE or MAX_BYTES.
    """
    data, _ = _read(Path(path))
    return decode_image(data, f"{path}", strict=strict)


def decode_image(
    data: bytes | bytearray | memoryview, name: str = "the picture", *, strict: bool = False, alpha: bool = False
) -> Image:
    """`read_image` for a file in memory, or with `alpha` (H, W, 4) uint8 BGRA; error messages begin with `name`."""
    data = bytes(data)
    header = _header(data, name)
    _check_size(*header.size, name)
    _check_room(header, len(data), name)
    if not header.complete:
        raise WholebodyError(f"{name}: cut off (its end is missing). Copy or download it again.")
    stored, damage = _decoded(data, header)
    if stored is None:
        reason = "damaged, or its samples are of an uncommon kind"
        raise WholebodyError(f"{name}: {reason}. Save it again as JPEG or PNG.")
    if damage and strict:
        raise WholebodyError(f"{name}: damaged ({damage}). Copy or download it again.")
    if damage:
        logging.getLogger("wholebody").warning("%s: damaged (%s): a part of the picture is wrong.", name, damage)
    picture = _eight_bits(stored) if alpha and stored.shape[2:] == (4,) else _bgr(stored)
    if alpha and picture.shape[2] == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA).astype(np.uint8, copy=False)
    return _upright(picture, header.orientation)


def _decoded(data: bytes, header: "_Header") -> tuple[npt.NDArray[Any] | None, str]:
    """The picture as stored, with the channels and bits that the decoder gives, and the damage it reported."""
    damage = ""
    if header.jpeg and (decode := _jpeg_decoder()) is not None:
        try:
            return decode(data, "BGR", strict=True), ""
        except ValueError as error:
            damage = " ".join(str(error).split())
        try:
            return decode(data, "BGR", strict=False), damage
        except ValueError:
            return None, damage
    # The orientation comes from the header, because OpenCV ignores it with alpha and, in older versions, for some
    # formats.
    flags = cv2.IMREAD_UNCHANGED if header.alpha else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags), ""
    except cv2.error:
        return None, ""


@functools.cache
def _jpeg_decoder() -> Callable[..., npt.NDArray[np.uint8]] | None:
    """simplejpeg's decoder; None if it is not installed, as in an environment set up for an older version."""
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    decode: Callable[..., npt.NDArray[np.uint8]] = decode_jpeg
    return decode


def encoded_size(data: bytes, name: str = "the picture") -> tuple[int, int]:
    """(width, height) as stored, before rotation, of a picture in memory; only its header is read.

    Sizes that `decode_image` refuses are returned too.

    Raises:
        WholebodyError: the header is truncated, damaged, or of an unsupported kind.
    """
    return _header(data, name).size


def is_picture(data: bytes) -> bool:
    """Whether the first bytes are those of a supported kind of picture."""
    try:
        _parser(data[:16], "")
    except WholebodyError:
        return False
    return True


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(width, height) of the picture that `read_image` would give, from the file's header.

    Raises:
        WholebodyError: as `read_image`, but damage after the header is not detected.
    """
    # JPEG has everything at the start of the file; the others may have it anywhere.
    data, parse = _read(Path(path), _HEADER_BYTES)
    try:
        header = parse(data) if parse in (_jpeg, _png) else None
    except (struct.error, IndexError):
        header = None
    try:
        if header is None or (parse is _png and not header.complete):  # a PNG may say its orientation after the pixels
            data, parse = _read(Path(path))
            header = parse(data)
        orientation = _tags(data).get(274, 1) if parse is _tiff else header.orientation
    except (struct.error, IndexError) as error:
        raise WholebodyError(f"{path}: cut off or damaged. Copy or download it again.") from error
    width, height = header.size
    _check_size(width, height, f"{path}")
    return (height, width) if 5 <= orientation <= 8 else (width, height)


def as_image(source: Any, *, rgb: bool = False) -> Image:
    """Any kind of picture as (H, W, 3) uint8 BGR.

    Args:
        source: a path; the bytes of a picture's file, or a file opened in binary mode; a PIL image, whose own colour
            order and EXIF orientation are honoured; a uint8 array (H, W, 3) BGR, which is passed through, (H, W) or
            (H, W, 1) grey, or (H, W, 4) BGRA; with `rgb`, an array or tensor as `from_rgb` takes it.
        rgb: the channels of an array are R, G, B. This cannot be detected.

    Raises:
        WholebodyError: it is none of these, too large, or has no pixels.
    """
    if isinstance(source, (str, os.PathLike)):
        return read_image(source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return decode_image(source)
    if type(source).__module__.startswith("PIL."):
        source, rgb = _from_pil(source), False
    if hasattr(source, "read"):
        data = source.read()
        if isinstance(data, str):
            raise WholebodyError("the picture's file is open as text. Open it in binary mode, 'rb'.")
        name = getattr(source, "name", None)
        return decode_image(data, name if isinstance(name, str) else "the picture")
    if rgb:
        image = from_rgb(source)
        if image.ndim == 4:
            raise WholebodyError(f"{len(image)} pictures where one is expected. Pass them to `images`.")
        return image
    if not isinstance(source, np.ndarray):
        kind = type(source).__name__
        hint = "Pass rgb=True for a tensor of RGB pictures" if hasattr(source, "detach") else "Convert it first"
        raise WholebodyError(f"an image is a path, bytes, a uint8 BGR array or a PIL image, not {kind}. {hint}.")
    if source.dtype != np.uint8:
        hint = "Scale it to 0..255 and convert it to uint8, or pass rgb=True for RGB values of 0..1"
        raise WholebodyError(f"the image has {source.dtype} values. {hint}.")
    if source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] not in (1, 3, 4)):
        raise WholebodyError(f"the image has shape {source.shape}. Pass (H, W, 3) BGR, (H, W, 4) BGRA or (H, W) grey.")
    _check_size(source.shape[1], source.shape[0], "the image")
    return _bgr(source)


def _from_pil(source: Any) -> npt.NDArray[np.uint8]:
    """A PIL image of any mode -> grey or BGR, upright, as `decode_image` would take it from its file."""
    from PIL import ImageOps

    _check_size(source.width, source.height, "the image")
    mode = source.mode
    try:
        upright = ImageOps.exif_transpose(source)
        if mode in ("F", "LAB") or (mode == "I" and source.format == "TIFF"):  # 32 bits; the file is refused too
            raise ValueError("its samples have no agreed white")
        if mode.startswith("I"):  # 16-bit grey, which PIL would clip at 255
            grey = np.asarray(upright)
            if grey.min() < 0 or grey.max() > 0xFFFF:
                raise ValueError(f"values of {grey.min()} to {grey.max()} have no agreed white")
            return (grey.astype(np.uint16) >> 8).astype(np.uint8)
        width, height = upright.size
        image: npt.NDArray[np.uint8] = np.empty((height, width, 3), np.uint8)
        for start, end in _strips(height, width):  # PIL's four-channel images are large
            strip = upright.crop((0, start, width, end))
            rgba = np.asarray((strip.convert("LA") if mode == "La" else strip).convert("RGBA"))
            image[start:end] = _on_white(np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA), np.uint8))
        return image
    except (OSError, ValueError, SyntaxError, KeyError, struct.error) as error:
        reason = " ".join(str(error).split())
        raise WholebodyError(f"the PIL image of mode {mode} cannot be read ({reason}). Convert it to RGB.") from error


# Computed values of 0..1 may lie slightly outside; values of 0..255 are refused.
_NOT_ONE = 2.0


def from_rgb(pictures: Any) -> Image:
    """RGB pictures as PIL, diffusers, ComfyUI and PyTorch hold them -> uint8 BGR, as OpenCV does.

    Args:
        pictures: an array or tensor, (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey, or a batch (B, H, W, 1, 3 or 4);
            uint8, or floating point of 0..1, which is rounded to the nearest of 256 levels.

    Returns:
        (H, W, 3), or (B, H, W, 3) for a batch.

    Raises:
        WholebodyError: another shape or type, or values that are not within 0..1.
    """
    if hasattr(pictures, "detach"):
        pictures = pictures.detach().cpu()
        # numpy has no bfloat16.
        pictures = pictures.float() if pictures.is_floating_point() else pictures
    array = np.asarray(pictures)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim not in (3, 4) or array.shape[-1] not in (1, 3, 4):
        hint = "Move the channels to the end" if array.ndim in (3, 4) and 3 in array.shape[-3:-2] else "Convert it"
        shapes = "(H, W, 3) RGB, (H, W, 4) RGBA, (H, W) grey, or a batch of them"
        raise WholebodyError(f"the image has shape {array.shape}, not {shapes}. {hint}.")
    _check_size(array.shape[-2], array.shape[-3], "the image")
    if array.dtype.kind == "f":
        low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
        if not (low > -_NOT_ONE and high < _NOT_ONE):  # NaN fails too
            raise WholebodyError(f"the image has values of {low:g} to {high:g}, not 0..1. Scale it, or pass uint8.")
        array = np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise WholebodyError(f"the image has {array.dtype} values. Pass uint8, or floating point of 0..1.")
    if array.shape[-1] == 1:
        return np.repeat(array, 3, axis=-1)
    order = [2, 1, 0, *range(3, array.shape[-1])]
    return _on_white(np.ascontiguousarray(array[..., order]))


def to_rgb(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The inverse: (..., H, W, 3) uint8 BGR -> float32 RGB of 0..1, for ComfyUI's IMAGE and torch.from_numpy."""
    return np.ascontiguousarray(pictures[..., ::-1], dtype=np.float32) / np.float32(255)


def encode_image(image: npt.NDArray[Any], suffix: str = ".png") -> bytes:
    """The bytes of the file that `write_image` would write, for (H, W, 3) uint8 BGR (or grey, or BGRA).

    Raises:
        WholebodyError: the suffix is unknown, or the format cannot hold the picture.
    """
    return _encoded(image, suffix.lower(), "the picture")


def write_image(path: str | os.PathLike[str], image: npt.NDArray[Any], *, result: bool = False) -> None:
    """Write (H, W, 3) uint8 BGR (or grey, or BGRA) in the format of the suffix, atomically.

    JPEG has quality 95, WebP is lossless.

    Args:
        result: mark the file as a result, see `files.is_result`.

    Raises:
        WholebodyError: the suffix is unknown, the format cannot hold the picture, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    data = _encoded(image, suffix, f"{path}")
    data = as_result(data, suffix) if result else data
    with replacing(path) as partial:
        partial.write_bytes(data)


def _encoded(image: npt.NDArray[Any], suffix: str, name: str) -> bytes:
    if suffix not in WRITE_SUFFIXES:
        raise WholebodyError(f"{name}: cannot write pictures of kind {suffix!r}. Use {', '.join(WRITE_SUFFIXES)}.")
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix in (".jpg", ".jpeg") else []
    try:
        done, encoded = cv2.imencode(suffix, image, quality)
    except cv2.error:
        done = False
    if not done:
        shape, kind = image.shape, image.dtype
        raise WholebodyError(f"{name}: an array {shape} of {kind} does not fit {suffix}. Write uint8 BGR, or a .png.")
    return encoded.tobytes()


def find_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The picture files that `paths` stand for, in order and without duplicates.

    A folder stands for the pictures directly in it, sorted by name, without hidden files and subfolders. A path to a
    file is always kept, and so are pictures of unsupported kinds: reading them reports the problem, whereas skipping
    them would lose them silently.

    Raises:
        WholebodyError: a folder cannot be listed or contains no picture.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            found.update(dict.fromkeys(_pictures_in(path)))
        else:
            found[path] = None
    return list(found)


def _pictures_in(folder: Path) -> list[Path]:
    known = READ_SUFFIXES + FOREIGN_SUFFIXES
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise WholebodyError(f"{folder}: cannot be listed ({error.strerror}). Check its permissions.") from error
    pictures = [path for path in inside if path.suffix.lower() in known and path.name[0] != "." and not path.is_dir()]
    if not pictures:
        raise WholebodyError(f"{folder}: no pictures in this folder. Folders inside it are not searched: name them.")
    return pictures


def _check_size(width: int, height: int, name: str) -> None:
    if width < 1 or height < 1:
        raise WholebodyError(f"{name}: has no pixels ({width} x {height}). Use another one.")
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        limit = f"{MAX_PIXELS / 1e6:.0f} million pixels or {MAX_SIDE} a side"
        raise WholebodyError(f"{name}: {width} x {height} is more than {limit}. Scale it down first.")


def _check_room(header: "_Header", size: int, name: str) -> None:
    """Refuse a picture that needs too much memory to decode, or whose pixels `size` bytes cannot fill."""
    width, height = header.size
    room = width * height * header.room
    if room > MAX_BYTES:
        limit = f"{room / 1e9:.1f} GB of memory, more than {MAX_BYTES / 1e9:.1f}"
        raise WholebodyError(f"{name}: {width} x {height} of this kind takes {limit}. Scale it down first.")
    if width * height > header.fills * size:
        raise WholebodyError(
            f"{name}: cut off or damaged: {width} x {height} pixels in {size} bytes. Copy or download it again."
        )


def _eight_bits(image: npt.NDArray[Any]) -> Image:
    return image if image.dtype == np.uint8 else np.right_shift(image, 8).astype(np.uint8)


def _strips(rows: int, width: int) -> Iterator[tuple[int, int]]:
    """Start and end rows of strips of about a million pixels, which keep temporary arrays small."""
    step = max(2**20 // max(width, 1), 1)
    return ((start, min(start + step, rows)) for start in range(0, rows, step))


def _bgr(image: npt.NDArray[Any]) -> Image:
    """(H, W), (H, W, 1) grey or (H, W, 4) BGRA, 8 or 16 bits -> (H, W, 3) BGR; BGR itself is returned as it is."""
    if image.ndim == 2 or image.shape[2] != 4:  # those with transparency: strip by strip
        image = _eight_bits(image)
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 1:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return _on_white(image)


def _on_white(image: npt.NDArray[Any]) -> Image:
    """(..., 4) with an alpha channel -> (..., 3), composited onto white; three channels are unchanged."""
    if image.shape[-1] != 4:
        return image
    laid: npt.NDArray[np.uint8] = np.empty((*image.shape[:-1], 3), np.uint8)
    for source, target in zip(image, laid, strict=True) if image.ndim == 4 else [(image, laid)]:
        for start, end in _strips(*source.shape[:2]):
            strip = _eight_bits(source[start:end])
            alpha = strip[..., 3:].astype(np.uint16)
            target[start:end] = (strip[..., :3] * alpha + (255 - alpha) * 255 + 127) // 255
    return laid


# --- File headers ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Header:
    """A picture's properties according to its file header.

    Attributes:
        size: (w, h) as stored. orientation: EXIF's 1..8, or 1 if the decoder rotates the picture itself.
        room: bytes of memory per pixel while decoding. OpenCV holds the picture twice.
        fills: the largest number of pixels that a byte of the file can encode.
        jpeg: a JPEG of one or three components.
    """

    size: tuple[int, int]
    complete: bool = True
    alpha: bool = False
    orientation: int = 1
    room: float = 6
    fills: float = np.inf
    jpeg: bool = False


# A byte of DEFLATE expands to at most 1032 bytes; LZW's longest word has 4096 and takes at least one byte.
_DEFLATE, _LZW = 1032, 4096


def _read(path: Path, limit: int = -1) -> tuple[bytes, Callable[[bytes], _Header]]:
    """The file's bytes, or the first `limit`, and its parser; other files are read no further than needed."""
    try:
        if path.is_dir():
            raise WholebodyError(f"{path}: is a folder. Name a picture.")
        if path.exists() and not path.is_file():
            raise WholebodyError(f"{path}: is not a regular file. Name a picture.")
        with path.open("rb") as file:
            start = file.read(16)
            parse = _parser(start, path)
            return start + file.read(limit), parse
    except FileNotFoundError as error:
        raise WholebodyError(f"{path}: no such file. Check the name.") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise WholebodyError(f"{path}: cannot be read ({reason}). Check its permissions.") from error


def _header(data: bytes, name: str) -> _Header:
    parse = _parser(data[:16], name)
    try:
        return parse(data)
    except (struct.error, IndexError) as error:
        raise WholebodyError(f"{name}: cut off or damaged. Copy or download it again.") from error


def _parser(start: bytes, path: Path | str) -> Callable[[bytes], _Header]:
    if not start:
        raise WholebodyError(f"{path}: the file is empty. Copy or download it again.")
    for signature, parse in _PARSERS.items():
        if start.startswith(signature) and (parse is not _webp or start[8:12] in (b"WEBP", b"")):
            return parse
    if start[4:8] == b"ftyp" and start[8:11] in (b"hei", b"hev", b"mif", b"msf", b"avi"):
        raise WholebodyError(f"{path}: HEIC and AVIF pictures are not supported. Convert it to JPEG.")
    raise WholebodyError(f"{path}: not a picture that can be read here. Use JPEG, PNG, WebP, TIFF, BMP or GIF.")


def _jpeg(data: bytes) -> _Header:
    size, orientation, at = (0, 0), 1, 2
    room, fills, components = 3.0, np.inf, 0
    while True:
        while data[at + 1] == 0xFF:  # fill bytes
            at += 1
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xD9:
            raise IndexError("no scan")
        if marker == 0xDA:
            # Thumbnails inside the header have their own end markers; within a scan, FF is always followed by 00.
            complete = data.rfind(b"\xff\xd9", at) > 0
            return _Header(size, complete, False, orientation, room, fills, components in (1, 3))
        (length,) = struct.unpack_from(">H", data, at + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            size, components = (width, height), data[at + 9]
            # Huffman codes take at least one bit per 8 x 8 block; arithmetic codes may take less.
            fills = 512 if marker < 0xC8 else np.inf
            room = 3 if components in (1, 3) else 8
            if marker in (0xC2, 0xC6, 0xCA, 0xCE):  # progressive: all coefficients stay in memory, two bytes each
                room += 2 * components
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _orientation(data[at + 10 : at + 2 + length])
        at += 2 + length


def _png(data: bytes) -> _Header:
    width, height, depth, color = struct.unpack_from(">IIBB", data, 16)
    alpha, orientation, complete = color in (4, 6), 1, False
    for name, body in _chunks(data, 8, ">I4s", 4):
        alpha |= name == b"tRNS"
        if name == b"eXIf":
            orientation = _orientation(body)
        complete |= name == b"IEND"
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(color, 1)
    room = 8 * (2 if depth == 16 else 1) if alpha else 6
    return _Header((width, height), complete, alpha, orientation, room, _DEFLATE * 8 / max(bits, 1))


def _webp(data: bytes) -> _Header:
    (length,) = struct.unpack_from("<I", data, 4)
    kind, at = data[12:16], 20
    alpha, orientation = False, 1
    if kind == b"VP8X":
        alpha = bool(data[at] & 0x10)
        width, height = (int.from_bytes(data[at + i : at + i + 3], "little") + 1 for i in (4, 7))
        for name, body in _chunks(data, 12, "<4sI", 0):
            if name == b"EXIF":
                orientation = _orientation(body.removeprefix(b"Exif\0\0"))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, at + 1)
        width, height, alpha = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, bool(bits >> 28 & 1)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, at + 6))
    return _Header((width, height), len(data) >= length + 8, alpha, orientation, 9 if alpha else 7)


def _chunks(data: bytes, at: int, head: str, tail: int) -> Iterator[tuple[bytes, bytes]]:
    """(name, body) of the complete chunks of a PNG (length, name, body, 4 bytes) or WebP (name, length, body)."""
    while at + 8 <= len(data):
        first, second = struct.unpack_from(head, data, at)
        name, length = (second, first) if isinstance(first, int) else (first, second)
        if at + 8 + length + tail > len(data):
            return
        yield name, data[at + 8 : at + 8 + length] if length < 2**20 else b""
        at += 8 + length + tail + (0 if tail else length % 2)


def _gif(data: bytes) -> _Header:
    return _Header(struct.unpack_from("<HH", data, 6), room=9, fills=_LZW)


def _bmp(data: bytes) -> _Header:
    width, height = struct.unpack_from("<ii", data, 18)  # a negative height means rows from the top
    bits, compression = struct.unpack_from("<HI", data, 28)
    return _Header((width, abs(height)), fills=8 / max(bits, 1) if compression in (0, 3) else 128)


def _tiff(data: bytes) -> _Header:
    tags = _tags(data)
    # More samples than grey (0, 1) or RGB (2) needs; the tag that would name the extra one is often left out.
    alpha = tags.get(277, 1) > {0: 1, 1: 1, 2: 3}.get(tags.get(262, 2), 4)
    samples, compression = tags.get(277, 1), tags.get(259, 1)
    shrinks = {1: 1.0, 5: _LZW, 7: 512.0, 8: _DEFLATE, 32773: 64.0, 32946: _DEFLATE}.get(compression, np.inf)
    # The bits of several samples are not in the tag itself; there are eight or more.
    bits = max(tags.get(258, 1), 1) if samples == 1 else 8 * max(samples, 1)
    size = (tags.get(256, 0), tags.get(257, 0))
    return _Header(size, alpha=alpha, room=16 if alpha else 6, fills=shrinks * 8 / min(bits, 8 * max(samples, 1)))


def _orientation(exif: bytes) -> int:
    try:
        return _tags(exif).get(274, 1)
    except (struct.error, IndexError):
        return 1  # damaged metadata is no reason to refuse the picture


def _tags(tiff: bytes) -> dict[int, int]:
    """Tag -> first short or long value, of the first directory of a TIFF structure (which EXIF is too)."""
    order = "<" if tiff[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, at)
    tags = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, _ = struct.unpack_from(order + "HHI", tiff, entry)
        (tags[tag],) = struct.unpack_from(order + ("I" if kind == 4 else "H"), tiff, entry + 8)
    return tags


_PARSERS: dict[bytes, Callable[[bytes], _Header]] = {
    b"\xff\xd8\xff": _jpeg,
    b"\x89PNG\r\n\x1a\n": _png,
    b"RIFF": _webp,
    b"II*\0": _tiff,
    b"MM\0*": _tiff,
    b"BM": _bmp,
    b"GIF87a": _gif,
    b"GIF89a": _gif,
}


def _upright(image: Image, orientation: int) -> Image:
    """Undo EXIF orientation 2..8: first the transposition, then the flips."""
    if orientation in (5, 6, 7, 8):
        image = cv2.transpose(image).astype(np.uint8, copy=False)
    mirror = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if mirror is None else cv2.flip(image, mirror).astype(np.uint8, copy=False)
