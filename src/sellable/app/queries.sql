-- name: work
-- Differences that wait, and since when the oldest lower does.
SELECT count(*) FILTER (WHERE d < 0 AND op IS NULL) AS lowers, count(*) FILTER (WHERE d > 0 AND op IS NULL) AS raises,
    count(*) FILTER (WHERE op IS NOT NULL) AS writing, min(since) FILTER (WHERE d < 0) AS oldest_lower FROM desired;

-- name: keys
-- Entries of the storefront we keep, and those whose raise waits.
SELECT count(*) AS n, count(*) FILTER (WHERE parked IS NOT NULL) AS parked FROM entry WHERE NOT gone;

-- name: inbox_counts
-- What arrived and is not done.
SELECT state, count(*) AS n FROM inbox WHERE state <> 'done' GROUP BY state;

-- name: operation_counts
-- What we owe, by kind.
SELECT system, kind, state, count(*) AS n, min(created_at) AS oldest FROM operation
WHERE settled_at IS NULL GROUP BY system, kind, state ORDER BY system, kind, state;

-- name: case_counts
-- Open cases by kind.
SELECT kind, count(*) AS n, sum(count)::bigint AS total FROM cases WHERE state <> 'resolved' GROUP BY kind ORDER BY kind;

-- name: writes_frozen
-- Whether a person froze all writes of stock.
SELECT value FROM switch WHERE name = 'writes_frozen';

-- name: raises_stopped
-- Whether our account of the storefront is in doubt as a whole, and nobody has resolved the case.
SELECT EXISTS (SELECT FROM cases WHERE kind IN ('drift_many', 'restored') AND state <> 'resolved');

-- name: ready
-- Whether the database answers.
SELECT 1;

-- name: newest_sweep
-- When a master's numbers were last read completely.
SELECT max(finished_at) FROM sweep WHERE master = %(master)s AND scope = '' AND state IN ('proving', 'applied');

-- name: cases_of_order
-- Cases about one order.
SELECT ref, kind, title, state, owner, count, first_at, last_at FROM cases WHERE subject = %(subject)s ORDER BY last_at;


-- name: set_switch
-- Switches something for all processes.
INSERT INTO switch (name, value, actor, at) VALUES (%(name)s, %(value)s, %(actor)s, %(now)s)
ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, actor = EXCLUDED.actor, at = EXCLUDED.at;

-- name: remember
-- Keeps a value; answers nothing when it was the same before.
INSERT INTO remembered (name, value, at) VALUES (%(name)s, %(value)s, %(at)s)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at WHERE remembered.value <> excluded.value
RETURNING value;

-- name: entry_skus
-- Every SKU the storefront has an entry of.
SELECT DISTINCT sku FROM entry WHERE NOT gone;

-- name: recall
-- What was remembered, and since when.
SELECT value, at FROM remembered WHERE name = %(name)s;

-- name: remember_anew
-- Keeps a value and the instant, also when it was the same before.
INSERT INTO remembered (name, value, at) VALUES (%(name)s, %(value)s, %(at)s)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at;

-- name: strange_numbers
-- Numbers that changed at the storefront by nobody we know, found since an instant and since the last such alarm ended.
-- Left out: what was written before the number an entry began with (that of the time since a backup nobody here knows),
-- channels where somebody else is to write, a drift up by no more than orders of the seconds before the look
-- (the next judgement takes it back), and one down by no more than what cancels were assumed to put back.
WITH since AS (
    SELECT greatest(%(since)s::timestamptz, (SELECT max(resolved_at) FROM cases WHERE kind = 'drift_many')) AS at
), hit AS (
    SELECT f.sku, f.channel, max(f.remote_at) FILTER (WHERE f.kind = 'drift') AS looked_at,
        bool_or(f.kind = 'foreign') AS written
    FROM entry_fact f JOIN entry e USING (sku, channel)
    WHERE (f.kind = 'drift' OR (f.kind = 'foreign' AND f.remote_at > e.baseline_at)) AND f.at > (SELECT at FROM since)
        AND f.channel <> ALL (%(others)s::text[]) GROUP BY 1, 2
), weighed AS (
    SELECT h.*, p.net, p.lagging, p.assumed FROM hit h LEFT JOIN LATERAL (
        SELECT coalesce(sum(f.quantity) FILTER (WHERE f.kind = 'drift'), 0) AS net,
            coalesce(-sum(f.quantity) FILTER (WHERE f.kind = 'taken'
                AND f.remote_at BETWEEN h.looked_at - interval '10 seconds' AND h.looked_at), 0) AS lagging,
            coalesce(sum(f.quantity) FILTER (WHERE f.kind = 'restocked'), 0) AS assumed
        FROM entry_fact f WHERE (f.sku, f.channel) = (h.sku, h.channel)
            AND f.remote_at > h.looked_at - interval '30 minutes') AS p ON h.looked_at IS NOT NULL
), judged AS (
    SELECT sku, written, looked_at IS NOT NULL AND net NOT BETWEEN -assumed AND lagging AS drifted FROM weighed
)
SELECT count(*) FILTER (WHERE drifted) AS drifted, count(*) AS strange,
    (array_agg(DISTINCT sku ORDER BY sku))[:20] AS examples FROM judged WHERE drifted OR written;

-- name: compared_numbers
-- How many numbers that only we write there are, and how many of them were judged since an instant.
SELECT count(*) AS keys, count(*) FILTER (WHERE judged_at > %(since)s::timestamptz) AS judged FROM entry
WHERE NOT gone AND channel <> ALL (%(others)s::text[]);

-- name: stock_that_differs
-- Numbers of commercetools' own (with what is owed to them) less what the warehouse's reading of their place comes to,
-- units in flight there subtracted, and those of orders that have no place yet; SKUs that it does not tell are not compared.
WITH place AS (SELECT channel, location FROM unnest(%(channel)s::text[], %(location)s::text[]) AS t (channel, location)),
told AS (
    SELECT p.channel, r.sku, r.available - coalesce((
        SELECT sum(CASE WHEN d.doubt_seq IS NOT NULL OR d.evidence_seq IS NULL OR d.evidence_seq >= r.a0
            THEN d.open_units + d.evidenced_units ELSE d.open_units END)
        FROM demand d WHERE d.sku = r.sku AND NOT d.settled
            AND (d.location = p.location OR d.location IS NULL AND d.channel = p.channel)), 0) AS units
    FROM place p JOIN reading_now r USING (location)
), due AS (
    SELECT sku, channel, sum(units) AS units FROM adjustment WHERE NOT aside AND channel = ANY (%(channel)s::text[])
    GROUP BY sku, channel
)
SELECT e.sku, e.channel, (e.e + coalesce(d.units, 0) - t.units)::bigint AS units
FROM entry_now e LEFT JOIN sku_map m ON m.storefront = e.sku
JOIN told t ON t.channel = e.channel AND t.sku = coalesce(m.master, e.sku)
LEFT JOIN due d ON (d.sku, d.channel) = (e.sku, e.channel)
WHERE e.e + coalesce(d.units, 0) <> t.units ORDER BY e.channel, e.sku;

-- name: short_skus
-- SKUs the master keeps of which more is sold and held by no sale than its newest complete set has at all our places,
-- or whose number there is below nothing. Left out: orders that are being cancelled, orders of which a step may have
-- allocated units without our knowing, and SKUs whose newer number waits for proof.
-- planned anew
WITH unsure AS (
    SELECT correlation AS order_id FROM operation
    WHERE state IN ('intent', 'unknown', 'held') AND kind IN ('sale.create', 'sale.authorise', 'sale.void', 'sale.visible', 'order.import')
        AND (sends > 0 OR kind = 'sale.visible' OR coalesce((payload ->> 'search')::bool, false))
    UNION SELECT order_id FROM order_part WHERE state = 'held' AND sale_id IS NOT NULL AND actual IS NULL
), live AS (
    SELECT d.sku, sum(d.open_units) AS waiting, sum(d.open_units + d.evidenced_units) AS units
    FROM demand d JOIN orders o USING (order_id)
    WHERE NOT d.settled AND NOT d.finished AND o.stage NOT IN ('cancelling', 'cancelled')
        AND d.order_id NOT IN (SELECT order_id FROM unsure WHERE order_id IS NOT NULL)
    GROUP BY d.sku
), there AS (
    SELECT l.sku, l.waiting, l.units, s.free, s.net FROM live l CROSS JOIN LATERAL (
        SELECT coalesce(sum(greatest(units, 0)), 0) AS free, coalesce(sum(units), 0) AS net FROM (
            SELECT sum(proven) AS units FROM observed
            WHERE sku = l.sku AND state = 'available' AND location = ANY (%(locations)s::text[]) GROUP BY location
        ) AS places) AS s
    WHERE (l.waiting > s.free OR s.net < 0) AND (EXISTS (SELECT FROM observed WHERE sku = l.sku)
        OR EXISTS (SELECT FROM product WHERE sku = l.sku AND NOT service AND NOT kit))
)
SELECT sku, least(units, greatest(waiting - free, -net))::bigint AS short FROM there t
WHERE NOT EXISTS (SELECT FROM sweep w JOIN sweep_row r ON r.sweep = w.id WHERE w.state = 'proving' AND r.sku = t.sku)
ORDER BY sku;

-- name: short_parts
-- Orders and places with units of these SKUs that no sale holds.
SELECT DISTINCT order_id, location FROM demand WHERE sku = ANY (%(skus)s::text[]) AND NOT settled AND NOT finished
    AND open_units > 0 AND location IS NOT NULL ORDER BY 1, 2 LIMIT %(limit)s;

-- name: short_orders
-- Orders with units of a SKU, those that no sale holds first, then the newest.
SELECT d.order_id, d.label, d.channel, o.placed_at,
    coalesce(nullif(sum(d.open_units), 0), sum(d.evidenced_units))::bigint AS units
FROM demand d JOIN orders o USING (order_id)
WHERE d.sku = %(sku)s AND NOT d.settled AND NOT d.finished AND o.stage NOT IN ('cancelling', 'cancelled')
GROUP BY 1, 2, 3, 4 ORDER BY sum(d.open_units) = 0, o.placed_at DESC, d.order_id LIMIT %(limit)s;

-- name: taken_elsewhere
-- Units by which the master's number of a SKU fell since an instant (or since it was first seen) beyond what our own
-- sales took since shortly before that.
SELECT greatest(0, coalesce((SELECT sum(o.value_before - o.value) FROM observation o
        WHERE o.sku = %(sku)s AND o.state = 'available' AND o.at > %(since)s::timestamptz AND EXISTS (
            SELECT FROM observation p WHERE p.sku = o.sku AND (p.location, p.part) = (o.location, o.part) AND p.id < o.id
        )), 0)
    - coalesce((SELECT sum(CASE kind WHEN 'evidenced' THEN units ELSE -units END) FROM demand_event
        WHERE sku = %(sku)s AND kind IN ('evidenced', 'revoked') AND at > %(sales_since)s::timestamptz), 0))::bigint;

-- name: sold_beside
-- Units of a SKU that other channels sold within a time.
SELECT coalesce(sum(d.quantity), 0)::bigint FROM demand d JOIN orders o USING (order_id)
WHERE d.sku = %(sku)s AND d.channel <> %(channel)s AND o.placed_at BETWEEN %(since)s::timestamptz AND %(until)s::timestamptz;

-- name: catalogue_walked
-- When the last whole walk of the master's products began; nothing while it, or the first walk of the storefront's
-- entries, is not taken in to its end.
SELECT c.cursor ->> 'whole' AS whole FROM feed c JOIN feed e ON e.name = 'commercetools.entries'
WHERE c.name = 'cin7_core.catalogue' AND coalesce((e.cursor ->> 'round')::int, 0) >= 1
    AND NOT EXISTS (SELECT FROM inbox WHERE state IN ('new', 'quarantined') AND kind IN ('catalogue.page', 'entries'));

-- name: entries_unknown
-- SKUs of entries that the newest whole walk of the master's products did not show as spelled, or as mapped.
SELECT DISTINCT e.sku FROM entry e LEFT JOIN sku_map m ON m.storefront = e.sku
LEFT JOIN product p ON p.sku = coalesce(m.master, e.sku) AND p.seen_at >= %(whole)s::timestamptz
WHERE NOT e.gone AND p.sku IS NULL ORDER BY 1;

-- name: products_unoffered
-- Products for sale that no entry has, under whatever spelling, and that no bundle is made of.
SELECT p.sku FROM product p WHERE p.sellable AND NOT p.service AND p.seen_at >= %(whole)s::timestamptz
    AND NOT EXISTS (SELECT FROM entry e WHERE e.sku = p.sku AND NOT e.gone)
    AND NOT EXISTS (SELECT FROM made_of r WHERE r.component = p.sku) ORDER BY 1;

-- name: kits_without_recipe
-- Bundles with an entry that nobody knows the components of.
SELECT p.sku FROM product p WHERE p.kit AND EXISTS (SELECT FROM entry e WHERE e.sku = p.sku AND NOT e.gone)
    AND NOT EXISTS (SELECT FROM recipe r WHERE r.sku = p.sku) ORDER BY 1;

-- name: standing
-- What the frame of every page says.
SELECT coalesce((SELECT value FROM switch WHERE name = 'writes_frozen'), false) AS frozen,
    (SELECT count(*) FROM cases WHERE state <> 'resolved') AS open_cases;

-- name: holds_named
-- Holds in force of one name: a hold itself, or all that a stop holds.
SELECT id FROM hold WHERE ended_at IS NULL AND sku = %(sku)s
    AND (id = %(name)s::text OR starts_with(id, %(name)s::text || ':')) ORDER BY id;

-- name: recovery_open
-- Whether raises wait for what a restored database has to read again.
SELECT EXISTS (SELECT FROM cases WHERE kind = 'restored' AND state <> 'resolved');

-- name: entries_walked
-- The storefront's instant up to which every entry was read since the restore; nothing while that, or a write that was
-- open in the backup, is not over.
SELECT coalesce(max(q_at), app_now()) AS at FROM entry
HAVING coalesce((SELECT (cursor ->> 'round')::int FROM feed WHERE name = 'commercetools.entries'), 0) >= 1
    AND NOT EXISTS (SELECT FROM inbox WHERE state IN ('new', 'quarantined') AND kind = 'entries')
    AND NOT EXISTS (SELECT FROM operation WHERE kind = 'stock.write' AND state IN ('intent', 'unknown')
        AND created_seq < %(seq)s);

-- name: entries_unread
-- Entries that a write kept from a new baseline while it was open.
SELECT e.channel || '|' || e.sku AS key FROM entry e WHERE NOT e.gone AND e.q_seq < %(seq)s AND EXISTS (
    SELECT FROM operation o WHERE o.lane = 'stock:' || e.channel || ':' || e.sku AND o.kind = 'stock.write'
        AND o.settled_seq > %(seq)s) ORDER BY 1 LIMIT 500;

-- name: read_again
-- Whether orders changed up to an instant of the storefront, all stock of each master and, where one lists them, all
-- changed sales were read since the restore, and what left a warehouse or came back up to then.
SELECT coalesce((SELECT (cursor ->> 'passed')::timestamptz FROM feed WHERE name = 'commercetools.orders')
        >= %(walked)s::timestamptz, false)
    AND NOT EXISTS (SELECT FROM unnest(%(masters)s::text[]) AS m (name) WHERE NOT EXISTS (SELECT FROM sweep s
        WHERE s.master = m.name AND s.scope = '' AND s.state IN ('proving', 'applied') AND s.first_a0 > %(seq)s))
    AND (NOT %(listed)s OR EXISTS (SELECT FROM sales_walk w WHERE w.seq > %(seq)s))
    AND (SELECT count(*) FROM feed WHERE name = ANY (%(windows)s::text[])
        AND (cursor ->> 'mark')::timestamptz >= %(since)s::timestamptz) = cardinality(%(windows)s::text[]) AS done;

-- name: disown_adjustments
-- Writes of adjustments that were open in a backup pay nothing when it turns out what became of them.
UPDATE operation SET payload = payload || '{"adjusts": false}'
WHERE kind = 'stock.write' AND state IN ('intent', 'unknown', 'held') AND (payload ->> 'adjusts')::boolean;

-- name: arrivals_waiting
-- Whether anything that arrived up to a causal number has not been thought about.
SELECT EXISTS (SELECT FROM inbox WHERE state = 'new' AND received_seq <= %(seq)s);

-- name: rung_of
-- The mode a channel was in when a process last started.
SELECT mode, since, gate, falls FROM ladder WHERE channel = %(channel)s;

-- name: wrote_before
-- Whether a channel was written to before it had a place on the ladder.
SELECT EXISTS (SELECT FROM entry WHERE channel = %(channel)s AND last_t IS NOT NULL);

-- name: step_on
-- A channel is in another mode from now on. A time as a shadow begins anew, and ends with the mode that follows.
INSERT INTO ladder AS l (channel, mode, since, gate, falls, shadow_from)
VALUES (%(channel)s, %(mode)s, %(now)s, %(gate)s, %(falls)s, CASE WHEN %(mode)s = 'shadow' THEN %(now)s::timestamptz END)
ON CONFLICT (channel) DO UPDATE SET mode = excluded.mode, since = excluded.since, gate = excluded.gate, falls = excluded.falls, found = NULL,
    shadow_from = CASE WHEN excluded.mode = 'shadow' THEN excluded.since ELSE l.shadow_from END,
    shadow_until = CASE WHEN l.mode = 'shadow' THEN excluded.since WHEN excluded.mode = 'shadow' THEN NULL ELSE l.shadow_until END;

-- name: drop_rungs
-- Channels that are in the settings no more.
DELETE FROM ladder WHERE channel <> ALL (%(channels)s::text[]);

-- name: rungs
-- Every channel's mode, since when, whether its first pass was let go, and what it waits to write.
SELECT l.channel, l.mode, l.since, l.gate, l.found, l.shadow_from, l.shadow_until, coalesce(w.lowers, 0) AS lowers,
    coalesce(w.raises, 0) AS raises
FROM ladder l LEFT JOIN (SELECT d.channel, count(*) FILTER (WHERE d.d < 0) AS lowers, count(*) FILTER (WHERE d.d > 0) AS raises
    FROM desired d WHERE d.d <> 0 GROUP BY 1) AS w USING (channel) ORDER BY l.channel;

-- name: first_passes
-- Channels whose first pass can be judged: since they stepped up, the entries were walked, every master's set was taken
-- in to its end, and what that made dirty was looked at.
SELECT channel, mode FROM ladder l WHERE gate = 'checking'
    AND EXISTS (SELECT FROM feed WHERE name = 'commercetools.entries' AND coalesce((cursor ->> 'round')::int, 0) >= 1)
    AND NOT EXISTS (SELECT FROM unnest(%(masters)s::text[]) AS m (name) WHERE NOT EXISTS (SELECT FROM sweep s
        WHERE s.master = m.name AND s.scope = '' AND s.state = 'applied' AND s.started_at >= l.since
            AND NOT EXISTS (SELECT FROM dirty WHERE since <= s.finished_at)))
    AND NOT EXISTS (SELECT FROM inbox WHERE state = 'new' AND kind = 'entries')
ORDER BY channel FOR UPDATE SKIP LOCKED;

-- name: first_pass
-- What a channel's differences come to, of those that may be written.
SELECT count(*) AS keys, coalesce(sum(greatest(e.e, 0)), 0)::bigint AS units,
    count(*) FILTER (WHERE coalesce(w.d, 0) < 0) AS lowers, count(*) FILTER (WHERE w.d > 0) AS raises,
    coalesce(-sum(w.d) FILTER (WHERE w.d < 0), 0)::bigint AS lowered, coalesce(sum(w.d) FILTER (WHERE w.d > 0), 0)::bigint AS raised,
    (array_agg(w.sku ORDER BY abs(w.d) DESC, w.sku) FILTER (WHERE w.d < 0 OR w.d > 0 AND %(raises)s))[:10] AS examples
FROM entry_now e LEFT JOIN desired w ON (w.sku, w.channel) = (e.sku, e.channel) WHERE e.channel = %(channel)s;

-- name: set_gate
-- Lets a first pass go, or stops it.
UPDATE ladder SET gate = %(gate)s, found = coalesce(%(found)s::jsonb, found) WHERE channel = %(channel)s;

-- name: shadow_numbers
-- What a channel's time as a shadow would have changed: numbers looked at, those that were too high or too low when what
-- they should be changed, and how often it did.
SELECT count(DISTINCT sku) AS keys, count(*) AS changes,
    count(DISTINCT sku) FILTER (WHERE (terms ->> 'd')::bigint < 0) AS too_high,
    count(DISTINCT sku) FILTER (WHERE (terms ->> 'd')::bigint > 0) AS too_low
FROM explained WHERE channel = %(channel)s AND at BETWEEN %(since)s AND %(until)s;

-- name: shadow_oversold
-- Order lines the storefront took while we would have offered less, with what we would have offered.
SELECT coalesce(o.number, o.order_id) AS label, o.placed_at, l.sku, l.ordered, x.target AS offered
FROM orders o JOIN order_line l USING (order_id) JOIN LATERAL (
    SELECT (terms -> 'explanation' ->> 'target')::bigint AS target FROM explained
    WHERE (sku, channel) = (l.sku, l.channel) AND at <= o.placed_at ORDER BY id DESC LIMIT 1) AS x ON x.target < l.ordered
WHERE l.channel = %(channel)s AND l.mode <> 'None' AND o.placed_at BETWEEN %(since)s AND %(until)s
ORDER BY o.placed_at, label, l.sku;

-- name: shadow_orders
-- Orders placed in a channel's time as a shadow, by what became of them.
SELECT o.stage, count(*) AS n FROM orders o WHERE o.placed_at BETWEEN %(since)s AND %(until)s
    AND EXISTS (SELECT FROM order_line l WHERE l.order_id = o.order_id AND l.channel = %(channel)s)
GROUP BY 1 ORDER BY 1;

-- name: part_of_sales
-- Whether one of these sales serves an order other than this.
SELECT EXISTS (SELECT FROM order_part WHERE sale_id = ANY (%(sales)s::text[]) AND order_id <> %(order_id)s);

-- name: knows_catalogue
-- Whether the master's products were read yet.
SELECT EXISTS (SELECT FROM product);

-- name: open_of_kind
-- Open cases of a kind, or of every kind.
SELECT count(*) FROM cases WHERE state <> 'resolved' AND (%(kind)s::text IS NULL OR kind = %(kind)s);

-- name: low_on
-- Numbers of a channel that are nearly gone.
SELECT count(*) FROM desired WHERE channel = %(channel)s AND t BETWEEN 1 AND %(mark)s;
