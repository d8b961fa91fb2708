-- name: pulse
-- Changes whenever something was committed that a page may show; costs nothing.
SELECT (SELECT last_value FROM causal_seq) AS causal,
    coalesce(pg_sequence_last_value('case_event_id_seq'), 0) + coalesce(pg_sequence_last_value('audit_id_seq'), 0)
        + coalesce(pg_sequence_last_value('explained_id_seq'), 0) + coalesce(pg_sequence_last_value('call_log_id_seq'), 0)
        AS others;

-- name: skus_named
-- SKUs that hold these words, or whose name does, however the storefront spells them.
SELECT p.sku FROM product p WHERE p.normal LIKE %(normal)s OR p.name ILIKE %(like)s
UNION SELECT m.storefront FROM sku_map m JOIN product p ON p.sku = m.master
    WHERE m.storefront ILIKE %(like)s OR p.name ILIKE %(like)s
UNION SELECT e.sku FROM entry e WHERE e.sku >= %(begins)s AND e.sku < %(begins)s::text || chr(1114111)
ORDER BY 1 LIMIT %(limit)s;

-- name: skus_all
-- SKUs with an entry, from one on.
-- planned anew
SELECT s.sku FROM (SELECT DISTINCT sku FROM entry WHERE NOT gone AND sku > %(after)s AND (%(only)s::text[] IS NULL OR sku = ANY (%(only)s))) AS s
ORDER BY s.sku LIMIT %(limit)s;

-- name: skus_out
-- SKUs that show nothing on some channel, from one on.
-- planned anew
SELECT s.sku FROM (SELECT DISTINCT sku FROM desired w WHERE t <= 0 AND sku > %(after)s AND (%(only)s::text[] IS NULL OR sku = ANY (%(only)s)) AND channel = ANY (%(channels)s::text[])
    AND EXISTS (SELECT FROM entry e WHERE (e.sku, e.channel) = (w.sku, w.channel) AND NOT e.gone)) AS s
ORDER BY s.sku LIMIT %(limit)s;

-- name: skus_low
-- SKUs that are nearly gone on some channel, from one on.
-- planned anew
SELECT s.sku FROM (SELECT DISTINCT w.sku FROM desired w
    WHERE w.t BETWEEN 1 AND (%(marks)s::bigint[])[array_position(%(channels)s::text[], w.channel)] AND w.sku > %(after)s AND (%(only)s::text[] IS NULL OR sku = ANY (%(only)s))
        AND EXISTS (SELECT FROM entry e WHERE (e.sku, e.channel) = (w.sku, w.channel) AND NOT e.gone)) AS s
ORDER BY s.sku LIMIT %(limit)s;

-- name: skus_held
-- SKUs of which a person or a checkout holds units back, from one on.
-- planned anew
SELECT s.sku FROM (SELECT DISTINCT sku FROM hold WHERE ended_at IS NULL
    AND (expires_at IS NULL OR expires_at > %(now)s) AND sku > %(after)s AND (%(only)s::text[] IS NULL OR sku = ANY (%(only)s))) AS s
ORDER BY s.sku LIMIT %(limit)s;

-- name: skus_differing
-- SKUs whose number at the storefront is not yet what it should be, from one on.
-- planned anew
SELECT s.sku FROM (SELECT DISTINCT sku FROM desired w WHERE d <> 0 AND sku > %(after)s AND (%(only)s::text[] IS NULL OR sku = ANY (%(only)s)) AND channel = ANY (%(channels)s::text[])
    AND EXISTS (SELECT FROM entry e WHERE (e.sku, e.channel) = (w.sku, w.channel) AND NOT e.gone)) AS s
ORDER BY s.sku LIMIT %(limit)s;

-- name: skus_in_flight
-- SKUs of which units are sold that no sale at the back office holds yet, from one on.
-- planned anew
SELECT s.sku FROM (SELECT DISTINCT sku FROM demand WHERE NOT settled AND NOT finished AND open_units > 0
    AND sku > %(after)s AND (%(only)s::text[] IS NULL OR sku = ANY (%(only)s))) AS s
ORDER BY s.sku LIMIT %(limit)s;

-- name: tally
-- How many SKUs there are, and how many of each filter.
WITH number AS (
    SELECT w.sku, bool_or(w.t <= 0) AS out, bool_or(w.t BETWEEN 1 AND c.mark) AS low, bool_or(w.d <> 0) AS differs
    FROM desired w JOIN unnest(%(channels)s::text[], %(marks)s::bigint[]) AS c (channel, mark) USING (channel)
    JOIN entry e ON (e.sku, e.channel) = (w.sku, w.channel) AND NOT e.gone GROUP BY w.sku
)
SELECT (SELECT count(*) FROM (SELECT DISTINCT sku FROM entry WHERE NOT gone) AS s) AS every,
    count(*) FILTER (WHERE out) AS out, count(*) FILTER (WHERE low) AS low, count(*) FILTER (WHERE differs) AS differing,
    (SELECT count(DISTINCT sku) FROM hold WHERE ended_at IS NULL AND (expires_at IS NULL OR expires_at > %(now)s)) AS held,
    (SELECT count(DISTINCT sku) FROM demand WHERE NOT settled AND NOT finished AND open_units > 0) AS in_flight
FROM number;

-- name: names_of
-- What the master calls these SKUs.
SELECT s.sku, p.name FROM unnest(%(skus)s::text[]) AS s (sku) LEFT JOIN sku_map m ON m.storefront = s.sku
JOIN product p ON p.sku = coalesce(m.master, s.sku);

-- name: differences_of
-- What is being done about the numbers of these SKUs.
SELECT sku, channel, d, priority, since, op IS NOT NULL AS writing FROM desired
WHERE sku = ANY (%(skus)s::text[]) AND d <> 0;

-- name: flights_of
-- Units of these SKUs that are sold and held by no sale yet.
SELECT sku, sum(open_units)::bigint AS units FROM demand WHERE NOT settled AND NOT finished AND open_units > 0
    AND sku = ANY (%(skus)s::text[]) GROUP BY sku;

-- name: holds_on
-- Holds in force on a SKU.
SELECT id, pool, units, reason, actor, placed_at, expires_at FROM hold
WHERE sku = %(sku)s AND ended_at IS NULL AND (expires_at IS NULL OR expires_at > %(now)s) ORDER BY placed_at DESC, id;

-- name: bundles_of
-- What is made of a SKU, and what those show at least and at most.
SELECT r.sku, r.units, min(w.t) AS least, max(w.t) AS most FROM made_of r JOIN desired w ON w.sku = r.sku
WHERE r.component = %(sku)s GROUP BY 1, 2 ORDER BY 1 LIMIT %(limit)s;

-- name: changes_of
-- When the terms of a SKU's numbers changed, newest first.
SELECT at, channel, (terms -> 'explanation' ->> 'target')::bigint AS target FROM explained
WHERE sku = %(sku)s ORDER BY id DESC LIMIT %(limit)s;

-- name: orders_named
-- Ids of orders by their numbers or ids, as a term of a number names them.
SELECT order_id, coalesce(number, order_id) AS label FROM orders
WHERE number = ANY (%(labels)s::text[]) OR order_id = ANY (%(labels)s::text[]);

-- name: minutes
-- Of each minute of the last hour: orders taken in, writes that waited at its end, and how long those it finished took
-- (milliseconds, the slowest in a hundred).
WITH minute AS (
    SELECT n, %(now)s::timestamptz - make_interval(mins => 59 - n) AS until FROM generate_series(0, 59) AS n
), write AS MATERIALIZED (
    SELECT created_at, settled_at, state FROM operation
    WHERE kind = 'stock.write' AND settled_at > %(now)s::timestamptz - interval '1 hour'
    UNION ALL SELECT created_at, NULL, state FROM operation
    WHERE kind = 'stock.write' AND state IN ('intent', 'unknown', 'held')
), finished AS (
    SELECT 59 - floor(extract(epoch FROM %(now)s::timestamptz - settled_at) / 60)::int AS n,
        percentile_disc(0.99) WITHIN GROUP (ORDER BY (extract(epoch FROM settled_at - created_at) * 1000)::bigint) AS slow
    FROM write WHERE state = 'done' AND settled_at <= %(now)s::timestamptz GROUP BY 1
), taken AS (
    SELECT 59 - floor(extract(epoch FROM %(now)s::timestamptz - captured_at) / 60)::int AS n, count(*) AS orders
    FROM orders WHERE captured_at > %(now)s::timestamptz - interval '1 hour' AND captured_at <= %(now)s::timestamptz
    GROUP BY 1
), step AS (
    SELECT greatest(0, 59 - floor(extract(epoch FROM %(now)s::timestamptz - at) / 60)::int) AS n, sum(by) AS by FROM (
        SELECT greatest(created_at, %(now)s::timestamptz - interval '1 hour') AS at, 1 AS by FROM write
        UNION ALL SELECT settled_at, -1 FROM write WHERE settled_at IS NOT NULL
    ) AS steps GROUP BY 1
)
SELECT m.until, coalesce(t.orders, 0) AS orders, f.slow AS slow,
    greatest(0, coalesce(sum(s.by) OVER (ORDER BY m.n), 0))::bigint AS waiting
FROM minute m LEFT JOIN taken t USING (n) LEFT JOIN finished f USING (n) LEFT JOIN step s USING (n) ORDER BY m.n;

-- name: latency
-- From deciding a write to its confirmation, of the newest writes of the last hour, in milliseconds.
SELECT count(*) AS writes, percentile_disc(0.5) WITHIN GROUP (ORDER BY took) AS half,
    percentile_disc(0.99) WITHIN GROUP (ORDER BY took) AS slow
FROM (SELECT (extract(epoch FROM settled_at - created_at) * 1000)::bigint AS took FROM operation
    WHERE settled_at > %(now)s::timestamptz - interval '1 hour' AND kind = 'stock.write' AND state = 'done'
    ORDER BY settled_at DESC LIMIT 5000) AS newest;

-- name: severities
-- Open cases by how much harm they do.
SELECT severity, count(*) AS n, min(first_at) AS oldest FROM cases WHERE state <> 'resolved' GROUP BY 1 ORDER BY 1;

-- name: oversold
-- Units that are sold and cannot be shipped, and how many of them others took or sold in the same seconds.
SELECT coalesce(sum((actual ->> 'units')::bigint), 0)::bigint AS units,
    coalesce(sum(least((actual ->> 'units')::bigint,
        (actual ->> 'taken_elsewhere')::bigint + (actual ->> 'sold_beside')::bigint)), 0)::bigint AS inherent
FROM cases WHERE kind = 'oversold' AND state <> 'resolved';

-- name: newest_sets
-- When each master's numbers were last read to their end.
SELECT master, max(finished_at) AS at FROM sweep WHERE scope = '' AND state IN ('proving', 'applied') GROUP BY master;

-- name: news_of_orders
-- The newest steps of orders.
SELECT e.at, e.order_id, e.what, o.number FROM (SELECT * FROM order_event ORDER BY id DESC LIMIT %(limit)s) AS e
LEFT JOIN orders o USING (order_id) ORDER BY e.id DESC;

-- name: news_of_numbers
-- The newest numbers that were told to the storefront.
SELECT settled_at AS at, payload ->> 'sku' AS sku, payload ->> 'channel' AS channel, (payload ->> 'e')::bigint AS before,
    (payload ->> 't')::bigint AS after FROM operation
WHERE settled_at > %(now)s::timestamptz - interval '1 hour' AND kind = 'stock.write' AND state = 'done'
ORDER BY settled_at DESC LIMIT %(limit)s;

-- name: news_of_cases
-- What was last done about cases.
SELECT e.at, e.actor, e.what, c.ref, c.title, c.severity
FROM (SELECT * FROM case_event ORDER BY id DESC LIMIT %(limit)s) AS e JOIN cases c ON c.id = e.case_id ORDER BY e.id DESC;

-- name: news_of_people
-- What people did last.
SELECT at, actor, action, subject FROM (SELECT * FROM audit ORDER BY id DESC LIMIT 500) AS newest
WHERE actor NOT IN ('sellable', 'system') ORDER BY id DESC LIMIT %(limit)s;

-- name: owed
-- What we owe each system, by kind, and how much of it was settled in the last five minutes.
SELECT system, kind, count(*) FILTER (WHERE settled_at IS NULL) AS waiting,
    count(*) FILTER (WHERE state = 'held') AS held, count(*) FILTER (WHERE state = 'unknown') AS unknown,
    count(*) FILTER (WHERE settled_at IS NOT NULL) AS settled,
    min(created_at) FILTER (WHERE settled_at IS NULL) AS oldest
FROM (SELECT system, kind, state, created_at, settled_at FROM operation WHERE state IN ('intent', 'unknown', 'held')
    UNION ALL SELECT system, kind, state, created_at, settled_at FROM operation
    WHERE settled_at > %(now)s::timestamptz - interval '5 minutes') AS work
WHERE system <> 'self' GROUP BY 1, 2 ORDER BY 1, 2;

-- name: refusals
-- Calls of the last hour that were refused or came to no answer.
SELECT system, operation, status, coalesce(error, '') AS error, count(*) AS n, max(at) AS newest FROM call_log
WHERE at > %(now)s::timestamptz - interval '1 hour' AND NOT status BETWEEN 200 AND 399
GROUP BY 1, 2, 3, 4 ORDER BY 1, 5 DESC LIMIT 50;

-- name: frozen_by
-- Who froze or resumed the writes of stock, and when.
SELECT value, actor, at FROM switch WHERE name = 'writes_frozen';

-- name: find_sku
-- The SKU that is exactly this, at the storefront or the back office.
SELECT sku FROM entry WHERE sku = %(asked)s AND NOT gone UNION SELECT sku FROM product WHERE sku = %(asked)s;

-- name: find_skus
-- SKUs that begin so or are called so.
SELECT sku, name FROM product WHERE normal LIKE %(begins)s OR name ILIKE %(like)s ORDER BY sku LIMIT %(limit)s;

-- name: find_orders
-- Orders by number or id.
SELECT order_id, coalesce(number, order_id) AS label, stage, placed_at FROM orders
WHERE order_id = %(asked)s OR number = %(asked)s ORDER BY placed_at DESC LIMIT %(limit)s;

-- name: find_orders_of_sale
-- Orders by our reference, the id or the number of their sale at the back office.
SELECT o.order_id, coalesce(o.number, o.order_id) AS label, o.stage, o.placed_at FROM order_part p JOIN orders o USING (order_id)
WHERE p.ref = %(asked)s OR lower(p.sale_id) = lower(%(asked)s) LIMIT %(limit)s;

-- name: find_parcels
-- Orders by the tracking number of a parcel.
SELECT o.order_id, coalesce(o.number, o.order_id) AS label, o.stage, o.placed_at FROM shipment s JOIN orders o USING (order_id)
WHERE jsonb_path_query_array(s.document, '$.parcels[*].tracking') ? %(asked)s::text LIMIT %(limit)s;

-- name: find_cases
-- Cases by reference.
SELECT ref, title, state FROM cases WHERE ref = %(asked)s;

-- name: find_operations
-- Operations by id or correlation, newest first.
(SELECT id, system, kind, state, correlation, created_at, payload ->> 'sku' AS sku FROM operation WHERE id = %(asked)s)
UNION
(SELECT o.id, o.system, o.kind, o.state, o.correlation, o.created_at, o.payload ->> 'sku' FROM audit a
    JOIN operation o ON a.subject = 'operation:' || o.id WHERE a.correlation = %(asked)s LIMIT %(limit)s)
ORDER BY created_at DESC;

-- name: find_records
-- What the audit holds of a correlation id.
SELECT at, actor, action, subject FROM audit WHERE correlation = %(asked)s ORDER BY id DESC LIMIT %(limit)s;

-- name: find_calls
-- Calls of a correlation id.
SELECT at, system, operation, status FROM call_log WHERE correlation = %(asked)s ORDER BY id DESC LIMIT %(limit)s;
