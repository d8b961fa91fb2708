-- name: availability
-- What channels may sell of some SKUs, as planned from the facts; what lies where when asked for.
SELECT w.sku, w.channel, w.t, w.d, CASE WHEN %(locations)s THEN (
    SELECT json_agg(json_build_object('location_id', r.location, 'on_hand', r.available, 'at', r.observed_at)
        ORDER BY r.location)
    FROM reading_now r WHERE r.sku = coalesce(m.master, w.sku)) END AS places
FROM desired w JOIN entry e ON (e.sku, e.channel) = (w.sku, w.channel) AND NOT e.gone
LEFT JOIN sku_map m ON m.storefront = w.sku
WHERE w.sku = ANY (%(skus)s::text[]) AND w.channel = ANY (%(channels)s::text[]) ORDER BY w.sku, w.channel;
