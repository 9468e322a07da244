"""The mean of the weights of a release and of its fine-tuning (Wortsman et al. 2022, "Robust fine-tuning of zero-shot
models").

python runs/detector/halfway.py RELEASED.safetensors TRAINED.safetensors OUT.safetensors
"""

import sys

from safetensors.torch import load_file, save_file


def main() -> None:
    released, trained, out = sys.argv[1:]
    both = load_file(released), load_file(trained)
    save_file({name: ((value + both[1][name]) / 2).contiguous() for name, value in both[0].items()}, out)


if __name__ == "__main__":
    main()
