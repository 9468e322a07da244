"""Which networks there are."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from wholebody.preprocess import IMAGENET_RGB, PLAIN_BGR, Preprocessing

Kind = Literal["pose", "detector"]


@dataclass(frozen=True)
class Weights:
    """A released network.

    Attributes:
        name: what the user types.
        kind: "pose" or "detector".
        file: its name in the cache folder; of a bundled network in the package's `models` folder.
        input_size: (w, h) of the input in pixels.
        licence: of the weights, with what is known of the data behind them.
        about: one line: what it is, and its published figure.
        urls: where to get it, tried in this order; a .zip holds it as `end2end.onnx`. Empty: bundled.
        bytes: size of `file`, None where none is published.
        sha256: of `file`: all 64 hex digits, or as many of the first as are published. None where none are. The eight
            digits in the released names belong to the .pth: the ONNX files of the same name have others.
        preprocessing: None where it is part of the graph, which then takes uint8 (N, h, w, 3) BGR.
    """

    name: str
    kind: Kind
    file: str
    input_size: tuple[int, int]
    licence: str
    about: str
    urls: tuple[str, ...] = ()
    bytes: int | None = None
    sha256: str | None = None
    preprocessing: Preprocessing | None = None

    @property
    def bundled(self) -> bool:
        return not self.urls


_HUB = "https://huggingface.co"


_MMPOSE = "https://download.openmmlab.com/mmpose/v1"


_COCO_UBODY = "Apache-2.0; trained on COCO-WholeBody, whose annotations are for non-commercial use only, and UBody"
_HUMANART = "Apache-2.0; trained on COCO and Human-Art: read the terms of both before commercial use"
_DISTILLED = "DWPose, distilled RTMPose-{}; COCO-WholeBody AP {}"


def _bundled(name: str, kind: Kind, file: str, input_size: tuple[int, int], about: str) -> Weights:
    return Weights(name, kind, file, input_size, "Apache-2.0; see the model card", f"bundled; {about}")


def _onnx_sdk(name: str) -> tuple[str, ...]:
    mirror = f"{_HUB}/datasets/DavidPagnon/rtmlib_models/resolve/main/mmpose/rtmposev1/onnx_sdk"
    return f"{mirror}/{name}.onnx", f"{_MMPOSE}/projects/rtmposev1/onnx_sdk/{name}.zip"


def _dwpose(letter: str, ap: float, release: str, bytes: int | None = None, sha256: str | None = None) -> Weights:
    release = f"rtmpose-{letter}_simcc-ucoco_dw-ucoco_270e-256x192-{release}_20230728"
    return Weights(
        name=f"dwpose-{letter}",
        kind="pose",
        file=f"{release}.onnx",
        input_size=(192, 256),
        licence=_COCO_UBODY,
        about=_DISTILLED.format(letter, ap),
        urls=_onnx_sdk(release),
        bytes=bytes,
        sha256=sha256,
        preprocessing=IMAGENET_RGB,
    )


def _teacher(
    name: str, input_size: tuple[int, int], about: str, mirror: str, release: str, paths: list[str]
) -> Weights:
    urls = (f"{_HUB}/camenduru/MuseTalk/resolve/main/dwpose/{mirror}", *(f"{_MMPOSE}/{path}" for path in paths))
    prefix = release.split("_")[0]
    return Weights(name, "pose", f"{name}-{release}.pth", input_size, _COCO_UBODY, about, urls, sha256=prefix)


def _humanart(letter: str, ap: float, release: str, side: int = 640) -> Weights:
    release = f"yolox_{letter}_8xb8-300e_humanart-{release}"
    return Weights(
        name=f"yolox-{letter}-humanart",
        kind="detector",
        file=f"{release}.onnx",
        input_size=(side, side),
        licence=_HUMANART,
        about=f"YOLOX-{letter}, people in photos and art; person AP {ap}",
        urls=_onnx_sdk(release),
        preprocessing=PLAIN_BGR,
    )


_ALL = (
    _bundled("wholebody-133", "pose", "pose.onnx", (192, 256), "133 points, MoveNet Thunder under a two-scale head"),
    _bundled("person", "detector", "detector.onnx", (416, 416), "people in photos, YOLOX on MoveNet Thunder's encoder"),
    _bundled("fast", "pose", "fast.onnx", (96, 128), "wholebody-133's network on crops of half the side"),
    _bundled(
        "dwpose-t",
        "pose",
        "dwpose-t.onnx",
        (192, 256),
        "RTMPose-t, distilled from wholebody-133 in DWPose's two stages",
    ),
    # The plain name is the bundled network's.
    replace(_dwpose("t", 48.5, "dcf277bf"), name="dwpose-t-official"),
    _dwpose("s", 53.8, "3fd922c8", 33_531_475, "b791032a77010398f95b112f863dbe30ad16e09ff156753fb08484ff5bf8f718"),
    _dwpose("m", 60.6, "c8b76419", None, "94ca58fa2d6c4530b6957ac9548084ebc2fa27ed71e4e01f0b73844306ed01a6"),
    _dwpose("l", 63.1, "4d6dfc62", 133_879_122, "370c6d5777f4b496f718468ef718fe7d4d0f9acbeb7bc6757e0ba80dd692b2d1"),
    Weights(
        name="dwpose-l-384",
        kind="pose",
        file="dw-ll_ucoco_384.onnx",
        input_size=(288, 384),
        licence=_COCO_UBODY,
        about=_DISTILLED.format("l", 66.5) + "; the network of the DWPose paper",
        urls=(
            f"{_HUB}/yzd-v/DWPose/resolve/main/dw-ll_ucoco_384.onnx",
            f"{_HUB}/RedHash/DWPose/resolve/c9a7bafe8eba39dd6e6ca243fe4a3ff7b194fc2a/dw-ll_ucoco_384.onnx",
        ),
        bytes=134_399_116,
        sha256="724f4ff2439ed61afb86fb8a1951ec39c6220682803b4a8bd4f598cd913b1843",
        preprocessing=IMAGENET_RGB,
    ),
    _teacher(
        "rtmpose-l",
        (192, 256),
        "RTMPose-l with UBody, a teacher of DWPose",
        "rtm-l_ucoco_256-95bb32f5_20230822.pth",
        "95bb32f5_20230822",
        ["projects/rtmposev1/rtmpose-l_ucoco_256x192-95bb32f5_20230822.pth"],
    ),
    _teacher(
        "rtmpose-x",
        (192, 256),
        "RTMPose-x with UBody, a teacher of DWPose; COCO-WholeBody AP 63.0",
        "rtm-x_ucoco_256-05f5bcb7_20230822.pth",
        "05f5bcb7_20230822",
        ["projects/rtmposev1/rtmpose-x_ucoco_256x192-05f5bcb7_20230822.pth"],
    ),
    _teacher(
        "rtmpose-x-384",
        (288, 384),
        "RTMPose-x with UBody, the teacher of DWPose-l-384; COCO-WholeBody AP 65.3",
        "rtm-x_ucoco_384-f5b50679_20230822.pth",
        "f5b50679_20230822",
        [
            "projects/rtmposev1/rtmpose-x_ucoco_384x288-f5b50679_20230822.pth",
            "wholebody_2d_keypoint/rtmpose/ubody/rtmpose-x_simcc-ucoco_pt-aic-coco_270e-384x288-f5b50679_20230822.pth",
        ],
    ),
    Weights(
        name="yolox-l",
        kind="detector",
        file="yolox_l.onnx",
        input_size=(640, 640),
        licence="Apache-2.0; trained on COCO",
        about="YOLOX-l, the detector of the DWPose paper",
        urls=(
            f"{_HUB}/yzd-v/DWPose/resolve/main/yolox_l.onnx",
            "https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/yolox_l.onnx",
            f"{_HUB}/RedHash/DWPose/resolve/c9a7bafe8eba39dd6e6ca243fe4a3ff7b194fc2a/yolox_l.onnx",
        ),
        bytes=216_746_733,
        sha256="7860ae79de6c89a3c1eb72ae9a2756c0ccfbe04b7791bb5880afabd97855a411",
        preprocessing=PLAIN_BGR,
    ),
    _humanart("nano", 38.9, "40f6f0d0", 416),
    _humanart("tiny", 47.7, "6f3252f9", 416),
    _humanart("s", 54.6, "3ef259a7"),
    _humanart("m", 59.1, "c2c7a14a"),
    _humanart("l", 60.2, "ce1d7a62"),
    _humanart("x", 61.3, "a39d44ed"),
)


MANIFEST: Mapping[str, Weights] = MappingProxyType({weights.name: weights for weights in _ALL})
