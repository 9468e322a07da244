"""Running a network: a `Session` takes one batch and returns arrays, whatever the runtime."""

from wholebody.choices import Precision
from wholebody.runtime.choose import int8_is_fast, open_session
from wholebody.runtime.ort import AUTO, DEVICES, PROVIDERS, OrtSession
from wholebody.runtime.session import PRECISIONS, Session, Tensor, float_file, input_size, int8_file, notes

__all__ = [
    "AUTO",
    "DEVICES",
    "PRECISIONS",
    "PROVIDERS",
    "OrtSession",
    "Precision",
    "Session",
    "Tensor",
    "float_file",
    "input_size",
    "int8_file",
    "int8_is_fast",
    "notes",
    "open_session",
]
