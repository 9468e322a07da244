import numpy as np
import pytest
import torch

from wholebody.codec import Heatmap
from wholebody.errors import WholebodyError
from wholebody.export.convert import export_pose
from wholebody.networks.checkpoints import save_pose
from wholebody.networks.rtmpose import rtmpose, simcc
from wholebody.pose.topdown import TopDown
from wholebody.runtime.choose import open_session
from wholebody.schema import COCO_WHOLEBODY
from wholebody.train.landmarks import BLAZEPOSE_33, FACE_MESH_468, HALPE, MOVENET_17, to_wholebody
from wholebody.train.teachers import (
    Average,
    Checkpoint,
    Landmarker,
    Onnx,
    Taught,
    channels_of,
    from_file,
    from_files,
    rebinned,
    resized,
    spread,
)

CODEC = simcc((64, 64))


def crops(n=2, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, 64, 64, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    made = rtmpose("t", (64, 64))
    with torch.no_grad():  # untrained classifiers say nothing
        for layer in (made.head.cls_x, made.head.cls_y, made.head.mlp[1], made.head.final_layer):
            layer.weight.mul_(30)
    return made.eval()


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teachers")
    save_pose(network, folder / "t.safetensors")
    export_pose(network, folder / "t.onnx")
    return folder


@pytest.mark.slow
def test_a_checkpoint_and_its_export_say_the_same(network, files):
    images = crops()
    one, other = from_file(files / "t.safetensors", CODEC), from_file(files / "t.onnx", CODEC)
    said, heard = one(images), other(images)
    x = network(network.normalise(images))[0].detach()
    torch.testing.assert_close(said.x, x)
    torch.testing.assert_close(said.feature, network.features(network.normalise(images)))
    scale = float(x.abs().max())
    torch.testing.assert_close(heard.x, said.x, atol=2e-3 * scale, rtol=0)
    torch.testing.assert_close(heard.y, said.y, atol=2e-3 * scale, rtol=0)
    assert heard.feature is None and [channels_of(each, CODEC, 133) for each in (one, other)] == [384, 0]


def test_a_teacher_of_another_size_answers_in_the_students_bins(network):
    codec = simcc((32, 32))
    taught = Checkpoint(network, codec)(crops()[:, ::2, ::2])
    assert taught.x.shape == (2, 133, 64) and taught.feature.shape == (2, 384, 1, 1)


def test_bins_keep_their_places():
    """A Gaussian around a point stays around it when the bins are halved."""
    x, y, _ = CODEC.encode(np.full((1, 1, 2), 40.0), np.ones((1, 1)))
    half = simcc((32, 32))
    small_x, _ = rebinned(torch.from_numpy(x), torch.from_numpy(y), half)
    assert abs(int(small_x.argmax()) - 40) <= 1  # 20 pixels at two bins a pixel


def test_crops_are_resized_only_where_they_must_be():
    images = crops()
    assert resized(images, (64, 64)) is images
    assert resized(images, (48, 96)).shape == (2, 96, 48, 3)


def test_an_average_counts_who_knows():
    def say(value, known):
        weight = torch.zeros(1, 133)
        weight[:, known] = 1

        return lambda images: Taught(torch.full((1, 133, 4), value), torch.full((1, 133, 4), 2 * value), None, weight)

    both = Average([say(1.0, slice(0, 17)), say(3.0, slice(0, 23))])(crops(1))
    np.testing.assert_allclose(both.x[0, :17, 0], 2)
    np.testing.assert_allclose(both.y[0, 17:23, 0], 6)
    np.testing.assert_allclose(both.weight[0, [0, 20, 50]], [1, 0.5, 0])


@pytest.mark.parametrize(
    ("landmarks", "count", "known"),
    [(MOVENET_17, 17, 17), (BLAZEPOSE_33, 33, 21), (FACE_MESH_468, 468, 68), (HALPE, 136, 133)],
)
def test_landmarks_of_others(landmarks, count, known):
    points = np.stack([np.arange(count), np.zeros(count)], axis=1)[None].astype(np.float32)
    keypoints, scores = to_wholebody(points, np.full((1, count), 0.7, np.float32), landmarks)
    assert (scores > 0).sum() == known and len(landmarks) == known
    for row, chosen in landmarks.items():
        assert keypoints[0, row, 0] == pytest.approx(np.mean(chosen))


def test_sides_of_landmarks():
    """Left is the person's left in every table: mirrored rows are mirrored landmarks."""
    names = COCO_WHOLEBODY.names
    assert BLAZEPOSE_33[names.index("left_wrist")] == (15,) and BLAZEPOSE_33[names.index("right_heel")] == (30,)
    # The outer corner of the person's right eye is landmark 33, of the left one 263.
    assert FACE_MESH_468[23 + 36] == (33,) and FACE_MESH_468[23 + 45] == (263,)
    assert HALPE[names.index("left_big_toe")] == (20,) and HALPE[names.index("right_big_toe")] == (21,)


def test_points_become_labels_of_the_height_of_their_score():
    def ask(images):
        points = np.full((len(images), 17, 2), 20.0, np.float32)
        return points, np.linspace(0, 1.5, 17, dtype=np.float32)[None].repeat(len(images), 0)

    taught = Landmarker(ask, MOVENET_17, CODEC)(crops())
    heights = taught.x[0].amax(dim=-1)
    np.testing.assert_allclose(heights[:17], np.linspace(0, 1.5, 17).clip(0, 1), atol=1e-6)
    assert (taught.x[0, 1:17].argmax(dim=-1) == 40).all()
    np.testing.assert_allclose(taught.weight[0, 17:], 0)


def test_heatmaps_are_decoded_and_encoded_again(tmp_path):
    from networks import save_heatmaps

    model = TopDown(open_session(save_heatmaps(tmp_path / "h.onnx", size=(48, 64)), "cpu", 1))
    assert isinstance(model.codec, Heatmap)
    images = torch.full((1, 64, 64, 3), 30, dtype=torch.uint8)
    images[0, 24:28, 40:44] = 255
    taught = Onnx(model, CODEC)(images)
    decoded, _ = CODEC.decode(taught.x.numpy(), taught.y.numpy())
    np.testing.assert_allclose(decoded[0, :17], np.tile([41.5, 25.5], (17, 1)), atol=4)
    assert (taught.weight[0, 17:] == 0).all()


def test_spread_leaves_out_what_lies_outside():
    keypoints = np.full((1, 133, 2), 30, np.float32)
    keypoints[0, 0] = [-500, 30]
    taught = spread(keypoints, np.ones((1, 133), np.float32), CODEC, torch.device("cpu"))
    assert taught.weight[0, 0] == 0 and taught.weight[0, 1] == 1


def test_several_files_are_averaged(files):
    paths = [str(files / "t.safetensors"), str(files / "t.onnx")]
    assert isinstance(from_files(paths, CODEC), Average)
    assert isinstance(from_files(paths[:1], CODEC), Checkpoint)


def test_a_wrong_file_is_one_line(tmp_path):
    (tmp_path / "no.onnx").write_bytes(b"nothing")
    with pytest.raises(WholebodyError, match=r"no\.onnx") as error:
        from_file(tmp_path / "no.onnx", CODEC)
    assert "\n" not in str(error.value)
