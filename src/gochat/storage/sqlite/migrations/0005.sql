-- Messages that were edited or deleted while the index has them as they read before: text, which it takes
-- to take them out of it. See indexer.py.
CREATE TABLE outdated (
    entry INTEGER PRIMARY KEY REFERENCES entry (id),
    text  TEXT NOT NULL
);
-- Of a message's edits only the last one has a text. So of an edit, entry.edited is not needed any more: it
-- was the seq of the edit before it.
UPDATE entry SET text = '', mentions = NULL, deleted = 1 WHERE NOT deleted AND id IN (
    SELECT (id >> 32 << 32) + edited FROM entry WHERE kind = 'edit' AND edited IS NOT NULL
);
UPDATE entry SET edited = NULL WHERE kind = 'edit' AND edited IS NOT NULL;
