"""Guests of the web chat, and the token that their browser keeps."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import jwt

ALGORITHM: Final = "HS256"
ISSUER: Final = "gateway"
AUDIENCE: Final = "visitor"
LIFETIME: Final = timedelta(days=365)
"""How long a browser that stays away is known again; every connection begins it anew."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """A guest on one property's web chat, as the token in their browser says."""

    id: str
    known: bool


@dataclass(frozen=True, slots=True)
class VisitorTokens:
    """Signs and reads what a browser is known by. A visitor of one property is nobody at another."""

    secret: str

    def sign(self, visitor: Visitor, property_id: str) -> str:
        now = datetime.now(UTC)
        claims = {"sub": visitor.id, "property": property_id, "iss": ISSUER, "aud": AUDIENCE, "iat": now}
        return jwt.encode({**claims, "exp": now + LIFETIME}, self.secret, algorithm=ALGORITHM)

    def visitor(self, token: str | None, property_id: str) -> Visitor:
        """The visitor that a token names; a new one without a token, and for one that says nothing here."""
        try:
            claims = jwt.decode(
                token or "",
                self.secret,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": ["iss", "aud", "exp", "iat", "sub", "property"]},
            )
        except jwt.InvalidTokenError:
            claims = {}
        if claims.get("property") != property_id:
            return Visitor(str(uuid4()), known=False)
        return Visitor(str(claims["sub"]), known=True)
