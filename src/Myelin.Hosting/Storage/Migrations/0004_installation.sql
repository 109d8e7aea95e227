-- Which database this is. Its id marks the blobs that are its own. generation and previous: what the last two sweeps wrote
-- into that mark; a database restored from an older backup does not know the newest.
-- blob_prefix: of every blob's key where artifacts.s3.prefix says nothing. A database that an older version made (the later
-- of its tables are there already) has its blobs at the root of the bucket.
CREATE TABLE installation (id TEXT NOT NULL, blob_prefix TEXT NOT NULL, generation TEXT, previous TEXT);
INSERT INTO installation (id, blob_prefix)
SELECT lower(hex(randomblob(16))), CASE WHEN EXISTS (SELECT 1 FROM migrations WHERE number >= 10) OR EXISTS (SELECT 1 FROM jobs) THEN '' ELSE 'myelin/' END;
