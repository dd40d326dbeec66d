-- Reports (chat/reports.py): report is in JSON, handled is when one was resolved, 0 while it is open; digest is
-- of what makes two of them the same. Ids are not used again.
CREATE TABLE report (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    handled INTEGER NOT NULL,
    digest  BLOB NOT NULL,
    report  TEXT NOT NULL
);
CREATE UNIQUE INDEX report_open ON report (digest) WHERE handled = 0;
CREATE INDEX account_role ON account (key, role) WHERE role <> 'member';
