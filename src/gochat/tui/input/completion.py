"""What Tab can make of the word before the cursor. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gochat.protocol.text import DELETED, EVERYBODY_NAMES
from gochat.tui.input import commands, emoji
from gochat.tui.language import _
from gochat.tui.model.chat import ChatModel

#: The most candidates that are shown.
LIMIT: Final = 50
#: Letters of an emoji's name, before the popup comes by itself: ``:)`` and ``10:30`` are none.
_EMOJI_LETTERS: Final = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """One thing that the word can become: `text` is inserted, `label` and `hint` are shown."""

    text: str
    label: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Completions:
    """What stands between `start` and the cursor can become one of the candidates.

    `automatic`: the popup comes by itself, not only when Tab is pressed. `usage` is a command that
    is being written. `is_whole`: it need not become any of them, as the other name of a command,
    or ``@here``.
    """

    start: int
    candidates: Sequence[Candidate] = ()
    automatic: bool = False
    usage: str = ""
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Sources:
    """What can be completed, besides what the model knows."""

    model: ChatModel
    rooms: Sequence[str] = ()
    themes: Sequence[str] = ()
    members: Sequence[str] = field(default=())


def complete(before: str, sources: Sources, *, asked: bool = True) -> Completions:
    """Return what can be made of the end of `before`, the text before the cursor.

    Unless it is `asked` for by Tab only what completes by itself is looked up: a plain word could
    be the name of any of ten thousand people, with each letter that is typed.
    """
    line_start = before.rfind("\n") + 1
    if commands.is_command(before) or before == "/":
        return _command(before, sources)
    start = max(before.rfind(sign, line_start) for sign in " \t(\n") + 1
    start = max(start, line_start)
    word = before[start:]
    if word.startswith("@"):
        everybody = word[1:].casefold() in EVERYBODY_NAMES
        people = _people(word[1:], sources, "@")
        return Completions(start, people, automatic=True, is_whole=everybody)
    if word.startswith("#"):
        return Completions(start, _rooms(word[1:], sources), automatic=True)
    if word.startswith(":") and word[1:]:
        found = [
            Candidate(f"{sign} ", f"{sign}  :{name}:") for name, sign in emoji.matching(word[1:])
        ]
        long_enough = len(word) > _EMOJI_LETTERS and not word[1:].isdigit()
        return Completions(start, found[:LIMIT], automatic=long_enough)
    if word and asked:
        return Completions(start, _people(word, sources, "@"))
    return Completions(start)


def _command(before: str, sources: Sources) -> Completions:
    word, space, _remainder = before[1:].partition(" ")
    if not space:
        found = [c for c in commands.COMMANDS if c.name.startswith(word.casefold())]
        found += [
            c
            for c in commands.COMMANDS
            if c not in found and any(alias.startswith(word.casefold()) for alias in c.aliases)
        ]
        return Completions(
            0,
            [Candidate(f"/{c.name} ", c.usage, c.about) for c in found],
            automatic=True,
            is_whole=commands.find(word) is not None,
        )
    there = commands.argument_at(before)
    if there is None:
        return Completions(len(before))
    command, argument = there
    start = before.rfind(" ") + 1
    value = before[start:]
    usage = _("{usage}: {about}", usage=command.usage, about=command.about)
    kind = argument.kind if argument else "text"
    candidates: Sequence[Candidate]
    match kind:
        case "person":
            candidates = _people(value.lstrip("@"), sources, "")
        case "room":
            candidates = _rooms(value.lstrip("#"), sources)
        case "level":
            candidates = _words(value, commands.LEVELS)
        case "history":
            candidates = _words(value, commands.HISTORY)
        case "theme":
            candidates = _words(value, sources.themes)
        case "command":
            candidates = _words(value.lstrip("/"), [c.name for c in commands.COMMANDS])
        case "network" | "number":
            candidates = ()
        case "text":
            inner = complete(value, sources) if value.startswith(("@", "#", ":")) else None
            if inner is None or not inner.candidates:
                return Completions(start, (), automatic=False, usage=usage)
            return Completions(start, inner.candidates, inner.automatic, usage)
    return Completions(start, candidates, automatic=True, usage=usage)


def _words(start: str, words: Iterable[str]) -> list[Candidate]:
    return [Candidate(f"{word} ", word) for word in words if word.startswith(start.casefold())]


def _people(start: str, sources: Sources, sign: str) -> list[Candidate]:
    """People by how near they are: who spoke last in this conversation, members, who is online."""
    model, needle = sources.model, start.casefold()
    names: dict[str, None] = {}
    view = model.conversations.get(model.current)
    if view is not None:
        for entry in reversed(view.timeline.entries[-200:]):
            if entry.kind == "text":
                names.setdefault(entry.sender)
    for name in sources.members:
        names.setdefault(name)
    for other in model.conversations.values():
        if not other.is_room:
            names.setdefault(other.name)
    for name in model.people.names():
        if len(names) > 20 * LIMIT and not name.casefold().startswith(needle):
            continue
        names.setdefault(name)
    for not_offered in (model.me, DELETED):
        names.pop(not_offered, None)
    first = [name for name in names if name.casefold().startswith(needle)]
    return [
        Candidate(f"{sign}{name} ", f"@{name}", "" if name in model.people else _("offline"))
        for name in first[:LIMIT]
    ]


def _rooms(start: str, sources: Sources) -> list[Candidate]:
    model, needle = sources.model, start.casefold()
    mine = [view.conv for view in model.ordered() if view.is_room]
    rooms = dict.fromkeys([*mine, *model.invitations, *sources.rooms])
    found = [room for room in rooms if room[1:].casefold().startswith(needle)]
    return [Candidate(f"{room} ", room, _standing(room, model)) for room in found[:LIMIT]]


def _standing(room: str, model: ChatModel) -> str:
    if room in model.invitations:
        return _("invited")
    return "" if room in model.conversations else _("not joined")
