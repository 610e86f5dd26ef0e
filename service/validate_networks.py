"""Checks of the trained networks that a job in a stitched space starts from."""

from __future__ import annotations

from collections.abc import Iterator

from db.errors import SupernetNotFoundError
from searchspaces.errors import UnknownSpaceError
from searchspaces.registry import RULES, anchor_space_name, get_space
from service.errors import FieldError
from service.schemas.jobs import TrainJob
from service.stores import Stores


def check_networks(job: TrainJob, stores: Stores) -> Iterator[FieldError]:
    """The trained networks that a stitched space is given: of the right spaces, and not both kinds."""
    stitched = job.space is not None and job.space.startswith(tuple(RULES))
    if stitched and job.workers > 1:
        yield FieldError("#/workers", f"must be 1 in a stitched space; got {job.workers}")
    if not stitched and job.config.get("frozen", "none") == "anchors":
        yield FieldError("#/config/frozen", f"only the stitched spaces have anchors; got space {job.space!r}")
    named = {"#/teacher": job.teacher} if job.teacher else {}
    named |= {f"#/anchors/{anchor}": name for anchor, name in job.anchors.items()}
    if not named:
        return
    if not stitched:
        yield FieldError("#/space", f"only the stitched spaces have anchors; got {job.space!r}")
    elif job.teacher and job.anchors:
        yield FieldError("#/teacher", "anchors are either given or distilled from a teacher, not both")
    for pointer, name in named.items():
        try:
            found = stores.supernets.get(name).space
        except SupernetNotFoundError as error:
            yield FieldError(pointer, str(error))
            continue
        if stitched and pointer != "#/teacher":
            yield from _anchor(job, pointer, found)


def _anchor(job: TrainJob, pointer: str, found: str) -> Iterator[FieldError]:
    """An anchor's supernet must be of the anchor's own space."""
    try:
        wanted = get_space(anchor_space_name(job.space or "", pointer.rpartition("/")[2])).id
    except UnknownSpaceError as error:
        yield FieldError(pointer, str(error))
        return
    if found != wanted:
        yield FieldError(pointer, f"its space is {found}; this anchor of {job.space} needs {wanted}")
