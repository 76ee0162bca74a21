"""Builds the rules of a new conversation from the settings of its property, over the shared ones."""

from datetime import timedelta

from contracts.messages import ChannelType
from contracts.rules import BusinessHours, ConversationPolicy, Priority, ServiceLevel, SurveyRules, SurveyWords
from settings import Property, Settings, Survey
from workflows import editions


def conversation_policy(settings: Settings, property_id: str, channel_type: ChannelType) -> ConversationPolicy:
    """The rules that a conversation of this property and channel starts with."""
    shared = settings.conversation
    return ConversationPolicy(
        edition=editions.NEWEST,
        escalation_threshold=settings.routing.escalation_threshold,
        ai_timeout=_ms(settings.routing.ai_timeout),
        max_retries=settings.routing.max_retries,
        answers_at_once=_answers_at_once(settings, property_id),
        debounce=_ms(shared.debounce[channel_type]),
        idle_timeout=_ms(shared.idle_timeout),
        escalated_timeout=_ms(shared.escalated_timeout),
        resolved_window=_ms(shared.resolved_window),
        message_age_limit=_ms(shared.message_age_limit),
        summaries=shared.summaries,
        task_due_in={each: _ms(due) for each, due in settings.task_due_in_of(property_id).items() if due},
        task_reminder_lead=_ms(settings.tasks.reminder_lead),
        raise_overdue_tasks=settings.tasks.raise_overdue,
        history_limit=shared.history_limit,
        survey=_survey(settings.survey_of(property_id)),
        **(_of_hotel(settings.properties[property_id]) if property_id in settings.properties else {}),
    )


def business_hours(settings: Settings, property_id: str) -> BusinessHours | None:
    """When people of a property are there; None means always."""
    return _hours(settings.properties[property_id]) if property_id in settings.properties else None


def _answers_at_once(settings: Settings, property_id: str) -> bool:
    """Whether answering needs no network: an embedded engine without a fallback or a hotel system to ask."""
    ai = settings.ai_of(property_id)
    return {ai.engine, *ai.fallback} == {"embedded"} and settings.integration.http.url is None


def _of_hotel(hotel: Property) -> dict[str, object]:
    """The rules that a property sets itself. Others keep their defaults."""
    own: dict[str, object] = {
        "never_ai": hotel.never_ai,
        "autonomy": hotel.autonomy,
        "vip_autonomy": hotel.vip_autonomy,
        "repeats_to_escalate": hotel.repeats_to_escalate,
        "approvals": None if hotel.approvals is None else ConversationPolicy().approvals | hotel.approvals,
        "hours": _hours(hotel),
        "service_levels": _service_levels(hotel),
        **hotel.texts.model_dump(),
    }
    return {name: value for name, value in own.items() if value is not None}


def _hours(hotel: Property) -> BusinessHours | None:
    if hotel.hours is None:
        return None
    return BusinessHours(time_zone=hotel.time_zone, weekly=hotel.hours.weekly, holidays=hotel.hours.holidays)


def _service_levels(hotel: Property) -> dict[Priority, ServiceLevel] | None:
    if hotel.service_levels is None:
        return None
    own: dict[Priority, ServiceLevel] = {
        priority: ServiceLevel(first_response=_ms(level.first_response), next_response=_ms(level.next_response))
        for priority, level in hotel.service_levels.items()
    }
    return ConversationPolicy().service_levels | own


def _survey(survey: Survey) -> SurveyRules | None:
    if not survey.enabled:
        return None
    words = {language: SurveyWords.model_validate(each.model_dump()) for language, each in survey.words.items()}
    return SurveyRules(window=_ms(survey.window), pause=_ms(survey.pause), language=survey.language, words=words)


def _ms(milliseconds: int) -> timedelta:
    return timedelta(milliseconds=milliseconds)
