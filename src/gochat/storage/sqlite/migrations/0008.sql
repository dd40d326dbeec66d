-- A token is a device: it has an id, by which it is found and ended, and what its owner is shown of it.
-- Tokens from before have no id, and are no longer valid: their owners log in again.
--
-- seen: when it was last used, to a day. scopes, rooms: what a program's token may do, and where,
-- separated by spaces; both are empty for a device.
DROP TABLE token;
CREATE TABLE token (
    id         BLOB PRIMARY KEY,
    digest     BLOB NOT NULL,
    account    TEXT NOT NULL REFERENCES account (key),
    generation INTEGER NOT NULL,
    device     TEXT NOT NULL,
    address    TEXT NOT NULL,
    created    INTEGER NOT NULL,
    seen       INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    scopes     TEXT NOT NULL,
    rooms      TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX token_account ON token (account);
CREATE INDEX token_expires ON token (expires);
