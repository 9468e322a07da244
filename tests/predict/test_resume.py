"""Runs over a video that go on after parts of them were damaged, and files that only look like those of before."""

import os

import numpy as np
import pytest

from test_jobs import LOOK, Stop, assert_same_video, movie, names, run, stopping  # noqa: F401, run is a fixture
from wholebody import formats, video
from wholebody.predict import clip as one_clip
from wholebody.predict.job import Look

PARTS = "clip_pose.parts"


def stopped(run, path, monkeypatch, after=37, **options):  # noqa: F811
    """A run of 40 frames that was stopped after some of them: parts of ten frames."""
    with monkeypatch.context() as patch:
        stopping(patch, after)
        with pytest.raises(Stop):
            run(path, **options)
    return path.with_name(PARTS)


def cut(file):
    file.write_bytes(file.read_bytes()[:-300])


def changed(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def emptied(file):
    file.write_bytes(b"")


def deleted(file):
    file.unlink()


DAMAGES = (cut, changed, emptied, deleted)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["00000010.mp4", "00000010.npz", "png/000013.png", "parts.jsonl"])
def test_damaged_parts_are_made_again(run, tmp_path, monkeypatch, damage, name):  # noqa: F811
    path, kinds = movie(tmp_path / "clip.mp4"), ("npz", "png")
    whole = movie(tmp_path / "whole.mp4")
    run(whole, kinds=kinds)
    folder = stopped(run, path, monkeypatch, kinds=kinds)
    damage(folder / name)
    status, _, errors = run(path, kinds=kinds, resume=True)
    assert status == 0 and (name == "parts.jsonl" or "damaged from frame 10 on" in errors)
    times = [frame.time for frame in video.read(tmp_path / "clip_pose.mp4")]
    np.testing.assert_allclose(times, np.arange(40) / 25, atol=1e-3)
    assert_same_video(tmp_path / "clip_pose.npz", tmp_path / "whole_pose.npz")
    assert names(tmp_path / "clip_pose_png") == [f"{n:06d}.png" for n in range(40)]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_drawings_of_a_second_pass_are_drawn_again(run, tmp_path, monkeypatch, damage):  # noqa: F811
    path = movie(tmp_path / "clip.mp4")
    with monkeypatch.context() as patch:  # everything is there but the film
        patch.setattr(one_clip.video, "join", lambda *_, **__: (_ for _ in ()).throw(Stop))
        with pytest.raises(Stop):
            run(path, two_pass=True)
    kept = (tmp_path / PARTS / "00000000.mp4").stat().st_mtime_ns
    damage(tmp_path / PARTS / "00000020.mp4")
    found = []
    with monkeypatch.context() as patch:
        real = one_clip.video.join

        def join(*arguments, **options):
            found.extend((tmp_path / PARTS / f"{n:08d}.mp4").stat().st_mtime_ns for n in (0, 20))
            real(*arguments, **options)

        patch.setattr(one_clip.video, "join", join)
        assert run(path, two_pass=True, resume=True)[0] == 0
    assert found[0] == kept and found[1] > kept
    assert len(list(video.read(tmp_path / "clip_pose.mp4"))) == 40


def test_without_its_settings_a_run_begins_again_and_says_so(run, tmp_path, monkeypatch):  # noqa: F811
    path = movie(tmp_path / "clip.mp4")
    folder = stopped(run, path, monkeypatch)
    (folder / "settings.json").write_text('{"fps": nu')
    status, _, errors = run(path, resume=True)
    assert status == 0 and "begun again" in errors
    assert len(formats.read_npz_video(tmp_path / "clip_pose.npz")) == 40


def like(path, other):
    """Make `other` as long in bytes and as old as `path`."""
    length, times = path.stat().st_size, path.stat()
    data = other.read_bytes()
    assert len(data) <= length
    other.write_bytes(data + b"\0\0\0\x08free" + b"\0" * (length - len(data) - 8))
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_another_film_of_the_same_length_and_time_is_another(run, tmp_path, monkeypatch):  # noqa: F811
    path, other = movie(tmp_path / "clip.mp4"), movie(tmp_path / "other.mp4", count=30)
    folder = stopped(run, path, monkeypatch, after=25)
    like(path, other)
    other.replace(path)
    status, _, errors = run(path, resume=True)
    assert status == 1 and "of another file" in errors and folder.exists()
    assert run(path)[0] == 0
    longer = movie(tmp_path / "longer.mp4", count=20)
    like(path, longer)
    longer.replace(path)
    status, out, errors = run(path, resume=True)
    assert status == 0 and "done before" not in out and "another file" in errors
    assert len(list(video.read(tmp_path / "clip_pose.mp4"))) == 20


@pytest.mark.parametrize("damage", [cut, emptied, deleted])
def test_results_that_have_changed_since_are_made_again(run, tmp_path, damage):  # noqa: F811
    path = movie(tmp_path / "clip.mp4", count=12)
    look = Look("skeleton", LOOK.parts, 0.3, False)
    run(path, look=look)
    want = (tmp_path / "clip_pose.npz").read_bytes()
    damage(tmp_path / "clip_pose.npz")
    status, out, _ = run(path, look=look, resume=True)
    assert status == 0 and "done before" not in out
    assert (tmp_path / "clip_pose.npz").stat().st_size == len(want)
