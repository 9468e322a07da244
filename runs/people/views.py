"""Views for fine-tuning the default network's head: crops, labels, and the feature maps of the frozen encoder.

    python runs/people/views.py people PEOPLE BOXES.json.gz OUT --thunder THUNDER --hand HAND --face FACE [--share 0/2]
    python runs/people/views.py pool POOL OUT
    python runs/people/views.py shards SHARDS OUT --count 800
    python runs/people/views.py cut VIEWS OUT --count 1500

The encoder is unchanged, so its maps are computed only once. There are two views of each person in the photos: as a
detector would crop it, and varied (rotated, also by quarter turns, close up, far away, cut off by a border). Labels
come from the bundled network, MoveNet Thunder on the mirrored crop, and MediaPipe's close-ups of hands and faces. LSP's
human labels are kept, and people whose labelled joints are upside down are processed the right way up. People of the
pool and of shards have labels: one view for each sample. `cut` makes views of views that show a hand, so that the
picture ends between the person and the hand.

OUT gets a folder for every hundred people with one .npy for each of images, keypoints, visible (0 unlabelled, -1 known
to be outside), the logits x and y, and the maps s4 to s32. A stopped run resumes after the last folder.
"""

import argparse
import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from wholebody.arrays import Image
from wholebody.files import replacing
from wholebody.geometry import Crop
from wholebody.label.closeups import close_up
from wholebody.label.keypoints import LSP_14, from_rows, fuse, with_people
from wholebody.label.looks import Cut, MoveNet, Opinion, look
from wholebody.label.tflite import open_tflite
from wholebody.pose.topdown import TopDown
from wholebody.runtime.choose import open_session
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.data.augment import Augmentation, augment
from wholebody.train.data.crops import pool_people
from wholebody.train.data.people import LabelledPerson, ShardedPeople
from wholebody.weights.lookup import find

Floats = npt.NDArray[np.float64]
SIZE = (192, 256)
CHUNK = 100
# The encoder's maps, and the layers of the head that read them.
MAPS = {
    "s4": "head.fine.laterals.0.0.weight",
    "s8": "head.fine.laterals.1.0.weight",
    "s16": "head.fine.laterals.2.0.weight",
    "s32": "head.final_layer.0.weight",
}
COLUMNS = ("images", "keypoints", "visible", "x", "y", *MAPS)
VARIED = Augmentation(half_body=0.25, close_up=0.3, scale=(0.7, 1.35), rotation=50, cutout=0.3, shrink=0.2, camera=0.2)
SLIGHT = Augmentation(half_body=0, close_up=0, scale=(0.8, 1.2), rotation=20, cutout=0.1, shrink=0.1, camera=0.2)
# Chance of a quarter turn, and of a picture that ends within the person.
TURNED, CUT_OFF = 0.07, 0.3
# Labels below this confidence are none.
LEAST = 0.2
# Confidence of 15 points of a hand that is cut off, and the points of the trunk, three of which stay.
SURE_OF, TRUNK = 0.3, [5, 6, 11, 12]
# Draws of each person of a group of the pool.
REPEATS = {"coco_train2017": 6, "davis": 2, "hagrid": 1, "video_frames": 1}


def with_maps(path: Path) -> bytes:
    """The bundled network with the encoder's maps as further outputs, in float16."""
    proto = onnx.load(path)
    made = {output: node for node in proto.graph.node for output in node.output}

    def comes_from(name: str, weight: str, depth: int = 0) -> bool:
        node = made.get(name)
        widened = node is not None and depth < 4 and node.op_type in ("Cast", "Mul")
        return weight in name or (widened and any(comes_from(each, weight, depth + 1) for each in node.input))

    shapes = {"s4": [40, 64, 48], "s8": [56, 32, 24], "s16": [112, 16, 12], "s32": [1280, 8, 6]}
    for name, weight in MAPS.items():
        (layer,) = (n for n in proto.graph.node if n.op_type == "Conv" and comes_from(n.input[1], weight))
        proto.graph.node.append(helper.make_node("Cast", [layer.input[0]], [name], to=TensorProto.FLOAT16))
        proto.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT16, ["batch", *shapes[name]]))
    return proto.SerializeToString()


class Bundled:
    """The bundled network: a crop in; points, scores, and what is kept of it out."""

    def __init__(self, folder: Path) -> None:
        path = folder / "with_maps.onnx"
        with replacing(path) as partial:
            partial.write_bytes(with_maps(find("wholebody-133", kind="pose")))
        self.session = open_session(path, "cpu", 1)
        self.top_down = TopDown(self.session)

    def __call__(self, crop: Image) -> tuple[Floats, Floats, list[npt.NDArray[Any]]]:
        keypoints, scores = self.top_down.predict(crop[None])
        x, y, *maps = self.session(crop[None], ("simcc_x", "simcc_y", *MAPS))
        kept = [x[0].astype(np.float16), y[0].astype(np.float16), *(each[0] for each in maps)]
        return keypoints[0].astype(np.float64), scores[0].astype(np.float64), kept


def varied(sample: LabelledPerson, rng: np.random.Generator) -> tuple[Image, Floats, npt.NDArray[np.float32]]:
    """A crop of somebody turned, cut off, far away or close up: the crop, keypoints in it, and visible."""
    image, points, visible, box = sample.pixels(), sample.keypoints, sample.visible.copy(), sample.box.copy()
    if rng.random() < TURNED:
        for _ in range(int(rng.integers(1, 4))):
            width = image.shape[1]
            image = np.rot90(image)
            points = np.column_stack([points[:, 1], width - 1 - points[:, 0]])
            box = np.array([box[1], width - box[2], box[3], width - box[0]])
        image = np.ascontiguousarray(image)
    if rng.random() < CUT_OFF:
        side, part = int(rng.integers(4)), rng.uniform(0.1, 0.5)
        axis, far = side % 2, side >= 2
        # More of the legs than of the head.
        reach = part * (box[2 + axis] - box[axis]) * ((0.7, 1.3)[far] if axis else 1)
        border = box[2 + axis] - reach if far else box[axis] + reach
        outside = points[:, axis] > border + 2 if far else points[:, axis] < border - 2
        beyond = slice(max(int(border), 0), None) if far else slice(0, max(int(border), 0))
        image = image.copy()
        image[(beyond, slice(None)) if axis else (slice(None), beyond)] = 0
        visible[outside & (visible != 0)] = -1
        if rng.random() < 0.8:
            box[2 * far + axis] = border
    return augment(LabelledPerson(image, points, visible, box, sample.source), SIZE, VARIED, rng)


# --- people on photos -------------------------------------------------------------------------------------------------


class OnPhotos:
    """Two views of each of the people worth it, with labels by agreement."""

    def __init__(self, options: argparse.Namespace, see: Bundled) -> None:
        self.folder, self.see = options.source, see
        index = json.loads(gzip.decompress((options.source / "index.json.gz").read_bytes()))
        self.index = {row["file"]: row for row in index}
        self.thunder = MoveNet(open_tflite(options.thunder, 1))
        self.hand, self.face = (close_up(open_tflite(path, 1)) for path in (options.hand, options.face))
        rows = json.loads(gzip.decompress(options.boxes.read_bytes()))
        people = [pair for row in rows for pair in self._worth(row)]
        # The first of each photo before the second; else mixed, so that a part of the run shows all sources.
        people.sort(key=lambda each: each[0] + np.random.default_rng(zlib.crc32(each[1]["file"].encode())).random())
        part, parts = map(int, options.share.split("/"))
        self.people = people[part::parts]

    def _worth(self, row: Mapping[str, Any]) -> list[tuple[int, Mapping[str, Any], Floats]]:
        """Up to three people of a photo, the largest ones: rank, row and box."""
        given = self.index[row["file"]]
        boxes, scores = np.array(row["boxes"]).reshape(-1, 4), np.array(row["scores"])
        if row["source"] == "lspet":
            return [(0, row, np.array(given["boxes"][0], np.float64))]
        upright = np.array([1, 1 / row["aspect"]] if row["aspect"] > 1 else [row["aspect"], 1])
        side = ((boxes[:, 2:] - boxes[:, :2]) * upright).max(axis=1, initial=0)
        order = [i for i in np.argsort(-side * scores)[:3] if side[i] >= 90 and scores[i] >= 0.6]
        return [(rank, row, boxes[i]) for rank, i in enumerate(order)]

    def __len__(self) -> int:
        return len(self.people)

    def __call__(self, n: int) -> Iterator[tuple[Any, ...]]:
        _, row, box = self.people[n]
        image, aspect = cv2.imread(str(self.folder / row["file"])), row["aspect"]
        height, width = image.shape[:2]
        size = (width, round(height / aspect)) if aspect > 1 else (round(width * aspect), height)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        box = box * np.tile([size[0] / width, size[1] / height], 2)
        human, turn = self._joints(self.index[row["file"]], size)
        crop = Crop.from_box(box, SIZE, rotation=turn)
        plain = crop.cut(image)
        points, scores, kept = self.see(plain)
        boxes = box[None]
        own = Opinion(crop.to_image(points)[None], scores[None])
        mirrored = look(self.thunder, image, boxes, Cut(turn=turn, mirrored=True))
        first = fuse([own, mirrored], boxes)
        said = fuse([own, mirrored, self.hand(image, first), self.face(image, first)], boxes, [1, 1, 2.5, 2.5])
        final = with_people(said, human, boxes) if human else said
        points, scores = final.keypoints[0], final.scores[0]
        outside = ((points < -3) | (points > np.array(size) + 2)).any(axis=1)
        visible = np.where(outside, np.where(scores >= 0.25, -1, 0), np.where(scores < LEAST, 0, scores))
        yield plain, crop.to_input(points), visible, *kept
        rng = np.random.default_rng((zlib.crc32(row["file"].encode()), n))
        view, points, visible = varied(LabelledPerson(image, points, visible.astype(np.float32), box, row["file"]), rng)
        yield view, points, visible, *self.see(view)[2]

    def _joints(self, row: Mapping[str, Any], size: tuple[int, int]) -> tuple[Opinion | None, float]:
        """LSP's joints, and how far the crop is turned for the torso to stand upright."""
        if row["source"] != "lspet":
            return None, 0.0
        joints = np.array(row["keypoints"][:1], np.float64)
        human = from_rows(joints, LSP_14, hidden=0.3)
        human.scores[((human.keypoints <= 0) | (human.keypoints >= np.array(size))).any(axis=2)] = 0
        shoulders, hips = [5, 6], [11, 12]
        up = human.keypoints[0, shoulders].mean(axis=0) - human.keypoints[0, hips].mean(axis=0)
        if (human.scores[0, shoulders + hips] == 0).any() or np.linalg.norm(up) < 8:
            return human, 0.0
        turn = float(np.degrees(np.arctan2(up[0], -up[1])))
        return human, turn if abs(turn) > 35 else 0.0


# --- people with labels -----------------------------------------------------------------------------------------------


class Labelled:
    """A view for each draw of people who have labels, two in five of them plain."""

    def __init__(self, draws: list[tuple[Callable[[], LabelledPerson], int]], see: Bundled) -> None:
        self.draws, self.see = draws, see

    def __len__(self) -> int:
        return len(self.draws)

    def __call__(self, n: int) -> Iterator[tuple[Any, ...]]:
        load, time = self.draws[n]
        sample, rng = load(), np.random.default_rng((n, 9))
        visible = np.where((sample.visible > 0) & (sample.visible < LEAST), 0, sample.visible).astype(np.float32)
        if time == 0 and rng.random() < 0.4:
            crop = Crop.from_box(sample.box, SIZE)
            view, points = crop.cut(sample.pixels()), crop.to_input(sample.keypoints)
        else:
            view, points, visible = varied(
                LabelledPerson(sample.image, sample.keypoints, visible, sample.box, sample.source), rng
            )
        yield view, points, visible, *self.see(view)[2]


class CutHands:
    """Views whose picture ends between the person and a hand that was there: the hand is known to be outside."""

    def __init__(self, folder: Path, see: Bundled) -> None:
        self.see, self.places = see, []
        for place in sorted(folder.glob("*/visible.npy")):
            visible = np.load(place)
            for hand in ("left_hand", "right_hand"):
                part = COCO_WHOLEBODY.parts[hand]
                rows = np.flatnonzero((visible[:, part] > SURE_OF).sum(axis=1) >= 15)
                self.places += [(place.parent, int(row), part) for row in rows]

    def __len__(self) -> int:
        return len(self.places)

    def __call__(self, n: int) -> Iterator[tuple[Any, ...]]:
        folder, row, part = self.places[n]
        image, points, visible = (np.load(folder / f"{c}.npy", mmap_mode="r")[row] for c in COLUMNS[:3])
        points, visible, rng = points.astype(np.float64), visible.copy(), np.random.default_rng((n, 11))
        seen = visible > 0
        box = np.concatenate([points[seen].min(axis=0) - 6, points[seen].max(axis=0) + 6])
        box = box.clip(0, np.tile(SIZE, 2))
        hand = points[part][seen[part]]
        gap = 2 + rng.uniform(0, 0.3) * (hand.max(axis=0) - hand.min(axis=0)).max()
        trunk = points[TRUNK][seen[TRUNK]]
        sides = []
        for axis, far in ((0, False), (1, False), (0, True), (1, True)):
            border = hand[:, axis].min() - gap if far else hand[:, axis].max() + gap
            kept = (trunk[:, axis] < border) if far else (trunk[:, axis] > border)
            if 24 < border < SIZE[axis] - 24 and kept.sum() >= min(3, len(trunk)) > 0:
                sides.append((axis, far, border))
        if not sides:
            return
        axis, far, border = sides[rng.integers(len(sides))]
        outside = points[:, axis] > border + 1 if far else points[:, axis] < border - 1
        beyond = slice(round(border), None) if far else slice(0, round(border))
        image = image.copy()
        image[(beyond, slice(None)) if axis else (slice(None), beyond)] = 0
        visible[outside & seen] = -1
        box[2 * far + axis] = border
        sample = LabelledPerson(image, points, visible, box, str(folder))
        if rng.random() < 0.5:
            crop = Crop.from_box(box, SIZE)
            view, points = crop.cut(image), crop.to_input(points)
        else:
            view, points, visible = augment(sample, SIZE, SLIGHT, rng)
        yield view, points, visible, *self.see(view)[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in ("people", "pool", "shards", "cut"):
        each = kinds.add_parser(kind)
        each.add_argument("source", type=Path)
        if kind == "people":
            each.add_argument("boxes", type=Path)
            for name in ("--thunder", "--hand", "--face"):
                each.add_argument(name, required=True)
            each.add_argument("--share", default="0/1", help="which part of the people, of how many")
        each.add_argument("out", type=Path)
        each.add_argument("--count", type=int, default=10**9)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    see = Bundled(options.out)
    if options.kind == "people":
        views: OnPhotos | Labelled | CutHands = OnPhotos(options, see)
    elif options.kind == "pool":
        groups = pool_people(options.source, held_out=False)
        views = Labelled(
            [(p.load, time) for group, people in groups.items() for p in people for time in range(REPEATS[group])], see
        )
    elif options.kind == "cut":
        views = CutHands(options.source, see)
    else:
        shards = ShardedPeople(options.source)
        views = Labelled([(lambda n=n: shards[n], 0) for n in range(len(shards))], see)
    order = (
        np.random.default_rng(5).permutation(len(views)) if options.kind in ("pool", "cut") else np.arange(len(views))
    )
    order = order[: options.count]
    name = options.share.replace("/", "of") if options.kind == "people" else "0"
    for start in range(0, len(order), CHUNK):
        folder = options.out / f"{name}-{start // CHUNK:04d}"
        if folder.exists():
            continue
        columns = zip(*(view for n in order[start : start + CHUNK] for view in views(int(n))), strict=True)
        partial = folder.with_name(f".{folder.name}")
        partial.mkdir(exist_ok=True)
        for column, values in zip(COLUMNS, columns, strict=True):
            array = np.stack(values)
            np.save(partial / f"{column}.npy", array.astype(np.float32) if array.dtype == np.float64 else array)
        partial.rename(folder)
        print(folder, flush=True)


if __name__ == "__main__":
    main()
