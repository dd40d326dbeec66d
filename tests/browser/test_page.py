"""The page of examples/browser in a real Chromium: chat, lose the connection, catch up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from live_server import LiveServer
from peers import PASSWORD, Peer
from webdriver import ALT, ARROW_DOWN, ENTER, Page

from gochat.protocol.messages import (
    CreateRoom,
    Delete,
    Edit,
    Invite,
    Kick,
    Leave,
    Message,
    React,
    Send,
    Sent,
)

#: Each would show, run or break something if it got into the page as anything but text.
HOSTILE = [
    "<img src=x onerror=\"document.title='owned'\">",
    "<script>document.title='owned'</script>",
    "</li></ol><h1>hello</h1>",
    "&lt;b&gt; &amp; ${7*7} {{7*7}}",
    "\u202eevil\u202c \u2066x",
    "\x1b[31mred\x07",
    "a" + "\u0301" * 300,
    "w" * 4000,
    "__proto__",
]


class Friend:
    """Somebody else, with a client of their own."""

    def __init__(self, server: LiveServer, name: str) -> None:
        self._server = server
        self.name = name
        self.peer: Peer = server.peer(name)

    def say(self, to: str, *texts: str) -> None:
        for text in texts:
            self.ask(Send(to=to, text=text))

    def ask(self, request: object) -> Sent:
        sent: Sent = self._server.run(self.peer.ask, request, Sent)
        return sent

    def hear(self, text: str) -> Message:
        return self._server.run(self.peer.text, lambda message: message.text == text)


@pytest.fixture
def mei(page: Page) -> Page:
    """The page, with mei logged in, who is new."""
    enter(page, "mei", "#register")
    page.wait_for("#title", "#lobby")
    page.wait_for("#people", "mei")
    return page


@pytest.fixture
def bob(server: LiveServer) -> Iterator[Friend]:
    friend = Friend(server, "bob")
    yield friend
    server.run(friend.peer.stream.aclose)


def enter(page: Page, name: str, button: str, password: str = PASSWORD) -> None:
    """Fill in the form and press one of its buttons."""
    page.fill("#name", name)
    page.fill("#password", password)
    page.click(button)


def said(page: Page) -> list[str]:
    return page.texts("#log .said")


def say(page: Page, text: str) -> None:
    page.type("#text", text + ENTER)


def shows(page: Page, *texts: str) -> None:
    """Wait until these are the messages, acknowledged all, and each once."""
    page.wait_until(lambda: said(page) == list(texts), f"{texts} in the log")
    page.wait_until(lambda: "sending …" not in page.texts("#log small"), "the acknowledgement")


def test_newcomer_registers_and_chats_in_the_lobby(mei: Page, bob: Friend) -> None:
    mei.wait_for("#people", "bob")
    say(mei, "hello, all")
    assert bob.hear("hello, all").from_ == "mei"
    bob.say("#lobby", "你好 👋")
    shows(mei, "hello, all", "你好 👋")
    assert mei.texts("#log bdi") == ["mei", "bob"]


def test_wrong_password_is_reported_and_the_right_one_works(page: Page, server: LiveServer) -> None:
    server.register("mei")
    enter(page, "mei", "#log-in", "wrong horse")
    page.wait_until(lambda: page.texts("#login-error") != [""])
    page.fill("#password", PASSWORD + ENTER)
    page.wait_for("#me", "mei")


def test_server_that_is_not_there_is_reported(page: Page) -> None:
    page.fill("#server", "ws://127.0.0.1:1/")
    enter(page, "mei", "#log-in")
    page.wait_for("#login-error", "can't be reached")


def test_rooms_are_created_joined_and_left(mei: Page, bob: Friend) -> None:
    bob.ask(CreateRoom(room="#garden", topic="roses"))
    bob.say("#garden", "before")
    mei.type("#address", "#garden" + ENTER)
    mei.wait_for("#title", "#garden")
    shows(mei, "before")
    mei.wait_for("#topic", "roses")
    mei.wait_for("#log .event", "mei joined")
    say(mei, "here")
    bob.hear("here")
    mei.click("#leave")
    mei.wait_for("#title", "#lobby")
    mei.wait_until(lambda: mei.texts("#conversations bdi") == ["#lobby"])
    mei.type("#address", "#shed" + ENTER)
    mei.wait_for("#hint", "unknown room")
    mei.click("#create")
    mei.wait_for("#title", "#shed")
    mei.wait_for("#log .event", "mei created this public room")
    bob.ask(Invite(room="#garden", name="mei"))
    mei.type("#address", "#garden" + ENTER)
    mei.wait_for("#title", "#garden")
    bob.ask(Kick(room="#garden", name="mei"))
    mei.wait_for("#title", "#lobby")


def test_private_messages_go_both_ways_and_are_counted(mei: Page, bob: Friend) -> None:
    bob.say("@mei", "psst", "are you there?")
    mei.wait_for("#conversations .unread", "2")
    mei.click("#conversations li:last-child button")
    mei.wait_for("#title", "@bob")
    shows(mei, "psst", "are you there?")
    mei.wait_until(lambda: mei.texts("#conversations .unread") == [], "reading them")
    say(mei, "yes")
    assert bob.hear("yes").to == "@bob"
    shows(mei, "psst", "are you there?", "yes")


def test_conversation_with_a_person_is_opened_from_who_is_online(mei: Page, bob: Friend) -> None:
    mei.wait_for("#people", "bob")
    mei.click("#people li:first-child button")
    mei.wait_for("#title", "@bob")
    say(mei, "first")
    bob.hear("first")
    shows(mei, "first")


def test_who_is_online_follows(mei: Page, server: LiveServer) -> None:
    ann = Friend(server, "ann")
    mei.wait_until(lambda: mei.texts("#people bdi") == ["ann", "mei"])
    assert mei.texts("#count") == ["2"]
    server.run(ann.peer.stream.aclose)
    mei.wait_until(lambda: mei.texts("#people bdi") == ["mei"])


def test_actions_and_notices_are_shown_as_such(mei: Page, bob: Friend) -> None:
    bob.ask(Send(to="#lobby", text="waves", form="action"))
    bob.ask(Send(to="#lobby", text="the build is green", form="notice"))
    shows(mei, "* bob waves", "the build is green")
    assert mei.texts("#log .notice") == ["the build is green"]
    bob.ask(CreateRoom(room="#garden"))
    mei.type("#address", "#garden" + ENTER)
    mei.wait_for("#title", "#garden")
    bob.ask(Leave(room="#garden", reason="lunch"))
    mei.wait_for("#log .event", "bob left: lunch")


def test_edits_deletions_and_reactions_are_shown(mei: Page, bob: Friend) -> None:
    first = bob.ask(Send(to="#lobby", text="teh tea"))
    second = bob.ask(Send(to="#lobby", text="never mind"))
    bob.ask(Send(to="#lobby", text="an answer", reply_to=first.seq))
    shows(mei, "teh tea", "never mind", "an answer")
    bob.ask(Edit(to="#lobby", seq=first.seq, text="the tea"))
    bob.ask(Delete(to="#lobby", seq=second.seq))
    bob.ask(React(to="#lobby", seq=first.seq, emoji="🍵"))
    shows(mei, "the tea", "an answer")
    mei.wait_for("#log .gone", "deleted")
    mei.wait_for("#log small", "🍵 1")
    mei.wait_for("#log .quote", "bob: the tea")
    mei.reload()  # as the history has them
    shows(mei, "the tea", "an answer")
    mei.wait_for("#log .gone", "deleted")
    mei.wait_for("#log small", "🍵 1")
    mei.wait_for("#log .quote", "bob: the tea")


# -- losing the connection ------------------------------------------------------------------------


def test_after_a_cut_it_comes_back_by_itself_and_catches_up(
    mei: Page, bob: Friend, server: LiveServer
) -> None:
    bob.say("#lobby", "one")
    bob.say("@mei", "private one")
    shows(mei, "one")
    server.cut()
    mei.wait_for("#state", "Disconnected")
    bob.say("#lobby", "two", "three")
    bob.say("@mei", "private two")
    say(mei, "written meanwhile")
    mei.wait_for("#log small", "sending …")
    server.admit()
    bob.hear("written meanwhile")
    shows(mei, "one", "two", "three", "written meanwhile")
    mei.wait_until(lambda: mei.texts("#state") == [""])
    mei.click("#conversations li:last-child button")
    mei.wait_for("#title", "@bob")
    shows(mei, "private one", "private two")


def test_after_a_long_absence_the_newest_are_there_and_older_ones_on_scrolling(
    mei: Page, bob: Friend, server: LiveServer
) -> None:
    bob.say("#lobby", "before")
    shows(mei, "before")
    server.cut()
    mei.wait_for("#state", "Disconnected")
    texts = [f"number {number}" for number in range(180)]
    bob.say("#lobby", *texts)
    server.admit()
    mei.wait_for("#log .said", texts[-1])
    bob.say("#lobby", "after")
    mei.wait_until(lambda: said(mei)[-1] == "after")
    for _ in range(6):
        mei.run("document.getElementById('log').scrollTop = 0")
        mei.wait_until(lambda: mei.run("return document.getElementById('log').scrollTop > 0"))
        if said(mei)[0] == "before":
            break
    shows(mei, "before", *texts, "after")


def test_page_that_is_loaded_again_goes_on(mei: Page, bob: Friend) -> None:
    bob.say("#lobby", "one")
    shows(mei, "one")
    mei.reload()
    mei.wait_for("#me", "mei")
    shows(mei, "one")
    bob.say("#lobby", "two")
    shows(mei, "one", "two")


def test_message_that_is_refused_stays_with_the_reason(mei: Page, bob: Friend) -> None:
    bob.ask(CreateRoom(room="#garden"))
    mei.type("#address", "#garden" + ENTER)
    mei.wait_for("#title", "#garden")
    mei.run("document.getElementById('text').value = 'x'.repeat(4001)")
    mei.type("#text", ENTER)
    mei.wait_for("#hint", "at most 4,000 characters")
    mei.run("document.getElementById('text').value = ''")
    mei.type("#address", "@nobody" + ENTER)
    mei.wait_for("#hint", "nobody")


def test_logging_out_ends_it_here_and_revokes_the_token(mei: Page) -> None:
    mei.click("#log-out")
    mei.wait_until(lambda: mei.run("return !document.getElementById('entrance').hidden"))
    assert mei.run("return sessionStorage.length") == 0
    mei.reload()
    assert mei.run("return !document.getElementById('entrance').hidden")


# -- hostile text, keyboard, colours --------------------------------------------------------------


def test_hostile_text_is_only_text(mei: Page, bob: Friend) -> None:
    bob.ask(CreateRoom(room="#garden", topic="<b onclick=alert(1)>roses</b>"))
    bob.say("#lobby", *HOSTILE)
    mei.wait_until(lambda: len(said(mei)) == len(HOSTILE))
    shown = [text.replace("\ufffd", "") for text in said(mei)]
    for got, sent in zip(shown, HOSTILE, strict=True):
        assert got == "".join(c for c in sent if c.isprintable() or c == "\u0301")
    assert (
        mei.run("return document.querySelectorAll('#log :is(img, script, h1, a, b)').length") == 0
    )
    assert "owned" not in mei.run("return document.title")
    wide = "const log = document.getElementById('log'); return log.scrollWidth > log.clientWidth"
    assert not mei.run(wide)
    mei.type("#address", "#garden" + ENTER)
    mei.wait_for("#topic", "<b onclick=alert(1)>roses</b>")


def test_policy_of_the_page_forbids_what_is_inline(mei: Page) -> None:
    mei.run(
        "const s = document.createElement('script'); s.textContent = 'window.owned = true';"
        "document.body.append(s)"
    )
    assert mei.run("return window.owned") is None
    assert any("Content Security Policy" in line for line in mei.errors())


def test_keyboard_is_enough(mei: Page, bob: Friend) -> None:
    bob.say("@mei", "psst")
    mei.wait_for("#conversations bdi", "@bob")
    focused = "return document.activeElement.id"
    assert mei.run(focused) == "text"
    mei.press(ALT, ARROW_DOWN)
    mei.wait_for("#title", "@bob")
    assert mei.run(focused) == "text"
    mei.press(ALT, ARROW_DOWN)
    mei.wait_for("#title", "#lobby")
    unreachable = (
        "return [...document.querySelectorAll('#chat button, #chat input, #chat textarea')]"
        ".filter((e) => e.tabIndex < 0).length"
    )
    assert mei.run(unreachable) == 0


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_colours_follow_the_system_and_can_be_read(mei: Page, bob: Friend, is_dark: bool) -> None:
    bob.say("#lobby", "hello")
    shows(mei, "hello")
    mei.set_dark(is_dark)
    script = """
    const light = (element, property) => {
      const [r, g, b] = getComputedStyle(element)[property].match(/[\\d.]+/g).map((v) => {
        const c = v / 255;
        return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const paper = light(document.body, "backgroundColor");
    const inks = ["#log .said", "#log time", "#hint", "#log-out"].map((s) => {
      const ink = light(document.querySelector(s), "color");
      return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    });
    return [paper, ...inks];
    """
    paper, *contrasts = mei.run(script)
    mei.set_dark(False)
    assert (paper < 0.1) == is_dark
    assert min(contrasts) >= 4.5, "WCAG AA"
