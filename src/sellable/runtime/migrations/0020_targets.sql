-- Each part of an order carries the back office it goes to; until now there was one.
ALTER TABLE order_part ADD COLUMN target text NOT NULL DEFAULT 'cin7_core';
ALTER TABLE order_part ALTER COLUMN target DROP DEFAULT;
