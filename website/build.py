"""Build the documentation site: `make docs`. Pages are staged in build/docs, the site is written to build/site.

The pages of `docs/` link to files of the repository, because they are read in checkouts too. The site includes those
files: other Markdown pages get their own place, and linked source files become pages of code. So links work both in a
checkout and on the site, and the site is self-contained. Only the pages generated from the code (docs/reference/...)
exist on the site alone.
"""

import argparse
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from website.links import broken_links
from website.notebook import as_markdown
from website.reference import api_pages, command_line, file_formats
from website.tables import measurements

ROOT = Path(__file__).parents[1]
STAGE, SITE = ROOT / "build" / "docs", ROOT / "build" / "site"

# Pages outside docs/, and their place on the site.
PLACES = {
    "README.md": "index.md",  # not staged: docs/index.md is the first page
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
    "examples/README.md": "learn/examples.md",
    "integrations/comfyui/README.md": "howto/comfyui.md",
    "runs/README.md": "benchmarks/runs.md",
    **{f"runs/{folder.name}/README.md": f"benchmarks/{folder.name}.md" for folder in sorted((ROOT / "runs").iterdir())},
    **{f"src/wholebody/models/{n}.md": f"reference/models/{n}.md" for n in ("pose", "fast", "dwpose-t", "detector")},
}
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".sh": "sh", ".json": "json", ".cff": "yaml"}
PICTURES = (".png", ".jpg", ".svg", ".webp")
_FAR_SHIM = "https://unpkg.com/iframe-worker/shim"
# Fenced code is left as it is; a link's target may be followed by a title.
_LINK = re.compile(r"(```.*?```|`[^`\n]*`)|(\]\()([^)\s]+)", re.S)


def place_of(path: str) -> str:
    """The path on the site of a file in the repository; both are relative to their roots."""
    if path in PLACES:
        return PLACES[path]
    if path.startswith("docs/"):
        place = path.removeprefix("docs/")
        return f"{place[: -len('README.md')]}index.md" if place.endswith("README.md") else place
    if path.endswith(".ipynb"):
        return f"learn/{Path(path).stem}.md"
    if path.endswith(PICTURES):
        return f"pictures/{path}"
    return f"source/{path}.md"


class Stage:
    """Copies pages and everything that they link to, until nothing is left."""

    def __init__(self, made: Mapping[str, str]) -> None:
        self.waiting: list[str] = []
        self.done: set[str] = set()
        # Pages that no checkout has: a link to one of them is good.
        self.made = made
        for place, text in made.items():
            self.write(place, text)

    def write(self, place: str, text: str) -> None:
        target = STAGE / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def need(self, path: str) -> None:
        if path not in self.done:
            self.done.add(path)
            self.waiting.append(path)

    def page(self, text: str, path: str) -> str:
        """The text of a page with its links changed to those of the site; the linked files are marked as needed."""
        here = posixpath.dirname(place_of(path))

        def moved(match: re.Match[str]) -> str:
            code, opening, target = match.groups()
            if code or "://" in target or target.startswith(("#", "mailto:")):
                return match[0]
            name, hash_, anchor = target.partition("#")
            other = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
            if (ROOT / other).is_dir():
                other = f"{other}/README.md"
            if place_of(other) in self.made:
                return opening + posixpath.relpath(place_of(other), here or ".") + hash_ + anchor
            if not (ROOT / other).is_file():
                sys.exit(f"{path}: {target} leads nowhere")
            self.need(other)
            return opening + posixpath.relpath(place_of(other), here or ".") + hash_ + anchor

        return _LINK.sub(moved, text)

    def all(self) -> None:
        """Copy the waiting files, and those that they need."""
        while self.waiting:
            path = self.waiting.pop()
            if path == "README.md":
                continue
            file = ROOT / path
            if path.endswith(PICTURES):
                target = STAGE / place_of(path)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
            elif path.endswith(".md"):
                self.write(place_of(path), self.page(file.read_text(encoding="utf-8"), path))
            else:
                language = LANGUAGES.get(file.suffix, "text")
                body = f'# {file.name}\n\n`{path}`\n\n````{language} linenums="1"\n{file.read_text("utf-8")}````\n'
                self.write(place_of(path), f"---\nsearch:\n  exclude: true\n---\n\n{body}")


def stage() -> None:
    """Write all pages to build/docs."""
    shutil.rmtree(STAGE, ignore_errors=True)
    books = {
        place_of(f"examples/{notebook.name}"): as_markdown(notebook, STAGE / "learn")
        for notebook in sorted((ROOT / "examples").glob("*.ipynb"))
    }
    pages = Stage({**api_pages(), **command_line(), **file_formats(), **measurements(ROOT), **books})
    for path in sorted((ROOT / "docs").rglob("*.md")):
        pages.need(path.relative_to(ROOT).as_posix())
    for path in PLACES:
        if (ROOT / path).is_file():
            pages.need(path)
    pages.all()
    shutil.copytree(ROOT / "website" / "assets", STAGE / "assets")


def own_shim() -> None:
    """Searching without a web server needs a script, which the theme would load from another host."""
    for page in SITE.rglob("*.html"):
        up = "../" * (len(page.relative_to(SITE).parts) - 1)
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(_FAR_SHIM, f"{up}assets/iframe-worker.js"), encoding="utf-8")


def main() -> None:
    """Stage the pages, build the site, and check every link in it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", action="store_true", help="show the site, built anew when build/docs changes")
    serve = parser.parse_args().serve
    stage()
    zensical = [sys.executable, "-m", "zensical"]
    if serve:
        subprocess.run([*zensical, "serve"], cwd=ROOT, check=True)
        return
    shutil.rmtree(SITE, ignore_errors=True)
    subprocess.run([*zensical, "build", "--strict", "--clean"], cwd=ROOT, check=True)
    own_shim()
    wrong = broken_links(SITE)
    print(*wrong, sep="\n")
    pages = sum(1 for _ in SITE.rglob("*.html"))
    print(f"{pages} pages in {SITE.relative_to(ROOT)}, {len(wrong)} broken links")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
