-- Each part of an order carries the back office it goes to (until now there was one), and each of its lines the rule that
-- took it. The default is what a process of the version before still writes.
ALTER TABLE order_part ADD COLUMN target text NOT NULL DEFAULT 'cin7_core';
ALTER TABLE part_line ADD COLUMN rule text NOT NULL DEFAULT '';
