-- inviter: of an invitation, who invited; null for others, and for invitations from before.
ALTER TABLE participant ADD COLUMN inviter TEXT REFERENCES account (key);
