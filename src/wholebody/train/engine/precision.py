"""The precision of a training: half precision only where the hardware supports it."""

import torch

from wholebody.choices import TrainPrecision
from wholebody.errors import WholebodyError


def compute_type(precision: TrainPrecision, device: torch.device) -> torch.dtype | None:
    """The type for operations that are safe in half precision; None for float32 throughout.

    "auto" is bfloat16 if it is native, float16 on GPUs without it, and otherwise float32: emulated bfloat16 was
    measured to be eight times slower than float32.

    Raises:
        WholebodyError: bfloat16 was requested, but this device only emulates it.
    """
    if precision == "fp32":
        return None
    if precision == "fp16":
        return torch.float16
    if native_bfloat16(device):
        return torch.bfloat16
    if precision == "bf16":
        raise WholebodyError(
            f"this {'graphics card' if device.type == 'cuda' else 'processor'} has no bfloat16 and would be many times "
            "slower with it. Choose precision auto, fp32 or, on a graphics card, fp16."
        )
    return torch.float16 if device.type == "cuda" else None


def native_bfloat16(device: torch.device) -> bool:
    """Whether a device has native bfloat16: GPUs from Ampere on, CPUs with AVX-512 BF16 or AMX."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def quick_kernels(tf32: bool) -> None:
    """On GPUs, let cuDNN search for the fastest convolutions; `tf32`: use TF32 for float32 products."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
