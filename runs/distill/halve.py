"""Views for a network with half the input size, from those of a larger one.

python runs/distill/halve.py VIEWS OUT
"""

import argparse
import json
from pathlib import Path

from rich.progress import Progress

from wholebody.train.data.views import halve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("views", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    with Progress() as bar:
        task = bar.add_task("views", total=json.loads((options.views / "views.json").read_text())["count"])
        halve(options.views, options.out, progress=lambda done: bar.update(task, completed=done))


if __name__ == "__main__":
    main()
