-- What a person says of themselves (chat/status.py), as JSON; null: nothing.
ALTER TABLE account ADD COLUMN status TEXT;
