-- Messages that people have saved for themselves (chat/saved.py): written is the time of the message, ts when it
-- was saved. An entry may be gone.
CREATE TABLE saved (
    person  TEXT NOT NULL REFERENCES account (key),
    entry   INTEGER NOT NULL,
    written INTEGER NOT NULL,
    ts      INTEGER NOT NULL,
    PRIMARY KEY (person, entry)
) WITHOUT ROWID;
