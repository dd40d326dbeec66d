-- The addresses from which somebody has logged in by password, each with the last time: few for each
-- account, see people.py.
CREATE TABLE login (
    account TEXT NOT NULL REFERENCES account (key),
    address TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (account, address)
) WITHOUT ROWID;
CREATE INDEX login_at ON login (at);
