"""Contract suites: one class per protocol; every implementation subclasses it and gives the fixture."""

import pytest

for _name in ("evaluator", "pool", "searcher", "study_store"):
    pytest.register_assert_rewrite(f"tests.contracts.{_name}")
