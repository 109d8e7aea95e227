-- Who does what only one process at a time should do. Times are the database's own: no other clock decides.
-- fence rises with every change of owner; a write that carries an older one is refused.
CREATE TABLE leases (
  name text COLLATE "C" PRIMARY KEY,
  owner text COLLATE "C" NOT NULL,
  fence bigint NOT NULL,
  expires_at timestamptz NOT NULL
);
