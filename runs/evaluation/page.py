"""docs/compare.md from what compare.sh measured: `python runs/evaluation/page.py work/compare docs`."""

import shutil
import sys
from pathlib import Path

HEAD = """# Beside other systems

Made by `sh runs/evaluation/compare.sh`; what it needs is in `runs/evaluation/README.md`. All rows of a table come from
one run on the same pictures and boxes. Rows of ours and of rtmlib took turns, picture by picture; MediaPipe and the
composite ran as commands after them, with as many threads as they like. The composite is Google's networks led by
MoveNet Thunder (`runs/evaluation/peers`): the teacher of our pseudo-labels on real photos.

## Real people: COCO photos kept out of training, COCO's labels of the body
"""


def main() -> None:
    measured, docs = Path(sys.argv[1]), Path(sys.argv[2])
    pages = {name: (measured / name / "compare.md").read_text() for name in ("coco", "synthetic")}
    real, published = pages["coco"].split("\n## Published\n")
    synthetic = pages["synthetic"].split("\n## Published\n")[0]
    for name in pages:
        shutil.copy(measured / name / "compare.svg", docs / f"compare_{name}.svg")
    page = (
        HEAD
        + "\n"
        + real.replace("compare.svg", "compare_coco.svg")
        + "\n## Rendered people, exact labels of all 133 points, hidden ones included\n\n"
        + synthetic.replace("compare.svg", "compare_synthetic.svg")
        + "\n## Published\n"
        + published
    )
    (docs / "compare.md").write_text(page)


if __name__ == "__main__":
    main()
