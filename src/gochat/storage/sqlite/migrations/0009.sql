-- extra: what an entry has besides its text (chat/extras.py); null for most.
ALTER TABLE entry ADD COLUMN extra TEXT;
