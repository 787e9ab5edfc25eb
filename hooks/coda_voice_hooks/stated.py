"""The rules for :mod:`facts`: which clauses in the first person state something lasting."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A clause that matches ``pattern`` and not ``unless`` is a fact."""

    pattern: re.Pattern[str]
    importance: float
    unless: re.Pattern[str] | None = None
    template: str | None = None
    """The fact with ``{}`` for the name that the pattern found; None: the clause retold."""

    def matches(self, clause: str) -> bool:
        if self.pattern.fullmatch(clause) is None:
            return False
        return self.unless is None or self.unless.search(clause) is None


def _rule(
    pattern: str, importance: float, *, unless: str | None = None, template: str | None = None
) -> Rule:
    flags = re.IGNORECASE
    return Rule(
        re.compile(pattern, flags),
        importance,
        re.compile(unless, flags) if unless else None,
        template,
    )


CLAUSE_STARTS = re.compile(
    r"\s*(?:;|—|--|,?\s*\b(?:and|but|so)\s+(?=(?:I|I'm|I've|my|we|our|we're|we've)\b)"
    r"|,\s+(?:and |but |so )?(?=(?:I|I'm|I've|my|we|what|where|when|who|why|how|which|can|could|"
    r"do|does|should|would|will|is|are|any)\b))\s*",
    re.IGNORECASE,
)
"""Where a sentence is cut into clauses."""

_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december)"
)
_AHEAD = (
    rf"(?:tomorrow|the day after tomorrow|next \w+|(?:on|this|by|until) {_DAY}|this (?:weekend|"
    rf"week|month|year|spring|summer|autumn|fall|winter|christmas)|(?:in|this|at the end of) "
    rf"{_MONTH}|(?:in|for) (?:a|two|three|four|five|six|\d+) (?:days?|weeks?|months?)|on the \w+|"
    r"(?:for|at|over) (?:christmas|easter|new year)|soon)"
)
USES_TIME = re.compile(
    rf"\b(?:today|tonight|yesterday|tomorrow|{_AHEAD}|last (?:\w+)|ago|(?:on|this) {_DAY})\b"
    r"(?!\s+of\b)",
    re.IGNORECASE,
)
"""Times that mean something only together with the day on which they were said."""

_WE = r"(?:I|we)"
_AM = r"(?:I'm|I am|we're|we are)"
_HAVE = r"(?:I have|I've got|we have|we've got)"
_NAME = r"(?P<name>[^\W\d_][\w'-]*(?: [A-Z][\w'-]+)?)"
_PROPER = r"(?P<name>(?-i:[A-Z])[\w'-]+(?: (?-i:[A-Z])[\w'-]+)?)"
_NATION = (
    r"(?:german|french|italian|spanish|english|british|scottish|irish|welsh|american|canadian|"
    r"australian|dutch|belgian|swiss|austrian|polish|czech|slovak|hungarian|romanian|bulgarian|"
    r"greek|turkish|russian|ukrainian|swedish|norwegian|danish|finnish|icelandic|portuguese|"
    r"brazilian|mexican|argentinian|chilean|colombian|peruvian|indian|pakistani|chinese|japanese|"
    r"korean|vietnamese|thai|indonesian|filipino|egyptian|moroccan|nigerian|kenyan|south african|"
    r"israeli|iranian|iraqi|syrian|croatian|serbian|slovenian|estonian|latvian|lithuanian|"
    r"christian|catholic|protestant|muslim|jewish|buddhist|hindu)"
)
_NO_NAMES = (
    r"\b(?:ok|okay|fine|sorry|done|ready|good|great|back|here|sure|not|in|out|coda|just|so|very|"
    r"late|home|tired|hungry|happy|sad|bored|busy|glad|afraid|awake|alone|lost|going|trying|a|an)$"
)
_BEING = (
    r"(?:\w+(?:er|or|ist|ian|eer|yst|smith|ologist)|nurse|chef|cook|pilot|student|accountant|"
    r"assistant|consultant|attendant|agent|scientist|artist|musician|doctor|vet|lawyer|judge|"
    r"clerk|coach|priest|nun|monk|soldier|model|guide|intern|apprentice|architect|freelancer|"
    r"professional|businessman|businesswoman|policeman|fireman|salesman|paramedic|mechanic|"
    r"electrician|mother|father|parent|dad|mum|mom|grand\w+|widow|widower|twin|vegetarian|vegan|"
    r"diabetic|pensioner|veteran|refugee|citizen|native|beekeeper|night owl|morning person|fan)"
)
_NO_BEING = (
    r"\b(?:bit|little|lot|loser|bother|matter|sucker|monster|computer|robot|disaster|failure|"
    r"believer|number|killer|prisoner|tiger|minor|another|rather|never|either|stranger|goner)\b"
)
_SELF = (
    r"(?:retired|unemployed|self-employed|married|divorced|single|engaged|widowed|pregnant|"
    r"vegetarian|vegan|pescatarian|diabetic|coeliac|celiac|lactose[- ]intolerant|gluten[- ]"
    r"intolerant|colou?r[- ]?blind|deaf|blind|left-handed|right-handed|dyslexic|autistic|"
    r"epileptic|anaemic|anemic|bilingual|gay|lesbian|bisexual|an only child)"
)
_KIN = (
    r"(?:wife|husband|partner|girlfriend|boyfriend|fianc[eé]e?|sons?|daughters?|kids?|child|"
    r"children|mother|mom|mum|father|dad|parents|brothers?|sisters?|siblings?|grand\w+|granny|"
    r"aunts?|uncles?|cousins?|nieces?|nephews?|twins|boss|flatmate|roommate|neighbou?r|doctor|"
    r"dentist|teacher|best friend|dogs?|cats?|parrot|hamster|rabbit|horse|pets?|in-laws)"
)
_KINDRED = rf"(?:older |younger |elder |little |big |eldest |oldest |youngest |new |ex-)?{_KIN}"
_NUMBER = (
    r"(?:\d+|a|an|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|"
    r"fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|(?:twenty|thirty|forty|fifty|sixty|"
    r"seventy|eighty|ninety)(?:[- ]\w+)?|no|any|some|several|many)"
)
_ILL = (
    r"(?:asthma|diabetes|epilepsy|arthritis|adhd|autism|dyslexia|celiac disease|coeliac disease|"
    r"migraines|insomnia|hay fever|eczema|psoriasis|glaucoma|tinnitus|anxiety|depression|"
    r"high blood pressure|low blood pressure|(?:a |an )?[\w ]*?(?:allergy|intolerance|allergies|"
    r"condition|phobia|pacemaker|hearing aid)|a bad (?:back|knee|heart|hip))"
)
_THING = (
    r"(?!(?:it|that|this|these|those|them|him|her|you|your|yours|both|either|one|all|everything|"
    r"nothing|some|any|another|the (?:way|idea|sound|look|first|second|third|last|other|one|joke|"
    r"answer|voice|fact|part|thought)|how|when|what|where|who|if|to (?:know|hear|think|say|see|ask|"
    r"be|have|tell|talk|admit|disappoint|disturb|interrupt|bother|do|hear))\b).+"
)
_NOT = r"(?:don't|do not)"

RULES: tuple[Rule, ...] = (
    # who they are
    _rule(
        rf"my (?:first |full )?name(?:'s| is) (?!not\b){_NAME}",
        0.95,
        unless=r"\bname(?:'s| is) (?:hard|difficult|long|common|spelled|spelt|rare|in|on|a|the)\b",
        template="The user's name is {}.",
    ),
    _rule(
        rf"(?:you can |you may |just |people |everybody |everyone |my friends )?calls? me {_NAME}",
        0.95,
        template="The user wants to be called {}.",
        unless=r"calls? me (?:later|back|tomorrow|when|if|a|an|at|on|now|again|crazy|stupid|old|"
        r"tonight|soon|anytime|maybe|by|in|up|every|what\w*|names?)\b",
    ),
    _rule(rf"{_AM} {_NATION}", 0.8),
    _rule(rf"(?:I'm|I am) {_PROPER}", 0.95, unless=_NO_NAMES, template="The user's name is {}."),
    _rule(
        rf"{_WE} (?:still |now |no longer |currently )?live (?:in|on|at|near|with|alone|by|"
        r"next|close|outside|just)\b.*",
        0.85,
    ),
    _rule(rf"{_WE} {_NOT} live (?:in|on|at|near|with|alone)\b.*", 0.6),
    _rule(
        rf"{_AM} (?:originally )?from \w.*", 0.8, unless=r"\bfrom (?:the future|work|home|now)\b"
    ),
    _rule(rf"{_WE}(?: just|'ve just|'ve)? (?:moved|relocated) (?:to|from|into|out) \w.*", 0.8),
    _rule(
        r"(?:I|I've|I have) (?:always |just )?(?:used to (?:live|work|play|be|have|smoke)|lived|"
        r"worked|grew up|was raised|"
        r"graduated|studied|served|turned (?!around|it|off|on|to)) ?\w.*",
        0.6,
        unless=r"\b(?:it|that|today|all day)$",
    ),
    _rule(r"I was born .*", 0.8),
    _rule(
        rf"(?:I'm|I am) (?:now )?(?!a\b|an\b){_NUMBER}(?: years old| years of age)?",
        0.8,
        unless=r"\b(?:one|no|any|some|several|many)$",
    ),
    _rule(rf"{_AM} turning \w+.*", 0.7, unless=r"turning (?:in|it|on|off|around|left|right|the)\b"),
    # work
    _rule(
        r"I (?:now |currently |still )?work (?:as|for|at|in|with|from|night|nights|part|full)\b"
        r".*",
        0.8,
        unless=r"\bwork (?:on|out|it|with you|at it|in progress)\b",
    ),
    _rule(
        rf"(?:I'm|I am) (?:also |now |currently |still )?an? (?:[\w-]+ ){{0,3}}{_BEING}"
        r"(?: (?:at|in|for|from|of|by|with) .+)?",
        0.8,
        unless=_NO_BEING + r"|\bgood listener\b",
    ),
    _rule(
        r"(?:I'm|I am) the (?:[\w-]+ )?(?:owner|manager|director|head|mother|father|founder) of"
        r" .+",
        0.8,
    ),
    _rule(
        rf"{_AM} (?:also |both |now |currently |recently |happily |newly )?{_SELF}"
        r"(?: (?:to|in|with|since|for|and) .+)?",
        0.85,
    ),
    _rule(rf"{_AM} not {_SELF}(?: (?:to|in|any) .+)?", 0.6),
    _rule(
        r"I (?:run|own|manage|lead) (?:a|an|my own|two|three) .+",
        0.7,
        unless=r"\b(?:run|lead) an? (?:test|check|errand|bath|marathon|mile|risk|command)\b",
    ),
    _rule(r"I (?:study|teach) \w.*", 0.75, unless=r"\bteach (?:you|me|him|her)\b"),
    _rule(r"I (?:speak|understand) (?:\w+ )?(?:fluent |a little |some )?(?-i:[A-Z])\w+.*", 0.7),
    # family
    _rule(
        rf"(?:my|our) {_KINDRED}'?s? (?:first |last )?(?:name is|names are|is called|is named|"
        r"are called|are named) \w.*",
        0.85,
    ),
    _rule(
        rf"(?:my|our) {_KINDRED}'s (?:birthday|name|anniversary|phone number|number|"
        r"address)(?:'s| is) \w.*",
        0.85,
    ),
    _rule(
        rf"(?:my|our) {_KINDRED}(?: \w+)? (?:is|are) (?:an? (?!(?:bit|little|pain|mess|lot)\b).+|"
        rf"{_NUMBER}(?: and {_NUMBER})?(?: (?:years|months|weeks) old)?|allergic .+|from .+|"
        rf"{_SELF}.*|{_NATION})",
        0.75,
    ),
    _rule(
        rf"(?:my|our) {_KINDRED}(?: \w+)? (?:works?|lives?|was born|were born|likes?|loves?|hates?|"
        r"plays?|stud(?:y|ies)|goes to|go to|has|have|speaks?|died|passed away|doesn't (?:like|"
        r"eat)|can't (?:eat|hear|see)) (?!it\b|that\b|this\b|you\b|been\b|to\b|just\b).+",
        0.7,
        unless=r"\b(?:a cold|a question|a problem|the flu|a fever)\b",
    ),
    _rule(rf"(?:my|our) {_KINDRED} (?:died|passed away)", 0.8),
    _rule(
        rf"{_HAVE} (?:also |only |just )?{_NUMBER} (?:[\w-]+ )?{_KIN}\b.*",
        0.75,
        unless=r"\b(?:problem|question|story|joke)\b",
    ),
    _rule(rf"{_WE} (?:don't|do not) have {_NUMBER} (?:[\w-]+ )?{_KIN}\b.*", 0.6),
    # health and food
    _rule(
        rf"(?:{_AM}|I've been) (?:not |also |very |severely |badly |mildly )?(?:allergic|"
        r"intolerant|sensitive) to .+",
        0.95,
        unless=r"\bto (?:work|mornings|stupidity|nonsense|it|that|you|mondays)\b",
    ),
    _rule(rf"{_HAVE} (?:also |always |severe |bad |mild |type \w+ |chronic )*{_ILL}(?: .+)?", 0.9),
    _rule(r"(?:I suffer|I'm suffering) from .+", 0.85),
    _rule(
        r"I (?:can't|cannot|can not|don't|do not|never|no longer) (?:eat|drink|have|tolerate|"
        r"digest|smoke) (?!it\b|that\b|this\b|any more|more|another|anything (?:else|now)|time|"
        r"a clue|an idea|to\b|the (?:time|energy|money)|an?\b|any\b|much\b|one\b|enough\b).+",
        0.85,
        unless=r"\b(?:right now|today|tonight|yet|at the moment)\b|have (?!dairy|gluten|"
        r"nuts|milk|sugar|meat|eggs|fish|alcohol|caffeine)",
    ),
    _rule(r"I (?:don't|do not|no longer) (?:drink|smoke|eat)(?: any more| anymore)?", 0.8),
    _rule(
        r"I (?:wear|use) (?:glasses|contact lenses|contacts|a wheelchair|a hearing aid|"
        r"hearing aids|a cane|crutches|dentures)\b.*",
        0.8,
    ),
    _rule(
        r"I take \w.* (?:for my|every (?:morning|evening|day|night)|daily|twice a day)\b.*",
        0.8,
        unless=r"\btake (?:the|a) (?:bus|train|tram|walk|break)\b",
    ),
    # likes
    _rule(
        rf"I (?:really |also |absolutely |quite |still |just )*(?:like|love|enjoy|adore|hate|"
        rf"dislike|detest|prefer) {_THING}",
        0.6,
        unless=r"\b(?:like|love) (?:that|this)\b",
    ),
    _rule(
        rf"I (?:really |also |still )*{_NOT} (?:really |particularly )?(?:like|enjoy|love) "
        rf"{_THING}",
        0.65,
    ),
    _rule(rf"{_AM} not (?:really )?an? (?:big |huge |great )?fan of {_THING}", 0.65),
    _rule(rf"I (?:really |absolutely )?(?:can't|cannot) stand {_THING}", 0.65),
    _rule(
        rf"{_AM} (?:really |also |very |quite )*(?:into|fond of|crazy about|mad about|afraid of|"
        rf"scared of|terrified of|interested in|good at|passionate about) {_THING}",
        0.6,
        unless=r"\b(?:trouble|the (?:car|room|house|middle))\b",
    ),
    _rule(
        r"my (?:\w+ )?(?:favou?rite|preferred|least favou?rite) [\w ]+? (?:is|are|has always "
        r"been|was) (?!(?:that|this|the one|it|not|what)\b).+",
        0.7,
    ),
    _rule(
        r"(?:my|our) (?:main |new |biggest |only |wedding )?(?:hobby|hobbies|"
        r"passion|dream|goal|job|profession|"
        r"hometown|native language|mother tongue|age|height|weight|blood type|shoe size|surname|"
        r"last name|middle name|nickname|birthday|anniversary|address|phone number|number|"
        r"e-?mail(?: address)?)(?:'s| is| are) (?!(?:not|hard|difficult|boring|killing|going|"
        r"driving|too|so|great|wrong|coming|good|okay|fine|stressful)\b).+",
        0.8,
    ),
    _rule(
        r"I play (?:the |in |for )?(?!with\b|it\b|that\b|along\b|a (?:game|song|trick)\b)\w.*",
        0.6,
        unless=r"\b(?:now|you)\b",
    ),
    _rule(
        r"I (?:drive|own|collect|ride) (?!(?:you|it|him|her|them|to|home|me|nothing)\b)\w.*",
        0.6,
        unless=r"\bdrive (?:back|too|very|slowly|fast)\b",
    ),
    _rule(
        r"I (?:always|usually|never|normally) (?:eat|drink|wake|get up|go to|go for|run|work|"
        r"take|sleep|read|swim|cook|listen to|have|walk) (?!it\b|that\b)\w.*",
        0.6,
        unless=r"\b(?:have (?:to|a problem|trouble|time)|wrong)\b",
    ),
    _rule(
        r"I (?:get up|wake up|go to bed|go (?:running|swimming|climbing|cycling|jogging|to the "
        r"gym|to church)|work out|train|meditate) (?:at|every|on|twice|three|before|around|in "
        r"the)\b.*",
        0.6,
    ),
    # plans
    _rule(
        rf"{_AM} (?:also |really |finally |probably )?(?:going|flying|travell?ing|moving|getting|"
        r"having|visiting|meeting|seeing|starting|leaving|driving|running|staying|hosting|taking|"
        rf"giving|throwing|celebrating|planning|changing|opening|quitting|retiring)\b.* {_AHEAD}\b"
        r".*",
        0.65,
        unless=r"\b(?:late|tired|to bed|back in a)\b",
    ),
    _rule(
        rf"{_WE} (?:start|begin|leave for|fly to|retire|move) (?:a |an |my |our |in |to )?\w.* "
        rf"{_AHEAD}\b.*",
        0.65,
        unless=r"\bstart (?:the|over|again)\b",
    ),
    _rule(
        rf"{_HAVE} (?:an? |my |to )?.*(?:appointment|meeting|exam|interview|flight|date|party|"
        r"concert|deadline|test|presentation|surgery|operation|lesson|class|race|match|wedding|"
        rf"trip|reservation|conference|audition|check-?up|holiday|vacation)\b.* {_AHEAD}\b.*",
        0.7,
    ),
    _rule(
        rf"{_AM} (?:also |currently |still |now )?(?:learning|training for|saving|writing an?|"
        r"studying|preparing for|building an?|renovating|planning|looking for an? (?:new |"
        r"better )?(?:job|flat|house|apartment|car)|trying to (?:lose|quit|stop|learn|eat|"
        r"save|get pregnant)|expecting an?) ?\w.*",
        0.65,
        unless=r"\b(?:about it|that|this thing)$|planning to (?:say|ask)",
    ),
    _rule(
        r"(?:I|we) (?:plan|intend|hope|want) to (?:learn|move|visit|travel|become|buy|start|"
        r"retire|study|get married|run|write|open|quit|climb) (?!it\b|that\b|this\b|with\b|over\b)"
        r".+",
        0.6,
        unless=r"\bstart (?:the|over|again|now)\b|\brun (?:the|a test)\b",
    ),
)
