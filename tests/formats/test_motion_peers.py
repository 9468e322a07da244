"""Motion capture's files through the readers of the programs they are for.

`make test-peers` installs those and runs this. What is not installed is skipped.
"""

import ast
import fnmatch
import importlib.metadata
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from test_formats import PIXEL, people
from wholebody import formats
from wholebody.formats.common import row_ids
from wholebody.formats.opensim import marker_names
from wholebody.schema import COCO_WHOLEBODY, HALPE_26


def functions(package, file, *names, **given):
    """Functions of a file of another package by their own source: importing the file would import Qt and OpenSim."""
    try:
        path = importlib.metadata.distribution(package).locate_file(file)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    assert len(found) == len(names), f"{package} has changed"
    scope = {"np": np, "re": re, "json": json, "os": os, "fnmatch": fnmatch, "Path": Path, **given}
    exec(compile(ast.Module(found, []), str(path), "exec"), scope)
    return [scope[name] for name in names]


@pytest.fixture
def frames():
    """Two people, one of whom goes and comes, and a point without a score."""
    frames = [(n / 25, people(2, ids=[1, 2], seed=n) if n != 1 else people(1, ids=[2], seed=n)) for n in range(4)]
    frames[2][1].scores[1, 5] = 0
    return frames


def test_pose2sim_loads_a_trial_of_two_cameras(tmp_path, frames):
    """As its triangulation and its association of people do: folders by name, files by their last number."""
    pytest.importorskip("anytree", reason="anytree is not installed")
    skeletons = pytest.importorskip("Pose2Sim.skeletons", reason="pose2sim is not installed", exc_type=ImportError)
    from anytree import RenderTree

    (sort,) = functions("pose2sim", "Pose2Sim/common.py", "sort_stringlist_by_last_number")
    (extract,) = functions("pose2sim", "Pose2Sim/triangulation.py", "extract_files_frame_f")
    (read,) = functions("pose2sim", "Pose2Sim/personAssociation.py", "read_json")
    for camera in ("cam01", "cam02"):
        place = formats.pose2sim_folder(tmp_path / f"{camera}_pose")
        formats.write_pose2sim(place, frames if camera == "cam01" else frames[::-1])
    pose = tmp_path / "pose"
    folders = [name for name in sort(next(os.walk(pose))[1]) if "json" in name]
    assert folders == ["cam01_json", "cam02_json"]
    files = [sort([path.name for path in (pose / name).glob("*.json")]) for name in folders]
    ids = [node.id for _, _, node in RenderTree(skeletons.COCO_133) if node.id is not None]
    for n, (_, poses) in enumerate(frames):
        at = [[one for one in some if int(re.split(r"(\d+)", one)[-2]) == n] for some in files]
        paths = [pose / name / one for name, (one,) in zip(folders, at, strict=True)]
        x, y, likelihood = extract(paths, ids)
        assert x.shape[1:] == (2, len(ids))
        for row in range(len(poses)):
            np.testing.assert_allclose(x[row, 0], poses.keypoints[row, ids, 0], atol=PIXEL)
            np.testing.assert_allclose(y[row, 0], poses.keypoints[row, ids, 1], atol=PIXEL)
            np.testing.assert_allclose(likelihood[row, 0], poses.scores[row, ids], atol=1e-4)
        assert [len(person) for person in read(paths[1])] == [3 * 133] * len(frames[::-1][n][1])


@pytest.mark.parametrize(("skeleton", "schema"), [("COCO_133", COCO_WHOLEBODY), ("HALPE_26", HALPE_26)])
def test_markers_are_called_as_in_pose2sim(skeleton, schema):
    pytest.importorskip("anytree", reason="anytree is not installed")
    skeletons = pytest.importorskip("Pose2Sim.skeletons", reason="pose2sim is not installed", exc_type=ImportError)
    from anytree import RenderTree

    nodes = [node for _, _, node in RenderTree(getattr(skeletons, skeleton)) if node.id is not None]
    assert len(nodes) > 20
    assert [marker_names(schema)[node.id] for node in nodes] == [node.name for node in nodes]


def test_markers_are_those_of_opensims_model():
    try:
        package = importlib.metadata.distribution("pose2sim")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pose2sim is not installed")
    text = Path(package.locate_file("Pose2Sim/OpenSim_Setup/Markers_Coco133.xml")).read_text()
    wanted = re.findall(r'<Marker name="(\w+)">', text)
    assert len(wanted) > 20 and set(wanted) <= set(marker_names(COCO_WHOLEBODY))


def test_sports2d_loads_pixels(tmp_path, frames):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    (read,) = functions("pose2sim", "Pose2Sim/common.py", "read_trc", pd=pandas)
    (load,) = functions("sports2d", "Sports2D/process.py", "load_pose_file")
    path = tmp_path / "clip_pose_2_px.trc"
    formats.write_trc(path, frames, 2, 480, formats.SPORTS2D)
    coordinates, numbers, times, names, header = read(path)
    assert list(numbers) == [1, 2, 3, 4] and tuple(names) == marker_names(COCO_WHOLEBODY)
    np.testing.assert_allclose(times, [time for time, _ in frames], atol=1e-6)
    assert header[2].split("\t")[4] == "m"
    keypoints, _ = load(coordinates)
    assert keypoints.shape == (4, 1, 133, 2)
    for found, (_, poses) in zip(keypoints[:, 0], frames, strict=True):
        row = row_ids(poses).index(2)
        want = np.where(poses.scores[row, :, None] > 0, poses.keypoints[row], np.nan)
        np.testing.assert_allclose(found, want, atol=PIXEL)


def test_pose_format_reads_its_own_header(tmp_path, frames):
    pytest.importorskip("pose_format", reason="pose-format is not installed")
    from pose_format import Pose
    from pose_format.utils.cocowholebody133_header import cocowholebody_components
    from pose_format.utils.generic import detect_known_pose_format

    formats.write_sign(tmp_path / "a.pose", frames, (640, 480), 25.0)
    pose = Pose.read((tmp_path / "a.pose").read_bytes())
    assert detect_known_pose_format(pose) == "coco_wholebody_133" and pose.body.fps == 25
    assert (pose.header.dimensions.width, pose.header.dimensions.height) == (640, 480)
    for ours, theirs in zip(pose.header.components, cocowholebody_components(), strict=True):
        assert (ours.name, ours.format, ours.points) == (theirs.name, theirs.format, theirs.points)
    assert pose.body.data.shape == (4, 2, 133, 2)
    np.testing.assert_array_equal(pose.body.data.data[0], frames[0][1].keypoints)
    np.testing.assert_array_equal(pose.body.confidence[3], frames[3][1].scores)
    assert pose.body.data.mask[1, 0].all() and pose.body.data.mask[2, 1, 5].all()
    assert not pose.body.data.mask[0].any()


@pytest.mark.parametrize("several", [True, False])
def test_deeplabcuts_tables(tmp_path, frames, several):
    """As DeepLabCut reads them itself: with pandas, and by these levels."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    pytest.importorskip("tables", reason="tables is not installed")
    if not several:
        frames = [(time, poses[[row_ids(poses).index(2)]]) for time, poses in frames]
    formats.write_deeplabcut(tmp_path / "a.csv", frames)
    formats.write_deeplabcut_h5(tmp_path / "a.h5", frames)
    levels = ["scorer", *["individuals"] * several, "bodyparts", "coords"]
    text = pandas.read_csv(tmp_path / "a.csv", index_col=0, header=list(range(len(levels))))
    table = pandas.read_hdf(tmp_path / "a.h5", "df_with_missing")
    for found in (text, table):
        assert list(found.columns.names) == levels and list(found.index) == [0, 1, 2, 3]
        person = found["wholebody"]["person2"] if several else found["wholebody"]
        for n, (_, poses) in enumerate(frames):
            row = row_ids(poses).index(2)
            want = np.concatenate([poses.keypoints[row], poses.scores[row][:, None]], axis=1)
            want = np.where(want[:, 2:] > 0, want, np.nan)
            np.testing.assert_allclose(person.iloc[n].to_numpy().reshape(133, 3), want, atol=PIXEL)


def test_pycocotools_evaluates_results_in_one_file(tmp_path):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed", exc_type=ImportError)
    evaluation = pytest.importorskip("pycocotools.cocoeval", reason="pycocotools is not installed")
    truth = {int(n): people(2, seed=n) for n in (9, 397133)}
    formats.write_coco(tmp_path / "results.json", truth)
    marked = [
        {
            "id": 10 * image + row,
            "image_id": image,
            "category_id": 1,
            "iscrowd": 0,
            "num_keypoints": 17,
            "area": 5000.0,
            "bbox": [0, 0, 99, 99],
            "keypoints": np.concatenate([poses.keypoints[row, :17], np.full((17, 1), 2)], axis=1).ravel().tolist(),
        }
        for image, poses in truth.items()
        for row in range(2)
    ]
    annotations = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": 700, "height": 700} for n in truth],
        "annotations": marked,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO_WHOLEBODY.names[:17]), "skeleton": []}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(annotations))
    names = [picture["file_name"] for picture in annotations["images"]]
    assert formats.image_ids(names, tmp_path / "truth.json") == formats.image_ids(names)
    known = coco.COCO(str(tmp_path / "truth.json"))
    run = evaluation.COCOeval(known, known.loadRes(str(tmp_path / "results.json")), "keypoints")
    run.evaluate()
    run.accumulate()
    run.summarize()
    assert run.stats[0] == pytest.approx(1.0)
