-- Invitations to the server (chat/admission.py). digest: SHA-256 of the code. maker: null if it is of whoever
-- runs the server. room: null if there is none. revoked: when, or 0.
CREATE TABLE server_invitation (
    digest  BLOB PRIMARY KEY,
    maker   TEXT REFERENCES account (key),
    room    TEXT,
    note    TEXT NOT NULL,
    uses    INTEGER NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
-- Who has registered with each.
CREATE TABLE server_invitation_use (
    invitation BLOB NOT NULL REFERENCES server_invitation (digest) ON DELETE CASCADE,
    account    TEXT NOT NULL REFERENCES account (key),
    PRIMARY KEY (invitation, account)
) WITHOUT ROWID;
