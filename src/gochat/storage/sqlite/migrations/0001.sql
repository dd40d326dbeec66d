-- Keys (of people and conversations) are the folded forms that chat/names.py and
-- chat/conversations.py make; times are milliseconds since the Unix epoch.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value NOT NULL
) WITHOUT ROWID;

CREATE TABLE account (
    key           TEXT PRIMARY KEY,
    name          TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created       INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE token (
    digest  BLOB PRIMARY KEY,
    account TEXT NOT NULL REFERENCES account (key),
    expires INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX token_account ON token (account);
CREATE INDEX token_expires ON token (expires);

-- name: as it is shown (#lobby, #Room), null for private conversations.
-- members: how many rows of participant are members, so that nobody has to count them.
CREATE TABLE conversation (
    id      INTEGER PRIMARY KEY,
    key     TEXT NOT NULL UNIQUE,
    name    TEXT,
    topic   TEXT NOT NULL DEFAULT '',
    private INTEGER NOT NULL DEFAULT 0,
    members INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX conversation_name ON conversation (name) WHERE name IS NOT NULL;
INSERT INTO conversation (id, key, name) VALUES (1, '#lobby', '#lobby');

-- Who belongs to a conversation. role: of rooms; "invited" is no member yet. peer: of private
-- conversations, the other person (or oneself). read: the seq of the read marker.
CREATE TABLE participant (
    person       TEXT NOT NULL REFERENCES account (key),
    conversation INTEGER NOT NULL REFERENCES conversation (id),
    role         TEXT CHECK (role IN ('member', 'operator', 'invited')),
    peer         TEXT REFERENCES account (key),
    since        INTEGER NOT NULL,
    read         INTEGER NOT NULL DEFAULT 0,
    level        TEXT NOT NULL DEFAULT 'all',
    PRIMARY KEY (person, conversation)
) WITHOUT ROWID;
CREATE INDEX participant_conversation ON participant (conversation, person);

-- The log. id is conversation << 32 | seq: a conversation's entries lie together and in order, so
-- a page of history is one walk through a few pages of the file, and no second index is needed.
-- position counts the entries of all conversations in the order of their commits.
-- text, mentions: as they read now. mentions: names, separated by commas.
-- edited: of a text, the seq of its last edit; of an edit, the seq of the edit before it.
CREATE TABLE entry (
    id       INTEGER PRIMARY KEY,
    position INTEGER NOT NULL,
    ts       INTEGER NOT NULL,
    sender   TEXT NOT NULL REFERENCES account (key),
    kind     TEXT NOT NULL,
    text     TEXT NOT NULL,
    ref      INTEGER,
    cid      TEXT,
    mentions TEXT,
    edited   INTEGER,
    deleted  INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX entry_cid ON entry (sender, cid) WHERE cid IS NOT NULL;

CREATE TABLE mention (
    person TEXT NOT NULL REFERENCES account (key),
    entry  INTEGER NOT NULL REFERENCES entry (id),
    PRIMARY KEY (person, entry)
) WITHOUT ROWID;

-- seq: of the entry that set it.
CREATE TABLE reaction (
    entry  INTEGER NOT NULL REFERENCES entry (id),
    emoji  TEXT NOT NULL,
    person TEXT NOT NULL REFERENCES account (key),
    seq    INTEGER NOT NULL,
    PRIMARY KEY (entry, emoji, person)
) WITHOUT ROWID;

-- The search index: search.py says what its tokens are. It holds no texts of its own, and neither
-- positions nor sizes, for it is only asked which entries may match.
CREATE VIRTUAL TABLE search USING fts5 (
    grams, content = '', columnsize = 0, detail = none, prefix = '1 2', tokenize = 'ascii'
);
-- Merging is done in steps (log.py).
INSERT INTO search (search, rank) VALUES ('automerge', 0);
-- Entries up to this position are in the index.
INSERT INTO meta VALUES ('indexed', 0);
