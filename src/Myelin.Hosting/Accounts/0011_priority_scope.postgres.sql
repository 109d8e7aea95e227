-- Scope 16: jobs of priority high, which needed none before. Keys of before keep it.
UPDATE api_keys SET scopes = scopes | 16 WHERE (scopes & 1) = 1;
