"""Videos in and out: times, turns, sound, and every way in which a file can be broken."""

import gc
import struct
from fractions import Fraction
from itertools import islice, pairwise

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wholebody import video
from wholebody.errors import WholebodyError
from wholebody.video import decode, mux
from wholebody.video.frame import Frame
from wholebody.video.frames import steady

SIZE = (64, 48)
RATE = 32000


def picture(number, size=SIZE):
    """A picture whose upper half tells the tens of its number, and its lower half the ones, right of a bright bar."""
    image = np.full((size[1], size[0], 3), 20 + 20 * (number // 10), np.uint8)
    image[size[1] // 2 :] = 20 + 20 * (number % 10)
    image[:, : size[0] // 4] = 250
    return image


def number_of(image):
    halves = (image[:20, image.shape[1] // 2 :], image[-20:, image.shape[1] // 2 :])
    tens, ones = (round((float(half.mean()) - 20) / 20) for half in halves)
    return 10 * tens + ones


def frames(count, fps=25.0, size=SIZE):
    return [Frame(n / fps, picture(n, size)) for n in range(count)]


def clip(path, count=30, fps=25, size=SIZE, sound=None, gop=8, container=None, rate=RATE):
    """A clip as another program writes it: key frames every `gop`, B-frames, and a click in the codec `sound`."""
    with av.open(str(path), "w", format=container) as target:
        stream = target.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, "yuv420p", gop
        stream.options = {"sc_threshold": "0", "crf": "10"}
        if path.suffix == ".avi":  # knows one time for each packet only
            stream.options = {**stream.options, "bf": "0"}
        tone = target.add_stream(sound, rate=rate, layout="mono") if sound else None
        for n in range(count):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture(n % 100, size), format="bgr24")))
        target.mux(stream.encode(None))
        if tone:
            # A click at half a second in silence.
            samples = np.zeros(rate * count // fps, np.int16)
            samples[rate // 2 - 400 : rate // 2 + 400] = 20000 * np.sign(np.sin(np.arange(800) / 4))
            for at in range(0, len(samples), 1024):
                block = av.AudioFrame.from_ndarray(samples[None, at : at + 1024], format="s16", layout="mono")
                block.sample_rate, block.pts, block.time_base = rate, at, Fraction(1, rate)
                target.mux(tone.encode(block))
            target.mux(tone.encode(None))
    return path


def loudest(path):
    """Seconds at which the sound of a file is loudest."""
    with av.open(str(path)) as source:
        rows = [
            (f.time, f.sample_rate, np.abs(f.to_ndarray().astype(float)).max(axis=0)) for f in source.decode(audio=0)
        ]
    return max((values.max(), time + values.argmax() / rate) for time, rate, values in rows)[1]


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "clip.mp4"
    video.write(path, frames(20), 25)
    back = list(video.read(path))
    assert [number_of(frame.image) for frame in back] == list(range(20))
    np.testing.assert_allclose([frame.time for frame in back], np.arange(20) / 25, atol=1e-4)
    assert video.info(path) == video.Info(SIZE, 25.0, 0.8, False)


def test_browsers_play_what_is_written(tmp_path):
    path = tmp_path / "clip.mp4"
    video.write(path, frames(5), 25)
    with av.open(str(path)) as source:
        context = source.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@settings(max_examples=10)
@given(st.lists(st.floats(0.005, 0.5), min_size=1, max_size=12))
def test_uneven_times_survive(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("uneven") / "clip.mp4"
    times = np.cumsum([0.0, *steps])
    video.write(path, [Frame(t + 3, picture(n)) for n, t in enumerate(times)], 25)
    np.testing.assert_allclose([frame.time for frame in video.read(path)], times, atol=2e-5)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 5), (33, 64)])
def test_odd_sizes_grow_by_one(tmp_path, size):
    path = tmp_path / "clip.mp4"
    video.write(path, frames(3, size=size), 25)
    assert video.info(path).size == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert len(list(video.read(path))) == 3


def test_colours_stay(tmp_path):
    path = tmp_path / "clip.mp4"
    colors = [(0, 0, 255), (0, 255, 0), (255, 0, 0), (128, 128, 128), (0, 0, 0), (255, 255, 255)]
    video.write(path, [Frame(n / 5, np.full((32, 32, 3), c, np.uint8)) for n, c in enumerate(colors)], 5, quality=1)
    back = [frame.image.mean(axis=(0, 1)) for frame in video.read(path)]
    np.testing.assert_allclose(back, colors, atol=4)


def test_a_piece_from_the_middle(tmp_path):
    path = clip(tmp_path / "clip.mp4", count=100)
    piece = list(video.read(path, start=2.0, end=3.0))
    assert [number_of(frame.image) for frame in piece] == list(range(50, 75))
    np.testing.assert_allclose([frame.time for frame in piece], np.arange(50, 75) / 25, atol=1e-3)


@pytest.mark.parametrize("start", [0.2, 1.1, 3.5])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".ts"])
def test_a_late_start_gives_the_end_of_the_whole(tmp_path, suffix, start):
    path = clip(tmp_path / f"clip{suffix}", count=100, size=(32, 32))
    whole = [frame for frame in video.read(path) if frame.time >= start - 5e-4]
    piece = list(video.read(path, start=start))
    np.testing.assert_allclose([frame.time for frame in piece], [frame.time for frame in whole], atol=1e-6)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(piece, whole, strict=True))
    assert [frame.number for frame in piece] == [frame.number for frame in whole] == list(range(100))[-len(piece) :]


def mpeg2(path, count, gop):
    """A clip of a disc: several frames share a time stamp."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *SIZE, "yuv420p", gop
        stream.codec_context.max_b_frames = 2
        for n in range(count):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture(n % 100), format="bgr24")))
        target.mux(stream.encode(None))
    return path


LATE = ("one key frame", "few key frames", "disc")


@pytest.mark.parametrize("kind", ["raw", *(pytest.param(kind, marks=pytest.mark.slow) for kind in LATE)])
def test_a_late_start_in_a_file_without_an_index_loses_nothing(tmp_path, kind):
    match kind:
        case "one key frame":
            path = clip(tmp_path / "clip.ts", count=250, gop=250)
        case "few key frames":
            path = clip(tmp_path / "clip.ts", count=500, gop=90)
        case "disc":
            path = mpeg2(tmp_path / "clip.mpg", 500, 15)
        case "raw":
            path = clip(tmp_path / "clip.h264", count=250, container="h264")
    whole = list(video.read(path))
    for start in np.linspace(1.05, whole[-1].time - 0.1, 20):
        late = [frame for frame in whole if frame.time >= start - 5e-4]
        piece = list(video.read(path, start=start))
        np.testing.assert_allclose([frame.time for frame in piece], [frame.time for frame in late], atol=1e-6)
        assert all(np.array_equal(a.image, b.image) for a, b in zip(piece, late, strict=True))
        assert [frame.number for frame in piece] == [frame.number for frame in late]


@pytest.mark.parametrize(("fps", "numbers"), [(12.5, range(0, 20, 2)), (50, np.repeat(np.arange(20), 2))])
def test_a_steady_rate_leaves_out_or_repeats(tmp_path, fps, numbers):
    path = clip(tmp_path / "clip.mp4", count=20)
    found = list(video.read(path, fps=fps))
    assert [number_of(frame.image) for frame in found] == [frame.number for frame in found] == list(numbers)
    np.testing.assert_allclose([frame.time for frame in found], np.arange(len(found)) / fps, atol=1e-9)


def displayed(path, image, turn, matrix=None):
    """A clip of one picture that is to be shown turned by `turn` degrees, or by a, b, c, d of a matrix."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "yuv420p"
        stream.set_display_rotation(turn)
        for _ in range(3):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")))
        target.mux(stream.encode(None))
    if matrix is not None:
        # The track's header ends with the matrix, of nine numbers, and the size.
        data = bytearray(path.read_bytes())
        at = data.index(b"tkhd") + 4 + 40
        a, b, c, d = (round(65536 * value) for value in matrix)
        data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(data)
    return path


@pytest.mark.slow
def test_frames_that_were_read_are_gone(tmp_path):
    # Pictures of a long video must not wait for the garbage collector, who does not see how large they are.
    path = clip(tmp_path / "clip.mp4", 60, gop=1)
    gc.collect()
    gc.disable()
    try:
        assert sum(1 for _ in video.read(path)) == 60
        assert sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects()) < 10
    finally:
        gc.enable()


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_video_is_upright(tmp_path, turn):
    path = displayed(tmp_path / "clip.mp4", np.rot90(picture(3), -turn // 90), turn)
    assert video.info(path).size == SIZE
    for frame in video.read(path):
        np.testing.assert_allclose(frame.image.astype(int), picture(3), atol=12)


@pytest.mark.parametrize(
    ("matrix", "undo"),
    [
        ((1, 0, 0, 1), lambda image: image),
        ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
        ((1, 0, 0, -1), lambda image: image[::-1]),
        ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda image: image[::-1, ::-1].transpose(1, 0, 2)),
        ((0, 1, -1, 0), lambda image: np.rot90(image, 1)),
        ((0, -1, 1, 0), lambda image: np.rot90(image, -1)),
    ],
)
def test_a_mirrored_video_is_shown_as_players_show_it(tmp_path, matrix, undo):
    shown = picture(18)
    path = displayed(tmp_path / "clip.mp4", undo(shown), 90, matrix)
    for frame in video.read(path):
        np.testing.assert_allclose(frame.image.astype(int), shown, atol=12)
    _, image = next(steady(path, 25))
    np.testing.assert_allclose(image().astype(int), shown, atol=12)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_unknown_side_data_does_not_hide_the_turn(turn):
    class Strange:
        rotation = turn

        @property
        def side_data(self):
            raise ValueError("30 is not a valid Type")

        def to_ndarray(self, format):
            return picture(18)

    assert np.array_equal(video.display()(Strange()), np.rot90(picture(18), turn // 90))


@pytest.mark.parametrize(("count", "suffix", "moves"), [(1, ".gif", False), (2, ".gif", True), (1, ".MTS", True)])
def test_a_gif_is_a_video_if_it_moves(tmp_path, count, suffix, moves):
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w", format=None if suffix == ".gif" else "mpegts") as target:
        stream = target.add_stream("gif" if suffix == ".gif" else "libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "rgb8" if suffix == ".gif" else "yuv420p"
        for n in range(count):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture(n), format="bgr24")))
        target.mux(stream.encode(None))
    assert video.is_video(path) == moves
    assert len(list(video.read(path))) == count
    (tmp_path / "broken.gif").write_bytes(b"GIF89a")
    assert not video.is_video(tmp_path / "broken.gif") and not video.is_video(tmp_path / "missing.gif")


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le", "ac3"])
def test_sound_stays_with_the_picture(tmp_path, codec):
    source = clip(tmp_path / "loud.mkv", sound=codec)
    piece = list(video.read(source, start=0.2, end=1.0))
    video.write(tmp_path / "out.mp4", piece, 25, audio=source)
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert out.streams.audio[0].codec_context.name == "aac"
        assert float(out.streams.audio[0].duration * out.streams.audio[0].time_base) < 1.0
    assert loudest(tmp_path / "out.mp4") == pytest.approx(0.3, abs=0.08)


def joined(source, path):
    """The notices of putting the sound of `source` beside its pictures."""
    lines, whole = [], list(video.read(source))
    video.write(path, whole, 25)
    video.join(path, [(path, 0.0)], audio=source, end=whole[-1].time + 1 / 25, notice=lines.append)
    assert len(list(video.read(path))) == len(whole)
    return lines


@pytest.mark.parametrize(("rate", "becomes"), [(192000, 48000), (5512, 7350), (37800, 32000)])
def test_sound_of_any_rate_is_encoded_at_one_that_aac_has(tmp_path, rate, becomes):
    source = clip(tmp_path / "loud.mkv", sound="pcm_s16le", rate=rate)
    assert joined(source, tmp_path / "out.mp4") == []
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert out.streams.audio[0].codec_context.sample_rate == becomes
    assert loudest(tmp_path / "out.mp4") == pytest.approx(0.5, abs=0.1)


def test_sound_that_cannot_be_read_or_written_does_not_cost_the_pictures(tmp_path, monkeypatch):
    source = clip(tmp_path / "loud.mkv", sound="ac3")
    strange = tmp_path / "strange.mkv"
    strange.write_bytes(source.read_bytes().replace(b"A_AC3", b"A_XYZ"))
    (line,) = joined(strange, tmp_path / "out.mp4")
    assert "strange.mkv" in line and "unknown kind" in line
    monkeypatch.setattr(mux, "_AAC_RATES", (5512,))
    (line,) = joined(source, tmp_path / "out.mp4")
    assert "loud.mkv" in line and "cannot be written" in line
    with av.open(str(tmp_path / "out.mp4")) as out:
        assert not out.streams.audio


def test_parts_are_joined_with_their_times_and_sound(tmp_path):
    source = clip(tmp_path / "loud.mkv", count=60, sound="aac")
    parts, whole = [], list(video.read(source))
    for i in range(0, 60, 25):
        with video.encoder(tmp_path / f"{i}.mp4", SIZE, 25) as append:
            for frame in whole[i : i + 25]:
                append(frame)
        parts.append((tmp_path / f"{i}.mp4", whole[i].time))
    video.join(tmp_path / "out.mp4", parts, audio=source, end=3.0)
    back = list(video.read(tmp_path / "out.mp4"))
    np.testing.assert_allclose([frame.time for frame in back], [frame.time for frame in whole], atol=1e-4)
    assert [number_of(frame.image) for frame in back] == [number_of(frame.image) for frame in whole]
    assert loudest(tmp_path / "out.mp4") == pytest.approx(0.5, abs=0.08)


def noticed(path, **options):
    lines = []
    return list(video.read(path, notice=lines.append, **options)), lines


def test_a_corrupt_packet_costs_its_frames_only(tmp_path):
    path = clip(tmp_path / "clip.mp4", count=60, gop=10)
    with av.open(str(path)) as source:
        packet = [packet for packet in source.demux(video=0) if packet.size][33]
        at = range(packet.pos + 8, packet.pos + packet.size)
    data = bytearray(path.read_bytes())
    data[at.start : at.stop] = b"\xa5" * len(at)
    path.write_bytes(data)
    found, lines = noticed(path)
    assert [number_of(frame.image) for frame in found[:30]] == list(range(30))
    assert [number_of(frame.image) for frame in found[-20:]] == list(range(40, 60))
    assert len(lines) == 1 and "clip.mp4" in lines[0] and "damaged" in lines[0]


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_a_stream_that_ends_early_gives_what_was_there(tmp_path, suffix):
    path = clip(tmp_path / f"clip{suffix}", count=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    found, lines = noticed(path)
    assert 20 < len(found) < 90 and [number_of(f.image) for f in found[:20]] == list(range(20))
    assert any("breaks off" in line or "cannot be read beyond" in line or "damaged" in line for line in lines)


def test_a_front_loaded_mp4_that_is_cut_off(tmp_path):
    video.write(tmp_path / "whole.mp4", frames(55), 25)
    path = tmp_path / "cut.mp4"
    path.write_bytes((tmp_path / "whole.mp4").read_bytes()[:-600])
    found, lines = noticed(path)
    assert 0 < len(found) < 55 and lines


def test_a_cut_packet_at_the_end_costs_itself_only(tmp_path):
    path = clip(tmp_path / "whole.flv", count=55)
    with av.open(str(path)) as source:
        packets = [packet for packet in source.demux(video=0) if packet.size]
        before = sorted(packet.pts for packet in packets[:40])
        end = packets[40].pos + packets[40].size
    path.write_bytes(path.read_bytes()[: end - 10])
    found, lines = noticed(path)
    assert len(found) == len(before) and lines


def test_where_reading_fails_the_decoder_is_emptied(tmp_path, monkeypatch):
    path = clip(tmp_path / "clip.mkv", count=55)
    whole = decode._whole

    def failing(packets):
        yield from islice(whole(packets), 40)
        raise av.error.InvalidDataError(1, "torn")

    monkeypatch.setattr(decode, "_whole", failing)
    found, lines = noticed(path)
    assert len(found) == 40 and any("cannot be read beyond" in line for line in lines)


def test_a_change_of_size_is_fitted_into_the_first(tmp_path):
    # Raw H.264 may change its size between key frames.
    for name, size in (("a", (64, 48)), ("b", (32, 96))):
        clip(tmp_path / f"{name}.h264", count=6, size=size, container="h264")
    path = tmp_path / "both.h264"
    path.write_bytes((tmp_path / "a.h264").read_bytes() + (tmp_path / "b.h264").read_bytes())
    found, lines = noticed(path)
    assert {frame.image.shape for frame in found} == {(48, 64, 3)} and len(found) == 12
    assert len(lines) == 1 and "64 x 48 to 32 x 96" in lines[0]
    assert all(b.time > a.time for a, b in pairwise(found))


@pytest.mark.slow
def test_8k_is_read_and_written(tmp_path):
    path = tmp_path / "large.mp4"
    video.write(path, [Frame(n, picture(n, (7680, 4320))) for n in range(2)], 1)
    assert [frame.image.shape for frame in video.read(path)] == [(4320, 7680, 3)] * 2


def silent_file(path):
    with av.open(str(path), "w") as target:
        stream = target.add_stream("aac", rate=RATE, layout="mono")
        block = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        block.sample_rate, block.pts = RATE, 0
        target.mux(stream.encode(block))
        target.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_text("dear all"), "not a video"),
        (silent_file, "only sound"),
        (lambda path: clip(path, count=3) and path.write_bytes(path.read_bytes()[:300]), "not a video"),
    ],
    ids=["missing", "empty", "letter", "audio only", "cut in its head"],
)
def test_files_that_give_nothing_say_why(tmp_path, make, says):
    path = tmp_path / "clip.mp4"
    make(path)
    for use in (lambda: list(video.read(path)), lambda: video.info(path)):
        with pytest.raises(WholebodyError, match=says) as raised:
            use()
        assert "clip.mp4" in str(raised.value) and "\n" not in str(raised.value)


def test_wrong_pieces_and_rates_are_refused(tmp_path):
    path = clip(tmp_path / "clip.mp4", count=5)
    for options in ({"fps": 0}, {"start": -1}, {"start": 2, "end": 1}, {"start": 100}):
        with pytest.raises(WholebodyError):
            list(video.read(path, **options))


def test_a_folder_of_pictures_is_a_video_in_the_order_of_its_numbers(tmp_path):
    for n in range(12):
        cv2.imwrite(str(tmp_path / f"{n}.png"), picture(n))
    (tmp_path / "5.png").write_bytes(b"")
    found, lines = noticed(tmp_path, fps=10)
    assert [number_of(frame.image) for frame in found] == [n for n in range(12) if n != 5]
    assert found[-1].time == pytest.approx(1.1) and len(lines) == 1 and "5.png" in lines[0]
    assert video.info(tmp_path).size == SIZE
    assert (video.info(tmp_path).duration, video.info(tmp_path, 10).duration) == (12 / 25, 1.2)


def test_superscripts_are_no_numbers(tmp_path):
    for n, name in enumerate(("1.png", "1²3.png", "2.png")):
        cv2.imwrite(str(tmp_path / name), picture(n))
    assert [number_of(frame.image) for frame in video.read(tmp_path)] == [0, 1, 2]


def test_an_error_leaves_no_file(tmp_path):
    def failing():
        yield from frames(3)
        raise WholebodyError("the frames end badly.")

    with pytest.raises(WholebodyError, match="badly"):
        video.write(tmp_path / "out.mp4", failing(), 25)
    with pytest.raises(WholebodyError, match="no frame"):
        video.write(tmp_path / "out.mp4", [], 25)
    with pytest.raises(WholebodyError, match="cannot write"):
        video.write(tmp_path / "file" / "out.mp4", frames(2), 25) if (tmp_path / "file").write_text("") == 0 else None
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".flv"])
def test_text_in_a_file_that_is_not_utf8(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    with av.open(str(path), "w") as target:
        target.metadata["title"] = "Cafe"
        stream = target.add_stream("flv1" if suffix == ".flv" else "mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for n in range(5):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture(n), format="bgr24")))
        target.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"Cafe", b"Caf\xe9"))
    assert len(list(video.read(path))) == 5 == len(list(steady(path, 25)))
    video.write(tmp_path / "again.mp4", video.read(path), 25, audio=path)


@pytest.mark.parametrize("name", ["12:30.mp4", "concat:a|b.mp4", "http:x.mp4", "-i.mp4", "50%d.mp4"])
def test_a_name_is_never_an_address(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    video.write(name, frames(5), 25)
    assert len(list(video.read(name))) == 5 == len(list(steady(name, 25)))
    assert video.info(name).size == SIZE


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile other.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.mp4\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period/></MPD>',
    ],
)
def test_a_list_of_other_files_is_no_video(tmp_path, text):
    clip(tmp_path / "other.mp4", 5)
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(WholebodyError, match=r"list\.mp4: not a video"):
        list(video.read(tmp_path / "list.mp4"))
