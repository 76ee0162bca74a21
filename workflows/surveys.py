"""Asking guests for ratings: when, in which words, and what counts as an answer. Pure."""

import re
from datetime import datetime, timedelta

from contracts.conversations import ConversationState
from contracts.messages import GuestMessage
from contracts.rules import SurveyRules, SurveyWords
from workflows import policy, ratings
from workflows.record import Record

CLOCKS_DIFFER_BY = timedelta(minutes=1)
"""A message sent longer than this before the question is not an answer to it."""
_NO_GUEST = re.compile(r"\b(spam|junk|scam|phishing)\b", re.IGNORECASE)
"""Words in the reason of a resolution that say it was no guest."""

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
"""The standard question and thanks, by language."""


def is_due(record: Record, now: datetime) -> bool:
    """Whether the guest of a resolved conversation may be asked for a rating.

    Not if nobody answered them, if staff say it was no guest, or if they were asked recently.
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
    """The question, in the guest's language if it is known and has texts."""
    language, words = _words(record, rules)
    return words.question or WORDS[language][0]


def is_question(record: Record, message_id: str) -> bool:
    """Whether a message is the rating question."""
    survey = record.conversation.survey
    return survey is not None and survey.message_id == message_id


def rating_in(record: Record, message: GuestMessage, now: datetime) -> int | None:
    """The rating in a guest's message; None if no rating is expected, or it says anything else."""
    survey = record.conversation.survey
    if survey is None or record.state is not ConversationState.RESOLVED or now >= survey.until:
        return None
    asked = not any(send.message.id == survey.message_id and not send.may_have_left for send in record.sends)
    if not asked or message.sent_at < survey.asked_at - CLOCKS_DIFFER_BY or message.attachments:
        return None
    return ratings.rating_of(message.content)


def thanks(record: Record) -> str | None:
    """The thanks for a rating; None if the guest has been thanked since being asked."""
    conversation, rules = record.conversation, record.policy.survey
    if rules is None or conversation.survey is None:
        return None
    if conversation.rated_at is not None and conversation.rated_at >= conversation.survey.asked_at:
        return None
    language, words = _words(record, rules)
    return words.thanks or WORDS[language][1]


def _words(record: Record, rules: SurveyRules) -> tuple[str, SurveyWords]:
    """A language with standard texts, and the hotel's own texts in the chosen language.

    In a language without standard texts, what the hotel's own leave out is English.
    """
    spoken = (record.profile.language or "")[:2].lower()
    language = next((each for each in (spoken, rules.language) if each in rules.words or each in WORDS), "en")
    return language if language in WORDS else "en", rules.words.get(language, SurveyWords())
