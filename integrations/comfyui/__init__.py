"""wholebody's nodes for ComfyUI: put this folder (or a link to it) into ComfyUI/custom_nodes.

A ComfyUI with the V3 interface loads the nodes through `comfy_entrypoint`, an older one through NODE_CLASS_MAPPINGS.
It would prefer the mappings if it saw both, so they are left out where V3 is there; the nodes are the same.
"""

from importlib.util import find_spec
from typing import Any

from .nodes import NODES
from .ports import v1, v3

WEB_DIRECTORY = None


def _has_v3() -> bool:
    try:
        return find_spec("comfy_api.latest") is not None
    except ImportError:
        return False


if not _has_v3():
    NODE_CLASS_MAPPINGS = {node.key: v1(node) for node in NODES}
    NODE_DISPLAY_NAME_MAPPINGS = {node.key: node.title for node in NODES}


async def comfy_entrypoint() -> Any:
    """What ComfyUI calls for the nodes of the V3 interface."""
    from comfy_api.latest import ComfyExtension, io

    class Wholebody(ComfyExtension):
        async def get_node_list(self) -> list[type]:
            return [v3(node, io) for node in NODES]

    return Wholebody()
