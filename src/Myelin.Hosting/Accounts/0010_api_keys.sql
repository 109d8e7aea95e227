-- hash is the SHA-256 of the secret. scopes: 1 infer, 2 manage, 7 admin. Times are microseconds since 1970 (UTC).
CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  hash BLOB NOT NULL,
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  scopes INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  last_used_at INTEGER,
  revoked_at INTEGER
) WITHOUT ROWID;
