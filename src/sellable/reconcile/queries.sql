-- name: month_days
-- Orders of a period by day of a time zone, currency and stage: what was ordered, and of those whose sales all have
-- totals what was ordered and what is booked.
SELECT (o.placed_at AT TIME ZONE %(zone)s::text)::date AS day, o.currency, o.digits, o.stage, count(*) AS orders,
    sum(o.total)::bigint AS ordered, count(*) FILTER (WHERE s.known) AS booked_orders,
    coalesce(sum(o.total) FILTER (WHERE s.known), 0)::bigint AS ordered_of_booked,
    coalesce(sum(s.gross) FILTER (WHERE s.known), 0)::bigint AS booked
FROM orders o LEFT JOIN LATERAL (
    SELECT count(*) > 0 AND count(p.actual) = count(*) AS known, sum((p.actual ->> 'gross')::bigint) AS gross
    FROM order_part p WHERE p.order_id = o.order_id AND p.state NOT IN ('voided', 'dropped')
) AS s ON true
WHERE o.placed_at >= %(since)s AND o.placed_at < %(until)s
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 4;

-- name: month_differences
-- Sales of a period's orders whose totals are not those we expect, also where a person accepted them. The index
-- order_part_differs holds all of them, in these words; each has its order looked up, as no statistics say how few.
WITH differing AS MATERIALIZED (
    SELECT order_id, part, sale_number, accepted IS NOT NULL AS accepted, expected, actual FROM order_part
    WHERE actual IS NOT NULL AND state NOT IN ('voided', 'dropped')
        AND (expected -> 'net', expected -> 'tax', expected -> 'gross')
            IS DISTINCT FROM (actual -> 'net', actual -> 'tax', actual -> 'gross')
)
SELECT p.order_id, coalesce(o.number, p.order_id) AS number, o.currency, o.digits, o.placed_at, o.stage, p.part,
    p.sale_number, p.accepted, p.expected, p.actual
FROM differing p CROSS JOIN LATERAL (
    SELECT number, currency, digits, placed_at, stage FROM orders WHERE orders.order_id = p.order_id OFFSET 0
) AS o
WHERE o.placed_at >= %(since)s AND o.placed_at < %(until)s ORDER BY o.placed_at, p.order_id, p.part;

-- name: units_by_channel
-- What each channel shows, and what it should, in units of all its SKUs together.
SELECT w.channel, count(*) AS skus, sum(w.t)::bigint AS target, sum(w.t - w.d)::bigint AS shown,
    count(*) FILTER (WHERE w.d <> 0) AS differing,
    coalesce(sum(-w.d) FILTER (WHERE w.d < 0), 0)::bigint AS too_many,
    coalesce(sum(w.d) FILTER (WHERE w.d > 0), 0)::bigint AS too_few
FROM desired w JOIN entry e ON (e.sku, e.channel) = (w.sku, w.channel) AND NOT e.gone
GROUP BY w.channel ORDER BY w.channel;
