-- What a replay asks the product's tables to explain its figures; no verdict rests on it.

-- name: told
-- What each number was made of, whenever a term changed: units counted at the pool's places, and units in flight by why.
SELECT sku, channel, extract(epoch FROM at)::float8 AS at, target, (
        SELECT coalesce(sum((place ->> 'available')::bigint), 0) FROM jsonb_array_elements(term -> 'locations') AS place
    )::bigint AS counted, unseen, old, doubted
FROM (
    SELECT id, sku, channel, at, (terms -> 'explanation' ->> 'target')::bigint AS target,
        coalesce(nullif(terms -> 'explanation' -> 'term', 'null'), terms -> 'explanation' -> 'components' -> 0 -> 'term')
            AS term,
        coalesce(jsonb_array_length(terms -> 'explanation' -> 'components'), 0) AS components
    FROM explained) AS kept
CROSS JOIN LATERAL (
    SELECT coalesce(sum(units) FILTER (WHERE why = 'not_allocated'), 0)::bigint AS unseen,
        coalesce(sum(units) FILTER (WHERE why = 'not_in_the_number_yet'), 0)::bigint AS old,
        coalesce(sum(units) FILTER (WHERE why = 'not_seen_since_it_rose'), 0)::bigint AS doubted
    FROM jsonb_to_recordset(term -> 'in_flight') AS flight (units bigint, why text)) AS flights
WHERE components <= 1 ORDER BY sku, channel, id;

-- name: writes
-- Writes of stock since an instant: copies sent, and keys that differed when they were looked at.
SELECT coalesce(sum(sends), 0)::bigint AS sent, (count(*) FILTER (WHERE state = 'done'))::bigint AS owed FROM operation
WHERE kind = 'stock.write' AND created_at >= to_timestamp(%(began)s);
