import hashlib
import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wholebody
from mirror import CONTENT, SHA256, Mirror, dead, entry, left, zipped
from wholebody import runtime, weights
from wholebody.cli import main
from wholebody.errors import WholebodyError
from wholebody.files import cache_folder
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import input_size
from wholebody.weights import download, lookup
from wholebody.weights.lookup import find, locate, rows, trainable
from wholebody.weights.manifest import MANIFEST
from wholebody.wholebody import WholeBody


@pytest.fixture(autouse=True)
def own_cache(cache):
    """No test of this file touches the user's cache."""


# --- the manifest ---


def test_manifest_holds_together():
    names = ["wholebody-133", "fast", "person", "person-crowd", "dwpose-t-official"]
    names += ["rtmpose-l", "rtmpose-x", "rtmpose-x-384", "yolox-l"]
    names += [f"dwpose-{size}" for size in ("t", "s", "m", "l", "l-384")]
    names += [f"dwpose-{size}-checkpoint" for size in ("t-official", "s", "m", "l", "l-384")]
    names += [f"yolox-{size}-humanart" for size in ("nano", "tiny", "s", "m", "l", "x")]
    names += [f"rtmw-{size}" for size in ("s", "m", "l", "l-384", "x-384")]
    names += [f"cigpose-{size}" for size in ("l", "l-384", "x-384")]
    names += [f"rtmpose-body-{size}" for size in ("t", "s", "m", "l", "l-384", "x-384")]
    names += [f"rtmpose-body26-{size}" for size in ("t", "s", "m", "l", "x-384")]
    names += [f"cspnext-{size}" for size in ("t", "s", "m", "l", "x")]
    names += ["rtmpose-hand", *(f"rtmpose-face-{size}" for size in ("t", "s", "m"))]
    assert sorted(MANIFEST) == sorted(names)
    assert len({weights.file for weights in MANIFEST.values()}) == len(MANIFEST)
    for name, each in MANIFEST.items():
        assert each.name == name and each.licence and each.about and "\n" not in each.licence + each.about
        assert all(side % 32 == 0 for side in each.input_size)
        assert each.bundled or len({url for url in each.urls if url.startswith("https://")}) >= 2 - name.startswith(
            ("cigpose", "cspnext")
        ) - name.endswith("-checkpoint")
        assert Path(each.file).suffix in (".onnx", ".pth") and Path(each.file).name == each.file
        assert each.sha256 is None or re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", each.sha256)
        # What a .pth is exported to has its preprocessing in the graph.
        assert (each.preprocessing is None) == (each.bundled or each.file.endswith(".pth"))
        if each.preprocessing:
            assert each.preprocessing.color == {"pose": "RGB", "detector": "BGR"}[each.kind]


def test_digits_in_a_name_are_taken_as_the_hash_of_a_checkpoint_only():
    for each in MANIFEST.values():
        digits = re.search(r"-([0-9a-f]{8})_\d{8}\.pth$", each.file)
        assert each.sha256.startswith(digits[1]) if digits else (each.sha256 is None or len(each.sha256) == 64)


def test_a_training_takes_the_checkpoint_of_a_network_and_released_files_by_their_names(cache, tmp_path, monkeypatch):
    assert [trainable(name) for name in ("dwpose-m", "rtmpose-l", "fast", "mine.pth")] == [
        "dwpose-m-checkpoint", "rtmpose-l", "fast", "mine.pth",
    ]  # fmt: skip
    cache.mkdir()
    for name in ("rtmpose-l", "cspnext-m", "dwpose-m-checkpoint"):
        file = MANIFEST[name].file
        (cache / file).write_bytes(b"weights")
        assert find(file, kind=MANIFEST[name].kind) == find(name, kind=MANIFEST[name].kind) == cache / file
    # A file of that name in the working directory comes first.
    monkeypatch.chdir(tmp_path)
    (tmp_path / MANIFEST["rtmpose-l"].file).write_bytes(b"mine")
    assert find(MANIFEST["rtmpose-l"].file, kind="pose").read_bytes() == b"mine"


def test_rows(cache):
    cache.mkdir()
    (cache / MANIFEST["dwpose-m"].file).write_bytes(bytes(3_000_000))
    (cache / MANIFEST["dwpose-l"].file).write_bytes(b"half a copy")
    table = {row["name"]: row for row in rows()}
    assert list(table) == list(MANIFEST)
    assert table["dwpose-m"]["here"] == "cached" and table["dwpose-m"]["size"] == "3.0 MB"
    assert table["dwpose-l"]["here"] == "" and table["dwpose-t-official"]["size"] == "?"
    assert table["dwpose-l-384"]["input"] == "288x384" and table["dwpose-l-384"]["size"] == "134.4 MB"
    assert "non-commercial" in table["dwpose-l"]["licence"]


def test_cache_folder_is_the_users(monkeypatch):
    monkeypatch.delenv("WHOLEBODY_CACHE")
    assert cache_folder().name == "wholebody" and cache_folder().is_absolute()


# --- names and local files ---


@pytest.mark.parametrize(
    ("wanted", "kind", "message"),
    [
        ("dwpose-n", "pose", r"Did you mean 'dwpose-\w' or"),
        ("DWPose-M", "pose", "Did you mean 'dwpose-m'"),
        ("yolox-tiny", "detector", "Did you mean 'yolox-tiny-humanart'"),
        ("dwpose-m", "detector", "'dwpose-m' is a pose network, not a detector: use person, person-crowd, yolox-l"),
        ("yolox-l", "pose", "'yolox-l' is a detector, not a pose network: use wholebody-133, "),
        ("abacus", "pose", "Use one of wholebody-133, .*or the path of a file"),
        ("models/abacus.onnx", "pose", "models/abacus.onnx: no such file"),
        ("abacus.pth", "pose", "abacus.pth: no such file"),
    ],
)
def test_wrong_name(wanted, kind, message):
    with pytest.raises(WholebodyError, match=message) as error:
        find(wanted, kind=kind)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_answered_briefly():
    with pytest.raises(WholebodyError) as error:
        find("abacus.pth", kind="pose")
    assert str(error.value).count("`wholebody models`") == 1 and len(str(error.value)) < 100


def test_any_local_onnx(tmp_path, cache):
    path = tmp_path / "my.onnx"
    path.write_bytes(b"anything")
    assert find(path, kind="pose") == path and find(str(path), kind="detector") == path
    assert not cache.exists()


def test_bundled(tmp_path, monkeypatch):
    monkeypatch.setattr(lookup, "_MODELS", tmp_path)
    with pytest.raises(WholebodyError, match="Install wholebody again"):
        find("wholebody-133", kind="pose")
    (tmp_path / "pose.onnx").write_bytes(b"x")
    assert find("wholebody-133", kind="pose") == tmp_path / "pose.onnx"


@pytest.mark.parametrize("name", [each.name for each in MANIFEST.values() if each.bundled])
def test_bundled_files_are_what_the_manifest_says(name):
    each = MANIFEST[name]
    path = lookup._MODELS / each.file
    if path.is_file():  # a checkout may be without them
        assert input_size(open_session(path)) == each.input_size


# --- downloads ---


@pytest.mark.parametrize(
    "known", [{}, {"sha256": SHA256[:8]}, {"sha256": None}, {"bytes": None}, {"sha256": None, "bytes": None}]
)
def test_download(cache, monkeypatch, known):
    monkeypatch.setenv("WHOLEBODY_TRUST", "1")
    with Mirror({"/z.onnx": CONTENT}) as mirror:
        path = locate(entry(f"{mirror.base}/z.onnx", **known))
        assert path == cache / "z.onnx" and path.read_bytes() == CONTENT
        assert locate(entry(f"{mirror.base}/z.onnx", **known)) == path
        assert mirror.requests == [("/z.onnx", None)]
    assert left(cache) == ["z.onnx"]


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({"sha256": "0" * 64}, f"SHA-256 begins with {SHA256[:8]}, not 00000000"),
        ({"sha256": "0" * 8}, f"SHA-256 begins with {SHA256[:8]}, not 00000000"),
        ({"bytes": len(CONTENT) + 1}, f"has a file of {len(CONTENT)} bytes, not {len(CONTENT) + 1}"),
    ],
)
def test_wrong_content_never_lands(cache, monkeypatch, known, reason):
    monkeypatch.setenv("WHOLEBODY_TRUST", "1")
    with Mirror({"/z.onnx": CONTENT}) as mirror, pytest.raises(WholebodyError, match=reason) as error:
        locate(entry(f"{mirror.base}/z.onnx", **known))
    assert left(cache) == [] and "\n" not in str(error.value)


def test_a_mirror_that_trickles_is_given_up_and_the_next_one_goes_on(cache, monkeypatch):
    with Mirror({"/z.onnx": CONTENT}) as slow, Mirror({"/z.onnx": CONTENT}) as mirror:
        each = entry(f"{slow.base}/z.onnx", f"{mirror.base}/z.onnx")
        with monkeypatch.context() as patch:
            patch.setattr(download, "_PATIENCE", -1.0)
            patch.setattr(download, "_SLOWEST", 10**12)
            with pytest.raises(WholebodyError, match=r"bytes per second.*bytes per second"):
                locate(each)
        assert locate(each).read_bytes() == CONTENT
    assert slow.requests[-1][1].startswith("bytes=")  # what came is kept


@pytest.mark.parametrize("sha256", [None, SHA256[:8], SHA256[:63]])
def test_what_cannot_be_verified_takes_a_word(cache, monkeypatch, sha256):
    with Mirror({"/z.onnx": CONTENT}) as mirror:
        each = entry(f"{mirror.base}/z.onnx", sha256=sha256)
        with pytest.raises(WholebodyError, match=r"--trust or WHOLEBODY_TRUST=1.* put http") as error:
            locate(each)
        assert not mirror.requests and not cache.exists() and "\n" not in str(error.value)
        monkeypatch.setenv("WHOLEBODY_TRUST", "1")
        assert locate(each).read_bytes() == CONTENT
        # What is there is there.
        monkeypatch.delenv("WHOLEBODY_TRUST")
        assert locate(each).read_bytes() == CONTENT


def test_the_command_line_gives_that_word(cache, monkeypatch, capsys):
    for words, told in ((["--trust"], "WHOLEBODY_OFFLINE is set"), ([], "--trust")):
        monkeypatch.setenv("WHOLEBODY_TRUST", "0")
        if words:
            monkeypatch.setenv("WHOLEBODY_OFFLINE", "1")
        else:
            monkeypatch.delenv("WHOLEBODY_OFFLINE")
        with pytest.raises(SystemExit):
            main(["predict", str(Path(__file__).parents[1] / "examples/parkour.jpg"), "--pose", "rtmw-s", *words])
        assert told in capsys.readouterr().err


def test_no_server_sends_without_end(cache, monkeypatch):
    monkeypatch.setattr(download, "_LARGEST", 5000)
    with Mirror({"/z.onnx": CONTENT, "/z.zip": zipped()}) as mirror:
        for name in ("z.onnx", "z.zip"):
            with pytest.raises(WholebodyError, match="sends more than 5000 bytes"):
                locate(entry(f"{mirror.base}/{name}", bytes=None))
    assert left(cache) == []


@pytest.mark.parametrize("cuts", [1, 2, 3])
def test_cut_connection_is_continued(cache, cuts):
    with Mirror({"/z.onnx": CONTENT}, cuts=cuts) as mirror:
        assert locate(entry(f"{mirror.base}/z.onnx")).read_bytes() == CONTENT
    have = [int(asked.removeprefix("bytes=").removesuffix("-")) for _, asked in mirror.requests[1:]]
    assert mirror.requests[0] == ("/z.onnx", None) and len(have) == cuts
    assert have == [len(CONTENT) - len(CONTENT) // 2 ** (i + 1) for i in range(cuts)]
    assert left(cache) == ["z.onnx"]


def test_the_next_run_continues(cache):
    with Mirror({"/z.onnx": CONTENT}, cuts=99) as mirror:
        each = entry(f"{mirror.base}/z.onnx")
        with pytest.raises(WholebodyError, match=r"the connection broke after \d+ of 1000000 bytes"):
            locate(each)
        (part,) = left(cache)
        size = (cache / part).stat().st_size
        assert 0.9 * len(CONTENT) < size < len(CONTENT)
        mirror.cuts = 0
        assert locate(each).read_bytes() == CONTENT
        assert mirror.requests[-1] == ("/z.onnx", f"bytes={size}-")
    assert left(cache) == ["z.onnx"]


def test_another_mirror_continues_where_a_hash_can_tell(cache, monkeypatch):
    monkeypatch.setenv("WHOLEBODY_TRUST", "1")
    with Mirror({"/z.onnx": CONTENT}, cuts=99) as shaky, Mirror({"/z.onnx": CONTENT}) as good:
        assert locate(entry(f"{shaky.base}/z.onnx", f"{good.base}/z.onnx")).read_bytes() == CONTENT
        assert good.requests[0][1] is not None
    (cache / "z.onnx").unlink()
    with Mirror({"/z.onnx": CONTENT}, cuts=99) as shaky, Mirror({"/z.onnx": CONTENT}) as good:
        each = entry(f"{shaky.base}/z.onnx", f"{good.base}/z.onnx", sha256=None)
        assert locate(each).read_bytes() == CONTENT
        assert good.requests == [("/z.onnx", None)]


def test_server_without_range_sends_all_again(cache):
    with Mirror({"/z.onnx": CONTENT}, cuts=1, ranges=False) as mirror:
        assert locate(entry(f"{mirror.base}/z.onnx")).read_bytes() == CONTENT
        assert [asked is not None for _, asked in mirror.requests] == [False, True]
    assert left(cache) == ["z.onnx"]


@pytest.mark.parametrize(
    "beginning",
    [b"of another file", CONTENT, CONTENT[:-1] + b"?", CONTENT + b"more"],
    ids=["other", "complete", "damaged", "too long"],
)
def test_what_lies_there_from_before(cache, beginning):
    cache.mkdir()
    (cache / f".z.onnx.{SHA256[:8]}.part").write_bytes(beginning)
    with Mirror({"/z.onnx": CONTENT}) as mirror:
        assert locate(entry(f"{mirror.base}/z.onnx")).read_bytes() == CONTENT
        assert mirror.requests[0][1] == f"bytes={len(beginning)}-"
        assert len(mirror.requests) == (1 if beginning == CONTENT else 2)
    assert left(cache) == ["z.onnx"]


def test_server_that_answers_with_another_part(cache):
    with Mirror({"/z.onnx": CONTENT}, cuts=1, range_shift=7) as mirror, pytest.raises(WholebodyError, match="part of"):
        locate(entry(f"{mirror.base}/z.onnx"))
    assert left(cache) == []


def test_damaged_file_in_the_cache_is_fetched_again(cache):
    cache.mkdir()
    (cache / "z.onnx").write_bytes(CONTENT[:1000])
    with Mirror({"/z.onnx": CONTENT}) as mirror:
        assert locate(entry(f"{mirror.base}/z.onnx")).read_bytes() == CONTENT


def wrong_file(mirror):
    mirror.files["/z.onnx"] = CONTENT[::-1]


def web_page(mirror):
    mirror.content_type = "text/html; charset=utf-8"


def overloaded(mirror):
    mirror.status = 503


def nothing(mirror):
    mirror.files.clear()


def empty(mirror):
    mirror.files["/z.onnx"] = b""


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (wrong_file, "SHA-256"),
        (web_page, "web page"),
        (overloaded, "HTTP 503"),
        (nothing, "HTTP 404"),
        (empty, "a file of 0 bytes"),
    ],
)
def test_next_mirror_takes_over(cache, spoil, reason):
    with Mirror({"/z.onnx": CONTENT}) as bad, Mirror({"/z.onnx": CONTENT}) as good:
        spoil(bad)
        assert locate(entry(f"{bad.base}/z.onnx", f"{good.base}/z.onnx")).read_bytes() == CONTENT
        assert len(bad.requests) == 1
        (cache / "z.onnx").unlink()
        with pytest.raises(WholebodyError, match=rf"127.0.0.1:{bad.server.server_port}: [^;]*{reason}"):
            locate(entry(f"{bad.base}/z.onnx"))
    assert left(cache) == []


def test_dead_first_mirror(cache):
    with Mirror({"/z.onnx": CONTENT}) as good:
        assert locate(entry(f"{dead()}/z.onnx", f"{good.base}/z.onnx")).read_bytes() == CONTENT


def test_silent_mirror(cache, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT", 0.2)
    with Mirror({"/z.onnx": CONTENT}, slow=1.0) as silent, Mirror({"/z.onnx": CONTENT}) as good:
        assert locate(entry(f"{silent.base}/z.onnx", f"{good.base}/z.onnx")).read_bytes() == CONTENT
        (cache / "z.onnx").unlink()
        with pytest.raises(WholebodyError, match="timed out"):
            locate(entry(f"{silent.base}/z.onnx"))


def test_every_failure_is_listed(cache):
    first, second = dead(), dead()
    with Mirror({}) as third, pytest.raises(WholebodyError) as error:
        locate(entry(f"{first}/z.onnx", f"{second}/z.onnx", f"{third.base}/z.onnx", "ftp://elsewhere/z.onnx"))
    message = str(error.value)
    assert "\n" not in message
    assert all(host.removeprefix("http://") + ": " in message for host in (first, second, third.base))
    assert "refused" in message and "HTTP 404" in message and "elsewhere: the address must begin with http" in message
    assert f"put {first}/z.onnx at {cache / 'z.onnx'}" in message


@pytest.mark.parametrize("flag", ["1", "true"])
def test_offline_never_asks(cache, monkeypatch, flag):
    monkeypatch.setenv("WHOLEBODY_OFFLINE", flag)
    with Mirror({"/z.onnx": CONTENT}) as mirror:
        monkeypatch.setenv("WHOLEBODY_MIRROR", mirror.base)
        with pytest.raises(WholebodyError, match=r"WHOLEBODY_OFFLINE is set\. Unset it, or put http") as error:
            locate(entry(f"{mirror.base}/z.onnx"))
        assert str(cache / "z.onnx") in str(error.value) and mirror.requests == [] and not cache.exists()
        cache.mkdir()
        (cache / "z.onnx").write_bytes(CONTENT)
        assert locate(entry(f"{mirror.base}/z.onnx")).read_bytes() == CONTENT


def test_own_mirror_comes_first(cache, monkeypatch):
    with Mirror({"/lab/z.onnx": CONTENT}) as own, Mirror({"/z.onnx": CONTENT}) as public:
        monkeypatch.setenv("WHOLEBODY_MIRROR", f"{own.base}/lab/")
        assert locate(entry(f"{public.base}/z.onnx")).read_bytes() == CONTENT
        assert own.requests == [("/lab/z.onnx", None)] and public.requests == []
        own.files.clear()
        (cache / "z.onnx").unlink()
        assert locate(entry(f"{public.base}/z.onnx")).read_bytes() == CONTENT


def test_zip(cache):
    with Mirror({"/z.zip": zipped()}, cuts=1) as mirror:
        assert locate(entry(f"{mirror.base}/z.zip")).read_bytes() == CONTENT
        assert mirror.requests[1][1] is not None
    assert left(cache) == ["z.onnx"]


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (zipped("readme.txt"), "no end2end.onnx"),
        (zipped(content=CONTENT[::-1]), "SHA-256"),
        (zipped().replace(CONTENT[500_000:500_016], bytes(16)), "archive is damaged"),
        (zipped()[:-100], "archive is damaged"),
        (b"not a zip at all", "archive is damaged"),
    ],
)
def test_bad_zip_never_lands(cache, archive, reason):
    with Mirror({"/z.zip": archive}) as mirror, pytest.raises(WholebodyError, match=reason):
        locate(entry(f"{mirror.base}/z.zip"))
    assert left(cache) == []


def test_no_space_is_no_mirrors_fault(cache, monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    real = Path.open
    monkeypatch.setattr(
        Path, "open", lambda path, mode="r", *args: Full() if path.suffix == ".part" else real(path, mode, *args)
    )
    with Mirror({"/z.onnx": CONTENT}) as mirror, pytest.raises(WholebodyError, match=r"No space left.*Free space"):
        locate(entry(f"{mirror.base}/z.onnx", f"{mirror.base}/z.onnx"))
    assert len(mirror.requests) == 1 and left(cache) == []


def test_cache_that_cannot_be_made(cache):
    cache.write_text("a file, not a folder")
    with pytest.raises(WholebodyError, match="cannot write"):
        locate(entry("http://127.0.0.1:9/z.onnx"))


def test_two_processes_at_once(cache):
    with Mirror({"/z.onnx": CONTENT}, slow=0.5) as mirror:
        code = (
            "from wholebody.weights import Weights, locate\n"
            f"print(locate({entry(f'{mirror.base}/z.onnx')!r}).stat().st_size)"
        )
        command = [sys.executable, "-c", code]
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
            for _ in range(3)
        ]
        outputs = [process.communicate(timeout=300) for process in processes]
        assert [out.strip() for out, _ in outputs] == [str(len(CONTENT))] * 3, outputs
        assert mirror.requests == [("/z.onnx", None)]
    assert left(cache) == ["z.onnx"] and (cache / "z.onnx").read_bytes() == CONTENT


@settings(max_examples=15, deadline=None)
@given(data=st.binary(min_size=1, max_size=3000), have=st.integers(0, 3000), ranges=st.booleans())
def test_any_beginning_and_any_server_give_the_whole_file(tmp_path_factory, data, have, ranges):
    folder = tmp_path_factory.mktemp("cache")
    sha256 = hashlib.sha256(data).hexdigest()
    (folder / f".z.onnx.{sha256[:8]}.part").write_bytes(data[:have])
    with pytest.MonkeyPatch.context() as patch, Mirror({"/z.onnx": data}, ranges=ranges) as mirror:
        patch.setenv("WHOLEBODY_CACHE", str(folder))
        assert locate(entry(f"{mirror.base}/z.onnx", bytes=len(data), sha256=sha256)).read_bytes() == data
    assert left(folder) == ["z.onnx"]


@pytest.mark.parametrize("name", [each.name for each in MANIFEST.values() if each.bundled])
def test_an_int8_file_belongs_to_its_float_file(name):
    """A bundled network that is replaced needs its int8 file made again: runs/precision/quantise.py."""
    path = weights.locate(MANIFEST[name])
    if not runtime.int8_file(path).is_file():
        pytest.skip("this network has none")
    about = runtime.notes(runtime.open_session(path, "cpu", 1, "int8"))
    assert about["float_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_models_of_the_package_stay_small():
    folder = weights.locate(MANIFEST["person"]).parent
    assert sum(path.stat().st_size for path in folder.glob("*.onnx")) < 40e6


def test_int8_finds_the_person_of_the_sample_photo():
    sample = Path(wholebody.__file__).with_name("sample.jpg")
    exact, quick = (WholeBody(threads=1, device="cpu", precision=precision)(sample) for precision in ("fp32", "int8"))
    assert len(exact) == len(quick) == 1
    sure = (exact.scores[0] > 0.5) & (quick.scores[0] > 0.5)
    assert sure.sum() > 60
    height = float(exact.boxes[0, 3] - exact.boxes[0, 1])
    assert np.median(np.linalg.norm(exact.keypoints[0] - quick.keypoints[0], axis=1)[sure]) < 0.01 * height


def test_an_archive_of_another_compression_that_is_damaged_is_the_mirrors_fault(tmp_path):
    """bz2 raises an OSError without a number for it, which is no error of the disk."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("end2end.onnx", bytes(5000))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    start = data.index(b"BZh")
    data[start + 4 : start + 20] = bytes(16)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(download._MirrorFailed, match="the archive is damaged"):
        download._extract(tmp_path / "a.zip", tmp_path / "b.onnx")
