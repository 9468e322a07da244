"""Every reader of the package before files that are damaged, foreign or made to do harm.

A reader may accept such a file or refuse it with a WholebodyError of one line: nothing else comes out of it, and it
takes no more than ten seconds of a processor and a gigabyte. `READERS` has a row for each, with a good file to begin
with, of which `mutations.mutated` makes others.

    python tests/readers.py --seconds 3600 --least 1000000 --out figures.json     a campaign by hand
    pytest tests/test_readers.py                                                  a short one
"""

import argparse
import functools
import importlib
import io
import json
import logging
import multiprocessing
import os
import random
import resource
import signal
import sys
import tarfile
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "synth"))

import mutations as m
from wholebody import formats
from wholebody.errors import WholebodyError
from wholebody.files import to_bytes
from wholebody.formats.deeplabcut import read_deeplabcut, write_deeplabcut
from wholebody.formats.pose2sim import read_pose2sim, write_pose2sim
from wholebody.formats.sign import read_sign, write_sign
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY

SLOW, LARGE = 10.0, 2**30
WARM = (
    *("torch", "safetensors", "onnx", "onnxruntime", "pyarrow.parquet", "fsspec", "av", "PIL.Image", "simplejpeg"),
    *(f"wholebody.{room}" for room in ("networks.yolox", "train.data.views", "train.detector.fit", "pose.load")),
    *(f"wholebody.{room}" for room in ("synth.assets", "synth.bvh", "synth.material", "evaluate.run", "batch.store")),
)
WORDS = 2000  # letters of the longest message


@dataclass(frozen=True)
class Reader:
    """A reader, the name of the file that it reads, one that is good, and what such files are made of.

    Attributes:
        needs: packages without which it cannot be tried.
    """

    name: str
    file: str
    good: Callable[[], bytes]
    read: Callable[[Path], object]
    how: tuple[m.Mutation, ...] = ()
    needs: tuple[str, ...] = ()


# --- Good files -------------------------------------------------------------------------------------------------------


def people(count: int = 2, ids: bool = False) -> Poses:
    rng = np.random.default_rng(0)
    boxes = np.array([[10, 10, 90, 190]] * count, np.float32).reshape(-1, 4)
    keypoints = rng.uniform(10, 90, (count, 133, 2))
    known = np.arange(1, count + 1) if ids else None
    return Poses(keypoints, rng.uniform(0, 1, (count, 133)), boxes, np.ones(count), COCO_WHOLEBODY, known)


def video() -> list[formats.Timed]:
    return [(0.0, people(ids=True)), (0.04, Poses.empty()), (0.08, people(1, ids=True))]


def bookmark() -> bytes:
    from wholebody.tracking.bookmark import Bookmark, Memory, write_bookmark
    from wholebody.tracking.smooth import Smoother
    from wholebody.tracking.track import Tracker

    tracker, smoother, found = Tracker(), Smoother(), people(ids=True)
    tracker.follow(found, 0.5)
    smoother(found, 0.5)
    tiny = np.zeros((36, 64, 3), np.float32)
    memory = Memory(tracker.tracks, tracker.next_id, before=0.5, last=tiny, thumb=tiny)
    return to_bytes(write_bookmark, Bookmark(memory, smoother.states))


def old_video() -> bytes:
    out, both = io.BytesIO(), people()
    arrays = {name: getattr(both, name)[None] for name in ("keypoints", "scores", "boxes", "box_scores")}
    np.savez_compressed(out, **arrays, times=np.zeros(1), ids=np.arange(2), schema="coco_wholebody")
    return out.getvalue()


def picture(suffix: str, channels: int = 3, deep: bool = False, size: tuple[int, int] = (40, 30)) -> bytes:
    image = np.random.default_rng(0).integers(0, 256, (*size[::-1], channels)).astype(np.uint8)
    image = cv2.GaussianBlur(image, (9, 9), 3).reshape(*size[::-1], channels)
    done, data = cv2.imencode(suffix, image.astype(np.uint16) * 257 if deep else image)
    assert done
    return data.tobytes()


def turned_jpeg() -> bytes:
    from PIL import Image

    image, out = Image.open(io.BytesIO(picture(".png"))), io.BytesIO()
    exif = image.getexif()
    exif[274] = 6
    image.save(out, "JPEG", progressive=True, exif=exif)
    return out.getvalue()


def pose2sim() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_pose2sim(Path(folder) / "camera", video())
        return min((Path(folder) / "camera").glob("*.json")).read_bytes()


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def label() -> bytes:
    points = np.concatenate([people(1).keypoints[0], np.full((133, 1), 2)], axis=1)
    return json.dumps({"keypoints": points.round(1).tolist(), "box": [1, 2, 30, 28], "seed": 1}).encode()


def shard() -> bytes:
    files = {".jpg": picture(".jpg"), ".json": label()}
    return tar({f"{n:06d}{suffix}": data for n in range(2) for suffix, data in files.items()})


def annotations() -> bytes:
    person = {
        "id": 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "bbox": [1, 2, 30, 28], "area": 800.5,
        "keypoints": [3, 4, 2] * 17, "foot_kpts": [3, 4, 1] * 6, "face_kpts": [3.5, 4, 0.9] * 68,
        "lefthand_kpts": [3, 4, 2] * 21, "righthand_kpts": [], "face_valid": True,
    }  # fmt: skip
    images = [{"id": 7, "file_name": "a.jpg", "width": 40, "height": 30}]
    category = {"id": 1, "name": "person", "keypoints": list(COCO_WHOLEBODY.names[:17])}
    rows = [person, {**person, "id": 2, "area": None}]
    return json.dumps({"info": {}, "images": images, "annotations": rows, "categories": [category]}).encode()


def report() -> bytes:
    from wholebody.evaluate.report import Figure, Report, Settings

    figures = {"body": {"AP": Figure(50.0, 40.0, 60.0)}}
    return Report(figures, {"body": 2}, 1, 2, Settings()).to_json().encode()


def pth() -> bytes:
    import torch

    weights = {
        "backbone.stem.conv.weight": torch.ones(4, 3, 3, 3),
        "head.final_layer.weight": torch.ones(17, 8, 7, 7),
        "head.mlp.1.weight": torch.ones(4, 12),
        "head.cls_x.weight": torch.ones(384, 4),
        "head.cls_y.weight": torch.ones(512, 4),
    }
    out = io.BytesIO()
    torch.save({"meta": {"cfg": "two_dis = True", "time": "now"}, "state_dict": weights}, out)
    return out.getvalue()


def detector_pth() -> bytes:
    import torch

    out = io.BytesIO()
    torch.save({"model": {"head.cls_preds.0.bias": torch.ones(3), "head.x": torch.ones(2, 2)}, "start_epoch": 3}, out)
    return out.getvalue()


def pose_safetensors() -> bytes:
    from wholebody.networks.checkpoints import save_pose
    from wholebody.networks.rtmpose import rtmpose

    return to_bytes(lambda path: save_pose(rtmpose("t", (64, 64), 17), path))


def onnx_network(kind: str) -> bytes:
    import networks

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        if kind == "pose":
            networks.save_pose(path)
        elif kind == "detector":
            networks.save_detector(path, [[10, 10, 60, 100]], [0.9])
        else:
            networks.save_heatmaps(path, about={"kind": "pose", "sigma": 2.0, "input_size": [48, 64]})
        return path.read_bytes()


def weights_onnx() -> bytes:
    import onnx
    from onnx import helper, numpy_helper

    stored = {
        "backbone.a.weight": np.ones((4, 3, 3, 3), np.float32),
        "head.b.half": np.ones((3, 3), np.float16),
        "head.c.weight.int8": np.ones((3, 3), np.int8),
        "head.c.weight.scale": np.ones((3, 1), np.float32),
    }
    graph = helper.make_graph([], "g", [], [], [numpy_helper.from_array(v, k) for k, v in stored.items()])
    return onnx.ModelProto.SerializeToString(helper.make_model(graph))


def state() -> bytes:
    import torch

    from wholebody.train.engine.state import save

    recipe = json.dumps({"name": "a", "network": "t"})
    return to_bytes(lambda path: save(path, {"recipe": recipe, "step": 3, "trained": {"w": torch.ones(3)}}))


def bvh() -> bytes:
    from test_bvh import some_poses, write
    from toy_body import toy_body

    figure = toy_body()
    rotations = some_poses(figure, 2)
    return write(figure.bones, figure.parents, figure.heads, rotations).encode()


def body() -> bytes:
    from toy_body import toy_body

    from wholebody.synth.body import save_body

    return to_bytes(lambda path: save_body(path, toy_body()))


def assets() -> bytes:
    clothes = "name shirt\nobj_file shirt.obj\nmaterial shirt.mhmat\nx_scale 0 1 2.0\ny_scale 0 1 2.0\n"
    clothes += "z_scale 0 1 2.0\nverts 0\n0 1 2 0.2 0.3 0.5 0.0 0.1 0.0\n3\n4\ndelete_verts\n1 - 3 7\n"
    surface = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n"
    return tar(
        {
            "clothes/shirt/shirt.mhclo": clothes.encode(),
            "clothes/shirt/shirt.obj": surface.encode(),
            "clothes/shirt/shirt.mhmat": b"diffuseTexture shirt.png\n",
            "clothes/textures/shirt.png": picture(".png", 4),
            "base/skins/young.png": picture(".png"),
            "base/textures/young.png": picture(".png", 4),
        }
    )


def clip() -> bytes:
    import av

    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 48
        for n in range(4):
            image = np.full((48, 64, 3), 60 * n, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        container.mux(stream.encode())
    return out.getvalue()


def results() -> bytes:
    import pyarrow.parquet as pq

    from wholebody.batch.rows import Result, layout, to_table

    rows = [Result("a.jpg", people(), (40, 30)), Result("b.jpg", None, None, "cut off")]
    out = io.BytesIO()
    pq.write_table(to_table(rows, layout(COCO_WHOLEBODY)), out)
    return out.getvalue()


def parquet_of_pictures() -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(pa.table({"id": ["a", "b"], "image": [picture(".jpg"), picture(".png")]}), out)
    return out.getvalue()


# --- Readers ----------------------------------------------------------------------------------------------------------


def _pil(path: Path) -> object:
    from PIL import Image

    from wholebody.images import as_image

    try:
        image = Image.open(path)
    except Exception as error:  # PIL's own word
        raise WholebodyError("not for PIL") from error
    return as_image(image)


def _picture(path: Path) -> object:
    from wholebody.images import image_size, read_image

    with suppress(WholebodyError):
        image_size(path)
    return read_image(path)


def _shards(path: Path) -> object:
    from wholebody.data.shards import read_shards

    shards = read_shards(path.parent)
    return [shards.image(n) for n in range(len(shards))], shards.keypoints, shards.boxes


def _sharded(path: Path) -> object:
    from wholebody.train.data.people import ShardedPeople

    samples = ShardedPeople(path.parent)
    return [samples[n] for n in range(len(samples))]


def _views(path: Path) -> object:
    from wholebody.networks.rtmpose import simcc
    from wholebody.train.data.views import Views

    folder = path.parent
    (folder / "views.json").write_text("{}")
    for name, array in (
        ("images", np.zeros((3, 64, 64, 3), np.uint8)),
        ("keypoints", np.zeros((3, 17, 2), np.float32)),
        ("weights", np.ones((3, 17), np.float32)),
    ):
        if path.stem != name and not (folder / f"{name}.npy").exists():
            np.save(folder / f"{name}.npy", array)
    return Views(folder, simcc((64, 64))).draw(range(2))


def _state(path: Path) -> object:
    from wholebody.train.engine import state

    return state.load(path)


def _signed(data: bytes, rng: random.Random) -> bytes:
    """Foreign content under a checksum that is right."""
    import hashlib

    new = m.pickle(data.partition(b"\n")[2], rng)
    return hashlib.sha256(new).hexdigest().encode() + b"\n" + new


def _bvh(path: Path) -> object:
    from toy_body import toy_body

    from wholebody.synth.bvh import read_bvh

    return read_bvh(path, toy_body())


def _backgrounds(path: Path) -> object:
    from wholebody.synth.material import open_backgrounds

    return list(open_backgrounds(path))


def _batch(path: Path, kind: Any) -> object:
    from wholebody.batch.decode import decode
    from wholebody.batch.sources import Source, items

    found = list(items(Source("source", str(path), kind)))
    while found:
        pictures, found = decode(found)
        for each in pictures:
            assert each.error is None or ("\n" not in each.error and "Error" not in each.error), each.error
    return None


def _results(path: Path) -> object:
    from wholebody.batch.store import read

    return list(read(str(path)))


def _extracted(path: Path) -> object:
    from wholebody.weights import download

    try:
        return download._extract(path, path.with_suffix(".out"))
    except download._MirrorFailed as error:
        raise WholebodyError(str(error)) from error


def _video(path: Path) -> object:
    from wholebody import video

    return sum(frame.image.size for frame in video.read(path))


def _lazily(module: str, name: str, **options: Any) -> Callable[[Path], object]:
    """A function that takes the path, imported when it is called."""

    def call(path: Path) -> object:
        return getattr(__import__(f"wholebody.{module}", fromlist=[name]), name)(path, **options)

    return call


def _text(module: str, kind: str, name: str) -> Callable[[Path], object]:
    def call(path: Path) -> object:
        return getattr(getattr(__import__(f"wholebody.{module}", fromlist=[kind]), kind), name)(path.read_bytes())

    return call


def _journal(path: Path) -> object:
    from wholebody.evaluate.journal import read_journal

    return read_journal(path, {"model": "a"}, {1, 2})


def journal() -> bytes:
    from wholebody.evaluate.journal import journal_line

    head = json.dumps({"about": {"model": "a"}}, sort_keys=True) + "\n"
    return (head + journal_line(1, people(1)) + journal_line(2, people(0))).encode()


COCO = json.dumps([{"image_id": 3, "category_id": 1, "bbox": [1, 2, 3, 4.5], "score": 0.5}] * 2).encode()
POOL = json.dumps([{"file": "a.jpg", "license": "CC0", "group": "x", "width": 40, "height": 30}] * 2).encode()
EXAMPLES = json.dumps([{"file": "a.png", "boxes": [[1, 2, 30, 28]], "ignore": []}]).encode()
MANIFEST = json.dumps({"seed": 1, "count": 2, "shards": {"0.tar": {"count": 2, "sha256": "ab"}}}).encode()
MAPPING = b'{"l_eye": "left_eye", "nose": "nose", "tail": null}'
ARROWS = b"l_eye -> left_eye  # theirs\nnose -> nose\ntail ->\n"
TORCH, ONNX, ARROW = ("torch", "safetensors"), ("onnx",), ("pyarrow",)
TXT, JSN, NPZ, TAR = (m.text,), (m.json_,), (m.npz,), (m.tar,)


def _array(shape: tuple[int, ...], kind: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        out = io.BytesIO()
        np.save(out, np.ones(shape, kind))
        return out.getvalue()

    return make


def _zipped() -> bytes:
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("deploy/end2end.onnx", bytes(1000))
    return out.getvalue()


READERS: tuple[Reader, ...] = (
    *(
        Reader(f"read_image {kind}", f"a{kind}", lambda kind=kind: picture(kind), _picture)
        for kind in (".jpg", ".png", ".webp", ".tif", ".bmp", ".gif")
    ),
    Reader("read_image progressive", "a.jpg", turned_jpeg, _picture, needs=("PIL",)),
    Reader("read_image 16 bits", "a.png", lambda: picture(".png", 4, deep=True), _picture),
    Reader("as_image of PIL", "a.tif", lambda: picture(".tif", 4), _pil, needs=("PIL",)),
    Reader("read_npz", "a.npz", lambda: to_bytes(formats.write_npz, people()), formats.read_npz, NPZ),
    Reader(
        "read_npz_frames", "a.npz",
        lambda: to_bytes(formats.write_npz_frames, [people(), people(1)]), formats.read_npz_frames, NPZ,
    ),
    Reader(
        "read_npz_video", "a.npz", lambda: to_bytes(formats.write_npz_video, video()), formats.read_npz_video, NPZ
    ),
    Reader("read_npz_video 0.1", "a.npz", old_video, formats.read_npz_video, NPZ),
    Reader("read_bookmark", "a.bookmark", bookmark, _lazily("tracking.bookmark", "read_bookmark"), NPZ),
    Reader("read_csv", "a.csv", lambda: to_bytes(formats.write_csv, {"a": people(1)}), formats.read_csv, TXT),
    Reader(
        "read_csv_video", "a.csv", lambda: to_bytes(formats.write_csv_video, video()), formats.read_csv_video, TXT
    ),
    Reader(
        "read_parquet", "a.parquet", lambda: to_bytes(formats.write_parquet, video()), formats.read_parquet,
        (m.parquet,), ARROW,
    ),
    Reader("read_coco", "a.json", lambda: to_bytes(formats.write_coco, {"a": people()}), formats.read_coco, JSN),
    Reader(
        "read_openpose", "a.json", lambda: to_bytes(formats.write_openpose, people()), formats.read_openpose, JSN
    ),
    Reader(
        "read_comfy", "a.json",
        lambda: to_bytes(formats.write_comfy, [people()], (40, 30)), formats.read_comfy, JSN,
    ),
    Reader(
        "read_trc", "a.trc", lambda: to_bytes(formats.write_trc, video(), 1, height=480),
        lambda path: formats.read_trc(path, 480), TXT,
    ),
    Reader("read_sign", "a.pose", lambda: to_bytes(write_sign, video(), (40, 30)), read_sign),
    Reader("read_deeplabcut", "a.csv", lambda: to_bytes(write_deeplabcut, video()), read_deeplabcut, TXT),
    Reader("read_pose2sim", "a_1.json", pose2sim, lambda path: read_pose2sim(path.parent), JSN),
    Reader("Poses.from_json", "a.json", lambda: people().to_json().encode(), _text("poses", "Poses", "from_json"), JSN),
    Reader("read_labels", "a.json", annotations, _lazily("data.coco", "read_labels"), JSN),
    Reader("read_labels, not strict", "a.json", annotations, _lazily("data.coco", "read_labels", strict=False), JSN),
    Reader("read_mapping", "a.json", lambda: MAPPING, _lazily("data.names", "read_mapping"), JSN),
    Reader("read_mapping of lines", "a.txt", lambda: ARROWS, _lazily("data.names", "read_mapping"), TXT),
    Reader("read_ubody", "a.npy", _array((3,), "U8"), _lazily("data.ubody", "_test_videos"), (m.array,)),
    Reader(
        "read_manifest", "manifest.json", lambda: MANIFEST,
        lambda path: _lazily("data.shards", "read_manifest")(path.parent), JSN,
    ),
    Reader("read_shards", "0.tar", shard, _shards, TAR),
    Reader("read_boxes", "a.json", lambda: COCO, _lazily("evaluate.run", "read_boxes"), JSN),
    Reader("Report.from_json", "a.json", report, _text("evaluate.report", "Report", "from_json"), JSN),
    Reader("read_journal", "a.jsonl", journal, _journal, (m.lines,)),
    Reader("load_pose .pth", "a.pth", pth, _lazily("networks.checkpoints", "load_pose"), (m.pickle,), TORCH),
    Reader(
        "load_pose .safetensors", "a.safetensors", pose_safetensors, _lazily("networks.checkpoints", "load_pose"),
        (m.safetensors, m.notes), TORCH,
    ),
    Reader("read_weights", "a.pth", pth, _lazily("networks.checkpoints", "read_weights"), (m.pickle,), TORCH),
    Reader("load_yolox", "a.pth", detector_pth, _lazily("networks.yolox", "load_yolox"), (m.pickle,), TORCH),
    Reader(
        "load_pose .onnx", "a.onnx", weights_onnx, _lazily("networks.checkpoints", "read_weights"), (), (*TORCH, *ONNX),
    ),
    *(
        Reader(
            f"open_{'detector' if kind == 'detector' else 'estimator'} {kind}", "a.onnx",
            lambda kind=kind: onnx_network(kind),
            _lazily("pose.load", f"open_{'detector' if kind == 'detector' else 'estimator'}", device="cpu", threads=1),
            (m.onnx_notes,), ONNX,
        )
        for kind in ("pose", "detector", "heatmaps")
    ),
    Reader("train state", "state.pt", state, _state, (_signed,), TORCH),
    Reader(
        "read_pool", "index.json", lambda: POOL,
        lambda path: _lazily("train.data.pool", "read_pool")(path.parent), JSN, TORCH,
    ),
    Reader(
        "read_examples", "a.json", lambda: EXAMPLES,
        lambda path: _lazily("train.detector.scenes", "read_examples", longest=64)(path), JSN, TORCH,
    ),
    Reader("ShardedPeople", "0.tar", shard, _sharded, TAR, TORCH),
    Reader("Views images", "images.npy", _array((3, 64, 64, 3), np.uint8), _views, (m.array,), TORCH),
    Reader("Views keypoints", "keypoints.npy", _array((3, 17, 2), np.float32), _views, (m.array,), TORCH),
    Reader("load_body", "a.npz", body, _lazily("synth.body", "load_body"), NPZ),
    Reader("load_assets", "a.tar", assets, _lazily("synth.assets", "load_assets"), TAR),
    Reader("open_backgrounds", "a.tar", lambda: tar({"a.png": picture(".png")}), _backgrounds, TAR),
    Reader("read_bvh", "a.bvh", bvh, _bvh, TXT),
    Reader("batch tar", "a.tar", lambda: tar({"a.png": picture(".png")}), lambda path: _batch(path, "tar"), TAR, ARROW),
    Reader(
        "batch parquet", "a.parquet", parquet_of_pictures, lambda path: _batch(path, "parquet"), (m.parquet,), ARROW
    ),
    Reader("batch results", "a.parquet", results, _results, (m.parquet,), ARROW),
    Reader("downloaded archive", "a.zip", _zipped, _extracted),
    Reader("video", "a.mp4", clip, _video),
)  # fmt: skip


# --- The harness ------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What one reader did: `megabytes` and `seconds` of the worst input; of each kind of failure a line and a file."""

    tried: int = 0
    refused: int = 0
    accepted: int = 0
    megabytes: float = 0.0
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)


def _resident() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def attempt(reader: Reader, path: Path, tally: Tally) -> str | None:
    """Let a reader read one file; what is wrong with that, or None."""
    before, started = _resident(), time.process_time()  # others may have the processor
    wrong = None
    tally.tried += 1
    try:
        reader.read(path)
        tally.accepted += 1
    except WholebodyError as error:
        tally.refused += 1
        text = str(error)
        if len(text.splitlines()) > 1 or len(text) > WORDS or not text:
            wrong = f"a message of {len(text.splitlines())} lines and {len(text)} letters: {text[:80]!r}"
    except BaseException as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "wholebody" in frame.filename]
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        wrong = f"{type(error).__name__} at {place}: {str(error)[:120]}"
    seconds, grown = time.process_time() - started, _resident() - before
    tally.seconds = max(tally.seconds, seconds)
    tally.megabytes = max(tally.megabytes, grown / 1e6)
    if seconds > SLOW:
        wrong = f"{seconds:.0f} seconds"
    if grown > LARGE:
        wrong = f"{grown / 1e9:.1f} GB"
    return wrong


@functools.cache
def good_file(reader: Reader) -> bytes:
    return reader.good()


def campaign(reader: Reader, seconds: float, count: int, seed: int, keep: Path | None = None) -> Tally:
    """Try a reader on mutated files for some seconds, or on so many of them.

    Args:
        keep: where the first file of each kind of failure is kept.
    """
    rng, tally, good = random.Random(f"{seed} {reader.name}"), Tally(), good_file(reader)
    ends = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(dir=keep, prefix="now-") as folder:  # left there if the process ends
        path = Path(folder) / reader.file
        path.write_bytes(good)
        if reader.name == "read_examples":
            (Path(folder) / "a.png").write_bytes(picture(".png"))
        wrong = attempt(reader, path, tally)
        assert wrong is None and tally.accepted + tally.refused == 1, f"{reader.name}: {wrong}"
        while tally.tried < count and time.monotonic() < ends:
            data = good
            for _ in range(rng.choice((1, 1, 1, 2))):
                data = m.mutated(data, reader.how, rng)
            path.write_bytes(data)
            signal.alarm(int(SLOW * 12))
            wrong = attempt(reader, path, tally)
            signal.alarm(0)
            if wrong is not None and wrong not in tally.failures and len(tally.failures) < 200:
                tally.failures[wrong] = ""
                if keep is not None:
                    kept = keep / f"{reader.name.replace(' ', '_')}-{seed}-{tally.tried}-{reader.file}"
                    kept.write_bytes(data)
                    tally.failures[wrong] = str(kept)
    return tally


def missing(reader: Reader) -> str | None:
    """A package that a reader needs and that is not here."""
    from importlib.util import find_spec

    return next((name for name in reader.needs if find_spec(name) is None), None)


def quiet() -> None:
    """What readers and their libraries say on the way is of no interest here."""
    logging.getLogger("wholebody").setLevel(logging.ERROR)
    os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
    import warnings

    warnings.simplefilter("ignore")
    cv2.setNumThreads(1)
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)


def _child(reader: Reader, seconds: float, count: int, seed: int, keep: Path, out: Any) -> None:
    quiet()
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    out.send(asdict(campaign(reader, seconds, count, seed, keep)))


def _apart(reader: Reader, seconds: float, count: int, seed: int, keep: Path) -> dict[str, Any]:
    """A campaign in a process of its own; what ends the process is a failure too."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(False)
    process = context.Process(target=_child, args=(reader, seconds, count, seed, keep, send))
    process.start()
    send.close()
    with suppress(EOFError):
        found: dict[str, Any] = receive.recv()
        process.join()
        return found
    process.join()
    kept = keep / f"{reader.name.replace(' ', '_')}-{seed}-ended"
    for left in keep.glob("now-*"):
        left.rename(kept)
    return asdict(Tally(failures={f"the process ended with {process.exitcode}": str(kept)}))


def table(tallies: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures of a campaign in Markdown."""
    head = ("reader", "inputs", "refused", "accepted", "failed", "peak memory, MB", "longest, s")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, each in tallies.items():
        failed = each["tried"] - each["refused"] - each["accepted"]
        worst = f"{each['megabytes']:.0f} | {each['seconds']:.2f}"
        lines.append(f"| {name} | {each['tried']} | {each['refused']} | {each['accepted']} | {failed} | {worst} |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600, help="of the whole campaign")
    parser.add_argument("--least", type=int, default=0, help="inputs; it goes on until there are so many")
    parser.add_argument("--only", nargs="*", default=[], help="parts of readers' names")
    parser.add_argument("--keep", type=Path, default=Path("campaign"), help="folder for inputs that failed")
    parser.add_argument("--out", type=Path, default=Path("campaign.json"))
    options = parser.parse_args(words)
    quiet()
    options.keep.mkdir(parents=True, exist_ok=True)
    chosen = [r for r in READERS if not missing(r) and (not options.only or any(w in r.name for w in options.only))]
    for name in WARM:  # imported once; nothing is run, as a process with threads cannot be copied safely
        with suppress(ImportError):
            importlib.import_module(name)
    rounds = 4
    tallies: dict[str, dict[str, Any]] = {}
    started, turn = time.monotonic(), 0
    while turn < rounds or sum(each["tried"] for each in tallies.values()) < options.least:
        for reader in chosen:
            seconds = options.seconds / rounds / len(chosen)
            found = _apart(reader, seconds, 10**9, turn, options.keep)
            before = tallies.setdefault(reader.name, asdict(Tally()))
            for name in ("tried", "refused", "accepted"):
                before[name] += found[name]
            for name in ("megabytes", "seconds"):
                before[name] = round(max(before[name], found[name]), 3)
            before["failures"] |= found["failures"]
            taken = round(time.monotonic() - started)
            options.out.write_text(json.dumps({"seconds": taken, "readers": tallies}, indent=1) + "\n")
        turn += 1
    print(table(tallies))
    print(sum(each["tried"] for each in tallies.values()), "inputs")
    return int(any(each["failures"] for each in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
