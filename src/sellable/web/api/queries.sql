-- name: offered
-- Of pairs of SKU and channel that have an entry: which pair, what may be sold and what differs, as planned from the
-- facts; what lies where when asked for.
SELECT coalesce(array_agg(a.n ORDER BY a.n), '{}') AS ns, coalesce(array_agg(w.t ORDER BY a.n), '{}') AS ts,
    coalesce(array_agg(w.d ORDER BY a.n), '{}') AS ds,
    coalesce(array_agg(CASE WHEN a.locations THEN (
        SELECT json_agg(json_build_object('location_id', r.location, 'on_hand', r.available, 'at', r.observed_at)
            ORDER BY r.location)
        FROM reading_now r
        WHERE r.sku = coalesce((SELECT m.master FROM sku_map m WHERE m.storefront = a.sku), a.sku)
    ) END ORDER BY a.n), '{}') AS places
FROM unnest(%(skus)s::text[], %(channels)s::text[], %(locations)s::boolean[])
    WITH ORDINALITY AS a (sku, channel, locations, n)
JOIN desired w ON (w.sku, w.channel) = (a.sku, a.channel)
JOIN entry e ON (e.sku, e.channel) = (a.sku, a.channel) AND NOT e.gone;
