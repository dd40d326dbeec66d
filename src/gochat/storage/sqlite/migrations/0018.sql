-- base: entries up to this seq are no longer kept (chat/retention.py). It was in meta, where only a copy set it.
ALTER TABLE conversation ADD COLUMN base INTEGER NOT NULL DEFAULT 0;
UPDATE conversation SET base = coalesce((SELECT value FROM meta WHERE key = 'base ' || conversation.id), 0);
DELETE FROM meta WHERE key GLOB 'base *';
-- For how long what is kept: scope is "default", "private", or a conversation's key; 0 is no limit.
CREATE TABLE retention (
    scope   TEXT PRIMARY KEY,
    days    INTEGER NOT NULL,
    entries INTEGER NOT NULL
) WITHOUT ROWID;
-- The cids of entries that are no longer kept, each as a digest with its sender; the id and time of the entry.
CREATE TABLE dropped_cid (
    digest BLOB PRIMARY KEY,
    entry  INTEGER NOT NULL,
    ts     INTEGER NOT NULL
) WITHOUT ROWID;
-- These two no longer refer to entry. When an entry is removed, outdated has its text until the index has lost
-- it; and looking for the mentions of each would take an index of their own.
CREATE TABLE outdated_text (
    entry INTEGER PRIMARY KEY,
    text  TEXT NOT NULL
);
INSERT INTO outdated_text SELECT entry, text FROM outdated;
DROP TABLE outdated;
ALTER TABLE outdated_text RENAME TO outdated;
CREATE TABLE mentioned (
    person TEXT NOT NULL REFERENCES account (key),
    entry  INTEGER NOT NULL,
    PRIMARY KEY (person, entry)
) WITHOUT ROWID;
INSERT INTO mentioned SELECT person, entry FROM mention;
DROP TABLE mention;
ALTER TABLE mentioned RENAME TO mention;
