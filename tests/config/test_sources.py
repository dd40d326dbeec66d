"""The configuration: what overrides what, and what is said of a wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from gochat.config import KEYS, Config, Listen, default_config_path, load_config
from gochat.errors import ConfigError


def load(
    text: str, tmp_path: Path, environ: Mapping[str, str] | None = None, **flags: object
) -> Config:
    path = tmp_path / "server.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, environ=environ or {}, flags=flags)


def refusal(text: str, tmp_path: Path, environ: Mapping[str, str] | None = None) -> str:
    """What is said of a file, without the directory."""
    with pytest.raises(ConfigError) as caught:
        load(text, tmp_path, environ)
    return str(caught.value).replace(f"{tmp_path / 'server.toml'}", "server.toml")


def test_without_any_source_all_is_default() -> None:
    assert load_config(environ={}) == Config()


def test_every_default_is_a_value_that_its_key_takes() -> None:
    """So that writing a default into the file changes nothing."""
    for key in KEYS.values():
        if key.default != "":
            assert load_config(environ={}, flags={key.name: key.default}) == Config(), key.name


def test_file_is_overridden_by_environment_and_that_by_flags(tmp_path: Path) -> None:
    text = "host = 'a'\nport = 1\n[limits]\nburst = 1\n"
    assert load(text, tmp_path).port == 1
    environ = {"GOCHAT_PORT": "2", "GOCHAT_LIMITS_BURST": "2"}
    config = load(text, tmp_path, environ, port=3)
    assert (config.host, config.port, config.limits.burst) == ("a", 3, 2)


def test_flag_that_is_none_was_not_given(tmp_path: Path) -> None:
    assert load("port = 1", tmp_path, port=None).port == 1


def test_every_key_can_be_set_in_the_environment() -> None:
    texts = {key.variable: _as_text(key.default) for key in KEYS.values()}
    assert load_config(environ={name: text for name, text in texts.items() if text}) == Config()
    for key in KEYS.values():
        if key.expected != "a text":  # a text takes anything
            with pytest.raises(ConfigError, match=f"^{key.variable}: expected"):
                load_config(environ={key.variable: "\0" * 4096})


def _as_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def test_environment_gives_lists_with_commas() -> None:
    environ = {
        "GOCHAT_REGISTRATION_RESERVED_NAMES": "boss, chief",
    }
    assert load_config(environ=environ).registration.reserved_names == ("boss", "chief")


@pytest.mark.parametrize("name", [*KEYS, "config"])
def test_empty_variable_or_flag_is_refused(name: str) -> None:
    """`GOCHAT_TLS_CERT=$UNSET` is not a wish for no encryption, nor `--store "$UNSET"` one for
    another database."""
    variable = f"GOCHAT_{name.upper().replace('.', '_')}"
    with pytest.raises(ConfigError, match=f"^{variable}: empty: leave it out"):
        load_config(environ={variable: ""})
    if name in KEYS:
        with pytest.raises(ConfigError, match=r"^--[a-z0-9-]+: empty: leave it out"):
            load_config(environ={}, flags={name: " "})
        with pytest.raises(ConfigError, match=rf"^--set {name}: empty: leave it out"):
            load_config(environ={}, settings={name: ""})


def test_empty_text_in_the_file_is_the_value_that_it_says(tmp_path: Path) -> None:
    assert load("store = ''\n[tls]\ncert = ''\nkey = ''\n", tmp_path) == Config()


def test_switch_is_true_or_false(tmp_path: Path) -> None:
    for text in ("true", "1"):
        assert load_config(environ={"GOCHAT_WEBSOCKET": text}).websocket
    assert not load_config(environ={}, settings={"websocket": "false"}).websocket
    assert load("websocket = true", tmp_path).websocket
    assert "websocket: expected true or false, got 1" in refusal("websocket = 1", tmp_path)


@pytest.mark.parametrize(
    "origin",
    ["https://chat.example.org", "http://127.0.0.1:8000", "http://[::1]:8000", "null", "*"],
)
def test_origins_of_pages_are_as_browsers_send_them(origin: str) -> None:
    config = load_config(environ={"GOCHAT_WEBSOCKET_ORIGINS": f"https://a.example,{origin}"})
    assert config.websocket_origins == ("https://a.example", origin)


@pytest.mark.parametrize(
    "origin",
    [
        "chat.example.org",
        "https://chat.example.org/",
        "https://chat.example.org/chat",
        "https://Chat.example.org",
        "https://",
        "*.example.org",
    ],
)
def test_what_no_browser_sends_as_origin_is_refused(origin: str, tmp_path: Path) -> None:
    text = refusal(f"websocket_origins = ['{origin}']", tmp_path)
    assert text.startswith(f"server.toml:1: websocket_origins: '{origin}' is not an origin")


def test_set_overrides_the_flag_and_is_blamed_by_its_own_name() -> None:
    config = load_config(environ={}, flags={"port": "1"}, settings={"port": "2"})
    assert config.port == 2
    with pytest.raises(ConfigError, match=r"^--set foo: unknown key$"):
        load_config(environ={}, settings={"foo": "1"})
    with pytest.raises(ConfigError, match=r"^--set port: expected a whole number"):
        load_config(environ={}, settings={"port": "x"})


def test_byte_order_mark_of_the_file_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_bytes(b"\xef\xbb\xbfport = 1\nhots = 'x'\n")
    with pytest.raises(ConfigError, match=r"server\.toml:2: hots: unknown key"):
        load_config(path, environ={})
    path.write_bytes(b"\xef\xbb\xbfport = 1\n")
    assert load_config(path, environ={}).port == 1


@pytest.mark.parametrize(
    ("given", "bound"),
    [("[::1]", "::1"), ("::1", "::1"), ("fe80::1%lo", "fe80::1%lo"), ("*", "*"), ("a.b", "a.b")],
)
def test_host_is_an_address_with_or_without_brackets(given: str, bound: str | None) -> None:
    config = load_config(environ={"GOCHAT_HOST": given})
    assert config.host == bound


@pytest.mark.parametrize("given", ["127.0.0.1:9000", "[::1]:9000", "chat.example.org:9000"])
def test_host_with_a_port_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"^GOCHAT_HOST: .* the port is a key of its own"):
        load_config(environ={"GOCHAT_HOST": given})


def test_listeners_are_tables_of_the_file(tmp_path: Path) -> None:
    text = """
[[listen]]
host = "[::1]"
port = 1
proxy_from = ["10.0.0.0/8"]

[[listen]]
unix = "/run/a.sock"
tls = false
"""
    config = load(text, tmp_path)
    assert config.listeners == (
        Listen(host="::1", port=1, proxy_from=("10.0.0.0/8",)),
        Listen(unix="/run/a.sock", tls=False),
    )
    assert load("listen = [{port = 2}]", tmp_path).listeners == (Listen(port=2),)
    # What comes later overrides them all.
    assert load(text, tmp_path, {"GOCHAT_PORT": "3"}).listeners == (Listen(port=3),)
    assert load(text, tmp_path, host="*").listeners == (Listen(host="*"),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[[listen]]\nport = 1\n[[listen]]\nprot = 2",
            "server.toml:4: listen.prot: unknown key; did you mean port?",
        ),
        (
            "[[listen]]\nport = 1\n\n[[listen]]\n\nport = 'x'",
            "server.toml:6: listen.port: expected a whole number from 0 to 65535, got 'x'",
        ),
        ("[[listen]]\ntls = 1", "server.toml:2: listen.tls: expected true or false, got 1"),
        ("[[listen]]\ntls = true", "server.toml:1: listen: 127.0.0.1:8889 is to use TLS, but"),
        ("[[listen]]\nunix = 'a'\nport = 1", "server.toml:1: listen: it is one of host with"),
        ("[[listen]]\nunix = 'a'\nunix_mode = '999'", "server.toml:1: listen: unix_mode '999'"),
        ("[[listen]]\nproxy_from = ['unix']", "server.toml:1: listen: proxy_from: 'unix' is for"),
        ("[[listen]]\nproxy_from = ['a.b']", "server.toml:1: listen: proxy_from: 'a.b' does not"),
        ("port = 1\n[[listen]]\nport = 2", "server.toml:1: port: put it into [[listen]]"),
        ("[listen]\nport = 2", "server.toml:1: listen: expected a table for each, [[listen]]"),
        ("proxy_from = ['10.0.0.1/8']", "server.toml:1: proxy_from: 10.0.0.1/8 has"),
    ],
)
def test_wrong_listener_is_refused_with_line_and_key(
    text: str, expected: str, tmp_path: Path
) -> None:
    assert refusal(text, tmp_path).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "port = 1\n\n[limits]\nburst = 'ten'\n",
            "server.toml:4: limits.burst: expected a whole number from 1 to 1000000, got 'ten'",
        ),
        (
            "port = 70000",
            "server.toml:1: port: expected a whole number from 0 to 65535, got 70000",
        ),
        # Lists of people and rooms are cut for frames of 65,536 bytes.
        (
            "[limits]\nframe_bytes = 16384",
            "server.toml:2: limits.frame_bytes: expected a whole number from 65536 to 16777216",
        ),
        ("port = true", "server.toml:1: port: expected a whole number from 0 to 65535, got True"),
        (
            "[limits]\nper_second = nan",
            "server.toml:2: limits.per_second: expected a number from 0.01 to 1000000, got nan",
        ),
        (
            "log_format = 'xml'",
            "server.toml:1: log_format: expected one of auto, console, json, got 'xml'",
        ),
        (
            "\nlimits.brust = 1",
            "server.toml:2: limits.brust: unknown key; did you mean limits.burst?",
        ),
        ("burst = 1", "server.toml:1: burst: unknown key; did you mean limits.burst?"),
        ("wholly_other = 1", "server.toml:1: wholly_other: unknown key"),
        ("[lmits]\nburst = 1", "server.toml:1: lmits: unknown section; did you mean limits?"),
        ("limits = 1", "server.toml:1: limits: expected a section, [limits]"),
        ("tls = {cert = 1}", "server.toml:1: tls.cert: expected a text, got 1"),
        ("host = 'a'\nport = x", "server.toml:2: Invalid value"),
        ("port = 1\nport = 2", "server.toml:2: Cannot overwrite a value"),
        (
            "[tls]\ncert = 'c'",
            "server.toml:2: tls.cert: the certificate and its key go together: give both",
        ),
        (
            "[limits]\npassword_min = 100\npassword_max = 50",
            "server.toml:2: limits.password_min: passwords of 100 to 50 characters: none fits",
        ),
        (
            "[auth]\ncommand = ['ldap_login']",
            "server.toml:2: auth.command: 'ldap_login' is not an absolute path",
        ),
        (
            "[auth]\ncommand = ['/bin/true']\nlocal = true",
            "server.toml:3: auth.local: with accounts of a directory, local ones must not be open",
        ),
    ],
)
def test_wrong_file_is_refused_with_line_and_key(text: str, expected: str, tmp_path: Path) -> None:
    assert refusal(text, tmp_path).startswith(expected)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("GOCHAT_PORT", "x", "GOCHAT_PORT: expected a whole number from 0 to 65535, got 'x'"),
        (
            "GOCHAT_LIMIT_BURST",
            "1",
            "GOCHAT_LIMIT_BURST: unknown variable; did you mean GOCHAT_LIMITS_BURST?",
        ),
    ],
)
def test_wrong_variable_is_refused_by_its_name(variable: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(environ={variable: value})
    assert str(caught.value).startswith(expected)


def test_variables_of_the_other_programs_are_left_alone() -> None:
    assert load_config(environ={"GOCHAT_TUI_THEME": "x", "GOCHAT_URL": "x"}) == Config()


def test_wrong_flag_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigError, match=r"^--log-level: expected one of"):
        load_config(environ={}, flags={"log_level": "loud"})
    with pytest.raises(ConfigError, match=r"^--set limits\.burst: expected"):
        load_config(environ={}, settings={"limits.burst": "many"})


def test_secrets_are_not_repeated_in_errors(tmp_path: Path) -> None:
    assert "hush" not in refusal("store = ['hush']", tmp_path)


def test_named_file_must_exist(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    with pytest.raises(ConfigError, match="can't be read"):
        load_config(missing, environ={})
    with pytest.raises(ConfigError, match="can't be read"):
        load_config(environ={"GOCHAT_CONFIG": str(missing)})


def test_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(path, environ={})


def test_default_file_is_read_if_it_exists() -> None:
    path = default_config_path()
    path.parent.mkdir(parents=True)
    path.write_text("port = 1234\n")
    try:
        assert load_config(environ={}).port == 1234
    finally:
        path.unlink()
        path.parent.rmdir()


def test_store_left_to_the_default_is_a_file_of_the_user() -> None:
    assert Config().store_url.startswith("sqlite:///")
    assert Config(store="sqlite:///:memory:").store_url == "sqlite:///:memory:"
