-- Times are microseconds since 1970 (UTC). priority: 0 high, 1 normal, 2 low.
-- state: 0 queued, 1 running, 2 succeeded, 3 failed, 4 cancelled, 5 expired. JSON columns are UTF-8 blobs.
CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY,                -- order of acceptance
  id TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  model TEXT NOT NULL,
  priority INTEGER NOT NULL,
  state INTEGER NOT NULL,
  attempt INTEGER NOT NULL,               -- claims so far
  failures INTEGER NOT NULL,              -- attempts that count against the limit
  event_id INTEGER NOT NULL,
  cancel_requested INTEGER NOT NULL,
  purged INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  not_before INTEGER,
  deadline INTEGER,
  started_at INTEGER,
  ended_at INTEGER,
  expires_at INTEGER,
  lease_until INTEGER,
  lease_token TEXT,
  worker TEXT,
  key TEXT,
  idempotency_key TEXT,
  body_hash TEXT,
  trace_parent TEXT,
  callback BLOB,
  progress BLOB,
  inputs BLOB,
  artifacts BLOB,
  error BLOB,
  parameters BLOB,
  result BLOB
);

-- Few and partial: an accepted job of the plainest kind touches the table, its id and jobs_queued.
CREATE INDEX jobs_queued ON jobs (model, priority) WHERE state = 0;
CREATE INDEX jobs_running ON jobs (state) WHERE state = 1;
CREATE INDEX jobs_deadline ON jobs (deadline) WHERE state = 0 AND deadline IS NOT NULL;
CREATE INDEX jobs_key ON jobs (tenant, key) WHERE key IS NOT NULL AND state < 2;
CREATE INDEX jobs_ended ON jobs (purged, expires_at) WHERE expires_at IS NOT NULL;
CREATE UNIQUE INDEX jobs_idempotency ON jobs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- Small inputs live beside their job: accepting them costs no fsync of their own.
CREATE TABLE inputs (
  job TEXT NOT NULL,
  name TEXT NOT NULL,
  content BLOB NOT NULL,
  PRIMARY KEY (job, name)
) WITHOUT ROWID;

CREATE TABLE webhooks (
  id INTEGER PRIMARY KEY,
  job TEXT NOT NULL UNIQUE,
  callback BLOB NOT NULL,
  state INTEGER NOT NULL DEFAULT 0,       -- 0 pending, 1 delivered, 2 given up
  attempt INTEGER NOT NULL DEFAULT 0,
  next_at INTEGER NOT NULL,
  error TEXT
);

CREATE INDEX webhooks_due ON webhooks (next_at) WHERE state = 0;
