"""The literal options shared by Python and the command line. It imports nothing, so --help is instant."""

from typing import Literal

# What to draw: the skeleton over the photo, OpenPose's map on black, or nothing.
Drawing = Literal["skeleton", "openpose", "none"]
Part = Literal["body", "hands", "face", "feet"]
Latency = Literal["low", "high"]
Smoothing = Literal["off", "light", "strong"]
Device = Literal["auto", "cpu", "openvino", "cuda", "tensorrt", "coreml", "directml"]
Precision = Literal["auto", "fp32", "bf16", "int8"]
# The precision of a training.
TrainPrecision = Literal["auto", "fp32", "bf16", "fp16"]
# What to do if a run is resumed with another recipe or other data.
Changes = Literal["refuse", "record"]
# The part of a person that a contact sheet of labels shows.
SheetPart = Literal["whole", "face", "hands", "feet"]
# The order of the people in a picture.
Order = Literal["size", "score", "left-to-right", "right-to-left", "top-to-bottom"]
# Degrees clockwise, or whichever of the four finds people best.
Rotation = Literal["0", "90", "180", "270", "auto"]
# How people are aligned to a character (`wholebody.align`).
AlignMode = Literal["linear", "muse", "uni", "wan", "none"]
# A preset of both networks (`wholebody.MODES`).
Mode = Literal["performance", "balanced", "lightweight"]
# The unit of the numbers in marker files.
TrcUnit = Literal["mm", "m"]
# How to fit a picture onto a canvas of another aspect ratio (`wholebody.draw.canvas`).
Resizing = Literal["pad", "crop", "fit", "stretch"]
# The released sizes of RTMPose. YOLOX also has "nano" and "tiny".
NetworkSize = Literal["t", "s", "m", "l", "x"]
