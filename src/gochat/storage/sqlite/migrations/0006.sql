-- Names have a claim on what they look like in capitals, too: nobody is "ALlCE", with a small L, beside
-- "alice". Of two from before that look alike in this way, the older one gets it.
INSERT INTO skeleton (skeleton, key)
    SELECT skeleton(capitals(key)), key FROM (
        SELECT key, created AS since FROM account
        UNION ALL SELECT key, id FROM conversation WHERE name IS NOT NULL
    ) WHERE true ORDER BY since, key
    ON CONFLICT DO NOTHING;
