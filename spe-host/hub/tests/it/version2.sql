-- The store of a hub of version 2, as that version made it.
CREATE TABLE member (
    fingerprint TEXT PRIMARY KEY, role TEXT NOT NULL UNIQUE, listed_at TEXT NOT NULL
) STRICT;
-- catalogue: NULL since the node was dismissed.
CREATE TABLE node (
    name TEXT PRIMARY KEY, key TEXT NOT NULL, catalogue BLOB
) STRICT;
CREATE TABLE module (
    digest TEXT PRIMARY KEY, bytes INTEGER NOT NULL, put_at INTEGER NOT NULL, wasm BLOB NOT NULL
) STRICT;
-- Whose module it is. Each module has somebody: a person who put it, or asked a job that needs it.
CREATE TABLE held (
    person TEXT NOT NULL, module TEXT NOT NULL REFERENCES module ON DELETE CASCADE, PRIMARY KEY (person, module)
) STRICT;
CREATE INDEX held_module ON held (module);
CREATE TABLE job (
    id TEXT PRIMARY KEY, person TEXT NOT NULL, content TEXT NOT NULL, dataset TEXT NOT NULL, module TEXT NOT NULL,
    submitted_at TEXT NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0, envelope BLOB NOT NULL, permit BLOB NOT NULL,
    UNIQUE (person, content)
) STRICT;
CREATE INDEX job_module ON job (module);
-- outcome: answered, refused or invalid; NULL while the node owes one. body: the bytes that the node sent.
CREATE TABLE asked (
    job TEXT NOT NULL REFERENCES job ON DELETE CASCADE, node TEXT NOT NULL, stage BLOB, outcome TEXT, why TEXT, key TEXT, body BLOB,
    PRIMARY KEY (job, node)
) STRICT;
CREATE INDEX owed ON asked (node) WHERE outcome IS NULL;
-- What happened to jobs, in order; a node's stream follows it.
CREATE TABLE event (
    number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL REFERENCES job ON DELETE CASCADE, what TEXT NOT NULL
) STRICT;
CREATE INDEX event_job ON event (job);
PRAGMA user_version = 2;
