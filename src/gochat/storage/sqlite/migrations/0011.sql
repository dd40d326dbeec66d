-- role, bot, state: see chat/account.py. audit: chat/administration.py; nothing refers to it, and nothing is
-- changed in it.
ALTER TABLE account ADD COLUMN role TEXT NOT NULL DEFAULT 'member'
    CHECK (role IN ('member', 'moderator', 'admin'));
ALTER TABLE account ADD COLUMN bot INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN state TEXT NOT NULL DEFAULT 'active';
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    act     TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL,
    reason  TEXT NOT NULL
);
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is never changed');
END;
