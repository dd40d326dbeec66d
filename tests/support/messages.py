"""The message catalogues of the app: brought up to date with the code, and checked.

``make messages`` adds what the code has to each catalogue (``gochat.po``), removes what it has no
more, and compiles it to what the app reads (``gochat.mo``). ``make messages NEW=de`` begins a
new one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from string import Formatter
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.messages import Catalog, Message
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCE: Final = ROOT / "src" / "gochat"
LOCALE: Final = SOURCE / "tui" / "locale"
#: What is called with messages: gettext's names.
_KEYWORDS: Final[dict[str, tuple[int | tuple[int, str], ...] | None]] = {
    "_": None,
    "N_": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
}
#: Lines of a catalogue's header that each run would change, or that say nothing.
_CHURN: Final = re.compile(
    rb'^"(Report-Msgid-Bugs-To|POT-Creation-Date|PO-Revision-Date|Last-Translator|Language-Team'
    rb"|Generated-By):.*\n",
    re.MULTILINE,
)
_COMMENTS: Final = ("Translators:",)


def catalogues() -> list[Path]:
    """Return the catalogues in the source tree."""
    return sorted(LOCALE.glob("*/LC_MESSAGES/gochat.po"))


def extracted() -> Catalog:
    """Return all messages of the app, in the order of the code."""
    catalogue = Catalog(project="gochat", charset="utf-8")
    found = [
        (f"tui/{name}", message, comments, context)
        for name, _line, message, comments, context in extract_from_dir(
            SOURCE / "tui", [("**.py", "python")], keywords=_KEYWORDS, comment_tags=_COMMENTS
        )
    ]
    cli = extract_from_file("python", SOURCE / "cli" / "tui.py", _KEYWORDS, _COMMENTS)
    found += [("cli/tui.py", message, comments, context) for _, message, comments, context in cli]
    for file, message, comments, context in sorted(found, key=lambda entry: entry[0]):
        catalogue.add(message, None, [(file, 1)], auto_comments=comments, context=context)
    return catalogue


def read(path: Path) -> Catalog:
    """Return a catalogue."""
    with path.open("rb") as file:
        return read_po(file, domain="gochat", abort_invalid=True)


def update(catalogue: Catalog, template: Catalog) -> None:
    """Give `catalogue` the messages of `template`; what it has translated stays."""
    catalogue.update(template, no_fuzzy_matching=True)
    catalogue.obsolete.clear()


def written(catalogue: Catalog) -> bytes:
    """Return the text of a catalogue's file."""
    file = BytesIO()
    write_po(file, catalogue, width=100, include_lineno=False, ignore_obsolete=True)
    return _CHURN.sub(b"", file.getvalue())


def compiled(catalogue: Catalog) -> bytes:
    """Return the file that the app reads: the same bytes for the same messages, whenever it is."""
    catalogue.creation_date = datetime(1970, 1, 1, tzinfo=UTC)
    file = BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


def new(language: str) -> Path:
    """Begin a catalogue for `language`, as ``de`` or ``pt_BR``; return its file.

    Raises:
        SystemExit: there is no such language.
    """
    path = LOCALE / language / "LC_MESSAGES" / "gochat.po"
    if not path.exists():
        try:
            Locale.parse(language)
        except (ValueError, UnknownLocaleError) as error:
            raise SystemExit(f"{language!r} is not a language, as de or pt_BR: {error}") from error
        catalogue = Catalog(
            language, project="gochat", version="app", charset="utf-8", fuzzy=False,
            header_comment=f"# The texts of gochat's app, translated: {language}.",
            msgid_bugs_address="", last_translator="", language_team="",
            revision_date="",
        )  # fmt: skip
        path.parent.mkdir(parents=True)
        path.write_bytes(written(catalogue))
    return path


def faults(catalogue: Catalog) -> Iterator[str]:
    """Yield what is wrong with the translations: those that are missing, that nobody has looked
    at, or that have other placeholders than the message."""
    for message in catalogue:
        if not message.id:
            continue
        string = message.string or ""
        texts = [string] if isinstance(string, str) else list(string)
        if not all(texts):
            yield f"not translated: {message.id!r}"
        elif message.fuzzy:
            yield f"fuzzy: {message.id!r}"
        else:
            ids = [message.id] if isinstance(message.id, str) else list(message.id)
            known = placeholders(ids[-1])
            yield from (
                f"other placeholders: {ids[-1]!r}: {text!r}"
                for text in texts
                if placeholders(text) != known
            )


def placeholders(text: str) -> set[tuple[str, str | None]]:
    """Return the placeholders of a message, each with how it is converted."""
    if "{" not in text:
        return set()
    return {
        (name, conversion)
        for _text, name, _spec, conversion in Formatter().parse(text)
        if name is not None
    }


def missing(catalogue: Catalog) -> list[Message]:
    """Return the messages without a translation."""
    return [message for message in catalogue if message.id and not message.string]


def main() -> None:
    """Bring all catalogues up to date, and say what is left to translate."""
    if languages := sys.argv[1:]:
        new(languages[0])
    template = extracted()
    for path in catalogues():
        catalogue = read(path)
        update(catalogue, template)
        path.write_bytes(written(catalogue))
        path.with_suffix(".mo").write_bytes(compiled(catalogue))
        wrong = list(faults(catalogue))
        print(f"{path.relative_to(ROOT)}: {len(catalogue)} messages, {len(wrong)} to look at")
        for fault in wrong[:20]:
            print(f"  {fault}")


if __name__ == "__main__":
    main()
