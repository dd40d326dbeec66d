"""The modal editor: what each key makes of the text, the cursor, and the mode.

Inserting is the field's: the editor has the keys of normal and visual mode, and learns when
inserting ends (:meth:`Vim.leave_insert`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from gochat.tui.input.vim import motions
from gochat.tui.input.vim.motions import BREAK
from gochat.tui.input.vim.parsing import (
    LINES,
    MOTIONS,
    OBJECTS,
    OPERATORS,
    Command,
    IncompleteError,
    UnknownError,
    parse,
)

Mode: TypeAlias = Literal["insert", "normal", "visual", "visual line"]
#: What the editor can't do, and asks of the app.
Wish: TypeAlias = Literal[
    "up", "down", "oldest", "now", "half_up", "half_down", "search", "palette", "next_hit",
    "previous_hit", "next_conversation", "previous_conversation", "conversation",
]  # fmt: skip

#: Changes that can be undone.
_UNDO: Final = 200
#: The keys that are only about something else.
WISHES: Final[dict[str, Wish]] = {
    "/": "search", ":": "palette", "n": "next_hit", "N": "previous_hit", "ctrl+u": "half_up",
    "ctrl+d": "half_down", "gt": "next_conversation", "gT": "previous_conversation",
}  # fmt: skip
#: The same as an operator with a motion.
_SHORT: Final = {
    "x": ("d", "l"), "X": ("d", "h"), "D": ("d", "$"), "C": ("c", "$"), "s": ("c", "l"),
    "S": ("c", LINES), "Y": ("y", LINES),
}  # fmt: skip
_CASES: Final[dict[str, Callable[[str], str]]] = {
    "g~": str.swapcase, "gu": str.lower, "gU": str.upper,
}  # fmt: skip
_VISUAL: Final = {
    "x": "d", "X": "d", "D": "d", "s": "c", "C": "c", "S": "c", "Y": "y", "u": "gu", "U": "gU",
    "~": "g~",
}  # fmt: skip
#: Motions that cover something although they lead nowhere.
_STAYING: Final = frozenset({"$", "e", "E", "g_", "gg", "G", "f", "t", ";", ",", "%"})
#: With these one writes even if there is nothing to cut.
_INSERTING: Final = frozenset({"cl", "cw", "cW"})
#: In visual mode these are about whole lines.
_WHOLE_LINES: Final = frozenset("XDCSY")
_CLIPBOARD: Final = frozenset("+*")
_NOWHERE: Final = "_"
_LINEWISE: Final = frozenset({"j", "k", "gg", "G"})
_INCLUSIVE: Final = frozenset({"e", "E", "ge", "gE", "f", "t", "$", "g_", "%"})
_FAR: Final = 1 << 30
#: What began inserting where no key did.
_TYPING: Final = Command("i")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What there is after a key. `selection` is what visual mode has, its second end the cursor's.

    `copied` is text for the terminal's clipboard. All places are offsets in the text.
    """

    text: str
    cursor: int
    selection: tuple[int, int] | None = None
    wish: Wish | None = None
    count: int | None = None
    copied: str = ""


@dataclass(frozen=True, slots=True)
class _Register:
    chars: tuple[str, ...]
    lines: bool


class Vim:
    """An editor for one text at a time, which belongs to the field. It begins in insert mode."""

    def __init__(self) -> None:
        self.mode: Mode = "insert"
        self._pending: list[str] = []
        self._chars: list[str] = []
        self._at = 0
        self._anchor = 0
        self._column: int | None = None
        self._registers: dict[str, _Register] = {}
        self._found: tuple[str, str] | None = None  # f, F, t or T, and of what
        self._last: Command | None = None  # the last change, for "."
        self._last_inserted = ""
        self._undo: list[tuple[str, int]] = [("", 0)]
        self._redo: list[tuple[str, int]] = []
        # What began it, and what was around the cursor.
        self._inserting: tuple[Command, str, str] = (_TYPING, "", "")
        self._wish: Wish | None = None
        self._copied = ""

    @property
    def pending(self) -> str:
        """What was typed of a command that is not whole yet."""
        return "".join(self._pending)

    @property
    def selected_text(self) -> str:
        """What visual mode has selected."""
        start, end = self._selected()
        return "".join(self._chars[start:end])

    # -- from outside -----------------------------------------------------------------------------

    def replaced(self, text: str, cursor: int) -> None:
        """Handle that the field has another text: another message, or another conversation."""
        self._undo.clear()
        self._redo.clear()
        self._pending.clear()
        if self.mode == "insert":
            self.begin_insert(text, cursor)
        else:
            self.mode = "normal"

    def save(self, text: str, cursor: int) -> None:
        """Make what is there now what "u" returns to: before a change by something else."""
        self._undo.append((text, cursor))
        del self._undo[:-_UNDO]
        self._redo.clear()

    def begin_insert(self, text: str, cursor: int) -> None:
        """Write from now on."""
        self._pending.clear()
        self.mode = "insert"
        self._inserting = (_TYPING, text[:cursor], text[cursor:])
        self.save(text, cursor)

    def leave_insert(self, text: str, cursor: int) -> Outcome:
        """Go to normal mode, with what was inserted as often as it was asked for."""
        self._load(text, cursor)
        self.mode = "normal"
        command, before, after = self._inserting
        is_plain = len(text) >= len(before) + len(after)
        inserted = ""
        if is_plain and text.startswith(before) and text.endswith(after):
            inserted = text[len(before) : len(text) - len(after)]
        if command is not _TYPING:
            self._last_inserted = inserted
        if command.key in "iaIA":
            self._insert(motions.split(inserted) * (command.times - 1))
        if self._undo and self._undo[-1][0] == "".join(self._chars):
            self._undo.pop()
        if self._at > motions.line_start(self._chars, self._at):
            self._at -= 1
        return self._outcome()

    def press(self, key: str, text: str, cursor: int) -> Outcome:
        """Handle a key: a character, or the name of one, such as ``escape`` or ``ctrl+r``."""
        if self.mode.startswith("visual") and text == "".join(self._chars):
            cursor = motions.offset_of(self._chars, self._at)  # the field shows another one
        self._load(text, cursor)
        if key == "escape":
            self._pending.clear()
            if self.mode != "insert":
                self.mode = "normal"
            return self._outcome()
        self._pending.append(key)
        try:
            command = parse(self._pending, visual=self.mode.startswith("visual"))
        except IncompleteError:
            return self._outcome()
        except UnknownError:
            self._pending.clear()
            return self._outcome()
        self._pending.clear()
        if command.key not in ("j", "k") and (
            command.key in MOTIONS or not self.mode.startswith("visual")
        ):
            self._column = None
        if self.mode.startswith("visual"):
            self._run_visual(command)
        else:
            self._run(command)
        return self._outcome(command.count)

    def _load(self, text: str, cursor: int) -> None:
        self._chars = motions.split(text)
        self._at = motions.index_at(self._chars, cursor)
        self._wish, self._copied = None, ""

    def _outcome(self, count: int | None = None) -> Outcome:
        chars = self._chars
        if self.mode != "insert":
            self._at = min(self._at, motions.last_of_line(chars, self._at))
        selection = None
        if self.mode.startswith("visual"):
            start, end = self._selected()
            last = motions.line_end(chars, self._at) if self.mode == "visual line" else self._at
            is_back = self._at < self._anchor
            first = motions.line_start(chars, self._at) if self.mode == "visual line" else self._at
            selection = (
                motions.offset_of(chars, end if is_back else start),
                motions.offset_of(chars, first if is_back else last),
            )
        return Outcome(
            "".join(chars), motions.offset_of(chars, self._at), selection, self._wish, count,
            self._copied,
        )  # fmt: skip

    # -- normal mode ------------------------------------------------------------------------------

    def _run(self, command: Command) -> None:
        before, cursor = "".join(self._chars), motions.offset_of(self._chars, self._at)
        if command.key in _SHORT and not command.operator:
            operator, key = _SHORT[command.key]
            command = Command(key, command.count, operator, command.register)
        if command.operator:
            self._operate_on(command)
        elif command.key in MOTIONS:
            self._move(command)
            return
        elif command.key in WISHES:
            self._wish = WISHES[command.key]
            if command.key == "gt" and command.count is not None:
                self._wish = "conversation"
            return
        elif command.key in ("u", "ctrl+r"):
            self._travel(command)
            return
        elif command.key == ".":
            self._repeat(command)
            return
        else:
            self._change(command)
        after = "".join(self._chars)
        if self.mode == "insert":
            offset = motions.offset_of(self._chars, self._at)
            self._inserting = (command, after[:offset], after[offset:])
        if self.mode == "insert" or after != before:
            self.save(before, cursor)
            self._last = command

    def _travel(self, command: Command) -> None:
        """Undo or redo."""
        here, there = self._undo, self._redo
        if command.key != "u":
            here, there = there, here
        for _ in range(command.times):
            if not here:
                break
            there.append(("".join(self._chars), motions.offset_of(self._chars, self._at)))
            text, cursor = here.pop()
            self._chars = motions.split(text)
            self._at = motions.index_at(self._chars, cursor)

    def _repeat(self, command: Command) -> None:
        last = self._last
        if last is None:
            return
        if command.count is not None:
            last = Command(last.key, command.count, last.operator, last.register, last.char)
        inserted = self._last_inserted
        self._run(last)
        if self.mode == "insert":
            self._insert(motions.split(inserted))
            offset = motions.offset_of(self._chars, self._at)
            self.leave_insert("".join(self._chars), offset)

    def _change(self, command: Command) -> None:
        chars, at = self._chars, self._at
        match command.key:
            case "i" | "I" | "a" | "A" | "o" | "O":
                self._start_inserting(command.key)
            case "v" | "V":
                self.mode = "visual" if command.key == "v" else "visual line"
                self._anchor = at
            case "p" | "P":
                self._put(command)
            case "~":
                end = min(at + command.times, motions.line_end(chars, at))
                chars[at:end] = [char.swapcase() for char in chars[at:end]]
                self._at = end
            case "r":
                end = at + command.times
                if end <= motions.line_end(chars, at):
                    chars[at:end] = [command.char] * command.times
                    self._at = end - 1
            case "J":
                self._join(max(1, command.times - 1))
            case _:
                raise AssertionError(command)

    def _start_inserting(self, key: str) -> None:
        chars, at = self._chars, self._at
        self.mode = "insert"
        match key:
            case "a":
                self._at = min(at + 1, motions.line_end(chars, at))
            case "A":
                self._at = motions.line_end(chars, at)
            case "I":
                self._at = motions.first_nonblank(chars, at)
            case "o":
                self._at = motions.line_end(chars, at) + 1
                chars.insert(self._at - 1, BREAK)
            case "O":
                self._at = motions.line_start(chars, at)
                chars.insert(self._at, BREAK)
            case _:
                pass

    def _insert(self, chars: list[str]) -> None:
        self._chars[self._at : self._at] = chars
        self._at += len(chars)

    def _put(self, command: Command) -> None:
        register = self._registers.get(command.register)
        if register is None:
            return
        chars, at = self._chars, self._at
        new = list(register.chars) * command.times
        after = command.key == "p"
        if register.lines:
            if after and (end := motions.line_end(chars, at)) == len(chars):
                chars[end:end] = [BREAK, *new[:-1]]
                self._at = end + 1
            else:
                start = end + 1 if after else motions.line_start(chars, at)
                chars[start:start] = new
                self._at = start
            self._at = motions.first_nonblank(chars, self._at)
            return
        start = min(at + 1, motions.line_end(chars, at)) if after else at
        chars[start:start] = new
        self._at = start if BREAK in new else max(start, start + len(new) - 1)

    def _join(self, times: int) -> None:
        chars = self._chars
        for _ in range(times):
            end = motions.line_end(chars, self._at)
            if end == len(chars):
                return
            after = end + 1
            while after < len(chars) and chars[after] != BREAK and chars[after].isspace():
                after += 1
            is_bare = after == len(chars) or chars[after] in (BREAK, ")")
            chars[end:after] = [] if is_bare or (end and chars[end - 1].isspace()) else [" "]
            self._at = end

    # -- motions and operators --------------------------------------------------------------------

    def _move(self, command: Command) -> None:
        chars, at, key = self._chars, self._at, command.key
        if key in ("gg", "G") and not chars:
            self._wish = "oldest" if key == "gg" else "now"
            return
        if (there := self._target(command)) is None:
            return
        if key in ("j", "k") and motions.line_start(chars, at) == motions.line_start(chars, there):
            self._wish = "up" if key == "k" else "down"
            return
        self._at = there

    def _target(self, command: Command) -> int | None:
        """Return where a motion leads, None where it finds nothing."""
        chars, at, times, key = self._chars, self._at, command.times, command.key
        big = key[-1:].isupper()
        match key:
            case "h":
                return max(motions.line_start(chars, at), at - times)
            case "l":
                return min(motions.line_end(chars, at), at + times)
            case "j" | "k":
                if self._column is None:
                    self._column = at - motions.line_start(chars, at)
                lines = times if key == "j" else -times
                return motions.other_line(chars, at, lines, self._column)
            case "w" | "W":
                return motions.repeat(motions.next_word, chars, at, times, big=big)
            case "b" | "B":
                return motions.repeat(motions.previous_word, chars, at, times, big=big)
            case "e" | "E":
                return motions.repeat(motions.word_end, chars, at, times, big=big)
            case "ge" | "gE":
                return motions.repeat(motions.previous_word_end, chars, at, times, big=big)
            case "0":
                return motions.line_start(chars, at)
            case "^":
                return motions.first_nonblank(chars, at)
            case "|":
                return min(
                    motions.line_start(chars, at) + times - 1, motions.last_of_line(chars, at)
                )
            case "$" | "g_":
                there = motions.other_line(chars, at, times - 1, _FAR)
                self._column = _FAR
                while key == "g_" and there > at and chars[there : there + 1] == [" "]:
                    there -= 1
                return there
            case "f" | "F" | "t" | "T" | ";" | ",":
                return self._find(command)
            case "gg" | "G":
                number = command.count
                if number is None:
                    number = 1 if key == "gg" else len(chars) + 1
                return motions.first_nonblank(chars, motions.line_number(chars, number))
            case "{" | "}":
                for _ in range(times):
                    at = motions.paragraph(chars, at, back=key == "{")
                return at
            case _:  # %
                return motions.matching(chars, at)

    def _find(self, command: Command) -> int | None:
        key, char, at = command.key, command.char, self._at
        if char:
            self._found = (key, char)
        elif self._found is None:
            return None
        else:
            key, char = self._found
            if command.key == ",":
                key = key.swapcase()
            if key in "tT" and command.times == 1:
                at += 1 if key == "t" else -1  # else it would find the one it stands before
        return motions.find(
            self._chars, at, char, back=key.isupper(), before=key in "tT", times=command.times
        )

    def _operate_on(self, command: Command) -> None:
        """Carry out an operator on what a motion or an object covers."""
        chars, at, key = self._chars, self._at, command.key
        lines = key == LINES or key in _LINEWISE
        if key == LINES:
            start, end = at, motions.other_line(chars, at, command.times - 1, 0)
            if command.times > 1 and motions.line_end(chars, at) == len(chars):
                return  # there is no other line
        elif key in OBJECTS:
            found = motions.text_object(chars, at, key[1], around=key[0] == "a")
            if found is None:
                return
            start, end = found
        else:
            there: int | None
            is_blank = at == len(chars) or chars[at].isspace()
            if command.operator == "c" and key in "wW" and not is_blank:
                # As in Vim: what is after the word stays.
                key = "e" if key == "w" else "E"
                big = key == "E"
                end = motions.word_end(chars, at - 1, big=big)
                there = motions.repeat(motions.word_end, chars, end, command.times - 1, big=big)
            else:
                there = self._target(command)
            if there is None:
                return
            if key in _LINEWISE and command.key in "jk":
                if motions.line_start(chars, there) == motions.line_start(chars, at):
                    return  # there is no such line
            elif there == at and key not in _STAYING and command.operator + key not in _INSERTING:
                return
            start, end = min(at, there), max(at, there)
            if self._is_inclusive(key):
                end = min(end + 1, motions.line_end(chars, end))
            elif not lines:
                end = self._end_of_words(start, end, command)
                if BREAK in chars[start:end] and chars[end - 1] == BREAK:
                    end -= 1
                    lines = start <= motions.first_nonblank(chars, start)
            lines = lines or (command.operator == "d" and self._is_of_lines(start, end))
        self._column = None
        self._operate(command, start, end, lines=lines)

    def _is_inclusive(self, key: str) -> bool:
        if key in (";", ",") and self._found is not None:
            return self._found[0].islower() is (key == ";")
        return key in _INCLUSIVE

    def _end_of_words(self, start: int, end: int, command: Command) -> int:
        """Return the end of what words cover: the last word of a line ends with it."""
        if command.key not in ("w", "W"):
            return end
        big = command.key == "W"
        last = motions.repeat(motions.next_word, self._chars, start, command.times - 1, big=big)
        if BREAK in self._chars[last:end] and not motions.is_empty_line(self._chars, last):
            return last + self._chars[last:end].index(BREAK)
        return end

    def _is_of_lines(self, start: int, end: int) -> bool:
        """Return whether a part of several lines leaves nothing but blanks of them."""
        chars = self._chars
        around = chars[motions.line_start(chars, start) : start]
        around += chars[end : motions.line_end(chars, end)]
        return BREAK in chars[start:end] and not "".join(around).strip()

    def _operate(self, command: Command, start: int, end: int, *, lines: bool) -> None:
        chars = self._chars
        if lines:
            start, end = motions.line_start(chars, start), motions.line_end(chars, end)
        covered = chars[start:end]
        if (change := _CASES.get(command.operator)) is not None:
            chars[start:end] = [change(char) for char in covered]
            self._at = start
            return
        self._keep(command.register, covered, lines=lines)
        if command.operator == "y":
            if not lines or command.key in _LINEWISE or command.key in OBJECTS:
                self._at = min(start, self._at) if lines else start
            return
        if command.operator == "c":
            del chars[start:end]
            self._at, self.mode = start, "insert"
        elif not lines:
            del chars[start:end]
            self._at = start
        else:
            is_last = end == len(chars)
            del chars[max(0, start - 1) if is_last else start : end if is_last else end + 1]
            self._at = motions.first_nonblank(chars, min(start, len(chars)))

    def _keep(self, name: str, covered: list[str], *, lines: bool) -> None:
        """Put what was cut or copied into a register."""
        if name == _NOWHERE:
            return
        if not covered and not lines:
            return
        register = _Register((*covered, BREAK) if lines else tuple(covered), lines)
        self._registers['"'] = self._registers[name] = register
        if name in _CLIPBOARD:
            self._copied = "".join(covered)

    # -- visual mode ------------------------------------------------------------------------------

    def _selected(self) -> tuple[int, int]:
        chars = self._chars
        start, end = sorted((min(self._anchor, len(chars)), self._at))
        if self.mode == "visual line":
            return motions.line_start(chars, start), motions.line_end(chars, end)
        if self._column == _FAR and end == self._at:  # after "$": with the break
            end = motions.line_end(chars, end)
        return start, min(end + 1, len(chars))

    def _run_visual(self, command: Command) -> None:
        key = command.key
        if key in OBJECTS:
            found = motions.text_object(self._chars, self._at, key[1], around=key[0] == "a")
            if found is not None:
                self._anchor, self._at = found[0], max(found[0], found[1] - 1)
        elif key in OPERATORS or key in _VISUAL:
            self._operate_on_selected(command)
        elif key in MOTIONS:
            if (there := self._target(command)) is not None:
                self._at = min(there, motions.last_of_line(self._chars, there))
        elif key in ("v", "V"):
            wanted: Mode = "visual" if key == "v" else "visual line"
            self.mode = "normal" if self.mode == wanted else wanted
        elif key == "o":
            self._anchor, self._at, self._column = self._at, self._anchor, None
        elif key in WISHES:
            self._wish = WISHES[key]
        else:
            self._change_selected(command)

    def _operate_on_selected(self, command: Command) -> None:
        start, end = self._selected()
        before, cursor = "".join(self._chars), motions.offset_of(self._chars, start)
        lines = self.mode == "visual line" or command.key in _WHOLE_LINES
        operator = _VISUAL.get(command.key, command.key)
        if lines and self.mode == "visual":
            end = max(start, end - 1)
        self.mode = "normal"
        self._operate(Command("iw", None, operator, command.register), start, end, lines=lines)
        self._changed_selected(before, cursor)

    def _change_selected(self, command: Command) -> None:
        """Put, replace, or join what is selected."""
        chars = self._chars
        start, end = self._selected()
        before, cursor = "".join(chars), motions.offset_of(chars, start)
        lines, self.mode = self.mode == "visual line", "normal"
        self._at = start
        match command.key:
            case "r":
                chars[start:end] = [c if c == BREAK else command.char for c in chars[start:end]]
            case "J":
                self._join(max(1, chars[start:end].count(BREAK)))
            case _:
                put = self._registers.get(command.register, _Register((), lines=False))
                covered = chars[start:end]
                new = list(put.chars[:-1] if put.lines and lines else put.chars)
                if put.lines and not lines:
                    new = [BREAK, *new]
                chars[start:end] = new
                self._keep('"', covered, lines=lines)
                self._at = start if BREAK in new else max(start, start + len(new) - 1)
                if put.lines or lines:
                    self._at = motions.first_nonblank(chars, start if lines else start + 1)
        self._changed_selected(before, cursor)

    def _changed_selected(self, before: str, cursor: int) -> None:
        after = "".join(self._chars)
        if self.mode == "insert":
            offset = motions.offset_of(self._chars, self._at)
            self._inserting = (Command("c"), after[:offset], after[offset:])
        if self.mode == "insert" or after != before:
            self.save(before, cursor)
