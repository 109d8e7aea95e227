-- online: writers go on meanwhile. Every statement may run again.
-- A cancelled job whose attempt went back to the queue ended without an end of its retention: nothing would ever purge it.
-- The index is empty: it finds what processes of an older version, beside new ones during an upgrade, still leave so.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_unexpiring ON jobs (seq) WHERE state > 1 AND expires_at IS NULL;
UPDATE jobs SET expires_at = ended_at + 86400000000 WHERE state > 1 AND expires_at IS NULL;
