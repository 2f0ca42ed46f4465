"""Names of the calibration's scenarios and how many studies each gets: what planning a run needs, and no statistics."""

SCENARIOS = (
    *("no-alignment", "no-difference", "equivalence", "families", "maps"),
    *("nothing-shared", "something-shared", "same-images", "power"),
)
"""What they simulate is in ``calibration``."""

POWER_SHARE = 5
"""Of so many studies that a null gets, each of the conditions of the power analysis gets one."""


def n_studies(scenario: str, studies: int) -> int:
    """Return how many studies a scenario gets, of ``studies`` that a null gets."""
    return max(1, studies // POWER_SHARE) if scenario == "power" else studies
