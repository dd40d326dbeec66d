-- The search index has a file of its own now (search_index.py), which is made from the log.
DROP TABLE search;
DELETE FROM meta WHERE key = 'indexed';
-- What texts were before they changed or went, until the index has lost them (indexer.py). changed rises with each
-- change, and is never given again: the index says up to which one it has them.
DROP TABLE outdated;
CREATE TABLE outdated (
    changed  INTEGER PRIMARY KEY AUTOINCREMENT,
    entry    INTEGER NOT NULL,
    position INTEGER NOT NULL,
    text     TEXT NOT NULL
);
CREATE INDEX outdated_entry ON outdated (entry, changed);
