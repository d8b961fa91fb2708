-- name: post_movements
-- Appends movements whose identity is new and moves their balances, locked in key order; answers how many were new.
WITH input AS (
    SELECT * FROM unnest(%(source)s::text[], %(resource)s::text[], %(line)s::text[], %(kind)s::text[],
        %(seq)s::bigint[], %(sku)s::text[], %(quantity)s::bigint[], %(from_location)s::text[], %(from_state)s::text[],
        %(to_location)s::text[], %(to_state)s::text[], %(content)s::text[])
        AS t (source, resource, line, kind, seq, sku, quantity, from_location, from_state, to_location, to_state, content)
), added AS (
    INSERT INTO movement (source, resource, line, kind, seq, sku, quantity, from_location, from_state, to_location,
        to_state, content, at, causal_seq)
    SELECT source, resource, line, kind, seq, sku, quantity, from_location, from_state, to_location, to_state, content,
        %(at)s, nextval('causal_seq')
    FROM input ON CONFLICT (source, resource, line, kind, seq) DO NOTHING
    RETURNING id, sku, quantity, from_location, from_state, to_location, to_state
), moved AS (
    SELECT sku, location, state, sum(units) AS units, max(id) AS id FROM (
        SELECT sku, from_location AS location, from_state AS state, -quantity AS units, id FROM added
        UNION ALL SELECT sku, to_location, to_state, quantity, id FROM added) AS sides
    GROUP BY sku, location, state ORDER BY sku, location, state
), balanced AS (
    INSERT INTO balance (sku, location, state, quantity, last_movement_id)
    SELECT sku, location, state, units, id FROM moved
    ON CONFLICT (sku, location, state) DO UPDATE SET quantity = balance.quantity + excluded.quantity,
        last_movement_id = greatest(balance.last_movement_id, excluded.last_movement_id)
    RETURNING 1
)
SELECT (SELECT count(*) FROM added) AS new, (SELECT count(*) FROM balanced) AS touched;

-- name: movements_known
-- What was recorded under these identities.
SELECT m.source, m.resource, m.line, m.kind, m.seq, m.sku, m.quantity, m.from_location, m.from_state, m.to_location,
    m.to_state FROM movement m
JOIN unnest(%(source)s::text[], %(resource)s::text[], %(line)s::text[], %(kind)s::text[], %(seq)s::bigint[])
    AS t (source, resource, line, kind, seq) USING (source, resource, line, kind, seq);

-- name: balances_that_differ
-- Balances that are not the sum of their movements (I1).
WITH sums AS (
    SELECT sku, location, state, sum(units) AS units FROM (
        SELECT sku, from_location AS location, from_state AS state, -quantity AS units FROM movement
        UNION ALL SELECT sku, to_location, to_state, quantity FROM movement) AS sides
    GROUP BY sku, location, state)
SELECT sku, location, state, coalesce(b.quantity, 0) AS quantity, coalesce(s.units, 0)::bigint AS units
FROM balance b FULL JOIN sums s USING (sku, location, state)
WHERE coalesce(b.quantity, 0) <> coalesce(s.units, 0) LIMIT 100;

-- name: skus_not_zero
-- SKUs whose accounts do not cancel (I1).
SELECT sku FROM balance GROUP BY sku HAVING sum(quantity) <> 0 LIMIT 100;

-- name: lock_balances
-- Whoever closes gaps of these SKUs waits for whoever else does, in the order in which balances are posted: two who
-- read the same gap would both close it.
SELECT 1 AS locked FROM balance WHERE sku = ANY (%(skus)s::text[]) ORDER BY sku, location, state FOR UPDATE;

-- name: ledger_gaps
-- Where balances and observed numbers of these SKUs differ, with a causal number for the movement that closes the gap.
WITH seen AS (
    SELECT sku, location, CASE state WHEN '' THEN 'quarantine' ELSE state END AS state, sum(value) AS units
    FROM observed WHERE sku = ANY (%(skus)s::text[]) GROUP BY 1, 2, 3
    UNION ALL
    SELECT sku, location, 'allocated', sum(allocated) FROM observed WHERE sku = ANY (%(skus)s::text[]) GROUP BY 1, 2
), summed AS (SELECT sku, location, state, sum(units) AS units FROM seen GROUP BY 1, 2, 3)
SELECT s.sku, s.location, s.state, (s.units - coalesce(b.quantity, 0))::bigint AS gap, nextval('causal_seq') AS seq
FROM summed s LEFT JOIN balance b ON b.sku = s.sku AND b.location = s.location AND b.state = s.state
WHERE s.units <> coalesce(b.quantity, 0) ORDER BY s.sku, s.location, s.state;

-- name: mark_dirty
-- Notes SKUs to look at; waits for nobody.
INSERT INTO dirty (sku, priority, reason, seq, since)
SELECT sku, priority, reason, nextval('causal_seq'), since
FROM unnest(%(skus)s::text[], %(priorities)s::smallint[], %(reasons)s::text[], %(since)s::timestamptz[])
    AS t (sku, priority, reason, since);

-- name: take_dirty
-- Claims the most urgent names with every mark of theirs this snapshot shows; gone when the transaction commits.
DELETE FROM dirty WHERE id = ANY (ARRAY(
    SELECT id FROM dirty WHERE sku = ANY (ARRAY(SELECT sku FROM dirty ORDER BY priority, seq LIMIT %(limit)s))
    FOR UPDATE SKIP LOCKED))
RETURNING sku, priority, reason, seq;

-- name: kits_of
-- Kits that contain one of the SKUs, and other spellings of them.
SELECT sku FROM made_of WHERE component = ANY (%(skus)s::text[])
UNION SELECT storefront FROM sku_map WHERE master = ANY (%(skus)s::text[]);

-- name: count_dirty
-- How many names wait, and since when the oldest does.
SELECT count(DISTINCT sku) AS n, min(since) AS oldest FROM dirty;

-- name: insert_demand
-- Counts units as in flight; a line already counted is left alone.
INSERT INTO demand (order_id, line_id, sku, slot, label, channel, location, quantity, open_units, per_line, at)
SELECT order_id, line_id, sku, slot, label, channel, location, units, units, per_line, %(at)s
FROM unnest(%(order_id)s::text[], %(line_id)s::text[], %(sku)s::text[], %(slot)s::int[], %(label)s::text[],
    %(channel)s::text[], %(location)s::text[], %(units)s::bigint[], %(per_line)s::int[])
    AS t (order_id, line_id, sku, slot, label, channel, location, units, per_line)
ORDER BY order_id, line_id, sku, slot
ON CONFLICT (order_id, line_id, sku, slot) DO NOTHING
RETURNING order_id, line_id, sku, quantity AS units, location, evidence_seq;

-- name: drop_demand
-- Takes back the slots of lines that are about to be assigned anew; refuses to touch units with evidence.
DELETE FROM demand WHERE order_id = %(order_id)s AND evidenced_units = 0 AND (line_id, sku) IN (
    SELECT line_id, sku FROM unnest(%(line_id)s::text[], %(sku)s::text[]) AS t (line_id, sku));

-- name: demand_of_part
-- An order's unfinished units at one location, but for lines that another sale there carries; locked.
SELECT d.order_id, d.line_id, d.sku, d.slot, d.location, d.open_units, d.evidenced_units, d.evidence_seq, d.per_line
FROM demand d
WHERE order_id = %(order_id)s AND location = %(location)s AND line_id <> ALL (%(without)s::text[])
    AND NOT finished AND NOT settled
ORDER BY line_id, sku, slot FOR UPDATE;

-- name: set_evidence
-- Splits rows of an order into units in flight and units the master holds.
UPDATE demand AS d SET open_units = t.open_units, evidenced_units = t.evidenced_units, evidence_seq = t.evidence_seq,
    -- Evidence that is newer than the doubt says itself which readings contain it.
    doubt_seq = CASE WHEN t.evidence_seq = d.evidence_seq THEN d.doubt_seq END
FROM unnest(%(line_id)s::text[], %(sku)s::text[], %(slot)s::int[], %(open_units)s::bigint[],
    %(evidenced_units)s::bigint[], %(evidence_seq)s::bigint[])
    AS t (line_id, sku, slot, open_units, evidenced_units, evidence_seq)
WHERE d.order_id = %(order_id)s AND (d.line_id, d.sku, d.slot) = (t.line_id, t.sku, t.slot);

-- name: revoke_evidence
-- Puts evidenced units of an order (at one location, or everywhere) back in flight.
WITH before AS (
    SELECT order_id, line_id, sku, slot, evidenced_units FROM demand
    WHERE order_id = %(order_id)s AND (%(location)s::text IS NULL OR location = %(location)s)
        AND line_id <> ALL (%(without)s::text[]) AND evidenced_units > 0 AND NOT finished AND NOT settled ORDER BY line_id, sku, slot FOR UPDATE)
UPDATE demand d SET open_units = d.open_units + d.evidenced_units, evidenced_units = 0, evidence_seq = NULL,
    doubt_seq = NULL
FROM before b WHERE (d.order_id, d.line_id, d.sku, d.slot) = (b.order_id, b.line_id, b.sku, b.slot)
RETURNING d.order_id, d.line_id, d.sku, b.evidenced_units AS units, d.location, d.evidence_seq;

-- name: revoke_all_evidence
-- Puts every evidenced unit that has not shipped back in flight.
WITH before AS (
    SELECT order_id, line_id, sku, slot, evidenced_units FROM demand
    WHERE evidenced_units > 0 AND NOT finished AND NOT settled FOR UPDATE)
UPDATE demand d SET open_units = d.open_units + d.evidenced_units, evidenced_units = 0, evidence_seq = NULL,
    doubt_seq = NULL
FROM before b WHERE (d.order_id, d.line_id, d.sku, d.slot) = (b.order_id, b.line_id, b.sku, b.slot)
RETURNING d.order_id, d.line_id, d.sku, b.evidenced_units AS units, d.location, d.evidence_seq;

-- name: forget_baselines
-- Until it is read, nobody knows what an entry shows: no raise, no refill, and what happened so far counts with that
-- reading. Answers the SKUs.
UPDATE entry SET parked = 'base', parked_seq = %(seq)s, last_t = NULL, looked_q = NULL, looked_at = NULL, judged_at = NULL,
    baseline_at = greatest(baseline_at, %(at)s)
WHERE NOT gone RETURNING sku;

-- name: abandon_all_sweeps
-- Sets of another life prove nothing.
UPDATE sweep SET state = 'abandoned', cause = 'restored', finished_at = coalesce(finished_at, %(at)s)
WHERE state IN ('running', 'proving');

-- name: release_order
-- Drops every unit of an order that no master was ever told of.
UPDATE demand SET open_units = 0, finished = true, settled = true
WHERE order_id = %(order_id)s AND NOT settled AND evidenced_units = 0
RETURNING order_id, line_id, sku, quantity AS units, location, evidence_seq;

-- name: release_units
-- Drops never-sent units of some components of some lines.
WITH input AS (SELECT * FROM unnest(%(line_id)s::text[], %(sku)s::text[], %(units)s::bigint[]) AS t (line_id, sku, units)),
old AS (SELECT d.line_id, d.sku, d.slot, least(i.units, d.open_units) AS units FROM demand d JOIN input i USING (line_id, sku)
    WHERE d.order_id = %(order_id)s AND NOT d.settled ORDER BY d.line_id, d.sku, d.slot FOR UPDATE OF d)
UPDATE demand d SET open_units = d.open_units - o.units, quantity = d.quantity - o.units FROM old o
WHERE d.order_id = %(order_id)s AND (d.line_id, d.sku, d.slot) = (o.line_id, o.sku, o.slot)
RETURNING d.order_id, d.line_id, d.sku, o.units, d.location, d.evidence_seq;

-- name: cancel_demand
-- A cancel at the master was confirmed: all units count until a page read after it.
UPDATE demand SET evidenced_units = quantity, open_units = 0, finished = true, doubt_seq = NULL,
    evidence_seq = CASE WHEN quantity > 0 THEN %(seq)s::bigint END
WHERE order_id = %(order_id)s AND location = %(location)s AND line_id <> ALL (%(without)s::text[])
    AND NOT settled AND NOT finished
RETURNING order_id, line_id, sku, quantity AS units, location, evidence_seq;

-- name: split_demand
-- Some units of rows are cancelled while the rest goes on: they become rows of their own, in flight until the cancel is
-- visible (see units_visible). Those with evidence go last.
WITH input AS (
    SELECT line_id, sku, slot, units FROM unnest(%(line_id)s::text[], %(sku)s::text[], %(slot)s::int[], %(units)s::bigint[])
        AS t (line_id, sku, slot, units)
), source AS (
    SELECT d.*, i.units AS taken, least(i.units, d.open_units) AS from_open,
        (SELECT max(x.slot) FROM demand x WHERE (x.order_id, x.line_id, x.sku) = (d.order_id, d.line_id, d.sku))
            + row_number() OVER (PARTITION BY d.line_id, d.sku ORDER BY d.slot) AS fresh
    FROM demand d JOIN input i USING (line_id, sku, slot) WHERE d.order_id = %(order_id)s AND NOT d.finished
), less AS (
    UPDATE demand d SET quantity = d.quantity - s.taken, open_units = d.open_units - s.from_open,
        evidenced_units = d.evidenced_units - (s.taken - s.from_open),
        evidence_seq = CASE WHEN d.evidenced_units > s.taken - s.from_open THEN d.evidence_seq END,
        doubt_seq = CASE WHEN d.evidenced_units > s.taken - s.from_open THEN d.doubt_seq END,
        finished = d.quantity = s.taken, settled = d.quantity = s.taken
    FROM source s WHERE (d.order_id, d.line_id, d.sku, d.slot) = (s.order_id, s.line_id, s.sku, s.slot)
)
INSERT INTO demand (order_id, line_id, sku, slot, label, channel, location, quantity, open_units, finished, per_line, at)
SELECT order_id, line_id, sku, fresh, label, channel, location, taken, taken, true, per_line, at FROM source
RETURNING order_id, line_id, sku, slot, quantity AS units, location, evidence_seq;

-- name: units_visible
-- Cancelled units of these rows count until a page read after the causal number.
UPDATE demand d SET evidenced_units = d.open_units, open_units = 0, evidence_seq = %(seq)s::bigint
FROM unnest(%(line_id)s::text[], %(sku)s::text[], %(slot)s::int[]) AS t (line_id, sku, slot)
WHERE d.order_id = %(order_id)s AND (d.line_id, d.sku, d.slot) = (t.line_id, t.sku, t.slot) AND d.finished
    AND d.open_units > 0
RETURNING d.order_id, d.line_id, d.sku, d.quantity AS units, d.location, d.evidence_seq;

-- name: ship_demand
-- All units of the part are shipped: what was not evidenced yet, or in doubt, is evidenced by the shipment.
UPDATE demand SET finished = true, open_units = 0, evidenced_units = open_units + evidenced_units, doubt_seq = NULL,
    evidence_seq = CASE WHEN open_units > 0 OR doubt_seq IS NOT NULL THEN %(seq)s::bigint ELSE evidence_seq END
WHERE order_id = %(order_id)s AND location = %(location)s AND line_id <> ALL (%(without)s::text[])
    AND NOT settled AND NOT finished
RETURNING order_id, line_id, sku, quantity AS units, location, evidence_seq;

-- name: settle_demand
-- Retires finished rows that every reading of their SKU contains; places no longer read do not count.
UPDATE demand d SET settled = true FROM (
    SELECT d.order_id, d.line_id, d.sku, d.slot FROM demand d
    WHERE d.sku = ANY (%(skus)s::text[]) AND d.finished AND NOT d.settled AND d.open_units = 0
        AND (d.evidence_seq IS NULL OR d.evidence_seq < (SELECT min(o.a0) FROM observed o WHERE o.sku = d.sku
            AND o.location = ANY (%(locations)s::text[])))
    ORDER BY d.order_id, d.line_id, d.sku, d.slot FOR UPDATE OF d) AS done
WHERE (d.order_id, d.line_id, d.sku, d.slot) = (done.order_id, done.line_id, done.sku, done.slot);

-- name: contained_and_open
-- Unfinished units that count as contained, or will once newer readings are believed.
SELECT DISTINCT sku, order_id, location FROM demand
WHERE sku = ANY (%(skus)s::text[]) AND NOT finished AND NOT settled AND evidenced_units > 0 AND location IS NOT NULL;

-- name: worth_doubting
-- SKUs of a set, among those for which these sales (by SKU, order, location) stand in the way of a raise, that show no
-- less than now when the set is believed and the units of these sales count as in flight.
-- planned anew
WITH pair AS (
    SELECT sku, order_id, location FROM unnest(%(sku)s::text[], %(order_id)s::text[], %(location)s::text[])
        AS t (sku, order_id, location)
), name AS (SELECT DISTINCT sku FROM pair)
SELECT name.sku FROM name
CROSS JOIN LATERAL (
    SELECT coalesce(sum(CASE WHEN o.seen_a0 > r.a0 THEN o.value ELSE r.value END)
            FILTER (WHERE r.state = 'available'), 0) AS units, min(r.a0) AS a0
    FROM sweep_row r LEFT JOIN observed o USING (sku, location, part)
    WHERE r.sweep = %(sweep)s AND r.sku = name.sku) AS after
CROSS JOIN LATERAL (
    SELECT coalesce(sum(o.value) FILTER (WHERE o.state = 'available'), 0) AS units, coalesce(min(o.a0), 0) AS a0
    FROM observed o WHERE o.sku = name.sku) AS before
CROSS JOIN LATERAL (
    SELECT coalesce(sum(d.evidenced_units) FILTER (WHERE d.doubt_seq IS NOT NULL OR d.evidence_seq >= before.a0), 0)
            AS before,
        coalesce(sum(d.evidenced_units) FILTER (WHERE d.doubt_seq IS NOT NULL OR d.evidence_seq >= after.a0
            OR (NOT d.finished AND EXISTS (SELECT FROM pair p
                WHERE (p.sku, p.order_id, p.location) = (d.sku, d.order_id, d.location)))), 0) AS after
    FROM demand d WHERE d.sku = name.sku AND NOT d.settled AND d.evidenced_units > 0) AS flight
WHERE after.units - flight.after >= before.units - flight.before ORDER BY 1;

-- name: doubt
-- Evidenced units of these sales count as in flight until the sale is seen to hold them after this number.
UPDATE demand d SET doubt_seq = greatest(d.doubt_seq, %(seq)s::bigint) FROM (
    SELECT d.order_id, d.line_id, d.sku, d.slot FROM demand d
    JOIN unnest(%(sku)s::text[], %(order_id)s::text[], %(location)s::text[]) AS t (sku, order_id, location)
        USING (sku, order_id, location)
    WHERE NOT d.finished AND NOT d.settled AND d.evidenced_units > 0
    ORDER BY d.order_id, d.line_id, d.sku, d.slot FOR UPDATE OF d) AS mine
WHERE (d.order_id, d.line_id, d.sku, d.slot) = (mine.order_id, mine.line_id, mine.sku, mine.slot);

-- name: waiting_for_allocation
-- Orders with units at a location that no evidence covers.
SELECT DISTINCT order_id, location FROM demand
WHERE sku = ANY (%(skus)s::text[]) AND NOT finished AND NOT settled AND open_units > 0 AND location IS NOT NULL;

-- name: log_demand
-- Keeps the history of units in flight.
INSERT INTO demand_event (order_id, line_id, sku, kind, units, location, evidence_seq, at, causal_seq)
SELECT order_id, line_id, sku, kind, units, location, evidence_seq, at, nextval('causal_seq')
FROM unnest(%(order_id)s::text[], %(line_id)s::text[], %(sku)s::text[], %(kind)s::text[], %(units)s::bigint[],
    %(location)s::text[], %(evidence_seq)s::bigint[], %(at)s::timestamptz[])
    AS t (order_id, line_id, sku, kind, units, location, evidence_seq, at);

-- name: record_entry_facts
-- Appends facts of E that are new, on entries that exist. What a judged look already showed is in E by then. The lock
-- lets everybody pass but an entry's beginning anew, which counts all facts or none of those it does not wait for.
WITH told AS (
    SELECT * FROM unnest(%(sku)s::text[], %(channel)s::text[], %(kind)s::text[], %(quantity)s::bigint[],
        %(source)s::text[], %(resource)s::text[], %(line)s::text[], %(seq)s::bigint[], %(remote_at)s::timestamptz[])
        AS t (sku, channel, kind, quantity, source, resource, line, seq, remote_at)
), held AS (
    SELECT e.sku, e.channel, e.baseline_at, e.judged_at FROM entry e
    WHERE (e.sku, e.channel) IN (SELECT sku, channel FROM told) ORDER BY e.sku, e.channel FOR KEY SHARE
), input AS (
    SELECT t.* FROM told t JOIN held e USING (sku, channel)
    WHERE t.kind IN ('baseline', 'delta', 'drift') OR (t.remote_at > e.baseline_at
        AND (t.kind NOT IN ('foreign', 'restocked') OR e.judged_at IS NULL
            OR t.remote_at > e.judged_at - CASE t.kind WHEN 'restocked' THEN interval '12 seconds' ELSE interval '0' END))
), added AS (
    INSERT INTO entry_fact (sku, channel, kind, quantity, source, resource, line, seq, remote_at, at, causal_seq)
    SELECT sku, channel, kind, quantity, source, resource, line, seq, remote_at, %(at)s, nextval('causal_seq')
    FROM input ON CONFLICT DO NOTHING RETURNING sku, channel, quantity
), moved AS (
    INSERT INTO entry_pending (sku, channel, quantity) SELECT sku, channel, quantity FROM added RETURNING 1
)
SELECT sku, channel, quantity FROM added;

-- name: expected_too_early
-- Restocks of these lines that were expected before an entry was judged for the last time.
SELECT f.sku, f.channel, f.quantity, f.line FROM entry_fact f JOIN entry e USING (sku, channel)
WHERE f.kind = 'restocked' AND f.source = 'order' AND f.resource = %(resource)s AND f.line = ANY (%(line)s::text[])
    AND f.seq = 0 AND e.judged_at > f.remote_at ORDER BY f.sku, f.channel, f.line;

-- name: lock_entry
-- Nobody records a fact of this entry's E from here on; whoever is about to has ended.
SELECT FROM entry WHERE sku = %(sku)s AND channel = %(channel)s FOR UPDATE;

-- name: expected_at
-- What an entry should have shown at an instant, by every fact recorded so far.
SELECT (e.e + coalesce((SELECT sum(p.quantity) FROM entry_pending p WHERE (p.sku, p.channel) = (e.sku, e.channel)), 0)
    - coalesce((SELECT sum(f.quantity) FROM entry_fact f WHERE (f.sku, f.channel) = (e.sku, e.channel)
        AND f.remote_at > %(at)s), 0))::bigint FROM entry e WHERE sku = %(sku)s AND channel = %(channel)s;

-- name: begin_anew
-- The entry was made anew: what counts begins with its first number, and raises wait for newer readings.
UPDATE entry SET baseline_at = %(at)s, last_t = NULL, parked = 'base', parked_seq = nextval('causal_seq')
WHERE sku = %(sku)s AND channel = %(channel)s;

-- name: fold_entries
-- Moves pending quantities into their entries, of those nobody is busy with.
WITH waiting AS (
    SELECT DISTINCT sku, channel FROM (SELECT sku, channel FROM entry_pending LIMIT %(limit)s) AS p
), locked AS (
    SELECT e.sku, e.channel FROM entry e JOIN waiting USING (sku, channel) FOR NO KEY UPDATE OF e SKIP LOCKED
), gone AS (
    DELETE FROM entry_pending p USING locked l WHERE (p.sku, p.channel) = (l.sku, l.channel)
    RETURNING p.sku, p.channel, p.quantity
), sums AS (SELECT sku, channel, sum(quantity) AS units FROM gone GROUP BY 1, 2)
UPDATE entry e SET e = e.e + s.units FROM sums s WHERE (e.sku, e.channel) = (s.sku, s.channel);

-- name: see_entries
-- Notes what entries showed; an older look never replaces a newer one. After a restore a first look, which makes the new
-- baseline, waits until it is known what became of a write that is open.
WITH input AS (
    SELECT * FROM unnest(%(sku)s::text[], %(channel)s::text[], %(remote_id)s::text[], %(version)s::bigint[],
        %(quantity)s::bigint[], %(reserved)s::bigint[], %(typed)s::text[], %(backorder)s::bool[], %(last_op)s::text[],
        %(at)s::timestamptz[], %(seq)s::bigint[])
        AS t (sku, channel, remote_id, version, quantity, reserved, typed, backorder, last_op, at, seq)
), before AS (
    SELECT e.sku, e.channel, e.q_reserved, e.remote_id, e.q_seq FROM entry e JOIN input USING (sku, channel)),
put AS (
    INSERT INTO entry AS e (sku, channel, remote_id, version, typed, backorder, e, q, q_reserved, q_at, q_seq, last_op,
        baseline_at)
    SELECT sku, channel, remote_id, version, typed, backorder, 0, quantity, reserved, at, seq, last_op, at
    FROM input ORDER BY sku, channel
    ON CONFLICT (sku, channel) DO UPDATE SET remote_id = excluded.remote_id, version = excluded.version,
        typed = excluded.typed, backorder = excluded.backorder, q = excluded.q, q_reserved = excluded.q_reserved,
        q_at = excluded.q_at, q_seq = excluded.q_seq, last_op = excluded.last_op, gone = false,
        looked_q = CASE WHEN EXISTS (SELECT 1 FROM desired w WHERE (w.sku, w.channel) = (e.sku, e.channel)
            AND w.op IS NOT NULL) OR (e.parked = 'judge' AND e.looked_at IS NOT NULL) THEN e.looked_q ELSE excluded.q END,
        looked_at = CASE WHEN EXISTS (SELECT 1 FROM desired w WHERE (w.sku, w.channel) = (e.sku, e.channel)
            AND w.op IS NOT NULL) OR (e.parked = 'judge' AND e.looked_at IS NOT NULL) THEN e.looked_at ELSE excluded.q_at END
    WHERE e.q_seq < excluded.q_seq AND (e.version <= excluded.version OR e.remote_id <> excluded.remote_id)
        AND NOT (e.q_seq < coalesce((SELECT value::bigint FROM remembered WHERE name = 'restored'), 0)
            AND EXISTS (SELECT FROM desired w WHERE (w.sku, w.channel) = (e.sku, e.channel) AND w.op IS NOT NULL))
    RETURNING e.sku, e.channel, e.remote_id, e.q, e.q_at, e.q_seq, e.q_reserved)
SELECT p.sku, p.channel, p.remote_id, p.q, p.q_at, p.q_seq, b.sku IS NULL AS new, b.remote_id <> p.remote_id AS reborn,
    coalesce(b.q_seq < (SELECT value::bigint FROM remembered WHERE name = 'restored'), false) AS restored,
    coalesce(b.q_reserved, 0) <> p.q_reserved AS carts_changed
FROM put p LEFT JOIN before b USING (sku, channel);

-- name: entries_of
-- Everything about the entries of these SKUs.
SELECT * FROM entry_now WHERE sku = ANY (%(skus)s::text[]) ORDER BY sku, channel;

-- name: entries_that_differ
-- Entries whose E is not the sum of its facts (I8).
WITH facts AS (SELECT sku, channel, sum(quantity) AS units FROM entry_fact GROUP BY 1, 2),
pending AS (SELECT sku, channel, sum(quantity) AS units FROM entry_pending GROUP BY 1, 2)
SELECT e.sku, e.channel, (e.e + coalesce(p.units, 0))::bigint AS e, coalesce(f.units, 0)::bigint AS facts
FROM entry e LEFT JOIN facts f USING (sku, channel) LEFT JOIN pending p USING (sku, channel)
WHERE e.e + coalesce(p.units, 0) <> coalesce(f.units, 0) LIMIT 100;

-- name: start_sweep
-- Opens a sweep.
INSERT INTO sweep (id, master, scope, state, started_at) VALUES (%(id)s, %(master)s, %(scope)s, 'running', %(at)s);

-- name: abandon_sweeps
-- Ends earlier walks of a scope that are not over; what they lowered stays.
UPDATE sweep SET state = 'abandoned', cause = 'superseded', finished_at = coalesce(finished_at, %(at)s)
WHERE master = %(master)s AND scope = %(scope)s AND state = 'running';

-- name: give_up_waiting
-- Ends complete sets that have waited for long, and all that newer ones of one SKU take the place of.
UPDATE sweep o SET state = 'abandoned', cause = 'superseded' FROM sweep n
WHERE n.id = %(sweep)s AND o.master = n.master AND o.state = 'proving' AND o.id <> n.id
    AND (o.finished_at < %(before)s OR (o.scope = n.scope AND n.scope <> ''));

-- name: forget_other_rows
-- What still waits in an older complete set counts no more where a newer one shows other rows: one that is gone may hold
-- nothing, one that has come may be below nothing, and neither would be seen beside the old ones.
-- planned anew
WITH head AS (SELECT id, master, scope, first_a0 FROM sweep WHERE id = %(sweep)s),
waiting AS (
    SELECT r.sweep, r.sku, r.location, r.part FROM head h
    JOIN sweep s ON s.master = h.master AND s.state = 'proving' AND s.id <> h.id AND s.first_a0 < h.first_a0
    JOIN sweep_row r ON r.sweep = s.id
    WHERE h.scope IN ('', r.sku) OR EXISTS (SELECT FROM sweep_row n WHERE n.sweep = h.id AND n.sku = r.sku)
), other AS (
    SELECT w.sweep, w.sku FROM waiting w WHERE NOT EXISTS (SELECT FROM sweep_row n
        WHERE (n.sweep, n.sku, n.location, n.part) = (%(sweep)s, w.sku, w.location, w.part))
    UNION
    SELECT w.sweep, w.sku FROM (SELECT DISTINCT sweep, sku FROM waiting) AS w
    JOIN sweep_row n ON n.sweep = %(sweep)s AND n.sku = w.sku
    WHERE NOT EXISTS (SELECT FROM sweep_row r
        WHERE (r.sweep, r.sku, r.location, r.part) = (w.sweep, w.sku, n.location, n.part))
)
DELETE FROM sweep_row r USING other WHERE (r.sweep, r.sku) = (other.sweep, other.sku);

-- name: touch_sweep
-- Counts a page.
UPDATE sweep SET first_a0 = least(coalesce(first_a0, %(a0)s), %(a0)s), last_a1 = greatest(coalesce(last_a1, 0), %(a1)s),
    rows_seen = rows_seen + %(rows)s WHERE id = %(id)s AND state = 'running';

-- name: add_sweep_rows
-- Keeps a page's rows; a row that came twice keeps the lower number and spoils the proof.
-- planned anew
WITH input AS (
    SELECT sku, location, part, min(state) AS state, min(value) AS value, min(allocated) AS allocated,
        count(*)::int - 1 AS again
    FROM unnest(%(sku)s::text[], %(location)s::text[], %(part)s::text[], %(state)s::text[], %(value)s::bigint[],
        %(allocated)s::bigint[]) AS t (sku, location, part, state, value, allocated) GROUP BY sku, location, part
)
INSERT INTO sweep_row AS r (sweep, sku, location, part, state, value, allocated, a0, a1, again)
SELECT %(sweep)s, sku, location, part, state, value, allocated, %(a0)s, %(a1)s, again FROM input
ON CONFLICT (sweep, sku, location, part) DO UPDATE SET value = least(r.value, excluded.value),
    a0 = least(r.a0, excluded.a0), again = r.again + excluded.again + 1;

-- name: forget_location_rows
-- A location is read from the beginning.
-- planned anew
DELETE FROM sweep_row WHERE sweep = %(sweep)s AND location = %(location)s;

-- name: apply_lowers
-- What a page shows lower counts at once; the row's causal number stays until the set is complete.
-- planned anew
WITH lower AS (
    SELECT o.sku, o.location, o.part, o.master, o.value AS value_before, r.value, r.state, r.allocated, r.a0, r.a1
    FROM sweep_row r JOIN observed o USING (sku, location, part)
    WHERE r.sweep = %(sweep)s AND r.a0 = %(a0)s AND r.a0 > greatest(o.a0, o.seen_a0)
        AND (r.value < o.value OR (o.state = 'available' AND r.state <> 'available'))
    ORDER BY o.sku, o.location, o.part FOR UPDATE OF o)
UPDATE observed o SET value = l.value, state = l.state, allocated = l.allocated, seen_a0 = l.a0, observed_at = %(at)s
FROM lower l WHERE (o.sku, o.location, o.part) = (l.sku, l.location, l.part)
RETURNING o.sku, o.location, o.part, o.state, o.master, l.value_before, o.value, l.a0, l.a1;

-- name: lower_waiting
-- What a page shows lower counts at once in numbers of other sets that are not believed yet, too: else a raise proved
-- late would undo a fall that was seen since. Looked up row by row (LIMIT 1): the planner knows nothing of new sets.
-- planned anew
UPDATE sweep_row w SET value = least(w.value, hit.value), state = CASE WHEN w.state = 'available' THEN hit.state ELSE w.state END
FROM (
    SELECT o.sweep, o.sku, o.location, o.part, n.value, n.state
    FROM sweep s CROSS JOIN sweep_row n CROSS JOIN LATERAL (
        SELECT * FROM sweep_row r WHERE (r.sweep, r.sku, r.location, r.part) = (s.id, n.sku, n.location, n.part) LIMIT 1) AS o
    WHERE s.state IN ('running', 'proving') AND s.id <> n.sweep AND n.sweep = %(sweep)s AND n.a0 = %(a0)s
        AND o.a0 < n.a0 AND (n.value < o.value OR (o.state = 'available' AND n.state <> 'available'))) AS hit
WHERE (w.sweep, w.sku, w.location, w.part) = (hit.sweep, hit.sku, hit.location, hit.part);

-- name: lower_late
-- A page that is handled late counts as lower where newer pages of other sets showed less meanwhile, whatever became of
-- those sets. Row by row, and no join that could be turned round: taken for a single row, a page of a new set would have it
-- done anew for each of them.
-- planned anew
UPDATE sweep_row w SET (value, state) = (
    SELECT least(w.value, min(r.value)),
        CASE WHEN w.state = 'available' THEN coalesce(max(r.state) FILTER (WHERE r.state <> 'available'), w.state) ELSE w.state END
    FROM sweep_row r WHERE (r.sku, r.location, r.part) = (w.sku, w.location, w.part) AND r.a0 > w.a0 AND r.sweep <> w.sweep)
WHERE w.sweep = %(sweep)s AND w.a0 = %(a0)s AND EXISTS (SELECT FROM sweep WHERE last_a1 > %(a0)s AND id <> %(sweep)s) AND EXISTS (
    SELECT FROM sweep_row r WHERE (r.sku, r.location, r.part) = (w.sku, w.location, w.part) AND r.a0 > w.a0 AND r.sweep <> w.sweep
        AND (r.value < w.value OR (w.state = 'available' AND r.state <> 'available')));

-- name: sweep_head
-- One sweep.
SELECT id, master, scope, state, first_a0, last_a1, rows_seen, started_at, finished_at FROM sweep
WHERE id = %(id)s FOR UPDATE;

-- name: forget_abandoned_rows
-- What a set that came to nothing showed is kept as long as an older page may still come; who comes later proves nothing.
-- planned anew
WITH past AS (
    UPDATE sweep s SET forgotten = true
    WHERE master = %(master)s AND state = 'abandoned' AND NOT forgotten AND finished_at < %(before)s AND NOT EXISTS (
        SELECT FROM sweep o WHERE o.master = s.master AND o.state IN ('running', 'proving') AND o.first_a0 < s.last_a1)
    RETURNING id)
DELETE FROM sweep_row WHERE sweep IN (SELECT id FROM past);

-- name: past_memory
-- Whether a set began before readings that are forgotten: what they showed less of cannot be held against it.
SELECT EXISTS (SELECT FROM sweep o WHERE o.forgotten AND o.master = s.master AND o.last_a1 > s.first_a0)
FROM sweep s WHERE s.id = %(sweep)s;

-- name: sweep_duplicates
-- How often rows of a sweep came once more.
-- planned anew
SELECT coalesce(sum(again), 0)::bigint FROM sweep_row WHERE sweep = %(sweep)s;

-- name: set_sweep_state
-- Moves a sweep on.
UPDATE sweep SET state = %(state)s, cause = %(cause)s, finished_at = coalesce(finished_at, %(at)s) WHERE id = %(id)s;

-- name: sweep_suspects
-- SKUs with a row that sold something and was not shown. Rows of other states, and what was only allocated, change
-- no number of the storefront: they are believed gone with the set.
-- planned anew
SELECT DISTINCT o.sku FROM observed o JOIN sweep s ON s.id = %(sweep)s AND s.master = o.master
WHERE s.scope = '' AND o.location = ANY (%(locations)s::text[]) AND o.state = 'available' AND o.value <> 0
    AND NOT EXISTS (SELECT 1 FROM sweep_row r WHERE r.sweep = s.id
        AND (r.sku, r.location, r.part) = (o.sku, o.location, o.part))
ORDER BY 1;

-- name: sweep_raises
-- SKUs for which a set shows, at any one location, more than the last proven number less what newly counts as contained:
-- units that came free at one place while as many went at another would raise a pool that has only the first. Looked up
-- SKU by SKU: the planner knows nothing of a set that is new, and a join of everything with everything never ends.
-- planned anew
SELECT n.sku FROM (SELECT sku, min(a0) AS a0 FROM sweep_row WHERE sweep = %(sweep)s GROUP BY sku) AS n
CROSS JOIN LATERAL (SELECT min(p.a0) AS a0 FROM observed p WHERE p.sku = n.sku) AS o
WHERE EXISTS (SELECT FROM (
    SELECT r.location, r.value AS units FROM sweep_row r
    WHERE r.sweep = %(sweep)s AND r.sku = n.sku AND r.state = 'available'
    UNION ALL
    SELECT p.location, -p.proven FROM observed p WHERE p.sku = n.sku AND p.state = 'available'
    UNION ALL
    SELECT d.location, d.evidenced_units FROM demand d WHERE d.sku = n.sku AND NOT d.settled
        AND d.evidence_seq < n.a0 AND d.evidence_seq >= coalesce(o.a0, 0)) AS m
    GROUP BY m.location HAVING sum(m.units) > 0) ORDER BY 1;

-- name: observed_keys
-- How many rows of the locations have a number.
SELECT count(*) FROM observed WHERE location = ANY (%(locations)s::text[]) AND value <> 0;

-- name: sweep_pieces
-- SKUs at which a set is cut into pieces of about so many rows.
-- planned anew
SELECT DISTINCT sku FROM (
    SELECT sku, row_number() OVER (ORDER BY sku) AS place FROM sweep_row WHERE sweep = %(sweep)s) AS numbered
WHERE mod(place, %(rows)s) = 0 ORDER BY sku;

-- name: apply_set
-- Rows of a complete set, or of a piece of it, take its numbers, unless a newer page showed less meanwhile; answers those
-- that changed, or in which units are newly contained or done with.
-- planned anew
WITH put AS (
    INSERT INTO observed AS o (sku, location, part, master, state, value, proven, allocated, a0, a1, observed_at)
    SELECT r.sku, r.location, r.part, s.master, r.state, r.value, r.value, r.allocated, r.a0, r.a1, %(at)s
    FROM sweep_row r JOIN sweep s ON s.id = r.sweep
    WHERE r.sweep = %(sweep)s AND r.sku <> ALL (%(without)s::text[]) AND (%(after)s::text IS NULL OR r.sku > %(after)s)
        AND (%(until)s::text IS NULL OR r.sku <= %(until)s) ORDER BY r.sku, r.location, r.part
    ON CONFLICT (sku, location, part) DO UPDATE SET
        state = CASE WHEN o.seen_a0 > excluded.a0 THEN o.state ELSE excluded.state END,
        value = CASE WHEN o.seen_a0 > excluded.a0 THEN o.value ELSE excluded.value END,
        allocated = CASE WHEN o.seen_a0 > excluded.a0 THEN o.allocated ELSE excluded.allocated END,
        proven = excluded.value, a0 = excluded.a0, a1 = excluded.a1, observed_at = excluded.observed_at,
        value_before = o.value, a0_before = o.a0
    WHERE o.a0 < excluded.a0
    RETURNING o.sku, o.location, o.part, o.state, o.master, o.value, o.a0, o.a1, o.value_before, o.a0_before)
SELECT p.* FROM put p
WHERE p.value <> p.value_before OR EXISTS (SELECT FROM demand d WHERE d.sku = p.sku AND NOT d.settled
    AND (d.finished OR d.evidence_seq >= p.a0_before));

-- name: zero_absent
-- An exact, complete answer for these SKUs: rows it did not show are zero at its causal number.
-- planned anew
WITH gone AS (
    SELECT o.sku, o.location, o.part, o.value, s.first_a0, s.last_a1 FROM observed o
    JOIN sweep s ON s.id = %(sweep)s AND s.master = o.master
    WHERE o.sku = ANY (%(skus)s::text[]) AND o.a0 < s.first_a0
        AND NOT EXISTS (SELECT 1 FROM observed n WHERE n.sku = o.sku AND n.a0 > s.first_a0) AND NOT EXISTS (SELECT 1 FROM sweep_row r
        WHERE r.sweep = s.id AND (r.sku, r.location, r.part) = (o.sku, o.location, o.part))
    ORDER BY o.sku, o.location, o.part FOR UPDATE OF o)
UPDATE observed o SET value = CASE WHEN o.seen_a0 > g.first_a0 THEN o.value ELSE 0 END, proven = 0,
    allocated = CASE WHEN o.seen_a0 > g.first_a0 THEN o.allocated ELSE 0 END, a0 = g.first_a0, a1 = g.last_a1,
    observed_at = %(at)s
FROM gone g WHERE (o.sku, o.location, o.part) = (g.sku, g.location, g.part)
RETURNING o.sku, o.location, o.part, o.state, o.master, o.value, o.a0, o.a1, g.value AS value_before;

-- name: absent_still_zero
-- Rows that sold nothing and are not in a complete set hold nothing any more, proven at the set's first causal number.
-- planned anew
UPDATE observed o SET a0 = s.first_a0, a1 = s.last_a1, value = 0, proven = 0, allocated = 0 FROM sweep s
WHERE s.id = %(sweep)s AND o.master = s.master AND o.location = ANY (%(locations)s::text[])
    AND (o.value = 0 OR o.state <> 'available') AND o.a0 < s.first_a0 AND o.sku <> ALL (%(without)s::text[])
    AND (%(only)s::text[] IS NULL OR o.sku = ANY (%(only)s::text[])) AND NOT EXISTS (SELECT 1 FROM sweep_row r
        WHERE r.sweep = s.id AND (r.sku, r.location, r.part) = (o.sku, o.location, o.part));

-- name: gone_unsold
-- Rows of other states that had units and are not in a complete set; taken as gone by the same set.
-- planned anew
WITH gone AS (
    SELECT o.sku, o.location, o.part, o.value FROM observed o JOIN sweep s ON s.id = %(sweep)s AND o.master = s.master
    WHERE o.location = ANY (%(locations)s::text[]) AND o.state <> 'available' AND o.value <> 0 AND o.a0 < s.first_a0
        AND o.sku <> ALL (%(without)s::text[]) AND (%(only)s::text[] IS NULL OR o.sku = ANY (%(only)s::text[]))
        AND NOT EXISTS (SELECT 1 FROM sweep_row r
            WHERE r.sweep = s.id AND (r.sku, r.location, r.part) = (o.sku, o.location, o.part))
    ORDER BY o.sku, o.location, o.part FOR UPDATE OF o)
UPDATE observed o SET value = 0, allocated = 0 FROM gone g
WHERE (o.sku, o.location, o.part) = (g.sku, g.location, g.part)
RETURNING o.sku, o.location, o.part, o.state, o.master, o.value, o.a0, o.a1, g.value AS value_before;

-- name: seen_again
-- Suspects that a later complete set shows are suspects no more.
-- planned anew
DELETE FROM suspect u WHERE u.sku <> ALL (%(suspects)s::text[])
    AND EXISTS (SELECT 1 FROM sweep_row r WHERE r.sweep = %(sweep)s AND r.sku = u.sku);

-- name: forget_sweep_rows
-- Takes SKUs out of a set.
-- planned anew
DELETE FROM sweep_row WHERE sweep = %(sweep)s AND sku = ANY (%(skus)s::text[]);

-- name: forget_applied_rows
-- Rows of a set that were believed need not be kept.
-- planned anew
DELETE FROM sweep_row WHERE sweep = %(sweep)s AND sku <> ALL (%(waiting)s::text[]);

-- name: zero_skus
-- Shows nothing of these SKUs until they are read again; their causal numbers stay.
WITH old AS (SELECT sku, location, part, value FROM observed WHERE sku = ANY (%(skus)s::text[]) AND value > 0
    ORDER BY sku, location, part FOR UPDATE)
UPDATE observed o SET value = 0, observed_at = %(at)s FROM old
WHERE (o.sku, o.location, o.part) = (old.sku, old.location, old.part)
RETURNING o.sku, o.location, o.part, o.state, o.master, old.value AS value_before, o.value, o.a0, o.a1;

-- name: add_suspects
-- SKUs to read again before their absence is believed.
INSERT INTO suspect (sku, since, deadline, sweep)
SELECT sku, %(at)s, %(deadline)s, %(sweep)s FROM unnest(%(skus)s::text[]) AS t (sku) ON CONFLICT (sku) DO NOTHING;

-- name: clear_suspects
-- The SKUs were read.
DELETE FROM suspect WHERE sku = ANY (%(skus)s::text[]);

-- name: sweep_skus
-- SKUs a set shows.
-- planned anew
SELECT DISTINCT sku FROM sweep_row WHERE sweep = %(sweep)s ORDER BY 1;

-- name: forget_overtaken_rows
-- What newer believed readings have overtaken waits for nothing any more.
-- planned anew
DELETE FROM sweep_row WHERE sweep = %(sweep)s AND sku = ANY (ARRAY(
    SELECT r.sku FROM sweep_row r CROSS JOIN LATERAL (
        SELECT a0 FROM observed o WHERE (o.sku, o.location, o.part) = (r.sku, r.location, r.part) LIMIT 1) AS o
    WHERE r.sweep = %(sweep)s AND o.a0 >= r.a0));

-- name: risers
-- SKUs that a set would let rise if it proved anything: those whose entries show least and that differ most, and those
-- that wait for a proof the longest.
-- planned anew
SELECT sku, scarce FROM (
    SELECT n.sku, w.shows <= %(low_mark)s AS scarce,
        row_number() OVER (ORDER BY w.shows > %(low_mark)s, n.more + coalesce(c.units, 0) DESC, n.sku) AS worth,
        row_number() OVER (ORDER BY n.proven_a0, n.sku) AS turn
    FROM (
        SELECT r.sku, sum(r.value - coalesce(o.value, 0)) AS more, min(r.a0) AS a0, min(coalesce(o.a0, 0)) AS proven_a0
        FROM sweep_row r LEFT JOIN observed o USING (sku, location, part)
        WHERE r.sweep = %(sweep)s AND r.state = 'available' GROUP BY r.sku) AS n
    CROSS JOIN LATERAL (SELECT min(t) AS shows FROM desired d WHERE d.sku = n.sku) AS w
    LEFT JOIN LATERAL (
        SELECT sum(d.evidenced_units) AS units FROM demand d WHERE d.sku = n.sku AND NOT d.settled
            AND d.doubt_seq IS NULL AND d.evidence_seq < n.a0 AND d.evidence_seq >= n.proven_a0) AS c ON true
    WHERE n.more + coalesce(c.units, 0) > 0) AS rising
WHERE worth <= %(most)s OR turn <= %(oldest)s ORDER BY worth;

-- name: near
-- The beginning of a SKU's name that most other names wished for share while all rows known under it fit into one
-- answer; the longest of those, none when no other name fits.
SELECT left(%(sku)s, n) AS beginning FROM generate_series(1, length(%(sku)s)) AS n
CROSS JOIN LATERAL (SELECT count(*) AS rows FROM observed o WHERE starts_with(o.sku, left(%(sku)s, n))) AS known
CROSS JOIN LATERAL (SELECT count(*) AS wishes FROM unnest(%(wished)s::text[]) AS w (sku)
    WHERE w.sku <> %(sku)s AND starts_with(w.sku, left(%(sku)s, n))) AS share
WHERE known.rows <= %(rows)s AND share.wishes > 0
ORDER BY share.wishes DESC, n DESC LIMIT 1;

-- name: overdue_suspects
-- Suspects not read in time.
SELECT sku FROM suspect WHERE deadline <= %(now)s ORDER BY sku;

-- name: last_applied
-- The newest complete sweep of everything.
SELECT id, finished_at, last_a1 FROM sweep WHERE master = %(master)s AND scope = '' AND state IN ('proving', 'applied')
ORDER BY last_a1 DESC LIMIT 1;

-- name: proving_sweeps
-- Complete sets with raises that wait.
SELECT id, scope, last_a1 FROM sweep WHERE master = %(master)s AND state = 'proving' ORDER BY last_a1, id;

-- name: prune_sweeps
-- Old sweeps that matter no more.
DELETE FROM sweep WHERE state IN ('applied', 'abandoned') AND finished_at < %(before)s
    AND id <> coalesce((SELECT id FROM sweep WHERE scope = '' AND state = 'applied' ORDER BY last_a1 DESC LIMIT 1), '');

-- name: log_observations
-- Keeps the history of observed numbers.
INSERT INTO observation (sku, location, part, state, value_before, value, a0, a1, sweep, at, causal_seq)
SELECT sku, location, part, state, value_before, value, a0, a1, %(sweep)s, %(at)s, nextval('causal_seq')
FROM unnest(%(sku)s::text[], %(location)s::text[], %(part)s::text[], %(state)s::text[], %(value_before)s::bigint[],
    %(value)s::bigint[], %(a0)s::bigint[], %(a1)s::bigint[])
    AS t (sku, location, part, state, value_before, value, a0, a1);

-- name: sight
-- What the numbers of these SKUs are made of, components of kits included, as one JSON value: one statement sees one
-- snapshot. The order of the columns is that of numbers.Sight.
WITH made AS MATERIALIZED (
    SELECT sku, component, units FROM made_of WHERE sku = ANY (%(skus)s::text[])
), names AS MATERIALIZED (
    SELECT array_agg(DISTINCT sku) AS list
    FROM (SELECT unnest(%(skus)s::text[]) AS sku UNION ALL SELECT component FROM made) AS every
)
SELECT json_build_array(
    (SELECT coalesce(json_agg(json_build_array(sku, channel, remote_id, version, typed, e, q, q_reserved, q_at, q_seq,
        last_t, parked, terms) ORDER BY sku, channel), '[]') FROM entry_now WHERE sku = ANY (%(skus)s::text[])),
    (SELECT coalesce(json_agg(json_build_array(sku, component, units) ORDER BY sku, component), '[]') FROM made),
    (SELECT coalesce(json_agg(json_build_array(sku, json_build_array(location, available, a0, observed_at, left_out))
        ORDER BY sku, location), '[]') FROM reading_now WHERE sku = ANY ((SELECT list FROM names)::text[])),
    (SELECT coalesce(json_agg(json_build_array(sku, json_build_array(order_id, label, location, channel, open_units,
        evidenced_units, evidence_seq, doubt_seq IS NOT NULL)) ORDER BY sku, at, order_id, line_id, slot), '[]') FROM demand
        WHERE sku = ANY ((SELECT list FROM names)::text[]) AND NOT settled AND open_units + evidenced_units > 0),
    (SELECT coalesce(json_agg(json_build_array(sku, json_build_array(id, pool, units, reason)) ORDER BY sku, id), '[]') FROM hold
        WHERE sku = ANY ((SELECT list FROM names)::text[]) AND ended_at IS NULL
            AND (expires_at IS NULL OR expires_at > %(now)s)),
    (SELECT coalesce(json_agg(json_build_array((value ->> 'units')::int, key[2], key[3], nullif(key[4], '*')) ORDER BY key),
        '[]') FROM said WHERE key[1] = 'buffers' AND (key[2] = '' OR key[2] = ANY ((SELECT list FROM names)::text[]))),
    (SELECT coalesce(json_agg(json_build_array(sku, channel, units) ORDER BY sku, channel), '[]') FROM (
        SELECT sku, channel, sum(units)::bigint AS units FROM adjustment
        WHERE sku = ANY (%(skus)s::text[]) AND NOT aside GROUP BY sku, channel HAVING sum(units) <> 0) AS due)
)::text;

-- name: recipes_of
-- Recipes of those of the SKUs that are kits.
SELECT sku, component, units FROM made_of WHERE sku = ANY (%(skus)s::text[]);

-- name: products_of
-- What the master's catalogue knows of these SKUs, exactly or but for case and blanks.
SELECT sku, normal, name, sellable, service, kit, fault FROM product
WHERE sku = ANY (%(skus)s::text[]) OR normal = ANY (%(normal)s::text[]);

-- name: put_products
-- Catalogue rows as the master shows them.
INSERT INTO product (sku, normal, name, sellable, service, kit, fault, seen_at)
SELECT sku, normal, name, sellable, service, kit, fault, %(at)s
FROM unnest(%(sku)s::text[], %(normal)s::text[], %(name)s::text[], %(sellable)s::bool[], %(service)s::bool[],
    %(kit)s::bool[], %(fault)s::text[]) AS t (sku, normal, name, sellable, service, kit, fault) ORDER BY sku
ON CONFLICT (sku) DO UPDATE SET normal = excluded.normal, name = excluded.name, sellable = excluded.sellable,
    service = excluded.service, kit = excluded.kit, fault = excluded.fault, seen_at = excluded.seen_at;

-- name: note_products
-- SKUs of which nothing more is known than that a warehouse has them.
INSERT INTO product (sku, normal, name, sellable, service, kit, fault, seen_at)
SELECT sku, normal, '', true, false, false, '', %(at)s FROM unnest(%(sku)s::text[], %(normal)s::text[]) AS t (sku, normal)
ORDER BY sku ON CONFLICT (sku) DO NOTHING;

-- name: recipe_now
-- The stored recipe of a kit.
SELECT component, units, version FROM recipe WHERE sku = %(sku)s ORDER BY component;

-- name: drop_recipe
-- Forgets a recipe.
DELETE FROM recipe WHERE sku = %(sku)s;

-- name: put_recipe
-- A kit's recipe at a new version.
INSERT INTO recipe (sku, component, units, version)
SELECT %(sku)s, component, units, %(version)s FROM unnest(%(components)s::text[], %(units)s::bigint[]) AS t (component, units);

-- name: put_sku_map
-- Makes the map this one and answers the storefront's SKUs that were added, changed or removed.
WITH input AS (SELECT * FROM unnest(%(storefront)s::text[], %(master)s::text[]) AS t (storefront, master)),
gone AS (DELETE FROM sku_map m WHERE NOT EXISTS (SELECT FROM input i WHERE i.storefront = m.storefront) RETURNING m.storefront),
put AS (
    INSERT INTO sku_map AS m (storefront, master) SELECT storefront, master FROM input ORDER BY storefront
    ON CONFLICT (storefront) DO UPDATE SET master = excluded.master WHERE m.master <> excluded.master
    RETURNING m.storefront)
SELECT storefront FROM gone UNION ALL SELECT storefront FROM put ORDER BY storefront;

-- name: count_products
-- How many products the catalogue has.
SELECT count(*) FROM product;

-- name: movements_of
-- Newest facts of the ledger about one SKU up to an instant.
SELECT at, causal_seq, source, resource, kind, quantity, from_location, from_state, to_location, to_state FROM movement
WHERE sku = %(sku)s AND at <= %(at)s ORDER BY id DESC LIMIT %(limit)s;

-- name: observations_of
-- Newest changes of the master's numbers of one SKU up to an instant.
SELECT at, causal_seq, location, part, state, value_before, value, a0, a1, sweep FROM observation
WHERE sku = %(sku)s AND at <= %(at)s ORDER BY id DESC LIMIT %(limit)s;

-- name: demand_events_of
-- Newest changes of units in flight of one SKU up to an instant.
SELECT at, causal_seq, order_id, line_id, kind, units, location, evidence_seq FROM demand_event
WHERE sku = %(sku)s AND at <= %(at)s ORDER BY id DESC LIMIT %(limit)s;

-- name: demand_events_of_order
-- What happened to the units of one order.
SELECT at, causal_seq, sku, line_id, kind, units, location, evidence_seq FROM demand_event
WHERE order_id = %(order_id)s ORDER BY id;

-- name: entry_facts_of
-- Newest facts of one entry's E up to an instant.
SELECT at, remote_at, causal_seq, kind, quantity, source, resource, line FROM entry_fact
WHERE sku = %(sku)s AND channel = %(channel)s AND at <= %(at)s ORDER BY id DESC LIMIT %(limit)s;

-- name: entry_e_at
-- What an entry was to show, at an instant of the past.
SELECT coalesce(sum(quantity), 0)::bigint FROM entry_fact WHERE (sku, channel) = (%(sku)s, %(channel)s) AND at <= %(at)s;

-- name: explained_before
-- The terms of a number as they stood at an instant.
SELECT at, causal_seq, terms FROM explained
WHERE sku = %(sku)s AND channel = %(channel)s AND at <= %(at)s ORDER BY id DESC LIMIT 1;

-- name: log_explained
-- Keeps the terms of numbers that changed.
INSERT INTO explained (sku, channel, at, causal_seq, terms)
SELECT sku, channel, %(at)s, nextval('causal_seq'), terms::jsonb
FROM unnest(%(sku)s::text[], %(channel)s::text[], %(terms)s::text[]) AS t (sku, channel, terms);

-- name: prune_explained
-- Explanations past their keep.
DELETE FROM explained WHERE at < %(before)s;

-- name: balances_of
-- Units by location and state of one SKU.
SELECT location, state, quantity FROM balance WHERE sku = %(sku)s AND location <> '' AND quantity <> 0 ORDER BY 1, 2;

-- name: place_hold
-- Holds units of a pool back.
INSERT INTO hold (id, sku, pool, units, reason, actor, placed_at, expires_at)
VALUES (%(id)s, %(sku)s, %(pool)s, %(units)s, %(reason)s, %(actor)s, %(at)s, %(expires_at)s)
ON CONFLICT (id) DO UPDATE SET units = excluded.units, expires_at = excluded.expires_at;

-- name: end_hold
-- Gives held units back.
UPDATE hold SET ended_at = %(at)s WHERE id = %(id)s AND ended_at IS NULL RETURNING sku;

-- name: birth
-- When this database was born, and when it was last restored from a backup.
SELECT min(applied_at) AS born, (SELECT at FROM remembered WHERE name = 'restored') AS restored FROM schema_migration;

-- name: relocate_demand
-- An order's units are served from another location.
UPDATE demand SET location = %(after)s WHERE order_id = %(order_id)s AND location = %(before)s
    AND line_id <> ALL (%(without)s::text[]) AND NOT settled
RETURNING order_id, line_id, sku, quantity AS units, location, evidence_seq;

-- name: buffered_skus
-- SKUs of entries that a buffer of a component, a mapped SKU, or ('') of everything concerns.
SELECT DISTINCT e.sku FROM entry e WHERE NOT e.gone AND (%(sku)s = '' OR e.sku = %(sku)s
    OR e.sku IN (SELECT m.sku FROM made_of m WHERE m.component = %(sku)s)) ORDER BY 1;

-- name: record_adjustments
-- Units owed to numbers that commercetools is the master of. While a restored database is read again nobody knows what
-- was written before, so that they are only kept.
WITH life AS (SELECT EXISTS (SELECT FROM cases WHERE kind = 'restored' AND state <> 'resolved') AS unsure)
INSERT INTO adjustment (sku, channel, units, source, resource, line, aside, at, causal_seq)
SELECT sku, channel, units, 'order', resource, line, life.unsure, %(at)s, nextval('causal_seq')
FROM life, unnest(%(sku)s::text[], %(channel)s::text[], %(units)s::bigint[], %(resource)s::text[], %(line)s::text[])
    AS t (sku, channel, units, resource, line)
RETURNING sku, channel, units, resource, line, aside;

-- name: adjustments_written
-- Writes that paid what was owed.
INSERT INTO adjustment (sku, channel, units, source, resource, at, causal_seq)
SELECT sku, channel, -units, 'write', resource, %(at)s, nextval('causal_seq')
FROM unnest(%(sku)s::text[], %(channel)s::text[], %(units)s::bigint[], %(resource)s::text[])
    AS t (sku, channel, units, resource) WHERE units <> 0
ON CONFLICT (resource) WHERE source = 'write' DO NOTHING;

-- name: forgive_adjustments
-- After a restore nobody knows what of it was written since the backup: nothing is owed any more. Answers what was.
WITH due AS (SELECT sku, channel, sum(units)::bigint AS units FROM adjustment WHERE NOT aside GROUP BY 1, 2 HAVING sum(units) <> 0),
forgiven AS (
    INSERT INTO adjustment (sku, channel, units, source, resource, at, causal_seq)
    SELECT sku, channel, -units, 'restore', %(seq)s::bigint::text, %(at)s, nextval('causal_seq') FROM due)
SELECT sku, channel, units FROM due ORDER BY 1, 2;

-- name: adjustments_of
-- Newest adjustments of a number up to an instant.
SELECT at, units, source, resource, line, aside FROM adjustment
WHERE sku = %(sku)s AND channel = %(channel)s AND at <= %(at)s ORDER BY id DESC LIMIT %(limit)s;
