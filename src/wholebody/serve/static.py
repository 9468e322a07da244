"""The page that runs in the visitor's browser: static files, and the bundled networks under /models."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.responses import RedirectResponse
from starlette.staticfiles import StaticFiles

import wholebody
from wholebody.serve.watch import Receive, Scope, Send

PAGE = Path(__file__).parent / "page"
MODELS = Path(wholebody.__file__).parent / "models"

# The first two are required for WebAssembly threads; the third allows such a page to fetch the networks.
_ISOLATED = (
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class _Isolated:
    """Static files that an isolated page may load; browsers revalidate them each time."""

    def __init__(self, folder: Path) -> None:
        self._files = StaticFiles(directory=folder, html=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The build puts a file's hash into its name there, so the content never changes.
        lasting = "/assets/" in scope["path"]
        cache = (b"cache-control", b"public, max-age=31536000, immutable" if lasting else b"no-cache")

        async def isolated(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_ISOLATED, cache]
            await send(message)

        await self._files(scope, receive, isolated)


def add_page(app: FastAPI, folder: Path = PAGE) -> None:
    """Serve the page at / and the networks under /models; if no page was built, / redirects to the documentation."""
    app.mount("/models", _Isolated(MODELS), name="models")
    if (folder / "index.html").is_file():
        # Not mounted at /, where it would catch requests that another route refuses because of their method.
        app.router.default = _Isolated(folder)
        return

    async def to_docs() -> Any:
        return RedirectResponse("docs")

    app.add_api_route("/", to_docs, methods=["GET"], include_in_schema=False)
