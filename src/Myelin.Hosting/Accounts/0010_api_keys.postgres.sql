-- hash is the SHA-256 of the secret. scopes: 1 infer, 2 manage, 7 admin. Times are microseconds since 1970 (UTC).
CREATE TABLE api_keys (
  id text COLLATE "C" PRIMARY KEY,
  hash bytea NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  name text NOT NULL,
  scopes integer NOT NULL,
  created_at bigint NOT NULL,
  last_used_at bigint,
  revoked_at bigint
);
