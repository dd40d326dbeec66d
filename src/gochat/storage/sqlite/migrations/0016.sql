-- The modes of a room (chat/modes.py). slow: seconds between the messages of a member.
ALTER TABLE conversation ADD COLUMN slow INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN announcements INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN archived INTEGER NOT NULL DEFAULT 0;
-- When somebody last wrote in a room in slow mode; of those for whom the wait is over, some are gone.
CREATE TABLE slowed (
    conversation INTEGER NOT NULL REFERENCES conversation (id),
    person       TEXT NOT NULL REFERENCES account (key),
    at           INTEGER NOT NULL,
    PRIMARY KEY (conversation, person)
) WITHOUT ROWID;
CREATE INDEX slowed_at ON slowed (conversation, at);
