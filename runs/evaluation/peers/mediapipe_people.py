"""MediaPipe Holistic 0.10.21, or the composite of Google's networks, on given boxes: COCO-WholeBody results out.

    python mediapipe_people.py holistic ANNOTATIONS.json IMAGES OUT.json --map to_wholebody133.json [--complexity 2]
    python mediapipe_people.py composite ANNOTATIONS.json IMAGES OUT.json --map ... --thunder movenet_thunder.tflite

Runs in an environment of its own, because the last MediaPipe with these networks needs numpy < 2:

    python -m venv peer && peer/bin/pip install mediapipe==0.10.21 "numpy<2" ai-edge-litert

ANNOTATIONS has COCO's layout; every annotation's `bbox` is one person. `--map` says which landmark is which of the 133
points. Complexity 2 needs pose_landmark_heavy.tflite from the npm package @mediapipe/holistic beside
pose_landmark_full.tflite inside the installed mediapipe.

holistic is MediaPipe as people use it: one call on the box x 1.3, its longer side 512 pixels. composite is what its
networks can do when a pose leads them: MoveNet Thunder for the body, BlazePose for the feet, Face Mesh again on an
enlarged head, Hands again on enlarged hands, and where the palm detector finds nothing, the hand network on the place
the arm points to. Scores are the pose's visibility, and 1 or the hand network's score where a part was found.

OUT is a list of results in the order of the annotations; the last line on standard error is JSON with the seconds, by
the clock and of the processor, spent on cutting out people and inside the networks' calls. MediaPipe has no option for
the number of threads: `--threads N` keeps the process on N cores.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import mediapipe as mp
import numpy as np

PARTS = {"keypoints": 17, "foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
FACE, LEFT_HAND, RIGHT_HAND = slice(23, 91), slice(91, 112), slice(112, 133)


@dataclass(frozen=True)
class Cut:
    """A square or oblong piece of a picture, enlarged; `origin` and `scale` lead back."""

    image: np.ndarray
    origin: np.ndarray
    scale: float

    def back(self, points: np.ndarray) -> np.ndarray:
        return points / self.scale + self.origin


def cut(image: np.ndarray, center: np.ndarray, size: np.ndarray, longest: int) -> Cut:
    """The piece of `size` (w, h) around `center`, black beyond the picture, with a longer side of `longest`."""
    scale = longest / max(float(size.max()), 1.0)
    origin = center - size / 2
    w, h = np.maximum(np.rint(size * scale), 1).astype(int)
    matrix = np.array([[scale, 0, -origin[0] * scale], [0, scale, -origin[1] * scale]])
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return Cut(cv2.warpAffine(image, matrix, (int(w), int(h)), flags=flags), origin, scale)


class Map:
    """Landmarks of the networks -> the 133 points; a point is the mean of some landmarks."""

    def __init__(self, path: Path) -> None:
        points = json.loads(path.read_text())["points"]
        self.rows: dict[str, list[tuple[int, list[int]]]] = {}
        for point in points:
            self.rows.setdefault(point["model"], []).append((point["index"], point["from"]))
        # No network has a small toe: the big one stands in for it, as the map's authors measured to be best.
        toes = dict(self.rows["pose"])
        self.rows["pose"] = [(i, landmarks or toes[i - 1]) for i, landmarks in self.rows["pose"]]

    def __call__(self, model: str, landmarks: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` (133, 3) from (L, 3) x, y, score."""
        for index, chosen in self.rows[model]:
            out[index] = landmarks[chosen].mean(axis=0)


def landmarks(found, shape: tuple[int, ...], scores: bool = False) -> np.ndarray:
    """(L, 3) pixels of the piece, and the visibility or 1."""
    h, w = shape[:2]
    return np.array([[p.x * w, p.y * h, p.visibility if scores else 1.0] for p in found.landmark])


def placed(piece: Cut, found: np.ndarray) -> np.ndarray:
    return np.concatenate([piece.back(found[:, :2]), found[:, 2:]], axis=1)


class Holistic:
    """One call of MediaPipe Holistic a person."""

    def __init__(self, options: argparse.Namespace, table: Map) -> None:
        self.network = mp.solutions.holistic.Holistic(
            static_image_mode=True, model_complexity=options.complexity, refine_face_landmarks=False
        )
        self.table = table

    def __call__(self, image: np.ndarray, box: np.ndarray) -> np.ndarray:
        piece = cut(image, (box[:2] + box[2:]) / 2, 1.3 * (box[2:] - box[:2]), 512)
        found = self.network.process(cv2.cvtColor(piece.image, cv2.COLOR_BGR2RGB))
        person = np.zeros((133, 3))
        for model, part, scores in (
            ("pose", found.pose_landmarks, True),
            ("face_mesh", found.face_landmarks, False),
            ("hand (left)", found.left_hand_landmarks, False),
            ("hand (right)", found.right_hand_landmarks, False),
        ):
            if part:
                self.table(model, placed(piece, landmarks(part, piece.image.shape, scores)), person)
        return person


class Tflite:
    """A network of one input from a file."""

    def __init__(self, path: str) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.network = Interpreter(path, num_threads=1)
        self.network.allocate_tensors()
        self.taken, self.given = self.network.get_input_details()[0], self.network.get_output_details()

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        self.network.set_tensor(self.taken["index"], image[None].astype(self.taken["dtype"]))
        self.network.invoke()
        return [self.network.get_tensor(each["index"]) for each in self.given]


class Composite:
    """Thunder's body leads the other networks to the feet, the face and the hands."""

    def __init__(self, options: argparse.Namespace, table: Map) -> None:
        solutions, folder = mp.solutions, Path(mp.__file__).parent / "modules"
        self.pose = solutions.pose.Pose(static_image_mode=True, model_complexity=options.complexity)
        self.face = solutions.face_mesh.FaceMesh(
            static_image_mode=True, max_num_faces=1, refine_landmarks=False, min_detection_confidence=0.3
        )
        self.hands = solutions.hands.Hands(static_image_mode=True, max_num_hands=1, min_detection_confidence=0.3)
        self.hand = Tflite(str(folder / "hand_landmark" / "hand_landmark_full.tflite"))
        self.thunder = Tflite(options.thunder)
        self.table = table

    def __call__(self, image: np.ndarray, box: np.ndarray) -> np.ndarray:
        person, center, size = np.zeros((133, 3)), (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        piece = cut(image, center, np.full(2, 1.25 * size.max()), 256)
        y, x, score = self.thunder(cv2.cvtColor(piece.image, cv2.COLOR_BGR2RGB))[0][0, 0].T
        body = np.concatenate([piece.back(np.stack([x, y], axis=1) * 256), score[:, None]], axis=1)

        piece = cut(image, center, 1.3 * size, 512)
        found = self.pose.process(cv2.cvtColor(piece.image, cv2.COLOR_BGR2RGB)).pose_landmarks
        if found:
            self.table("pose", placed(piece, landmarks(found, piece.image.shape, scores=True)), person)
            # A BlazePose that follows another person says nothing about these feet.
            for side, rows in ((15, slice(17, 20)), (16, slice(20, 23))):
                away = np.linalg.norm(person[side, :2] - body[side, :2])
                person[rows, 2] *= float(away < 0.1 * size.max())
        person[:17] = body
        self._face(image, person, size)
        for side, rows in ((0, LEFT_HAND), (1, RIGHT_HAND)):
            self._hand(image, person, side, rows)
        return person

    def _face(self, image: np.ndarray, person: np.ndarray, size: np.ndarray) -> None:
        head = person[:5]
        span = max(np.ptp(head[:, 0]), np.ptp(head[:, 1]), 0.03 * size.max())
        piece = cut(image, head[:3, :2].mean(axis=0) + np.array([0, 0.2 * span]), np.full(2, 2.6 * span), 320)
        found = self.face.process(cv2.cvtColor(piece.image, cv2.COLOR_BGR2RGB)).multi_face_landmarks
        if not found:
            return
        before = person.copy()
        self.table("face_mesh", placed(piece, landmarks(found[0], piece.image.shape)), person)
        if np.linalg.norm(person[23 + 30, :2] - person[0, :2]) > span:  # the nose of another person
            person[FACE] = before[FACE]

    def _hand(self, image: np.ndarray, person: np.ndarray, side: int, rows: slice) -> None:
        elbow, wrist = person[7 + side], person[9 + side]
        along = wrist[:2] - elbow[:2]
        reach = max(float(np.linalg.norm(along)), 0.3 * float(np.linalg.norm(person[5, :2] - person[6, :2])), 8.0)
        center = wrist[:2] + 0.35 * along
        piece = cut(image, center, np.full(2, 1.6 * reach), 320)
        found = self.hands.process(cv2.cvtColor(piece.image, cv2.COLOR_BGR2RGB)).multi_hand_landmarks
        name = ("hand (left)", "hand (right)")[side]
        if found:
            hand = placed(piece, landmarks(found[0], piece.image.shape))
            if np.linalg.norm(hand[0, :2] - wrist[:2]) < 0.6 * reach:
                self.table(name, hand, person)
                return
        # The hand network wants the fingers to point up: turn the arm's direction there.
        angle = np.degrees(np.arctan2(along[0], -along[1]))
        side_length = 1.1 * reach
        matrix = cv2.getRotationMatrix2D(tuple(map(float, center)), float(angle), 224 / side_length)
        matrix[:, 2] += 112 - center
        crop = cv2.cvtColor(cv2.warpAffine(image, matrix, (224, 224)), cv2.COLOR_BGR2RGB)
        points, score = self._landmarks(crop.astype(np.float32) / 255)
        back = cv2.transform(points[None], cv2.invertAffineTransform(matrix))[0]
        self.table(name, np.column_stack([back, np.full(21, score)]), person)

    def _landmarks(self, crop: np.ndarray) -> tuple[np.ndarray, float]:
        outputs = self.hand(crop)
        points = next(out for out in outputs if out.size == 63)  # pixels first, metres after
        score = next(out for out in outputs if out.size == 1)
        return points.reshape(21, 3)[:, :2].astype(np.float64), float(score.reshape(()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("estimator", choices=("holistic", "composite"))
    parser.add_argument("annotations", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--map", type=Path, required=True)
    parser.add_argument("--complexity", type=int, choices=(0, 1, 2), default=1)
    parser.add_argument("--thunder")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.estimator == "composite" and not options.thunder:
        parser.error("composite needs --thunder movenet_thunder_fp16.tflite")
    cv2.setNumThreads(options.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    labels = json.loads(options.annotations.read_text())
    files = {image["id"]: image["file_name"] for image in labels["images"]}
    estimate = {"holistic": Holistic, "composite": Composite}[options.estimator](options, Map(options.map))
    results, spent, opened = [], np.zeros(2), (None, None)
    for n, row in enumerate(labels["annotations"]):
        if opened[0] != row["image_id"]:
            opened = (row["image_id"], cv2.imread(str(options.images / files[row["image_id"]])))
        x, y, w, h = row["bbox"]
        started = np.array([time.perf_counter(), time.process_time()])
        person = estimate(opened[1], np.array([x, y, x + w, y + h], float))
        spent += (time.perf_counter(), time.process_time()) - started
        result, at = {"image_id": row["image_id"], "category_id": 1, "score": 1.0, "bbox": row["bbox"]}, 0
        for name, count in PARTS.items():
            result[name], at = np.round(person[at : at + count], 3).ravel().tolist(), at + count
        results.append(result)
        print(f"\r{n + 1}/{len(labels['annotations'])}", end="", file=sys.stderr)
    options.out.write_text(json.dumps(results))
    wall, cpu = spent.round(3).tolist()
    print("\n" + json.dumps({"people": len(results), "seconds": wall, "processor": cpu}), file=sys.stderr)


if __name__ == "__main__":
    main()
