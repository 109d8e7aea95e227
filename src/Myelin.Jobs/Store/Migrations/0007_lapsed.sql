-- lease_for: microseconds that the holder of the lease may be silent, told at its claim.
-- lapsed: tokens of attempts that were silent for longer and are charged as failures, a space after each.
ALTER TABLE jobs ADD COLUMN lease_for INTEGER;
ALTER TABLE jobs ADD COLUMN lapsed TEXT;
