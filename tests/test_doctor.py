import pytest

from networks import save_detector, save_pose
from wholebody.commands import doctor
from wholebody.evaluate.speed import precision
from wholebody.wholebody import WholeBody


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The default networks are tiny ones whose detector sees `boxes`."""

    def use(boxes, scores):
        detector = save_detector(tmp_path / "detector.onnx", boxes, scores)
        pose = save_pose(tmp_path / "pose.onnx")
        monkeypatch.setattr(doctor, "WholeBody", lambda **how: WholeBody(pose, detector, threads=1, **how))
        monkeypatch.setattr(doctor, "find", lambda name, kind: {"pose": pose, "detector": detector}[kind])
        monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path / "cache"))

    return use


def test_it_times_every_stage_and_ends_well(tiny, capsys):
    tiny([[20, 10, 90, 90]], [0.9])
    assert doctor.report() == 0
    out = capsys.readouterr().out
    for word in (
        "onnxruntime",
        "CPUExecutionProvider",
        "works",
        "read the photo",
        "find people",
        "keypoints, 48 x 64, CPU",
        "fastest here",
    ):
        assert word in out
    assert "Tensor(" not in out and "…" not in out  # nothing is cut off in a pipe


@pytest.mark.slow
def test_it_ends_well_with_the_bundled_networks(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("WHOLEBODY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor, "duplicates", dict)
    monkeypatch.setattr(precision, "CONTESTANTS", precision.CONTESTANTS[:1])
    assert doctor.report() == 0
    out = capsys.readouterr().out
    assert "1 person" in out and out.count("fastest here") == 2


def test_a_sample_photo_without_its_person_is_an_error(tiny, capsys):
    tiny([[0, 0, 1, 1]], [0.0])
    assert doctor.report() == 1
    assert "found 0 people" in capsys.readouterr().out.replace("\n", " ")


def test_clashing_packages_are_named(tiny, capsys, monkeypatch):
    tiny([[20, 10, 90, 90]], [0.9])
    monkeypatch.setattr(doctor, "duplicates", lambda: {"cv2": ("opencv-python", "opencv-python-headless")})
    assert doctor.report() == 1
    assert "opencv-python and opencv-python-headless" in capsys.readouterr().out.replace("\n", " ")
