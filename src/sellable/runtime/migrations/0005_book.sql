-- The order book: what was ordered, what each system has been told, what came back.

CREATE TABLE orders (
    order_id      text PRIMARY KEY,
    number        text,
    version       bigint NOT NULL,
    state         text   NOT NULL,
    stage         text   NOT NULL CHECK (stage IN ('waiting', 'held', 'exporting', 'exported', 'shipped', 'cancelling',
                      'cancelled', 'adopted', 'ignored')),
    stage_since   timestamptz NOT NULL,
    placed_at     timestamptz NOT NULL,
    captured_at   timestamptz NOT NULL,
    captured_seq  bigint NOT NULL,
    modified_at   timestamptz NOT NULL,
    store         text   NOT NULL,
    country       text   NOT NULL,
    currency      text   NOT NULL,
    digits        int    NOT NULL,
    total         bigint NOT NULL,
    cart_id       text,
    document      jsonb  NOT NULL,
    hold_cause    text   NOT NULL DEFAULT '',
    told_version  bigint NOT NULL DEFAULT 0       -- newest version known from our own write-backs
);
CREATE INDEX orders_number ON orders (number);
CREATE INDEX orders_stage ON orders (stage, stage_since);
CREATE INDEX orders_modified ON orders (modified_at);

CREATE TABLE order_line (
    order_id  text   NOT NULL REFERENCES orders (order_id),
    line_id   text   NOT NULL,
    sku       text   NOT NULL,
    channel   text   NOT NULL,
    mode      text   NOT NULL,
    ordered   bigint NOT NULL CHECK (ordered >= 0),
    shipped   bigint NOT NULL DEFAULT 0 CHECK (shipped >= 0),
    cancelled bigint NOT NULL DEFAULT 0 CHECK (cancelled >= 0 AND cancelled <= ordered),
    returned  bigint NOT NULL DEFAULT 0 CHECK (returned >= 0),
    PRIMARY KEY (order_id, line_id)
);
CREATE INDEX order_line_sku ON order_line (sku);

-- One part is one sale at the back office: the lines of one location.
CREATE TABLE order_part (
    order_id     text   NOT NULL REFERENCES orders (order_id),
    part         int    NOT NULL,
    location     text   NOT NULL,
    ref          text   NOT NULL UNIQUE,
    state        text   NOT NULL CHECK (state IN ('planned', 'created', 'compared', 'authorised', 'held', 'voiding',
                     'voided', 'shipped', 'dropped')),
    sale_id      text,
    sale_number  text   NOT NULL DEFAULT '',
    draft        jsonb  NOT NULL,
    expected     jsonb  NOT NULL,
    actual       jsonb,
    told         boolean NOT NULL DEFAULT false,     -- the sale's id is noted at the storefront
    picked       boolean NOT NULL DEFAULT false,
    sale_gone    boolean NOT NULL DEFAULT false,     -- staff voided the sale: another attempt makes a new one
    accepted     jsonb,                              -- totals that differ and that a person accepted
    sale_updated timestamptz,                        -- change stamp of the sale at our last full read
    list_updated timestamptz,                        -- change stamp of the newest row of the list of sales
    verified_seq bigint NOT NULL DEFAULT 0,          -- the sale still held its units at this causal number
    allocation_seq bigint NOT NULL DEFAULT 0,        -- when we last learnt or changed what the sale holds
    at           timestamptz NOT NULL,
    PRIMARY KEY (order_id, part)
);
CREATE UNIQUE INDEX order_part_sale ON order_part (lower(sale_id));
CREATE INDEX order_part_open ON order_part (state) WHERE state IN ('planned', 'created', 'compared', 'authorised', 'held', 'voiding');

CREATE TABLE part_line (
    order_id text   NOT NULL,
    part     int    NOT NULL,
    line_id  text   NOT NULL,
    sku      text   NOT NULL,
    units    bigint NOT NULL CHECK (units > 0),
    shipped  bigint NOT NULL DEFAULT 0 CHECK (shipped >= 0),
    PRIMARY KEY (order_id, part, line_id),
    FOREIGN KEY (order_id, part) REFERENCES order_part (order_id, part) ON DELETE CASCADE
);

CREATE TABLE shipment (
    shipment_id text PRIMARY KEY,
    order_id    text   NOT NULL REFERENCES orders (order_id),
    part        int    NOT NULL,
    root        text   NOT NULL,      -- the back office's shipment; what it grows by is a shipment of its own here
    document    jsonb  NOT NULL,
    items       jsonb  NOT NULL,      -- [[line id, units], ...]
    told        boolean NOT NULL DEFAULT false,
    at          timestamptz NOT NULL
);
CREATE INDEX shipment_order ON shipment (order_id);

CREATE TABLE order_event (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id text   NOT NULL,
    at       timestamptz NOT NULL,
    seq      bigint NOT NULL,
    what     text   NOT NULL,
    detail   jsonb  NOT NULL
);
CREATE INDEX order_event_order ON order_event (order_id, id);
CREATE TRIGGER order_event_append_only BEFORE UPDATE OR DELETE ON order_event
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Complete walks of the list of changed sales: the causal number before each, and when it was over.
CREATE TABLE sales_walk (
    seq bigint PRIMARY KEY,
    at  timestamptz NOT NULL
);

-- Drafts with our reference that are not the recorded sale of their part.
CREATE TABLE stray (
    sale_id  text PRIMARY KEY,
    order_id text NOT NULL,
    part     int  NOT NULL,
    since    timestamptz NOT NULL,
    owed     boolean NOT NULL DEFAULT false
);
