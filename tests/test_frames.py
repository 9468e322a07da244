"""Videos to numbered pictures."""

import json
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from wholebody import cli
from wholebody.errors import WholebodyError
from wholebody.video import frames
from wholebody.video.frame import VIDEO_SUFFIXES


def write_video(path, count, fps=30, times=None):
    """A video whose frame n is grey of 8 n (n < 30), at n / fps seconds or at the times given in 1 / 1000 seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=fps)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p"
        base = Fraction(1, fps) if times is None else Fraction(1, 1000)
        stream.codec_context.time_base = base
        for n in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * n, np.uint8), format="bgr24")
            frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = n if times is None else times[n], base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def shown(path):
    """Which frame of `write_video` a picture shows."""
    return round(cv2.imread(str(path)).mean() / 8)


def pictures(folder):
    return {path.name: shown(path) for path in sorted(folder.iterdir()) if path.suffix != ".json"}


def numbered(*which, suffix=".jpg", first=1, step=1):
    return {f"{first + step * n:06d}{suffix}": frame for n, frame in enumerate(which)}


def test_a_video_at_the_rate_is_copied_frame_by_frame(tmp_path):
    video = write_video(tmp_path / "v.mp4", 12)
    assert frames.extract(video, tmp_path / "out") == 12
    assert pictures(tmp_path / "out") == numbered(*range(12))


def test_other_rates_repeat_or_leave_out_frames(tmp_path):
    frames.extract(write_video(tmp_path / "slow.mp4", 5, fps=10), tmp_path / "slow")
    assert pictures(tmp_path / "slow") == numbered(*[0] * 3, *[1] * 3, *[2] * 3, *[3] * 3, 4)
    frames.extract(write_video(tmp_path / "fast.mp4", 12, fps=60), tmp_path / "fast", suffix=".png")
    # Frames at 1/60, 3/60 ... lie in the middle; whichever way they are rounded, every second frame is one of a pair.
    found = pictures(tmp_path / "fast")
    assert list(found) in ([f"{n:06d}.png" for n in range(1, count)] for count in (7, 8))
    assert all(abs(frame - 2 * n) <= 1 for n, frame in enumerate(found.values()))


def test_a_pause_in_an_uneven_video_is_filled(tmp_path):
    video = write_video(tmp_path / "v.mkv", 4, times=[500, 533, 633, 667])
    frames.extract(video, tmp_path / "out")
    assert pictures(tmp_path / "out") == numbered(0, 1, 1, 1, 2, 3)


def test_every_keeps_the_numbers_and_can_become_finer(tmp_path):
    video = write_video(tmp_path / "v.mp4", 12)
    assert frames.extract(video, tmp_path / "out", every=5) == 3
    assert pictures(tmp_path / "out") == numbered(0, 5, 10, step=5)
    assert frames.extract(video, tmp_path / "out", every=1) == 9
    assert pictures(tmp_path / "out") == numbered(*range(12))


def test_a_stopped_run_goes_on_and_a_done_one_is_not_repeated(tmp_path, monkeypatch):
    video, out, write = write_video(tmp_path / "v.mp4", 12), tmp_path / "out", frames.write_image

    def stops(path, image):
        if path.name == "000007.jpg":
            raise KeyboardInterrupt
        write(path, image)

    with monkeypatch.context() as patched:
        patched.setattr(frames, "write_image", stops)
        with pytest.raises(KeyboardInterrupt):
            frames.extract(video, out)
    assert len(list(out.iterdir())) == 6
    assert frames.extract(video, out) == 6
    assert json.loads((out / "frames.json").read_text())["counted"] == 12
    video.unlink()
    assert frames.extract(video, out) == 0


def test_a_half_written_note_is_not_trusted(tmp_path):
    video = write_video(tmp_path / "v.mp4", 3)
    for note in ("{", "[]", "{}"):
        folder = tmp_path / f"out{len(note)}{note[0] == '['}"
        folder.mkdir()
        (folder / "frames.json").write_text(note)
        assert frames.extract(video, folder) == 3


def test_the_command_makes_ubodys_folders(tmp_path, capsys):
    write_video(tmp_path / "videos" / "Movie" / "Movie_S1_Trim2.scene.mp4", 4)
    write_video(tmp_path / "videos" / "Speech" / "a.mp4", 3)
    (tmp_path / "videos" / "Speech" / "broken.mp4").write_bytes(b"not a video")
    (tmp_path / "videos" / "notes.txt").touch()
    (tmp_path / "videos" / "Speech" / "._a.mp4").write_bytes(b"macOS's note")
    (tmp_path / "videos" / ".cache").mkdir()
    (tmp_path / "videos" / ".cache" / "b.mp4").touch()
    with pytest.raises(SystemExit) as end:
        cli.main(["data", "frames", str(tmp_path / "videos"), str(tmp_path / "images"), "--every", "2"])
    printed = capsys.readouterr()
    assert end.value.code == 1 and "4 pictures written, 1 videos failed" in printed.out
    assert "broken.mp4: not a video" in printed.err and len(printed.err.strip().splitlines()) == 1
    assert pictures(tmp_path / "images" / "Movie" / "Movie_S1_Trim2") == numbered(0, 2, step=2)
    assert pictures(tmp_path / "images" / "Speech" / "a") == numbered(0, 2, step=2)


def test_videos_are_known_by_the_same_names_everywhere(tmp_path):
    for suffix in VIDEO_SUFFIXES:
        (tmp_path / f"{suffix[1:]}{suffix.upper()}").touch()
    assert len(frames.find_videos(tmp_path)) == len(VIDEO_SUFFIXES) > 20


def test_wrong_input_is_one_line(tmp_path):
    with pytest.raises(WholebodyError, match="no videos"):
        frames.find_videos(tmp_path)
    write_video(tmp_path / "a.1.mp4", 1)
    with pytest.raises(WholebodyError, match="above 0"):
        frames.extract_all(tmp_path, tmp_path / "out", every=0)
    write_video(tmp_path / "a.2.mp4", 1)
    with pytest.raises(WholebodyError, match=r"a\.2\.mp4"):
        frames.find_videos(tmp_path)


def test_a_sound_is_no_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(WholebodyError, match="only sound"):
        frames.extract(path, tmp_path / "out")


def test_a_cover_is_no_picture_of_a_film(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=44100)
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(sound.encode(frame))
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="bgr24")
        container.mux(cover.encode(picture.reformat(format="yuvj420p")))
        container.mux(cover.encode())
        container.mux(sound.encode())
    with pytest.raises(WholebodyError, match="only sound"):
        frames.extract(path, tmp_path / "out")
