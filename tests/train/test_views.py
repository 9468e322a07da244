import numpy as np
import pytest
import torch

from wholebody.errors import WholebodyError
from wholebody.train.data import NOWHERE
from wholebody.train.distill import Batch
from wholebody.train.rtmpose import simcc
from wholebody.train.teachers import Taught
from wholebody.train.views import Views, write_views

CODEC = simcc((64, 64))


def draw(numbers):
    """Draw n is a crop of colour n, its keypoints around (n, n)."""
    n = torch.tensor([*numbers], dtype=torch.float32)
    keypoints = (n[:, None, None] % 50 + 7).expand(-1, 133, 2) + torch.rand(1, 133, 2) * 0
    images = (n[:, None, None, None] % 256).expand(-1, 64, 64, 3).to(torch.uint8)
    weight = torch.ones(len(n), 133) * 3
    weight[:, 100:] = 0
    x, y, inside = CODEC.encode(keypoints.numpy(), weight.numpy() > 0)
    return Batch(images, keypoints, torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(inside) * weight)


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
    for name in ("images", "keypoints", "x", "y", "weight"):
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
    assert not batch.x[:, 5].any() and (batch.x[:, 4].amax(dim=1) == 1).all()


def test_a_pass_shows_everything_once_in_an_order_of_its_seed(folder):
    views, same, other = Views(folder, CODEC), Views(folder, CODEC), Views(folder, CODEC, seed=1)

    def shown(views, numbers):
        return views.draw(numbers).images[:, 0, 0, 0].tolist()

    first, second = shown(views, range(10)), shown(views, range(10, 20))
    assert sorted(first) == sorted(second) == [*range(10)] and first != second
    assert shown(same, range(8, 12)) == first[8:] + second[:2]
    assert shown(other, range(10)) != first


def test_views_are_whole_or_not_there(tmp_path):
    class Fails(Echo):
        def __call__(self, images):
            if images[0, 0, 0, 0] >= 4:
                raise KeyboardInterrupt
            return super().__call__(images)

    with pytest.raises(KeyboardInterrupt):
        write_views(tmp_path / "views", draw, 10, batch=4, teacher=Fails())
    assert not (tmp_path / "views").exists()
    write_views(tmp_path / "views", draw, 6, batch=4)
    views = Views(tmp_path / "views", CODEC)
    assert views.channels == 0 and views.draw(range(2)).teacher_x is None


def test_errors_say_what_to_do(folder, tmp_path):
    with pytest.raises(WholebodyError, match="exists"):
        write_views(folder, draw, 10)
    with pytest.raises(WholebodyError, match="no views here"):
        Views(tmp_path, CODEC)
    with pytest.raises(WholebodyError, match=r"views of \(64, 64\)"):
        Views(folder, simcc((96, 128)))
