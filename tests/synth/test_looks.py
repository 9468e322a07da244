import numpy as np

from wholebody.synth.textures import recolored


def test_a_new_colour_keeps_the_holes():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    out = recolored(image[:, ::-1], [300, 20.7, -4])
    assert out.shape == image.shape and out.dtype == np.uint8
    np.testing.assert_array_equal(out[..., 3], image[:, ::-1, 3])
    assert (out[..., :3] == [255, 20, 0]).all()
