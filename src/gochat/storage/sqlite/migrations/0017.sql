-- The search index has the words without accents now (search.py): it is made anew, from the log.
INSERT INTO search (search) VALUES ('delete-all');
DELETE FROM outdated;
UPDATE meta SET value = 0 WHERE key = 'indexed';
