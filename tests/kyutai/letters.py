"""A tokenizer of single letters, and Moshi's text stream written so that it can be read.

``_`` is padding, ``^`` announces a word, a capital or ``|`` begins one, other letters go on with
it: ``^Hi_`` is the word "hi".
"""

from __future__ import annotations

import string

PAD, EPAD = 3, 0
_BEGINS = {sign: 10 + index for index, sign in enumerate(string.ascii_uppercase)}
_GOES_ON = {sign: 40 + index for index, sign in enumerate(string.ascii_lowercase + ",?")}
_BYTES = 100
_TOKENS = {"_": PAD, "^": EPAD, "|": 9} | _BEGINS | _GOES_ON
_SIGNS = {token: sign for sign, token in _TOKENS.items()}


class Letters:
    """What is used of ``sentencepiece.SentencePieceProcessor``; knows a-z and two signs."""

    def encode(self, text: str) -> list[int]:
        # a sign without a piece of its own is "unknown", which is also what EPAD is
        first, rest = text[0].upper(), text[1:]
        begins = [first] if first in _BEGINS else ["|", text[0]]
        return [_TOKENS.get(sign, EPAD) for sign in (*begins, *rest)]

    def vocab_size(self) -> int:
        return _BYTES + 256

    def id_to_piece(self, token: int) -> str:
        if token >= _BYTES:
            return f"<0x{token - _BYTES:02X}>"
        sign = _SIGNS[token]
        return f"▁{sign.lower()}" if sign.isupper() else sign.replace("|", "▁")


def tokens(signs: str) -> list[int]:
    return [_TOKENS[sign] for sign in signs]


def signs(tokens: list[int]) -> str:
    return "".join(_SIGNS[token] for token in tokens)


def byte_tokens(text: str) -> list[int]:
    """The pieces of what has none: one for each byte."""
    return [_BYTES + byte for byte in text.encode()]
