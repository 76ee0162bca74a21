"""Recognises topics that always go to a person, whatever the AI would say. Pure.

The words are few and unambiguous, in the languages of the demo hotel's guests; subtler cases are left to the engine's
intent. Emergencies are matched broadly: a needless hand-over costs a minute, a missed one perhaps a life.
"""

import re
from collections.abc import Collection
from hashlib import blake2b

from contracts.names import CONTENT_LIMIT
from contracts.rules import EMERGENCIES, TOPICS, Topic
from workflows import editions

_HARMLESS = re.compile(r"\btrying\ to\ get\ in(to)?\ (touch|contact)\b", re.IGNORECASE | re.VERBOSE)
"""Phrases that only look like danger; since the second edition."""

_WORDS: dict[Topic, str] = {
    "medical": r"""
        \bbleed(s|ing)?\b | \bunconscious\b | \bheart\ attack\b | \bchest\ pains?\b | \bseizure\b
        | (?<!breast\ )(?<!back\ )\bstroke\b(?!\ of)
        | \b(can'?t|cannot|can’t)\ breathe\b | \bambulance\b | \bparamedics?\b | \boverdose | \bsuicid | \bchoking\b
        | \b(allergic\ (reaction|shock)|anaphyla\w+)
        | \b(broken?|broke)\ (my|his|her|an?|the)\ (arm|leg|wrist|ankle|hip)\b
        | \b(need|call|get|want)\b[^.?!]{0,15}\bdoctor\b | \bnot\ breathing\b | \bpassed\ out\b | \bfainted\b
        | \bblutet\b | \bkrankenwagen\b | \bnotarzt\b | \bbewusstlos | \bherzinfarkt\b | \bkeine\ luft\b
        | \b(brauch|ruf|hol)\w*\b[^.?!]{0,20}\barzt\b
        | \bsaigne | \binconscient | \bcrise\ cardiaque\b | \bun\ m[eé]decin\b
        | \b(peux|arrive)\ (pas|plus)\ ([aà]\ )?respirer\b
        | \bsangra(ndo)?\b | \bambul[aâ]ncia\b | \binconsciente\b | \b(infarto|enfarte)\b | \bu[mn]\ m[eé]dico\b
        | \b(no\ puedo|n[aã]o\ consigo|non\ riesco\ a)\ respirare?\b
        | \bsanguina | \bambulanza\b | \bsvenut[oa]\b | \bun\ dottore\b
    """,
    "safety": r"""
        \b(there(\ i|’|')s\ a\ fire|on\ fire|fire\ in\ (the|my|our)|house\ fire)\b(?!\ ?place) | \bgas\ leak\b
        | \bfire\ alarm\b[^.?!]{0,20}\b(ringing|going|went|on)\b | \bsmell\w*\b[^.?!]{0,15}\b(gas|smoke|burning)\b
        | \bintruder\b | \bbroke(n)?\ in(to)?\b[^.?!]{0,15}\b(room|house|car|safe)\b | \bbreak-?in\b
        | \btrying\ to\ (get|break)\ in(to)?\b | \bthreaten(s|ed|ing)\b | \bassault | \battacked\b | \bbeing\ followed\b
        | \b(has|with)\ a\ (gun|weapon)\b | \bhas\ a\ knife\b | \bhelp\ me\ now\b
        | \b(he|she|they|m[ae]n|wom[ae]n|guy|person|people|someone|somebody)\b[^.?!]{0,25}\bwith\ a\ knife\b
        | \b(riecht|sent|huele|cheira|odore|puzza)\b[^.?!]{0,15}
            \b(gas|gaz|g[aá]s|rauch|verbrannt|fum[eé]e|br[uû]l[eé]|humo|quemado|fumo|fuma[cç]a|queimado|bruciato)\b
        | \bes\ brennt\b | \bfeuer\ (im|in)\b | \beinbrecher\b | \bbedroht\b
        | \bau\ feu\b(?!\ de\b) | \bincendie\b | \bagress[eé] | \bun\ intrus\b
        | \bincendio\b | \binc[eê]ndio\b | \bun\ ladr(o|[oó]n)\b | \bum\ ladr[aã]o\b | \bme\ atac | \bal\ fuoco\b
    """,
    "refund": r"""
        \b(want|demand|need|get|give|request|owe)\b[^.?!]{0,25}\b(refund|money\ back)\b | \bchargeback\b
        | \brefund\ (me|us|my|our)\b | \b(like|want|expect|demand)\ to\ be\ refunded\b
        | \b(m[oö]chte|will|verlange|fordere|brauche)\b[^.?!]{0,25}\b(r[uü]ck)?erstattung\b | \bgeld\ zur[uü]ck\b
        | \b(demande|exige|veux|voudrais)\b[^.?!]{0,20}\bremboursement\b | \b[eê]tre\ rembours
        | \b(un|mi|o\ meu|um|il\ mio)\ (reembolso|rimborso)\b
        | \bdinheiro\ de\ volta\b | \bdev(uelv|olv)\w*\b[^.?!]{0,10}\bdinero\b
    """,
    "complaint": r"""
        \b(make|file|lodge|have)\ a\ (formal\ )?complaint\b | \bunacceptable\b
        | \bi(\ want|’d\ like|'d\ like)\ to\ complain\b
        | \b(worst|terrible|awful|disgusting|horrible)\b[^.?!]{0,15}\b(hotel|service|stay|experience|room)\b
        | \bbeschweren\b | \binakzeptabel\b | \bporter\ plainte\b | \binacceptable\b | \b(una\ queja|inaceptable)\b
        | \b(fazer\ uma\ reclama[cç][aã]o|inaceit[aá]vel)\b | \b(un\ reclamo|inaccettabile)\b
    """,
    "price_promise": r"""
        \bdiscounts?\b | \bprice[\ -]match | \b(better|lower|cheaper|special)\ (price|rate|deal)\b
        | \brabatt\b | \b(une\ remise|une\ r[eé]duction)\b | \bdescuento\b | \bdesconto\b | \bsconto\b
    """,
}
_PATTERNS = {topic: re.compile(words, re.IGNORECASE | re.VERBOSE) for topic, words in _WORDS.items()}

TOPIC_NAMES: dict[str, str] = {
    "refund": "a refund",
    "complaint": "a complaint",
    "price_promise": "a special price",
    "medical": "a medical emergency",
    "safety": "a safety emergency",
}
"""Topics in words for staff."""


def topic_of(text: str, among: Collection[Topic] = TOPICS, *, edition: int = editions.NEWEST) -> Topic | None:
    """The topic that a text is plainly about, emergencies first."""
    if edition >= editions.SECOND:
        text = _HARMLESS.sub(" ", text[:CONTENT_LIMIT])
    ordered = sorted(among, key=lambda topic: topic not in EMERGENCIES)
    return next((topic for topic in ordered if _PATTERNS[topic].search(text, 0, CONTENT_LIMIT)), None)


def fingerprint(text: str) -> str | None:
    """What repeats of a question have in common; None for texts too short to be a question."""
    words = re.findall(r"\w+", text[:CONTENT_LIMIT].casefold())
    return blake2b(" ".join(words).encode(), digest_size=8).hexdigest() if len(words) >= 3 else None
