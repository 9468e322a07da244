"""What can be chosen by a word, once for Python and for the command line. It imports nothing: --help is instant."""

from typing import Literal

# What a picture shows: the skeleton over the photo, OpenPose's map on black, or nothing.
Drawing = Literal["skeleton", "openpose", "none"]
Part = Literal["body", "hands", "face", "feet"]
Latency = Literal["low", "high"]
Smoothing = Literal["off", "light", "strong"]
Device = Literal["auto", "cpu", "openvino", "cuda", "tensorrt", "coreml", "directml"]
Precision = Literal["auto", "fp32", "bf16", "int8"]
