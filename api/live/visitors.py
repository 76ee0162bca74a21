"""Web chat visitors, and the token that their browser keeps."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import uuid4

import jwt
from pydantic import ConfigDict, StringConstraints, ValidationError

from api.auth.signing_keys import ALGORITHM, SigningKeys
from contracts.base import Body, Timestamp
from contracts.problems import Unauthenticated

AUDIENCE: Final = "visitor"
LIFETIME: Final = timedelta(days=365)
"""How long a token is valid. Every connection renews it."""
IDENTIFIED: Final = "user:"
"""The id prefix of visitors whom the hotel's own page vouches for."""
SKEW: Final = timedelta(minutes=1)
"""How far the clock of the hotel's server may be ahead of ours: libraries put the time of signing into tokens."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A visitor of one property's web chat, as described by the token in their browser."""

    id: str
    known: bool
    name: str | None = None
    identified_until: datetime | None = None
    """Until when the hotel's own page vouches for this visitor; None if it does not."""


@dataclass(frozen=True, slots=True)
class VisitorTokens:
    """Signs and reads visitor tokens. A token of one property means nothing at another."""

    keys: SigningKeys

    def sign(self, visitor: Visitor, property_id: str) -> str:
        now = datetime.now(UTC)
        ends_at = visitor.identified_until or now + LIFETIME
        claims = {"sub": visitor.id, "property": property_id, "iat": now, "exp": ends_at}
        return self.keys.sign(claims, audience=AUDIENCE)

    def visitor(self, token: str | None, property_id: str) -> Visitor:
        """The visitor of a token; a new one without a token, or for one that is not valid here."""
        try:
            claims = self.keys.read(token or "", audience=AUDIENCE, required=["sub", "property"])
        except jwt.InvalidTokenError:
            claims = {}
        if claims.get("property") != property_id:
            return Visitor(str(uuid4()), known=False)
        visitor_id = str(claims["sub"])
        # Reconnecting with the token does not extend how long the hotel vouches for somebody.
        until = datetime.fromtimestamp(claims["exp"], UTC) if visitor_id.startswith(IDENTIFIED) else None
        return Visitor(visitor_id, known=True, identified_until=until)


class _Identity(Body):
    """The claims we read of a guest signed in on the hotel's page; others are ignored."""

    model_config = ConfigDict(extra="ignore")

    sub: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] | None = None
    exp: Timestamp


def identified(identity: str, secret: str) -> Visitor:
    """The visitor of a signed identity: an HS256 JWT under the property's secret, with `sub`, `exp` and `name`.

    The same `sub` is the same guest on every device. Raises Unauthenticated for a bad signature or an expired token.
    """
    try:
        claims = jwt.decode(identity, secret, algorithms=[ALGORITHM], options={"require": ["sub", "exp"]}, leeway=SKEW)
        said = _Identity.model_validate(claims)
    except (jwt.InvalidTokenError, ValidationError):
        raise _not_right() from None
    if said.exp <= datetime.now(UTC):
        raise _not_right()
    return Visitor(f"{IDENTIFIED}{said.sub}", known=True, name=said.name or None, identified_until=said.exp)


def _not_right() -> Unauthenticated:
    return Unauthenticated("identity: must be a JWT signed with HS256, with sub and exp, that has not expired")
