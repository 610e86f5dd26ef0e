"""Stores: everything that the processes of the service keep, opened from one Settings."""

from __future__ import annotations

from dataclasses import dataclass

from db.artifacts import ArtifactStore
from db.campaigns import CampaignStore
from db.devices import DeviceStore
from db.evaluations import EvaluationStore
from db.jobs import JobStore
from db.remote.agents import AgentStore
from db.remote.measurements import MeasurementStore
from db.session import Database, Transactions
from db.study_inputs import StudyInputs
from db.study_store import SqlStudyStore
from db.supernets import SupernetStore
from service.artifacts import ArtifactFiles
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one database and the files of its artifacts."""

    jobs: JobStore
    supernets: SupernetStore
    devices: DeviceStore
    campaigns: CampaignStore
    agents: AgentStore
    measurements: MeasurementStore
    studies: SqlStudyStore
    inputs: StudyInputs
    evaluations: EvaluationStore
    artifacts: ArtifactStore
    files: ArtifactFiles


def open_stores(database: Transactions, settings: Settings) -> Stores:
    """All stores over ``database`` (for a runner: over one that is fenced by its job's epoch)."""
    return Stores(
        jobs=JobStore(database),
        supernets=SupernetStore(database),
        devices=DeviceStore(database),
        campaigns=CampaignStore(database),
        agents=AgentStore(database),
        measurements=MeasurementStore(database),
        studies=SqlStudyStore(database),
        inputs=StudyInputs(database),
        evaluations=EvaluationStore(database),
        artifacts=ArtifactStore(database),
        files=ArtifactFiles(settings.artifacts_url),
    )


def open_database(settings: Settings) -> Database:
    """The migrated database of these settings; SQLite's file and folder are made when missing."""
    database = Database(settings.database)
    database.migrate()
    return database
