"""The language of what the app shows: gettext's catalogues, and the functions that look texts up.

The texts in the code are English, and the ids of the messages at the same time. Values are named
placeholders, as in ``_("{person} is invited.", person=name)``, never parts that are put together:
other languages have another order. A text that exists before the language is known, in a table or a
class, is marked with :func:`N_` there, and looked up with :func:`_` where it is shown.

A catalogue is a file, ``LANGUAGE/LC_MESSAGES/gochat.mo``, in the directory ``locale`` here or in
the person's own, which comes first. What a catalogue lacks is shown in English.
"""

from __future__ import annotations

import gettext
import os
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

DOMAIN: Final = "gochat"
#: The language of the texts in the code, which needs no catalogue.
ENGLISH: Final = "en"
#: The catalogues that come with the app.
SHIPPED: Final = Path(__file__).parent / "locale"
#: Where a language is looked for if none was chosen, the first that is set. The order is gettext's.
_VARIABLES: Final = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
#: What reading a damaged catalogue can raise.
_DAMAGE: Final = (OSError, ValueError, LookupError, struct.error, RecursionError)

_catalogue: gettext.NullTranslations = gettext.NullTranslations()


def _(message: str, /, **values: object) -> str:
    """Return `message` in the language in use, with `values` for its placeholders.

    Of these an ``int`` is how many there are of something, and shown as :func:`grouped` does. A
    number that counts nothing, as a year or an id, is given as text.
    """
    return _filled(message, _catalogue.gettext(message), values) if message else ""


def ngettext(singular: str, plural: str, n: int, /, **values: object) -> str:
    """Return the form for `n` things; its placeholder ``{n}`` is the number, unless `values` has
    another text for it."""
    values.setdefault("n", n)
    text = _catalogue.ngettext(singular, plural, n)
    return _filled(singular if n == 1 else plural, text, values)


def pgettext(context: str, message: str, /, **values: object) -> str:
    """Return `message` as it is in this `context`, where other languages need another word."""
    return _filled(message, _catalogue.pgettext(context, message), values)


def grouped(number: int) -> str:
    """Return a number with what the language has between thousands: ``1,195,999``."""
    return f"{number:,}".replace(",", pgettext("between thousands", ","))


def N_(message: str) -> str:  # noqa: N802 – gettext's name
    """Mark `message` for the catalogues; it is looked up where it is shown."""
    return message


def translated(message: str, /, **values: object) -> str | None:
    """Return `message` in the language in use; None if that has no translation of it, or one that
    needs other values."""
    if not message:
        return None  # what a catalogue has of it is its own header
    text = _catalogue.gettext(message)
    try:
        return text.format_map(_shown(values)) if text != message else None
    except (LookupError, ValueError, TypeError, AttributeError):
        return None


def _filled(message: str, text: str, values: Mapping[str, object]) -> str:
    if not values:
        return text
    shown = _shown(values)
    try:
        return text.format_map(shown)
    except (LookupError, ValueError, TypeError, AttributeError):
        return message.format_map(shown)  # the translation has placeholders of its own


def _shown(values: Mapping[str, object]) -> dict[str, object]:
    return {name: grouped(value) if type(value) is int else value for name, value in values.items()}


# -- choosing --------------------------------------------------------------------------------------


def use(
    language: str = "", own: Path | None = None, environ: Mapping[str, str] = os.environ
) -> str:
    """Show everything in `language`, as ``zh_CN``, from now on; return what is wrong, or "".

    Without it, the language is that of the environment, as for all programs that use gettext. One
    for which there is no catalogue is English, and nothing is wrong then. `own` is the directory
    with catalogues of the person's own.
    """
    damaged: list[tuple[Path, object]] = []
    found: gettext.NullTranslations | None = None
    for path in _files(_wanted(language, environ), own):
        try:
            with path.open("rb") as file:
                catalogue = gettext.GNUTranslations(file)
        except _DAMAGE as error:
            damaged.append((path, getattr(error, "strerror", None) or error))
        else:
            if found is None:
                found = catalogue
            else:
                found.add_fallback(catalogue)
    install(found or gettext.NullTranslations())
    return " ".join(
        _("The translation {file} can't be read: {reason}.", file=path, reason=reason)
        for path, reason in damaged
    )


def install(catalogue: gettext.NullTranslations) -> gettext.NullTranslations:
    """Look all texts up in `catalogue` from now on; return the one that was used before."""
    global _catalogue
    before, _catalogue = _catalogue, catalogue
    return before


def languages(own: Path | None = None) -> tuple[str, ...]:
    """Return the languages that can be chosen, English among them."""
    paths = (path for place in _places(own) for path in place.glob(f"*/LC_MESSAGES/{DOMAIN}.mo"))
    return tuple(sorted({ENGLISH, *(path.parent.parent.name for path in paths)}))


def own_name(language: str, own: Path | None = None) -> str:
    """Return what a language calls itself, as its catalogue says; else its code."""
    if language == ENGLISH:
        return "English"
    for path in _files([language], own):
        try:
            with path.open("rb") as file:
                name = gettext.GNUTranslations(file).pgettext("this language", "English")
        except _DAMAGE:
            continue
        if name != "English":
            return name
    return language


def _wanted(language: str, environ: Mapping[str, str]) -> list[str]:
    """Return the languages to look for, the best first, without English and what comes after it."""
    names = language or next((environ[name] for name in _VARIABLES if environ.get(name)), "")
    wanted: list[str] = []
    for name in names.replace("-", "_").split(":"):
        if re.split("[._@]", name)[0] in ("C", "POSIX", ENGLISH):
            break
        if name:
            wanted.append(name)
    return wanted


def _files(wanted: list[str], own: Path | None) -> Iterator[Path]:
    """Yield the catalogues of languages, the best first; of a language without a country, if it
    has none itself, those of its first country."""
    for name in wanted:
        found = [
            Path(path)
            for place in _places(own)
            for path in gettext.find(DOMAIN, str(place), [name], all=True)
        ]
        if not found and "_" not in name:
            found = [
                path
                for place in _places(own)
                for path in sorted(place.glob(f"{name}_*/LC_MESSAGES/{DOMAIN}.mo"))[:1]
            ]
        yield from found


def _places(own: Path | None) -> list[Path]:
    return [SHIPPED] if own is None else [own, SHIPPED]
