"""Numbers with something on them, in English: money, measures, ranges, times, dates, versions.

Each function takes one word without the punctuation around it and returns what is
said, or None if the word is of another kind.
"""

from __future__ import annotations

import re

from .numerals import cardinal, decade, digits, fraction, listed, number, ordinal, year

MONTHS = listed(
    "January February March April May June July August September October November December"
)
_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"
_SIGN = r"[-−–+±~≈<>≤≥×]|<=|>="
SIGNS = {
    "": "", "-": "minus ", "−": "minus ", "–": "minus ", "+": "plus ", "±": "plus or minus ",
    "~": "about ", "≈": "about ", "<": "less than ", ">": "more than ", "×": "times ",
    "≤": "at most ", "<=": "at most ", "≥": "at least ", ">=": "at least ",
}  # fmt: skip
_CURRENCIES = {
    "$": ("dollar", "cent"), "US$": ("US dollar", "cent"), "€": ("euro", "cent"),
    "£": ("pound", "penny"), "¥": ("yen", ""), "₹": ("rupee", "paisa"),
}  # fmt: skip
_SCALES = {
    "k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million",
    "bn": "billion", "b": "billion", "B": "billion", "T": "trillion", "tn": "trillion",
}  # fmt: skip
SCALE_WORDS = frozenset(("hundred", "thousand", "million", "billion", "trillion"))
_UNITS = {
    "km": "kilometer", "m": "meter", "cm": "centimeter", "mm": "millimeter", "nm": "nanometer",
    "µm": "micrometer", "μm": "micrometer", "mi": "mile", "tbsp": "tablespoon", "tsp": "teaspoon",
    "yd": "yard", "ft": "foot",
    "kg": "kilogram", "g": "gram", "mg": "milligram", "µg": "microgram", "lb": "pound",
    "lbs": "pound", "oz": "ounce", "l": "liter", "L": "liter", "ml": "milliliter",
    "mL": "milliliter", "cl": "centiliter", "dl": "deciliter", "s": "second", "sec": "second",
    "secs": "second", "ms": "millisecond", "µs": "microsecond", "μs": "microsecond",
    "ns": "nanosecond", "min": "minute", "mins": "minute", "h": "hour", "hr": "hour",
    "hrs": "hour", "B": "byte", "KB": "kilobyte", "kB": "kilobyte", "MB": "megabyte",
    "GB": "gigabyte", "TB": "terabyte", "PB": "petabyte", "KiB": "kibibyte", "MiB": "mebibyte",
    "GiB": "gibibyte", "kbit": "kilobit", "Mbit": "megabit", "Gbit": "gigabit",
    "W": "watt", "mW": "milliwatt", "kW": "kilowatt", "MW": "megawatt", "GW": "gigawatt",
    "V": "volt", "mV": "millivolt", "kV": "kilovolt", "A": "amp", "mA": "milliamp",
    "mAh": "milliamp hour", "Wh": "watt hour", "kWh": "kilowatt hour", "J": "joule",
    "kJ": "kilojoule", "cal": "calorie", "kcal": "kilocalorie", "N": "newton", "Pa": "pascal",
    "kPa": "kilopascal", "hPa": "hectopascal", "dB": "decibel", "px": "pixel", "ha": "hectare",
    "°": "degree", "º": "degree", "$": "dollar", "€": "euro", "£": "pound", "x": "time",
    "×": "time", "m²": "square meter", "m2": "square meter", "km²": "square kilometer",
    "km2": "square kilometer", "m³": "cubic meter", "m3": "cubic meter", "cm³": "cubic centimeter",
    "sqft": "square foot", "Mpx": "megapixel", "MP": "megapixel", "¢": "cent",
}  # fmt: skip
_SAME = {
    "%": "percent", "‰": "per mille", "¥": "yen", "Hz": "hertz", "kHz": "kilohertz",
    "MHz": "megahertz", "GHz": "gigahertz", "K": "K", "p": "p", "D": "D", "G": "G",
    "mph": "miles per hour", "mpg": "miles per gallon", "fps": "frames per second", "rpm": "R P M",
    "bps": "bits per second", "kbps": "kilobits per second", "Mbps": "megabits per second",
    "Gbps": "gigabits per second", "°C": "degrees Celsius", "ºC": "degrees Celsius",
    "℃": "degrees Celsius", "°F": "degrees Fahrenheit", "ºF": "degrees Fahrenheit",
    "℉": "degrees Fahrenheit", "kph": "kilometers per hour", "kmh": "kilometers per hour",
}  # fmt: skip
_PLURALS = {"foot": "feet", "square foot": "square feet", "hertz": "hertz", "penny": "pence"}
_APART = (frozenset(_UNITS) | frozenset(_SAME)) - frozenset("x×KpDGAB$°º") - {"MP", "PB"}
"""Units that may stand after a space; the others would be mistaken for words."""
_ONE = frozenset(("1", "1.0"))

_MEASURE = re.compile(
    rf"(?P<sign>{_SIGN})?(?P<low>{_NUMBER})(?:[-–—−](?P<high>{_NUMBER}))?"
    r"(?:[-‑]?(?P<unit>[a-zA-Zµμ°º%‰℃℉×$€£¥¢][a-zA-Z]{0,4}[²³23]?)(?:/(?P<per>[a-zA-Z]{1,12}[²2]?))?)?"
    r"(?P<more>\+)?"
)
_MONEY = re.compile(
    rf"(?P<sign>[-−+~≈<>≤≥])?(?P<coin>US\$|[$€£¥₹])(?P<low>{_NUMBER})"
    rf"(?:[-–—−](?:US\$|[$€£¥₹])?(?P<high>{_NUMBER}))?(?P<scale>k|K|mn|m|M|bn|b|B|tn|T)?"
    r"(?P<more>\+)?(?:/(?P<per>[a-zA-Z]{1,12}))?"
)
_PLAIN = re.compile(rf"(?:{_SIGN})?(?:{_NUMBER})(?:[-–—](?:{_NUMBER}))?")
_CLOCK = re.compile(r"([0-9]{1,2})(?:[:h]([0-9]{2}))?(?::([0-9]{2}))?([aApP]\.?[mM])?")
_DATES = (
    (
        re.compile(
            r"(?P<y>[0-9]{4})[-/](?P<m>[0-9]{1,2})[-/](?P<d>[0-9]{1,2})"
            r"(?:T(?P<t>[0-9:]{5,8})Z?)?"
        ),
        "ymd",
    ),
    (re.compile(r"(?P<m>[0-9]{1,2})[/-](?P<d>[0-9]{1,2})[/-](?P<y>[0-9]{4}|[0-9]{2})"), "mdy"),
    (re.compile(r"(?P<d>[0-9]{1,2})\.(?P<m>[0-9]{1,2})\.(?P<y>[12][0-9]{3})"), "dmy"),
    (re.compile(r"(?P<m>[0-9]{1,2})/(?P<y>(?:19|20)[0-9]{2})"), "my"),
)  # fmt: skip
_VERSION = re.compile(
    r"([vV]\.?)?([0-9]{1,9}(?:\.[0-9]{1,9}){0,5})(?:-?(alpha|beta|rc|dev)\.?([0-9]{0,4}))?"
)
_PHONE = re.compile(
    r"\+[0-9](?:[-.]?\(?[0-9]{1,5}\)?){2,6}|\(?[0-9]{3}\)?[-.][0-9]{3}[-.][0-9]{4}|[0-9]{3}-[0-9]{4}"
)
_LOCAL = re.compile(r"[0-9]{3}[-.][0-9]{4}")
_FRACTION = re.compile(r"([0-9]{1,4})/([0-9]{1,4})")
_RATIO = re.compile(r"([0-9]{1,3}):([0-9]{1,3})")
_ORDINAL = re.compile(r"([0-9]{1,3}(?:,[0-9]{3}){1,3}|[0-9]{1,12})(?:st|nd|rd|th)", re.I)
_DECADE = re.compile(r"(['’]?)([12][0-9]{2}0|[0-9]{1,2})(['’]?)s")
_BEFORE_DECADE = frozenset(listed("the in my your his her our their early mid late"))
_SPECIAL = {"24/7": "twenty-four seven", "9/11": "nine eleven", "50/50": "fifty-fifty",
            "1080p": "ten eighty p", "1440p": "fourteen forty p", "720p": "seven twenty p",
            "2160p": "twenty-one sixty p", "480p": "four eighty p"}  # fmt: skip
_GLYPHS = {"½": "one half", "⅓": "one third", "⅔": "two thirds", "¼": "one quarter",
           "¾": "three quarters", "⅛": "one eighth"}  # fmt: skip
_SIZE = re.compile(r"([0-9]{1,5})[x×]([0-9]{1,5})")
_FEET = re.compile(r"([1-9])['’′]([0-9]{1,2})")
_GLYPH = re.compile(r"([0-9]{0,9})([½⅓⅔¼¾⅛])")


def is_number(word: str) -> bool:
    """Whether ``word`` is a bare number or range, so that a unit may follow."""
    return len(word) < 40 and _PLAIN.fullmatch(word) is not None


def is_money(word: str) -> bool:
    found = _MONEY.fullmatch(word)
    return found is not None and not found["scale"] and not found["per"]


def coin_of(word: str) -> str:
    """The plural of the money in ``word``, for "$5 million"."""
    found = _MONEY.fullmatch(word)
    return _plural(_CURRENCIES[found["coin"]][0]) if found else ""


def unit(word: str, amount: str) -> str | None:
    """What the unit ``word`` is called after ``amount``, from which a space parts it."""
    name, slash, per = word.partition("/")
    if name not in _APART or not is_number(amount):
        return None
    said = _unit(name, amount)
    return f"{said} {_per(per)}" if slash and said and per else said


def _unit(name: str, amount: str) -> str | None:
    one = amount.lstrip("-−–+±~≈") in _ONE
    if name in _SAME:
        return _SAME[name].replace("degrees", "degree") if one else _SAME[name]
    if name not in _UNITS:
        return None
    return _UNITS[name] if one else _plural(_UNITS[name])


def _per(name: str) -> str:
    square = " squared" if name.endswith(("²", "2")) else ""
    name = name.rstrip("²2")
    return f"per {_UNITS.get(name, name)}{square}"


def _plural(name: str) -> str:
    if name in _PLURALS:
        return _PLURALS[name]
    return name if name == "yen" else f"{name}s"


def money(word: str, after: str = "") -> str | None:
    """ "$25.50" is "twenty-five dollars and fifty cents"; before "million" only the number."""
    found = _MONEY.fullmatch(word)
    if found is None:
        return None
    coin, small = _CURRENCIES[found["coin"]]
    low, high = found["low"], found["high"]
    said = SIGNS[found["sign"] or ""]
    cents = low.partition(".")[2]
    if after in SCALE_WORDS:
        return said + number(low) + (f" to {number(high)}" if high else "")
    if high and small and cents and not found["scale"]:
        said += f"{_exact(low, coin, small)} to {_exact(high, coin, small)}"
    elif high:
        scale = f" {_SCALES[found['scale']]}" if found["scale"] else ""
        said += f"{number(low)} to {number(high)}{scale} {_plural(coin)}"
    elif found["scale"]:
        said += f"{number(low)} {_SCALES[found['scale']]} {_plural(coin)}"
    elif len(cents) == 2 and small:
        said += _exact(low, coin, small)
    else:
        said += f"{number(low)} {coin if low in _ONE else _plural(coin)}"
    if found["more"]:
        said += " plus"
    return f"{said} {_per(found['per'])}" if found["per"] else said


def _exact(amount: str, coin: str, small: str) -> str:
    """Whole coins and small ones."""
    whole, _, decimals = amount.partition(".")
    if len(decimals) not in (0, 2):
        return f"{number(amount)} {_plural(coin)}"
    whole, cents = whole.replace(",", "") or "0", int(decimals or 0)
    amount = f"{number(whole)} {coin if whole == '1' else _plural(coin)}"
    change = f"{cardinal(cents)} {small if cents == 1 else _plural(small)}"
    if not cents:
        return amount
    return change if not whole.strip("0") else f"{amount} and {change}"


def measure(word: str) -> str | None:
    """Numbers and ranges with or without sign and unit: "-5°C", "10-15", "3.5km", "50%", "10k"."""
    found = _MEASURE.fullmatch(word)
    if found is None:
        return None
    low, high, name = found["low"], found["high"], found["unit"]
    said = SIGNS[found["sign"] or ""]
    years = high and not name and all(_is_year(part) for part in (low, high))
    if years:
        said += f"{year(int(low))} to {year(int(high))}"
    else:
        said += number(low) + (f" to {number(high)}" if high else "")
    if name:
        called = _attached(name, low, high)
        if called is None:
            return None
        said += f" {called}"
        if found["per"]:
            said += f" {_per(found['per'])}"
    return f"{said} plus" if found["more"] else said


def _attached(name: str, low: str, high: str | None) -> str | None:
    if name == "k" or (name == "K" and low not in ("2", "4", "5", "8")):
        return "thousand"
    if name == "M" or name == "bn" or (name == "B" and not high):
        return _SCALES[name]
    return _unit(name, high or low)


def _is_year(text: str) -> bool:
    return len(text) == 4 and "1100" <= text <= "2099"


def clock(word: str, after: str = "") -> str | None:
    """A time of day: "14:30", "2pm", "2:30pm", "9:00-17:00"."""
    parts = re.split("[-–—]", word) if len(word) < 24 else []
    if len(parts) == 2 and ":" in parts[0] + parts[1] + _half(after):
        said = [_clock(part, after or "PM") for part in parts]
        return f"{said[0]} to {said[1]}" if said[0] and said[1] else None
    if len(parts) == 2 and parts[0].isdecimal() and parts[1][-1:] in "mM":
        end = _clock(parts[1], after)
        return f"{number(parts[0])} to {end}" if end and parts[0].isascii() else None
    return _clock(word, after)


def _half(after: str) -> str:
    return ":" if half_of_day(after) else ""


def half_of_day(word: str) -> str | None:
    """ "AM" or "PM" if ``word`` says so."""
    plain = word.replace(".", "").upper()
    return plain if plain in ("AM", "PM") else None


def _clock(word: str, after: str) -> str | None:
    found = _CLOCK.fullmatch(word)
    if found is None:
        return None
    hour, minute, second, half = found.groups()
    if not (minute or half) or int(hour) > 24 or int(minute or 0) > 59:
        return None
    said = cardinal(int(hour))
    if minute and minute != "00":
        said += f" oh {cardinal(int(minute))}" if minute[0] == "0" else f" {cardinal(int(minute))}"
    elif minute and not half and not half_of_day(after):
        said += " o'clock" if 0 < int(hour) <= 12 else " hundred" if int(hour) > 12 else " hours"
    if second and second != "00":
        said += f" and {cardinal(int(second))} seconds"
    return f"{said} {half_of_day(half)}" if half else said


def date(word: str) -> str | None:
    """ISO dates, US order where both orders are possible, and German ones with dots."""
    for pattern, order in _DATES:
        found = pattern.fullmatch(word)
        if found is None:
            continue
        parts = found.groupdict()
        month, day = int(parts["m"]), int(parts.get("d") or 1)
        if month > 12 and order == "mdy":
            month, day = day, month
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return None
        full = parts["y"] if len(parts["y"]) == 4 else f"20{parts['y']}"
        place = "" if order == "my" else f" {ordinal(day)},"
        said = f"{MONTHS[month - 1]}{place} {year(int(full))}" if int(full) >= 1000 else None
        time = _clock(parts.get("t") or "", "")
        return f"{said}, {time}" if said and time else said
    return None


def version(word: str, named: bool = False) -> str | None:
    """ "v2.1", "2.1.3"; with ``named`` ("Python 3.11") "2.1" too."""
    found = _VERSION.fullmatch(word)
    if found is None:
        return None
    letter, numbers, stage, count = found.groups()
    parts = numbers.split(".")
    if not letter and not stage and (len(parts) < 3 and not (named and len(parts) == 2)):
        return None
    address = len(parts) == 4 and not letter
    said = " point ".join(number(part) for part in parts)
    if address:
        said = " dot ".join(digits(part) for part in parts)
    if stage:
        said += f" {'R C' if stage == 'rc' else stage}" + (f" {number(count)}" if count else "")
    return f"version {said}" if letter else said


def phone(word: str) -> str | None:
    """Groups of digits one by one, a comma between the groups."""
    if len(word) > 30 or not _PHONE.fullmatch(word):
        return None
    groups = [digits(group) for group in re.findall("[0-9]+", word)]
    return ("plus " if word[0] == "+" else "") + ", ".join(groups)


def counted(word: str, before: str = "") -> str | None:
    """Ordinals, fractions, ratios and decades."""
    if word in _SPECIAL:
        return _SPECIAL[word]
    if found := _ORDINAL.fullmatch(word):
        return ordinal(int(found[1].replace(",", "")))
    if found := _FRACTION.fullmatch(word):
        return fraction(int(found[1]), int(found[2]))
    if found := _RATIO.fullmatch(word):
        return f"{number(found[1])} to {number(found[2])}"
    if found := _SIZE.fullmatch(word):
        return f"{_side(found[1])} by {_side(found[2])}"
    if found := _FEET.fullmatch(word):
        return f"{number(found[1])} foot {number(found[2])}"
    if found := _DECADE.fullmatch(word):
        start = found[2]
        late = start in ("60", "70", "80", "90") or before.lower() in _BEFORE_DECADE
        if len(start) == 4 or found[1] or found[3] or (late and start[-1] == "0"):
            return decade(int(start))
    if found := _GLYPH.fullmatch(word):
        return (
            f"{number(found[1])} and {_GLYPHS[found[2]]}".removeprefix(" and ")
            if found[1]
            else _GLYPHS[found[2]]
        )
    return None


def _side(text: str) -> str:
    """One side of a picture: 1920 is "nineteen twenty"."""
    return year(int(text)) if len(text) == 4 and text[0] != "0" else number(text)


def dialled(word: str, before: str, after: str) -> bool:
    """Whether the digits ``word`` belong to a telephone number in several words."""
    area = len(word) == 3 and _LOCAL.fullmatch(after) is not None
    short = len(word) == 3 and before.lower() in ("call", "dial", "text", "agent")
    return area or short or (before[:1] == "+" and before[1:].isdecimal() and len(word) <= 5)
