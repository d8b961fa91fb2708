-- What the console's pages of orders, cases and settings need.

-- Orders, newest first, of one stage or of all; by the beginning of a number; by the number of a sale.
CREATE INDEX orders_placed ON orders (placed_at, order_id);
CREATE INDEX orders_stage_placed ON orders (stage, placed_at, order_id);
CREATE INDEX orders_number_begins ON orders (number text_pattern_ops);
CREATE INDEX order_part_number ON order_part (sale_number) WHERE sale_number <> '';
-- Orders of more than one sale, which are few among many.
CREATE INDEX order_part_split ON order_part (at, order_id) WHERE part = 2;
CREATE INDEX stray_since ON stray (since, sale_id);
-- All that was ever owed for an order; operations of stock, which are most, are left out.
CREATE INDEX operation_of_order ON operation (lane, created_seq) WHERE lane LIKE 'order:%';

ALTER TABLE case_event DROP CONSTRAINT case_event_what_check;
ALTER TABLE case_event ADD CONSTRAINT case_event_what_check
    CHECK (what IN ('opened', 'acknowledged', 'assigned', 'replayed', 'resolved', 'told', 'commented'));
CREATE INDEX cases_resolved ON cases (resolved_at, id) WHERE state = 'resolved';

-- Buffers set by hand, over those of the settings file. '' is all SKUs or the pool as a whole; '*' is all channels, for
-- '' is the channel of entries without one.
CREATE TABLE buffer_set (
    sku      text   NOT NULL,
    location text   NOT NULL,
    channel  text   NOT NULL,
    units    int    NOT NULL CHECK (units >= 0),
    actor    text   NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (sku, location, channel)
);
-- Every change of one: units before and after, nothing where the file rules.
CREATE TABLE buffer_change (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL,
    actor    text   NOT NULL,
    sku      text   NOT NULL,
    location text   NOT NULL,
    channel  text   NOT NULL,
    before   int,
    after    int,
    undoes   bigint UNIQUE REFERENCES buffer_change (id)
);
CREATE INDEX buffer_change_key ON buffer_change (sku, location, channel, id);
