"""Videos through `run_job`: what is written, what survives a stop, what is said of bad files."""

import json
import math
import signal
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from time import process_time

import av
import cv2
import numpy as np
import pytest

from test_video import clip, loudest
from walkers import model, picture
from wholebody import formats, video
from wholebody.errors import WholebodyError
from wholebody.formats import kinds
from wholebody.formats.common import row_ids
from wholebody.images import write_image
from wholebody.pose.choose import Choice
from wholebody.predict import clip as one_clip
from wholebody.predict.job import Job, Look, Pace
from wholebody.predict.names import result_names
from wholebody.predict.run import run_job
from wholebody.reading import load_arrays
from wholebody.video.frame import Frame

LOOK = Look("skeleton", ("body", "hands", "face"), 0.3, False)
FPS = 25


def boxes(n):
    """Two people at frame n."""
    return [(20 + 2 * n, 60, 60 + 2 * n, 170), (250 - n, 30, 300 - n, 180)]


def movie(path, count=40, sound=None):
    """A clip of two people; with sound, through another file."""
    frames = [Frame(n / FPS, picture(boxes(n))) for n in range(count)]
    audio = clip(path.with_name("tone.mkv"), count=count, sound=sound) if sound else None
    video.write(path, frames, FPS, audio=audio, quality=5)
    if audio:
        audio.unlink()
    return path


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run a job over inputs; gives status, stdout, stderr. Parts are of ten frames."""
    monkeypatch.setattr(one_clip, "PART_FRAMES", 10)

    def run(*inputs, output=None, kinds=(), look=LOOK, people=None, options=None, **pace):
        status = run_job(inputs, output, model, Job(look, kinds, Choice(people), Pace(**pace), **options or {}))
        printed = capsys.readouterr()
        return status, printed.out, printed.err.strip()

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")


def assert_same_video(got, want):
    """The same people in the same frames, bit by bit."""
    a, b = (load_arrays(path) for path in (got, want))
    assert set(a) == set(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], name)


def test_a_video_gives_a_drawing_with_sound_and_arrays(run, tmp_path):
    path = movie(tmp_path / "clip.mp4", sound="aac")
    status, out, errors = run(path)
    assert status == 0 and "1 video, 2 people" in out and not errors
    assert names(tmp_path) == ["clip.mp4", "clip_pose.mp4", "clip_pose.npz"]
    frames = formats.read_npz_video(tmp_path / "clip_pose.npz")
    assert len(frames) == 40 and all(poses.ids.tolist() == [1, 2] for _, poses in frames)
    drawn = list(video.read(tmp_path / "clip_pose.mp4"))
    np.testing.assert_allclose([f.time for f in drawn], np.arange(40) / FPS, atol=1e-3)
    assert all(np.abs(f.image.astype(int) - picture(boxes(n))).max() > 100 for n, f in enumerate(drawn))
    assert loudest(tmp_path / "clip_pose.mp4") == pytest.approx(0.5, abs=0.08)


def test_every_format_tells_the_same(run, tmp_path):
    path = movie(tmp_path / "clip.mp4", count=12)
    kinds = ("npz", "csv", "parquet", "trc", "openpose", "comfy", "coco", "png")
    status, _, _ = run(path, output=tmp_path / "out", kinds=kinds, smooth="off")
    assert status == 0
    out = tmp_path / "out"
    frames = formats.read_npz_video(out / "clip_pose.npz")
    for _, poses in frames:
        assert len(poses) == 2
    csv, parquet = formats.read_csv_video(out / "clip_pose.csv"), formats.read_parquet(out / "clip_pose.parquet")
    coco = formats.read_coco(out / "clip_pose_coco.json")
    comfy, sizes = formats.read_comfy(out / "clip_pose_comfy.json")
    assert sizes == [(320, 240)] * 12
    times, _, marks = formats.read_trc(out / "clip_pose_2.trc", 240)
    for n, (time, poses) in enumerate(frames):
        one = formats.read_openpose(out / "clip_pose_openpose" / formats.openpose_name("clip", n))
        assert one.ids.tolist() == poses.ids.tolist() == coco[n].ids.tolist()
        for other in (csv[n][1], parquet[n][1], coco[n]):
            np.testing.assert_allclose(other.keypoints, poses.keypoints, atol=0.01)
        np.testing.assert_allclose(marks[n], poses.keypoints[1], atol=0.01)
        assert times[n] == pytest.approx(time, abs=1e-5) and len(comfy[n]) == 2
    assert names(out / "clip_pose_png") == [f"{n:06d}.png" for n in range(12)]


def test_the_rate_of_a_trc_is_the_streams_where_the_file_rounds_its_times(run, tmp_path):
    """MKV has times in milliseconds: two seconds of 23.976 frames a second look like 23.98."""
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(24000, 1001))
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for n in range(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(boxes(n)), format="bgr24")))
        container.mux(stream.encode(None))
    assert run(path, kinds=("trc",), look=Look("none", (), 0.3, False))[0] == 0
    assert (tmp_path / "clip_pose_1.trc").read_text().splitlines()[2].split("\t")[0] == "23.976"


def test_a_control_video_of_a_piece_at_a_steady_rate(run, tmp_path):
    path = movie(tmp_path / "clip.mp4")
    look = Look("openpose", ("body",), 0.3, False)
    status, _, _ = run(path, look=look, fps=10, start=0.4, end=1.2, people=1)
    assert status == 0
    frames = formats.read_npz_video(tmp_path / "clip_pose.npz")
    np.testing.assert_allclose([t for t, _ in frames], 0.4 + np.arange(8) / 10)
    assert all(len(poses) == 1 and poses.keypoints[0, :, 0].mean() > 200 for _, poses in frames)
    drawn = list(video.read(tmp_path / "clip_pose.mp4"))
    assert len(drawn) == 8 and all((frame.image < 16).mean() > 0.5 for frame in drawn)


def test_nothing_of_an_earlier_run_stays_between_the_new_results(run, tmp_path):
    path = movie(tmp_path / "clip.mp4", count=12)
    other = tmp_path / "clip_pose_of_mine_2.trc"
    other.write_text("mine")
    kinds = ("openpose", "png", "trc")
    run(path, kinds=kinds)
    run(path, kinds=kinds, end=0.2, people=1)
    assert names(tmp_path / "clip_pose_openpose") == [formats.openpose_name("clip", n) for n in range(5)]
    assert names(tmp_path / "clip_pose_png") == [f"{n:06d}.png" for n in range(5)]
    assert names(tmp_path) == sorted(
        ["clip.mp4", "clip_pose.mp4", "clip_pose_1.trc", "clip_pose_openpose", "clip_pose_png", other.name]
    )


def test_a_video_without_people_in_every_format(run, tmp_path):
    path = tmp_path / "nobody.mp4"
    video.write(path, [Frame(n / FPS, picture([])) for n in range(4)], FPS)
    (tmp_path / "nobody_pose_1.trc").write_text("of an earlier run")
    every = tuple(name for name, kind in kinds.KINDS.items() if kind.video is not None and name != "deeplabcut-h5")
    status, out, errors = run(path, kinds=every)
    assert status == 0 and "1 video, 0 people" in out
    assert errors.splitlines() == [
        f"{path}: {name} has a file for each person, and nobody was found." for name in every if name in TRC
    ]
    assert not list(tmp_path.glob("*.trc")) and not list(tmp_path.glob("*.parts"))
    assert {"nobody_pose.npz", "nobody_pose.csv", "nobody_pose.mp4"} <= set(names(tmp_path))
    assert run(path, kinds=("trc",), look=Look("none", (), 0.3, False))[0] == 0  # with nothing to write at all
    assert "done before" in run(path, kinds=("trc",), look=Look("none", (), 0.3, False), resume=True)[1]


def test_a_start_after_the_end_leaves_nothing(run, tmp_path):
    status, _, errors = run(movie(tmp_path / "clip.mp4", count=12), start=9)
    assert status == 1 and "ends before 9 s" in errors and names(tmp_path) == ["clip.mp4"]


TRC = ("trc", "sports2d")
MOTION = ("pose2sim", "sports2d", "trc", "pose-format", "deeplabcut", "coco")


def test_two_cameras_in_one_command(run, tmp_path):
    films = tmp_path / "trial" / "videos"
    films.mkdir(parents=True)
    paths = [movie(films / f"cam0{n}.mp4", count=12) for n in (1, 2)]
    look = Look("none", ("body",), 0.3, False)
    status, _, _ = run(films, output=tmp_path / "trial", kinds=MOTION, look=look, smooth="off", start=0.08)
    assert status == 0
    trial = tmp_path / "trial"
    assert names(trial) == sorted(
        ["videos", "pose"]
        + [
            f"cam0{n}_pose{end}"
            for n in (1, 2)
            for end in (".json", ".pose", "_1.trc", "_2.trc", "_1_px.trc", "_2_px.trc", "_deeplabcut.csv")
        ]
    )
    for path in paths:
        frames = formats.read_pose2sim(trial / "pose" / f"{path.stem}_json")
        first = json.loads((trial / "pose" / f"{path.stem}_json" / f"{path.stem}_000000.json").read_text())
        assert (first["source_frame"], first["time"]) == (2, 0.08) and len(frames) == 10
        rows = json.loads((trial / f"{path.stem}_pose.json").read_text())
        assert [(row["image_id"], row["source_frame"]) for row in rows[::2]] == [(n, n + 2) for n in range(10)]
        _, _, marks = formats.read_trc(trial / f"{path.stem}_pose_2_px.trc", 240, formats.SPORTS2D)
        table = formats.read_deeplabcut(trial / f"{path.stem}_pose_deeplabcut.csv")
        for n, poses in enumerate(frames):
            np.testing.assert_allclose(marks[n], poses.keypoints[1], atol=0.01)
            np.testing.assert_allclose(table[n][1].keypoints, poses.keypoints, atol=0.01)
    # Results in folders of their own are known to be done.
    status, out, _ = run(films, output=trial, kinds=MOTION, look=look, smooth="off", start=0.08, resume=True)
    assert status == 0 and out.count("done before") == 2


@pytest.mark.parametrize(("fps", "two_pass"), [(None, False), (10.0, True)])
def test_numbers_of_frames_go_through_a_stopped_run(run, tmp_path, monkeypatch, fps, two_pass):
    """From a start beyond a second, where reading does not begin with the file, and on from where it was stopped."""
    path = movie(tmp_path / "clip.mp4", count=80)
    options = {"start": 1.2, "end": 2.8, "fps": fps, "two_pass": two_pass, "kinds": ("coco", "npz")}
    with monkeypatch.context() as patch, pytest.raises(Stop):
        stopping(patch, 13)
        run(path, **options)
    status, _, _ = run(path, resume=True, **options)
    assert status == 0
    numbers = formats.read_source_frames(tmp_path / "clip_pose.npz")
    times = [time for time, _ in formats.read_npz_video(tmp_path / "clip_pose.npz")]
    # At a steady rate that of the frame that is shown then.
    assert numbers == [math.floor(time * FPS + 0.1) for time in times] and len(numbers) == (16 if fps else 40)
    rows = json.loads((tmp_path / "clip_pose.json").read_text())
    assert all(row["source_frame"] == numbers[row["image_id"]] for row in rows)
    assert len(rows) > len(numbers)
    np.testing.assert_allclose([row["time"] for row in rows], [times[row["image_id"]] for row in rows], atol=1e-6)


class Stop(BaseException):
    """As a key press, in the middle."""


def stopping(monkeypatch, after):
    """Reading is interrupted after so many frames."""
    whole = video.read

    def read(*arguments, **options):
        for n, frame in enumerate(whole(*arguments, **options)):
            if n == after:
                raise Stop
            yield frame

    monkeypatch.setattr(one_clip.video, "read", read)


@pytest.mark.parametrize("two_pass", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("look", [LOOK, Look("none", (), 0.3, False)])
def test_numbered_pictures_of_a_stopped_run_are_all_there(run, tmp_path, monkeypatch, look, two_pass):
    path = movie(tmp_path / "clip.mp4")
    options = {"kinds": ("png", "npz"), "look": look, "two_pass": two_pass}
    with monkeypatch.context() as patch:
        stopping(patch, 27)
        with pytest.raises(Stop):
            run(path, **options)
    with monkeypatch.context() as patch:  # and once more, when the pictures are in their place
        patch.setattr(kinds, "write_npz_video", refusing(formats.write_npz_video, tmp_path / "clip_pose.npz"))
        assert run(path, resume=True, **options)[0] == 1
    assert len(names(tmp_path / "clip_pose_png")) == 40
    assert run(path, resume=True, **options)[0] == 0
    assert names(tmp_path / "clip_pose_png") == [f"{n:06d}.png" for n in range(40)]


def refusing(real, path):
    """A writer for which the disk is full at `path`."""

    def write(target, *arguments):
        if target == path:
            raise WholebodyError(f"{target}: cannot write (No space left on device). Free some space.")
        real(target, *arguments)

    return write


@pytest.mark.parametrize("two_pass", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_stopped_run_is_readable_and_goes_on(run, tmp_path, monkeypatch, two_pass):
    first, second = movie(tmp_path / "first.mp4", sound="aac"), movie(tmp_path / "second.mp4", sound="aac")
    run(first, two_pass=two_pass)
    with monkeypatch.context() as patch:
        stopping(patch, 27)
        with pytest.raises(Stop):
            run(second, two_pass=two_pass)
    folder = tmp_path / "second_pose.parts"
    done = sum(len(formats.read_npz_video(part)) for part in folder.glob("*.npz"))
    assert 20 <= done <= 27 and not (tmp_path / "second_pose.mp4").exists()
    if not two_pass:
        assert sum(len(list(video.read(part))) for part in folder.glob("*.mp4")) == done
    (folder / ".00000040.killed.mp4").write_text("half a file")
    status, out, _ = run(second, two_pass=two_pass, resume=True)
    assert status == 0 and "40" in out and not folder.exists()
    assert_same_video(tmp_path / "second_pose.npz", tmp_path / "first_pose.npz")
    times = [[f.time for f in video.read(tmp_path / f"{name}_pose.mp4")] for name in ("first", "second")]
    np.testing.assert_allclose(*times, atol=1e-3)
    # And once more: it is done.
    before = (tmp_path / "second_pose.mp4").stat().st_mtime_ns
    status, out, _ = run(second, two_pass=two_pass, resume=True)
    assert status == 0 and "done before" in out and (tmp_path / "second_pose.mp4").stat().st_mtime_ns == before
    assert "1 video, 2 people" in out and "40" in out


def encoding(monkeypatch, after, then):
    """`then` happens right after the encoder has taken so many frames."""
    whole, taken = video.encoder, []

    @contextmanager
    def encoder(*arguments, **options):
        with whole(*arguments, **options) as append:

            def write(frame):
                append(frame)
                taken.append(frame.time)
                if len(taken) == after:
                    then()

            yield write

    monkeypatch.setattr(one_clip.video, "encoder", encoder)


def test_a_key_press_waits_until_a_frame_is_in_the_picture_and_in_the_list(run, tmp_path, monkeypatch):
    path = movie(tmp_path / "clip.mp4")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            encoding(patch, 17, lambda: signal.raise_signal(signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                run(path)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    for part, count in (("00000000", 10), ("00000010", 7)):
        stem = tmp_path / "clip_pose.parts" / part
        assert len(formats.read_npz_video(stem.with_suffix(".npz"))) == count
        assert len(list(video.read(stem.with_suffix(".mp4")))) == count
    assert run(path, resume=True)[0] == 0
    assert len(list(video.read(tmp_path / "clip_pose.mp4"))) == 40


def test_a_part_with_a_picture_too_many_is_joined(run, tmp_path, monkeypatch):
    path = movie(tmp_path / "clip.mp4")

    def stop():
        raise Stop

    with monkeypatch.context() as patch:
        encoding(patch, 17, stop)
        with pytest.raises(Stop):
            run(path)
    part = tmp_path / "clip_pose.parts" / "00000010.npz"
    assert len(formats.read_npz_video(part)) + 1 == len(list(video.read(part.with_suffix(".mp4")))) == 17 - 10
    status, _, errors = run(path, resume=True)
    assert status == 0 and not errors
    times = [frame.time for frame in video.read(tmp_path / "clip_pose.mp4")]
    np.testing.assert_allclose(times, np.arange(40) / FPS, atol=1e-3)


def test_a_second_pass_that_was_stopped_goes_on(run, tmp_path, monkeypatch):
    path = movie(tmp_path / "clip.mp4")
    real, calls = one_clip.same_times, []

    def failing(*arguments):
        for n, pair in enumerate(real(*arguments)):
            if n == 17:
                raise Stop
            calls.append(pair)
            yield pair

    with monkeypatch.context() as patch:
        patch.setattr(one_clip, "same_times", failing)
        with pytest.raises(Stop):
            run(path, two_pass=True)
    assert len(list((tmp_path / "clip_pose.parts").glob("*.mp4"))) == 1
    assert run(path, two_pass=True, resume=True)[0] == 0
    assert len(list(video.read(tmp_path / "clip_pose.mp4"))) == 40


def test_going_on_with_other_settings_is_refused(run, tmp_path, monkeypatch):
    path = movie(tmp_path / "clip.mp4")
    with monkeypatch.context() as patch:
        stopping(patch, 27)
        with pytest.raises(Stop):
            run(path)
    status, _, errors = run(path, resume=True, smooth="strong")
    assert status == 1 and "other settings" in errors and (tmp_path / "clip_pose.parts").exists()
    assert run(path, smooth="strong")[0] == 0  # from the beginning
    assert names(tmp_path) == ["clip.mp4", "clip_pose.mp4", "clip_pose.npz"]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"end": 1.2}, marks=pytest.mark.slow),
        {"people": 1},
        pytest.param({"kinds": ("npz", "csv")}, marks=pytest.mark.slow),
        {"look": Look("openpose", ("body",), 0.3, False)},
    ],
)
def test_what_was_done_with_other_options_is_done_again(run, tmp_path, other):
    path = movie(tmp_path / "clip.mp4", count=40)
    run(path, end=0.6)
    status, out, errors = run(path, resume=True, **{"end": 0.6, **other})
    assert status == 0 and "done before" not in out and "other options" in errors
    assert len(formats.read_npz_video(tmp_path / "clip_pose.npz")) == (30 if "end" in other else 15)
    assert "done before" in run(path, resume=True, **{"end": 0.6, **other})[1]
    (tmp_path / "clip_pose.npz").unlink()
    assert "done before" not in run(path, resume=True, **{"end": 0.6, **other})[1]


def test_bad_videos_do_not_stop_good_ones_and_keep_what_they_had(run, tmp_path):
    whole = movie(tmp_path / "whole.mp4")
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "letter.mkv").write_text("dear all")
    status, out, errors = run(tmp_path)
    assert status == 1 and "2 videos, 4 people" in out
    for word in ("cut.mp4", "empty.mp4", "letter.mkv"):
        assert word in errors
    kept = formats.read_npz_video(tmp_path / "cut_pose.npz")
    assert 5 < len(kept) < 40 and len(list(video.read(tmp_path / "cut_pose.mp4"))) == len(kept)
    assert not list(tmp_path.glob("*.parts"))
    assert {path.name for path in tmp_path.iterdir() if path.name[0] == "."} == {".cut_pose.json", ".whole_pose.json"}


def test_what_fails_in_one_video_costs_neither_its_poses_nor_the_other_videos(run, tmp_path, monkeypatch):
    for name in ("first.mp4", "second.mp4"):
        movie(tmp_path / name, count=12)
    real, seen = video.join, []

    def failing(*arguments, **options):
        seen.append(arguments)
        if len(seen) == 1:
            raise KeyError("no\nsuch sound")
        real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(one_clip.video, "join", failing)
        status, out, errors = run(tmp_path)
    assert status == 1 and "1 video, 2 people, 1 failed" in out
    assert len(errors.splitlines()) == 1 and "first.mp4: failed (KeyError" in errors and "test_jobs.py, line" in errors
    assert len(formats.read_npz_video(tmp_path / "first_pose.npz")) == 12 and (tmp_path / "second_pose.mp4").exists()
    assert run(tmp_path / "first.mp4", resume=True)[0] == 0
    assert len(list(video.read(tmp_path / "first_pose.mp4"))) == 12


def test_a_second_run_over_a_folder_does_not_read_its_own_results(run, tmp_path):
    movie(tmp_path / "clip.mp4", count=12)
    cv2.imwrite(str(tmp_path / "photo.png"), picture(boxes(0)))
    for _ in range(2):
        status, out, _ = run(tmp_path)
        assert status == 0 and "1 picture, 1 video, 4 people" in out
    assert len(names(tmp_path)) == 6


def test_what_only_looks_like_a_result_is_done(run, tmp_path):
    """A user's own picture beside a file of their own; and what was drawn is known whatever lies beside it."""
    cv2.imwrite(str(tmp_path / "yoga_pose.jpg"), picture(boxes(0)))
    (tmp_path / "yoga_pose.json").write_text("{}")
    movie(tmp_path / "dance_pose.mp4", count=3)
    (tmp_path / "dance_pose.npz").write_bytes(b"")
    (tmp_path / ".dance_pose.json").write_text("{}")
    for _ in range(2):
        status, out, _ = run(tmp_path)
        assert status == 0 and "1 picture, 1 video" in out
    assert {"yoga_pose_pose.jpg", "dance_pose_pose.mp4"} < set(names(tmp_path))
    # Who names a file wants it done.
    assert "1 picture, 1 video" in run(tmp_path / "yoga_pose_pose.jpg", tmp_path / "dance_pose_pose.mp4")[1]


def test_results_with_a_number_are_results_too(run, tmp_path):
    for name in ("a.png", "A.PNG", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), picture(boxes(0)))
    (tmp_path / "b").mkdir()
    cv2.imwrite(str(tmp_path / "b" / "a.png"), picture(boxes(1)))
    inputs = [tmp_path / name for name in ("a.png", "A.PNG", "a.jpg", "b/a.png")]
    run(*inputs, output=tmp_path, kinds=("coco",))
    assert any(name.endswith("_pose2.png") for name in names(tmp_path))
    assert "3 pictures" in run(tmp_path)[1]


def test_a_moving_gif_is_a_video_and_one_that_stands_still_a_picture(run, tmp_path):
    for name, count in (("moves", 12), ("stands", 1)):
        with av.open(str(tmp_path / f"{name}.gif"), "w") as target:
            stream = target.add_stream("gif", rate=10)
            stream.width, stream.height, stream.pix_fmt = 320, 200, "rgb8"
            for n in range(count):
                image = cv2.resize(picture(boxes(n)), (320, 200))
                target.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            target.mux(stream.encode(None))
    for inputs in ([tmp_path], [tmp_path / "moves.gif", tmp_path / "stands.gif"]):
        status, out, _ = run(*inputs, output=tmp_path / "out")
        assert status == 0 and "1 picture, 1 video" in out
        assert len(formats.read_npz_video(tmp_path / "out" / "moves_pose.npz")) == 12
        assert (tmp_path / "out" / "stands_pose.png").exists()


def test_a_folder_of_numbered_pictures_is_a_video_at_a_rate(run, tmp_path):
    (tmp_path / "frames").mkdir()
    for n in range(15):
        cv2.imwrite(str(tmp_path / "frames" / f"{n}.png"), picture(boxes(n)))
    status, out, _ = run(tmp_path / "frames", fps=10)
    assert status == 0 and "1 video, 2 people" in out
    frames = formats.read_npz_video(tmp_path / "frames_pose.npz")
    np.testing.assert_allclose([t for t, _ in frames], np.arange(15) / 10)
    assert video.info(tmp_path / "frames_pose.mp4").fps == pytest.approx(10, rel=0.01)


def frames_in(folder, count=6):
    folder.mkdir(parents=True)
    for n in range(count):
        cv2.imwrite(str(folder / f"{n}.png"), picture(boxes(n)))
    return folder


def test_a_folder_keeps_what_follows_the_dot_in_its_name(run, tmp_path):
    takes = [frames_in(tmp_path / f"take.0{n}", 3 + n) for n in (1, 2)]
    assert run(*takes, fps=10, kinds=("npz", "openpose"))[0] == 0
    for n in (1, 2):
        assert len(formats.read_npz_video(tmp_path / f"take.0{n}_pose.npz")) == 3 + n
        assert names(tmp_path / f"take.0{n}_pose_openpose")[0].startswith(f"take.0{n}_0000")


def test_the_folder_one_is_in_is_named_and_its_results_are_no_frames(run, tmp_path, monkeypatch):
    folder = frames_in(tmp_path / "frames")
    monkeypatch.chdir(folder)
    assert run(Path())[0] == 0  # as pictures: results are between them now
    movie(tmp_path / "old.mp4", count=3)
    assert run(tmp_path / "old.mp4", output=folder)[0] == 0
    status, out, _ = run(Path(), fps=10)
    assert status == 0 and "1 video, 2 people" in out
    assert len(formats.read_npz_video(tmp_path / "frames_pose.npz")) == 6


def test_a_folder_of_results_alone_says_so(run, tmp_path):
    write_image(tmp_path / "a_pose.png", picture([]), result=True)
    status, _, errors = run(tmp_path, fps=10)
    assert status == 1 and "results of an earlier run" in errors


def test_many_files_get_their_names_at_once(tmp_path):
    files = [tmp_path / f"{n}.png" for n in range(5000)]
    began = process_time()
    places = result_names([*files, tmp_path / "0.jpg"], None)
    assert process_time() - began < 2
    assert len(set(places.values())) == 5001 and places[files[0]] == tmp_path / "0_png_pose"


def test_a_place_that_cannot_be_written_is_named_at_once(run, tmp_path):
    movie(tmp_path / "clip.mp4", count=3)
    (tmp_path / "file").write_text("")
    with pytest.raises(WholebodyError, match=r"file/out: cannot be written .* --output"):
        run(tmp_path / "clip.mp4", output=tmp_path / "file" / "out")


@pytest.mark.slow
def test_two_passes_leave_out_who_flashes_up_and_shake_less(run, tmp_path):
    frames = []
    for n in range(70):
        here = [(40 + n, 60 + (n % 2), 80 + n, 170 + (n % 2)), *([(250, 30, 300, 180)] if n in (33, 34, 35) else [])]
        frames.append(Frame(n / FPS, picture(here)))
    video.write(tmp_path / "clip.mp4", frames, FPS, quality=5)
    shake = {}
    for two_pass in (False, True):
        run(tmp_path / "clip.mp4", every=1, two_pass=two_pass, smooth="strong" if two_pass else "off")
        found = formats.read_npz_video(tmp_path / "clip_pose.npz")
        assert {i for _, poses in found for i in poses.ids.tolist()} == ({1} if two_pass else {1, 2})
        y = np.array([poses.keypoints[0, :, 1].mean() for _, poses in found])[10:30]
        shake[two_pass] = np.abs(np.diff(y)).mean()
    assert shake[True] < 0.3 * shake[False]


def test_pictures_do_not_take_formats_of_videos(run, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), picture(boxes(0)))
    with pytest.raises(WholebodyError, match="trc is for videos"):
        run(tmp_path / "photo.png", kinds=("trc",))
    movie(tmp_path / "clip.mp4")
    status, out, err = run(tmp_path, kinds=("trc",))
    assert status == 1 and "1 video" in out and "photo.png: trc is for videos" in err
    assert (tmp_path / "clip_pose_1.trc").exists() and not (tmp_path / "photo_pose.png").exists()


def test_results_of_a_folder_in_one_file(run, tmp_path):
    folder = tmp_path / "val"
    folder.mkdir()
    for n in (3, 12):
        write_image(folder / f"COCO_val_{n:012d}.png", picture(boxes(n)))
    look = Look("none", ("body",), 0.3, False)
    status, _, said = run(folder, kinds=("coco-results",), look=look)
    assert status == 0 and "coco_results.json: the results of 2 pictures" in said
    assert names(folder) == ["COCO_val_000000000003.png", "COCO_val_000000000012.png", "coco_results.json"]
    found = formats.read_coco(folder / "coco_results.json")
    assert found.keys() == {3, 12} and all(len(poses) == 2 for poses in found.values())
    notes = tmp_path / "notes.json"
    pictures = [{"file_name": f"COCO_val_{n:012d}.png", "id": 100 + n} for n in (3, 12)]
    notes.write_text(json.dumps({"images": pictures}))
    out = tmp_path / "out"
    run(folder, kinds=("coco-results", "coco"), look=look, output=out, options={"annotations": notes})
    assert formats.read_coco(out / "coco_results.json").keys() == {103, 112}
    # The usual file of a picture keeps its name.
    assert "COCO_val_000000000003_pose.json" in names(out)
    # What cannot be named is said before any detection.
    write_image(folder / "cat.png", picture(boxes(0)))
    with pytest.raises(WholebodyError, match=r"cat\.png: has no number in its name"):
        run(folder, kinds=("coco-results",), look=look, output=out)
    with pytest.raises(WholebodyError, match=r"coco-results is for pictures\. Choose other formats for videos"):
        run(movie(tmp_path / "clip.mp4", count=3), kinds=("coco-results",))
    with pytest.raises(WholebodyError, match="is only for --formats coco-results"):
        run(folder, kinds=("coco",), options={"annotations": notes})


def test_a_full_disk_keeps_the_parts_before(run, tmp_path, monkeypatch):
    path = movie(tmp_path / "clip.mp4")
    real, count = formats.write_npz_video, []

    def full(target, *rest):
        count.append(target)
        if len(count) == 3:
            raise WholebodyError(f"{target}: cannot write (No space left on device). Free some space.")
        real(target, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(formats, "write_npz_video", full)
        status, _, errors = run(path)
    assert status == 1 and "No space left" in errors and len(errors.splitlines()) == 1
    assert len(list((tmp_path / "clip_pose.parts").glob("*.npz"))) == 2
    assert run(path, resume=True)[0] == 0
    assert len(formats.read_npz_video(Path(tmp_path / "clip_pose.npz"))) == 40


def test_parts_of_nobody_are_fine(run, tmp_path):
    video.write(tmp_path / "clip.mp4", [Frame(n / FPS, picture([])) for n in range(25)], FPS)
    status, out, _ = run(tmp_path / "clip.mp4", kinds=("npz", "csv", "coco"))
    assert status == 0 and "0 people" in out
    assert all(len(poses) == 0 for _, poses in formats.read_npz_video(tmp_path / "clip_pose.npz"))
    assert row_ids(formats.read_csv_video(tmp_path / "clip_pose.csv")[0][1]) == []


def shrinking(path):
    """Two people in 320 x 240, then, from frame 15 on, in half of that."""
    pieces = []
    for n, (count, size) in enumerate(((15, (320, 240)), (15, (160, 120)))):
        pieces.append(path.with_name(f"{n}.h264"))
        with av.open(str(pieces[-1]), "w", format="h264") as target:
            stream = target.add_stream("libx264", rate=FPS)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.options = {"bf": "0", "crf": "5"}
            for k in range(count):
                image = cv2.resize(picture(boxes(15 * n + k)), size)
                target.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
            target.mux(stream.encode(None))
    with av.open(str(path), "w") as target:
        stream, at = None, 0
        for piece in pieces:
            with av.open(str(piece)) as source:
                stream = stream or target.add_stream_from_template(source.streams.video[0])
                for packet in source.demux(video=0):
                    if packet.size:
                        packet.time_base = Fraction(1, 90_000)
                        packet.pts = packet.dts = at * 3600
                        packet.stream, at = stream, at + 1
                        target.mux(packet)
            piece.unlink()
    return path


@pytest.mark.slow
@pytest.mark.parametrize("two_pass", [False, True])
def test_a_run_that_goes_on_after_a_change_of_size_keeps_the_first_one(run, tmp_path, monkeypatch, two_pass):
    first, second = shrinking(tmp_path / "first.ts"), shrinking(tmp_path / "second.ts")
    assert video.info(first).size == (320, 240)
    run(first, two_pass=two_pass)
    with monkeypatch.context() as patch:
        stopping(patch, 22)
        with pytest.raises(Stop):
            run(second, two_pass=two_pass)
    run(second, two_pass=two_pass, resume=True)
    assert_same_video(tmp_path / "second_pose.npz", tmp_path / "first_pose.npz")
    drawn = list(video.read(tmp_path / "second_pose.mp4"))
    assert len(drawn) == 30 and drawn[-1].image.shape == (240, 320, 3)
    assert np.abs(drawn[-1].image.astype(int) - picture(boxes(29))).mean() < 20


def test_files_of_a_piece_have_the_size_of_its_frames(run, tmp_path):
    path = shrinking(tmp_path / "clip.ts")
    run(path, start=0.8, kinds=("npz", "comfy", "trc"), smooth="off")
    frames = formats.read_npz_video(tmp_path / "clip_pose.npz")
    assert formats.read_comfy(tmp_path / "clip_pose.json")[1] == [(160, 120)] * len(frames)
    _, _, marks = formats.read_trc(tmp_path / "clip_pose_1.trc", 120)
    np.testing.assert_allclose(marks[0], frames[0][1].keypoints[0], atol=0.01)


def one_pixel(path):
    video.write(path, [Frame(n / FPS, picture([], (1, 1))) for n in range(4)], FPS)
    return 4


def very_large(path):
    video.write(path, [Frame(n / FPS, picture([(2000, 800, 3000, 3600)], (7680, 4320))) for n in range(3)], FPS)
    return 3


def damaged(path):
    movie(path, count=40)
    with av.open(str(path)) as source:
        packet = [packet for packet in source.demux(video=0) if packet.size][25]
        at = range(packet.pos + 8, packet.pos + packet.size)
    data = bytearray(path.read_bytes())
    data[at.start : at.stop] = b"\xa5" * len(at)
    path.write_bytes(data)
    return range(25, 41)


def changing(path):
    raw = path.with_suffix(".h264")
    parts = [clip(path.with_name(f"{n}.h264"), count=6, size=size, container="h264") for n, size in enumerate(SIZES)]
    raw.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()
    raw.rename(path)
    return 12


SIZES = ((64, 48), (32, 96))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (one_pixel, ""),
        pytest.param(very_large, "", marks=pytest.mark.slow),
        (damaged, "damaged"),
        (changing, "64 x 48 to 32 x 96"),
    ],
)
def test_odd_and_damaged_videos_come_to_an_end(run, tmp_path, make, says):
    """The whole way through: every frame that can be had is in the results, and one line says what was wrong."""
    path = tmp_path / "clip.mp4"
    count = make(path)
    status, out, errors = run(path)
    assert "failed" not in out
    kept = len(formats.read_npz_video(tmp_path / "clip_pose.npz"))
    assert kept == count if isinstance(count, int) else kept in count
    assert len(list(video.read(tmp_path / "clip_pose.mp4"))) == kept
    assert says in errors and len(errors.splitlines()) == bool(says) and status == 0
