"""InMemoryStore keeps the store contract."""

from __future__ import annotations

import pytest

from nas.memory_store import InMemoryStore
from tests.contracts.study_store import StudyStoreContract


class TestInMemoryStore(StudyStoreContract):
    @pytest.fixture
    def store(self) -> InMemoryStore:
        return InMemoryStore()
