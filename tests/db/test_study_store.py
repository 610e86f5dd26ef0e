"""SqlStudyStore keeps the contract of every StudyStore, on both databases."""

from __future__ import annotations

import pytest

from db.session import Database
from db.study_store import SqlStudyStore
from tests.contracts.study_store import StudyStoreContract


class TestSqlStudyStore(StudyStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> SqlStudyStore:
        return SqlStudyStore(database)
