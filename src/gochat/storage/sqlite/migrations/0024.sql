-- Pinned messages (chat/pins.py): the seq of the entry that pinned one, null for most.
ALTER TABLE entry ADD COLUMN pinned INTEGER;
CREATE INDEX entry_pinned ON entry (id) WHERE pinned IS NOT NULL;
