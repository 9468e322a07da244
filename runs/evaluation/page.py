"""docs/compare.md from the measurements of compare.sh: `python runs/evaluation/page.py work/compare docs`.

Everything that depends on the networks is read from the measurements, so the page can be regenerated for other
networks.
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

HEAD = """# Comparison with other systems

The accuracy and speed of the bundled pose networks, compared with other estimators that run offline. Everything was
measured in one session on the same pictures, with the same boxes and one thread each. (MediaPipe has no option for the
number of threads, so it was pinned to one core.) There are three sets of people, and no network of this project was
trained on any of them:

* **COCO**: COCO photos with COCO's own body labels, made by human annotators. This is the only independent ground truth
  here, and it is small.
* **Teachers**: held-out photos and video frames, labelled by MoveNet Thunder and MediaPipe. Where a photo comes from
  COCO and has COCO's body labels, those are used for the body. *This measures agreement, not truth*: the composite
  below is almost the same set of networks, and our network learned from labels of this kind.
* **Rendered**: synthetic people with exact labels for all 133 keypoints, hidden ones included. Our network was trained
  on other people from the same generator; the other systems never saw any.

The systems:

* **{first}**: ours, as `WholeBody()` runs it. The people in a picture are processed as one batch.
{ours}* **rtmlib**: [rtmlib](https://github.com/Tau-J/rtmlib) {rtmlib}. Its own code, running our network, which was
  exported with `--plain`.
* **rtmlib given RGB**: the same, but with the red and blue channels swapped beforehand. rtmlib feeds pose networks BGR;
  ours, like the released RTMPose and DWPose, expects RGB.
* **MediaPipe Holistic**: Google's 0.10.21 as distributed, with its heavy pose network. One call per person, on the box
  enlarged 1.3 times.
* **Thunder composite**: what Google's networks can do when MoveNet Thunder locates the feet, face and hands for them.
  It takes about ten network runs per person (`runs/evaluation/peers/mediapipe_people.py`).

Accuracy is the mean OKS (object keypoint similarity) in per cent; at its loosest threshold COCO counts a person as
found from 50 up. Brackets hold the 95 % bootstrap interval over pictures. No system used a flip test. Times are per
person, with the box given; `x` is the CPU time relative to the first row. Compare CPU time rather than wall-clock time:
the machine was shared with other work, the load varied, and MediaPipe and the composite, which are separate programs,
ran after the others.

The model cards have slightly different figures for the same networks: there, people and method differ a little
([how](explanation/figures.md#accuracy)).

Machine: {machine}.
"""

SETS = {
    "coco": "COCO photos, COCO's body labels",
    "teachers": "Held-out photos and clips, teachers' labels: agreement, not truth",
    "synthetic": "Rendered people, exact labels for all 133 keypoints",
}

LIMITS = """## What the numbers do not say

* Nothing about the released DWPose or RTMPose weights, or about any row of the table below without a measurement. Those
  files were not available where this was run. `wholebody compare --models dwpose-l-384` measures them next to ours.
* Nothing about AP on COCO-WholeBody val. The COCO set here has {people} people in {pictures} pictures, with body labels
  only, and its intervals are wide. Trust a difference only if its own interval excludes 0.
* Nothing about the true accuracy on faces, hands and feet in real photos: nobody labelled those by hand here. The
  teachers' labels show whether a network learned what its teachers know. The rendered labels show whether it learned
  the renderer.
* Little about how well MediaPipe places keypoints on rendered faces. The composite finds a face on {faces:.0f} % of
  these people, and a face that is not found counts as 0.
* MoveNet and MediaPipe may have been trained on these COCO photos. Our network was not, but its encoder is MoveNet's.
* Nothing about speed on other machines, with several threads, or of person detection: see
  [the speed benchmark](benchmark.md).
"""

COMMAND = """## How this page was made

```sh
sh runs/evaluation/compare.sh
```

[runs/evaluation](../runs/evaluation/README.md) lists what it needs. The tables and plots come from its measurements;
the text comes from `runs/evaluation/page.py`.
"""

ABOUT = {
    "fast": "the same network on crops of 128 x 96",
    "dwpose-t": "RTMPose-t, distilled from the first in DWPose's two stages",
}
MARGIN = {True: "above", False: "below"}


def said(name: str, rows: Mapping[str, Any]) -> list[str]:
    """The differences from the first row whose intervals exclude 0."""
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
            lines.append(f"  * {other}: no significant difference from {first}.")
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
        sentence, rest = table.split(". Mean OKS", 1)  # the head of the page explains the figures
        table = sentence + "." + rest[rest.index("\n") :]
        shown = "![" + picture.replace("compare.svg", f"compare_{name}.svg").strip()
        parts.append(f"## {title}\n\n{shown}\n\n{table.strip()}\n")
    verdicts = [line for name, title in SETS.items() for line in said(title.split(",")[0], rows[name])]
    parts.append(
        "## What the numbers say\n\nDifferences in OKS points, where the interval of the difference excludes 0:\n\n"
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
