-- a ledger as version 1 of the application wrote it (sqlite3 .dump), to be upgraded by tests
PRAGMA application_id = 0x70726963;
PRAGMA user_version = 1;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE fetch (
        id INTEGER PRIMARY KEY, source TEXT NOT NULL, fetched_at TEXT NOT NULL, version TEXT NOT NULL,
        note TEXT NOT NULL, rows INTEGER NOT NULL) STRICT;
INSERT INTO fetch VALUES(1,'yahoo','2024-01-03T22:00:00.000000Z','','',2);
INSERT INTO fetch VALUES(2,'yahoo','2024-01-04T22:00:00.000000Z','','',2);
CREATE TABLE bar (
        symbol TEXT NOT NULL, date TEXT NOT NULL, fetch_id INTEGER NOT NULL REFERENCES fetch,
        open REAL, high REAL, low REAL, close REAL, volume REAL,
        PRIMARY KEY (symbol, date, fetch_id)) STRICT, WITHOUT ROWID;
INSERT INTO bar VALUES('A','2024-01-02',1,NULL,NULL,NULL,1.0,NULL);
INSERT INTO bar VALUES('A','2024-01-03',1,NULL,NULL,NULL,2.0,NULL);
INSERT INTO bar VALUES('A','2024-01-03',2,NULL,NULL,NULL,2.5,NULL);
INSERT INTO bar VALUES('A','2024-01-04',2,NULL,NULL,NULL,3.0,NULL);
CREATE TABLE action (
        symbol TEXT NOT NULL, date TEXT NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('dividend', 'split')),
        fetch_id INTEGER NOT NULL REFERENCES fetch, value REAL NOT NULL,
        PRIMARY KEY (symbol, date, kind, fetch_id)) STRICT, WITHOUT ROWID;
INSERT INTO "action" VALUES('A','2024-01-03','dividend',1,0.5);
INSERT INTO "action" VALUES('A','2024-01-04','split',2,2.0);
CREATE TABLE coverage (
        symbol TEXT NOT NULL, fetch_id INTEGER NOT NULL REFERENCES fetch, first TEXT NOT NULL, days BLOB NOT NULL,
        PRIMARY KEY (symbol, fetch_id)) STRICT, WITHOUT ROWID;
INSERT INTO coverage VALUES('A',1,'2024-01-02',X'c0');
INSERT INTO coverage VALUES('A',2,'2024-01-03',X'c0');
CREATE TRIGGER fetch_no_update BEFORE UPDATE ON fetch BEGIN SELECT RAISE(ABORT, 'the ledger only appends: no update of fetch'); END;
CREATE TRIGGER fetch_no_delete BEFORE DELETE ON fetch BEGIN SELECT RAISE(ABORT, 'the ledger only appends: no delete of fetch'); END;
CREATE TRIGGER fetch_no_replace BEFORE INSERT ON fetch WHEN EXISTS (SELECT 1 FROM fetch WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'the ledger only appends: no replace of fetch'); END;
CREATE TRIGGER bar_no_update BEFORE UPDATE ON bar BEGIN SELECT RAISE(ABORT, 'the ledger only appends: no update of bar'); END;
CREATE TRIGGER bar_no_delete BEFORE DELETE ON bar BEGIN SELECT RAISE(ABORT, 'the ledger only appends: no delete of bar'); END;
CREATE TRIGGER bar_no_replace BEFORE INSERT ON bar WHEN EXISTS (SELECT 1 FROM bar WHERE symbol = NEW.symbol AND date = NEW.date AND fetch_id = NEW.fetch_id) BEGIN SELECT RAISE(ABORT, 'the ledger only appends: no replace of bar'); END;
CREATE TRIGGER action_no_update BEFORE UPDATE ON action BEGIN SELECT RAISE(ABORT, 'the ledger only appends: no update of action'); END;
CREATE TRIGGER action_no_delete BEFORE DELETE ON action BEGIN SELECT RAISE(ABORT, 'the ledger only appends: no delete of action'); END;
CREATE TRIGGER action_no_replace BEFORE INSERT ON action WHEN EXISTS (SELECT 1 FROM action WHERE symbol = NEW.symbol AND date = NEW.date AND kind = NEW.kind AND fetch_id = NEW.fetch_id) BEGIN SELECT RAISE(ABORT, 'the ledger only appends: no replace of action'); END;
CREATE TRIGGER coverage_no_update BEFORE UPDATE ON coverage BEGIN SELECT RAISE(ABORT, 'the ledger only appends: no update of coverage'); END;
CREATE TRIGGER coverage_no_delete BEFORE DELETE ON coverage BEGIN SELECT RAISE(ABORT, 'the ledger only appends: no delete of coverage'); END;
CREATE TRIGGER coverage_no_replace BEFORE INSERT ON coverage WHEN EXISTS (SELECT 1 FROM coverage WHERE symbol = NEW.symbol AND fetch_id = NEW.fetch_id) BEGIN SELECT RAISE(ABORT, 'the ledger only appends: no replace of coverage'); END;
CREATE INDEX fetch_by_source ON fetch (source, fetched_at);
COMMIT;
