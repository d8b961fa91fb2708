-- A reading that is handled late is compared with what newer ones showed of the same rows, whichever set they are of: by
-- row, not set after set, of which a busy hour has a thousand.
CREATE INDEX sweep_row_place ON sweep_row (sku, location, part, a0);
-- Rows of sets that came to nothing are forgotten long before the set; `forgotten` is until where nobody remembers.
ALTER TABLE sweep ADD COLUMN forgotten boolean NOT NULL DEFAULT false;
CREATE INDEX sweep_forgotten ON sweep (last_a1) WHERE forgotten;
