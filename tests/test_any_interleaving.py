"""A conversation to which anything happens, in any order."""

import pytest
from hypothesis import HealthCheck, settings

from tests.any_interleaving import AnyInterleaving

SETTINGS = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
pytestmark = pytest.mark.timeout(1_800)  # what fails takes its time to be made small


class ForLong(AnyInterleaving):
    """The same, from a test case of its own."""


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = SETTINGS
TestForLong = pytest.mark.long(ForLong.TestCase)
TestForLong.settings = settings(SETTINGS, max_examples=2_000)
