"""Imports point down, and importing costs little. A new module gets its level here, which makes it a decision."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import wholebody

SOURCE = Path(wholebody.__file__).parent
LEVELS = {
    0: "errors files poses schema geometry choose canvas",
    1: "codec runtime openvino_session weights images draw formats annotations plots",
    2: "detect estimate track smooth video parts evaluate datacheck frames sheets",
    3: "wholebody export batch serve demo bench doctor measure report compare pipeline jobs camera speeds turn",
    4: "cli __main__",
}
LEVEL = {module: level for level, modules in LEVELS.items() for module in modules.split()}
# Rooms of their own: what is in there may use levels 0 and 1, and the modules named.
ROOMS = {
    "train": {"evaluate", "datacheck", "estimate", "detect", "video", "frames"},
    "synth": set(),
    "label": {"detect", "estimate", "sheets"},
    "align": set(),
    "compat": {"align", "wholebody", "detect", "estimate", "track", "video", "pipeline"},
    "batch": {"video", "pipeline", "wholebody"},
    "serve": {"detect", "estimate", "wholebody"},
}
HEAVY = ("torch", "ray", "gradio", "onnx", "onnxruntime", "onnxscript", "fastapi", "hotcoco", "tensorboard", "openvino")


def module_level(tree):
    """Imports that run when the module is imported: not those in functions or under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from module_level(ast.Module([other], []))
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from module_level(node)


def imported(path):
    """Full names that a file imports at module level; `from wholebody import weights` is wholebody.weights."""
    for node in module_level(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            assert node.level == 0, f"{path}: relative import"
            if node.module == "wholebody":
                yield from (f"wholebody.{alias.name}" for alias in node.names)
            else:
                yield node.module


FILES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_imports_point_down(file):
    room = file.parts[0] if len(file.parts) > 1 else None
    own = [name.split(".")[1] for name in imported(SOURCE / file) if name.startswith("wholebody.")]
    if room:
        allowed = {module for module, level in LEVEL.items() if level <= 1} | ROOMS[room] | {room}
        assert set(own) <= allowed
    elif file.stem != "__init__":
        assert file.stem in LEVEL, f"{file} has no level yet: add it to LEVELS"
        for module in own:
            assert module in LEVEL and LEVEL[module] <= LEVEL[file.stem], f"{file} imports {module} from above"
    else:
        assert own == []
    if room not in ("train", "serve"):
        heavy = {name.split(".")[0] for name in imported(SOURCE / file)} & set(HEAVY)
        assert not heavy, f"{file} imports {heavy} when it is imported"


def test_there_are_no_circles():
    below = {
        file.stem: {name.split(".")[1] for name in imported(SOURCE / file) if name.startswith("wholebody.")}
        for file in FILES
        if len(file.parts) == 1
    }

    def visit(module, path):
        assert module not in path, " -> ".join((*path, module))
        for other in below.get(module, ()):
            visit(other, (*path, module))

    for module in below:
        visit(module, ())


def test_recipes_need_no_torch():
    """A machine without torch can still list and change the recipes."""
    recipes = SOURCE / "train" / "recipes.py"
    assert "torch" not in {name.split(".")[0] for name in imported(recipes)}


def modules_after(code):
    """What is in sys.modules of a fresh process."""
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_wholebody_costs_nothing():
    loaded = modules_after("import wholebody")
    assert not loaded & {*HEAVY, "numpy", "cv2", "av", "pooch", "rich", "tyro"}


def test_the_front_door_stays_light():
    code = "import wholebody\nfor name in wholebody.__all__: getattr(wholebody, name)"
    assert not modules_after(code) & {*HEAVY, "av", "pooch", "rich", "tyro", "PIL"}


def test_every_public_name_is_there():
    assert set(wholebody.__all__) <= set(dir(wholebody))
    for name in wholebody.__all__:
        assert getattr(wholebody, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wholebody.nothing
