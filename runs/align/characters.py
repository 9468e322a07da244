"""One dance for three characters: the result of every alignment mode, for inspection.

    python runs/align/characters.py DANCE BODY OUT [--frames 5] [--picture docs/img/align.png]

DANCE is a clip or a folder of numbered frames, BODY the body file from `wholebody synth body`. Three people of other
proportions are rendered: a child, a tall thin person and a short heavy one. For each mode, OUT/<mode>.png has the dance
in the first row, and below it the same frames aligned and drawn over each character. OUT/figures.md has the ratios of
limb to trunk, of each character and of the aligned dance. --picture is a sheet of one mode's maps on black: only
skeletons, which identify nobody.
"""

import argparse
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from wholebody import WholeBody, follow, read_video, write_image
from wholebody.align import align
from wholebody.align.clip import AlignMode
from wholebody.arrays import Size
from wholebody.draw import openpose, skeleton
from wholebody.poses import Poses
from wholebody.synth import rotations
from wholebody.synth.body import bone_transforms, load_body, rest_shape, transform, vertex_transforms
from wholebody.synth.layers import Assets
from wholebody.synth.looks import dress
from wholebody.synth.render import Camera, Light, assemble, render

MODES: tuple[AlignMode, ...] = ("none", "linear", "muse", "uni", "wan")
CHARACTERS = {
    "child": {"age": 0.12, "gender": 0.3, "height": 0.4, "proportions": 0.5, "weight": 0.5},
    "tall": {"age": 0.62, "gender": 0.95, "height": 1.0, "proportions": 0.95, "weight": 0.15, "muscle": 0.35},
    "heavy": {"age": 0.7, "gender": 0.9, "height": 0.1, "proportions": 0.15, "weight": 1.0, "muscle": 0.6},
}
SIZE = (576, 768)
_MAP = (150, 200)
LIGHT = Light(
    np.array([0.4, -0.8, 0.7], np.float32),
    np.full(3, 0.9, np.float32),
    np.full(3, 0.7, np.float32),
    np.full(3, 0.5, np.float32),
)
# In COCO's body: what is compared with the trunk, from the middle of the shoulders to that of the hips.
LIMBS = {"upper arm": ((5, 7), (6, 8)), "lower arm": ((7, 9), (8, 10)), "upper leg": ((11, 13), (12, 14)),
         "lower leg": ((13, 15), (14, 16)), "shoulders": ((5, 6),)}  # fmt: skip


def character(body, phenotype: dict[str, float], seed: int) -> np.ndarray:
    """(H, W, 3) BGR: somebody who stands in front of a grey wall, arms a little away from the body."""
    rest, heads = rest_shape(body, phenotype, {})
    turns = np.tile(np.eye(3, dtype=np.float32), (len(heads), 1, 1))
    for side, angle in ((".L", 35), (".R", -35)):
        turns[body.bone[f"upperarm01{side}"]] = rotations.turn((0, 1, 0), angle)
    transforms = bone_transforms(body.parents, heads, turns)
    matrices = vertex_transforms(transforms, body.skin_bones, body.skin_weights)
    posed = transform(matrices, rest)[body.skin]
    matrices[:, 2, 3] -= posed[:, 2].min()
    layers, _ = dress(np.random.default_rng(seed), body, rest, phenotype, Assets())
    height = float(np.ptp(posed[:, 2]))
    matrix = np.array([[1, 0, 0, 0], [0, 0, -1, height / 2], [0, 1, 0, 5.0]], np.float32)
    camera = Camera(matrix, 5.0 * 0.72 * SIZE[1] / height, (SIZE[0] / 2, SIZE[1] * 0.53), SIZE)
    color = render(assemble(layers, rest, matrices), camera, LIGHT).color
    wall = np.linspace(0.55, 0.35, SIZE[1], dtype=np.float32)[:, None, None]
    image = np.sqrt(np.clip(color[..., :3] + (1 - color[..., 3:]) * wall, 0, 1)) * 255
    return image.astype(np.uint8)


def ratios(frames: list[Poses]) -> dict[str, float]:
    """Longest limb over longest trunk in a clip: lengths that are seen from the side, not shortened."""
    points = np.array([poses.keypoints[0].astype(float) for poses in frames])
    trunk = np.linalg.norm(points[:, [5, 6]].mean(axis=1) - points[:, [11, 12]].mean(axis=1), axis=1)
    longest = np.percentile(trunk, 90)
    found = {}
    for name, pairs in LIMBS.items():
        lengths = [np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in pairs]
        found[name] = float(np.percentile(lengths, 90) / longest)
    return found


def portrait(poses: Poses, size: Size) -> tuple[Poses, Size]:
    """The dancer in the part of a wide picture that is as high as it and has the proportions of SIZE."""
    width = round(size[1] * SIZE[0] / SIZE[1])
    middle = float(poses.keypoints[0, :17, 0].mean())
    return poses.scaled(1, shift=(width / 2 - middle, 0)), (width, size[1])


def small_map(poses: Poses, size: Size) -> np.ndarray:
    """A map of the size it is shown in, so that its sticks can be seen."""
    return openpose(np.zeros((*_MAP[::-1], 3), np.uint8), poses.scaled(_MAP[0] / size[0], _MAP[1] / size[1]))


def sheet(rows: list[list[np.ndarray]], height: int = 240) -> np.ndarray:
    """Rows of pictures of one height each, and as wide as the widest."""
    lines = []
    for row in rows:
        lines.append(np.hstack([cv2.resize(p, (round(p.shape[1] * height / p.shape[0]), height),
                                           interpolation=cv2.INTER_AREA) for p in row]))  # fmt: skip
    widest = max(line.shape[1] for line in lines)
    return np.vstack([cv2.copyMakeBorder(line, 2, 2, 0, widest - line.shape[1], cv2.BORDER_CONSTANT) for line in lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("dance", "body", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--mode", choices=MODES, default="muse", help="of --picture")
    options = parser.parse_args()
    model = WholeBody()
    images: list[np.ndarray] = []
    dance: list[Poses] = []
    with closing(follow(read_video(options.dance), model)) as followed:
        for frame, poses in followed:
            if len(poses):
                images.append(frame.image)
                dance.append(poses[[int(np.argmax(poses.boxes[:, 3] - poses.boxes[:, 1]))]])
    chosen = np.linspace(0, len(dance) - 1, options.frames).round().astype(int)
    size = (images[0].shape[1], images[0].shape[0])
    body = load_body(options.body)
    people = {}
    for n, (name, phenotype) in enumerate(CHARACTERS.items()):
        image = character(body, phenotype, n)
        write_image(options.out / f"{name}.png", image)
        people[name] = image, model(image)[:1]
    table = ["| character | mode | " + " | ".join(LIMBS) + " |", "|---|---|" + "---:|" * len(LIMBS)]

    def line(name: str, mode: str, frames: list[Poses]) -> None:
        table.append(f"| {name} | {mode} | " + " | ".join(f"{x:.2f}" for x in ratios(frames).values()) + " |")

    line("the dancer", "", dance)
    for name, (_, poses) in people.items():
        line(name, "stands", [poses])
    for mode in MODES:
        rows = [[skeleton(images[n], dance[n]) for n in chosen]]
        maps = [[np.zeros((*_MAP[::-1], 3), np.uint8), *(small_map(*portrait(dance[n], size)) for n in chosen)]]
        for name, (image, poses) in people.items():
            aligned = align(dance, poses, mode, size=size, reference_size=SIZE)
            line(name, mode, aligned)
            rows.append([skeleton(image, poses), *(skeleton(image, aligned[n]) for n in chosen)])
            maps.append([small_map(one, SIZE) for one in (poses, *(aligned[n] for n in chosen))])
        write_image(options.out / f"{mode}.png", sheet(rows))
        if options.picture and mode == options.mode:
            write_image(options.picture, sheet(maps, _MAP[1]))
    (options.out / "figures.md").write_text("\n".join(table) + "\n")
    print("\n".join(table))


if __name__ == "__main__":
    main()
