-- From where nobody may connect (chat/network_bans.py); ban is in JSON, as in account.
CREATE TABLE network_ban (
    network TEXT PRIMARY KEY,
    ban     TEXT NOT NULL
) WITHOUT ROWID;
