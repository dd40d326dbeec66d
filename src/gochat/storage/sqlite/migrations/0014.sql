-- The messages that mention everybody, who then have no rows in mention: a person counts those that are unread.
CREATE INDEX entry_everybody ON entry (id) WHERE kind = 'text' AND substr(mentions, 1, 5) = '@room';
