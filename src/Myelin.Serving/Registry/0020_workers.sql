-- Workers as they said of themselves last. models: JSON array of what /v1/models shows there; revision rises with it.
-- Times are microseconds since 1970 (UTC).
CREATE TABLE workers (
  id TEXT PRIMARY KEY,
  host TEXT NOT NULL,
  address TEXT,
  socket TEXT,
  capacity INTEGER NOT NULL,
  running INTEGER NOT NULL,
  draining INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  seen_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  models BLOB NOT NULL
) WITHOUT ROWID;
