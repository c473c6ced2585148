package sqlite

// All SQL of the documents is in this file. It keeps to what SQLite and PostgreSQL share (there, BLOB is BYTEA, "?" is "$1",
// and key and kind are COLLATE "C"); times are microseconds since 1970.

// version is the version of this schema. A change raises it and adds the step to migrations.
const version = 1

// migrations[i] takes the schema from version i to i+1.
var migrations = []string{
	`
CREATE TABLE documents (
	key      TEXT PRIMARY KEY NOT NULL,
	kind     TEXT NOT NULL,
	body     BLOB NOT NULL,
	revision BIGINT NOT NULL,
	created  BIGINT NOT NULL,
	modified BIGINT NOT NULL
);
CREATE UNIQUE INDEX documents_kind_key ON documents (kind, key);
`,
}

const (
	sqlCreateState = `CREATE TABLE IF NOT EXISTS store_state (version INTEGER NOT NULL, reserved BIGINT NOT NULL)`
	sqlInsertState = `INSERT INTO store_state (version, reserved) SELECT 0, 0 WHERE NOT EXISTS (SELECT 1 FROM store_state)`
	sqlReadState   = `SELECT version, reserved FROM store_state`
	sqlSetVersion  = `UPDATE store_state SET version = ?`
	sqlReserve     = `UPDATE store_state SET reserved = ?`

	sqlGet = `SELECT key, kind, body, revision, created, modified FROM documents WHERE key = ?`
	// A page begins with one lower bound: with two, the database may seek the lower one and walk to the higher.
	sqlListFrom  = `SELECT key, kind, body, revision, created, modified FROM documents WHERE kind = ? AND key >= ? ORDER BY key`
	sqlListAfter = `SELECT key, kind, body, revision, created, modified FROM documents WHERE kind = ? AND key > ? ORDER BY key`
	sqlLimit     = ` LIMIT ?`

	sqlInsert = `INSERT INTO documents (key, kind, body, revision, created, modified) VALUES (?, ?, ?, ?, ?, ?)`
	sqlUpdate = `UPDATE documents SET body = ?, revision = ?, modified = ? WHERE key = ?`
	sqlDelete = `DELETE FROM documents WHERE key = ?`
	sqlHead   = `SELECT kind, revision, created FROM documents WHERE key = ?`
	sqlNext   = `SELECT key FROM documents WHERE key >= ? ORDER BY key LIMIT 1`

	sqlSavepoint = `SAVEPOINT apply`
	sqlRelease   = `RELEASE SAVEPOINT apply`
	sqlUndo      = `ROLLBACK TO SAVEPOINT apply`
)

// reserve is how many revisions a write of store_state reserves. Revisions must grow even when the newest document was
// deleted before a restart, and a write per commit for that would be waste.
const reserve = 1 << 20
