"""People packed for a graphics card, here on the processor: what is drawn is what was packed."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from wholebody.errors import WholebodyError
from wholebody.geometry import Crop
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.data.augment_batch import Look
from wholebody.train.data.packed import CROP, PackedPeople, pack, write_packed
from wholebody.train.data.people import NOWHERE, LabelledPerson

CPU = torch.device("cpu")
PLAIN = Look(
    cut=0, half_body=0, portrait=0, scale=(1, 1), rotation=0, shift=0, camera=0, hue=0, blur=0, noise=0, cutout=0
)
NOSE, LEFT_WRIST, RIGHT_WRIST, CUT_OFF = 0, 9, 10, 100
BOX = np.array([120.0, 60.0, 330.0, 560.0])


def person(picture=None):
    """A person in a photo of noise, with a hand that is known to be outside of it."""
    rng = np.random.default_rng(3)
    grey = cv2.resize(rng.integers(0, 256, (60, 45, 1), dtype=np.uint8), (450, 600))[..., None].repeat(3, axis=2)
    keypoints, visible = rng.uniform(BOX[:2] + 20, BOX[2:] - 20, (133, 2)), np.ones(133, np.float32)
    visible[CUT_OFF] = -1
    return LabelledPerson(grey if picture is None else picture, keypoints, visible, BOX, "test")


def packed(folder, *people, look=PLAIN):
    write_packed(folder / "people.npz", [pack(each) for each in people])
    return PackedPeople.read([folder / "people.npz"], CPU, look=look)


def test_the_middle_of_what_is_read_is_the_usual_crop(tmp_path):
    someone = person()
    people = packed(tmp_path, someone, someone)
    crop = Crop.from_box(BOX, CROP)
    assert len(people) == 2 and people.plain(slice(0, 2)).shape == (2, 256, 192, 3)
    np.testing.assert_allclose(people.points()[0], crop.to_input(someone.keypoints), atol=1e-3)
    found, wanted = people.plain(slice(0, 1))[0].numpy().astype(float), crop.cut(someone.image)
    away, beside = np.abs(found - wanted).mean(), np.abs(found[:, 1:] - wanted[:, :-1]).mean()
    # WebP loses a little, and a pixel to the side is much.
    assert away < 4 and beside > 3 * away


def test_without_changes_a_draw_is_the_usual_crop_or_its_mirror_image(tmp_path):
    torch.manual_seed(0)
    people = packed(tmp_path, person())
    batch = people.draw(12)
    usual, points = people.plain(slice(0, 1))[0], people.points()[0]
    mirrored = torch.stack([CROP[0] - points[COCO_WHOLEBODY.flip, 0], points[COCO_WHOLEBODY.flip, 1]], dim=-1)
    kinds = set()
    for image, found in zip(batch.images, batch.keypoints, strict=True):
        turned = bool((found[NOSE] - mirrored[NOSE]).abs().max() < 1e-2)
        kinds.add(turned)
        hand = COCO_WHOLEBODY.flip[CUT_OFF] if turned else CUT_OFF
        assert (found[hand] == NOWHERE).all()
        rest = torch.arange(133) != hand
        torch.testing.assert_close(found[rest], (mirrored if turned else points)[rest], atol=1e-2, rtol=0)
        # Column 0 of a mirror image is beyond the crop, and very dark pixels are taken for black ones.
        wanted = (usual.flip(1).roll(1, dims=1) if turned else usual).float()
        assert (image.float() - wanted)[:, 1:].abs().max() <= 6
    assert kinds == {False, True}


@pytest.mark.parametrize("part", (1, 4, 8))
def test_labels_follow_the_pixels(tmp_path, part):
    """However a crop is turned, moved and enlarged, the dot is where the keypoints are; also of small people."""
    torch.manual_seed(1)
    spot, (w, h) = np.array([264.0, 200.0]) / part, (448 // part, 600 // part)
    x, y = np.meshgrid(np.arange(w), np.arange(h))
    dot = 20 + 235 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * (12 / part) ** 2))
    someone = person(np.repeat(dot[..., None], 3, axis=2).round().astype(np.uint8))
    someone = replace(someone, keypoints=np.tile(spot, (133, 1)), box=BOX / part)
    look = replace(PLAIN, scale=(0.7, 1.35), rotation=80, shift=0.16)
    batch = packed(tmp_path, someone, look=look).draw(24)
    checked, off = 0, list[torch.Tensor]()
    for image, points in zip(batch.images.float(), batch.keypoints[:, NOSE], strict=True):
        if points[0] == NOWHERE or ((points < 12) | (points > torch.tensor(CROP) - 13)).any():
            continue
        bright = (image.mean(dim=-1) - 100).clamp(min=0)
        rows, columns = torch.meshgrid(torch.arange(CROP[1]), torch.arange(CROP[0]), indexing="ij")
        middle = torch.stack([(columns * bright).sum(), (rows * bright).sum()]) / bright.sum()
        checked += 1
        off.append(middle - points)
    assert checked > 12 and torch.stack(off).abs().max() < 0.7
    assert torch.stack(off).mean(dim=0).abs().max() < 0.15


def test_what_is_beyond_the_photos_border_is_black_and_nowhere(tmp_path):
    torch.manual_seed(2)
    white = np.full((600, 450, 3), 255, np.uint8)
    look = replace(PLAIN, cut=1, scale=(0.7, 1.35), shift=0.16)
    people = packed(tmp_path, person(white), look=look)
    batch = people.draw(32)
    absent = batch.keypoints[..., 0] == NOWHERE
    assert 0.05 < absent.float().mean() < 0.5
    assert torch.allclose(batch.weight[absent], torch.tensor(0.3)) and (batch.weight[~absent] == 1).all()
    # Points in the crop that are not absent lie on the photo.
    bright = batch.images.float().mean(dim=-1) > 100
    at = batch.keypoints.round().long()
    seen = ~absent & ((at >= 2) & (at < torch.tensor(CROP) - 2)).all(dim=-1)
    people_of, which = torch.nonzero(seen, as_tuple=True)
    x, y = at[people_of, which].unbind(dim=-1)
    assert bright[people_of, y, x].float().mean() > 0.99
    assert not bright.all()


def test_a_person_is_drawn_as_often_as_their_chance(tmp_path):
    torch.manual_seed(3)
    one, other = person(), person(np.zeros((600, 450, 3), np.uint8))
    write_packed(tmp_path / "people.npz", [pack(one, 0.9), pack(other, 0.1)])
    batch = PackedPeople.read([tmp_path / "people.npz"], CPU, look=PLAIN).draw(60)
    black = (batch.images.amax(dim=(1, 2, 3)) < 60).float().mean()
    assert 0.01 < black < 0.3


def test_the_same_random_seed_draws_the_same(tmp_path):
    people = packed(tmp_path, person(), look=Look())
    one, other = (torch.manual_seed(4) and people.draw(4) for _ in range(2))
    assert torch.equal(one.images, other.images) and torch.equal(one.keypoints, other.keypoints)


def test_a_damaged_file_is_one_line(tmp_path):
    path = tmp_path / "people.npz"
    write_packed(path, [pack(person())] * 2)
    columns = dict(np.load(path))
    np.savez(tmp_path / "short.npz", **{**columns, "ends": columns["ends"][:1]})
    np.savez(tmp_path / "without.npz", **{name: columns[name] for name in columns if name != "box"})
    np.savez(
        tmp_path / "empty.npz", **{**columns, "ends": columns["ends"][[0, 0]], "pictures": columns["pictures"][:0]}
    )
    (tmp_path / "nothing.npz").write_bytes(b"PK nothing")
    for name in ("short", "without", "empty", "nothing"):
        with pytest.raises(WholebodyError, match="write_packed"):
            PackedPeople.read([tmp_path / f"{name}.npz"], CPU)
    with pytest.raises(WholebodyError, match="at least one"):
        PackedPeople.read([], CPU)
