"""Names of rooms and of participants: what is accepted, and in which form it is kept."""

from __future__ import annotations

import unicodedata

MAX_ROOM_LENGTH = 64
MAX_NAME_LENGTH = 64
"""Characters after normalisation."""

_JOINERS = frozenset("\u200c\u200d")
"""Zero-width joiners: part of Indic and Persian spelling and of emoji."""


class InvalidNameError(ValueError):
    """A name is not accepted; the text says why."""


def room_name(text: str) -> str:
    """The name of a room in NFC: letters and digits of any script, `-`, `_` and `.`.

    Raises InvalidNameError.
    """
    name = unicodedata.normalize("NFC", text)
    if not name:
        raise InvalidNameError("The room needs a name.")
    if len(name) > MAX_ROOM_LENGTH:
        raise InvalidNameError(f"The name of the room is longer than {MAX_ROOM_LENGTH} characters.")
    for character in name:
        if unicodedata.category(character)[0] not in "LMN" and character not in "-_.":
            raise InvalidNameError("The name of a room has letters, digits, '-', '_' and '.' only.")
    if unicodedata.category(name[0])[0] not in "LN":  # '.' and '..' mean something else in an address
        raise InvalidNameError("The name of a room begins with a letter or a digit.")
    return name


def participant_name(text: str) -> str:
    """The name of a person as it is shown: NFC, single spaces, nothing invisible. Raises InvalidNameError."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if len(name) > MAX_NAME_LENGTH:
        raise InvalidNameError(f"The name is longer than {MAX_NAME_LENGTH} characters.")
    for character in name:
        # Category C: controls, unassigned and private characters, marks that turn the direction of writing.
        if unicodedata.category(character)[0] == "C" and character not in _JOINERS:
            raise InvalidNameError("The name has a character that cannot be shown.")
    if not any(unicodedata.category(character)[0] in "LNPS" for character in name):
        raise InvalidNameError("Please enter a name.")
    return name
