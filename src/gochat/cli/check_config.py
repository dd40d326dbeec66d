"""``gochat check-config``: whether a server would start with this configuration, or reload it."""

from __future__ import annotations

import argparse
import json

from gochat.cli import configured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    configured.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object, also on errors")


def run(args: argparse.Namespace) -> int:
    """Print what is configured and where that comes from, and return 0.

    With ``--json`` an error is in the object, too, and 2 is returned.

    Raises:
        ConfigError: the configuration, a certificate or the program of `auth` can't be used.
    """
    from gochat.cli import USAGE
    from gochat.config import KEYS, load_config_and_sources
    from gochat.errors import ConfigError
    from gochat.server.auth_command import require_program
    from gochat.server.certificate import Certificate

    try:
        config, sources = load_config_and_sources(args.config, settings=configured.settings(args))
        require_program(config.auth, sources)
        certificate = Certificate(config.tls) if config.tls.cert else None
    except ConfigError as error:
        if not args.json:
            raise
        print(json.dumps({"ok": False, "error": str(error)}))
        return USAGE
    values = {name: _public(name, KEYS[name].value(config)) for name in sources if name in KEYS}
    listeners = [
        {
            "listen": str(listener),
            "tls": config.encrypts(listener),
            "proxy_from": list(listener.proxy_from),
        }
        for listener in config.listeners
    ]
    expires = certificate.expires.isoformat() if certificate and certificate.expires else None
    if args.json:
        found = {"ok": True, "configured": values, "sources": dict(sources), "listeners": listeners}
        print(json.dumps(found | {"certificate_expires": expires}))
        return 0
    for name, value in values.items():
        print(f"{name} = {json.dumps(value)}  ({sources[name]})")
    for listener in config.listeners:
        proxies = ", ".join(listener.proxy_from)
        print(
            f"listens on {listener}"
            + ", with TLS" * config.encrypts(listener)
            + f", behind the proxies {proxies}" * bool(proxies)
        )
    if expires:
        print(f"the certificate expires on {expires}")
    print("ok: a server would start with this configuration")
    return 0


def _public(name: str, value: object) -> object:
    """Return what is shown of a key: of a store's URL not the user, password and options."""
    from gochat.config import SECRET
    from gochat.server.logs import without_credentials

    return without_credentials(str(value)) if name in SECRET else value
