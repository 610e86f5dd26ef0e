"""Studies and their trials."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from nas.types import Study, Trial
from service.answers import answers
from service.deps import Cursor, DeviceFilter, Limit, NameFilter, StoresDep
from service.schemas.answers import (
    ConstraintEffectAnswer,
    CurveAnswer,
    MillisecondsAnswer,
    OutlookAnswer,
    RefinementAnswer,
    StudyAnswers,
    TrendAnswer,
)
from service.schemas.base import NAME_PATTERN
from service.schemas.results import ObjectiveAnswer, StudyAnswer, StudyPage, TrialAnswer, TrialPage

router = APIRouter(prefix="/studies", tags=["studies"])
StudyPath = Annotated[str, Path(pattern=NAME_PATTERN)]


@router.get("", operation_id="listStudies", summary="List studies")
def list_studies(
    stores: StoresDep,
    supernet: NameFilter = None,
    device: DeviceFilter = None,
    race: NameFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> StudyPage:
    """Studies, perhaps of one supernet or device, or the racers of a race."""
    page = stores.studies.list_studies(
        supernet=supernet, device=device, race=race, limit=limit, cursor=cursor
    )
    return StudyPage(items=[_study(study) for study in page.items], next_cursor=page.next_cursor)


@router.get("/{study_id}", operation_id="getStudy", summary="Get a study")
def get_study(stores: StoresDep, study_id: StudyPath) -> StudyAnswer:
    """One study."""
    return _study(stores.studies.get_study(study_id))


@router.get("/{study_id}/answers", operation_id="getStudyAnswers", summary="Get answers about a study")
def get_answers(stores: StoresDep, study_id: StudyPath) -> StudyAnswers:
    """Trend, outlook, constraints, milliseconds by layer, and of a race its searchers' curves."""
    found = answers(study_id, stores)
    return StudyAnswers(
        study=found.study.id,
        objectives=[ObjectiveAnswer.model_validate(item) for item in found.study.objectives],
        n_trials=found.n_trials,
        n_failed=found.n_failed,
        budget=found.study.budget,
        front_size=found.front_size,
        measured_share=found.measured_share,
        trend=TrendAnswer.model_validate(found.trend),
        outlook=OutlookAnswer.model_validate(found.outlook),
        constraints=[ConstraintEffectAnswer.model_validate(item) for item in found.constraints],
        milliseconds=[MillisecondsAnswer.model_validate(item) for item in found.milliseconds],
        race=[CurveAnswer.model_validate(item) for item in found.race],
        n_learned=found.n_learned,
        refinements=[RefinementAnswer.model_validate(item) for item in found.refinements],
        warnings=list(found.warnings),
    )


@router.get("/{study_id}/trials", operation_id="listTrials", summary="List a study's trials")
def list_trials(
    stores: StoresDep, study_id: StudyPath, limit: Limit = 100, cursor: Cursor = None
) -> TrialPage:
    """Trials by number."""
    page = stores.studies.page_trials(study_id, limit=limit, cursor=cursor)
    return TrialPage(items=[_trial(trial) for trial in page.items], next_cursor=page.next_cursor)


def _study(study: Study) -> StudyAnswer:
    return StudyAnswer.model_validate(study)


def _trial(trial: Trial) -> TrialAnswer:
    evaluation = trial.evaluation
    return TrialAnswer(
        number=trial.number,
        state=trial.state.value,
        arch_key=evaluation.arch.key,
        genes=list(evaluation.arch.genes),
        values=dict(evaluation.values),
        error=evaluation.error,
    )
