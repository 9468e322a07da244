import pickle
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wholebody.errors import WholebodyError
from wholebody.networks.rtmpose import simcc
from wholebody.schema import COCO_BODY, COCO_WHOLEBODY
from wholebody.train.data.people import NOWHERE
from wholebody.train.data.views import Views, halve, write_views
from wholebody.train.lesson import Batch
from wholebody.train.targets import drawn
from wholebody.train.teachers import Taught

CODEC = simcc((64, 64))


def draw(numbers):
    """Draw n is a crop of colour n, its keypoints around (n, n)."""
    n = torch.tensor([*numbers], dtype=torch.float32)
    keypoints = (n[:, None, None] % 50 + 7).expand(-1, 133, 2) + torch.rand(1, 133, 2) * 0
    images = (n[:, None, None, None] % 256).expand(-1, 64, 64, 3).to(torch.uint8)
    weight = torch.ones(len(n), 133) * 3
    weight[:, 100:] = 0
    inside = CODEC.weight(keypoints.numpy(), weight.numpy() > 0)
    return Batch(images, keypoints, torch.from_numpy(inside) * weight)


class Echo:
    channels = 5

    def __call__(self, images):
        n = len(images)
        value = images[:, 0, 0, 0].float()
        return Taught(
            value[:, None, None].expand(n, 133, 128), -value[:, None, None].expand(n, 133, 128),
            value[:, None, None, None].expand(n, 5, 2, 2),
        )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    target = tmp_path_factory.mktemp("views") / "views"
    seen = []
    write_views(target, draw, 10, batch=4, teacher=Echo(), progress=seen.append)
    assert seen == [4, 8, 10]
    return target


def test_what_was_written_is_drawn(folder):
    views = Views(folder, CODEC)
    assert (len(views), views.channels) == (10, 5)
    batch = views.draw(range(10))
    numbers = batch.images[:, 0, 0, 0].tolist()
    assert sorted(numbers) == [*range(10)]
    again = draw(numbers)
    for name in ("images", "keypoints", "weight"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(again, name), name)
    for name, sign in (("teacher_x", 1), ("teacher_y", -1)):
        np.testing.assert_array_equal(getattr(batch, name)[:, 0, 0], sign * np.array(numbers))
    np.testing.assert_array_equal(batch.teacher_feature[:, 2, 1, 0], numbers)


def test_points_that_are_not_there_keep_their_weight(tmp_path):
    def beside(numbers):
        batch = draw(numbers)
        batch.keypoints[:, 5] = NOWHERE
        return batch

    write_views(tmp_path / "views", beside, 4, batch=4)
    batch = Views(tmp_path / "views", CODEC).draw(range(4))
    assert (batch.weight[:, :100] == 3).all() and not batch.weight[:, 100:].any()
    x, _ = drawn(batch.keypoints, CODEC)
    assert not x[:, 5].any() and (x[:, 4].amax(dim=1) == 1).all()


def test_a_pass_shows_everything_once_in_an_order_of_its_seed(folder):
    views, same, other = Views(folder, CODEC), Views(folder, CODEC), Views(folder, CODEC, seed=1)

    def shown(views, numbers):
        return views.draw(numbers).images[:, 0, 0, 0].tolist()

    first, second = shown(views, range(10)), shown(views, range(10, 20))
    assert sorted(first) == sorted(second) == [*range(10)] and first != second
    assert shown(same, range(8, 12)) == first[8:] + second[:2]
    assert shown(other, range(10)) != first


def test_another_process_opens_the_files_itself(folder):
    views = Views(folder, CODEC, seed=3, camera=0.5)
    packed = pickle.dumps(views)
    assert len(packed) < 2000
    assert torch.equal(pickle.loads(packed).draw(range(4, 8)).images, views.draw(range(4, 8)).images)


def test_views_are_whole_or_not_there(tmp_path):
    class Fails(Echo):
        def __call__(self, images):
            if images[0, 0, 0, 0] >= 4:
                raise KeyboardInterrupt
            return super().__call__(images)

    with pytest.raises(KeyboardInterrupt):
        write_views(tmp_path / "views", draw, 10, batch=4, teacher=Fails())
    assert not [*tmp_path.iterdir()]
    write_views(tmp_path / "views", draw, 6, batch=4)
    views = Views(tmp_path / "views", CODEC)
    assert views.channels == 0 and views.draw(range(2)).teacher_x is None


def test_errors_say_what_to_do(folder, tmp_path):
    with pytest.raises(WholebodyError, match="exists"):
        write_views(folder, draw, 10)
    with pytest.raises(WholebodyError, match="cannot read"):
        Views(tmp_path, CODEC)
    with pytest.raises(WholebodyError, match=r"views of \(64, 64\)"):
        Views(folder, simcc((96, 128)))
    with pytest.raises(WholebodyError, match="133 keypoints, coco_body has 17"):
        Views(folder, CODEC, mirror=0.5, schema=COCO_BODY)


def test_a_network_of_half_the_size_sees_the_same_people(tmp_path):
    rng = np.random.default_rng(0)
    place = rng.integers(8, 56, (6, 133, 2)).astype(np.float32)

    def bright(numbers):
        """A bright dot where keypoint 0 is."""
        keypoints = torch.from_numpy(place[numbers.start : numbers.stop].copy())
        keypoints[:, 7] = NOWHERE
        images = torch.zeros(len(numbers), 64, 64, 3, dtype=torch.uint8)
        for image, (x, y) in zip(images, keypoints[:, 0].int().tolist(), strict=True):
            image[y, x] = 255
        return Batch(images, keypoints, torch.ones(len(numbers), 133))

    class Sees:
        channels = 2

        def __call__(self, images):
            n = images[..., 0].flatten(1).argmax(dim=1)
            x, y, _ = CODEC.encode(np.stack([n % 64, n // 64], axis=1)[:, None].repeat(133, axis=1), np.ones((3, 133)))
            feature = torch.arange(8.0).reshape(1, 2, 2, 2).repeat(3, 1, 1, 1)
            return Taught(torch.from_numpy(x), torch.from_numpy(y), feature)

    write_views(tmp_path / "views", bright, 6, batch=3, teacher=Sees())
    halve(tmp_path / "views", tmp_path / "half", batch=4)
    views = Views(tmp_path / "half", simcc((32, 32)))
    batch = views.draw(range(6))
    assert batch.images.shape == (6, 32, 32, 3) and batch.teacher_feature.shape == (6, 2, 1, 1)
    np.testing.assert_array_equal(batch.teacher_feature[0, :, 0, 0], [1.5, 5.5])
    rows = views._order(0)
    np.testing.assert_array_equal(np.delete(batch.keypoints.numpy(), 7, axis=1), np.delete(place[rows] / 2, 7, axis=1))
    assert (batch.keypoints[:, 7] == NOWHERE).all() and not drawn(batch.keypoints, views.codec)[0][:, 7].any()
    for (x, y), image, taught_x in zip(place[rows, 0] / 2, batch.images, batch.teacher_x, strict=True):
        light = image[..., 0].float()
        light /= light.sum()
        seen = (light.sum(dim=0) * torch.arange(32)).sum(), (light.sum(dim=1) * torch.arange(32)).sum()
        np.testing.assert_allclose(seen, (x, y), atol=0.1)
        assert abs(int(taught_x[0].argmax()) - 2 * x) <= 0.5


def test_another_camera_changes_the_picture_and_nothing_else(folder):
    plain, other, again = Views(folder, CODEC), Views(folder, CODEC, camera=1.0), Views(folder, CODEC, camera=1.0)
    a, b, c = (views.draw(range(10)) for views in (plain, other, again))
    for name in a._fields:
        if not torch.is_tensor(getattr(a, name)):
            continue
        same = torch.equal(getattr(a, name), getattr(b, name))
        assert same == (name != "images"), name
        assert torch.equal(getattr(b, name), getattr(c, name)), name
    # The next pass has other light.
    first = other.draw(range(10)).images[np.argsort(other._order(0))]
    second = again.draw(range(10, 20)).images[np.argsort(again._order(1))]
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", ["images.npy", "x.npy"])
@pytest.mark.parametrize("length", [0, 100, -1])
def test_views_that_were_cut_are_refused(folder, tmp_path, name, length):
    broken = tmp_path / "views"
    shutil.copytree(folder, broken)
    data = (broken / name).read_bytes()
    (broken / name).write_bytes(data[:length])
    with pytest.raises(WholebodyError, match="has changed since it was written"):
        Views(broken, CODEC)


def test_numbers_of_another_byte_order_are_refused(tmp_path):
    """PyTorch does not take them, and said so in the middle of a training."""
    for name, array in (
        ("images", np.zeros((3, 64, 64, 3), np.uint8)),
        ("keypoints", np.zeros((3, 17, 2), np.dtype("f4").newbyteorder("S"))),
        ("weights", np.ones((3, 17), np.float32)),
    ):
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "views.json").write_text("{}")
    with pytest.raises(WholebodyError, match="keypoints is"):
        Views(tmp_path, simcc((64, 64)))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_mirrored_view_has_the_labels_and_the_teacher_of_the_mirror_image(seed):
    rng = np.random.default_rng(seed)
    place = rng.integers(1, 63, (1, 133, 2)).astype(np.float32)
    place[:, 7] = NOWHERE

    def seen(images):
        """Keypoint 0 is the one bright pixel."""
        n = images[..., 0].flatten(1).argmax(dim=1).numpy()
        return np.stack([n % 64, n // 64], axis=1)

    def one(numbers):
        images = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
        x, y = place[0, 0].astype(int)
        images[0, y, x] = 255
        return Batch(images, torch.from_numpy(place.copy()), torch.from_numpy(rng.random((1, 133)).astype(np.float32)))

    class Sees:
        channels = 1

        def __call__(self, images):
            x, y, _ = CODEC.encode(place, np.ones((1, 133)))
            feature = torch.from_numpy(seen(images)[0, 0] // 32 == np.arange(2)).float().expand(1, 1, 2, 2)
            return Taught(torch.from_numpy(x), torch.from_numpy(y), feature)

    with TemporaryDirectory() as folder:
        write_views(Path(folder) / "views", one, 1, teacher=Sees())
        plain, mirrored = (Views(Path(folder) / "views", CODEC, mirror=share).draw(range(1)) for share in (0, 1))
    flip = COCO_WHOLEBODY.flip
    np.testing.assert_array_equal(seen(mirrored.images), mirrored.keypoints[:, 0])
    np.testing.assert_array_equal(mirrored.weight[:, flip], plain.weight)
    assert (mirrored.keypoints[:, flip[7]] == NOWHERE).all()
    known = np.delete(np.arange(133), 7)
    x, y, _ = CODEC.encode(mirrored.keypoints.numpy()[:, flip].astype(np.float64), np.ones((1, 133)))
    # Half a pixel beyond the last one was never seen: the last bin is its neighbour's. Stored in float16.
    np.testing.assert_allclose(mirrored.teacher_x[:, flip][:, known, :-1], x[:, known, :-1], atol=1e-3)
    np.testing.assert_allclose(mirrored.teacher_y[:, flip][:, known], y[:, known], atol=1e-3)
    np.testing.assert_array_equal(mirrored.teacher_feature, plain.teacher_feature.flip(-1))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_zoomed_view_moves_with_its_labels_and_its_teacher(seed):
    """A blurred dot, its keypoint, the teacher's logits and a feature that is the place itself stay together."""
    rng = np.random.default_rng(seed)
    place = np.full((1, 133, 2), [rng.integers(22, 42), rng.integers(22, 42)], np.float32)
    place[:, 1], place[:, 7] = 12, NOWHERE

    def one(numbers):
        y, x = np.mgrid[:64, :64]
        dot = 250 * np.exp(-((x - place[0, 0, 0]) ** 2 + (y - place[0, 0, 1]) ** 2) / (2 * 3**2))
        images = torch.from_numpy(np.repeat(dot[None, ..., None], 3, axis=-1).astype(np.uint8))
        return Batch(images, torch.from_numpy(place.copy()), torch.ones(1, 133))

    class Sees:
        channels = 2

        def __call__(self, images):
            x, y, _ = CODEC.encode(place, np.ones((1, 133)))
            # Pixels at the middles of 8 x 8 cells.
            at = torch.arange(8.0) * 8 + 3.5
            feature = torch.stack(torch.meshgrid(at, at, indexing="xy"))[None]
            return Taught(torch.from_numpy(x), torch.from_numpy(y), feature)

    with TemporaryDirectory() as folder:
        write_views(Path(folder) / "views", one, 1, teacher=Sees())
        plain = Views(Path(folder) / "views", CODEC).draw(range(1))
        moved = Views(Path(folder) / "views", CODEC, seed=seed % 1000, zoom=0.3).draw(range(1))
    assert (moved.keypoints[:, 7] == NOWHERE).all()
    (x, y), (px, py) = moved.keypoints[0, 0].tolist(), place[0, 0]
    light = moved.images[0, ..., 0].double()
    light /= light.sum()
    ramp = torch.arange(64.0).double()
    np.testing.assert_allclose([(light.sum(dim=0) * ramp).sum(), (light.sum(dim=1) * ramp).sum()], [x, y], atol=0.8)
    for logits, at in ((moved.teacher_x, x), (moved.teacher_y, y)):
        assert abs(int(logits[0, 0].argmax()) - 2 * at) <= 2
    # A feature that is the place in the view is the place before.
    scale = (moved.keypoints[0, 1, 0] - x) / (place[0, 1, 0] - px)
    middles = torch.arange(8.0) * 8 + 3.5
    for axis, (now, before) in enumerate(((x, px), (y, py))):
        wanted = ((middles - now) / scale + before).clip(3.5, 59.5)
        row = moved.teacher_feature[0, axis].float()
        np.testing.assert_allclose(row[0] if axis == 0 else row[:, 0], wanted, atol=0.1)
    assert not torch.equal(plain.images, moved.images)
