"""A node is described once, as `Node`, and becomes a class of either of ComfyUI's two interfaces.

V1 is a class with INPUT_TYPES, RETURN_TYPES and FUNCTION, and needs nothing of ComfyUI to be made. V3 derives from
comfy_api's ComfyNode and can only be made inside ComfyUI.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CATEGORY = "wholebody"


@dataclass(frozen=True)
class Port:
    """One input.

    Attributes:
        name: the argument of the node's function.
        kind: "IMAGE", "POSE_KEYPOINT", ..., "INT", "FLOAT", "STRING", "BOOLEAN", or "COMBO" with choices.
        default: of a widget. choices: of a COMBO.
        low, high, step: of numbers.
        about: shown when the mouse rests on it.
        optional: may be left unconnected; the function then gets None.
        linked: a widget's value that comes from another node alone.
    """

    name: str
    kind: str
    default: Any = None
    choices: Sequence[str] = ()
    low: float | None = None
    high: float | None = None
    step: float | None = None
    about: str = ""
    optional: bool = False
    linked: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """What both interfaces call alike."""
        named = {"default": self.default, "min": self.low, "max": self.high, "step": self.step}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class Shown:
    """Results with something for ComfyUI's page: `ui` is sent to it, `values` go on to other nodes."""

    values: tuple[Any, ...]
    ui: Mapping[str, Any]


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        key: the class name in workflows, never to be changed. title: what the page shows.
        about: one sentence. inputs: in the order of the page. outputs: (name, kind).
        run: the function; takes the inputs by name, returns a tuple of outputs or `Shown`.
        end: runs although nothing is connected behind it.
        fresh: a function of the inputs, whose result decides whether the node must run again: a file's age.
    """

    key: str
    title: str
    about: str
    inputs: Sequence[Port]
    outputs: Sequence[tuple[str, str]]
    run: Callable[..., tuple[Any, ...] | Shown]
    end: bool = False
    fresh: Callable[..., Any] | None = field(default=None)


def v1(node: Node) -> type:
    """The class for NODE_CLASS_MAPPINGS."""

    def input_types(_: type) -> dict[str, dict[str, tuple[Any, ...]]]:
        groups: dict[str, dict[str, tuple[Any, ...]]] = {"required": {}, "optional": {}}
        for port in node.inputs:
            options = port.options | ({"tooltip": port.about} if port.about else {})
            options |= {"forceInput": True} if port.linked else {}
            kind: Any = list(port.choices) if port.kind == "COMBO" else port.kind
            groups["optional" if port.optional else "required"][port.name] = (kind, options)
        return groups

    def execute(_: Any, **inputs: Any) -> Any:
        done = node.run(**_complete(node, inputs))
        return {"ui": dict(done.ui), "result": done.values} if isinstance(done, Shown) else done

    members = {
        "INPUT_TYPES": classmethod(input_types),
        "RETURN_TYPES": tuple(kind for _, kind in node.outputs),
        "RETURN_NAMES": tuple(name for name, _ in node.outputs),
        "FUNCTION": "execute",
        "CATEGORY": CATEGORY,
        "DESCRIPTION": node.about,
        "OUTPUT_NODE": node.end,
        "execute": execute,
        "__doc__": node.about,
    }
    if node.fresh is not None:
        fresh = node.fresh
        members["IS_CHANGED"] = classmethod(lambda _, **inputs: fresh(**_complete(node, inputs)))
    return type(node.key, (), members)


def v3(node: Node, io: Any) -> type:
    """The class for a ComfyExtension; `io` is comfy_api.latest.io."""
    widgets = {"INT": io.Int, "FLOAT": io.Float, "STRING": io.String, "BOOLEAN": io.Boolean, "IMAGE": io.Image}

    def kind_of(kind: str) -> Any:
        return widgets.get(kind) or io.Custom(kind)

    def input_of(port: Port) -> Any:
        options = port.options | {"tooltip": port.about or None, "optional": port.optional}
        options |= {"force_input": True} if port.linked else {}
        if port.kind == "COMBO":
            return io.Combo.Input(port.name, options=list(port.choices), **options)
        return kind_of(port.kind).Input(port.name, **options)

    def define_schema(_: type) -> Any:
        return io.Schema(
            node_id=node.key,
            display_name=node.title,
            category=CATEGORY,
            description=node.about,
            inputs=[input_of(port) for port in node.inputs],
            # No output may have the id of an input.
            outputs=[kind_of(kind).Output(f"{name}_out", display_name=name) for name, kind in node.outputs],
            is_output_node=node.end,
        )

    def execute(_: type, **inputs: Any) -> Any:
        done = node.run(**_complete(node, inputs))
        return io.NodeOutput(*done.values, ui=dict(done.ui)) if isinstance(done, Shown) else io.NodeOutput(*done)

    members: dict[str, Any] = {
        "define_schema": classmethod(define_schema),
        "execute": classmethod(execute),
        "__doc__": node.about,
        "__module__": __name__,
    }
    if node.fresh is not None:
        fresh = node.fresh
        members["fingerprint_inputs"] = classmethod(lambda _, **inputs: fresh(**_complete(node, inputs)))
    return type(node.key, (io.ComfyNode,), members)


def _complete(node: Node, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs by name; those left out have their default, None where they are optional and not connected."""
    return {port.name: inputs.get(port.name, port.default) for port in node.inputs}
