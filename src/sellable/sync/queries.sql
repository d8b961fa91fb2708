-- name: sole_planner
-- One planner at a time: two would only undo each other's work.
SELECT pg_try_advisory_xact_lock(hashtext('sellable planner'));

-- name: one_reader
-- What a master's readings say is taken in one after the other: each must see what the others showed.
SELECT pg_advisory_xact_lock(hashtextextended('sellable stock ' || %(master)s, 0));

-- name: entry_written
-- A write of ours was confirmed: the storefront's new version and number, and the T it was made for.
UPDATE entry SET version = greatest(version, coalesce(%(version)s, version)), q = coalesce(%(q)s, q),
    last_t = coalesce(%(t)s, last_t), last_op = %(op)s, q_at = greatest(q_at, %(at)s)
WHERE sku = %(sku)s AND channel = %(channel)s;

-- name: park_entries
-- Raises of these keys wait: until drift was judged, or until every reading is newer than a causal number.
UPDATE entry e SET parked = %(parked)s, parked_seq = %(seq)s
FROM unnest(%(sku)s::text[], %(channel)s::text[]) AS t (sku, channel)
WHERE (e.sku, e.channel) = (t.sku, t.channel);

-- name: unpark_ready
-- Keys whose readings, at places still read, are all newer than what they waited for.
UPDATE entry e SET parked = NULL, parked_seq = NULL
FROM (SELECT p.sku, p.channel, min(o.a0) AS a0 FROM entry p LEFT JOIN made_of r ON r.sku = p.sku
        JOIN observed o ON o.sku = coalesce(r.component, p.sku) AND o.location = ANY (%(locations)s::text[])
        WHERE p.parked = 'base' AND p.sku = ANY (%(skus)s::text[]) GROUP BY 1, 2 ORDER BY 1, 2) AS m
WHERE (e.sku, e.channel) = (m.sku, m.channel) AND e.parked = 'base' AND e.parked_seq < m.a0
RETURNING e.sku, e.channel;

-- name: to_judge
-- Looks that the order sweep has passed, with what they differ by.
SELECT sku, channel, looked_q, looked_at, baseline_at, judged_at, parked, (looked_q - expected)::bigint AS drift FROM look
WHERE looked_at <= %(before)s AND (%(sku)s::text IS NULL OR (sku, channel) = (%(sku)s::text, %(channel)s::text))
    AND NOT spoiled ORDER BY looked_at LIMIT %(limit)s;

-- name: judge_even
-- Looks at keys that wait for nothing and show what E says: the judgement changes no number.
UPDATE entry e SET judged_at = l.looked_at, looked_q = NULL, looked_at = NULL
FROM (SELECT sku, channel, looked_at, spoiled, looked_q = expected AS even FROM look
    WHERE looked_at <= %(before)s AND parked IS NULL ORDER BY sku, channel LIMIT %(limit)s) AS l
WHERE (e.sku, e.channel) = (l.sku, l.channel) AND e.looked_at = l.looked_at AND e.parked IS NULL
    AND l.even AND NOT l.spoiled;

-- name: drop_spoiled_looks
-- Looks that can never be judged; the keys are read again.
UPDATE entry e SET looked_q = NULL, looked_at = NULL
FROM (SELECT sku, channel, looked_at FROM look WHERE looked_at <= %(before)s AND spoiled
    ORDER BY sku, channel LIMIT %(limit)s) AS l
WHERE (e.sku, e.channel) = (l.sku, l.channel) AND e.looked_at = l.looked_at;

-- name: judged
-- The look was judged.
UPDATE entry SET judged_at = greatest(coalesce(judged_at, %(at)s), %(at)s), looked_q = NULL, looked_at = NULL,
    parked = CASE WHEN parked = 'judge' THEN NULL ELSE parked END
WHERE sku = %(sku)s AND channel = %(channel)s;

-- name: drift_doubt
-- What an entry has drifted by of late in sum, and units sold so shortly before a look that it may not show them.
SELECT coalesce(sum(quantity) FILTER (WHERE kind = 'drift' AND remote_at > %(at)s::timestamptz - interval '30 minutes'), 0)::bigint AS net,
    coalesce(-sum(quantity) FILTER (WHERE kind = 'taken' AND remote_at > %(at)s::timestamptz - interval '10 seconds'
        AND remote_at <= %(at)s), 0)::bigint AS lagging
FROM entry_fact WHERE (sku, channel) = (%(sku)s, %(channel)s) AND remote_at > %(at)s::timestamptz - interval '30 minutes';

-- name: forget_last_target
-- After an adopted drift a raise is no refill: it needs a reading and a proof of its own.
UPDATE entry SET last_t = NULL WHERE sku = %(sku)s AND channel = %(channel)s;

-- name: drop_look
-- A look that cannot be judged is taken again.
UPDATE entry SET looked_q = NULL, looked_at = NULL WHERE sku = %(sku)s AND channel = %(channel)s;

-- name: to_look
-- Keys to read again: parked ones first, then those not judged for long, and those with goods in carts, which hold down
-- the number of others and of whose end nobody tells.
SELECT sku, channel FROM entry WHERE NOT gone AND (
    (parked = 'judge' AND looked_at IS NULL) OR (parked IS NULL AND looked_at IS NULL
        AND coalesce(judged_at, baseline_at) < %(before)s AND EXISTS (SELECT 1 FROM demand d WHERE d.sku = entry.sku AND NOT d.settled))
    OR (q_reserved > 0 AND looked_at IS NULL AND q_at < %(carts_before)s))
ORDER BY parked NULLS LAST, judged_at NULLS FIRST LIMIT %(limit)s;

-- name: lock_plans
-- Nobody notes anything about these keys until this transaction ends.
SELECT 1 FROM desired WHERE sku = ANY (%(skus)s::text[]) ORDER BY sku, channel FOR UPDATE;

-- name: put_desired
-- What each key should be; a key that differs keeps since when. What is so already is left alone.
INSERT INTO desired AS w (sku, channel, t, low_t, d, priority, reason, changed_seq, since, due_at, terms)
SELECT sku, channel, t, t, d, priority, reason, nextval('causal_seq'), %(at)s, due_at, terms
FROM unnest(%(sku)s::text[], %(channel)s::text[], %(t)s::bigint[], %(d)s::bigint[], %(priority)s::smallint[],
    %(reason)s::text[], %(terms)s::text[], %(due_at)s::timestamptz[])
    AS t (sku, channel, t, d, priority, reason, terms, due_at) ORDER BY sku, channel
ON CONFLICT (sku, channel) DO UPDATE SET t = excluded.t, low_t = least(w.low_t, excluded.t), d = excluded.d,
    priority = CASE WHEN w.d < 0 AND excluded.d < 0 THEN least(w.priority, excluded.priority)
        ELSE excluded.priority END,
    reason = excluded.reason, changed_seq = excluded.changed_seq,
    since = CASE WHEN w.d <> 0 AND sign(w.d) = sign(excluded.d) THEN w.since ELSE excluded.since END,
    due_at = CASE WHEN excluded.d < 0 AND w.d < 0 THEN least(w.due_at, excluded.due_at)
        WHEN excluded.d < 0 THEN excluded.due_at ELSE greatest(w.due_at, excluded.due_at) END,
    terms = excluded.terms
WHERE (w.t, w.d, w.terms) <> (excluded.t, excluded.d, excluded.terms) OR excluded.d <> 0;

-- name: pick_work
-- The most dangerous differences that nobody works on; P3 and P4 age up so that nothing starves. Only what the mode of
-- its channel may write; where a first pass is not let go (`gated`), at most what lowers, if it was written before too.
-- What contains numbers that are too old does not rise.
SELECT sku, channel, d, priority,
    EXISTS (SELECT FROM ladder g WHERE g.channel = desired.channel AND g.gate <> 'open') AS gated FROM desired
WHERE d <> 0 AND op IS NULL AND due_at <= %(now)s AND %(raises)s = (d > 0 AND priority > 2)
    AND channel <> ALL (%(silent)s::text[]) AND (d < 0 OR channel <> ALL (%(falling)s::text[]))
    AND NOT EXISTS (SELECT FROM ladder g WHERE g.channel = desired.channel AND g.gate <> 'open' AND NOT (g.falls AND d < 0))
    AND NOT (%(raises)s AND EXISTS (SELECT 1 FROM entry e WHERE (e.sku, e.channel) = (desired.sku, desired.channel)
        AND e.parked IS NOT NULL))
    AND NOT (%(raises)s AND EXISTS (SELECT FROM unnest(%(old_channel)s::text[], %(old_location)s::text[]) AS w (channel, location)
        LEFT JOIN made_of r ON r.sku = desired.sku
        JOIN observed o ON o.sku = coalesce(r.component, desired.sku) AND o.location = w.location
        WHERE w.channel = desired.channel))
ORDER BY CASE WHEN priority = 3 AND since <= %(now)s - interval '60 seconds' THEN 2
              WHEN priority = 4 AND since <= %(now)s - interval '5 minutes' THEN 2 ELSE priority END, since, sku, channel
LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: set_desired_op
-- The one open operation of each key.
UPDATE desired w SET op = t.op FROM unnest(%(sku)s::text[], %(channel)s::text[], %(op)s::text[]) AS t (sku, channel, op)
WHERE (w.sku, w.channel) = (t.sku, t.channel);

-- name: free_desired
-- The key's operation is over; look at it again.
UPDATE desired SET op = NULL, due_at = least(due_at, %(at)s), low_t = CASE WHEN %(written)s THEN NULL ELSE low_t END
WHERE sku = %(sku)s AND channel = %(channel)s AND op = %(op)s;

-- name: hasten_desired
-- Nothing stands in the way any more.
UPDATE desired w SET due_at = least(due_at, %(at)s) FROM unnest(%(sku)s::text[], %(channel)s::text[]) AS t (sku, channel)
WHERE (w.sku, w.channel) = (t.sku, t.channel);

-- name: postpone_desired
-- Not before then.
UPDATE desired w SET due_at = %(due_at)s FROM unnest(%(sku)s::text[], %(channel)s::text[]) AS t (sku, channel)
WHERE (w.sku, w.channel) = (t.sku, t.channel);

-- name: even_desired
-- The key does not differ after all.
UPDATE desired w SET d = 0 FROM unnest(%(sku)s::text[], %(channel)s::text[]) AS t (sku, channel)
WHERE (w.sku, w.channel) = (t.sku, t.channel) AND w.op IS NULL;

-- name: lock_desired
-- Locks exactly these keys if nobody works on them.
SELECT sku, channel, d, priority, false AS gated FROM desired WHERE op IS NULL AND (sku, channel) IN (
    SELECT sku, channel FROM unnest(%(sku)s::text[], %(channel)s::text[]) AS t (sku, channel))
    AND NOT EXISTS (SELECT FROM ladder g WHERE g.channel = desired.channel AND g.gate <> 'open')
ORDER BY sku, channel FOR UPDATE SKIP LOCKED;

-- name: payload_now
-- The newest copy of an operation.
SELECT payload FROM operation WHERE id = %(id)s;

-- name: set_payload
-- A superseding copy is committed before it is sent.
UPDATE operation SET payload = %(payload)s::jsonb WHERE id = %(id)s AND state IN ('intent', 'unknown');

-- name: entry_of_remote
-- Which of our keys a storefront entry is.
SELECT sku, channel, version FROM entry WHERE remote_id = %(remote_id)s;

-- name: mark_gone
-- The storefront has these entries no more; nothing differs there and nothing is written. Answers those that were there.
WITH gone AS (
    UPDATE entry e SET gone = true, looked_q = NULL, looked_at = NULL
    FROM unnest(%(sku)s::text[], %(channel)s::text[]) AS t (sku, channel)
    WHERE (e.sku, e.channel) = (t.sku, t.channel) AND NOT e.gone RETURNING e.sku, e.channel
), quiet AS (UPDATE desired w SET d = 0 FROM gone WHERE (w.sku, w.channel) = (gone.sku, gone.channel) RETURNING 1)
SELECT sku, channel FROM gone ORDER BY sku, channel;

-- name: our_writes
-- For each named entry of ours (place counts from 1), with those of our newest writes to it that may have made this
-- version of it (0: not told); a row without an id where there is none. `unread`: not read since the database was restored.
SELECT t.place, e.sku, e.channel, o.id, o.state, o.payload, o.result,
    e.q_seq < coalesce((SELECT value::bigint FROM remembered WHERE name = 'restored'), 0) AS unread
FROM unnest(%(remote_id)s::text[], %(version)s::bigint[]) WITH ORDINALITY AS t (remote_id, version, place)
JOIN entry e ON e.remote_id = t.remote_id
LEFT JOIN LATERAL (
    SELECT id, state, payload, result FROM operation
    WHERE lane = 'stock:' || e.channel || ':' || e.sku AND kind = 'stock.write'
        AND state IN ('intent', 'unknown', 'held', 'done')
    ORDER BY created_seq DESC LIMIT 50
) AS o ON t.version = 0 OR (o.payload ->> 'version')::bigint < t.version
    AND (o.state <> 'done' OR (o.result ->> 'version') IS NULL OR (o.result ->> 'version')::bigint >= t.version);

-- name: feed_cursor
-- Where a feed stands.
SELECT cursor FROM feed WHERE name = %(name)s;

-- name: entries_to_create
-- Keys without an entry, after a SKU, of products that may be sold and of which (of each component of which) the master
-- has units at a place of the channel. Not those being made, nor those whose last refusal waits for a person.
WITH place AS (
    SELECT channel, location FROM unnest(%(channel)s::text[], %(location)s::text[]) AS t (channel, location)
)
SELECT p.sku, c.channel FROM product p CROSS JOIN (SELECT DISTINCT channel FROM place) AS c
WHERE p.sku > %(after)s AND p.sellable AND NOT p.service AND p.fault = ''
    AND NOT EXISTS (SELECT FROM ladder g WHERE g.channel = c.channel AND g.gate <> 'open')
    AND NOT EXISTS (SELECT FROM entry e WHERE (e.sku, e.channel) = (p.sku, c.channel) AND NOT e.gone)
    AND (NOT p.kit OR EXISTS (SELECT FROM recipe r WHERE r.sku = p.sku))
    AND NOT EXISTS (
        SELECT FROM (SELECT p.sku AS sku WHERE NOT p.kit UNION ALL SELECT r.component FROM recipe r WHERE r.sku = p.sku) AS m
        WHERE NOT EXISTS (SELECT FROM observed o JOIN place w ON w.location = o.location AND w.channel = c.channel
            WHERE o.sku = m.sku AND o.state = 'available' AND o.value > 0))
    AND NOT EXISTS (SELECT FROM operation o WHERE o.lane = 'stock:' || c.channel || ':' || p.sku
        AND o.state IN ('intent', 'unknown', 'held'))
    AND NOT EXISTS (SELECT FROM cases d WHERE d.kind = 'write_refused' AND d.state <> 'resolved'
        AND d.subject IN ('sku:' || p.sku, 'channel:' || c.channel))
ORDER BY p.sku, c.channel LIMIT %(limit)s;

-- name: any_work
-- Whether any difference of this kind that may be written waits for a call.
SELECT EXISTS (SELECT 1 FROM desired WHERE d <> 0 AND op IS NULL AND due_at <= app_now()
    AND %(raises)s = (d > 0 AND priority > 2)
    AND channel <> ALL (%(silent)s::text[]) AND (d < 0 OR channel <> ALL (%(falling)s::text[]))
    AND NOT EXISTS (SELECT FROM ladder g WHERE g.channel = desired.channel AND g.gate <> 'open' AND NOT (g.falls AND d < 0)))
    AS any_work;

-- name: entries_written
-- Writes of ours were confirmed: versions and numbers of the storefront, and the T each was made for.
WITH locked AS (
    SELECT sku, channel FROM entry WHERE (sku, channel) IN (
        SELECT sku, channel FROM unnest(%(sku)s::text[], %(channel)s::text[]) AS k (sku, channel))
    ORDER BY sku, channel FOR UPDATE)
UPDATE entry e SET version = greatest(e.version, coalesce(t.version, e.version)), q = coalesce(t.q, e.q), last_t = t.t,
    last_op = t.op, q_at = greatest(e.q_at, t.at)
FROM locked, unnest(%(sku)s::text[], %(channel)s::text[], %(version)s::bigint[], %(q)s::bigint[], %(t)s::bigint[], %(op)s::text[],
    %(at)s::timestamptz[]) AS t (sku, channel, version, q, t, op, at)
WHERE (e.sku, e.channel) = (t.sku, t.channel) AND (locked.sku, locked.channel) = (t.sku, t.channel);

-- name: free_all_desired
-- The keys' operations are over: what was planned before them is less by what they added. Answers what is left to do.
WITH locked AS (
    SELECT w.sku, w.channel, t.delta FROM desired w
    JOIN unnest(%(sku)s::text[], %(channel)s::text[], %(op)s::text[], %(delta)s::bigint[]) AS t (sku, channel, op, delta)
        ON (w.sku, w.channel) = (t.sku, t.channel) AND w.op = t.op
    ORDER BY w.sku, w.channel FOR UPDATE OF w)
UPDATE desired w SET op = NULL, d = w.d - locked.delta, due_at = least(w.due_at, %(at)s), low_t = NULL
FROM locked WHERE (w.sku, w.channel) = (locked.sku, locked.channel)
RETURNING w.sku, w.d;

-- name: waits_for_base
-- SKUs whose raise waits for a newer reading of the master.
SELECT DISTINCT sku FROM entry WHERE parked = 'base';

-- name: sales_to_look_at
-- Orders at a warehouse to read again: those with units that nothing proves to be set aside, then some of the others;
-- within each those first whose last proof is the longest ago.
WITH live AS (
    SELECT p.sale_id, p.verified_seq, EXISTS (SELECT FROM demand d WHERE (d.order_id, d.location) = (p.order_id, p.location)
        AND d.open_units > 0 AND NOT d.finished AND NOT d.settled) AS unproved
    FROM order_part p WHERE p.target = %(target)s AND p.state = 'authorised' AND p.sale_id IS NOT NULL
)
(SELECT sale_id FROM live WHERE unproved ORDER BY verified_seq, sale_id LIMIT %(most)s::int)
UNION ALL (SELECT sale_id FROM live WHERE NOT unproved ORDER BY verified_seq, sale_id LIMIT greatest(1, %(most)s::int / 4));

-- name: end_doubts
-- Units in doubt whose sale was seen to hold them after the number rose count as contained again.
UPDATE demand d SET doubt_seq = NULL FROM (
    SELECT d.order_id, d.line_id, d.sku, d.slot FROM demand d JOIN order_part p USING (order_id, location)
    WHERE d.doubt_seq IS NOT NULL AND p.verified_seq > d.doubt_seq
        AND NOT EXISTS (SELECT FROM order_part q WHERE (q.order_id, q.location) = (d.order_id, d.location)
            AND q.part <> p.part AND q.state = 'authorised' AND q.verified_seq <= d.doubt_seq)
    ORDER BY d.order_id, d.line_id, d.sku, d.slot FOR UPDATE OF d) AS held
WHERE (d.order_id, d.line_id, d.sku, d.slot) = (held.order_id, held.line_id, held.sku, held.slot) RETURNING d.sku;
