"""The metadata of all tables: importing it has registered every row class."""

from __future__ import annotations

from db.schema import agent_rows, job_rows, registry_rows, study_rows
from db.schema.base import Base

METADATA = Base.metadata
ROWS = (
    job_rows.JobRow,
    job_rows.JobEventRow,
    study_rows.StudyRow,
    study_rows.TrialRow,
    study_rows.TrialValueRow,
    study_rows.FrontMemberRow,
    study_rows.LearnedTrialRow,
    study_rows.StudyPredictorRow,
    registry_rows.SupernetRow,
    registry_rows.FingerprintRow,
    registry_rows.DeviceRow,
    registry_rows.LatencySampleRow,
    registry_rows.CampaignRow,
    registry_rows.PredictorRow,
    registry_rows.ArtifactRow,
    agent_rows.AgentRow,
    agent_rows.AgentCodeRow,
    agent_rows.MeasurementTaskRow,
)
