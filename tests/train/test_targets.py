"""Labels that are drawn on the device are those of the codec."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wholebody.codec import SimCC
from wholebody.train.data.people import NOWHERE
from wholebody.train.targets import drawn


@pytest.mark.parametrize("normalize", [False, True])
@given(arrays(np.float32, (2, 5, 2), elements=st.floats(-40, 300, width=32)))
def test_a_batch_is_drawn_as_the_codec_encodes(normalize, keypoints):
    codec = SimCC((192, 256), normalize=normalize)
    x, y, weight = codec.encode(keypoints, np.ones((2, 5)))
    shown = weight > 0
    for theirs, ours in zip((x, y), drawn(torch.from_numpy(keypoints), codec), strict=True):
        np.testing.assert_allclose(ours.numpy()[shown], theirs[shown], atol=1e-6)
    np.testing.assert_array_equal(codec.weight(keypoints, np.ones((2, 5))), weight)


def test_what_is_nowhere_gets_a_flat_label():
    x, y = drawn(torch.full((1, 3, 2), NOWHERE), SimCC((192, 256)))
    assert x.shape == (1, 3, 384) and y.shape == (1, 3, 512) and not x.any() and not y.any()
