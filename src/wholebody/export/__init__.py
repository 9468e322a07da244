"""Exporting checkpoints to ONNX; a file is compared with the original before it gets its final name."""

from wholebody.export.convert import OPSET, export_detector, export_pose
from wholebody.export.narrow import Storage, low_rank
from wholebody.export.plain import plain_layout
from wholebody.export.quantise import quantise

__all__ = ["OPSET", "Storage", "export_detector", "export_pose", "low_rank", "plain_layout", "quantise"]
