"""The page that estimates in the visitor's browser: static files, and the bundled networks for it under /models."""

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

# A page needs both of the first for threads in WebAssembly; the third lets the networks be fetched by such a page.
_ISOLATED = (
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class _Isolated:
    """Static files that an isolated page may load; browsers ask each time whether they are still the same."""

    def __init__(self, folder: Path) -> None:
        self._files = StaticFiles(directory=folder, html=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # The builder of the page puts a file's hash into its name there: another content is another file.
        lasting = "/assets/" in scope["path"]
        cache = (b"cache-control", b"public, max-age=31536000, immutable" if lasting else b"no-cache")

        async def isolated(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_ISOLATED, cache]
            await send(message)

        await self._files(scope, receive, isolated)


def add_page(app: FastAPI, folder: Path = PAGE) -> None:
    """Serve the page at / and the networks under /models; where no page was built, / leads to the documentation."""
    app.mount("/models", _Isolated(MODELS), name="models")
    if (folder / "index.html").is_file():
        # Not mounted at /: there it would take what another route refuses for its method.
        app.router.default = _Isolated(folder)
        return

    async def to_docs() -> Any:
        return RedirectResponse("docs")

    app.add_api_route("/", to_docs, methods=["GET"], include_in_schema=False)
