"""Choosing, turning, aligning and sizing in `wholebody predict`, with networks that see blue rectangles as people."""

import json
from dataclasses import replace

import numpy as np
import pytest

from walkers import model, picture
from wholebody import formats, video
from wholebody.draw.canvas import Sizing
from wholebody.errors import WholebodyError
from wholebody.images import read_image, write_image
from wholebody.pose.choose import Choice, parsed_region
from wholebody.predict import arrange
from wholebody.predict.arrange import Character
from wholebody.predict.job import Job, Look, Pace
from wholebody.predict.run import run_job
from wholebody.predict.turn import turned
from wholebody.video.frame import Frame

FPS = 25
BOXES = [(20, 60, 60, 170), (230, 30, 300, 230)]


def look(kind="none", **sizing):
    return Look(kind, ("body", "hands", "face"), 0.3, False, Sizing(**sizing))


@pytest.fixture
def run(capsys):
    def run(file, kinds=(), drawn=None, choice=None, **options):
        drawn, choice = drawn or look(), choice or Choice()
        status = run_job([file], None, model, Job(drawn, kinds, choice, options.pop("pace", Pace()), **options))
        assert status == 0, capsys.readouterr().err
        return file.with_name(f"{file.stem}_pose")

    return run


@pytest.fixture
def photo(tmp_path):
    write_image(tmp_path / "photo.png", picture(BOXES))
    return tmp_path / "photo.png"


@pytest.fixture
def movie(tmp_path):
    """Two people, the small one walking from left to right."""
    frames = [Frame(n / FPS, picture([(20 + 2 * n, 60, 60 + 2 * n, 170), BOXES[1]])) for n in range(12)]
    video.write(tmp_path / "clip.mp4", frames, FPS, quality=5)
    return tmp_path / "clip.mp4"


@pytest.fixture
def character(tmp_path):
    """One tall person in a picture of its own."""
    write_image(tmp_path / "character.png", picture([(60, 40, 160, 380)], (200, 400)))
    return tmp_path / "character.png"


def people_of(place):
    (poses,) = formats.read_coco(place.with_suffix(".json")).values()
    return poses


# --- Pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "left"),
    [
        (Choice(), [20, 230]),
        (Choice(people=1), [230]),
        (Choice(people=1, order="left-to-right"), [20]),
        (Choice(order="right-to-left"), [230, 20]),
        (Choice(region=parsed_region("0,0,0.5,1")), [20]),
    ],
)
def test_people_of_a_picture(run, photo, choice, left):
    poses = people_of(run(photo, choice=choice))
    found = poses.boxes[:, 0] if choice.order else np.sort(poses.boxes[:, 0])
    np.testing.assert_allclose(found, left, atol=6)


@pytest.mark.parametrize(
    ("sizing", "size"),
    [
        ({"size": (96, 160)}, (96, 160)),
        ({"size": (96, 160), "how": "crop"}, (96, 160)),
        ({"size": (96, 160), "how": "fit"}, (96, 72)),
        ({"short_side": 120, "multiple": 16}, (160, 128)),
    ],
)
@pytest.mark.parametrize("kind", ["openpose", "skeleton"])
def test_what_is_drawn_has_the_size_asked_for(run, photo, sizing, size, kind):
    place = run(photo, drawn=look(kind, **sizing))
    assert read_image(place.with_suffix(".png")).shape[:2] == size[::-1]
    # Files stay in pixels of the picture.
    assert people_of(place).boxes[:, 2].max() > 280


def test_sticks_are_as_wide_at_every_size(run, photo):
    """Points are scaled, not the drawing: the dots of the map are never smaller or softer."""
    body = Look("openpose", ("body",), 0.3, False)
    small, large = (
        read_image(run(photo, drawn=replace(body, sizing=Sizing(short_side=side))).with_suffix(".png"))
        for side in (60, 960)
    )
    for image in (small, large):
        assert (image == (255, 0, 85)).all(axis=2).any()  # a dot's own colour: the left ankle's
    assert (small > 0).any(axis=2).mean() > 4 * (large > 0).any(axis=2).mean()


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_turned_pictures(run, tmp_path, turn):
    upright = picture([(100, 20, 170, 220)], (240, 240))
    back = (360 - turn) % 360
    write_image(tmp_path / "turned.png", turned(upright, back))
    write_image(tmp_path / "upright.png", upright)
    poses = people_of(run(tmp_path / "turned.png", turn=turn))
    truth = people_of(run(tmp_path / "upright.png"))
    # The nose is at the top of the upright picture, and so at the side that was the top here.
    nose, wanted = poses.keypoints[0, 0], truth.keypoints[0, 0]
    x, y = {90: (wanted[1], 239 - wanted[0]), 180: 239 - wanted, 270: (239 - wanted[1], wanted[0])}[turn]
    np.testing.assert_allclose(nose, (x, y), atol=3)


def test_a_picture_aligned_to_a_character(run, photo, character):
    place = run(
        photo, kinds=("coco", "comfy"), drawn=look("openpose"), choice=Choice(people=1), align_to=(character, "muse")
    )
    (poses,) = formats.read_coco(place.with_name("photo_pose_coco.json")).values()
    reference = model()(read_image(character))
    np.testing.assert_allclose(poses.keypoints[0], reference.keypoints[0], atol=8)
    assert read_image(place.with_suffix(".png")).shape == (400, 200, 3)
    frames, sizes = formats.read_comfy(place.with_name("photo_pose_comfy.json"))
    assert sizes == [(200, 400)] and len(frames[0]) == 1


def test_comfy_files_hold_what_is_drawn_or_the_scores(run, photo):
    drawn = formats.read_comfy(run(photo, kinds=("comfy",)).with_suffix(".json"))[0][0]
    assert set(np.unique(drawn.scores)) == {1.0}
    true = formats.read_comfy(run(photo, kinds=("comfy",), true_scores=True).with_suffix(".json"))[0][0]
    assert true.scores.max() == pytest.approx(0.9, abs=1e-3)


def test_what_makes_no_sense(photo, tmp_path):
    with pytest.raises(WholebodyError, match="only people in videos have ids"):
        run_job([photo], None, model, Job(look(), (), Choice(keep=(1,))))
    write_image(tmp_path / "empty.png", picture([]))
    with pytest.raises(WholebodyError, match="no person found"):
        run_job([photo], None, model, Job(look(), (), align_to=(tmp_path / "empty.png", "linear")))


def test_the_character_may_be_several():
    image = picture(BOXES)
    assert len(Character(image, model()(image), "linear").poses) == 2


# --- Videos -----------------------------------------------------------------------------------------------------------


def test_the_same_people_of_a_video(run, movie):
    frames = formats.read_npz_video(run(movie, choice=Choice(people=1, order="left-to-right")).with_suffix(".npz"))
    assert [len(poses) for _, poses in frames] == [1] * 12
    (one,) = {int(poses.ids[0]) for _, poses in frames}
    assert all(poses.boxes[0, 0] < 100 for _, poses in frames)
    again = formats.read_npz_video(run(movie, choice=Choice(keep=(one,))).with_suffix(".npz"))
    np.testing.assert_array_equal([poses.keypoints for _, poses in again], [poses.keypoints for _, poses in frames])
    right = formats.read_npz_video(run(movie, choice=Choice(region=(0.5, 0, 0.5, 1))).with_suffix(".npz"))
    assert all(len(poses) == 1 and poses.ids[0] != one for _, poses in right)


def test_a_video_aligned_to_a_character(run, movie, character):
    place = run(
        movie,
        kinds=("npz", "comfy", "png"),
        drawn=look("openpose", multiple=16),
        choice=Choice(people=1, order="left-to-right"),
        align_to=(character, "muse"),
    )
    assert video.info(place.with_suffix(".mp4")).size == (192, 400)
    assert read_image(place.with_name("clip_pose_png") / "000003.png").shape == (400, 192, 3)
    frames = formats.read_npz_video(place.with_suffix(".npz"))
    reference = model()(read_image(character))
    np.testing.assert_allclose(frames[0][1].keypoints[0], reference.keypoints[0], atol=12)
    # The walk goes on, in heights of the figure.
    away = frames[-1][1].keypoints[0, 0, 0] - frames[0][1].keypoints[0, 0, 0]
    assert away > 20
    content = json.loads(place.with_name("clip_pose.json").read_text())
    assert len(content) == 12 and content[0]["canvas_height"] == 400


def test_a_video_that_is_turned(run, tmp_path, movie):
    lying = [Frame(frame.time, turned(frame.image, 270)) for frame in video.read(movie)]
    video.write(tmp_path / "lying.mp4", lying, FPS, quality=5)
    found = formats.read_npz_video(run(tmp_path / "lying.mp4", turn=90, kinds=("npz",)).with_suffix(".npz"))
    truth = formats.read_npz_video(run(movie, kinds=("npz",)).with_suffix(".npz"))
    for (_, poses), (_, upright) in zip(found, truth, strict=True):
        x, y = upright.keypoints[..., 0], upright.keypoints[..., 1]
        order = [upright.ids.tolist().index(one) for one in poses.ids]
        np.testing.assert_allclose(poses.keypoints, np.stack([y, 319 - x], axis=-1)[order], atol=4)


def test_a_stopped_run_goes_on_turned(run, movie, monkeypatch):
    from wholebody.predict import clip as one_clip

    monkeypatch.setattr(one_clip, "PART_FRAMES", 5)
    whole = formats.read_npz_video(run(movie, turn=180, choice=Choice(people=2)).with_suffix(".npz"))
    original, count = one_clip.Clip._part, iter(range(9))

    def stopped(self, *arguments):
        if next(count) == 1:
            raise WholebodyError("stopped")
        return original(self, *arguments)

    monkeypatch.setattr(one_clip.Clip, "_part", stopped)
    job = Job(look(), (), Choice(people=2), Pace(), turn=180)
    assert run_job([movie], None, model, job) == 1
    monkeypatch.setattr(one_clip.Clip, "_part", original)
    again = formats.read_npz_video(
        run(movie, turn=180, choice=Choice(people=2), pace=Pace(resume=True)).with_suffix(".npz")
    )
    assert [time for time, _ in again] == [time for time, _ in whole]
    assert [poses.ids.tolist() for _, poses in again] == [poses.ids.tolist() for _, poses in whole]


def test_an_id_that_nobody_has_replaces_nothing(run, movie, capsys):
    before = run(movie, drawn=look("skeleton")).with_suffix(".npz").read_bytes()
    files = sorted(movie.parent.iterdir())
    for keep, said in (((99,), "id 99: there are 1 and 2."), ((7, 1, 9), "id 7 or 9: there are 1 and 2.")):
        assert run_job([movie], None, model, Job(look("skeleton"), (), Choice(keep=keep))) == 1
        assert f"clip.mp4: nobody has {said}" in capsys.readouterr().err
        assert sorted(movie.parent.iterdir()) == files
        assert movie.with_name("clip_pose.npz").read_bytes() == before


def test_an_id_where_nobody_is(run, tmp_path, capsys):
    video.write(tmp_path / "empty.mp4", [Frame(n / FPS, picture([])) for n in range(4)], FPS)
    assert run_job([tmp_path / "empty.mp4"], None, model, Job(look(), (), Choice(keep=(1,)))) == 1
    assert "nobody has id 1: nobody was found." in capsys.readouterr().err


def test_a_turn_is_looked_for_all_over_a_folder_and_not_behind_it(tmp_path, monkeypatch):
    for n in range(20):
        write_image(tmp_path / f"{n}.png", picture(BOXES))
    starts, read = [], video.read
    monkeypatch.setattr(video, "read", lambda file, **how: starts.append(how["start"]) or read(file, **how))
    for end in (None, 100):
        arrange.surest_turn(model(), tmp_path, 0, end, 10)
    np.testing.assert_allclose(starts, [0, 0.4, 0.8, 1.2, 1.6] * 2)
