"""`wholebody models`, `wholebody doctor` and `wholebody export`."""

from pathlib import Path
from typing import Annotated

import tyro

from wholebody.errors import WholebodyError


def models() -> int:
    """List all networks: the bundled ones, and the released ones that are downloaded on first use.

    WHOLEBODY_OFFLINE=1 forbids downloads; WHOLEBODY_CACHE sets the folder for them. A network with --trust in its row
    cannot be verified, because its full SHA-256 has not been published. Commands download it only with that option.
    """
    from rich.table import Table

    from wholebody.console import stdout_console
    from wholebody.files import cache_folder
    from wholebody.weights.lookup import rows

    found = rows()
    licences = list(dict.fromkeys(row["licence"] for row in found))
    columns = ("name", "kind", "input", "size", "here", "about")
    table = Table(*columns, "licence", box=None, pad_edge=False)
    for row in found:
        table.add_row(*(row[column] for column in columns), f"({licences.index(row['licence']) + 1})")
    console = stdout_console()
    console.print(table)
    for number, licence in enumerate(licences, 1):
        console.print(f"({number}) {licence}", highlight=False)
    console.print(f"Downloads go to {cache_folder()}. Any .onnx file works too: --pose FILE, --detector FILE.")
    return 0


def doctor() -> int:
    """Check this machine: versions, devices and why others are unavailable, conflicts, the time of each stage."""
    from wholebody.commands.doctor import report

    return report()


def export(
    weights: Annotated[Path, tyro.conf.Positional],
    target: Annotated[Path, tyro.conf.Positional],
    /,
    plain: bool = False,
    half: bool = False,
    oks: bool = False,
) -> int:
    """Export a pose checkpoint (.pth, .safetensors) to ONNX (needs the train extra).

    "wholebody export wholebody-133 plain.onnx --plain" converts a network of this package for rtmlib and others that
    expect the official layout.

    Args:
        weights: The checkpoint: released RTMPose or DWPose, a distiller's, or one trained here. With --plain also an
            .onnx file or the name of a network of this package.
        target: The .onnx file.
        plain: The official layout: normalised float crops in, SimCC logits out. Without it: uint8 crops in, keypoints
            and scores out as well.
        half: Store the weights in 16 bits; the network still computes in 32 bits.
        oks: Return the positions of the highest expected OKS instead of the most likely ones, as the bundled networks
            do. More accurate where a network hesitates between places; takes a millisecond per person.
    """
    if weights.suffix.lower() not in (".pth", ".pt", ".safetensors"):
        if not plain or half or oks:
            raise WholebodyError(f"{weights}: is already ONNX, which only --plain accepts. Give the checkpoint.")
        need("onnx", "train")
        from wholebody.export.plain import plain_layout
        from wholebody.pose.load import onnx_file

        plain_layout(onnx_file(weights, "pose"), target)
        print(f"{target}: {target.stat().st_size / 1e6:.1f} MB in the official layout, the same logits")
        return 0
    need("torch", "train")
    from wholebody.export.convert import export_pose, tolerant
    from wholebody.networks.checkpoints import load_pose

    network = load_pose(weights)
    if oks:
        network.codec = tolerant(network)
    export_pose(network, target, fused=not plain, storage="float16" if half else "float32")
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, the same outputs as the checkpoint")
    return 0


def need(module: str, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise WholebodyError(f"this command needs {module}: pip install 'wholebody[{extra}]'.")
