-- Goods that came back: what the back office's return says so far, in pieces of one fate, and what the storefront says.
CREATE TABLE goods_return (
    return_id text PRIMARY KEY,
    order_id  text   NOT NULL REFERENCES orders (order_id),
    part      int    NOT NULL,
    number    text   NOT NULL,
    document  jsonb  NOT NULL,
    seq       bigint NOT NULL,                 -- the reading this is of began at this causal number
    at        timestamptz NOT NULL
);
CREATE INDEX goods_return_order ON goods_return (order_id);

CREATE TABLE return_piece (
    piece_id     text PRIMARY KEY,             -- also the key of the storefront's return item
    return_id    text   NOT NULL REFERENCES goods_return (return_id),
    order_id     text   NOT NULL,
    line_id      text,                         -- NULL: goods that are on no line
    sku          text   NOT NULL,
    units        bigint NOT NULL CHECK (units > 0),
    location     text   NOT NULL,
    fate         text   NOT NULL CHECK (fate IN ('inspection', 'quarantine', 'available', 'damaged', 'written_off')),
    payment      text   NOT NULL DEFAULT '' CHECK (payment IN ('', 'Refunded', 'NotRefunded')),
    reason       text   NOT NULL DEFAULT '',
    item_id      text   NOT NULL DEFAULT '',   -- the storefront's return item, where somebody else made it
    told         text   NOT NULL DEFAULT '',   -- the states the storefront has from us, both
    at           timestamptz NOT NULL
);
CREATE INDEX return_piece_order ON return_piece (order_id);
CREATE INDEX return_piece_return ON return_piece (return_id);

-- Returns that the storefront's order names and that we did not write: announced, or said to be back.
CREATE TABLE return_note (
    order_id text   NOT NULL REFERENCES orders (order_id),
    item_id  text   NOT NULL,
    line_id  text   NOT NULL,
    units    bigint NOT NULL,
    state    text   NOT NULL,
    payment  text   NOT NULL,
    reason   text   NOT NULL,
    arrived  bigint NOT NULL DEFAULT 0,        -- units of it that the back office has taken back
    at       timestamptz NOT NULL,
    PRIMARY KEY (order_id, item_id)
);

-- Units of a line that somebody wants cancelled, all told; `cancelled` counts those of them that surely are.
ALTER TABLE order_line ADD COLUMN asked bigint NOT NULL DEFAULT 0 CHECK (asked >= 0);
-- Units of the component in one unit of the line, so that it is known however often the line was changed.
ALTER TABLE demand ADD COLUMN per_line int NOT NULL DEFAULT 1;
UPDATE demand d SET per_line = greatest(1, s.units / l.ordered)
FROM order_line l JOIN (SELECT order_id, line_id, sku, sum(quantity) AS units FROM demand GROUP BY 1, 2, 3) s
    USING (order_id, line_id)
WHERE (d.order_id, d.line_id, d.sku) = (s.order_id, s.line_id, s.sku) AND l.ordered > 0 AND s.units > l.ordered;
