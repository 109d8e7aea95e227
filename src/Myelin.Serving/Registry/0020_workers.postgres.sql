-- Workers as they said of themselves last. models: JSON array of what /v1/models shows there; revision rises with it.
-- Times are microseconds since 1970 (UTC).
CREATE TABLE workers (
  id text COLLATE "C" PRIMARY KEY,
  host text COLLATE "C" NOT NULL,
  address text COLLATE "C",
  socket text COLLATE "C",
  capacity integer NOT NULL,
  running integer NOT NULL,
  draining integer NOT NULL,
  started_at bigint NOT NULL,
  seen_at bigint NOT NULL,
  expires_at bigint NOT NULL,
  revision bigint NOT NULL,
  models bytea NOT NULL
);
