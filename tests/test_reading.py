"""Arrays as NumPy writes them, in either order."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as arrays

from wholebody.reading import load_array, load_arrays, map_array


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays.arrays(np.float32, arrays.array_shapes(max_dims=3, max_side=4)), arrays.integer_dtypes())
def test_arrays_in_fortran_order_are_read_as_they_were_written(tmp_path, values, kind):
    written = {
        "c": values,
        "f": np.asfortranarray(values),
        "t": values.T,
        "i": np.arange(6).reshape(2, 3).T.astype(kind),
    }
    np.savez(tmp_path / "arrays.npz", **written)
    read = load_arrays(tmp_path / "arrays.npz")
    for name, array in written.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype
        np.save(tmp_path / "array.npy", array)
        np.testing.assert_array_equal(load_array(tmp_path / "array.npy"), array)
        np.testing.assert_array_equal(map_array(tmp_path / "array.npy"), array)


def test_a_file_of_an_array_that_is_cut_off_is_refused(tmp_path):
    np.save(tmp_path / "array.npy", np.ones((4, 5)).T)
    data = (tmp_path / "array.npy").read_bytes()
    (tmp_path / "array.npy").write_bytes(data[:-8])
    with pytest.raises(ValueError, match="bytes"):
        load_array(tmp_path / "array.npy")
