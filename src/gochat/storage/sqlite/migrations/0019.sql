-- Bans and mutes at the server (chat/restrictions.py), in JSON; null: none.
ALTER TABLE account ADD COLUMN ban TEXT;
ALTER TABLE account ADD COLUMN mute TEXT;
CREATE INDEX account_restricted ON account (key) WHERE ban IS NOT NULL OR mute IS NOT NULL;
