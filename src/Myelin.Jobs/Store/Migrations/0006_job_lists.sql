-- Lists: newest first of a tenant, of one of its models, of one state. Without a state the six are merged.
CREATE INDEX jobs_tenant_state ON jobs (tenant, state, id);
CREATE INDEX jobs_tenant_model ON jobs (tenant, model, state, id);
