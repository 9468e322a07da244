"""Runs over a video that go on after parts of them were damaged, and files that only look like those of before."""

import os
import shutil

import numpy as np
import pytest

from test_jobs import LOOK, Stop, assert_same_video, boxes, movie, names, run, stopping  # noqa: F401, run is a fixture
from walkers import picture
from wholebody import WholeBody, formats, video
from wholebody.images import read_image
from wholebody.predict import clip as one_clip
from wholebody.predict.job import Job, Look, Pace
from wholebody.predict.run import run_job
from wholebody.video.frame import Frame

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


DAMAGES = (changed, *(pytest.param(damage, marks=pytest.mark.slow) for damage in (cut, emptied, deleted)))


FILES = ("00000010.npz", "png/000013.png", "parts.jsonl")
STOPS = ((4,), (25, 26, 27, 28), (44,))
NO_LOOK = Look("none", (), 0.3, False)


def eventful(path, count=48):
    """Two people who meet at 25 frames a second; a third who comes, a flash and a cut."""
    frames = []
    for n in range(count):
        there = [*boxes(3 * n), *([(140, 100, 165, 180)] if 11 <= n < 30 else [])]
        shown = picture(there, shade=255 if n in (23, 24) else 20) if n < 36 else picture(boxes(60 - n), shade=140)
        frames.append(Frame(n / 25, shown))
    video.write(path, frames, 25, quality=5)
    return path


@pytest.mark.parametrize("stops", [(17, 20, 33), *(pytest.param(at, marks=pytest.mark.slow) for at in STOPS)])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"two_pass": True, "fps": 12.5},
        *(
            pytest.param(options, marks=pytest.mark.slow)
            for options in (
                {"every": 1, "smooth": "strong", "two_pass": True},
                {"every": 20, "latency": "low"},
                {"every": 5, "fps": 30.0, "start": 0.1, "end": 1.6, "smooth": "strong"},
                {"people": 1, "options": {"turn": 180}},
            )
        ),
    ],
)
def test_a_run_that_is_stopped_ends_as_one_that_is_not(run, tmp_path, monkeypatch, stops, options):  # noqa: F811
    """Wherever it is stopped, again and again: in a part, in a chunk of frames, before a flash, a cut, a newcomer."""
    whole, path = eventful(tmp_path / "whole.mp4"), eventful(tmp_path / "clip.mp4")
    want = eventful_people(run, whole, **options)
    done, count = 0, len(formats.read_npz_video(want))
    for n in stops:
        with monkeypatch.context() as patch:
            stopping(patch, max(min(n, count - 3) - done, 0))
            with pytest.raises(Stop):
                run(path, look=NO_LOOK, resume=True, **options)
        done = sum(len(formats.read_npz_video(part)) for part in path.with_name(PARTS).glob("*.npz"))
    run(path, look=NO_LOOK, resume=True, **options)
    assert_same_video(tmp_path / "clip_pose.npz", want)


def eventful_people(run, path, **options):  # noqa: F811
    """The poses of a run that nobody stops, in which the eventful things happen."""
    run(path, look=NO_LOOK, **options)
    want = path.with_name(f"{path.stem}_pose.npz")
    ids = {key for _, poses in formats.read_npz_video(want) for key in poses.ids.tolist()}
    assert len(ids) > 2
    return want


@pytest.mark.slow
@pytest.mark.parametrize("two_pass", [False, True])
def test_a_run_that_is_killed_between_two_parts_draws_the_same_film(run, tmp_path, monkeypatch, two_pass):  # noqa: F811
    whole, path = eventful(tmp_path / "whole.mp4"), eventful(tmp_path / "clip.mp4")
    run(whole, two_pass=two_pass)
    with monkeypatch.context() as patch:
        stopping(patch, 37)
        with pytest.raises(Stop):
            run(path, two_pass=two_pass)
    last = max(path.with_name(PARTS).glob("*.npz"))
    for file in path.with_name(PARTS).glob(f"{last.stem}.*"):
        file.unlink()  # a kill leaves nothing of the part that it comes in
    run(path, two_pass=two_pass, resume=True)
    assert_same_video(tmp_path / "clip_pose.npz", tmp_path / "whole_pose.npz")
    films = [[frame.image for frame in video.read(tmp_path / f"{name}_pose.mp4")] for name in ("clip", "whole")]
    np.testing.assert_array_equal(*films)


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 8])
@pytest.mark.parametrize("two_pass", [False, True])
def test_with_the_bundled_networks_too(tmp_path, monkeypatch, every, two_pass):
    monkeypatch.setattr(one_clip, "PART_FRAMES", 10)
    photo = read_image("examples/parkour.jpg")[::2, ::2]
    h, w = photo.shape[:2]
    pan = (photo[n // 2 : h - 20 + n // 2, n : w - 40 + n] for n in range(40))
    video.write(tmp_path / "whole.mp4", (Frame(n / 25, image.copy()) for n, image in enumerate(pan)), 25)
    # A copy: on a busy machine x264 was seen to write other bytes for the same frames, twice in 50 times.
    shutil.copy(tmp_path / "whole.mp4", tmp_path / "clip.mp4")

    def follow(name, **pace):
        job = Job(NO_LOOK, (), pace=Pace(every=every, two_pass=two_pass, **pace))
        return run_job([tmp_path / f"{name}.mp4"], None, lambda: WholeBody("fast", device="cpu", threads=1), job)

    assert follow("whole") == 0
    for n in (12, 13, 11):
        with monkeypatch.context() as patch:
            stopping(patch, n)
            with pytest.raises(Stop):
                follow("clip", resume=True)
    assert follow("clip", resume=True) == 0
    assert max(len(poses) for _, poses in formats.read_npz_video(tmp_path / "whole_pose.npz")) > 0
    assert_same_video(tmp_path / "clip_pose.npz", tmp_path / "whole_pose.npz")


@pytest.mark.slow
def test_parts_of_an_older_version_are_made_again(run, tmp_path, monkeypatch):  # noqa: F811
    path, whole = movie(tmp_path / "clip.mp4"), movie(tmp_path / "whole.mp4")
    run(whole)
    folder = stopped(run, path, monkeypatch)
    for file in folder.glob("*.bookmark"):
        file.unlink()
    lines = (folder / "parts.jsonl").read_text().splitlines(keepends=True)
    (folder / "parts.jsonl").write_text("".join(line for line in lines if "bookmark" not in line))
    status, _, errors = run(path, resume=True)
    assert status == 0 and "from an older version" in errors and "started again" in errors
    assert_same_video(tmp_path / "clip_pose.npz", tmp_path / "whole_pose.npz")


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_only_the_last_bookmark_is_needed(run, tmp_path, monkeypatch, damage):  # noqa: F811
    path, whole = movie(tmp_path / "clip.mp4"), movie(tmp_path / "whole.mp4")
    run(whole)
    folder = stopped(run, path, monkeypatch)
    damage(folder / "00000010.bookmark")
    with monkeypatch.context() as patch:
        stopping(patch, 0)
        with pytest.raises(Stop):
            run(path, resume=True)
    assert len(list(folder.glob("*.npz"))) == 4
    for number in (20, 30):
        damage(folder / f"{number:08d}.bookmark")
    status, _, errors = run(path, resume=True)
    assert status == 0 and "damaged from frame 10 on" in errors
    assert_same_video(tmp_path / "clip_pose.npz", tmp_path / "whole_pose.npz")


@pytest.mark.slow
def test_pictures_that_have_been_moved_are_all_made_again(run, tmp_path, monkeypatch):  # noqa: F811
    path, look = movie(tmp_path / "clip.mp4"), Look("skeleton", LOOK.parts, 0.3, False)
    with monkeypatch.context() as patch:  # everything is there but the film
        patch.setattr(one_clip.video, "join", lambda *_, **__: (_ for _ in ()).throw(Stop))
        with pytest.raises(Stop):
            run(path, kinds=("npz", "png"), look=look)
    assert not (tmp_path / PARTS / "png").exists()
    deleted(tmp_path / PARTS / "00000020.npz")
    assert run(path, kinds=("npz", "png"), look=look, resume=True)[0] == 0
    assert names(tmp_path / "clip_pose_png") == [f"{n:06d}.png" for n in range(40)]
    assert len(list(video.read(tmp_path / "clip_pose.mp4"))) == 40


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["00000010.mp4", *(pytest.param(name, marks=pytest.mark.slow) for name in FILES)])
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


@pytest.mark.slow
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
    assert status == 0 and "started again" in errors
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
    assert status == 1 and "or another file" in errors and folder.exists()
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
