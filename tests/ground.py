"""What an attacker stands on: a hotel and another one, and the tokens that can be made of what is known of them."""

import base64
import json
from dataclasses import dataclass
from typing import Any

import httpx
import jwt

from activities.storage.database import Database
from tests.api import Api, Person

ME = "/api/v1/auth/me"


@dataclass(frozen=True, slots=True)
class Ground:
    """A hotel with an agent and an administrator, another hotel, and what an attacker could know of both."""

    api: Api
    hotel: str
    elsewhere: str
    secret: str
    agent: Person
    admin: Person
    guest_elsewhere: str
    staff_elsewhere: str
    database: Database

    async def send(self, method: str, path: str, *, token: str | None = None, **options: Any) -> httpx.Response:
        headers = {**({"Authorization": f"Bearer {token}"} if token is not None else {}), **options.pop("headers", {})}
        return await self.api.http.request(method, path, headers=headers, **options)

    async def me(self, token: str) -> httpx.Response:
        return await self.send("GET", ME, token=token)

    def claims(self, **changes: object) -> dict[str, object]:
        """Claims of the agent's own session, so that a token of them works unless something else is wrong with it."""
        return {**self.true_claims(), **changes}

    def true_claims(self) -> dict[str, object]:
        own: dict[str, object] = jwt.decode(self.agent.token, options={"verify_signature": False})
        return own

    def token(self, *, key: str | None = None, algorithm: str = "HS256", kid: object = "main", **claims: object) -> str:
        headers = {"kid": kid} if kid is not None else {}
        payload = {name: value for name, value in self.claims(**claims).items() if value is not None}
        return jwt.encode(payload, self.secret if key is None else key, algorithm=algorithm, headers=headers)

    def unsigned(self, algorithm: str, signature: str = "") -> str:
        parts = ({"alg": algorithm, "typ": "JWT", "kid": "main"}, self.claims(role="admin"))
        return ".".join([*map(_segment, parts), signature])

    def tampered(self) -> str:
        """The agent's own token, with another role between its head and its signature."""
        head, _, signature = self.agent.token.split(".")
        return f"{head}.{_segment(self.claims(role='admin'))}.{signature}"


def _segment(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
