"""The structure of the package: imports point down, and importing costs little.

A new module or room gets its floor here: a decision. `python tests/test_imports.py` prints the figures.
"""

import ast
import functools
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wholebody

SOURCE = Path(wholebody.__file__).parent
# Rooms and modules of the package's root, from the ground up. Imports go to the own floor or to one below, those in
# functions too; on one floor there is no circle.
FLOORS = (
    "errors choices arrays schema poses geometry codec",
    "console files signals reading images draw weights runtime networks formats",
    "export video data align",
    "pose synth",
    "wholebody tracking evaluate",
    "train",
    "label predict batch serve compat",
    "commands",
    "cli __main__",
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names.split()}
FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))
MOST_FILES_IN_ROOT, MOST_LINES = 16, 600
# Only these rooms import them when they are imported.
HEAVY = ("torch", "ray", "onnx", "onnxruntime", "onnxscript", "fastapi", "uvicorn", "tensorboard", "openvino")
HEAVY_ROOMS = ("networks", "train", "serve")


def imported(tree: ast.AST, everywhere: bool) -> Iterator[str]:
    """Full names that a file imports: when it is imported, or everywhere, in functions and for type checkers too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not everywhere and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        elif not everywhere and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imported(ast.Module(node.orelse, []), everywhere)
        else:
            yield from imported(node, everywhere)


TREES = {file: ast.parse((SOURCE / file).read_text(encoding="utf-8")) for file in FILES}


def module(file: Path) -> str:
    return ".".join(("wholebody", *file.with_suffix("").parts)).removesuffix(".__init__")


MODULES = {module(file): file for file in FILES}


@functools.cache
def own(file: Path, everywhere: bool = True) -> frozenset[str]:
    """The modules of this package that a file imports."""
    found = set()
    for name in imported(TREES[file], everywhere):
        while name not in MODULES and "." in name:
            name = name.rpartition(".")[0]
        if name in MODULES and name != "wholebody":
            found.add(name)
    return frozenset(found - {module(file)})


def room(name: str) -> str:
    return name.split(".")[1]


def circles() -> list[list[str]]:
    """Modules that import each other, by any way round: the strongly connected components of more than one (Tarjan)."""
    # A room's face hands on what is inside; inside, nobody reads the face.
    below = {name: own(file) for name, file in MODULES.items() if name != "wholebody"}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in below.get(name, ()):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            component = []
            while not component or component[-1] != name:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for name in below:
        if name not in index:
            visit(name)
    return found


def upwards() -> list[str]:
    """Imports that go up: "a -> b"."""
    return [
        f"{name} -> {other}"
        for name, file in MODULES.items()
        if name != "wholebody"
        for other in sorted(own(file))
        if FLOOR[room(other)] > FLOOR[room(name)]
    ]


def in_root() -> list[str]:
    return [str(file) for file in FILES if len(file.parts) == 1]


def long_files() -> dict[str, int]:
    lines = {str(file): len((SOURCE / file).read_text(encoding="utf-8").splitlines()) for file in FILES}
    return {file: count for file, count in lines.items() if count > MOST_LINES}


def test_every_room_has_a_floor():
    assert {room(name) for name in MODULES if name != "wholebody"} <= set(FLOOR)


def test_imports_point_down():
    assert upwards() == []


def test_there_are_no_circles():
    assert circles() == []


def test_the_root_is_small_and_no_file_is_long():
    assert len(in_root()) <= MOST_FILES_IN_ROOT
    assert long_files() == {}


def test_no_relative_imports():
    for file, tree in TREES.items():
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level], file


def test_heavy_packages_wait_until_they_are_needed():
    for file, tree in TREES.items():
        if file.parts[0] not in HEAVY_ROOMS:
            heavy = {name.split(".")[0] for name in imported(tree, everywhere=False)} & set(HEAVY)
            assert not heavy, f"{file} imports {heavy} when it is imported"


@pytest.mark.parametrize("name", ["recipes", "config"])
def test_recipes_need_no_torch(name):
    """A machine without torch can still list and change the recipes."""
    tree = TREES[Path("train") / f"{name}.py"]
    assert "torch" not in {name.split(".")[0] for name in imported(tree, everywhere=False)}


def modules_after(code):
    """What is in sys.modules of a fresh process."""
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_wholebody_costs_nothing():
    loaded = modules_after("import wholebody")
    assert not loaded & {*HEAVY, "numpy", "cv2", "av", "pooch", "rich", "tyro"}


def test_the_front_door_stays_light():
    code = "from wholebody import WholeBody, Poses, Schema, draw, formats, read_image"
    assert not modules_after(code) & {*HEAVY, "av", "pooch", "rich", "tyro", "PIL"}


def test_every_public_name_is_there():
    assert set(wholebody.__all__) <= set(dir(wholebody))
    assert {"WholeBody", "Poses", "Tracker", "follow", "read_video", "write_video", "draw", "formats"} <= {
        *wholebody.__all__
    }
    for name in wholebody.__all__:
        assert getattr(wholebody, name) is not None
    assert wholebody.__version__ == importlib.metadata.version("wholebody")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wholebody.nothing


def test_python_m_wholebody_is_the_command_line():
    done = subprocess.run([sys.executable, "-m", "wholebody", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, wholebody.__version__), done.stderr


if __name__ == "__main__":
    print(f"circles, imports in functions counted: {len(circles())}", *circles(), sep="\n  ")
    print(f"imports upwards: {len(upwards())}", *upwards(), sep="\n  ")
    print(f"files in the package's root: {len(in_root())} (at most {MOST_FILES_IN_ROOT})")
    print(f"files of more than {MOST_LINES} lines: {long_files() or 'none'}")
