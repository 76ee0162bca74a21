"""How long somebody else's server asks us to wait."""

import pytest

from activities.retry_after import retry_after_seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("999999999", 999_999_999.0),
        ("1000000000", None),  # longer than anybody waits, and in the end more than a float holds
        ("-1", None),
        ("1.5", None),
        ("١٢", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_only_a_plain_number_of_seconds_is_waited_for(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header) == seconds
