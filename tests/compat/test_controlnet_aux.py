import io
import logging
import warnings

import numpy as np
import pytest
from PIL import Image

from wholebody import WholeBody, draw
from wholebody.compat.controlnet_aux import (
    HWC3,
    DWposeDetector,
    OpenposeDetector,
    Processor,
    _not_theirs,
    resize_image,
    size_at,
)
from wholebody.errors import WholebodyError
from wholebody.images import read_image
from wholebody.schema import OPENPOSE


@pytest.fixture(scope="module")
def photo(sample):
    """The bundled photo, 640 x 480, as RGB."""
    return np.ascontiguousarray(read_image(sample)[..., ::-1])


@pytest.fixture(scope="module")
def dwpose():
    return DWposeDetector()


@pytest.fixture(scope="module")
def openpose():
    return OpenposeDetector.from_pretrained("lllyasviel/Annotators")


@pytest.fixture(scope="module")
def model():
    return WholeBody(device="cpu")


@pytest.mark.parametrize(
    ("size", "resolution", "want"),
    [
        ((640, 480), 512, (704, 512)),  # 682.67 is nearer to 704
        ((480, 640), 512, (512, 704)),
        ((1000, 500), 512, (1024, 512)),
        ((544, 512), 512, (512, 512)),  # 8.5 x 64: halves go to the even number
        ((608, 512), 512, (640, 512)),  # 9.5 x 64
        ((512, 512), 1000, (1024, 1024)),
        ((512, 512), 20, (64, 64)),
    ],
)
def test_both_sides_become_multiples_of_64(size, resolution, want):
    assert size_at(size, resolution) == want
    image = np.zeros((size[1], size[0], 3), np.uint8)
    assert resize_image(image, resolution).shape == (want[1], want[0], 3)


def test_channels():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (HWC3(grey) == grey[..., None]).all() and HWC3(grey).shape == (3, 4, 3)
    rgb = np.stack([grey, grey + 1, grey + 2], axis=-1)
    np.testing.assert_array_equal(HWC3(rgb), rgb)
    clear = np.dstack([rgb, np.zeros((3, 4), np.uint8)])
    assert (HWC3(clear) == 255).all()
    with pytest.raises(WholebodyError, match="float64"):
        HWC3(grey / 255)


def test_a_map_is_what_our_own_drawing_gives(photo, dwpose, model):
    bgr = resize_image(photo, 512)[..., ::-1]
    want = draw.openpose(np.zeros_like(bgr), model(np.ascontiguousarray(bgr)))
    got = dwpose(photo, output_type="np")
    assert got.dtype == np.uint8 and got.any()
    np.testing.assert_array_equal(got, want[..., ::-1])
    shown = dwpose(Image.fromarray(photo))
    assert shown.mode == "RGB" and shown.size == (704, 512)
    np.testing.assert_array_equal(np.asarray(shown), got)
    np.testing.assert_array_equal(dwpose(Image.fromarray(photo).convert("RGBA"), output_type="np"), got)


def test_two_resolutions(photo, dwpose):
    # Rounded twice: 640 x 480 becomes 320 x 256, and that three times as large.
    assert dwpose(photo, detect_resolution=256, image_resolution=768).size == (960, 768)
    assert dwpose(photo, 384).size == (704, 512)


def test_parts_are_honoured(photo, dwpose):
    whole = dwpose(photo, output_type="np")
    parts = [
        dwpose(photo, output_type="np", include_body=b, include_hand=h, include_face=f)
        for b, h, f in ((True, False, False), (False, True, False), (False, False, True))
    ]
    drawn = [part.any(axis=2).sum() for part in parts]
    assert all(0 < each < whole.any(axis=2).sum() for each in drawn)
    # Faces are white dots and nothing else.
    assert set(np.unique(parts[2]).tolist()) == {0, 255}


def test_nobody_gives_a_black_map(dwpose):
    drawn = dwpose(np.zeros((300, 400, 3), np.uint8), output_type="np")
    assert drawn.shape == (512, 704, 3) and not drawn.any()


def test_openpose_shows_the_body_alone_unless_asked(photo, dwpose, openpose):
    body = dwpose(photo, output_type="np", include_hand=False, include_face=False)
    np.testing.assert_array_equal(openpose(photo, output_type="np"), body)
    with pytest.warns(DeprecationWarning, match="hand_and_face"):
        whole = openpose(photo, hand_and_face=True)
    np.testing.assert_array_equal(np.asarray(whole), dwpose(photo, output_type="np"))
    with pytest.warns(DeprecationWarning, match="return_pil"):
        assert isinstance(openpose(photo, return_pil=False), np.ndarray)


def test_detected_poses(photo, openpose, model):
    (person,) = openpose.detect_poses(photo)
    assert len(person.body.keypoints) == 18 and person.face is person.left_hand is person.right_hand is None
    there = [point for point in person.body.keypoints if point is not None]
    assert person.body.total_parts == len(there) > 10
    assert person.body.total_score == pytest.approx(sum(point.score for point in there))
    poses = model(photo, rgb=True).to(OPENPOSE)
    nose = person.body.keypoints[0]
    np.testing.assert_allclose((nose.x * 640, nose.y * 480), poses.keypoints[0, 0], atol=1e-3)
    (full,) = openpose.detect_poses(photo, include_hand=True, include_face=True)
    sure = poses.scores[0, OPENPOSE.parts["face"]] >= 0.3
    assert [point.x >= 0 for point in full.face] == sure.tolist() and len(full.face) == 70
    assert all(hand is None or len(hand) == 21 for hand in (full.left_hand, full.right_hand))
    assert openpose.detect_poses(np.zeros((64, 64, 3), np.uint8)) == []


def test_repositories_are_not_read_and_that_is_said_once(caplog):
    _not_theirs.cache_clear()
    with caplog.at_level(logging.WARNING, "wholebody"):
        for _ in range(2):
            DWposeDetector.from_pretrained("yzd-v/DWPose")
    assert [record.message for record in caplog.records].count(caplog.records[0].message) == 1
    assert "yzd-v/DWPose is not loaded" in caplog.text


def test_moving_to_a_device(dwpose):
    class Device:
        """As torch.device, which is as good as its text."""

        def __str__(self):
            return "cpu"

    model = dwpose.model
    assert dwpose.to("cpu") is dwpose and dwpose.to(Device()).model is model
    with pytest.raises(WholebodyError, match="CUDA_VISIBLE_DEVICES=1"):
        dwpose.to("cuda:1")
    assert dwpose.model is model


@pytest.mark.parametrize("name", ["dwpose", "openpose_full", "openpose_faceonly"])
def test_processors(photo, name):
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = Processor(name, {"detect_resolution": 256})(buffer.getvalue())
        assert drawn.size == (640, 512) and np.asarray(drawn).any()


def test_a_processors_jpeg(photo):
    jpeg = Processor("openpose", {"detect_resolution": 256})(Image.fromarray(photo), to_pil=False)
    assert Image.open(io.BytesIO(jpeg)).format == "JPEG"


def test_other_processors_are_refused():
    with pytest.raises(ValueError, match="canny is not a pose processor"):
        Processor("canny")


@pytest.mark.parametrize("picture", ["photo.jpg", None, np.zeros((4, 4, 3))])
def test_what_is_no_picture(dwpose, picture):
    with pytest.raises(WholebodyError):
        dwpose(picture)
