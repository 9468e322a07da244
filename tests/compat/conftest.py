from pathlib import Path

import pytest

import wholebody


@pytest.fixture(scope="session")
def sample() -> Path:
    """The bundled photo of one person, 640 x 480."""
    return Path(wholebody.__file__).parent / "sample.jpg"
