"""`pytest --oracle=DIR` runs every golden test against another folder of the layout of tests/golden."""

from pathlib import Path

import pytest
from hypothesis import settings

GOLDEN = Path(__file__).parent / "golden"

# A busy machine is slow, not wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--oracle", metavar="DIR", type=Path, default=GOLDEN, help="folder of golden numbers")


@pytest.fixture(scope="session")
def oracle(request: pytest.FixtureRequest) -> Path:
    """The folder of golden numbers."""
    folder: Path = request.config.getoption("--oracle")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder; no proxy and no setting of the user's is in the way."""
    proxies = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
    for name in ("WHOLEBODY_OFFLINE", "WHOLEBODY_MIRROR", "WHOLEBODY_TRUST", *proxies):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "cache"
    monkeypatch.setenv("WHOLEBODY_CACHE", str(folder))
    return folder
