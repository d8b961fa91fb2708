-- Truth: facts that only grow, and the caches that are rebuilt from them by one query.

CREATE TABLE movement (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source        text   NOT NULL,
    resource      text   NOT NULL,
    line          text   NOT NULL,
    kind          text   NOT NULL CHECK (kind IN ('allocated', 'deallocated', 'shipped', 'return_received',
                      'inspected_ok', 'inspected_damaged', 'transfer_out', 'transfer_in', 'adjust', 'observed_gap')),
    seq           bigint NOT NULL,
    sku           text   NOT NULL CHECK (sku <> ''),
    quantity      bigint NOT NULL CHECK (quantity > 0),
    from_location text   NOT NULL,
    from_state    text   NOT NULL,
    to_location   text   NOT NULL,
    to_state      text   NOT NULL,
    content       text   NOT NULL,
    at            timestamptz NOT NULL,
    causal_seq    bigint NOT NULL,
    UNIQUE (source, resource, line, kind, seq),
    CHECK ((from_location, from_state) <> (to_location, to_state))
);
CREATE INDEX movement_sku ON movement (sku, id DESC);

CREATE TABLE balance (
    sku              text   NOT NULL,
    location         text   NOT NULL,
    state            text   NOT NULL,
    quantity         bigint NOT NULL,
    last_movement_id bigint NOT NULL,
    PRIMARY KEY (sku, location, state)
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: a correction is a new row', TG_TABLE_NAME;
END $$;
CREATE TRIGGER movement_append_only BEFORE UPDATE OR DELETE ON movement
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- What a master says about one (sku, location, part); a part is a bin and batch, '' for stock without.
CREATE TABLE observed (
    sku         text   NOT NULL,
    location    text   NOT NULL,
    part        text   NOT NULL,
    master      text   NOT NULL,
    state       text   NOT NULL,          -- '' when the remote state is unknown: never sellable
    value       bigint NOT NULL,          -- signed units in that state; falls at once
    value_before bigint NOT NULL DEFAULT 0, -- what the last complete set replaced
    proven      bigint NOT NULL,          -- the value of the last complete set
    allocated   bigint NOT NULL,
    a0          bigint NOT NULL,          -- causal number before the request that last proved this row
    a1          bigint NOT NULL,
    a0_before   bigint NOT NULL DEFAULT 0, -- what the last complete set replaced
    seen_a0     bigint NOT NULL DEFAULT 0, -- causal number of a newer page whose lower value already counts
    observed_at timestamptz NOT NULL,
    PRIMARY KEY (sku, location, part)
);
CREATE INDEX observed_master ON observed (master, location);

-- History of observed numbers: one row for each change, not for each look.
CREATE TABLE observation (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku          text   NOT NULL,
    location     text   NOT NULL,
    part         text   NOT NULL,
    state        text   NOT NULL,
    value_before bigint NOT NULL,
    value        bigint NOT NULL,
    a0           bigint NOT NULL,
    a1           bigint NOT NULL,
    sweep        text   NOT NULL,
    at           timestamptz NOT NULL,
    causal_seq   bigint NOT NULL
);
CREATE INDEX observation_sku ON observation (sku, id DESC);
CREATE TRIGGER observation_append_only BEFORE UPDATE OR DELETE ON observation
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A sweep is a set of pages that may become a complete set. scope '' is everything, else one SKU.
CREATE TABLE sweep (
    id          text PRIMARY KEY,
    master      text   NOT NULL,
    scope       text   NOT NULL,
    state       text   NOT NULL CHECK (state IN ('running', 'proving', 'applied', 'abandoned')),
    first_a0    bigint,
    last_a1     bigint,
    rows_seen   bigint NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL,
    finished_at timestamptz,
    cause       text   NOT NULL DEFAULT ''
);
CREATE INDEX sweep_open ON sweep (master, state) WHERE state IN ('running', 'proving');

CREATE TABLE sweep_row (
    sweep     text   NOT NULL REFERENCES sweep (id) ON DELETE CASCADE,
    sku       text   NOT NULL,
    location  text   NOT NULL,
    part      text   NOT NULL,
    state     text   NOT NULL,
    value     bigint NOT NULL,
    allocated bigint NOT NULL,
    a0        bigint NOT NULL,
    a1        bigint NOT NULL,
    again     int    NOT NULL DEFAULT 0,      -- how often it came once more, which spoils the proof
    PRIMARY KEY (sweep, sku, location, part)
);

-- Rows that a complete set did not show: read again before they are believed to be zero.
CREATE TABLE suspect (
    sku      text PRIMARY KEY,
    since    timestamptz NOT NULL,
    deadline timestamptz NOT NULL,
    sweep    text NOT NULL
);

-- Sold units, by component, until the master's number certainly contains them.
CREATE TABLE demand (
    order_id        text   NOT NULL,
    line_id         text   NOT NULL,
    sku             text   NOT NULL,
    slot            int    NOT NULL,
    label           text   NOT NULL,
    channel         text   NOT NULL,
    location        text,
    quantity        bigint NOT NULL CHECK (quantity >= 0),
    open_units      bigint NOT NULL CHECK (open_units >= 0),
    evidenced_units bigint NOT NULL DEFAULT 0 CHECK (evidenced_units >= 0),
    evidence_seq    bigint,
    finished        boolean NOT NULL DEFAULT false,   -- shipped or cancelled at the order
    settled         boolean NOT NULL DEFAULT false,   -- finished and contained everywhere: no longer counts
    at              timestamptz NOT NULL,
    PRIMARY KEY (order_id, line_id, sku, slot),
    CHECK ((evidenced_units = 0) = (evidence_seq IS NULL))
);
CREATE INDEX demand_live ON demand (sku) WHERE NOT settled;

CREATE TABLE demand_event (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id     text   NOT NULL,
    line_id      text   NOT NULL,
    sku          text   NOT NULL,
    kind         text   NOT NULL CHECK (kind IN ('captured', 'assigned', 'evidenced', 'revoked', 'released',
                     'cancelled', 'shipped')),
    units        bigint NOT NULL,
    location     text,
    evidence_seq bigint,
    at           timestamptz NOT NULL,
    causal_seq   bigint NOT NULL
);
CREATE INDEX demand_event_sku ON demand_event (sku, id DESC);
CREATE INDEX demand_event_order ON demand_event (order_id, id);
CREATE TRIGGER demand_event_append_only BEFORE UPDATE OR DELETE ON demand_event
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Units held back by a person or by a checkout that has not become an order yet.
CREATE TABLE hold (
    id         text PRIMARY KEY,
    sku        text   NOT NULL,
    pool       text   NOT NULL,
    units      bigint NOT NULL CHECK (units > 0),
    reason     text   NOT NULL,
    actor      text   NOT NULL,
    placed_at  timestamptz NOT NULL,
    expires_at timestamptz,
    ended_at   timestamptz
);
CREATE INDEX hold_live ON hold (sku) WHERE ended_at IS NULL;

-- The shadow E of a storefront entry: what its number must be once the storefront has applied what we know.
CREATE TABLE entry (
    sku        text    NOT NULL,
    channel    text    NOT NULL,              -- '' for the entry without a supply channel
    remote_id  text    NOT NULL,
    version    bigint  NOT NULL,
    typed      text,
    backorder  boolean NOT NULL DEFAULT false,
    e          bigint  NOT NULL,              -- without entry_pending
    q          bigint  NOT NULL,              -- last number seen, available included below
    q_reserved bigint  NOT NULL DEFAULT 0,    -- units in carts when last seen
    q_at       timestamptz NOT NULL,          -- on the storefront's clock
    q_seq      bigint  NOT NULL,
    last_t     bigint,                        -- T of the last write, for the refill rule
    looked_q   bigint,                        -- last number read while no write of ours was open, to judge drift
    looked_at  timestamptz,
    parked     text CHECK (parked IN ('judge', 'base')),  -- what a raise of this key waits for
    parked_seq bigint,                        -- 'base': until every reading is newer than this
    last_op    text,
    baseline_at timestamptz NOT NULL,         -- what the storefront did up to here is in the baseline
    judged_at  timestamptz,
    gone       boolean NOT NULL DEFAULT false,
    PRIMARY KEY (sku, channel)
);
CREATE INDEX entry_parked ON entry (looked_at) WHERE parked = 'judge';
CREATE INDEX entry_looked ON entry (looked_at) WHERE looked_at IS NOT NULL;
CREATE UNIQUE INDEX entry_remote ON entry (remote_id);

CREATE TABLE entry_fact (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku        text   NOT NULL,
    channel    text   NOT NULL,
    kind       text   NOT NULL CHECK (kind IN ('baseline', 'delta', 'foreign', 'restocked', 'drift', 'taken', 'held')),
    quantity   bigint NOT NULL,
    source     text   NOT NULL,
    resource   text   NOT NULL,
    line       text   NOT NULL,
    seq        bigint NOT NULL,
    remote_at  timestamptz NOT NULL,          -- when, on the storefront's clock, it counts from
    at         timestamptz NOT NULL,
    causal_seq bigint NOT NULL,
    UNIQUE (source, resource, line, kind, seq, sku, channel)
);
CREATE INDEX entry_fact_key ON entry_fact (sku, channel, id DESC);
CREATE INDEX entry_fact_when ON entry_fact (sku, channel, remote_at);
CREATE INDEX entry_fact_held ON entry_fact (sku, channel) WHERE kind = 'held';
CREATE TRIGGER entry_fact_append_only BEFORE UPDATE OR DELETE ON entry_fact
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Facts whose quantity is not folded into entry.e yet. Recording one locks no row that another order needs.
CREATE TABLE entry_pending (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku      text   NOT NULL,
    channel  text   NOT NULL,
    quantity bigint NOT NULL
);
CREATE INDEX entry_pending_key ON entry_pending (sku, channel);

-- Products of the master, for the boundary check, and recipes of kits.
CREATE TABLE product (
    sku        text PRIMARY KEY,
    normal     text    NOT NULL,
    name       text    NOT NULL,
    sellable   boolean NOT NULL,
    service    boolean NOT NULL,
    kit        boolean NOT NULL,
    fault      text    NOT NULL DEFAULT '',
    seen_at    timestamptz NOT NULL
);
CREATE INDEX product_normal ON product (normal);

CREATE TABLE recipe (
    sku       text   NOT NULL,
    component text   NOT NULL,
    units     bigint NOT NULL CHECK (units > 0),
    version   bigint NOT NULL,
    PRIMARY KEY (sku, component)
);
CREATE INDEX recipe_component ON recipe (component);

-- SKUs whose numbers may have changed: level-triggered, the name and never the change. Only added to and removed
-- from, never updated: an order that marks a SKU waits for nobody who marks or looks at it.
CREATE TABLE dirty (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku      text NOT NULL,
    priority smallint NOT NULL,
    reason   text   NOT NULL,
    seq      bigint NOT NULL,
    since    timestamptz NOT NULL
);
CREATE INDEX dirty_order ON dirty (priority, seq);
CREATE INDEX dirty_sku ON dirty (sku);

-- What each key should be, and how far off it is: the order of work of the writer.
CREATE TABLE desired (
    sku         text     NOT NULL,
    channel     text     NOT NULL,
    t           bigint   NOT NULL,
    low_t       bigint,                      -- the lowest T since the last write: above it a raise is no refill
    d           bigint   NOT NULL,
    priority    smallint NOT NULL,
    reason      text     NOT NULL,
    changed_seq bigint   NOT NULL,
    since       timestamptz NOT NULL,        -- since when it differs
    due_at      timestamptz NOT NULL,
    op          text,                        -- the one open operation of this key
    terms       text     NOT NULL DEFAULT '',-- fingerprint of the terms last kept in explained
    PRIMARY KEY (sku, channel)
);
CREATE INDEX desired_work ON desired (priority, due_at) WHERE d <> 0 AND op IS NULL;

-- Entries as they are to be computed with: all of E, and below which T a raise is no refill any more.
CREATE VIEW entry_now AS
SELECT e.sku, e.channel, e.remote_id, e.version, e.typed, e.backorder,
    e.e + coalesce((SELECT sum(p.quantity) FROM entry_pending p WHERE (p.sku, p.channel) = (e.sku, e.channel)), 0)::bigint AS e,
    e.q, e.q_reserved, e.q_at, e.q_seq, CASE WHEN e.last_t IS NOT NULL THEN least(e.last_t, w.low_t) END AS last_t,
    e.parked, e.parked_seq, e.last_op, e.gone, e.baseline_at, e.judged_at, coalesce(w.terms, '') AS terms
FROM entry e LEFT JOIN desired w ON (w.sku, w.channel) = (e.sku, e.channel)
WHERE NOT e.gone;

-- Newest numbers by location: sellable units, the oldest causal number, and what is left out by state.
CREATE VIEW reading_now AS
SELECT sku, location, coalesce(sum(value) FILTER (WHERE state = 'available'), 0)::bigint AS available, min(a0) AS a0,
    min(observed_at) AS observed_at,
    coalesce(jsonb_object_agg(CASE state WHEN '' THEN 'unknown' ELSE state END, value)
        FILTER (WHERE state <> 'available' AND value <> 0), '{}') AS left_out
FROM (SELECT sku, location, state, sum(value)::bigint AS value, min(a0) AS a0, min(observed_at) AS observed_at
    FROM observed GROUP BY 1, 2, 3) AS parts
GROUP BY sku, location;

-- Looks at entries that wait to be judged, what E was at that instant of the storefront's clock (without live holds),
-- and whether the look is spoiled: a write near it, or orders so recent that the number may not show them yet. After
-- 15 minutes without a judgement (2 when a raise waits for it) such orders count as shown, which errs on the low side.
CREATE VIEW look AS
SELECT e.sku, e.channel, e.looked_q, e.looked_at, e.baseline_at, e.judged_at, e.parked,
    e.e + coalesce((SELECT sum(p.quantity) FROM entry_pending p WHERE (p.sku, p.channel) = (e.sku, e.channel)), 0)::bigint
        - coalesce((SELECT sum(f.quantity) FROM entry_fact f WHERE (f.sku, f.channel) = (e.sku, e.channel)
            AND f.remote_at > e.looked_at AND f.kind <> 'held'), 0)::bigint
        - coalesce((SELECT sum(f.quantity) FROM entry_fact f WHERE (f.sku, f.channel) = (e.sku, e.channel)
            AND f.kind = 'held'), 0)::bigint AS expected,
    coalesce(e.judged_at >= e.looked_at, false) OR EXISTS (SELECT 1 FROM entry_fact f
        WHERE (f.sku, f.channel) = (e.sku, e.channel) AND f.kind IN ('delta', 'baseline')
        AND f.remote_at BETWEEN e.looked_at - interval '12 seconds' AND e.looked_at + interval '2 seconds')
    OR (coalesce(e.judged_at, e.baseline_at) >= e.looked_at
            - CASE WHEN e.parked = 'judge' THEN interval '2 minutes' ELSE interval '15 minutes' END
        AND EXISTS (SELECT 1 FROM entry_fact f WHERE (f.sku, f.channel) = (e.sku, e.channel) AND f.kind = 'taken'
            AND f.remote_at BETWEEN e.looked_at - interval '10 seconds' AND e.looked_at)) AS spoiled
FROM entry e
WHERE e.looked_at IS NOT NULL AND NOT e.gone
    AND NOT EXISTS (SELECT 1 FROM desired w WHERE (w.sku, w.channel) = (e.sku, e.channel) AND w.op IS NOT NULL);

-- A message about an entry is ours when one of our writes explains it: asked for every message.
CREATE INDEX operation_stock_lane ON operation (lane, created_seq DESC) WHERE kind = 'stock.write';

-- Each number with all its terms, whenever a term changed: answers "why was it 3 at noon".
CREATE TABLE explained (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku        text   NOT NULL,
    channel    text   NOT NULL,
    at         timestamptz NOT NULL,
    causal_seq bigint NOT NULL,
    terms      jsonb  NOT NULL
);
CREATE INDEX explained_key ON explained (sku, channel, id DESC);
