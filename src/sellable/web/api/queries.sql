-- name: offered
-- Of each pair of SKU and channel, in their order, what may be sold and what differs, as planned from the facts; nothing
-- where there is no entry.
SELECT array_agg(w.t ORDER BY a.n) AS ts, array_agg(w.d ORDER BY a.n) AS ds
FROM unnest(%(skus)s::text[], %(channels)s::text[]) WITH ORDINALITY AS a (sku, channel, n)
LEFT JOIN desired w ON (w.sku, w.channel) = (a.sku, a.channel)
    AND NOT EXISTS (SELECT FROM entry e WHERE (e.sku, e.channel) = (w.sku, w.channel) AND e.gone);

-- name: places
-- What lies where of some SKUs, as their masters said last.
SELECT a.sku, r.location AS location_id, r.available AS on_hand, r.observed_at AS at
FROM unnest(%(skus)s::text[]) AS a (sku) LEFT JOIN sku_map m ON m.storefront = a.sku
JOIN reading_now r ON r.sku = coalesce(m.master, a.sku) ORDER BY a.sku, r.location;
