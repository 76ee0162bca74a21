"""Recognises guests who ask for a person, in the languages of the demo hotel's guests. Pure."""

import re

from contracts.names import CONTENT_LIMIT
from workflows import editions

_PERSON = r"(person|human|someone|somebody|agent|staff|manager|receptionist|reception|front\ desk|operator|colleague)"
_FIRST = re.compile(
    rf"""
    \b(speak|talk|chat|connect\ me|put\ me\ through|transfer\ me)\b[^.?!]{{0,25}}
        \b(to|with)\b[^.?!]{{0,20}}\b{_PERSON}\b
    | \b(want|need|prefer|get\ me|give\ me)\ ((a|an|the|some|your)\ )?((real|actual|live|human)\ )?
        (person|human|agent|manager|operator|receptionist)\b
    | \b(real|actual|live)\ (person|human|agent)\b
    | \b(falar|conversar)\ com\ (uma\ pessoa|algu[eé]m|um\ humano|um\ atendente|a\ recep?[cç][aã]o)
    | \bhablar\ con\ (una\ persona|alguien|un\ humano|un\ agente|la\ recepci[oó]n)
    | \bparler\ [aà]\ (une\ (vraie\ )?personne|quelqu.un|un\ humain|la\ r[eé]ception)
    | \bmit\ (einem\ (echten\ )?menschen|einer\ person|jemandem|einem\ mitarbeiter|der\ rezeption)\ (sprechen|reden)
    | \bparlare\ con\ (una\ persona|qualcuno|un\ operatore|la\ reception)
    """,
    re.IGNORECASE | re.VERBOSE,
)

_NEAR = r"[^.?!]{0,20}"
_WITH = r"(?!\ ((o|a|il|la)\ )?(meine[mrn]?|mis?|mon|ma|mes|meus?|minhas?|mi[oae])\b)" + _NEAR
"""Excludes "talk to my boss" and the like."""
_EN = r"(human\ being|representative|member\ of\ staff|supervisor)"
_DE = (
    r"(mensch(en)?|person|jemand(em|en)?|mitarbeiter(in)?|kolleg(en|in)|rezeption|empfang|manager(in)?|direktor(in)?"
    r"|chef(in)?|personal)"
)
_ES = (
    r"(persona|alguien|ser\ humano|humano|agente|operadora?|encargad[oa]|gerente|directora?|emplead[oa]|recepcionista"
    r"|representante|responsable|recepci[oó]n|personal)"
)
_FR = (
    r"(personne|quelqu.un|[eê]tre\ humain|humain|agent|conseill[eè]re?|responsable|employ[eé]e?|r[eé]ceptionniste"
    r"|directeur|directrice|g[eé]rante?|personnel|r[eé]ception)"
)
_PT = (
    r"(pessoa|algu[eé]m|ser\ humano|humano|atendente|operadora?|funcion[aá]ri[oa]|gerente|diretora?|colaboradora?"
    r"|respons[aá]vel|rece[pc]cionista|recep?[cç][aã]o|pessoal)"
)
_IT = (
    r"(persona|qualcuno|essere\ umano|umano|operatore|operatrice|addett[oa]|impiegat[oa]|responsabile|direttore"
    r"|direttrice|collega|personale|reception)"
)
_MORE_WORDS = re.compile(
    rf"""
    ^\W*((a|an|einen?|une?|uma?|una|un)\ )?
        (human|human\ being|agent|operator|representative|mensch(en)?|mitarbeiter(in)?|humano|agente|atendente
        |operadora?|operatore|operatrice|humain|conseill[eè]re?)
        (,?\ (please|bitte|por\ favor|s.il\ (vous|te)\ pla[iî]t|per\ favore))?\W*$
    | \b(speak|talk|chat|connect\ me|put\ me\ through|transfer\ me)\b{_NEAR}\b(to|with)\b{_NEAR}\b{_EN}\b
    | \b(want|need|prefer|get\ me|give\ me)\ ((a|an|the|some|your)\ )?{_EN}\b
    | \b(any|some)(one|body)\ (else\ )?(that\ |who\ )?(i|we)\ (can|could|may)\ (speak|talk)\ (to|with)\b
    | \b(don.?t|do\ not)\ (want\ to|wanna)\ (speak|talk|chat|write)\ (to|with)\ (an?|the|this|your)
        \ (bot|chatbot|robot|machine|computer|ai)\b
    | \bmit\b{_WITH}\b{_DE}\b[^.?!]{{0,15}}\b(sprechen|reden|chatten|telefonieren|verbinden|verbunden)\b
    | \bverbinden\ sie\ (mich|uns)\b{_NEAR}\bmit\b{_NEAR}\b{_DE}\b
    | \b(jemanden|einen\ (menschen|mitarbeiter|kollegen))\b[^.?!]{{0,15}}\bsprechen\b
    | \b(hablar|conversar|chatear|comunicar(me|nos)|p[aá]s[ae](me|nos)|comun[ií]que(me|nos))\b[^.?!]{{0,10}}\bcon\b
        {_WITH}\b{_ES}\b
    | \bparler\b[^.?!]{{0,10}}\b([aà]|avec|au)\b{_WITH}\b{_FR}\b
    | \b(passez|transf[eé]rez)[\ -](moi|nous)\b{_NEAR}\b{_FR}\b | \bmettez[\ -]moi\ en\ relation\b
    | \b(falar|conversar)\b[^.?!]{{0,10}}\bcom\b{_WITH}\b{_PT}\b | \b(passe|ligue)[\ -]me\b{_NEAR}\b{_PT}\b
    | \b(parlare|chattare)\b[^.?!]{{0,10}}\bcon\b{_WITH}\b{_IT}\b | \bmi\ pass[ia]\b{_NEAR}\b{_IT}\b
    | \b(echte[nrs]?|richtige[nrs]?)\ (mensch(en)?|person|mitarbeiter)\b
    | \b(persona|agente)\ (real|de\ verdad|humana?)\b | \b(pessoa|atendente)\ (real|de\ verdade|humana?)\b
    | \bvraie\ personne\b | \bpersona\ (vera|reale)\b
    | \b(quiero|necesito|prefiero|quero|preciso\ de|prefiro)\ (una?|uma?)\ (humano|agente|atendente|operadora?)\b
    | \b(veux|voudrais|pr[eé]f[eè]re)\ un\ (vrai\ )?(humain|conseiller|agent)\b
    | \b(voglio|vorrei|preferisco)\ un[oa']?\ ?(operatore|operatrice|umano)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)


def asks_for_person(text: str, *, edition: int = editions.NEWEST) -> bool:
    """Whether a guest plainly asks for a person."""
    if _FIRST.search(text, 0, CONTENT_LIMIT):
        return True
    return edition >= editions.SECOND and _MORE_WORDS.search(text, 0, CONTENT_LIMIT) is not None
