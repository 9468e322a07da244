"""Pages of figures that runs wrote into files: `runs/<name>/*.csv`."""

import csv
from pathlib import Path


def measurements(root: Path) -> dict[str, str]:
    """The page of the tables in `runs/`, each as its run wrote it."""
    text = (
        "# Tables from the runs\n\nEach table is a file in the repository, as the run in its heading wrote it. "
        "The [overview](index.md) says which page explains which figures.\n"
    )
    for file in sorted((root / "runs").glob("*/*.csv")):
        with file.open(encoding="utf-8", newline="") as opened:
            head, *rows = list(csv.reader(opened))
        text += f"\n## {file.relative_to(root).as_posix()}\n\n"
        text += f"[Explanation](../benchmarks/{file.parent.name}.md).\n\n"
        text += f"| {' | '.join(head)} |\n|{'---|' * len(head)}\n"
        step = max(len(rows) // 40, 1)
        text += "".join(f"| {' | '.join(row)} |\n" for row in rows[step - 1 :: step])
    return {"benchmarks/tables.md": text}
