"""Type aliases for arrays. Each docstring gives the shapes."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

PathLike = str | os.PathLike[str]

# (H, W, 3) BGR unless a docstring says otherwise.
Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
AnyFloats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]
Ints32 = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

# Anything that can index a set of rows.
Rows = slice | Sequence[int] | npt.NDArray[np.bool_] | npt.NDArray[np.integer[Any]]
Index = int | Rows

# (width, height) in pixels.
Size = tuple[int, int]
