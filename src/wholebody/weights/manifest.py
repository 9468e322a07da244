"""The list of networks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from wholebody.weights.preprocess import IMAGENET_RGB, PLAIN_BGR, Preprocessing

NetworkKind = Literal["pose", "detector", "backbone"]

# The end of the names of checkpoints of networks that are also released as ONNX files, which cannot be trained further.
CHECKPOINT = "-checkpoint"


@dataclass(frozen=True)
class Weights:
    """A released network.

    Attributes:
        name: the name that users type.
        kind: "pose", "detector", or "backbone", the initial weights of a training.
        file: its name in the cache folder, or for a bundled network in the package's `models` folder.
        input_size: (w, h) of the input in pixels.
        licence: of the weights, with what is known about the training data.
        about: one line: what it is, and its published accuracy.
        urls: where to get it, tried in this order; a .zip contains it as `end2end.onnx`. Empty: bundled.
        bytes: size of `file`, None if not published.
        sha256: of `file`: all 64 hex digits, or as many leading ones as are published; None if none are. The eight
            digits in the released names belong to the .pth; the ONNX files of the same name differ.
        preprocessing: None if it is part of the graph, which then takes uint8 (N, h, w, 3) BGR.
    """

    name: str
    kind: NetworkKind
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

    @property
    def verifiable(self) -> bool:
        """Whether the full SHA-256 is known: other files can have the same eight digits."""
        return self.sha256 is not None and len(self.sha256) == 64


_HUB = "https://huggingface.co"
_MMPOSE = "https://download.openmmlab.com/mmpose/v1"
_COCO_UBODY = "Apache-2.0; trained on COCO-WholeBody, whose annotations are for non-commercial use only, and UBody"
_HUMANART = "Apache-2.0; trained on COCO and Human-Art: read the terms of both before commercial use"
_COCKTAIL = "Apache-2.0; trained on 14 sets, several of them for non-commercial use: read their terms first"
_BODY7 = (
    "Apache-2.0; trained on COCO, AI Challenger, CrowdPose, MPII, JHMDB, Halpe and PoseTrack: read their terms first"
)
_CIGPOSE = "Apache-2.0; trained on COCO-WholeBody, whose annotations are for non-commercial use only"
_DISTILLED = "DWPose, distilled RTMPose-{}; COCO-WholeBody AP {}"


def _bundled(name: str, kind: NetworkKind, file: str, input_size: tuple[int, int], about: str) -> Weights:
    return Weights(name, kind, file, input_size, "Apache-2.0; see the model card", f"bundled; {about}")


def _onnx_sdk(name: str, project: str = "rtmposev1") -> tuple[str, ...]:
    path = f"projects/{project}/onnx_sdk/{name}.zip"
    mirrors = (f"{_HUB}/Tau-J/RTMPose/resolve/main/{path.removeprefix('projects/')}", f"{_MMPOSE}/{path}")
    if project != "rtmposev1":
        return mirrors
    unpacked = f"{_HUB}/datasets/DavidPagnon/rtmlib_models/resolve/main/mmpose/rtmposev1/onnx_sdk/{name}.onnx"
    return unpacked, *mirrors


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


def _dwpose_checkpoint(letter: str, release: str, sha256: str | None = None, side: str = "256x192") -> Weights:
    """The file from which a training can start, or that can teach with its features."""
    large = side == "384x288"
    name = "dwpose-t-official" if letter == "t" else f"dwpose-{letter}" + ("-384" if large else "")
    file = f"rtmpose-{letter}_simcc-ucoco_dw-ucoco_270e-{side}-{release}_20230728.pth"
    return Weights(
        name=f"{name}{CHECKPOINT}",
        kind="pose",
        file=file,
        input_size=(288, 384) if large else (192, 256),
        licence=_COCO_UBODY,
        about=f"the checkpoint of {name}, for --init and as a teacher, which take it for {name}",
        urls=(f"{_MMPOSE}/projects/rtmposev1/{file}",),
        sha256=sha256 or release,
    )


def _teacher(name: str, input_size: tuple[int, int], about: str, mirror: str, file: str, *paths: str) -> Weights:
    urls = [f"{_HUB}/camenduru/MuseTalk/resolve/main/dwpose/{mirror}"]
    urls += [f"{_MMPOSE}/{path}" for path in (f"projects/rtmposev1/{file}", *paths)]
    digits = file.rpartition("-")[2].split("_")[0]
    return Weights(name, "pose", file, input_size, _COCO_UBODY, about, tuple(urls), sha256=digits)


def _backbone(letter: str, release: str, data: str = "aic-coco", side: str = "256x192") -> Weights:
    """CSPNeXt pretrained on bodies, the initial weights of published trainings."""
    file = f"cspnext-{'tiny' if letter == 't' else letter}_udp-{data}_210e-{side}-{release}.pth"
    return Weights(
        name=f"cspnext-{letter}",
        kind="backbone",
        file=file,
        input_size=(288, 384) if side == "384x288" else (192, 256),
        licence="Apache-2.0; trained on AI Challenger, COCO and (only x) others: read their terms first",
        about=f"CSPNeXt-{letter} pretrained on bodies, initial weights of RTMPose-{letter}: --init cspnext-{letter}",
        urls=(f"{_MMPOSE}/projects/rtmposev1/{file}",),
        sha256=release.split("_")[0],
    )


def _humanart(letter: str, ap: float, release: str, sha256: str, side: int = 640, bytes: int | None = None) -> Weights:
    release = f"yolox_{letter}_8xb8-300e_humanart-{release}"
    return Weights(
        name=f"yolox-{letter}-humanart",
        kind="detector",
        file=f"{release}.onnx",
        input_size=(side, side),
        licence=_HUMANART,
        about=f"YOLOX-{letter}, people in photos and art; person AP {ap}",
        urls=_onnx_sdk(release),
        bytes=bytes,
        sha256=sha256,
        preprocessing=PLAIN_BGR,
    )


def _simcc(
    name: str,
    input_size: tuple[int, int],
    licence: str,
    about: str,
    urls: tuple[str, ...],
    sha256: str | None = None,
    bytes: int | None = None,
) -> Weights:
    """A released network with the same inputs and outputs as RTMPose."""
    file = urls[0].rpartition("/")[2].rpartition(".")[0] + ".onnx"
    return Weights(name, "pose", file, input_size, licence, about, urls, bytes, sha256, IMAGENET_RGB)


_256, _384, _SQUARE = (192, 256), (288, 384), (256, 256)


def _rtmw(
    name: str, size: tuple[int, int], about: str, release: str, sha256: str | None = None, bytes: int | None = None
) -> Weights:
    about = f"{about}, 133 points"
    return _simcc(name, size, _COCKTAIL, about, _onnx_sdk(f"rtmw-{release}", "rtmw"), sha256, bytes)


def _body(name: str, size: tuple[int, int], ap: str, release: str, sha256: str | None, bytes: int = 0) -> Weights:
    about = f"RTMPose-{name}, 17 points of the body; COCO AP {ap}"
    name = f"rtmpose-body-{name}"
    return _simcc(name, size, _BODY7, about, _onnx_sdk(f"rtmpose-{release}"), sha256, bytes or None)


def _halpe(name: str, size: tuple[int, int], ap: str, release: str, sha256: str | None, bytes: int = 0) -> Weights:
    about = f"RTMPose-{name}, 26 points of body and feet (Halpe); Body8 AP {ap}"
    name = f"rtmpose-body26-{name}"
    return _simcc(name, size, _BODY7, about, _onnx_sdk(f"rtmpose-{release}"), sha256, bytes or None)


def _cigpose(name: str, size: tuple[int, int], about: str, file: str) -> Weights:
    release = "https://github.com/wep21/assets/releases/download/cigpose"
    return _simcc(f"cigpose-{name}", size, _CIGPOSE, about, (f"{release}/{file}.onnx",))


# Nobody publishes hashes of the ONNX files of OpenMMLab's. Those below were measured by others, who publish them with
# their own programs; most are found alike in several.
_ALL = (
    _bundled("wholebody-133", "pose", "pose.onnx", (192, 256), "133 points, MoveNet Thunder under a two-scale head"),
    _bundled("person", "detector", "detector.onnx", (512, 384), "people in photos; YOLOX-nano, fine-tuned"),
    _bundled(
        "person-crowd", "detector", "detector-crowd.onnx", (736, 544), "the same with larger inputs: small people"
    ),
    _bundled("fast", "pose", "fast.onnx", (96, 128), "wholebody-133's network on crops of half the size"),
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
    _dwpose_checkpoint("t", "dcf277bf"),
    _dwpose_checkpoint("s", "3fd922c8"),
    _dwpose_checkpoint("m", "c8b76419", "c8b7641988ce785c987b8ad156e411f328b54766d353df19aea5b08433ef1aaf"),
    _dwpose_checkpoint("l", "4d6dfc62"),
    _dwpose_checkpoint("l", "2438fd99", side="384x288"),
    _teacher(
        "rtmpose-l",
        (192, 256),
        "RTMPose-l with UBody, a teacher of DWPose",
        "rtm-l_ucoco_256-95bb32f5_20230822.pth",
        "rtmpose-l_ucoco_256x192-95bb32f5_20230822.pth",
    ),
    _teacher(
        "rtmpose-x",
        (192, 256),
        "RTMPose-x with UBody, a teacher of DWPose; COCO-WholeBody AP 63.0",
        "rtm-x_ucoco_256-05f5bcb7_20230822.pth",
        "rtmpose-x_ucoco_256x192-05f5bcb7_20230822.pth",
    ),
    _teacher(
        "rtmpose-x-384",
        (288, 384),
        "RTMPose-x with UBody, the teacher of DWPose-l-384; COCO-WholeBody AP 65.3",
        "rtm-x_ucoco_384-f5b50679_20230822.pth",
        "rtmpose-x_ucoco_384x288-f5b50679_20230822.pth",
        "wholebody_2d_keypoint/rtmpose/ubody/rtmpose-x_simcc-ucoco_pt-aic-coco_270e-384x288-f5b50679_20230822.pth",
    ),
    _backbone("t", "cbed682d_20230130"),
    _backbone("s", "92f5a029_20230130"),
    _backbone("m", "f2f7d6f6_20230130"),
    _backbone("l", "273b7631_20230130"),
    _backbone("x", "d28b58e6_20230529", "body7", "384x288"),
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
    _humanart(
        "nano", 38.9, "40f6f0d0", "1450966de24902b18aada1a78913d7efd8fc8dcd51bd4d0d5591476bd4a38821", 416, 3_722_395
    ),
    _humanart("tiny", 47.7, "6f3252f9", "ceb11c07298f95c50d7c5abeb906d03340c85f23aa79e3e66966e7fb6c307250", 416),
    _humanart("s", 54.6, "3ef259a7", "332e09ea9696e3401049b6c5314851db020b6430f85da159e65f37034ab3aee8"),
    _humanart(
        "m", 59.1, "c2c7a14a", "3dea6513388889f0fff4b77bf7a26013600321b9eb9ceb0e9a400a82572f5f23", 640, 101_400_344
    ),
    _humanart("l", 60.2, "ce1d7a62", "0e7a169bb6b2f439c318f727fd894b1405c30280baca676e6a5c7d1f8cb52876"),
    _humanart("x", 61.3, "a39d44ed", "8e9ea96a176bd48501eaaa77216e49ee30794d2f8ba80c7b9862beca4ea972da"),
    # The first letter after "dw" is the teacher's size, the second the network's own.
    _rtmw("rtmw-s", _256, "RTMW-s, a student of RTMW-m", "dw-m-s_simcc-cocktail14_270e-256x192_20231122"),
    _rtmw("rtmw-m", _256, "RTMW-m; COCO-WholeBody AP 58.2", "dw-l-m_simcc-cocktail14_270e-256x192_20231122"),
    _rtmw(
        "rtmw-l",
        _256,
        "RTMW-l; COCO-WholeBody AP 66.0",
        "dw-x-l_simcc-cocktail14_270e-256x192_20231122",
        "9a9bc17c13ff0a1e37507f45a037a21bc410cd08374b0e664c57d0080843aa58",
        228_708_578,
    ),
    _rtmw(
        "rtmw-l-384",
        _384,
        "RTMW-l; COCO-WholeBody AP 70.1",
        "dw-x-l_simcc-cocktail14_270e-384x288_20231122",
        "bd033156e5104c4f5d2edfe0453e02661e30a2f3da453ec93c8764d561b83054",
        229_320_930,
    ),
    _rtmw(
        "rtmw-x-384",
        _384,
        "RTMW-x; COCO-WholeBody AP 70.2",
        "x_simcc-cocktail13_pt-ucoco_270e-384x288-0949e3a9_20230925",
        "b2dd00cce207d3c1503e35cc77a82ecd7092dcbdfe4a3c692ec4cdc3cf40c804",
    ),
    _cigpose("l", _256, "CIGPose-l, 133 points; COCO-WholeBody AP 62.6", "cigpose-133-l"),
    _cigpose("l-384", _384, "CIGPose-l, 133 points; COCO-WholeBody AP 66.3", "cigpose-133-l-384"),
    _cigpose("x-384", _384, "CIGPose-x, 133 points; COCO-WholeBody AP 67.0", "cigpose-133-x-384"),
    _body("t", _256, "65.9", "t_simcc-body7_pt-body7_420e-256x192-026a1439_20230504", None),
    _body(
        "s",
        _256,
        "69.7",
        "s_simcc-body7_pt-body7_420e-256x192-acd4a1ef_20230504",
        "9aeb635b83f86aea45cf45d85798f7eba1a162de8e0d721c44e54fe5eebaf47d",
    ),
    _body(
        "m",
        _256,
        "74.9",
        "m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504",
        "5c0a4bf67953e6d2ac43ce15e77dc9d5d354ae18430a47d2c5963a7bc5683e3c",
        54_330_655,
    ),
    _body(
        "l",
        _256,
        "76.7",
        "l_simcc-body7_pt-body7_420e-256x192-4dba18fc_20230504",
        "cff059fd58a2c0d5fabaddcd66a96abcfb327563bcb0149ea59c9de4a8990fe2",
    ),
    _body(
        "l-384",
        _384,
        "78.3",
        "l_simcc-body7_pt-body7_420e-384x288-3f5a1437_20230504",
        "62425affc6b9edba8f8a65f55f5e278fec5d905d0c90578e0f8503bdf3954587",
    ),
    _body(
        "x-384",
        _384,
        "78.8",
        "x_simcc-body7_pt-body7_700e-384x288-71d7b7e9_20230629",
        "df0c0fa91e9870b1515dcaff741fd76cc753dcfb12786862f61b243bae81cd52",
    ),
    _halpe("t", _256, "68.0", "t_simcc-body7_pt-body7-halpe26_700e-256x192-6020f8a6_20230605", None),
    _halpe("s", _256, "72.0", "s_simcc-body7_pt-body7-halpe26_700e-256x192-7f134165_20230605", None),
    _halpe(
        "m",
        _256,
        "76.7",
        "m_simcc-body7_pt-body7-halpe26_700e-256x192-4d3e73dd_20230605",
        "26f3a19e61304a600dfb82d1001d41d24343b89fc70a33ffc84657e0b0bf2ecf",
        55_685_444,
    ),
    _halpe("l", _256, "78.4", "l_simcc-body7_pt-body7-halpe26_700e-256x192-2abb7558_20230605", None),
    _halpe(
        "x-384",
        _384,
        "80.0",
        "x_simcc-body7_pt-body7-halpe26_700e-384x288-7fb6e239_20230606",
        "21bdaefd1a9b7934160987e754d8eca191bc44cccbfa3ba2ef71142c6dd05a9a",
        199_918_283,
    ),
    _simcc(
        "rtmpose-hand",
        _SQUARE,
        "Apache-2.0; trained on five sets of hands: read their terms first",
        "RTMPose-m, 21 points of a hand; give the boxes of hands",
        _onnx_sdk("rtmpose-m_simcc-hand5_pt-aic-coco_210e-256x256-74fb594_20230320"),
    ),
    *(
        _simcc(
            f"rtmpose-face-{letter}",
            _SQUARE,
            "Apache-2.0; trained on six sets of faces: read their terms first",
            f"RTMPose-{letter}, 106 points of a face (LaPa); give the boxes of faces",
            _onnx_sdk(f"rtmpose-{letter}_simcc-face6_pt-in1k_120e-256x256-{release}_20230529"),
        )
        for letter, release in (("t", "df79d9a5"), ("s", "d779fdef"), ("m", "72a37400"))
    ),
)
MANIFEST: Mapping[str, Weights] = MappingProxyType({weights.name: weights for weights in _ALL})
