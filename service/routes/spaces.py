"""Search spaces and searchers: what a job can name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from nas.search.registry import SEARCHERS
from searchspaces.registry import SPACES, get_space
from searchspaces.space import Choice, SearchSpace
from service.schemas.results import ChoiceAnswer, SearcherList, SpaceAnswer, SpaceList, SpaceSummary

router = APIRouter(tags=["spaces"])


@router.get("/spaces", operation_id="listSpaces", summary="List search spaces")
def list_spaces() -> SpaceList:
    """The built-in spaces; ``NAME-rA-B`` names one with other image resolutions."""
    return SpaceList(items=[_summary(get_space(name)) for name in SPACES])


@router.get("/spaces/{name}", operation_id="getSpace", summary="Get a search space")
def read_space(name: Annotated[str, Path(min_length=1, max_length=100)]) -> SpaceAnswer:
    """A space with its choices, in the order of the genes."""
    space = get_space(name)
    return SpaceAnswer(**_summary(space).model_dump(), choices=[_choice(choice) for choice in space.choices])


@router.get("/searchers", operation_id="listSearchers", summary="List searchers")
def list_searchers() -> SearcherList:
    """Names that a search job accepts."""
    return SearcherList(items=list(SEARCHERS))


def _summary(space: SearchSpace) -> SpaceSummary:
    return SpaceSummary(name=space.name, id=space.id, size=str(space.size()), n_choices=len(space.choices))


def _choice(choice: Choice) -> ChoiceAnswer:
    condition = None
    if choice.active_if is not None:
        parent, values = choice.active_if
        condition = {parent: sorted(values, key=str)}
    return ChoiceAnswer(name=choice.name, values=list(choice.values), active_if=condition)
