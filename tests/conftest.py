"""Both kinds of tests side by side: those of the workflow share a study, so that one process runs all of them, and first."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "workflow" in item.path.parts:
            item.add_marker(pytest.mark.xdist_group("workflow"))
    items.sort(key=lambda item: "workflow" not in item.path.parts)
