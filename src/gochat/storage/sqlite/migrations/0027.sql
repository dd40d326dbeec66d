-- By cid first. Those that the server makes, and those of clients that make them by the time, are in order: so what
-- many people write at the same time changes one page of the index, and not one for each of them.
DROP INDEX entry_cid;
CREATE UNIQUE INDEX entry_cid ON entry (cid, sender) WHERE cid IS NOT NULL;
