"""Both kinds of tests side by side: those of the workflow share a study, so that one process runs all of them."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling


class Scheduling(LoadScopeScheduling):
    """All tests of the workflow go to one process; every other test goes where there is time."""

    def _split_scope(self, nodeid: str) -> str:
        return "workflow" if nodeid.startswith("tests/workflow/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return Scheduling(config, log)
