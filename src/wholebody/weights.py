"""Which networks there are, where their files come from, and how a file gets here whole.

`find("dwpose-m", kind="pose")` gives the path of an ONNX file. It takes a name of `MANIFEST`, any local .onnx, and with
the `train` extra any local .pth or .safetensors, which is exported to ONNX once.

WHOLEBODY_CACHE    folder of downloads and exported files (default: the user's cache folder)
WHOLEBODY_OFFLINE  set to 1, nothing is downloaded
WHOLEBODY_MIRROR   a base URL that is asked for <base>/<file> before the public mirrors
"""

import difflib
import hashlib
import http.client
import importlib.util
import logging
import os
import re
import shutil
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import IO, Literal

from wholebody.errors import WholebodyError
from wholebody.files import replacing

Kind = Literal["pose", "detector"]


@dataclass(frozen=True)
class Preprocessing:
    """What a float32 (N, 3, h, w) input expects: (pixel - mean) / std of pixels 0..255, channels in `color` order."""

    color: Literal["RGB", "BGR"]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


IMAGENET_RGB = Preprocessing("RGB", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
PLAIN_BGR = Preprocessing("BGR")


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
_COCKTAIL = "Apache-2.0; trained on 14 sets, several of them for non-commercial use: read their terms first"
_BODY7 = (
    "Apache-2.0; trained on COCO, AI Challenger, CrowdPose, MPII, JHMDB, Halpe and PoseTrack: read their terms first"
)
_CIGPOSE = "Apache-2.0; trained on COCO-WholeBody, whose annotations are for non-commercial use only"
_DISTILLED = "DWPose, distilled RTMPose-{}; COCO-WholeBody AP {}"


def _bundled(name: str, kind: Kind, file: str, input_size: tuple[int, int], about: str) -> Weights:
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


def _teacher(
    name: str, input_size: tuple[int, int], about: str, mirror: str, release: str, paths: list[str]
) -> Weights:
    urls = (f"{_HUB}/camenduru/MuseTalk/resolve/main/dwpose/{mirror}", *(f"{_MMPOSE}/{path}" for path in paths))
    prefix = release.split("_")[0]
    return Weights(name, "pose", f"{name}-{release}.pth", input_size, _COCO_UBODY, about, urls, sha256=prefix)


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
    """A released network that takes what RTMPose takes and gives what it gives."""
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

_MODELS = Path(__file__).parent / "models"
_CHECKPOINTS = (".pth", ".pt", ".safetensors")
_TIMEOUT = 30.0  # seconds without a byte
_TRIES = 4  # of one mirror, each continuing where the last was cut


def find(name_or_path: str | os.PathLike[str], *, kind: Kind) -> Path:
    """The ONNX file of a network: bundled, cached, downloaded, exported or simply there.

    Args:
        name_or_path: a name of `MANIFEST`, or the path of an .onnx, .pth, .pt or .safetensors file. A checkpoint needs
            the `train` extra; what it is exported to is kept in the cache folder, under the checkpoint's SHA-256.
        kind: what the network is wanted for.

    Raises:
        WholebodyError: unknown name or missing file, a name of the other kind, no mirror works, offline, or a
            checkpoint that cannot be exported.
    """
    text = os.fspath(name_or_path)
    weights = MANIFEST.get(text)
    path = Path(text).expanduser()
    if weights is None:
        if not path.is_file():
            raise WholebodyError(_unknown(text, kind))
    elif weights.kind != kind:
        article = {"pose": "a pose network", "detector": "a detector"}
        raise WholebodyError(f"{text!r} is {article[weights.kind]}, not {article[kind]}: use {_names(kind)}.")
    else:
        path = locate(weights)
    return _exported(path, kind) if path.suffix.lower() in _CHECKPOINTS else path


def locate(weights: Weights) -> Path:
    """The file of a manifest entry as released (.onnx or .pth), downloaded if need be.

    Raises:
        WholebodyError: a bundled file is missing, no mirror works, or offline.
    """
    if weights.bundled:
        path = _MODELS / weights.file
        if not path.is_file():
            raise WholebodyError(f"{path}: the bundled file of {weights.name!r} is missing. Install wholebody again.")
        return path
    path = cache_folder() / weights.file
    return path if _is_here(path, weights) else _download(weights, path)


def cache_folder() -> Path:
    """WHOLEBODY_CACHE, or the platform's cache folder of the user. It need not exist yet."""
    if chosen := os.environ.get("WHOLEBODY_CACHE"):
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("wholebody"))


def rows() -> list[dict[str, str]]:
    """`MANIFEST` as text for a table: name, kind, input, size, here, licence, about."""
    return [
        {
            "name": weights.name,
            "kind": weights.kind,
            "input": "x".join(map(str, weights.input_size)),
            "size": f"{size / 1e6:.1f} MB" if (size := _size(weights)) else "?",
            "here": _where(weights),
            "licence": weights.licence,
            "about": weights.about,
        }
        for weights in MANIFEST.values()
    ]


def _where(weights: Weights) -> str:
    if weights.bundled:
        return "bundled" if (_MODELS / weights.file).is_file() else "missing"
    return "cached" if _is_here(cache_folder() / weights.file, weights) else ""


def _size(weights: Weights) -> int | None:
    path = (_MODELS if weights.bundled else cache_folder()) / weights.file
    return path.stat().st_size if path.is_file() else weights.bytes


def _is_here(path: Path, weights: Weights) -> bool:
    # Files were verified when they landed, and hashing 200 MB at every start is not worth it. The size catches a file
    # that somebody put there by hand half copied.
    return path.is_file() and weights.bytes in (None, path.stat().st_size)


def _names(kind: Kind) -> str:
    return ", ".join(name for name, weights in MANIFEST.items() if weights.kind == kind)


def _unknown(text: str, kind: Kind) -> str:
    looks_like_a_path = Path(text).suffix.lower() in (".onnx", *_CHECKPOINTS) or "/" in text or os.sep in text
    if looks_like_a_path:
        return f"{text}: no such file. Check the path, or use one of {_names(kind)}."
    names = [name for name, weights in MANIFEST.items() if weights.kind == kind]
    close = [name for name in names if name.startswith(text.lower())] or difflib.get_close_matches(text.lower(), names)
    if close:
        return f"no network is called {text!r}. Did you mean {' or '.join(map(repr, close))}?"
    return f"no network is called {text!r}. Use one of {_names(kind)}, or the path of a file."


# --- checkpoints ---------------------------------------------------------------------------------------------------


def _exported(path: Path, kind: Kind) -> Path:
    """A checkpoint as ONNX, made on first use."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnx") is None:
        raise WholebodyError(f"{path}: a checkpoint needs an extra: pip install 'wholebody[train]', or give an .onnx.")
    target = cache_folder() / f"{path.stem}-{kind}-{_sha256(path)[:16]}.onnx"
    if target.is_file():
        return target
    logging.getLogger("wholebody").warning("exporting %s to ONNX, once", path.name)
    # The only way up from this room: a checkpoint cannot become ONNX without its network.
    if kind == "pose":
        from wholebody.export import export_pose
        from wholebody.train.checkpoints import load_pose

        export_pose(load_pose(path), target)
    else:
        from wholebody.export import export_detector
        from wholebody.train.yolox import load_yolox

        model = load_yolox(path)
        # The weights do not tell the size of the input: nano and tiny were released for 416 pixels, the rest for 640.
        side = 416 if sum(weights.numel() for weights in model.parameters()) < 7e6 else 640
        export_detector(model, target, input_size=(side, side))
    return target


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise WholebodyError(f"{path}: cannot read ({error.strerror}). Check the path and its permissions.") from error


# --- downloads -----------------------------------------------------------------------------------------------------
# With urllib, as pooch neither continues a broken download nor tries a second mirror.


class _MirrorFailed(Exception):
    """This mirror did not do; another one may."""


class _Broken(Exception):
    """The connection failed; asking again may help. Keeps the network's OSErrors apart from those of the disk."""

    def __init__(self, cause: str | BaseException) -> None:
        cause = cause.reason if isinstance(cause, urllib.error.URLError) else cause
        said = "timed out" if isinstance(cause, TimeoutError) else getattr(cause, "strerror", None) or str(cause)
        super().__init__(" ".join(said.split()) or type(cause).__name__)


def _download(weights: Weights, target: Path) -> Path:
    urls = weights.urls
    if base := os.environ.get("WHOLEBODY_MIRROR"):
        urls = (f"{base.rstrip('/')}/{weights.file}", *urls)
    if os.environ.get("WHOLEBODY_OFFLINE", "0") not in ("", "0"):
        what = f"{'the end2end.onnx of ' * weights.urls[0].endswith('.zip')}{weights.urls[0]}"
        raise WholebodyError(
            f"{weights.name!r} is not in the cache and WHOLEBODY_OFFLINE is set. Unset it, or put {what} at {target}."
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if _is_here(target, weights):  # another process was faster
                return target
            failures = []
            with _progress(weights) as show:
                for url in urls:
                    try:
                        _from_mirror(url, weights, target, show)
                        return target
                    except _MirrorFailed as failure:
                        failures.append(f"{urllib.parse.urlsplit(url).netloc or url}: {failure}")
    except OSError as error:
        raise WholebodyError(
            f"{target}: cannot write ({error.strerror or error}). Free space, or set WHOLEBODY_CACHE to another folder."
        ) from error
    raise WholebodyError(
        f"cannot download {weights.name!r} ({'; '.join(failures)}). "
        f"Check the network, or put {weights.urls[0]} at {target} yourself."
    )


def _from_mirror(url: str, weights: Weights, target: Path, show: Callable[[int, int | None], None]) -> None:
    """Fetch, verify and land one file.

    Raises:
        _MirrorFailed: with the reason; what arrived stays for the next time unless it was wrong.
        OSError: this machine's disk fails.
    """
    zipped = urllib.parse.urlsplit(url).path.endswith(".zip")
    # One mirror may go on where another stopped only if a hash can tell that both have the same file.
    whose = weights.sha256 if weights.sha256 and not zipped else hashlib.sha256(url.encode()).hexdigest()
    part = target.with_name(f".{target.name}.{whose[:8]}.part")
    expected = None if zipped else weights.bytes
    resumed = part.exists()
    _fetch(url, part, expected, show)
    wrong = _land(part, zipped, weights, target)
    if wrong and resumed:
        # The rest may have been put on the beginning of another file: begin again, once.
        _fetch(url, part, expected, show)
        wrong = _land(part, zipped, weights, target)
    if wrong:
        raise _MirrorFailed(wrong)


def _fetch(url: str, part: Path, expected: int | None, show: Callable[[int, int | None], None]) -> None:
    """Bring `part` to its full size, going on from what is there."""
    for _ in range(_TRIES):
        before = _length(part)
        try:
            return _fetch_once(url, part, expected, show)
        except _Broken as broken:
            reason = str(broken)
        if _length(part) <= before:  # no byte came: this mirror is down, not just shaky
            break
    raise _MirrorFailed(reason)


def _fetch_once(url: str, part: Path, expected: int | None, show: Callable[[int, int | None], None]) -> None:
    """One request; what came before a break is in `part`."""
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("http", "https"):
        raise _MirrorFailed("the address must begin with http:// or https://")
    have = _length(part)
    request = urllib.request.Request(url, headers={"User-Agent": "wholebody", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT, context=_tls() if scheme == "https" else None)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise _MirrorFailed(f"HTTP {error.code} {error.reason}") from error
        # Nothing is left to send: the part is complete, or not a part of this file.
        if error.headers.get("Content-Range", "").endswith(f"/{have}"):
            return
        part.unlink()
        return _fetch_once(url, part, expected, show)
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(error) from error
    with response:
        total = None
        if response.status == http.client.PARTIAL_CONTENT:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not span or int(span[1]) != have:
                part.unlink()
                raise _MirrorFailed("answers with another part of the file than asked for")
            total = None if span[2] == "*" else int(span[2])
        else:  # the server sends the whole file whatever it is asked for
            have = 0
            if (length := response.headers.get("Content-Length", "")).isdecimal():
                total = int(length)
        if response.headers.get_content_type() == "text/html":
            raise _MirrorFailed("sends a web page instead of the file")
        if expected is not None and total is not None and total != expected:
            raise _MirrorFailed(f"has a file of {total} bytes, not {expected}")
        with part.open("ab" if have else "wb") as stream:
            while (total is None or have < total) and (chunk := _receive(response)):
                stream.write(chunk)
                have += len(chunk)
                show(have, total)
    if total is not None and have < total:
        raise _Broken(f"the connection broke after {have} of {total} bytes")


def _receive(response: http.client.HTTPResponse) -> bytes:
    # read1 gives what has come, where read would lose it when the connection breaks before the block is full.
    try:
        return response.read1(1 << 18)
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(error) from error


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _land(part: Path, zipped: bool, weights: Weights, target: Path) -> str | None:
    """Put a complete download where it belongs, or throw it away and say what is wrong with it."""
    try:
        if zipped:
            with replacing(target) as temporary:
                _extract(part, temporary)
                _verify(temporary, weights)
        else:
            _verify(part, weights)
            part.replace(target)
    except _MirrorFailed as failure:
        part.unlink()
        return str(failure)
    part.unlink(missing_ok=True)
    return None


def _extract(archive: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [name for name in opened.namelist() if name.rpartition("/")[2] == "end2end.onnx"]
            if len(members) != 1:
                raise _MirrorFailed("the archive has no end2end.onnx")
            with opened.open(members[0]) as source, target.open("wb") as stream:
                shutil.copyfileobj(source, stream)  # checks the member's CRC on the way
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        raise _MirrorFailed(f"the archive is damaged ({error})") from error


def _verify(path: Path, weights: Weights) -> None:
    size = path.stat().st_size
    if weights.bytes not in (None, size):
        raise _MirrorFailed(f"the file has {size} bytes, not {weights.bytes}")
    if not size:
        raise _MirrorFailed("the file is empty")
    if weights.sha256 and not (digest := _sha256(path)).startswith(weights.sha256):
        raise _MirrorFailed(f"the file's SHA-256 begins with {digest[:8]}, not {weights.sha256[:8]}")


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    with suppress(ImportError):  # a Python without the system's certificates, as on a fresh macOS
        import certifi

        context.load_verify_locations(certifi.where())
    return context


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold a file's download for this process; others wait. The lock goes when the process does, however it ends."""
    with target.with_name(f".{target.name}.lock").open("ab") as stream:
        told = False
        while not _lock(stream):
            if not told:
                logging.getLogger("wholebody").warning("waiting for another process that downloads %s", target.name)
            told = True
            time.sleep(0.2)
        yield


def _lock(stream: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextmanager
def _progress(weights: Weights) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on stderr; yields show(bytes so far, bytes in all)."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(f"download {weights.name}", total=weights.bytes)
        yield lambda have, total: progress.update(task, completed=have, total=total)
