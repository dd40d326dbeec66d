-- Who may have names that look like this (chat/skeletons.py): the key of the account or room that had it
-- first. Of names from before, each keeps those skeletons that no older one has.
CREATE TABLE skeleton (
    skeleton TEXT PRIMARY KEY,
    key      TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO skeleton (skeleton, key)
    SELECT skeleton(form), key FROM (
        SELECT name AS form, key, created AS since FROM account
        UNION ALL SELECT key, key, created FROM account
        UNION ALL SELECT name, key, id FROM conversation WHERE name IS NOT NULL
        UNION ALL SELECT key, key, id FROM conversation WHERE name IS NOT NULL
    ) ORDER BY since, key
    ON CONFLICT DO NOTHING;
