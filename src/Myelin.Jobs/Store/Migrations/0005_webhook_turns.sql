-- Deliveries take turns by receiver: host and port of the callback. Those of before share one turn.
ALTER TABLE webhooks ADD COLUMN receiver TEXT NOT NULL DEFAULT '-';
CREATE INDEX webhooks_turns ON webhooks (receiver, next_at) WHERE state = 0;
