"""Files that are whole or not there, what killed runs have left, and signals that end a run."""

import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from wholebody import video
from wholebody.files import identity, is_result, replacing
from wholebody.images import read_image, write_image
from wholebody.signals import ended_by_signals, undivided
from wholebody.video.frame import Frame

KILLED = """
import os, signal, sys
from pathlib import Path
from wholebody.files import replacing
with replacing(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    {then}
"""


def write_and(then, target):
    return subprocess.Popen(
        [sys.executable, "-c", KILLED.format(then=then), target], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@pytest.mark.skipif(os.name == "nt", reason="there, age tells")
def test_what_a_killed_run_left_is_removed_by_the_next_and_what_is_being_written_stays(tmp_path):
    write_and("os.kill(os.getpid(), signal.SIGKILL)", tmp_path / "killed.json").communicate()
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / ".mine.abcd1234.json").write_text("a user's own")
    with write_and("print(flush=True); sys.stdin.read()", tmp_path / "slow.json") as writing:
        try:
            writing.stdout.readline()
            assert sorted(path.name.split(".")[1] for path in tmp_path.iterdir()) == ["mine", "slow"]
            write_and("pass", tmp_path / "next.json").communicate()
            there = {path.name.split(".")[1] if path.name[0] == "." else path.name for path in tmp_path.iterdir()}
            assert there == {"mine", "slow", "next.json"}
        finally:
            writing.kill()


def test_a_file_that_is_to_last_is_replaced_whole(tmp_path):
    path = tmp_path / "a.json"
    with replacing(path, durable=True) as partial:
        partial.write_text("one")
    with pytest.raises(RuntimeError), replacing(path, durable=True) as partial:
        partial.write_text("two")
        raise RuntimeError
    assert path.read_text() == "one" and list(tmp_path.iterdir()) == [path]


def test_identity_tells_files_apart_by_both_ends_and_length(tmp_path):
    path, data = tmp_path / "a", bytearray(os.urandom(5 * 2**20))
    path.write_bytes(data)
    seen = {identity(path)}
    for change in (0, -1):
        data[change] ^= 1
        path.write_bytes(data)
        seen.add(identity(path))
    path.write_bytes(data[: 2**20] + data[2**20 + 1 :])
    seen.add(identity(path))
    path.write_bytes(b"")
    seen.add(identity(path))
    assert len(seen) == 5
    before = identity(tmp_path)
    (tmp_path / "b").write_bytes(b"")
    assert identity(tmp_path) != before


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_command_that_is_ended_says_so_and_leaves_nothing_half(tmp_path, name):
    # The command: a writer that waits, under the same roof as all of them.
    code = (
        # What runs in the background ignores SIGINT, and so would its children.
        "import signal, sys, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from wholebody import cli\nfrom wholebody.files import replacing\n"
        "def models() -> int:\n    with replacing(sys.argv[1]):\n        print(flush=True)\n        time.sleep(60)\n"
        "    return 0\ncli.COMMANDS['models'] = models\ncli.main(['models'])"
    )
    command = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "a.json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with command:
        command.stdout.readline()
        command.send_signal(getattr(signal, name))
        _, errors = command.communicate(timeout=60)
    assert command.returncode == 130 and errors == "wholebody: interrupted. Finished results are kept.\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without asking it")
def test_what_belongs_together_is_done_before_the_signal(request):
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    request.addfinalizer(lambda: signal.signal(signal.SIGTERM, before))
    done = []
    with pytest.raises(KeyboardInterrupt), ended_by_signals():
        with undivided():
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0.01)
            done.append("all")
        done.append("more")
    assert done == ["all"] and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"])
def test_a_result_says_that_it_is_one(tmp_path, suffix, alpha):
    """And is the picture that it would be without, for us and for others."""
    image = np.random.default_rng(0).integers(0, 256, (37, 41, 3 + alpha)).astype(np.uint8)
    plain, marked = tmp_path / f"plain_pose{suffix}", tmp_path / f"marked_pose{suffix}"
    if alpha and suffix in (".jpg", ".jpeg"):
        image = image[..., :3]
    write_image(plain, image)
    write_image(marked, image, result=True)
    assert is_result(marked) and not is_result(plain)
    assert not is_result(tmp_path / f"absent_pose{suffix}")
    numbered = marked.rename(tmp_path / f"marked_pose12{suffix}")
    assert is_result(numbered)
    np.testing.assert_array_equal(read_image(numbered, strict=True), read_image(plain, strict=True))
    for flags in (cv2.IMREAD_COLOR, cv2.IMREAD_UNCHANGED):
        np.testing.assert_array_equal(cv2.imread(str(numbered), flags), cv2.imread(str(plain), flags))
    pil = pytest.importorskip("PIL.Image")
    with pil.open(numbered) as one, pil.open(plain) as other:
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    numbered.rename(tmp_path / f"photo{suffix}")
    assert not is_result(tmp_path / f"photo{suffix}")


def test_a_film_says_that_it_is_a_result(tmp_path):
    frames = [Frame(n / 25, np.full((40, 60, 3), 20 * n, np.uint8)) for n in range(5)]
    video.write(tmp_path / "part.mp4", frames, 25)
    for name, result in (("plain_pose.mp4", False), ("marked_pose.mp4", True)):
        video.join(tmp_path / name, [(tmp_path / "part.mp4", 0.0)], result=result)
        assert is_result(tmp_path / name) is result
    films = [[frame.image for frame in video.read(tmp_path / f"{name}_pose.mp4")] for name in ("plain", "marked")]
    np.testing.assert_array_equal(*films)
