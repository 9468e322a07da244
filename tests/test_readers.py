"""Readers before damaged and foreign files, and before small files that say that they are large."""

import functools
import io
import logging
import os
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

import readers
from readers import READERS, Reader, Tally, attempt, campaign, missing
from wholebody import formats
from wholebody.errors import WholebodyError
from wholebody.images import as_image, decode_image, read_image
from wholebody.reading import load_arrays, parse_json, reading

# Seconds for each reader: `WHOLEBODY_READERS=60 pytest tests/test_readers.py` is a longer look.
SECONDS = float(os.environ.get("WHOLEBODY_READERS", "0.3"))


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_reader_accepts_or_refuses_in_one_line(reader, tmp_path, request):
    if name := missing(reader):
        pytest.skip(f"{name} is not installed")
    logger = logging.getLogger("wholebody")
    request.addfinalizer(functools.partial(logger.setLevel, logger.level))
    readers.quiet()
    tally = campaign(reader, SECONDS, 10**9, seed=int(SECONDS * 100), keep=tmp_path)
    assert not tally.failures and tally.tried == tally.accepted + tally.refused


@pytest.mark.parametrize(
    "read", [lambda path: 1 / 0, lambda path: [][1], lambda path: (_ for _ in ()).throw(MemoryError())]
)
def test_the_harness_sees_what_is_not_ours(read, tmp_path):
    assert attempt(Reader("none", "a", bytes, read), tmp_path, Tally())


@pytest.mark.parametrize("text", ["[" * 100_000, "", "\ud800", b"\xff", "{", "[1,]", "9" * 5000 + "x"])
def test_what_is_not_json(text):
    with pytest.raises(ValueError):
        parse_json(text)


def test_numbers_that_no_double_holds_are_infinite():
    assert parse_json("[1e999, " + "9" * 400 + ", 12]") == [float("inf"), float("inf"), 12]


@pytest.mark.parametrize("error", [KeyError("x"), ZeroDivisionError(), RecursionError(), struct.error("y")])
def test_foreign_content_is_one_line(error, tmp_path):
    said = r"a\.bin: not a thing, or a damaged one .*\. Drop it\."
    with pytest.raises(WholebodyError, match=said) as raised, reading(tmp_path / "a.bin", "a thing", "Drop it"):
        raise error
    assert "\n" not in str(raised.value)


def test_words_of_a_file_neither_break_a_message_nor_fill_it():
    text = str(WholebodyError("a\nb\u2028c" + "x" * 100_000 + " Correct it."))
    assert text.startswith("a\\nb\\u2028cxxx") and text.endswith("Correct it.") and len(text) < 2000


# --- Small files that say that they are large -------------------------------------------------------------------------


def header(shape, descr="<f4"):
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def zipped(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, pieces in members.items():
            with archive.open(name, "w", force_zip64=True) as file:
                for piece in pieces:
                    file.write(piece)
    return out.getvalue()


def peak(read, *args):
    """The most memory that Python and NumPy held while something was refused, in bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(WholebodyError) as raised:
            read(*args)
        return tracemalloc.get_traced_memory()[1], str(raised.value)
    finally:
        tracemalloc.stop()


def test_arrays_are_as_large_as_their_heads_say(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(zipped({"keypoints.npy": [header((10**6, 133, 2)), bytes(1000)]}))
    with pytest.raises(ValueError, match="in 1128 bytes"):
        load_arrays(path)
    used, _ = peak(formats.read_npz, path)
    assert used < 2**22


@pytest.mark.slow
def test_an_archive_that_unpacks_into_gigabytes(tmp_path):
    path = tmp_path / "a.npz"
    zeros = bytes(2**24)
    path.write_bytes(zipped({"keypoints.npy": [header((2**28 + 2**24,)), *[zeros] * 68]}))
    assert path.stat().st_size < 2**23
    for read in (formats.read_npz, formats.read_npz_frames):
        used, text = peak(read, path)
        assert used < 2**22 and "unpacked" in text


def test_objects_of_python_in_arrays_are_not_unpickled(tmp_path):
    class Runs:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    np.savez(tmp_path / "a.npz", keypoints=np.array([Runs()], object))
    (tmp_path / "ran").unlink(missing_ok=True)
    with pytest.raises(WholebodyError):
        formats.read_npz(tmp_path / "a.npz")
    assert not (tmp_path / "ran").exists()


def test_a_file_with_holes_in_an_archive(tmp_path):
    from wholebody.data.shards import read_shards
    from wholebody.synth.assets import load_assets
    from wholebody.synth.material import open_backgrounds

    info = tarfile.TarInfo("000000.jpg")
    info.size = 512
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[156:157] = b"S"
    head[386:398], head[398:410] = b"00000000000\0", b"00000001000\0"  # a piece of 512 bytes at the start
    head[483:495] = b"77777777777\0"  # of 8 GB
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head[:512])
    (tmp_path / "0.tar").write_bytes(bytes(head) + bytes(512 + 1024))
    archive = tmp_path / "0.tar"
    for read in (lambda path: read_shards(path.parent), open_backgrounds, load_assets):
        used, text = peak(read, archive)
        assert used < 2**22 and "has holes" in text


def test_a_deflated_pickle_of_gigabytes(tmp_path):
    torch = pytest.importorskip("torch")
    from wholebody.networks.checkpoints import read_weights

    out = io.BytesIO()
    torch.save({"w": torch.ones(3)}, out)
    with zipfile.ZipFile(io.BytesIO(out.getvalue())) as archive:
        members = {info.filename: [archive.read(info)] for info in archive.infolist()}
    path = tmp_path / "a.pth"
    path.write_bytes(zipped(members))
    data = path.read_bytes()
    at = data.index(b"PK\x01\x02")  # the directory says that the pickle is of two gigabytes
    path.write_bytes(data[: at + 24] + struct.pack("<I", 2**31) + data[at + 28 :])
    used, text = peak(read_weights, path)
    assert used < 2**24 and "a.pth" in text


def test_a_tensor_that_is_larger_than_what_is_stored(tmp_path):
    torch = pytest.importorskip("torch")
    from wholebody.networks.checkpoints import load_pose

    torch.save({"state_dict": {"head.final_layer.weight": torch.ones(1).expand(10**9, 8, 7, 7)}}, tmp_path / "a.pth")
    with pytest.raises(WholebodyError, match="larger than what is stored"):
        load_pose(tmp_path / "a.pth")
    empty = {
        "head.final_layer.weight": torch.zeros(10**9, 0, 7, 7),
        "head.mlp.1.weight": torch.zeros(4, 48),
        **{f"head.cls_{axis}.weight": torch.zeros(512, 4) for axis in "xy"},
    }
    torch.save({"state_dict": empty}, tmp_path / "a.pth")
    with pytest.raises(WholebodyError, match="1000000000 keypoints"):
        load_pose(tmp_path / "a.pth")


@pytest.mark.parametrize("count", ["-3", "9999999999", "7"])
def test_a_joint_has_no_such_number_of_channels(count):
    from wholebody.synth.bvh import parse

    text = f"HIERARCHY ROOT a {{ OFFSET 0 0 0 CHANNELS {count} Xrotation }} MOTION Frames: 1 Frame Time: 0.04 1"
    with pytest.raises(WholebodyError, match="channels"):
        parse(text)


def test_frames_of_nothing_are_not_a_motion():
    from wholebody.synth.bvh import parse

    with pytest.raises(WholebodyError):
        parse("HIERARCHY ROOT a { OFFSET 0 0 0 CHANNELS 0 } MOTION Frames: 1000000000 Frame Time: 0.04")


# --- Pictures ---------------------------------------------------------------------------------------------------------


def png(width, height, depth, color, data=b""):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("depth", "color", "refused"), [(8, 0, False), (8, 2, False), (8, 6, True), (16, 6, True)])
def test_memory_is_counted_with_channels_and_bits(depth, color, refused):
    data = png(13_000, 13_000, depth, color, bytes(2**21))  # 169 million pixels
    with pytest.raises(WholebodyError) as raised:
        decode_image(data)
    assert ("of memory" in str(raised.value)) == refused


@pytest.mark.parametrize("kind", [".jpg", ".png", ".tif", ".bmp", ".gif"])
def test_a_size_that_the_data_cannot_fill(kind):
    data = bytearray(readers.picture(kind))
    if kind == ".tif":
        for tag, before, after in ((256, 40, 9000), (257, 30, 7000)):
            places = (at for at in range(len(data) - 12) if struct.unpack_from("<H", data, at)[0] == tag)
            at = next(at for at in places if struct.unpack_from("<H", data, at + 8)[0] == before)
            struct.pack_into("<HII", data, at + 2, 4, 1, after)
    else:
        form, turned = {".jpg": (">HH", -1), ".png": (">II", 1), ".bmp": ("<ii", 1), ".gif": ("<HH", 1)}[kind]
        at = bytes(data).index(struct.pack(form, *(40, 30)[::turned]))
        struct.pack_into(form, data, at, *(9000, 7000)[::turned])
    with pytest.raises(WholebodyError, match="pixels in"):
        decode_image(bytes(data))


def test_transparency_in_strips_is_that_of_the_whole():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1500, 1100, 4), np.uint8)
    alpha = image[..., 3:].astype(np.uint16)
    whole = ((image[..., :3] * alpha + (255 - alpha) * 255 + 127) // 255).astype(np.uint8)
    np.testing.assert_array_equal(as_image(image), whole)


@pytest.mark.parametrize("damage", ["zeros", "end"])
def test_libjpeg_is_heard(tmp_path, caplog, damage):
    data = readers.picture(".jpg", size=(320, 240))
    middle, length = len(data) // 2, 600
    path = tmp_path / "a.jpg"
    path.write_bytes(data[:middle] + (bytes(length) if damage == "zeros" else b"\xff\xd9") + data[middle + length :])
    with caplog.at_level("WARNING", "wholebody"):
        assert read_image(path).shape == (240, 320, 3)
    assert "a.jpg: damaged" in caplog.text
    with pytest.raises(WholebodyError, match=r"a\.jpg: damaged"):
        read_image(path, strict=True)


def test_a_whole_jpeg_is_the_same_picture_as_before(caplog):
    import cv2

    for data in (readers.picture(".jpg"), readers.picture(".jpg", 1), readers.picture(".jpg") + b"and more"):
        wanted = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(decode_image(data, strict=True), wanted)
    assert not caplog.text


def test_predict_refuses_damaged_pictures_when_it_is_strict(tmp_path):
    from wholebody.predict.pictures import _groups

    data = readers.picture(".jpg", size=(320, 240))
    (tmp_path / "bad.jpg").write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    (tmp_path / "good.jpg").write_bytes(data)
    files, failed = [tmp_path / "bad.jpg", tmp_path / "good.jpg"], []
    assert [len(group) for group in _groups(files, failed, lambda: None, False)] == [2] and not failed
    assert [len(group) for group in _groups(files, failed, lambda: None, True)] == [1]
    assert len(failed) == 1 and "bad.jpg: damaged" in failed[0]


def test_a_state_that_says_gigabytes(tmp_path):
    import hashlib

    torch = pytest.importorskip("torch")
    from wholebody.train.engine import state

    out = io.BytesIO()
    torch.save({"step": 1}, out)
    data = bytearray(out.getvalue())
    struct.pack_into("<II", data, data.rindex(b"PK\x01\x02") + 20, 2**32 - 2, 2**32 - 2)
    path = tmp_path / "state.pt"
    path.write_bytes(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
    with pytest.raises(WholebodyError, match=r"state\.pt: not the state of a run.*4\.3 GB unpacked"):
        state.load(path)
