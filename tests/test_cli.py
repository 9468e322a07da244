"""The command line from outside: what it writes, what it says, and how it exits."""

import errno
import inspect
import json
import subprocess
import sys
from dataclasses import fields

import cv2
import numpy as np
import pytest

from networks import people, save_detector, save_heatmaps, save_pose
from walkers import model, picture
from wholebody import cli, formats
from wholebody.errors import WholebodyError
from wholebody.images import read_image
from wholebody.predict import pictures
from wholebody.schema import COCO_BODY, OPENPOSE_25
from wholebody.wholebody import DETECTOR, MODES, POSE, WholeBody

BOXES = np.array([[150, 40, 260, 210], [20, 30, 80, 200]])
PICTURE = people(BOXES)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    return {
        "detector": save_detector(folder / "detector.onnx", BOXES * 0.4, [0.9, 0.6]),
        "pose": save_pose(folder / "pose.onnx"),
        "nobody": save_detector(folder / "nobody.onnx", np.zeros((0, 4)), []),
    }


@pytest.fixture
def run(files, capsys):
    """Run `wholebody predict` with the tiny networks; gives status, stdout and stderr."""

    def run(*arguments, detector="detector", command="predict"):
        networks = ["--pose", files["pose"], "--detector", files.get(detector, detector), "--threads", "1"]
        with pytest.raises(SystemExit) as end:
            cli.main([str(a) for a in (command, *arguments, *(networks if command == "predict" else ()))])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return end.value.code, printed.out, printed.err

    return run


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), PICTURE)
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_photo_gives_a_picture_and_json_beside_it(run, photo):
    status, out, _ = run(photo)
    assert status == 0 and "1 picture, 2 people" in out
    assert names(photo.parent) == ["photo.png", "photo_pose.json", "photo_pose.png"]
    poses = formats.read_coco(photo.with_name("photo_pose.json"))["photo.png"]
    np.testing.assert_allclose(poses.boxes, BOXES, atol=0.01)
    drawn = cv2.imread(str(photo.with_name("photo_pose.png")))
    assert drawn.shape == PICTURE.shape and (drawn != PICTURE).any()


def test_a_second_run_over_a_folder_does_not_read_its_own_results(run, photo):
    run(photo.parent)
    before = names(photo.parent)
    status, out, _ = run(photo.parent)
    assert status == 0 and "1 picture," in out and names(photo.parent) == before


def test_a_folder_with_good_and_bad_files(run, tmp_path):
    inbox, out = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    for i in range(90):
        cv2.imwrite(str(inbox / f"good{i:02}.jpg"), PICTURE)
    encoded = cv2.imencode(".jpg", PICTURE)[1].tobytes()
    (inbox / "cut.jpg").write_bytes(encoded[: len(encoded) // 2])
    (inbox / "empty.png").write_bytes(b"")
    (inbox / "letter.jpg").write_text("dear all")
    (inbox / "notes.txt").write_text("not a picture, and not meant as one")
    status, printed, errors = run(inbox, "--output", out, "--draw", "none")
    assert status == 1 and "90 pictures, 180 people, 3 failed" in printed
    assert len(names(out)) == 90
    for bad in ("cut.jpg", "empty.png", "letter.jpg"):
        assert [bad in line for line in errors.splitlines()].count(True) == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.full((1, 1, 3), 90, np.uint8),
        lambda: PICTURE[..., 0],
        lambda: PICTURE.astype(np.uint16) * 257,
        lambda: np.dstack([PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)]),
    ],
    ids=["1x1", "grey", "16-bit", "RGBA"],
)
def test_uncommon_pictures_work(run, tmp_path, make):
    path = tmp_path / "odd.png"
    cv2.imwrite(str(path), make())
    status, out, _ = run(path, detector="none")
    assert status == 0 and "1 picture, 1 person" in out


def test_a_monstrous_picture_is_refused_before_it_is_decoded(run, tmp_path):
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (20000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    path = tmp_path / "huge.png"
    path.write_bytes(header + bytes(50))
    status, _, errors = run(path)
    assert status == 1 and "huge.png" in errors and len(errors.splitlines()) == 1


def test_nobody_is_an_empty_result_never_a_ghost(run, photo):
    status, out, _ = run(photo, detector="nobody")
    assert status == 0 and "1 picture, 0 people" in out
    assert json.loads(photo.with_name("photo_pose.json").read_text()) == []
    np.testing.assert_array_equal(cv2.imread(str(photo.with_name("photo_pose.png"))), PICTURE)


@pytest.mark.parametrize("name", ["out.jpg", "out.MP4", "out.json", "new/poses.trc"])
def test_an_output_that_looks_like_a_file_is_refused(run, photo, name):
    status, _, errors = run(photo, "--output", photo.parent / name)
    assert status == 1 and f"{name}: looks like a file" in errors and len(errors.splitlines()) == 1
    assert names(photo.parent) == ["photo.png"]


@pytest.mark.parametrize(
    "words",
    [
        ("train", "warm-t", "--out", "new.safetensors"),
        ("train", "detector", "--labels", "boxes.json", "--out", "new.onnx"),
        ("distill", "student-t", "--out", "new.onnx"),
        ("distill", "--images", ".", "--teacher", "wholebody-133", "--student", "t", "--out", "new.onnx"),
        ("label", ".", "--out", "new.json"),
        ("synth", "new.tar", "--count", "1"),
    ],
)
def test_what_is_trained_labelled_or_rendered_goes_to_a_folder(tmp_path, monkeypatch, capsys, words):
    pytest.importorskip("torch")
    pytest.importorskip("numba")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main([*words])
    assert end.value.code == 1 and ": looks like a file" in capsys.readouterr().err
    assert not names(tmp_path)


@pytest.mark.parametrize("words", [("evaluate", "fast"), ("compare",)])
def test_a_report_goes_to_a_folder(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main([*words, "--annotations", "labels.json", "--images", ".", "--output", "report.html"])
    assert end.value.code == 1 and "--output report.html: looks like a file" in capsys.readouterr().err
    assert not names(tmp_path)


@pytest.mark.parametrize("name", ["out.jpg", "run.v2"])
def test_a_folder_may_have_any_name(run, photo, name):
    folder = photo.with_name(name)
    if name == "out.jpg":
        folder.mkdir()
    assert run(photo, "--output", folder)[0] == 0 and (folder / "photo_pose.json").exists()


@pytest.mark.parametrize(
    ("options", "there", "told"),
    [
        ((), [], True),
        ((), BOXES, False),
        (("--mode", "lightweight"), [], True),
        (("--threshold", "0.3"), [], False),
        (("--detector", "person-crowd"), [], False),
        (("--region", "0,0,0.5,1"), [], False),
    ],
)
def test_nobody_at_all_is_worth_a_hint(photo, monkeypatch, capsys, options, there, told):
    cv2.imwrite(str(photo), picture(there))
    monkeypatch.setattr("wholebody.wholebody.WholeBody", lambda *_, **__: model())
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", str(photo), *options])
    said = capsys.readouterr().err
    assert end.value.code == 0 and ("nobody was found: try --threshold 0.3 --detector person-crowd" in said) == told


def test_pictures_that_share_a_name_keep_their_own_results(run, photo):
    cv2.imwrite(str(photo.with_suffix(".bmp")), PICTURE)
    status, _, _ = run(photo, photo.with_suffix(".bmp"))
    assert status == 0
    assert {"photo_png_pose.json", "photo_bmp_pose.json"} <= set(names(photo.parent))


def test_a_controlnet_map_and_every_format(run, photo, tmp_path):
    out = tmp_path / "out"
    status, _, _ = run(
        photo, "--output", out, "--draw", "openpose", "--formats", "coco", "openpose", "comfy", "npz", "csv"
    )
    assert status == 0
    kinds = ["_coco.json", "_comfy.json", "_openpose.json", ".csv", ".npz", ".png"]
    assert names(out) == sorted(f"photo_pose{kind}" for kind in kinds)
    assert (cv2.imread(str(out / "photo_pose.png")) == 0).mean() > 0.5
    assert formats.read_openpose(out / "photo_pose_openpose.json").schema is OPENPOSE_25
    assert len(formats.read_npz(out / "photo_pose.npz")) == 2


def test_a_foreign_network_of_the_body_alone(files, photo, tmp_path, capsys):
    pose = save_heatmaps(tmp_path / "body.onnx", about={"style": "dark"})
    words = ["predict", str(photo), "--pose", str(pose), "--detector", str(files["detector"]), "--formats", "npz"]
    ends = []
    for draw in ("skeleton", "openpose"):
        with pytest.raises(SystemExit) as end:
            cli.main([*words, "--draw", draw])
        ends.append(end.value.code)
    assert formats.read_npz(tmp_path / "photo_pose.npz").schema is COCO_BODY
    errors = capsys.readouterr().err
    assert ends == [0, 1] and "coco_body has no" in errors and len(errors.splitlines()) == 1


def test_a_network_that_fails_on_one_picture_stops_nobody_else(run, photo, monkeypatch):
    images = WholeBody.images

    def failing(self, pictures, *more, **options):
        if any(picture.shape == (7, 7, 3) for picture in pictures):
            raise MemoryError
        return images(self, pictures, *more, **options)

    monkeypatch.setattr(WholeBody, "images", failing)
    cv2.imwrite(str(photo.with_name("bad.png")), np.zeros((7, 7, 3), np.uint8))
    status, out, errors = run(photo.parent, "--formats", "csv")
    assert status == 1 and "1 picture, 2 people, 1 failed" in out
    assert len(errors.strip().splitlines()) == 1 and "bad.png: there is not enough memory" in errors
    assert (photo.parent / "photo_pose.csv").exists()


def test_a_picture_that_needs_too_much_memory_stops_nobody_else(run, photo, monkeypatch):
    def reading(file, **options):
        if file.name == "bad.png":
            raise MemoryError
        return read_image(file, **options)

    monkeypatch.setattr(pictures, "read_image", reading)
    photo.with_name("bad.png").write_bytes(photo.read_bytes())
    status, out, errors = run(photo.parent, "--formats", "csv")
    assert status == 1 and "1 picture, 2 people, 1 failed" in out and "bad.png: there is not enough memory" in errors


def test_a_full_disk_leaves_nothing_half_written(run, photo, monkeypatch):
    from pathlib import Path

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    status, _, errors = run(photo)
    assert status == 1 and "No space left" in errors and len(errors.splitlines()) == 1
    assert names(photo.parent) == ["photo.png"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nowhere.jpg",), "nowhere.jpg"),
        ((), "name a picture, a folder or a video"),
        (("--output", "x"), "name a picture, a folder or a video"),
        ((".",), "no pictures"),
    ],
)
def test_wrong_inputs_are_one_line(run, arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, errors = run(*arguments)
    assert status == 1 and says in errors and len(errors.splitlines()) == 1


@pytest.mark.parametrize("kind", ["pose", "detector"])
def test_the_wrong_kind_of_network_is_one_line(run, files, photo, kind, capsys):
    other = {"pose": "detector", "detector": "pose"}[kind]
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", str(photo), f"--{kind}", str(files[other]), f"--{other}", str(files[other])])
    errors = capsys.readouterr().err
    assert end.value.code == 1 and files[other].name in errors and len(errors.splitlines()) == 1


def test_an_unknown_command_or_option_says_what_was_meant(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["predikt"])
    assert end.value.code == 2 and "'predict'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", "a.jpg", "--detecter", "none"])
    assert end.value.code == 2 and "--detector" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "status"), [(["data"], 2), (["data", "--help"], 0)])
def test_a_group_of_commands_shows_its_own(words, status, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(words)
    out = capsys.readouterr().out
    assert end.value.code == status and "\n  data check " in out and "\n  predict " not in out


def test_a_wrong_word_in_a_group_says_what_was_meant(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["data", "chekc"])
    said = capsys.readouterr().err
    assert end.value.code == 2 and "'data check'?" in said and "predict" not in said


def test_the_overview_names_every_command(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert end.value.code == 0 and all(f"\n  {name} " in out for name in cli.COMMANDS)


@pytest.mark.parametrize("command", list(cli.COMMANDS))
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([*command.split(), "--help"])
    assert end.value.code == 0 and command in capsys.readouterr().out


def test_models_lists_the_bundled_and_the_released(run):
    status, out, _ = run(command="models")
    assert status == 0 and "wholebody-133" in out and "dwpose-l-384" in out


def test_a_bad_recipe_names_the_good_ones(run, tmp_path):
    status, _, errors = run("nonsense", "--out", tmp_path, command="train")
    assert status == 1 and "teacher" in errors


def test_options_of_predict_are_a_decision():
    """A new one is added here on purpose."""
    groups = {
        parameter.name: [field.name for field in fields(parameter.annotation)]
        for parameter in list(inspect.signature(cli.predict).parameters.values())[1:]
    }
    assert groups == {
        "find": [
            *("pose", "detector", "mode", "threshold", "flip", "people", "order", "region", "id", "rotate"),
            "strict",
        ],
        "draw": [
            *("draw", "parts", "draw_threshold", "xinsir", "size", "short_side", "multiple", "resize"),
            *("align_to", "align"),
        ],
        "write": [
            *("output", "formats", "true_scores", "trc_unit", "metres_per_pixel", "annotations", "resume"),
        ],
        "video": ["fps", "start", "end", "every", "latency", "smooth", "two_pass", "background"],
        "compute": ["device", "precision", "threads"],
    }


def test_help_shows_the_groups_and_what_is_required(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["predict", "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    for group in ("find options", "draw options", "write options", "video options", "compute options"):
        assert group in shown
    assert "PATH [PATH ...]" in shown and "(required)" in shown


@pytest.mark.parametrize("mode", MODES)
def test_a_mode_chooses_both_networks(photo, monkeypatch, capsys, mode):
    made = []

    def model(*networks, **options):
        made.append((networks, options["mode"]))
        raise WholebodyError("enough")

    monkeypatch.setattr("wholebody.wholebody.WholeBody", model)
    with pytest.raises(SystemExit):
        cli.main(["predict", str(photo), "--mode", mode])
    assert made == [((POSE, DETECTOR), mode)] and "enough" in capsys.readouterr().err


def test_a_mode_and_a_network_are_one_too_many(photo, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["predict", str(photo), "--mode", "lightweight", "--pose", "dwpose-t"])
    said = capsys.readouterr().err.strip()
    assert ended.value.code == 1 and "give either a mode, or pose and detector" in said and "\n" not in said


LIGHT = """
import sys
import wholebody.cli as cli
try:
    cli.main(["--help"])
except SystemExit:
    print([module for module in ("cv2", "numpy", "torch", "onnxruntime") if module in sys.modules])
"""


def test_help_is_light():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fps", "0"), "fps is 0"),
        (("--fps", "nan"), "fps is nan"),
        (("--start", "-5"), "start is -5"),
        (("--start", "3", "--end", "2"), "end is 2: give a second after the start, 3"),
        (("--end", "nan"), "end is nan"),
        (("--every", "0"), "every is 0"),
        (("--people", "-1"), "people is -1"),
        (("--threshold", "7"), "threshold is 7"),
        (("--threshold", "nan"), "threshold is nan"),
        (("--metres-per-pixel", "0"), "metres per pixel are 0"),
    ],
)
def test_numbers_that_make_no_sense_are_one_line(tmp_path, capsys, options, message):
    cv2.imwrite(str(tmp_path / "photo.png"), people([]))
    with pytest.raises(SystemExit) as end:
        cli.main(["predict", str(tmp_path / "photo.png"), *options])
    errors = capsys.readouterr().err.strip()
    assert end.value.code == 1 and len(errors.splitlines()) == 1 and errors.startswith(f"wholebody: {message}")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.parametrize(
    ("words", "common"), [(("train", "teacher"), "--optim.lr"), (("distill", "student-t"), "--first.optim.lr")]
)
def test_help_of_a_recipe_shows_what_people_change(words, common, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--help"])
    shown = capsys.readouterr().out
    options = [line.split()[0] for line in shown.splitlines() if line.startswith("--")]
    assert ended.value.code == 0 and common in options and len(options) <= 20 and "--help-all" in shown
    with pytest.raises(SystemExit):
        cli.main([*words, "--help-all"])
    every = capsys.readouterr().out
    assert all(option in every for option in options)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/locked"), "/locked: Permission denied"),
        (OSError("broken"), "broken"),
        (UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "unexpected end"), "not valid"),
        (RecursionError("maximum"), "nested too deeply"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_what_the_machine_refuses_is_one_line(monkeypatch, run, error, said):
    def fails():
        """Fail."""
        raise error

    monkeypatch.setitem(cli.COMMANDS, "models", fails)
    status, _, err = run(command="models")
    assert status == 1 and said in err and err.startswith("wholebody: ") and len(err.splitlines()) == 1


def test_names_that_are_too_long_stop_nobody_else(run, photo):
    fits = photo.with_name("n" * 251 + ".png")  # its results do not
    fits.write_bytes(photo.read_bytes())
    status, out, err = run(photo, fits, "x" * 300 + ".png", "y" * 300)
    assert status == 1 and "1 picture, 2 people, 3 failed" in out
    assert err.count("too long") == 3 and len(err.strip().splitlines()) == 3


def test_a_name_as_long_as_can_be_is_written(run, photo, tmp_path):
    long = photo.with_name("ü" * 120 + ".png")
    photo.rename(long)
    assert run(long)[0] == 0
    assert long.with_name("ü" * 120 + "_pose.json").exists()


def test_a_user_who_is_not_there(run, photo, monkeypatch):
    status, _, err = run(photo, detector="~nobody-of-that-name/x.onnx")
    assert status == 1 and len(err.splitlines()) == 1
    monkeypatch.setenv("WHOLEBODY_CACHE", "~nobody-of-that-name")
    status, _, err = run(command="models")
    assert status == 1 and "no such user" in err


def test_control_characters_of_a_name_reach_no_terminal(run, photo, tmp_path):
    evil = "a\x1b]0;title\x07\u202eb\udce9.png"
    status, out, err = run(photo, f"{tmp_path}/{evil}")
    assert status == 1 and r"a\x1b]0;title\x07\u202eb\udce9.png: no such file" in err
    photo.rename(tmp_path / evil)
    status, out, err = run(tmp_path / evil)
    assert status == 0 and r"\x1b]0;title\x07" in out and "\x1b" not in out + err
    assert run(command=evil)[0] == 2
