"""The channels between guests and the hotel."""

from typing import Literal

from pydantic import Field, SecretStr

from settings.section import Section


class MessagesChannel(Section):
    """The generic channel: signed JSON in, signed JSON to `callback_url` out."""

    secret: SecretStr | None = None
    callback_url: str | None = None


class WhatsAppChannel(Section):
    api_base: str = "https://graph.facebook.com/v23.0"
    app_secret: SecretStr | None = None
    verify_token: SecretStr | None = None
    access_token: SecretStr | None = None
    phone_number_id: str | None = None


class TwilioChannel(Section):
    api_base: str = "https://api.twilio.com"
    account_sid: str | None = None
    auth_token: SecretStr | None = None
    from_number: str | None = None
    public_url: str | None = None


class EmailChannel(Section):
    smtp_host: str | None = None
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    smtp_tls: Literal["auto", "starttls", "implicit", "none"] = "auto"
    """`auto` is implicit TLS on port 465, otherwise STARTTLS if offered. A password is never sent without TLS."""
    from_address: str | None = None
    from_name: str | None = None
    """If unset, the property's name."""
    hourly_answers: int = Field(default=12, ge=1)
    """How many mails of one conversation are answered per hour. More than that are taken for a mail loop."""
    secret: SecretStr | None = None
    mailgun_signing_key: SecretStr | None = None
    mailgun_api_key: SecretStr | None = None
    """For files that Mailgun keeps: those of a route with `store()`."""
    mailgun_api_base: str = "https://api.mailgun.net"
    postmark_secret: SecretStr | None = None
    sendgrid_secret: SecretStr | None = None


class WebchatChannel(Section):
    """The hotel's web chat, on our page or on the hotel's own."""

    allowed_origins: list[str] = []
    """Origins of the hotel's pages that may open the chat, besides those of `websocket.allowedOrigins`."""
    identity_secret: SecretStr | None = None
    """Verifies the identity of guests whom the hotel's own page has signed in."""


class PropertyChannels(Section):
    messages: MessagesChannel = MessagesChannel()
    whatsapp: WhatsAppChannel = WhatsAppChannel()
    twilio: TwilioChannel = TwilioChannel()
    email: EmailChannel = EmailChannel()
    webchat: WebchatChannel = WebchatChannel()


class Channels(PropertyChannels):
    """The shared channels, and the send rate of all of them together."""

    max_per_second: float | None = Field(default=None, gt=0)
    """Sends per second of all `gateway-channels` workers together. If unset, there is no limit."""
    max_concurrent: int = Field(default=100, ge=1)
    """Concurrent sends of one `gateway-channels` worker."""
