"""A conversation to which anything happens, in any order."""

from hypothesis import HealthCheck, settings

from tests.any_interleaving import AnyInterleaving

TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
