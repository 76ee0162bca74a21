"""One webhook on its way: where nothing goes, receivers that hang or break off, and the form that it has."""

import asyncio
import ipaddress
from pathlib import Path

import httpcore
import pytest

from activities.storage.sealed_secrets import SealedSecrets
from activities.storage.webhook_endpoints import Target
from activities.webhooks.addresses import GuardedNetwork, is_public
from activities.webhooks.sender import WebhookSender, webhook_id
from contracts.property_events import PropertyEvent
from contracts.webhook_events import webhook_event
from settings import Webhooks
from tests.fakes.tls import wanting_a_certificate
from tests.task_records import NOW, a_task
from tests.webhooks import Hooked


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.20.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.215.14", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d70e", True),
        ("2002:7f00:1::", False),
    ],
)
def test_private_addresses_are_known(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_address_that_is_connected_to_is_checked(hooked: Hooked, host: str) -> None:
    """A name is judged by where it leads at that moment, so one that leads elsewhere later is no way around."""
    secrets = SealedSecrets(hooked.stack.settings.temporal)
    sender = WebhookSender(Webhooks(), secrets)
    port = hooked.receiver.url.rpartition(":")[2]
    endpoint = hooked.endpoint.model_copy(update={"url": f"http://{host}:{port}"})
    event = PropertyEvent(type="task.created", property_id="hotel", position=1, at=NOW, task=a_task())
    sent = await sender.send_event(Target(endpoint, [secrets.seal(hooked.receiver.secret)], 0), event)
    await sender.close()
    assert sent.attempt.reason == "its name resolves to a private address"
    assert hooked.receiver.attempts == []


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
async def test_a_host_whose_name_can_be_none_cannot_be_reached(host: str) -> None:
    """One that an earlier release took in fails as others do, and is disabled in the end."""
    with pytest.raises(httpcore.ConnectError):
        await GuardedNetwork(allow_private=True).connect_tcp(host, 443)


async def test_a_slow_receiver_is_left_in_time(hooked: Hooked) -> None:
    secrets = SealedSecrets(hooked.stack.settings.temporal)
    sender = WebhookSender(Webhooks(allow_private=True, timeout=200), secrets)
    hooked.receiver.hold()
    event = PropertyEvent(type="task.created", property_id="hotel", position=1, at=NOW, task=a_task())
    sent = await sender.send_event(Target(hooked.endpoint, [secrets.seal(hooked.receiver.secret)], 0), event)
    await sender.close()
    assert "cannot be reached" in (sent.attempt.reason or "")


async def test_receivers_that_hang_keep_no_other_waiting(hooked: Hooked) -> None:
    secrets = SealedSecrets(hooked.stack.settings.temporal)
    sender = WebhookSender(Webhooks(allow_private=True), secrets)
    target = Target(hooked.endpoint, [secrets.seal(hooked.receiver.secret)], 0)
    hooked.receiver.hold()
    async with asyncio.TaskGroup() as sending:
        for position in range(1, 31):
            event = PropertyEvent(type="task.created", property_id="hotel", position=position, at=NOW, task=a_task())
            sending.create_task(sender.send_event(target, event))
        await hooked.was_tried(30)
        hooked.receiver.let_go()
    await sender.close()


async def test_a_receiver_that_wants_a_certificate_of_ours_fails_as_others_do(
    hooked: Hooked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By TLS 1.3 it says so when the handshake is over for us."""
    async with wanting_a_certificate(tmp_path) as (url, trust):
        monkeypatch.setattr("activities.webhooks.sender.trusted", lambda: trust)
        secrets = SealedSecrets(hooked.stack.settings.temporal)
        sender = WebhookSender(Webhooks(allow_private=True), secrets)
        target = Target(hooked.endpoint.model_copy(update={"url": url}), [secrets.seal(hooked.receiver.secret)], 0)
        event = PropertyEvent(type="task.created", property_id="hotel", position=1, at=NOW, task=a_task())
        sent = await sender.send_event(target, event)
        await sender.close()
    assert "cannot be reached" in (sent.attempt.reason or "")


def test_an_id_tells_nothing_and_stays_the_same() -> None:
    assert webhook_id("hotel", 7) == webhook_id("hotel", 7)
    assert webhook_id("hotel", 7) != webhook_id("hotel", 8)
    assert "hotel" not in webhook_id("hotel", 7)


def test_a_payload_has_the_specified_form() -> None:
    event = PropertyEvent(type="task.created", property_id="hotel", position=1, at=NOW, task=a_task())
    told = webhook_event(event).model_dump(mode="json", exclude_none=True)
    assert (told["type"], told["timestamp"]) == ("task.created", "2026-03-01T12:00:00Z")
    assert (told["data"]["sequence"], told["data"]["task"]["title"]) == (1, "Towels")
