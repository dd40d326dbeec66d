-- What may concern people (chat/activity.py): the newest entries of each conversation for each person; ts: since
-- when. Messages that mention everybody are not here: entry_everybody has them.
CREATE TABLE activity (
    person TEXT NOT NULL REFERENCES account (key),
    entry  INTEGER NOT NULL,
    ts     INTEGER NOT NULL,
    PRIMARY KEY (person, entry)
) WITHOUT ROWID;
CREATE INDEX activity_ts ON activity (person, ts);
-- Up to when a person has seen it.
ALTER TABLE account ADD COLUMN activity_seen INTEGER NOT NULL DEFAULT 0;
-- From the log as it is.
INSERT INTO activity
    SELECT m.person, m.entry, e.ts FROM mention m JOIN entry e ON e.id = m.entry;
INSERT INTO activity
    SELECT t.sender, r.entry >> 32 << 32 | r.seq, e.ts FROM reaction r
    JOIN entry t ON t.id = r.entry JOIN entry e ON e.id = (r.entry >> 32 << 32 | r.seq)
    WHERE t.sender <> r.person ON CONFLICT DO NOTHING;
INSERT INTO activity
    SELECT t.sender, e.id, e.ts FROM entry e
    JOIN conversation c ON c.id = e.id >> 32 JOIN entry t ON t.id = (e.id >> 32 << 32 | e.ref)
    WHERE e.kind = 'text' AND c.name IS NOT NULL AND t.sender <> e.sender ON CONFLICT DO NOTHING;
DELETE FROM activity WHERE (person, entry) IN (
    SELECT person, entry FROM (
        SELECT person, entry, row_number() OVER (PARTITION BY person, entry >> 32 ORDER BY entry DESC) AS place
        FROM activity
    ) WHERE place > 100
);
