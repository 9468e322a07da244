import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import oracle as formula
from wholebody.errors import WholebodyError
from wholebody.images import (
    MAX_SIDE,
    as_image,
    decode_image,
    encode_image,
    encoded_size,
    find_images,
    from_rgb,
    image_size,
    is_picture,
    read_image,
    to_rgb,
    write_image,
)

PICTURE = formula.image(40, 60)
# Four flat corners: survive lossy formats and tell every orientation apart.
CORNERS = np.kron(np.array([[[0, 0, 255], [0, 255, 0]], [[255, 0, 0], [0, 0, 0]]]), np.ones((16, 24, 1))).astype(
    np.uint8
)


def encoded(image, suffix, *options):
    return cv2.imencode(suffix, image, list(options))[1].tobytes()


def pil(image, kind, mode=None, **options):
    buffer = io.BytesIO()
    Image.fromarray(image[..., ::-1].copy()).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation, order="<"):
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)


def with_exif(jpeg, blob):
    segment = b"Exif\0\0" + blob
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of(width, height):
    """A PNG that claims a size and is complete by its chunks."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b""))
        + png_chunk(b"IEND", b"")
    )


@pytest.fixture
def read(tmp_path):
    def read(data, name="p.bin"):
        path = tmp_path / name
        path.write_bytes(data)
        image = read_image(path)
        assert image_size(path) == image.shape[1::-1]
        assert is_picture(data) and sorted(encoded_size(data)) == sorted(image.shape[:2])
        np.testing.assert_array_equal(decode_image(data), image)
        return image

    return read


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_size_is_read_from_the_header(tmp_path, monkeypatch, orientation):
    monkeypatch.setattr("wholebody.images._HEADER_BYTES", 600)
    path = tmp_path / "p.jpg"
    plain = encoded(formula.image(200, 300), ".jpg")
    note = exif(orientation)
    for data in (with_exif(plain, note), with_exif(plain, note)[:800], with_exif(plain, note + bytes(5000))):
        path.write_bytes(data)
        assert image_size(path) == ((300, 200) if orientation == 1 else (200, 300))
    for data, says in ((plain[:100], "damaged"), (png_of(20000, 20000), "more than"), (b"dear all", "not a picture")):
        path.write_bytes(data)
        with pytest.raises(WholebodyError, match=says):
            image_size(path)


def test_a_png_may_say_after_its_pixels_that_it_lies_on_its_side(tmp_path):
    path = tmp_path / "p.png"
    data = encoded(np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8), ".png")
    path.write_bytes(data[:-12] + png_chunk(b"eXIf", exif(6)) + data[-12:])
    assert image_size(path) == read_image(path).shape[1::-1] == (200, 300)


def test_bytes_are_refused_under_their_name():
    cut = encoded(PICTURE, ".jpg")[:100]
    for data, says in ((b"", "empty"), (b"dear all", "not a picture"), (cut, "cut off")):
        for read in (decode_image, encoded_size):
            with pytest.raises(WholebodyError, match=f"photo 3: .*{says}"):
                read(data, "photo 3")
    with pytest.raises(WholebodyError, match="photo 3: 20000 x 20000 is more than"):
        decode_image(png_of(20000, 20000), "photo 3")
    assert encoded_size(png_of(20000, 20000)) == (20000, 20000)
    assert not is_picture(b"") and not is_picture(b"dear all")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff"])
@pytest.mark.parametrize("shape", [(40, 60), (1, 1), (1, 500), (500, 1)])
def test_lossless_kinds_come_back_exactly(read, suffix, shape):
    image = formula.image(*shape)
    got = read(encoded(image, suffix))
    np.testing.assert_array_equal(got, image)
    assert got.dtype == np.uint8


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_kinds_come_back_nearly(read, suffix):
    assert np.abs(read(encoded(CORNERS, suffix)).astype(int) - CORNERS)[4:-4, 4:-4].mean() < 12


def test_grey_and_sixteen_bits(read):
    grey = PICTURE[..., 0]
    np.testing.assert_array_equal(read(encoded(grey, ".png")), np.repeat(grey[..., None], 3, axis=2))
    for suffix in (".png", ".tiff"):
        deep = PICTURE.astype(np.uint16) * 256 + 200
        np.testing.assert_allclose(read(encoded(deep, suffix)), PICTURE.astype(int), atol=1)  # rounded or cut off
    for value in (0, 255):
        np.testing.assert_array_equal(read(pil(np.full_like(CORNERS, value), "PNG", "1")), np.full_like(CORNERS, value))


def test_palette_and_cmyk_become_colours(read):
    np.testing.assert_array_equal(read(pil(CORNERS, "PNG", "P")), CORNERS)
    got = read(pil(CORNERS, "JPEG", "CMYK", quality=95))
    assert np.abs(got.astype(int) - CORNERS)[4:12, 4:20].max() < 12


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tiff"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_is_laid_on_white(read, suffix, dtype):
    if suffix == ".webp" and dtype == np.uint16:
        dtype = np.uint8  # WebP has eight bits only
    alpha = np.full((40, 60, 1), 255)
    alpha[:20], alpha[20:30] = 0, 128
    image = np.concatenate([PICTURE, alpha], axis=2)
    image = image.astype(dtype) * (257 if dtype == np.uint16 else 1)
    lossless = [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == ".webp" else []
    got = read(encoded(image.astype(dtype), suffix, *lossless)).astype(int)
    np.testing.assert_array_equal(got[:20], 255)
    np.testing.assert_array_equal(got[30:], PICTURE[30:])
    assert np.abs(got[20:30] - (PICTURE[20:30] * (128 / 255) + 255 * (127 / 255))).max() <= 1


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame(read, kind):
    later = [Image.fromarray(np.full_like(CORNERS, value)) for value in (50, 200)]
    got = read(pil(CORNERS, kind, save_all=True, append_images=later, **({"lossless": True} if kind == "WEBP" else {})))
    np.testing.assert_array_equal(got, CORNERS)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(read, orientation):
    turned = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }[orientation]
    plain = encoded(CORNERS, ".jpg")
    for order in "<>":
        got = read(with_exif(plain, exif(orientation, order)))
        np.testing.assert_array_equal(got, turned(read(plain)))
        assert got.flags.c_contiguous
    png = encoded(CORNERS, ".png")
    np.testing.assert_array_equal(read(png[:33] + png_chunk(b"eXIf", exif(orientation)) + png[33:]), turned(CORNERS))
    clear = encoded(np.dstack([CORNERS, np.full(CORNERS.shape[:2], 255, np.uint8)]), ".png")
    np.testing.assert_array_equal(
        read(clear[:33] + png_chunk(b"eXIf", exif(orientation)) + clear[33:]), turned(CORNERS)
    )
    webp = pil(CORNERS, "WEBP", lossless=True, exif=b"Exif\0\0" + exif(orientation))
    np.testing.assert_array_equal(read(webp), turned(CORNERS))
    tagged = Image.Exif()
    tagged[274] = orientation
    np.testing.assert_array_equal(read(pil(CORNERS, "TIFF", exif=tagged)), turned(CORNERS))
    picture = Image.open(io.BytesIO(with_exif(plain, exif(orientation))))
    assert as_image(picture).shape == turned(CORNERS).shape


def test_a_broken_exif_note_does_not_matter(read):
    plain = encoded(CORNERS, ".jpg")
    for blob in (b"", b"II*\0", exif(6)[:-8], exif(99), b"\xff" * 40):
        np.testing.assert_array_equal(read(with_exif(plain, blob)), read(plain))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("keep", [0.02, 0.3, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_an_error(read, kind, keep):
    data = pil(formula.image(200, 300), kind)
    with pytest.raises(WholebodyError, match=r"cut off|damaged"):
        read(data[: int(len(data) * keep)])


def test_a_truncated_jpeg_is_not_saved_by_its_thumbnail_or_by_zeros(read):
    whole = with_exif(encoded(formula.image(200, 300), ".jpg"), encoded(CORNERS, ".jpg"))
    assert read(whole).shape == (200, 300, 3)
    assert read(whole + b"appended by a camera").shape == (200, 300, 3)
    for broken in (whole[: len(whole) // 2], whole[: len(whole) // 2] + bytes(len(whole) // 2)):
        with pytest.raises(WholebodyError, match="cut off"):
            read(broken)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"#!/bin/sh\necho hello\n", "not a picture"),
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + bytes(99), "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avif" + bytes(99), "AVIF"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(99), "not a picture"),
        (b"\xff\xd8\xff", "damaged"),
        (b"\xff\xd8\xff\xd9", "damaged"),
        (b"BM" + bytes(60), "no pixels"),
        (png_of(0, 5), "no pixels"),
        (png_of(20000, 20000), "20000 x 20000 is more than"),
        (png_of(MAX_SIDE + 1, 1), "a side"),
        (png_of(30, 30), "damaged"),
        (encoded(np.ones((4, 4, 3), np.float32), ".tiff"), "uncommon kind"),
    ],
)
def test_what_is_not_a_picture_is_one_line(read, capfd, data, message):
    with pytest.raises(WholebodyError, match=message) as caught:
        read(data)
    assert "\n" not in str(caught.value) and "p.bin" in str(caught.value)


def test_unreadable_paths(tmp_path, monkeypatch):
    with pytest.raises(WholebodyError, match="no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(WholebodyError, match="is a folder"):
        read_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(WholebodyError, match="not a regular file"):
        read_image(tmp_path / "pipe.jpg")
    with pytest.raises(WholebodyError, match="cannot be read"):
        read_image("a\0b.jpg")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "p.jpg").write_bytes(b"x")
    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(WholebodyError, match=r"cannot be read \(Permission denied\)"):
        read_image(tmp_path / "p.jpg")


def test_a_video_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "long.mp4"
    with path.open("wb") as file:
        file.write(b"\0\0\0\x20ftypisom")
        file.truncate(2**40)  # sparse: a terabyte to read, nothing on the disk
    with pytest.raises(WholebodyError, match="not a picture"):
        read_image(path)


@given(st.data())
def test_flipped_bytes_never_crash(tmp_path_factory, data):
    whole = pil(formula.image(20, 30), data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])))
    broken = bytearray(whole)
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        broken[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "flipped"
    path.write_bytes(broken)
    try:
        assert read_image(path).ndim == 3
    except WholebodyError as error:
        assert "\n" not in str(error)


def test_unicode_names(tmp_path):
    path = tmp_path / "姿勢 ünï.png"
    write_image(path, PICTURE)
    np.testing.assert_array_equal(read_image(str(path)), PICTURE)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".tif", ".tiff", ".webp"])
def test_written_pictures_come_back(tmp_path, suffix):
    write_image(tmp_path / f"new/p{suffix}", PICTURE)
    np.testing.assert_array_equal(read_image(tmp_path / f"new/p{suffix}"), PICTURE)


def test_jpeg_is_written_in_high_quality(tmp_path):
    for suffix in (".jpg", ".jpeg"):
        write_image(tmp_path / f"p{suffix}", PICTURE)
        assert (tmp_path / f"p{suffix}").read_bytes() == encoded(PICTURE, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95)


@pytest.mark.parametrize(
    ("name", "image", "message"),
    [
        ("p.gif", PICTURE, "cannot write pictures of kind"),
        ("p", PICTURE, "cannot write pictures of kind"),
        ("p.jpg", np.zeros((0, 0, 3), np.uint8), "does not fit"),
        ("p.png", np.zeros((5, 5, 7), np.uint8), "does not fit"),
        ("p.webp", np.zeros((1, 20000, 3), np.uint8), "does not fit"),
    ],
)
def test_unwritable_pictures_leave_no_file(tmp_path, capfd, name, image, message):
    with pytest.raises(WholebodyError, match=message):
        write_image(tmp_path / name, image)
    assert list(tmp_path.iterdir()) == []


def test_arrays():
    assert as_image(PICTURE) is PICTURE
    grey = np.repeat(PICTURE[..., :1], 3, axis=2)
    np.testing.assert_array_equal(as_image(PICTURE[..., 0]), grey)
    np.testing.assert_array_equal(as_image(PICTURE[..., :1]), grey)
    clear = np.dstack([PICTURE, np.zeros(PICTURE.shape[:2], np.uint8)])
    assert (as_image(clear) == 255).all()
    np.testing.assert_array_equal(as_image(Image.fromarray(PICTURE[..., ::-1].copy())), PICTURE)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (PICTURE.astype(np.float32), "float32 values"),
        (PICTURE.astype(np.uint16), "uint16 values"),
        (PICTURE[None], "shape"),
        (PICTURE[..., :2], "shape"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (np.zeros((1, MAX_SIDE + 1, 3), np.uint8), "a side"),
        ([[1, 2], [3, 4]], "not list"),
        (None, "not NoneType"),
    ],
)
def test_arrays_that_are_no_picture(source, message):
    with pytest.raises(WholebodyError, match=message):
        as_image(source)


def test_bytes_and_open_files(tmp_path):
    write_image(tmp_path / "p.png", PICTURE)
    data = (tmp_path / "p.png").read_bytes()
    for source in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        np.testing.assert_array_equal(as_image(source), PICTURE)
    with (tmp_path / "p.png").open("rb") as file:
        np.testing.assert_array_equal(as_image(file), PICTURE)
    with (tmp_path / "p.png").open(encoding="latin-1") as file, pytest.raises(WholebodyError, match="binary mode"):
        as_image(file)
    with pytest.raises(WholebodyError, match="the picture: the file is empty"):
        as_image(b"")
    with pytest.raises(WholebodyError, match=r"^the picture: cut off"):
        as_image(data[:100])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_encoded_pictures_are_what_is_written(tmp_path, suffix):
    write_image(tmp_path / f"p{suffix}", PICTURE)
    assert encode_image(PICTURE, suffix) == (tmp_path / f"p{suffix}").read_bytes()
    with pytest.raises(WholebodyError, match=r"kind '\.gif'"):
        encode_image(PICTURE, ".gif")


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_rgb_there_and_back(seed, batch):
    shape = (2, 5, 7, 3) if batch else (5, 7, 3)
    image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    floats = to_rgb(image)
    assert floats.dtype == np.float32 and floats.min() >= 0 and floats.max() <= 1
    np.testing.assert_array_equal(floats[..., 0], image[..., 2] / np.float32(255))
    for kind in (np.float32, np.float64):
        np.testing.assert_array_equal(from_rgb(floats.astype(kind)), image)
    np.testing.assert_array_equal(from_rgb(image[..., ::-1]), image)


def test_tensors_and_other_channels():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    floats = to_rgb(PICTURE)
    np.testing.assert_array_equal(from_rgb(torch.from_numpy(floats).requires_grad_()), PICTURE)
    half = from_rgb(torch.from_numpy(floats).to(torch.bfloat16))
    assert np.abs(half.astype(int) - PICTURE).max() <= 1
    grey = from_rgb(floats[..., 0])
    np.testing.assert_array_equal(grey, np.repeat(PICTURE[..., 2:], 3, axis=2))
    np.testing.assert_array_equal(from_rgb(floats[..., :1]), grey)
    clear = np.dstack([PICTURE[..., ::-1], np.zeros(PICTURE.shape[:2], np.uint8)])
    assert (from_rgb(clear) == 255).all()
    # A little outside is what networks give, and it is cut off.
    np.testing.assert_array_equal(from_rgb(floats * 1.5 - 0.25)[0, 0] > 0, floats[0, 0, ::-1] * 1.5 - 0.25 > 1 / 512)


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (np.full((4, 4, 3), 255.0), "not 0..1"),
        (np.full((4, 4, 3), np.nan), "not 0..1"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.zeros((3, 40, 50), np.float32), "Move the channels to the end"),
        (np.zeros((1, 1, 4, 4, 3), np.float32), "shape"),
        (np.zeros((0, 4, 3), np.float32), "no pixels"),
        ("text", "shape"),
    ],
)
def test_rgb_that_is_no_picture(pictures, message):
    with pytest.raises(WholebodyError, match=message):
        from_rgb(pictures)


def test_one_picture_is_not_a_batch():
    with pytest.raises(WholebodyError, match="2 pictures where one"):
        as_image(to_rgb(np.stack([PICTURE, PICTURE])), rgb=True)


def test_find_images(tmp_path):
    for name in ("b.PNG", "a.jpg", "phone.heic", "notes.txt", "a.json", ".hidden.jpg", "deep/c.jpg", "empty/x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.jpg").mkdir()
    inside = [tmp_path / name for name in ("a.jpg", "b.PNG", "phone.heic")]
    assert find_images([tmp_path]) == inside
    # Named files are kept as they are: reading them tells what is wrong.
    odd = [tmp_path / "notes.txt", tmp_path / "gone.jpg"]
    assert find_images([*odd, tmp_path / "b.PNG", str(tmp_path)]) == [*odd, inside[1], inside[0], inside[2]]
    with pytest.raises(WholebodyError, match="no pictures"):
        find_images([tmp_path, tmp_path / "empty"])
    assert find_images([]) == []
