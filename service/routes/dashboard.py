"""The dashboard: static files of the package, public because they hold no data.

Everything that the pages show they ask from the API, with the token if there is one.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from service.web.conditional import conditional

INDEX = "index.html"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
router = APIRouter(include_in_schema=False)


def load_files() -> dict[str, tuple[bytes, str]]:
    """Content and media type of every file of the dashboard by name."""
    found = {}
    for file in files("service").joinpath("dashboard").iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in MEDIA_TYPES:
            found[file.name] = (file.read_bytes(), MEDIA_TYPES[suffix])
    return found


_FILES = load_files()  # read once: no request ever reaches the file system


@router.api_route("/", methods=["GET", "HEAD"])
@router.api_route("/dashboard", methods=["GET", "HEAD"])
def to_dashboard() -> Response:
    """To the first page."""
    return RedirectResponse("/dashboard/", 307)


@router.api_route("/dashboard/", methods=["GET", "HEAD"])
def get_index(request: Request) -> Response:
    """The page."""
    return get_file(request, INDEX)


@router.api_route("/dashboard/{name}", methods=["GET", "HEAD"])
def get_file(request: Request, name: Annotated[str, Path(max_length=100)]) -> Response:
    """A file that the page uses; 404 for any other name."""
    if name not in _FILES:
        raise HTTPException(404, f"the dashboard has no file {name!r}")
    body, media_type = _FILES[name]
    return conditional(request, body, media_type)
