"""Frames as a player shows them: square pixels, plain light, an opaque ground, no combs; pictures that move."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from wholebody import video
from wholebody.errors import WholebodyError
from wholebody.video.display import display, parsed_color, tone_mapped, woven
from wholebody.video.frame import Frame


def written(path, images, codec, form, source="bgr24", options=None, muxer=None, **about):
    """A file of a codec and a pixel format; `about` is set on the codec's context or, the aspect, on the stream."""
    with av.open(str(path), "w", muxer) as container:
        stream = container.add_stream(codec, rate=10, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = form
        for name, value in about.items():
            setattr(stream.codec_context, name, value)
        for n, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format=source)
            frame.pts, frame.time_base = n, Fraction(1, 10)
            if "color_trc" in about:
                frame = frame.reformat(format=form, dst_colorspace=about["colorspace"], dst_color_range=1)
                frame.color_trc, frame.color_primaries = about["color_trc"], about["color_primaries"]
                frame.colorspace = about["colorspace"]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def blob(width=64, height=48):
    image = np.zeros((height, width, 3), np.uint8)
    cv2.circle(image, (width // 2, height // 2), 10, (255, 255, 255), cv2.FILLED)
    return image


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(16, 15), 68), (Fraction(2), 128), (Fraction(8, 9), 57)])
def test_pixels_that_are_not_square_are_stretched_and_everybody_agrees(tmp_path, aspect, width):
    path = written(tmp_path / "pal.mp4", [blob()] * 3, "mpeg4", "yuv420p", sample_aspect_ratio=aspect)
    frames = list(video.read(path))
    assert {frame.image.shape[:2] for frame in frames} == {(48, width)} and video.info(path).size == (width, 48)
    x = np.nonzero(frames[0].image[24, :, 1] > 128)[0]
    assert abs(np.ptp(x) - 20 * aspect) <= 2 and abs(x.mean() - (width - 1) / 2 - aspect / 2) < 1
    video.write(tmp_path / "out.mp4", frames, 10)
    assert video.info(tmp_path / "out.mp4").size == (width + width % 2, 48)


def test_nonsense_about_pixels_is_not_believed(tmp_path):
    path = written(tmp_path / "odd.mp4", [blob()] * 3, "mpeg4", "yuv420p", sample_aspect_ratio=Fraction(50))
    assert video.info(path).size == (64, 48)


@pytest.mark.parametrize("hlg", [False, True])
def test_light_of_hdr_becomes_that_of_a_screen(hlg):
    """Black stays black, grey below paper white keeps its light, whatever shines is white and not cut off before."""
    nits = np.array([0, 20, 50, 100, 203, 400, 1000])
    if hlg:
        scene = (nits / 1000) ** (1 / 1.2)
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)
    else:
        y = (nits / 10000) ** (2610 / 16384)
        signal = ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)
    picture = np.repeat(np.rint(signal * 65535).astype(np.uint16)[None, :, None], 3, axis=2)
    grey = tone_mapped(picture, hlg, True)[0].astype(int)
    assert np.ptp(grey, axis=1).max() <= 1  # grey stays grey
    light = np.where(grey[:, 1] / 255 <= 0.04045, grey[:, 1] / 255 / 12.92, ((grey[:, 1] / 255 + 0.055) / 1.055) ** 2.4)
    np.testing.assert_allclose(light[:4], nits[:4] / 203, atol=0.01)
    assert (np.diff(grey[:, 1]) > 0).all() and grey[-1, 1] >= 250 and 0.75 < light[4] < 0.95


def test_a_film_in_pq_is_shown_in_its_colours(tmp_path):
    ramp = np.repeat(np.linspace(0, 65535, 64).astype(np.uint16)[None, :, None], 48, axis=0).repeat(3, axis=2)
    path = written(
        tmp_path / "hdr.mkv",
        [ramp] * 2,
        "ffv1",
        "yuv444p10le",
        "rgb48le",
        color_trc=16,
        color_primaries=9,
        colorspace=9,
    )
    shown = next(video.read(path)).image
    expected = tone_mapped(ramp, False, True)
    assert np.abs(shown.astype(int) - expected).max() <= 6
    assert np.abs(shown.astype(int) - (ramp >> 8)[..., ::-1]).max() > 40  # as it would be without


@pytest.mark.parametrize("background", ["white", "black", "#ff8000"])
def test_transparent_parts_lie_on_a_background(tmp_path, background):
    layers = np.zeros((48, 64, 4), np.uint8)
    layers[:, :32] = (40, 80, 120, 255)
    layers[:, 32:48, 3] = 128
    path = written(tmp_path / "alpha.mov", [layers] * 2, "png", "rgba", "bgra")
    color = parsed_color(background)
    shown = next(video.read(path, background=color)).image
    assert shown[0, 0].tolist() == [40, 80, 120] and shown[0, 60].tolist() == list(color)
    np.testing.assert_allclose(shown[0, 40], np.array(color) * 127 / 255, atol=1)


def test_a_colour_that_is_none_is_one_line():
    for text in ("whit", "#12", "#gggggg", ""):
        with pytest.raises(WholebodyError, match="#rrggbb"):
            parsed_color(text)


def test_combs_of_what_moves_are_gone_and_what_stands_is_as_it_was():
    still = cv2.GaussianBlur(np.random.RandomState(0).randint(0, 255, (60, 80, 3), np.uint8), (9, 9), 4)
    image = still.copy()
    image[20:40:2, 10:30] = 255
    image[21:40:2, 20:40] = 255  # the second field, ten pixels on
    fixed = woven(image)
    combs = np.abs(np.diff(fixed[20:40, 10:40, 1].astype(int), axis=0)).mean()
    assert combs < 0.25 * np.abs(np.diff(image[20:40, 10:40, 1].astype(int), axis=0)).mean()
    np.testing.assert_array_equal(fixed[:18], still[:18])
    np.testing.assert_array_equal(fixed[::2], image[::2])


def test_a_film_that_says_it_is_interlaced_is_woven(tmp_path):
    image = blob(64, 64)
    image[1::2] = np.roll(image[1::2], 12, axis=1)
    interlaced = {"x264-params": "interlaced=1", "crf": "4"}
    shown = [
        next(video.read(written(tmp_path / f"{n}.mp4", [image] * 4, "libx264", "yuv420p", options=options))).image
        for n, options in enumerate([{"crf": "4"}, interlaced])
    ]
    combs = [np.abs(np.diff(each[20:44, :, 1].astype(int), axis=0)).mean() for each in shown]
    assert combs[1] < 0.5 * combs[0]


def test_a_moving_png_is_a_video_and_one_that_stands_still_a_picture(tmp_path):
    images = [np.dstack([np.roll(blob(), 4 * n, axis=1), np.full((48, 64), 255, np.uint8)]) for n in range(4)]
    moving = written(tmp_path / "a.png", images, "apng", "rgba", "bgra", muxer="apng")
    frames = list(video.read(moving))
    assert video.is_video(moving) and video.info(moving).size == (64, 48)
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(4) / 10, atol=1e-3)
    np.testing.assert_array_equal(frames[2].image, images[2][..., :3])
    cv2.imwrite(str(tmp_path / "b.png"), blob())
    assert not video.is_video(tmp_path / "b.png") and not video.is_video(tmp_path / "missing.png")
    (tmp_path / "c.png").write_bytes(moving.read_bytes()[:30])
    assert not video.is_video(tmp_path / "c.png")


def test_a_moving_webp_is_refused_in_one_line_and_one_that_stands_still_is_a_picture(tmp_path):
    image = pytest.importorskip("PIL.Image")
    pictures = [image.fromarray(np.roll(blob(), 4 * n, axis=1)) for n in range(3)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=100)
    pictures[0].save(tmp_path / "b.webp")
    assert video.is_video(tmp_path / "a.webp") and not video.is_video(tmp_path / "b.webp")
    for act in (video.info, lambda path: next(video.read(path))):
        with pytest.raises(WholebodyError, match="animated WebP"):
            act(tmp_path / "a.webp")


def test_plain_frames_are_decoded_as_ever(tmp_path):
    video.write(tmp_path / "a.mp4", [Frame(n / 10, blob()) for n in range(3)], 10)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
        np.testing.assert_array_equal(display()(frame), frame.to_ndarray(format="bgr24"))
