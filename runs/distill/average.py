"""The mean of the weights of several runs from the same start, such as two processes that never waited for each other.

    python runs/distill/average.py work/a/stage1/model.safetensors work/b/stage1/model.safetensors work/mean.safetensors

Runs that begin with the same weights and end with a small learning rate lie in one valley, where the mean is at least
as good as each (Wortsman et al. 2022, "Model soups").
"""

import argparse
from pathlib import Path

import torch

from wholebody.networks.checkpoints import load_pose, save_pose


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    first, *others = (load_pose(run) for run in options.runs)
    with torch.no_grad():
        for name, value in first.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.stack([value, *(other.state_dict()[name] for other in others)]).mean(dim=0))
    save_pose(first, options.out)


if __name__ == "__main__":
    main()
