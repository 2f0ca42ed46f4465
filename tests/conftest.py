"""Tests side by side in two processes: those of the workflow that share a study stay in one of them."""

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# The first process has most of the tests that share a study, the second a few long ones, with a study of their own.
OF_THE_SECOND = {f"tests/workflow/{name}.py" for name in ("test_bucket", "test_killed")}
WITHOUT_STUDY = {
    f"tests/workflow/{name}.py" for name in ("test_calibration_target", "test_graph", "test_planted_truth")
}


class Scheduling(LoadScopeScheduling):
    """Tests that share a study stay together; every other file or unit test goes where there is time."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if not file.startswith("tests/workflow/"):
            return nodeid
        if "slurm" in file:
            return "slurm"  # a machine takes one of them at a time
        return file if file in WITHOUT_STUDY else f"study {1 + (file in OF_THE_SECOND)}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "slurm" in getattr(item, "fixturenames", ()):
            item.add_marker("slurm")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return Scheduling(config, log)
