-- A cancelled job whose attempt went back to the queue ended without an end of its retention: nothing would ever purge it.
UPDATE jobs SET expires_at = ended_at + 86400000000 WHERE state > 1 AND expires_at IS NULL;
