"""Detects prompt injection: attempts to give orders to a model, in the texts of guests and others.

No such list is complete. An article with orders is not shown to a model, and a model's answer to a message with orders
is not sent without review. What gets past is left to the check of answers (answer_check.py), which trusts no model.
"""

import re
import unicodedata

_ORDERS = re.compile(
    r"""
    \b(ignore|disregard|forget|override|bypass|skip)\b.{0,40}\b(instruction|rule|prompt|polic|guideline|restriction|
        safety|everything|above|previous|prior|earlier|your\ training)
    | \b(new|updated|real|actual|hidden|secret|following)\ (instruction|rule|system\ prompt|prompt|policy|policies)s?\b
    | \b(system|developer|assistant|admin|root)\s*((prompt|message|mode|override|note|instruction|update)\s*)?[:>\]]
    | \b(system|initial|original|hidden)\ (prompt|instructions?|message)\b
    | \byou\ are\ (now|no\ longer)\b | \b(pretend|act|behave|respond|answer)\ (to\ be|as\ if|as\ an?|like)\b
    | \bfrom\ now\ on\b | \bdeveloper\ mode\b | \bjailbreak | (?-i:\bDAN\b)
    | \b(repeat|say|reply|respond|answer|output|print|write|translate|confirm|tell\ (me|them|guests?|everyone|the\
        guest))\b.{0,25}\b(after\ me|exactly|verbatim|the\ (text|words|following)|only|with\ the\ word|that\ (the|all|
        you|your|i|my|we|our|he|she|it|they|everything|every|there)\b.{0,60}\b(is|are|has|have|gets?|will|may|can|approved?))
    | \b(set|use|give|return|report|put|mark)\b.{0,30}\b(confidence|intent|sources?|should_?escalate|shouldEscalate|
        actions?|json)\b
    | \b(call|create|run|trigger|execute)\b.{0,20}\b(create_task|notify_staff|request_late_checkout|tools?|functions?|
        actions?)\b
    | \b(reveal|show|print|leak|list|repeat|dump|send)\b.{0,40}\b(prompt|instructions|other\ guests?|all\ guests?|
        guest\ (list|data|names?)|database|api\ key|credentials|conversations?)
    | \b(ai|llm|bot|chatbot|model|assistants?)\ (must|should|shall|has\ to|is\ to|will\ now)\b
    | \b(note|message|memo)\ (to|for)\ (the\ )?(ai|llm|bot|chatbot|model|assistants?|butler)\b
    | </?(system|assistant|user|instructions?|article|guest|knowledge|data|context)\b
    | \[/?(inst|system|assistant)\] | <\|.{1,20}\|> | ^[^\S\n]*\#{2,}\s*(system|instruction|assistant)
    | "(response|confidence|intent|should_?escalate|sources|actions)"\s*:
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_BLANKS = re.compile(r"\s+")
_NAME = re.compile(r"[^\W\d_]+(?:[ .'’-]{1,2}[^\W\d_]+){0,5}\.?")
NAME_LENGTH = 60


def gives_orders(text: str) -> bool:
    """Whether a text tries to give orders to the model that reads it."""
    return _ORDERS.search(_seen(text)) is not None


def safe_name(name: str | None) -> str | None:
    """A guest's name if it looks like one: a few words of letters. Models are shown nothing else as a name."""
    if name is None or len(name) > NAME_LENGTH or not _NAME.fullmatch(name.strip()) or gives_orders(name):
        return None
    return name.strip()


def _seen(text: str) -> str:
    """The text as a model would read it: without invisible characters, and with look-alikes normalised."""
    visible = "".join(each for each in unicodedata.normalize("NFKC", text) if unicodedata.category(each) != "Cf")
    return _BLANKS.sub(" ", visible) if "\n" not in visible else visible
