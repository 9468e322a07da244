"""What can be chosen by a word, once for Python and for the command line. It imports nothing: --help is instant."""

from typing import Literal

# What a picture shows: the skeleton over the photo, OpenPose's map on black, or nothing.
Drawing = Literal["skeleton", "openpose", "none"]
Part = Literal["body", "hands", "face", "feet"]
Latency = Literal["low", "high"]
Smoothing = Literal["off", "light", "strong"]
Device = Literal["auto", "cpu", "openvino", "cuda", "tensorrt", "coreml", "directml"]
Precision = Literal["auto", "fp32", "bf16", "int8"]
# What a training computes in.
TrainPrecision = Literal["auto", "fp32", "bf16", "fp16"]
# What becomes of a stopped run that goes on with another recipe or other data.
Changes = Literal["refuse", "record"]
# What of a person a contact sheet of labels shows.
SheetPart = Literal["whole", "face", "hands", "feet"]
# Who comes first among the people of a picture.
Order = Literal["size", "score", "left-to-right", "right-to-left", "top-to-bottom"]
# Degrees clockwise, or the one of the four that finds people best.
Rotation = Literal["0", "90", "180", "270", "auto"]
# How people are fitted to a character (`wholebody.align`).
AlignMode = Literal["linear", "muse", "uni", "wan", "none"]
# Both networks by a word (`wholebody.MODES`).
Mode = Literal["performance", "balanced", "lightweight"]
# What marker files say that their numbers are.
TrcUnit = Literal["mm", "m"]
# How a picture goes onto a canvas of other proportions (`wholebody.draw.canvas`).
Resizing = Literal["pad", "crop", "fit", "stretch"]
# The released sizes of RTMPose. YOLOX has "nano" and "tiny" besides.
NetworkSize = Literal["t", "s", "m", "l", "x"]
