"""Asking guests how the help was: when, in which words, and what counts as their answer. Pure."""

import re
from datetime import datetime, timedelta

from contracts.conversations import ConversationState
from contracts.messages import GuestMessage
from contracts.rules import SurveyRules, SurveyWords
from workflows import policy, ratings
from workflows.record import Record

CLOCKS_DIFFER_BY = timedelta(minutes=1)
"""A message that was written longer than this before the question is no answer to it."""
_NO_GUEST = re.compile(r"\b(spam|junk|scam|phishing)\b", re.IGNORECASE)
"""In the reason of a resolution."""

WORDS: dict[str, tuple[str, str]] = {
    "en": (
        "How was our help? Answer with a number from 1 (bad) to 5 (very good).",
        "Thank you for your rating.",
    ),
    "pt": (
        "Como foi a nossa ajuda? Responda com um número de 1 (má) a 5 (muito boa).",
        "Obrigado pela sua avaliação.",
    ),
    "es": (
        "¿Qué le ha parecido nuestra ayuda? Responda con un número del 1 (mala) al 5 (muy buena).",
        "Gracias por su valoración.",
    ),
    "fr": (
        "Comment avez-vous trouvé notre aide ? Répondez par un chiffre de 1 (mauvaise) à 5 (très bonne).",
        "Merci pour votre note.",
    ),
    "de": (
        "Wie war unsere Hilfe? Antworten Sie mit einer Zahl von 1 (schlecht) bis 5 (sehr gut).",
        "Vielen Dank für Ihre Bewertung.",
    ),
    "it": (
        "Come è stato il nostro aiuto? Risponda con un numero da 1 (scarso) a 5 (ottimo).",
        "Grazie per la sua valutazione.",
    ),
}
"""The question and the thanks by language."""


def is_due(record: Record, now: datetime) -> bool:
    """Whether the guest of a conversation that is resolved may be asked how the help was.

    Not where nobody answered them, where staff say that it was no guest, or so soon after they were asked before.
    """
    rules, conversation = record.policy.survey, record.conversation
    if rules is None or conversation.state is not ConversationState.RESOLVED or record.unchecked:
        return False
    if record.figures.first_response_at is None or conversation.resolution is None:
        return False
    if _NO_GUEST.search(conversation.resolution.reason):
        return False
    asked_at = conversation.survey.asked_at if conversation.survey is not None else record.asking.asked_before
    if asked_at is not None and now < asked_at + rules.pause:
        return False
    return policy.refusal_of_channel(record, with_template=False, now=now) is None


def question(record: Record, rules: SurveyRules) -> str:
    """In the guest's language, where it is known and has words."""
    language, words = _words(record, rules)
    return words.question or WORDS[language][0]


def is_question(record: Record, message_id: str) -> bool:
    """Whether a message is the one that asks how the help was."""
    survey = record.conversation.survey
    return survey is not None and survey.message_id == message_id


def rating_in(record: Record, message: GuestMessage, now: datetime) -> int | None:
    """The rating that a guest's message is; None where none is waited for, or it says anything else."""
    survey = record.conversation.survey
    if survey is None or record.state is not ConversationState.RESOLVED or now >= survey.until:
        return None
    asked = not any(send.message.id == survey.message_id and not send.may_have_left for send in record.sends)
    if not asked or message.sent_at < survey.asked_at - CLOCKS_DIFFER_BY or message.attachments:
        return None
    return ratings.rating_of(message.content)


def thanks(record: Record) -> str | None:
    """What a guest who rates is told; None where they were thanked already since they were asked."""
    conversation, rules = record.conversation, record.policy.survey
    if rules is None or conversation.survey is None:
        return None
    if conversation.rated_at is not None and conversation.rated_at >= conversation.survey.asked_at:
        return None
    language, words = _words(record, rules)
    return words.thanks or WORDS[language][1]


def _words(record: Record, rules: SurveyRules) -> tuple[str, SurveyWords]:
    """A language that has standing words, and the hotel's own over them.

    A hotel's words in a language without standing ones are all that there is of it: what they leave out is English.
    """
    spoken = (record.profile.language or "")[:2].lower()
    language = next((each for each in (spoken, rules.language) if each in rules.words or each in WORDS), "en")
    return language if language in WORDS else "en", rules.words.get(language, SurveyWords())
