-- floor: of a participant, the seq up to which entries are hidden from them (chat/history.py); of a room, what
-- those get who join while its history is shown. Whoever is in a room keeps all they could read.
ALTER TABLE participant ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversation ADD COLUMN history TEXT NOT NULL DEFAULT 'shown'
    CHECK (history IN ('shown', 'hidden'));
