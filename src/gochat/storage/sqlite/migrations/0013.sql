-- Whom people block (chat/blocks.py).
CREATE TABLE block (
    person  TEXT NOT NULL REFERENCES account (key),
    blocked TEXT NOT NULL REFERENCES account (key),
    PRIMARY KEY (person, blocked)
) WITHOUT ROWID;
