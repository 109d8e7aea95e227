-- online: writers go on meanwhile. Every statement may run again.
-- Lists: newest first of a tenant, of one of its models, of one state. Without a state the six are merged.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_tenant_state ON jobs (tenant, state, id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_tenant_model ON jobs (tenant, model, state, id);
