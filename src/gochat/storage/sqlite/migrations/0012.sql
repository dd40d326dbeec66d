-- Who may not join a room, or be invited to it (chat/moderation.py). by: who banned them; until: when it ends,
-- 0 if it has to be lifted.
CREATE TABLE ban (
    conversation INTEGER NOT NULL REFERENCES conversation (id),
    person       TEXT NOT NULL REFERENCES account (key),
    by           TEXT NOT NULL REFERENCES account (key),
    since        INTEGER NOT NULL,
    until        INTEGER NOT NULL,
    reason       TEXT NOT NULL,
    PRIMARY KEY (conversation, person)
) WITHOUT ROWID;
