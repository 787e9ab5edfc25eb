"""Take away what is only for the eye: markdown, HTML, LaTeX markers, emoji, emoticons.

Every pattern is linear: either it cannot overlap itself, or what it may span is bounded.
"""

from __future__ import annotations

import html
import re
import unicodedata

LONG_CODE = 60
"""Characters from which code between single ticks is not read out."""
_SHIFT = 0xE000
"""Signs of inline code wait here, in the private area, until the marks around them are gone."""
_GUARD = {ord(sign): _SHIFT + ord(sign) for sign in "*_#<>~$[]()|\\`&!-+={}^:/"}
_UNGUARD = {moved: sign for sign, moved in _GUARD.items()}

_TICKS = re.compile(r"(`{1,1000})")
_RULE = re.compile(r"(?m)^[-*_=~|:+ \t]{3,}$")
_LINE_MARK = re.compile(
    r"(?m)^[ \t]*+(?:>(?:[ \t]|$|(?=[>a-zA-Z*\"“]))){0,9}"
    r"(?:#{1,6}(?:[ \t]+|$)|[-*+•‣▪◦·–—](?:[ \t]+|$)(?:\[[ xX]\][ \t]+)?)?"
)
_COMMENT = re.compile(r"<!--[^<>]{0,1000}-->")
_BREAK = re.compile(r"</?(?:br|p|div|li|ul|ol|tr|td|th|h[1-6]|hr|table)\b[^<>\n]{0,200}>", re.I)
_TAG = re.compile(
    r"</?(?:a|abbr|b|big|blockquote|body|center|code|del|details|em|font|html|i|img|ins|kbd|mark|"
    r"pre|q|s|small|span|strong|sub|summary|sup|u|var)(?:\s[^<>\n]{0,200})?/?>"
    r"|</[a-zA-Z][\w-]{0,30}>|(?<!\w)<[a-zA-Z][\w-]{0,30}/?>",
    re.I,
)
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^\s<>]{1,500}|[\w.+-]{1,64}@[\w.-]{1,255})>")
_LINK = re.compile(
    r"!?\[([^\[\]\n]{1,300})\]"
    r"(?:\([^()\s]{0,500}(?:\([^()\s]{0,99}\)[^()\s]{0,99})?(?:\s[^()\n]{0,200})?\)|\[[^\[\]\n]{0,99}\])"
)
_OPEN_LINK = re.compile(r"(?<!\w)!?\[([^\[\]\n]{1,300})\]\([^()\s]{0,500}$")
_CITATION = re.compile(r"(?:(?<=\w\w)|(?<=[.,;!?)\"”]))(?:\[\^?[0-9]{1,3}\]){1,9}|\[\^\w{1,20}\]:?")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+.!|~>&$%-])")
_ENTITY = re.compile(r"&#?\w{1,8};")
_BOLD = re.compile(r"(?<![0-9])\*{2,}|\*{2,}(?![0-9])|(?<![0-9])~~+|~~+(?![0-9])")
_STAR = re.compile(r"(?<![\w*])\*(?=[^\s*])|(?<=[^\s*])\*(?![\w*])")
_UNDERSCORE = re.compile(r"(?<!\w)_++|(?<=[^\s_])_++(?!\w)")
_CELL = re.compile(r"^[ \t]*\||\|[ \t]*$", re.M)
_BEFORE_STOP = re.compile(r"(?<=\S)[ \t]+(?=[.,!?;:…](?:\s|$))")
_EMOTICON = re.compile(
    r"(?<!\S)(?:[<>]?[:;]['’-]?[)(\[\]DPpOo3|/\\*$]+|=[)(DP]+|[xX]D+|8-[)D]|\^_*\^|[oO]_[oO]|[TU;-]_[TU;-]|"
    r"¯\\_\(ツ\)_/¯|<3+(?!\d)(?!\s*\S)|</3)(?=[.,!?]*(?:\s|$))|(?<=\w)[:;]-[)(DPp](?=\W|$)"
)
_LATEX_PARTS = re.compile(
    r"\\(?:text|mathrm|mathbf|operatorname)\{([^{}]{0,200})\}"
    r"|\\[dt]?frac\{([^{}]{0,200})\}\{([^{}]{0,200})\}|\\sqrt\{([^{}]{0,200})\}"
    r"|([\^_])\{([^{}]{0,200})\}"
)
_LATEX_INLINE = re.compile(
    r"(?<![\w$\\])\$(?=[^\s$])(?![0-9][^$\\^_={}+]{0,200}\$)([^$\n]{1,200})(?<=\S)\$(?!\w)"
)
_LATEX_MARK = re.compile(
    r"\$\$|\\[()\[\]]|\\(?:left|right|quad|qquad|displaystyle|,|;)(?![a-zA-Z])"
)
_LATEX_NAME = re.compile(r"\\([a-zA-Z]{2,12})(?![a-zA-Z])")
_LATEX_SIGNS = {
    "times": "×", "cdot": "×", "div": "÷", "pm": "±", "approx": "≈", "neq": "≠", "ne": "≠",
    "leq": "≤", "le": "≤", "geq": "≥", "ge": "≥", "infty": "∞", "to": "→", "rightarrow": "→",
    "sqrt": "√", "circ": "°", "degree": "°", "ldots": "…", "dots": "…",
    "sum": "sum", "int": "integral",
}  # fmt: skip
_LATEX_WORDS = re.compile(
    "alpha|beta|gamma|delta|epsilon|theta|lambda|mu|pi|rho|sigma|tau|phi|psi|omega|Delta|Sigma|"
    "Omega|sin|cos|tan|log|ln|exp|lim|max|min"
)
_SIGNS = frozenset("°№℃℉→←↔⇒⇐↦")
_JOINERS = frozenset("\u200c\u200d")


def clean(text: str) -> str:
    """``text`` as captions show it: words, numbers and punctuation, without marks."""
    text = text.replace("\r", "\n") if "\r" in text else text
    if not text.isascii():
        text = _without_pictures(text)
    if "`" in text:
        text = _code(text)
    if "\\" in text or "$" in text:
        text = _latex(text)
    text = _lines(text)
    if "<" in text or "&" in text:
        text = _tags(text)
    if "[" in text:
        text = _OPEN_LINK.sub(r"\1", _LINK.sub(r"\1", text))
        text = _CITATION.sub("", text)
    text = _EMOTICON.sub("", text)
    text = _emphasis(text)
    text = _BEFORE_STOP.sub("", text.translate(_UNGUARD))
    return text.strip()


def _without_pictures(text: str) -> str:
    kept: list[str] = []
    for sign in text:
        if sign < "\x80":
            kept.append(sign)
            continue
        kind = unicodedata.category(sign)
        if sign in _JOINERS:  # they shape words in Persian and Indic scripts, and glue emoji
            if kept and unicodedata.category(kept[-1])[0] in "LM":
                kept.append(sign)
        elif kind in ("So", "Cs", "Co", "Cn", "Cf", "Cc", "Me") or "\ufe00" <= sign <= "\ufe0f":
            if sign in _SIGNS:
                kept.append(sign)
            elif kind == "So" and sign >= "\u2600":
                kept.append(" ")
        elif kind != "Sk" or not "\U0001f3fb" <= sign <= "\U0001f3ff":
            kept.append(sign)
    return "".join(kept)


def _code(text: str) -> str:
    """Keep short code between ticks, guarded against the rules for marks; drop the rest."""
    parts = _TICKS.split(text)
    kept: list[str] = [parts[0]]
    place = 1
    while place < len(parts):
        mark, inside = parts[place], parts[place + 1]
        closed = place + 2 < len(parts) and parts[place + 2] == mark
        if len(mark) >= 3:
            kept.append(" ")
            if not closed:
                break  # a fence whose other end is in another piece: what follows is code
            place += 2
            kept.append(parts[place + 1])
        elif closed:
            short = len(inside) <= LONG_CODE and "\n" not in inside
            kept.append(inside.translate(_GUARD) if short else " ")
            place += 2
            kept.append(parts[place + 1])
        else:
            kept.append(inside)
        place += 2
    return "".join(kept)


def _latex(text: str) -> str:
    text = _LATEX_PARTS.sub(_latex_part, text)
    text = _LATEX_INLINE.sub(r"\1", text)
    if "\\" in text:
        text = _LATEX_NAME.sub(_latex_name, _LATEX_MARK.sub("", text))
        return _ESCAPE.sub(lambda match: match[1].translate(_GUARD), text)
    return text.replace("$$", "")


def _latex_part(match: re.Match[str]) -> str:
    word, above, below, root, place, script = match.groups()
    if above is not None:
        return f"{above}/{below}"
    if root is not None:
        return f"√{root}"
    return str(word) if place is None else f"{place}{script}"


def _latex_name(match: re.Match[str]) -> str:
    name = match[1]
    return name if _LATEX_WORDS.fullmatch(name) else _LATEX_SIGNS.get(name, match[0])


def _lines(text: str) -> str:
    if "\n" not in text and (text[:1].isalnum() and "|" not in text):
        return text
    text = _LINE_MARK.sub("", _RULE.sub("", text))
    return _CELL.sub("", text) if "|" in text else text


def _tags(text: str) -> str:
    text = _AUTOLINK.sub(r"\1", text)
    text = _TAG.sub("", _BREAK.sub(" ", _COMMENT.sub(" ", text)))
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text)


def _emphasis(text: str) -> str:
    if "*" in text or "~~" in text:
        text = _STAR.sub("", _BOLD.sub("", text))
    return _UNDERSCORE.sub("", text) if "_" in text else text
