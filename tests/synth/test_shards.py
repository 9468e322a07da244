import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from toy_body import Toys

from wholebody.data.shards import read_manifest, read_shards
from wholebody.errors import WholebodyError
from wholebody.synth.shards import sha256, write_shards


@dataclass(frozen=True)
class Plain:
    """A maker without a body: a grey picture, and points that name their index. Dies at `dies`; takes `seconds`."""

    dies: int = -1
    seconds: float = 0.0

    def __call__(self):
        return self._make

    def _make(self, seed, index):
        if index == self.dies:
            raise KeyboardInterrupt
        time.sleep(self.seconds)
        image = np.full((8, 10, 3), (seed * 50 + index) % 256, np.uint8)
        jpeg = cv2.imencode(".jpg", image)[1].tobytes()
        return Made(jpeg, {"keypoints": [[index, seed, 2]] * 133, "box": [0, 0, index, 1], "index": index})


@dataclass(frozen=True)
class Made:
    jpeg: bytes
    record: dict


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_what_is_written_is_read(tmp_path):
    paths = write_shards(tmp_path, count=7, seed=3, people=Plain(), per_shard=3)
    assert [path.name for path in paths] == ["00000.tar", "00001.tar", "00002.tar"]
    shards = read_shards(tmp_path)
    assert len(shards) == 7
    np.testing.assert_array_equal(shards.keypoints[:, 0, 0], np.arange(7))
    assert shards.keypoints.shape == (7, 133, 3) and shards.keypoints.dtype == np.float32
    np.testing.assert_array_equal(shards.boxes[:, 2], np.arange(7))
    for i in (0, 3, 6):
        assert shards.image(i).shape == (8, 10, 3) and abs(int(shards.image(i).mean()) - (150 + i)) <= 1
        assert shards.records[i]["index"] == i


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    write_shards(whole, count=10, seed=1, people=Plain(), per_shard=4)
    with pytest.raises(KeyboardInterrupt):
        write_shards(broken, count=10, seed=1, people=Plain(dies=6), per_shard=4)
    assert len(read_shards(broken)) == 4
    first = (broken / "00000.tar").stat().st_mtime_ns
    write_shards(broken, count=10, seed=1, people=Plain(), per_shard=4)
    assert contents(broken) == contents(whole)
    assert (broken / "00000.tar").stat().st_mtime_ns == first


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_a_shard_that_was_emptied_or_deleted_is_made_again(tmp_path, damage):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        write_shards(folder, count=10, seed=1, people=Plain(), per_shard=4)
    damage(broken / "00001.tar")
    write_shards(broken, count=10, seed=1, people=Plain(), per_shard=4)
    assert contents(broken) == contents(whole)


@pytest.mark.slow
def test_workers_do_not_change_a_byte(tmp_path):
    write_shards(tmp_path / "one", count=8, seed=2, people=Toys(64), per_shard=5)
    write_shards(tmp_path / "two", count=8, seed=2, people=Toys(64), per_shard=5, workers=1)
    write_shards(tmp_path / "three", count=8, seed=2, people=Toys(64), per_shard=5, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "three")


@pytest.mark.slow
def test_a_run_killed_at_any_moment_goes_on(tmp_path):
    """kill -9 in the middle, again and again: at the end every picture is there once, with the bytes of a whole run."""
    code = (
        "from test_shards import Plain; from wholebody.synth.shards import write_shards\n"
        "if __name__ == '__main__':\n"
        f"    write_shards({str(tmp_path / 'broken')!r}, 60, 1, workers=2, people=Plain(seconds=0.01), per_shard=7)"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}

    def pictures():
        return sum(shard["count"] for shard in read_manifest(tmp_path / "broken")["shards"].values())

    killed = 0
    for wanted in (1, 20, 40):
        run = subprocess.Popen([sys.executable, str(script)], env=environment, start_new_session=True)
        limit = time.monotonic() + 600
        while run.poll() is None and not ((tmp_path / "broken/manifest.json").exists() and pictures() >= wanted):
            assert time.monotonic() < limit
            time.sleep(0.005)
        if run.poll() is None:
            os.kill(run.pid, signal.SIGKILL)
            run.wait()
            killed += 1
            # Its workers end by themselves.
            while any_left(run.pid):
                assert time.monotonic() < limit
                time.sleep(0.05)
    assert killed >= 2
    subprocess.run([sys.executable, str(script)], env=environment, check=True)
    write_shards(tmp_path / "whole", count=60, seed=1, people=Plain(), per_shard=7)
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    assert [record["index"] for record in read_shards(tmp_path / "broken").records] == list(range(60))


def any_left(session):
    """Whether processes of a session are alive, zombies aside."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[3]) == session and words[0] != "Z":
            return True
    return False


def test_the_manifest_says_what_is_there(tmp_path):
    paths = write_shards(tmp_path, count=5, seed=3, people=Plain(), per_shard=3, options={"size": 320})
    manifest = read_manifest(tmp_path)
    assert manifest["seed"] == 3 and manifest["count"] == 5 and manifest["options"] == {"size": 320}
    assert set(manifest["versions"]) >= {"wholebody", "numpy", "numba"}
    assert manifest["shards"] == {
        "00000.tar": {"count": 3, "sha256": sha256(paths[0])},
        "00001.tar": {"count": 2, "sha256": sha256(paths[1])},
    }


def test_a_damaged_or_lost_shard_is_made_again(tmp_path):
    paths = write_shards(tmp_path, count=6, seed=1, people=Plain(), per_shard=2)
    before = contents(tmp_path)
    data = bytearray(paths[1].read_bytes())
    data[600] ^= 1
    paths[1].write_bytes(data)
    paths[2].unlink()
    done = []
    write_shards(tmp_path, count=6, seed=1, people=Plain(), per_shard=2, progress=done.append)
    assert contents(tmp_path) == before
    assert done == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("first", [4, 5])
def test_a_set_can_grow(tmp_path, first):
    write_shards(tmp_path / "grown", count=first, seed=1, people=Plain(), per_shard=2)
    write_shards(tmp_path / "grown", count=7, seed=1, people=Plain(), per_shard=2)
    assert [record["index"] for record in read_shards(tmp_path / "grown").records] == list(range(7))
    write_shards(tmp_path / "whole", count=7, seed=1, people=Plain(), per_shard=2)
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 2}, "its seed is 1, not 2"),
        ({"per_shard": 3}, "its per_shard is 2, not 3"),
        ({"options": {"size": 64}}, "its size is 320, not 64"),
        ({"count": 3}, "is a set of 4 pictures, more than 3"),
    ],
)
def test_two_sets_do_not_mix(tmp_path, change, message):
    settings = {"count": 4, "seed": 1, "people": Plain(), "per_shard": 2, "options": {"size": 320}}
    write_shards(tmp_path, **settings)
    before = contents(tmp_path)
    with pytest.raises(WholebodyError, match=message):
        write_shards(tmp_path, **settings | change)
    assert contents(tmp_path) == before


def test_another_generator_does_not_go_on(tmp_path):
    write_shards(tmp_path, count=2, seed=1, people=Plain(), per_shard=2)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"generator": "other"}))
    with pytest.raises(WholebodyError, match="its generator is other"):
        write_shards(tmp_path, count=4, seed=1, people=Plain(), per_shard=2)
    manifest.write_text("[]")
    with pytest.raises(WholebodyError, match="not the manifest of a set"):
        write_shards(tmp_path, count=4, seed=1, people=Plain(), per_shard=2)


@dataclass(frozen=True)
class Failing:
    """Cannot be started, or its process dies at picture 3."""

    how: str

    def __call__(self):
        if self.how == "refuses":
            raise WholebodyError("no body. Build one.")
        return self._make

    def _make(self, seed, index):
        if index == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return Plain()()(seed, index)


@pytest.mark.parametrize(("how", "message"), [("refuses", "no body"), ("dies", "a worker process died")])
def test_trouble_in_a_worker_is_one_clear_error(tmp_path, how, message):
    with pytest.raises(WholebodyError, match=message):
        write_shards(tmp_path, count=6, seed=1, people=Failing(how), per_shard=3, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]
    write_shards(tmp_path, count=6, seed=1, people=Plain(), per_shard=3)
    assert len(read_shards(tmp_path)) == 6


def test_shards_follow_the_webdataset_convention(tmp_path):
    import tarfile

    write_shards(tmp_path, count=2, seed=1, people=Plain())
    with tarfile.open(tmp_path / "00000.tar") as archive:
        assert archive.getnames() == ["000000.jpg", "000000.json", "000001.jpg", "000001.json"]
        assert json.load(archive.extractfile("000001.json"))["index"] == 1


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100])
def test_a_bad_shard_is_named(tmp_path, content):
    (tmp_path / "00000.tar").write_bytes(content)
    with pytest.raises(WholebodyError, match=r"00000\.tar: not a shard"):
        read_shards(tmp_path)


def test_an_empty_folder_is_a_clear_error(tmp_path):
    with pytest.raises(WholebodyError, match="no shards"):
        read_shards(tmp_path)
    with pytest.raises(WholebodyError, match="needs people"):
        write_shards(tmp_path, count=1, seed=0)
