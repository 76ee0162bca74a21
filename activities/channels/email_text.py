"""Extracts what a guest has newly written from a mail, without quoted history, signature and polite forms."""

import re
from itertools import islice
from typing import Final

import inscriptis
import lxml.html
from lxml.etree import LxmlError
from mailparser_reply.constants import MAIL_LANGUAGES
from mailparser_reply.parser import EmailMessage, EmailReply

READ_LIMIT: Final = 50_000
"""How many characters are searched for quoted history, because the search is slow."""
HTML_LIMIT: Final = 500_000
_LONG: Final = 200
"""A longer line is neither a quote header nor a signature, and would slow the search down."""
_STAND_IN: Final = "\ue000"
_QUOTED_HTML: Final = (
    "//blockquote[@type='cite']",
    "//blockquote[contains(@class, 'gmail_quote') or contains(@class, 'protonmail_quote')]",
    "//*[contains(@class, 'gmail_attr') or contains(@class, 'moz-cite-prefix') or contains(@class, 'yahoo_quoted')]",
    "//*[contains(@class, 'gmail_signature') or contains(@class, 'moz-signature') or @id='Signature']",
    "//*[contains(@class, 'zmail_extra') or contains(@class, 'tutanota_quote')]",
)
_HISTORY_HTML: Final = "//*[@id='divRplyFwdMsg' or @id='appendonsend' or @id='stopSpelling']"
"""Where Outlook's quoted history begins; everything after it belongs to it."""
_ATTRIBUTION: Final = re.compile(
    r"^(?=[^\n]*(?:@|\b20\d\d\b))(?!>)[^\n]{1,200}(?:(?<=[:\uff1a])|\n(?!>)[^\n]{1,60}[:\uff1a])\n+(?=>)", re.MULTILINE
)
"""The "On … wrote:" line above quoted text, in any language."""
_SUBJECT_FIELD: Final = re.compile(
    r"^[\s>*]*(subject|betreff|objet|asunto|oggetto|assunto|onderwerp|[äa]mne|emne|aihe|temat|p[řr]edm[ěe]t|predmet"
    r"|t[áa]rgy|subiect|konu|θέμα|тема|נושא|الموضوع|主题|主旨|件名|제목)[\s*]*[:\uff1a]",
    re.IGNORECASE | re.MULTILINE,
)
"""Found in the header of a forwarded mail, but not in what guests write of journeys and stays."""
_SENDER_LINE: Final = re.compile(
    r"^[ *]*(from|von|de|da|van|fr[åa]n?|od|remetente|remitente|mittente|exp[ée]diteur|afzender|l[äa]hett[äa]j[äa]"
    r"|felad[óo]|kimden|g[öo]nderen|από|от|від|מאת|من|发件人|寄件者|寄件人|差出人|送信者|보낸\s?사람)[ *]*[:\uff1a]",
    re.IGNORECASE | re.MULTILINE,
)
_SENT_LINE: Final = re.compile(
    r"^[\s>*]*(to|sent|date|an|gesendet|datum|[àa]|envoy[ée]|para|enviad[oa]( el| em)?|data|fecha|inviato|aan|verzonden"
    r"|till?|skickat|sendt|dato|do|wys[łl]ano|komu|odesl[áa]no|kime|tarih|g[öo]nderildi|c[íi]mzett|elk[üu]ldve"
    r"|vastaanottaja|l[äa]hetetty|προς|кому|отправлено|дата|надіслано|אל|נשלח|إلى|تم الإرسال|收件人|收件者|发送时间"
    r"|日期|寄件日期|傳送時間|宛先|送信日時|日時|받는\s?사람|보낸\s?(날짜|시간))[ *]*[:\uff1a]",
    re.IGNORECASE | re.MULTILINE,
)
"""To whom and when: what the header of a mail has, but not what a form on a website writes above a message."""
_SENDER_LINES: Final = 50
_HEADER_LINES: Final = 8
_HEADER_LENGTH: Final = 2_000
"""How many senders are looked at, and how many lines and characters a header may have from sender to subject."""
_RULE: Final = re.compile(r"\n[ *]*[-_—]{4,}[^\n]{0,60}\Z")
"""A line above that header, such as "----- Mensagem original -----"."""
_DEVICE: Final = (
    r"(iphone|ipad|android|samsung|galaxy|huawei|xiaomi|outlook|yahoo|gmx|smartphone|mobil\w*|m[óo]vil|celular"
    r"|telefon\w*|t[ée]l[ée]phone|telem[óo]vel|tel[ée]fono)"
)
_SENT_FROM: Final = re.compile(
    r"\s*\n(von mein\w+ [^\n]{2,40} gesendet"
    rf"|(gesendet|envoy[ée]|enviad[oa]|inviat[oa]|verstuurd|verzonden|skickat|sendt|wys[łl]an[eo]|отправлено|надіслано"
    rf"|obter|obtenir|obtener|scarica|holen|download|h[äa]mta|pobierz)\b[^\n]{{1,40}}\b{_DEVICE}\b[^\n]{{0,60}}"
    rf"|[^\n]{{0,10}}{_DEVICE}[^\n]{{0,10}}(から送信|发送|傳送|에서 보냄)|[发發]自我的[^\n]{{1,30}})\.?\s*\Z",
    re.IGNORECASE,
)
"""What telephones write below a mail, where the library does not know it."""
REPLY_PREFIX: Final = re.compile(
    r"^\s*((re|aw|sv|vs|antw|rif|odp|res|回复|回覆)\s*(\[\d+\])?\s*[:\uff1a]\s*)+", re.IGNORECASE
)
_FORWARD_PREFIX: Final = re.compile(
    r"^\s*(fwd?|wg|tr|rv|enc|i|doorst|vb|vl|pd|转发|轉寄|転送)\s*[:\uff1a]", re.IGNORECASE
)
_BRACKETS: Final = re.compile(r"[\[\]]")
_SIGNATURE_LINES: Final = 12
_GREETING: Final = 40
"""How long the first line of a signature may be."""
_SALUTATION: Final = re.compile(
    r"(hi|hello|hey|dear|good (morning|day|afternoon|evening)|hallo|guten|liebe[rs]?|sehr geehrte[rs]?|bonjour|bonsoir"
    r"|madame|ol[áa]|bom dia|boa (tarde|noite)|hola|buen[oa]s|estimad[oa]s?|buongiorno|gentile)\b[^\n?]{0,40}",
    re.IGNORECASE,
)


def said_in(subject: str, text: str | None, html: str | None) -> str:
    """The text of a mail: what is newly written, or everything if nothing would be left. Empty without text.

    The subject counts as the guest's words if the mail has nothing else but history and polite forms; otherwise it is
    added in brackets for staff to read. A reply's subject belongs to an earlier mail and is left out. A forwarded mail
    is kept whole.
    """
    if _FORWARD_PREFIX.match(subject):
        return _everything(text, html) or subject
    own = _own_words(text, html)
    visible = own or _everything(text, html)
    if REPLY_PREFIX.match(subject) or subject.strip().casefold() in visible.casefold():
        return visible
    return f"{subject if _is_form(own) else _told_apart(subject)}\n\n{visible}".strip()


def has_words(text: str | None, html: str | None) -> bool:
    """Whether a mail has anything newly written besides polite forms."""
    return not _is_form(_own_words(text, html))


def _told_apart(subject: str) -> str:
    """Marks the subject as information from the channel and not the guest's words: "Booking 4711" is no question."""
    return f"[Subject: {' '.join(_BRACKETS.sub(' ', subject).split())}]"


def _is_form(words: str) -> bool:
    """Whether the text is only a salutation and a signature, or empty."""
    if len(words) > _LONG:
        return False
    above = "Words."  # the library recognises a signature by the text above it
    rest = _without_history(f"{above}\n\n{words}").removeprefix(above).strip()
    return not rest or _SALUTATION.fullmatch(rest) is not None


def _everything(text: str | None, html: str | None) -> str:
    return _tidy(whole_text(text, html)[:READ_LIMIT])


def _own_words(text: str | None, html: str | None) -> str:
    if text is not None and text.strip():
        return _without_history(text)
    return _without_history(html_to_text(html, quoted=False)) if html is not None and html.strip() else ""


def whole_text(text: str | None, html: str | None) -> str:
    """The whole text of a mail, with history and signature."""
    return text if text is not None and text.strip() else html_to_text(html or "", quoted=True)


def html_to_text(html: str, *, quoted: bool) -> str:
    """The text of HTML as a reader sees it, with quoted history if `quoted`."""
    try:
        # As bytes, because text with an encoding declaration is refused.
        tree = lxml.html.document_fromstring(
            html[:HTML_LIMIT].encode("utf-8", "replace"), parser=lxml.html.HTMLParser(encoding="utf-8", huge_tree=True)
        )
        if not quoted:
            _drop_history(tree)
        return str(inscriptis.Inscriptis(tree).get_text())
    except (LxmlError, ValueError, RecursionError, IndexError, AttributeError):
        return re.sub(r"<[^<>]{0,2000}>", " ", html[:HTML_LIMIT])


def _drop_history(tree: lxml.html.HtmlElement) -> None:
    for path in _QUOTED_HTML:
        for element in tree.xpath(path):
            if element.getparent() is not None:
                element.drop_tree()
    for element in tree.xpath(_HISTORY_HTML):
        for later in list(element.itersiblings()):
            later.drop_tree()
        if element.getparent() is not None:
            element.drop_tree()


def _without_history(text: str) -> str:
    read, long_lines = _bounded(_ATTRIBUTION.sub("", _above_a_header(_tidy(text[:READ_LIMIT]))))
    replies = _replies(read)
    own: list[str] = []
    for number, reply in enumerate(replies):
        header = str(reply.headers or "")
        if header and _is_history(header):
            own += _answers_between([each.content for each in replies[number:]], header)
            break
        own.append(_without_signature(reply))
    visible = "\n".join(each for each in own if each)
    visible = "\n".join(line for line in visible.split("\n") if not line.startswith(">"))
    visible = _restored(visible, long_lines).strip()
    return _SENT_FROM.sub("", _tidy(visible))


def _above_a_header(text: str) -> str:
    """What stands above the header of a quoted mail in any language. Answers between quoted lines are left in."""
    marked = text.rfind("\n>")
    for sender in islice(_SENDER_LINE.finditer(text), _SENDER_LINES):
        start = sender.start()
        header = "\n".join(text[start : start + _HEADER_LENGTH].split("\n")[:_HEADER_LINES])
        is_header = _SUBJECT_FIELD.search(header) is not None and _SENT_LINE.search(header) is not None
        if marked < start and is_header and (above := text[:start].rstrip()):
            return _RULE.sub("", above)
    return text


def _replies(text: str) -> list[EmailReply]:
    message = EmailMessage(text=text, languages=list(MAIL_LANGUAGES), keep_hyphen_lists=True)
    replies: list[EmailReply] = message.read().replies
    return replies


def _without_signature(reply: EmailReply) -> str:
    """Removes the signature. The library takes everything up to the end for it, even "Thanks, one more question: …"."""
    content, signature = str(reply.content), str(reply.signatures or "")
    if not signature or not content.endswith(signature):
        return content
    lines = signature.strip().split("\n")
    delimited = lines[0].strip() in ("--", "__")
    if delimited or (len(lines) <= _SIGNATURE_LINES and len(lines[0]) <= _GREETING and "?" not in signature):
        return content.removesuffix(signature).rstrip()
    return content


def _is_history(header: str) -> bool:
    """Whether it is the header of a forwarded mail, and not the dates of a stay ("From: 3 May, To: 5 May")."""
    told = "@" in header or _SUBJECT_FIELD.search(header) is not None
    if _SENDER_LINE.match(header.lstrip()) is not None and _SENT_LINE.search(header) is None:
        told = False
    return told or header.rstrip().endswith(":") or header.startswith("-----")


def _answers_between(history: list[str], header: str) -> list[str]:
    """What a guest wrote below or between quoted lines. Without quote marks, all of it counts as history."""
    rest = "\n".join(history).removeprefix(header)
    lines = rest.split("\n")
    quoted = [number for number, line in enumerate(lines) if line.startswith(">")]
    if not quoted:
        return []
    return [line for line in lines[quoted[0] :] if not line.startswith(">")]


def _tidy(text: str) -> str:
    """Removes trailing blanks and repeated empty lines."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace(_STAND_IN, "")
    lines = [re.sub(r"[^\S\n]{2,}", " ", line).strip() for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _bounded(text: str) -> tuple[str, list[str]]:
    """The text with placeholders for its long lines, and those lines."""
    kept: list[str] = []

    def stand_in(line: str) -> str:
        if len(line) <= _LONG:
            return line
        kept.append(line)
        return ("> " if line.startswith(">") else "") + f"{_STAND_IN}{len(kept) - 1}{_STAND_IN}"

    return "\n".join(stand_in(line) for line in text.split("\n")), kept


def _restored(text: str, kept: list[str]) -> str:
    return re.sub(f"{_STAND_IN}(\\d+){_STAND_IN}", lambda match: kept[int(match.group(1))], text)
