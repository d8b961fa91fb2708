-- Where commercetools is the master of stock: what happened to order lines there besides what it did by itself.

-- Lines whose units such a number stands for, from when their order was captured.
CREATE TABLE counted_line (
    order_id text   NOT NULL,
    line_id  text   NOT NULL,
    sku      text   NOT NULL,
    channel  text   NOT NULL,
    lost     bigint NOT NULL DEFAULT 0 CHECK (lost >= 0), -- units cancelled because the warehouse could not find them
    cancelling boolean NOT NULL DEFAULT false,            -- we cancel the whole order at the storefront
    adjusted bigint NOT NULL DEFAULT 0,                   -- the sum of the line's adjustments
    PRIMARY KEY (order_id, line_id),
    FOREIGN KEY (order_id, line_id) REFERENCES order_line (order_id, line_id)
);

-- Units to add to (or, negative, to take off) a number, and, negated, the writes that did so: what is owed is the sum.
CREATE TABLE adjustment (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku        text    NOT NULL,
    channel    text    NOT NULL,
    units      bigint  NOT NULL CHECK (units <> 0),
    source     text    NOT NULL CHECK (source IN ('order', 'write', 'restore')),
    resource   text    NOT NULL,                          -- the order, the write's marker, or the restore
    line       text    NOT NULL DEFAULT '',
    aside      boolean NOT NULL DEFAULT false,            -- nobody knows whether it was written in a former life
    at         timestamptz NOT NULL,
    causal_seq bigint  NOT NULL
);
CREATE INDEX adjustment_owed ON adjustment (sku, channel) INCLUDE (units) WHERE NOT aside;
CREATE INDEX adjustment_order ON adjustment (resource, line) WHERE source = 'order';
CREATE UNIQUE INDEX adjustment_write ON adjustment (resource) WHERE source = 'write';
CREATE TRIGGER adjustment_append_only BEFORE UPDATE OR DELETE ON adjustment
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Returns made known at the storefront and announced to the warehouse that their goods left.
CREATE TABLE announcement (
    ref      text   PRIMARY KEY,                  -- our number of it there, for ever the same
    order_id text   NOT NULL REFERENCES orders (order_id),
    part     int    NOT NULL,
    item_id  text   NOT NULL,                     -- the storefront's return item
    line_id  text   NOT NULL,
    units    bigint NOT NULL CHECK (units > 0),
    arrived  bigint NOT NULL DEFAULT 0,
    told     boolean NOT NULL DEFAULT false,
    at       timestamptz NOT NULL
);
CREATE INDEX announcement_order ON announcement (order_id);
-- Units of it that no back office was told of yet; nobody is of those that were noted before this was known.
ALTER TABLE return_note ADD COLUMN untold bigint NOT NULL DEFAULT 0 CHECK (untold >= 0);
