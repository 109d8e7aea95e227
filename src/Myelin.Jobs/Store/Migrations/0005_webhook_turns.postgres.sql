-- online: writers go on meanwhile. Every statement may run again.
-- Deliveries take turns by receiver: host and port of the callback, from the text of its JSON, which is {"url": first. An
-- expression, so that rows of before and of older programs beside this one have it too; it fails for no text.
CREATE OR REPLACE FUNCTION webhook_receiver(callback bytea) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
  $$ SELECT coalesce(lower(substring(encode(callback, 'escape') FROM '"url":"\s*[a-zA-Z]+:[/\\]+([^/\\?#"]*)')), '-') COLLATE "C" $$;

CREATE INDEX CONCURRENTLY IF NOT EXISTS webhooks_turns ON webhooks (webhook_receiver(callback) COLLATE "C", next_at) WHERE state = 0;
