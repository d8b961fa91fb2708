-- A number rose while a sale that counts as contained in it had not been seen since: its units count as in flight until
-- the sale is seen to hold them after this causal number, the last of the readings that rose (R5b).
ALTER TABLE demand ADD COLUMN doubt_seq bigint;
ALTER TABLE demand ADD CHECK (doubt_seq IS NULL OR evidence_seq IS NOT NULL);
CREATE INDEX demand_doubt ON demand (order_id, location) WHERE doubt_seq IS NOT NULL;
