"""Notebooks: run again (`python -m website.notebook`, needs nbclient and ipykernel), and as pages of the site."""

import base64
import json
from pathlib import Path

# The first of these that a cell's output has is shown.
_PICTURES = {"image/jpeg": "jpg", "image/png": "png"}


def as_markdown(notebook: Path, folder: Path) -> str:
    """The page: text, code, and the output of the code. Pictures are written to `folder`, next to it."""
    page = []
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    for number, cell in enumerate(cells):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            page.append(source)
            continue
        page.append(f"```python\n{source}\n```")
        for part, output in enumerate(cell["outputs"]):
            data = output.get("data", {})
            kind = next((kind for kind in _PICTURES if kind in data), None)
            if kind:
                name = f"{notebook.stem}_{number}_{part}.{_PICTURES[kind]}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(base64.b64decode("".join(data[kind])))
                page.append(f"![Output of the cell]({name})")
            else:
                text = "".join(output.get("text") or data.get("text/plain", ""))
                page.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(page) + f"\n\nThe notebook is `examples/{notebook.name}`.\n"


def run(notebook: Path) -> None:
    """Run all cells in the notebook's folder and keep their output; of pictures only the JPEG, because it is small."""
    import nbformat
    from nbclient import NotebookClient

    content = nbformat.read(notebook, as_version=4)
    NotebookClient(content, resources={"metadata": {"path": notebook.parent}}).execute()
    for cell in content.cells:
        cell.metadata = {}
        for output in cell.get("outputs", ()):
            if "image/jpeg" in output.get("data", {}):
                output.data = {"image/jpeg": output.data["image/jpeg"]}
    content.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(content, notebook)


if __name__ == "__main__":
    for path in sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb")):
        run(path)
        print(path.name)
