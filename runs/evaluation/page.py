"""docs/compare.md from what compare.sh measured: `python runs/evaluation/page.py work/compare docs`.

Whatever depends on the networks is read from the measurements, so that the page can be made again for others.
"""

import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

HEAD = """# Beside other systems

How exact and how fast the bundled pose networks are beside other estimators that run offline, measured in one go on the
same pictures, the same boxes and one thread each (MediaPipe, which has no option for that, is kept on one core). Three
sets of people that no network of this project was trained on:

* **COCO**: photos of COCO with COCO's own labels of the body, by people. The only independent truth here, and small.
* **Teachers**: held-out photos and video frames, labelled by MoveNet Thunder and MediaPipe (COCO's photos: the body by
  COCO, where it did). *Agreement with these networks, not truth*: the composite below is nearly the same networks, and
  our network learned from such labels.
* **Rendered**: synthetic people with exact labels of all 133 points, hidden ones included. Our network was trained on
  other people of the same generator; the others never saw any.

What takes part:

* **{first}**: ours, as `WholeBody()` runs it; people of a picture share a batch.
{ours}* **rtmlib**: [rtmlib](https://github.com/Tau-J/rtmlib) {rtmlib}, its own code on our network, exported with
  `--plain`.
* **rtmlib given RGB**: the same with the colours of the picture exchanged beforehand. rtmlib hands pose networks blue
  first, ours (like the released RTMPose and DWPose) expects red first.
* **MediaPipe Holistic**: Google's 0.10.21 as people use it, with its heavy pose network; one call on each box x 1.3.
* **Thunder composite**: what Google's networks can do when MoveNet Thunder leads them to feet, face and hands, with
  some ten network runs a person (`runs/evaluation/peers/mediapipe_people.py`).

Figures are mean OKS (object keypoint similarity in per cent; COCO counts a person as found from 50 on), in brackets the
interval that 95 of 100 resamplings of the pictures fall into. Nobody used a flip test. Times are for one person in a
box that is given; `x` says how many times the processor's time of the first line it is. The machine was shared with
other work, unevenly, and MediaPipe and the composite, which are programs of their own, ran after the others: compare
the processor's time, not the clock's.
{machine}.
"""

SETS = {
    "coco": "COCO photos, COCO's labels of the body",
    "teachers": "Held-out photos and clips, labels of the teachers: agreement, not truth",
    "synthetic": "Rendered people, exact labels of all 133 points",
}

LIMITS = """## What they do not say

* Nothing about the released DWPose or RTMPose weights, nor about any row of the table below that has no measurement:
  their files could not be had where this was run. `wholebody compare --models dwpose-l-384` measures them beside ours.
* What AP on COCO-WholeBody val would be. The COCO set here is {people} people of {pictures} pictures with labels of
  the body only, and its intervals are wide: trust a difference only if its own interval leaves out 0.
* That anything is right about faces, hands and feet on real photos: nobody labelled those by hand here. The teachers'
  labels say whether a network learned its teachers, the rendered ones whether it learned the renderer.
* How well MediaPipe places points on rendered faces: it finds one on {faces:.0f} % of these people (composite), and
  a face that is not found counts as 0.
* MoveNet and MediaPipe may have been trained on these COCO photos; ours was not, but its encoder began as MoveNet's.
* Speed on other machines, or with several threads, or of finding people: docs/benchmark.md.
"""

COMMAND = """## How this page was made

```sh
sh runs/evaluation/compare.sh
```

`runs/evaluation/README.md` says what it needs. Tables and plots come from its measurements, this text from
`runs/evaluation/page.py`.
"""

ABOUT = {
    "fast": "the same network on crops of 128 x 96",
    "dwpose-t": "RTMPose-t, which learned from the first in DWPose's two stages",
}
MARGIN = {True: "above", False: "below"}


def said(name: str, rows: Mapping[str, Any]) -> list[str]:
    """What the differences from the first row come to, beyond their intervals."""
    first, *others = rows
    lines = []
    for other in others:
        apart = rows[other]["OKS_minus_first"]
        seen = {part: d for part, d in apart.items() if d and rows[other]["people"][part]}
        sure = {part: d for part, d in seen.items() if d[1] * d[2] > 0 and abs(d[0]) >= 5e-4}
        if len([part for part in apart if rows[other]["people"][part]]) <= 2:
            sure.pop("whole", None)
        for above in (True, False):
            there = [f"{part.replace('_', ' ')} ({100 * d[0]:+.1f})" for part, d in sure.items() if (d[0] > 0) is above]
            if there:
                lines.append(f"  * {other} is {MARGIN[above]} {first}: {', '.join(there)}.")
        if not sure:
            lines.append(f"  * {other} and {first} cannot be told apart.")
    return [f"* {name}", *lines]


def main() -> None:
    measured, docs = Path(sys.argv[1]), Path(sys.argv[2])
    pages = {name: (measured / name / "compare.md").read_text().split("\n## Published\n") for name in SETS}
    rows = {name: json.loads((measured / name / "compare.json").read_text()) for name in SETS}
    names = list(rows["coco"])
    first = names[0]
    others = [name for name in names[1:] if not name.startswith(("rtmlib", "MediaPipe", "Thunder"))]
    facts = {
        "first": first,
        "ours": "".join(f"* **{name}**: ours, {ABOUT.get(name, 'run in the same way')}.\n" for name in others),
        "rtmlib": version("rtmlib"),
        "machine": f"{os.cpu_count()} cores of {processor()}, onnxruntime {version('onnxruntime')}",
    }
    parts = [HEAD.format(**facts)]
    for name, title in SETS.items():
        shutil.copy(measured / name / "compare.svg", docs / f"compare_{name}.svg")
        table, picture = pages[name][0].split("\n![")
        sentence, rest = table.split(". Mean OKS", 1)  # what the figures are was said above
        table = sentence + "." + rest[rest.index("\n") :]
        shown = "![" + picture.replace("compare.svg", f"compare_{name}.svg").strip()
        parts.append(f"## {title}\n\n{shown}\n\n{table.strip()}\n")
    verdicts = [line for name, title in SETS.items() for line in said(title.split(",")[0], rows[name])]
    parts.append(
        "## What the numbers say\n\nIn points of OKS, where the interval of the difference leaves out 0:\n\n"
        + "\n".join(verdicts)
        + "\n"
    )
    counts = {"people": rows["coco"][first]["people"]["body"], "pictures": rows["coco"][first]["images"]}
    composite = json.loads((measured / "synthetic" / "work" / "Thunder_composite.json").read_text())
    faces = 100 * sum(any(row["face_kpts"][2::3]) for row in composite) / len(composite)
    parts.append(LIMITS.format(**counts, faces=faces))
    parts.append("## Published figures of other systems\n" + pages["synthetic"][1])
    parts.append(COMMAND)
    (docs / "compare.md").write_text("\n".join(parts))


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


if __name__ == "__main__":
    main()
