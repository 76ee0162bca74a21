"""How WhatsApp and the generic channel sign a body: `sha256=<hex of the HMAC-SHA256 of the body>`."""

import hashlib
import hmac


def sign(body: bytes, secret: str) -> str:
    """The value of the signature header for a body."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def is_signed(body: bytes, secret: str, signature: str | None) -> bool:
    """Whether a header's value is the body's signature; takes the same time either way."""
    return hmac.compare_digest(sign(body, secret).encode(), (signature or "").strip().encode())
