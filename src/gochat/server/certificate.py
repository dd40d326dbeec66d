"""The server's certificate: loaded at the start, and again after it was renewed."""

from __future__ import annotations

import errno
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn

import structlog
import trio

from gochat.config import Tls
from gochat.errors import ConfigError

log = structlog.stdlib.get_logger()

#: Remaining validity below which to warn: certificates are usually renewed 30 days before they
#: expire.
RENEWED_BEFORE: Final = timedelta(days=14)
#: Seconds between two checks of the date.
LOOK_EVERY: Final = 24 * 3600.0

_PEM: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL | re.ASCII
)
#: DER tags: the optional version of a certificate, and the two ways of writing a time.
_VERSION: Final = 0xA0
_TIMES: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}


class Certificate:
    """A certificate chain with its key, as last loaded.

    `context` is for new connections; existing ones keep theirs. `expires` is None if the date can't
    be parsed, although OpenSSL accepts the certificate.
    """

    def __init__(self, tls: Tls, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Load both files. Raises :exc:`~gochat.errors.ConfigError`."""
        self._tls = tls
        self._now = now
        self.context, self.expires = _load(tls)

    def reload(self, tls: Tls | None = None) -> bool:
        """Load both files again, or others. If they can't be used, keep the current ones.

        Also keep them if the new certificate has expired and the current one expires later. Return
        whether they were loaded.
        """
        tls = self._tls if tls is None else tls
        try:
            context, expires = _load(tls)
            has_expired = expires is not None and expires <= self._now()
            if expires and has_expired and (self.expires is None or expires < self.expires):
                raise ConfigError(f"tls.cert {tls.cert!r} expired at {expires:%Y-%m-%dT%H:%M:%SZ}")
            self.context, self.expires, self._tls = context, expires, tls
        except ConfigError as error:
            log.error(
                "certificate reload failed",
                reason=str(error),
                advice="the old one stays in use: correct the files and send SIGHUP again",
            )
            return False
        self.log("certificate reloaded")
        return True

    def log(self, event: str) -> None:
        """Log an event of this certificate, with its expiry; and a warning if that is soon."""
        expires = None if self.expires is None else f"{self.expires:%Y-%m-%dT%H:%M:%SZ}"
        log.info(event, path=self._tls.cert, expires=expires)
        self._warn()

    async def watch(self) -> NoReturn:
        """Warn once a day while the certificate has expired or soon will."""
        while True:
            await trio.sleep(LOOK_EVERY)
            self._warn()

    def _warn(self) -> None:
        if self.expires is None or self._now() < self.expires - RENEWED_BEFORE:
            return
        has_expired = self._now() >= self.expires
        log.warning(
            "certificate expired" if has_expired else "certificate expires soon",
            path=self._tls.cert,
            expires=f"{self.expires:%Y-%m-%dT%H:%M:%SZ}",
            advice="renew it and send SIGHUP: clients refuse an expired certificate",
        )


def _load(tls: Tls) -> tuple[ssl.SSLContext, datetime | None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2

    def refuse() -> NoReturn:  # instead of a prompt, which would block the server
        raise ConfigError(
            f"tls.key {tls.key or tls.cert!r} has a passphrase: store it without one, "
            "as `openssl pkey -in KEY -out NEW` does"
        )

    pem = _read("tls.cert", tls.cert)
    # OpenSSL's error would not say which of the two it is.
    if _PEM.search(pem) is None:
        raise ConfigError(f"tls.cert {tls.cert!r} has no certificate in it: expected a PEM file")
    if tls.key and "PRIVATE KEY-----" not in _read("tls.key", tls.key):
        raise ConfigError(f"tls.key {tls.key!r} has no private key in it: expected a PEM file")
    try:
        context.load_cert_chain(tls.cert, tls.key or None, password=refuse)
    except (OSError, ssl.SSLError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"tls.key {tls.key!r} is the key of another certificate than tls.cert {tls.cert!r}:"
                " was only one of them renewed?"
            ) from error
        raise ConfigError(
            f"tls.cert {tls.cert!r} and tls.key {tls.key!r} can't be used: {error}"
        ) from error
    return context, _expiry(pem)


def _read(key: str, path: str) -> str:
    """Return a file's text. OpenSSL's error would not say which file can't be read."""
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError as error:
        advice = ": the user who runs the server needs the right to" * (error.errno == errno.EACCES)
        raise ConfigError(f"{key} {path!r} can't be read: {error.strerror}{advice}") from error


def _expiry(pem: str) -> datetime | None:
    """Return when the first certificate of a file expires; None if that can't be parsed.

    `ssl` returns that only for a peer's verified certificate.
    """
    found = _PEM.search(pem)
    if found is None:
        return None
    try:
        certificate = _Der(ssl.PEM_cert_to_DER_cert(found[0]))
        fields = certificate.enter().enter()
        if fields.tag == _VERSION:
            fields.skip()
        for _ in ("serial number", "signature algorithm", "issuer"):
            fields.skip()
        validity = fields.enter()
        validity.skip()  # the start of its validity
        text = validity.content.decode("ascii")
        return datetime.strptime(text, _TIMES[validity.tag]).replace(tzinfo=UTC)
    except (LookupError, ValueError):
        return None


class _Der:
    """Reads a sequence of DER values. Raises LookupError or ValueError if it is invalid."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def tag(self) -> int:
        return self._data[0]

    @property
    def content(self) -> bytes:
        start, end = self._bounds()
        return self._data[start:end]

    def enter(self) -> _Der:
        """Return a reader of the next value's contents."""
        return _Der(self.content)

    def skip(self) -> None:
        self._data = self._data[self._bounds()[1] :]

    def _bounds(self) -> tuple[int, int]:
        size, start = self._data[1], 2
        if size & 0x80:  # long form: the length of the length
            start += size & 0x7F
            size = int.from_bytes(self._data[2:start], "big")
        return start, start + size
