"""Tests side by side in two processes: those of the workflow that share a study stay in one of them."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

WITHOUT_SHARED_STUDY = {
    f"tests/workflow/{name}.py" for name in ("test_calibration_target", "test_graph", "test_planted_truth")
}


class Scheduling(LoadScopeScheduling):
    """Tests with a shared study go to one process; every other file or unit test goes where there is time."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if not file.startswith("tests/workflow/"):
            return nodeid
        return file if file in WITHOUT_SHARED_STUDY else "workflow"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return Scheduling(config, log)
