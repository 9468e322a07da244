"""`wholebody label`."""

from pathlib import Path
from typing import Annotated

import tyro

from wholebody.choices import Device
from wholebody.console import progress, say
from wholebody.files import check_folder


def label(
    inputs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    /,
    out: Path,
    detectors: tuple[str, ...] = ("person",),
    estimators: tuple[str, ...] = ("wholebody-133",),
    close_ups: tuple[str, ...] = (),
    labels: Path | None = None,
    turns: bool = False,
    tiles: int = 48,
    device: Device = "auto",
    threads: int | None = None,
) -> int:
    """Label photos by the agreement of several networks: boxes and 133 keypoints with confidences, for training.

    "wholebody label photos/ --out labels" uses the bundled networks, plain and flipped.

    "wholebody label photos/ --out labels --detectors person yolox_nano.onnx nanodet.onnx --estimators wholebody-133
    movenet_thunder.tflite --close-ups hand_landmark_full.tflite face_landmark.tflite" uses more networks.

    Writes labels.json (COCO-WholeBody), least_certain.png and people.jsonl. Run it again to resume.

    Args:
        inputs: Pictures, or folders of them.
        out: Folder for the labels.
        detectors: Names from `wholebody models`, or files: YOLOX, NanoDet, MoveNet MultiPose, CenterNet.
        estimators: Names, or files: any pose network with 133 or 17 keypoints, MoveNet.
        close_ups: Files of MediaPipe's landmark networks for hands and faces.
        labels: Human labels of these pictures, in COCO's layout: their boxes and keypoints are kept.
        turns: For people with few visible keypoints, also try the picture rotated to its sides and upside down.
        tiles: Number of people on the sheet of the least certain ones; 0 for no sheet.
        device: What to compute on.
        threads: CPU threads per network.
    """
    from wholebody.images import find_images
    from wholebody.label.run import Labeller, human_labels
    from wholebody.label.run import label as run

    check_folder(out, (".json", ".jsonl", ".png"), "--out")
    labeller = Labeller.of(detectors, estimators, close_ups, turns, device, threads)
    images = find_images(inputs)
    human = human_labels(labels) if labels else None
    with progress("pictures", len(images)) as advance:
        count, failed = run(images, out, labeller, human, tiles, advance)
    for line in failed:
        say(f"wholebody: {line}")
    print(f"{out / 'labels.json'}: {count} people on {len(images) - len(failed)} pictures")
    return 1 if failed else 0
