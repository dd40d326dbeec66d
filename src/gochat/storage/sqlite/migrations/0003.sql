-- generation: of an account, how often its password was changed; of a token, that of the account whose
-- password was proved for it. A token is valid while both are the same. address: where a token was last
-- used from, empty if not known.
ALTER TABLE account ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
ALTER TABLE token ADD COLUMN address TEXT NOT NULL DEFAULT '';
