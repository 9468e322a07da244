import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from toy_body import Toys

from wholebody.errors import WholebodyError
from wholebody.synth.shards import read_shards, write_shards


@dataclass(frozen=True)
class Plain:
    """A maker without a body: a grey picture, and points that name their index. Dies at `dies`."""

    dies: int = -1

    def __call__(self):
        return self._make

    def _make(self, seed, index):
        if index == self.dies:
            raise KeyboardInterrupt
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
    # A kill that leaves no time to clean up also leaves its unfinished file.
    (broken / ".00001.abc.tar").write_bytes(b"half")
    first = (broken / "00000.tar").stat().st_mtime_ns
    write_shards(broken, count=10, seed=1, people=Plain(), per_shard=4)
    assert contents(broken) == contents(whole)
    assert (broken / "00000.tar").stat().st_mtime_ns == first


def test_workers_do_not_change_a_byte(tmp_path):
    write_shards(tmp_path / "one", count=8, seed=2, people=Toys(64), per_shard=5)
    write_shards(tmp_path / "two", count=8, seed=2, people=Toys(64), per_shard=5, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_set_can_grow(tmp_path):
    write_shards(tmp_path, count=4, seed=1, people=Plain(), per_shard=2)
    write_shards(tmp_path, count=6, seed=1, people=Plain(), per_shard=2)
    assert [record["index"] for record in read_shards(tmp_path).records] == list(range(6))


def test_two_sets_do_not_mix(tmp_path):
    write_shards(tmp_path, count=2, seed=1, people=Plain(), per_shard=2)
    with pytest.raises(WholebodyError, match="another set"):
        write_shards(tmp_path, count=4, seed=2, people=Plain(), per_shard=2)


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
