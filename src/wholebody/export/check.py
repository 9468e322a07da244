"""Verifying an exported file against the original before it gets its final name."""

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wholebody.errors import WholebodyError
from wholebody.files import replacing
from wholebody.runtime.choose import open_session
from wholebody.runtime.session import Session

# Largest difference between torch and ONNX Runtime, in standard deviations of the output. A few 1e-5 is normal for
# float32; narrower storage changes the weights themselves, so only gross errors are caught.
TOLERANCE = {"float32": 1e-3, "float16": 0.2, "int8": 3.0}


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporter's warnings about its own deprecations and optional packages, which users cannot act on."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def describe(proto: Any, about: Mapping[str, object]) -> None:
    entry = proto.metadata_props.add()
    entry.key, entry.value = "wholebody", json.dumps(about)


@contextmanager
def written(proto: Any, path: str | os.PathLike[str]) -> Iterator[Session]:
    """A session on the new file, which gets its final name only if the block succeeds."""
    with replacing(path) as partial:
        Path(partial).write_bytes(proto.SerializeToString())
        try:
            session = open_session(partial, device="cpu")
        except WholebodyError as error:
            raise WholebodyError(f"{path}: ONNX Runtime rejects the export. Try its newest version.") from error
        yield session
