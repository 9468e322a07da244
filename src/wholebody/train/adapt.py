"""Adapting a network to your own pictures, without labels."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wholebody import video
from wholebody.choices import TrainPrecision
from wholebody.console import ProgressBar
from wholebody.data.coco import write_labels
from wholebody.data.labels import Labels, PictureFile
from wholebody.errors import WholebodyError
from wholebody.files import is_hidden
from wholebody.geometry import box_areas
from wholebody.images import READ_SUFFIXES, read_image, write_image
from wholebody.networks.checkpoints import load_pose
from wholebody.networks.kinds import NETWORKS, kind_of
from wholebody.pose.load import open_detector
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.build import weights_file
from wholebody.train.config import Augment, DataSource, Distill, Optim, TrainConfig, TwoStages
from wholebody.train.loop import fit
from wholebody.train.recipes import second_stage
from wholebody.train.stages import distil

K = len(COCO_WHOLEBODY)


def _silent(name: str, total: int) -> AbstractContextManager[Callable[[], None]]:
    return nullcontext(lambda: None)


@dataclass(frozen=True)
class Footage:
    """Your own pictures.

    Attributes:
        inputs: pictures, videos, or folders of them.
        detector: finds the people; "none" treats each picture as one person.
        every: use every n-th frame of a video.
        threshold: lowest score of a person; by default the detector's.
    """

    inputs: tuple[Path, ...]
    detector: str = "person"
    every: int = 5
    threshold: float | None = None


def adapt(
    footage: Footage,
    teachers: Sequence[str],
    student: str,
    out: Path,
    steps: int,
    batch: int,
    lr: float,
    precision: TrainPrecision = "fp32",
    progress: ProgressBar = _silent,
) -> Path:
    """Label-free distillation: a student learns a teacher's logits on the people in some footage.

    In the paper's ablation, a teacher's logits alone beat labels alone; here there are no labels at all. The weight
    does not decay, because there is no other term.

    Args:
        teachers: files or names of networks; several are averaged.
        student: a checkpoint, or a name from NETWORKS for random weights.

    Returns:
        the exported ONNX file.

    Raises:
        WholebodyError: nobody was found, a file cannot be read, or one of `loop.fit`'s reasons.
    """
    people = out / "people"
    if not (people / "labels.json").exists():
        find_people(footage, people, progress)
    start = None if student in NETWORKS else load_pose(weights_file(student))
    config = TrainConfig(
        name="adapt",
        network=student if start is None else kind_of(start),
        init="" if start is None else student,
        input_size=(192, 256) if start is None else start.codec.input_size,
        sources=(DataSource("coco", str(people / "labels.json"), str(people)),),
        steps=steps,
        batch=batch,
        optim=Optim(lr=lr, lr_end=lr / 50, flat=0.2, warmup=min(100, steps // 10), ema_momentum=2e-3, ema_gamma=100),
        augment=Augment(scale=(0.75, 1.25), rotation=40, cutout=0.3, late=1.0),
        distill=Distill(teachers=tuple(teachers), ori=0.0, alpha=0.0, beta=1.0, decay=False),
        precision=precision,
    )
    fit(config, out / "stage1")
    return distil(TwoStages(config, second_stage(config, 0.2)), out, stages=())


def find_people(footage: Footage, folder: Path, progress: ProgressBar = _silent) -> None:
    """Write the pictures that show people, and the people's boxes, in COCO-WholeBody's layout.

    The centre of each box is its only labelled point; a run without labels does not use it.

    Raises:
        WholebodyError: nobody was found, or nothing can be read.
    """
    people: list[tuple[int, npt.NDArray[np.float32]]] = []
    files: list[PictureFile] = []
    failed: list[str] = []
    detector = _detector(footage)
    with progress("pictures", len(footage.inputs)) as advance:
        for source in footage.inputs:
            try:
                for name, image in _pictures(source, footage.every):
                    found = detector(image)
                    if not len(found):
                        continue
                    file = f"{len(files):06d}_{name}.jpg"
                    write_image(folder / file, image)
                    people += [(len(files) + 1, box) for box in found]
                    files.append(PictureFile(file, image.shape[1], image.shape[0]))
            except WholebodyError as error:
                failed.append(str(error))
            advance()
    if not people:
        raise WholebodyError(f"no person was found to learn from. {' '.join(failed) or 'Lower --threshold.'}")
    boxes = np.array([box for _, box in people], np.float64)
    m = len(people)
    keypoints, visible = np.zeros((m, K, 2)), np.zeros((m, K), np.float32)
    keypoints[:, 0], visible[:, 0] = (boxes[:, :2] + boxes[:, 2:]) / 2, 1
    write_labels(
        folder / "labels.json",
        Labels(
            ids=np.arange(1, m + 1),
            image_ids=np.array([number for number, _ in people]),
            keypoints=keypoints,
            visible=visible,
            boxes=boxes,
            areas=box_areas(boxes),
            iscrowd=np.zeros(m, bool),
            valid=np.ones((m, 4), bool),
            images=dict(enumerate(files, 1)),
        ),
    )


def _detector(footage: Footage) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """Picture -> boxes (N, 4) of its people."""
    if footage.detector == "none":
        return lambda image: np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
    yolox = open_detector(footage.detector, threshold=footage.threshold)
    return lambda image: yolox(image)[0]


def _pictures(source: Path, every: int) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    """Name and picture of a file, of each file in a folder, or of every n-th frame of a video."""
    if source.is_dir():
        for file in sorted(file for file in source.iterdir() if not is_hidden(file.relative_to(source))):
            if file.suffix.lower() in (*READ_SUFFIXES, *video.VIDEO_SUFFIXES):
                yield from _pictures(file, every)
    elif source.suffix.lower() in video.VIDEO_SUFFIXES:
        for number, frame in enumerate(video.read(source)):
            if number % every == 0:
                yield f"{source.stem}_{number:06d}", frame.image
    else:
        yield source.stem, read_image(source)
