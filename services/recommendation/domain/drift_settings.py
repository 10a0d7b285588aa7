"""From which figures on drift is an alarm, and how much has to be known before."""

import math
from dataclasses import dataclass

from services.common.errors import InvalidArgument

DAY = 86_400_000_000
PSI_MAX = 10.0
WINDOW_MIN, WINDOW_MAX = DAY, 90 * DAY


class DriftSettingsInvalid(InvalidArgument):
    """Settings by which nothing can be judged."""


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """Shares are from 0 to 1, times in microseconds."""

    unknown_items: float = 0.2
    """The share of lines of items that the model does not know."""
    psi: float = 0.25
    """What the usual rule of thumb calls a large shift of shares."""
    change: float = 0.2
    """By which share of what it was a click rate or a coverage may differ."""
    lines: int = 200
    """Fewer lines say nothing of shares."""
    customers: int = 100
    """Fewer customers say nothing of scores."""
    impressions: int = 1000
    """Fewer, in either period, say nothing of lists."""
    list_window: int = 7 * DAY
    """Of how long lists are compared with the time before."""
    update_time: int = 0
    """0 where nothing was ever set."""


USUAL = DriftSettings()


def check_drift_settings(settings: DriftSettings) -> None:
    """``DriftSettingsInvalid``; what is whole numbers the contract has checked."""
    if not (math.isfinite(settings.psi) and 0 < settings.psi <= PSI_MAX):
        raise DriftSettingsInvalid(f"psi must be above 0 and at most {PSI_MAX:g}", field="psi")
    if not WINDOW_MIN <= settings.list_window <= WINDOW_MAX:
        raise DriftSettingsInvalid("list_window_duration must be from one day to 90", field="list_window_duration")
