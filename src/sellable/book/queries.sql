-- name: lock_order
-- One order, locked for this transaction.
SELECT * FROM orders WHERE order_id = %(order_id)s FOR UPDATE;

-- name: insert_order
-- A new order; answers nothing when somebody was faster.
INSERT INTO orders (order_id, number, version, state, stage, stage_since, placed_at, captured_at, captured_seq,
    modified_at, store, country, currency, digits, total, cart_id, document)
VALUES (%(order_id)s, %(number)s, %(version)s, %(state)s, %(stage)s, %(at)s, %(placed_at)s, %(at)s, nextval('causal_seq'),
    %(modified_at)s, %(store)s, %(country)s, %(currency)s, %(digits)s, %(total)s, %(cart_id)s, %(document)s::jsonb)
ON CONFLICT (order_id) DO NOTHING RETURNING captured_seq;

-- name: insert_lines
-- Its lines of goods.
INSERT INTO order_line (order_id, line_id, sku, channel, mode, ordered)
SELECT %(order_id)s, line_id, sku, channel, mode, units FROM unnest(%(line_id)s::text[], %(sku)s::text[],
    %(channel)s::text[], %(mode)s::text[], %(units)s::bigint[]) AS t (line_id, sku, channel, mode, units)
ON CONFLICT (order_id, line_id) DO NOTHING;

-- name: update_order
-- A newer version of an order.
UPDATE orders SET number = %(number)s, version = %(version)s, state = %(state)s, modified_at = %(modified_at)s,
    document = %(document)s::jsonb WHERE order_id = %(order_id)s AND version < %(version)s;

-- name: set_stage
-- Where the order is in its life.
UPDATE orders SET stage = %(stage)s, hold_cause = %(cause)s,
    stage_since = CASE WHEN stage = %(stage)s THEN stage_since ELSE %(at)s END WHERE order_id = %(order_id)s;

-- name: told_version
-- The version our own write-back made, so that the sweep need not fetch it again.
UPDATE orders SET told_version = greatest(told_version, %(version)s) WHERE order_id = %(order_id)s;

-- name: stale_orders
-- Which of these (id, version) are newer than what the book has.
SELECT t.order_id FROM unnest(%(order_id)s::text[], %(version)s::bigint[]) AS t (order_id, version)
LEFT JOIN orders o USING (order_id)
WHERE o.order_id IS NULL OR (t.version > o.version AND t.version > o.told_version);

-- name: known_orders
-- Which of these orders the book has.
SELECT order_id FROM orders WHERE order_id = ANY (%(ids)s::text[]);

-- name: lines_of
-- Lines of an order.
SELECT line_id, sku, channel, mode, ordered, shipped, cancelled, returned, asked FROM order_line
WHERE order_id = %(order_id)s ORDER BY line_id;

-- name: cancel_lines
-- Everything not shipped is cancelled.
UPDATE order_line SET cancelled = greatest(cancelled, ordered - least(ordered, shipped)) WHERE order_id = %(order_id)s
RETURNING line_id, sku, channel, mode, ordered, cancelled;

-- name: ship_lines
-- Units that left, by line.
UPDATE order_line l SET shipped = l.shipped + t.units
FROM unnest(%(line_id)s::text[], %(units)s::bigint[]) AS t (line_id, units)
WHERE l.order_id = %(order_id)s AND l.line_id = t.line_id
RETURNING l.line_id, l.sku, l.ordered, l.shipped, l.cancelled;

-- name: parts_of
-- Parts of an order, locked. `beside` are lines that other sales of the order carry from the same location (they leave by
-- another carrier or service level), so that units are told apart.
SELECT p.*, ARRAY(SELECT DISTINCT l.line_id FROM part_line l JOIN order_part q USING (order_id, part)
    WHERE l.order_id = p.order_id AND l.part <> p.part AND q.location = p.location AND q.state <> 'dropped' ORDER BY 1) AS beside
FROM order_part p WHERE p.order_id = %(order_id)s ORDER BY p.part FOR UPDATE OF p;

-- name: part
-- One part, locked, with the lines beside it.
SELECT p.*, ARRAY(SELECT DISTINCT l.line_id FROM part_line l JOIN order_part q USING (order_id, part)
    WHERE l.order_id = p.order_id AND l.part <> p.part AND q.location = p.location AND q.state <> 'dropped' ORDER BY 1) AS beside
FROM order_part p WHERE p.order_id = %(order_id)s AND p.part = %(part)s FOR UPDATE OF p;

-- name: part_of_sale
-- The part a sale belongs to.
SELECT * FROM order_part WHERE lower(sale_id) = lower(%(sale_id)s);

-- name: part_of_ref
-- The part a reference belongs to.
SELECT * FROM order_part WHERE ref = %(ref)s;

-- name: insert_part
-- A part of an order.
INSERT INTO order_part (order_id, part, target, location, ref, state, draft, expected, at)
VALUES (%(order_id)s, %(part)s, %(target)s, %(location)s, %(ref)s, 'planned', %(draft)s::jsonb, %(expected)s::jsonb, %(at)s)
ON CONFLICT (order_id, part) DO NOTHING;

-- name: drop_planned_parts
-- Parts that have no sale are planned anew; only for who knows that no operation of theirs is open.
DELETE FROM order_part WHERE order_id = %(order_id)s AND state IN ('planned', 'held') AND sale_id IS NULL;

-- name: insert_part_lines
-- What a part carries.
INSERT INTO part_line (order_id, part, line_id, sku, units, rule)
SELECT %(order_id)s, %(part)s, line_id, sku, units, rule
FROM unnest(%(line_id)s::text[], %(sku)s::text[], %(units)s::bigint[], %(rule)s::text[]) AS t (line_id, sku, units, rule)
ON CONFLICT DO NOTHING;

-- name: part_lines
-- What a part carries, in line order.
SELECT line_id, sku, units, shipped, rule FROM part_line WHERE order_id = %(order_id)s AND part = %(part)s ORDER BY line_id;

-- name: ship_part_lines
-- Units of a part that left.
UPDATE part_line p SET shipped = p.shipped + t.units
FROM unnest(%(line_id)s::text[], %(units)s::bigint[]) AS t (line_id, units)
WHERE p.order_id = %(order_id)s AND p.part = %(part)s AND p.line_id = t.line_id;

-- name: set_part_state
-- Moves a part on.
UPDATE order_part SET state = %(state)s WHERE order_id = %(order_id)s AND part = %(part)s;

-- name: record_sale
-- The one sale of a part; a second id is never taken, and a part that is being cancelled stays so.
UPDATE order_part SET sale_id = %(sale_id)s, sale_number = %(number)s,
    state = CASE WHEN state = 'planned' THEN 'created' ELSE state END
WHERE order_id = %(order_id)s AND part = %(part)s AND (sale_id IS NULL OR sale_id = %(sale_id)s);

-- name: revise_part
-- Another attempt: what the sale shall be is computed anew, and where its sale is gone a new one is made.
UPDATE order_part SET draft = %(draft)s::jsonb, expected = %(expected)s::jsonb,
    state = CASE WHEN sale_gone OR sale_id IS NULL THEN 'planned' ELSE 'created' END,
    sale_id = CASE WHEN sale_gone THEN NULL ELSE sale_id END, sale_gone = false, told = told AND NOT sale_gone
WHERE order_id = %(order_id)s AND part = %(part)s RETURNING state;

-- name: sale_gone
-- The sale was voided by somebody else.
UPDATE order_part SET sale_gone = true WHERE order_id = %(order_id)s AND part = %(part)s;

-- name: accept_totals
-- A person takes the totals of the sale as they are.
UPDATE order_part SET accepted = actual
WHERE order_id = %(order_id)s AND state = 'held' AND actual IS NOT NULL AND sale_id IS NOT NULL
RETURNING part, expected, actual;

-- name: allocation_news
-- Something was learnt or changed about what the sale holds: whatever was known before is out of date.
UPDATE order_part SET allocation_seq = nextval('causal_seq') WHERE order_id = %(order_id)s AND part = %(part)s
RETURNING allocation_seq;

-- name: all_allocations_doubtful
-- What was known of the sales in hand is out of date. Answers the sales and where they are.
UPDATE order_part SET allocation_seq = nextval('causal_seq'), verified_seq = 0
WHERE sale_id IS NOT NULL AND state IN ('created', 'compared', 'authorised', 'held', 'voiding') RETURNING target, sale_id;

-- name: lock_operations
-- What is open in an order's lane, locked: nobody can claim it until this transaction ends.
SELECT id, kind, sends, payload FROM operation WHERE lane = %(lane)s AND state IN ('intent', 'unknown', 'held')
ORDER BY created_seq FOR UPDATE;

-- name: record_actual
-- The totals the back office computed.
UPDATE order_part SET actual = %(actual)s::jsonb, sale_number = %(number)s
WHERE order_id = %(order_id)s AND part = %(part)s;

-- name: set_told
-- The sale's id is noted at the storefront.
UPDATE order_part SET told = true WHERE order_id = %(order_id)s AND part = %(part)s;

-- name: sale_read
-- A full read of a part's sale: its change stamp, and that it was looked at from this causal number on.
UPDATE order_part SET sale_updated = nullif(%(updated)s, '')::timestamptz, picked = %(picked)s,
    verified_seq = CASE WHEN %(holds)s THEN greatest(verified_seq, %(a0)s) ELSE verified_seq END
WHERE order_id = %(order_id)s AND part = %(part)s;

-- name: sales_listed
-- What the list of sales says of parts' sales; answers the parts as they were before, `listed` with their new stamps.
WITH listed AS (
    SELECT p.order_id, p.part, nullif(t.updated, '')::timestamptz AS updated, t.progress
    FROM unnest(%(sale_id)s::text[], %(updated)s::text[], %(progress)s::text[]) AS t (sale_id, updated, progress)
    JOIN order_part AS p ON lower(p.sale_id) = lower(t.sale_id)
), moved AS (
    SELECT order_id, part, l.updated, l.progress FROM listed AS l JOIN order_part AS p USING (order_id, part)
    WHERE p.list_updated IS DISTINCT FROM l.updated OR p.list_progress <> l.progress
    ORDER BY order_id, part FOR UPDATE OF p
), noted AS (
    UPDATE order_part AS p SET list_updated = m.updated, list_progress = m.progress
    FROM moved AS m WHERE (p.order_id, p.part) = (m.order_id, m.part)
)
SELECT order_id, part, p.sale_id, p.location, p.state, p.picked, p.sale_gone, p.sale_updated, p.list_updated,
    p.list_progress, l.updated AS listed
FROM listed AS l JOIN order_part AS p USING (order_id, part);

-- name: sales_holding
-- Sales that a walk begun at this number showed authorised with every unit picked: they held their units when the list,
-- which may lag, was last surely right (see sales_walked).
WITH walk AS (
    SELECT least(%(seq)s::bigint, coalesce(max(seq), 0)) AS seq FROM sales_walk
    WHERE at <= app_now() - interval '2 minutes'
), older AS (
    SELECT p.order_id, p.part FROM unnest(%(sale_id)s::text[]) AS t (sale_id)
    JOIN order_part AS p ON lower(p.sale_id) = lower(t.sale_id)
    WHERE p.state = 'authorised' AND p.verified_seq < (SELECT seq FROM walk)
    ORDER BY p.order_id, p.part FOR UPDATE OF p
)
UPDATE order_part AS p SET verified_seq = walk.seq FROM older, walk
WHERE (p.order_id, p.part) = (older.order_id, older.part);

-- name: sales_walked
-- A complete walk of a back office's changed sales began at this number. The list knows a change later than the stock numbers do, so
-- a sale it shows unchanged is known to have held its units when a walk two minutes ago began, not now.
WITH noted AS (INSERT INTO sales_walk (seq, at) VALUES (%(seq)s, app_now()) ON CONFLICT DO NOTHING),
forgotten AS (DELETE FROM sales_walk WHERE at < app_now() - interval '1 hour'),
proved AS (SELECT max(seq) AS seq FROM sales_walk WHERE at <= app_now() - interval '2 minutes'),
older AS (
    SELECT p.order_id, p.part, proved.seq FROM order_part AS p, proved
    WHERE p.target = %(target)s AND p.state = 'authorised' AND p.verified_seq < proved.seq AND p.sale_updated IS NOT NULL
        AND (p.list_updated IS NULL OR p.list_updated <= p.sale_updated)
    ORDER BY p.order_id, p.part FOR UPDATE OF p
)
UPDATE order_part AS p SET verified_seq = older.seq FROM older WHERE (p.order_id, p.part) = (older.order_id, older.part);

-- name: unverified
-- Which of these parts have not been seen to hold their units after a causal number, and where their sales are.
SELECT p.order_id, p.location, p.target, p.sale_id FROM order_part p
JOIN unnest(%(order_id)s::text[], %(location)s::text[]) AS t (order_id, location) USING (order_id, location)
WHERE p.sale_id IS NOT NULL AND p.state IN ('authorised', 'compared', 'created', 'held') AND p.verified_seq <= %(after)s;

-- name: sales_of_pairs
-- Sales of these orders' parts, and where they are; not those that are about to be read anyway.
SELECT DISTINCT p.target, p.sale_id FROM order_part p
JOIN unnest(%(order_id)s::text[], %(location)s::text[]) AS t (order_id, location) USING (order_id, location)
WHERE p.sale_id IS NOT NULL AND NOT EXISTS (SELECT FROM operation v
    WHERE v.lane = 'visible:' || p.order_id || ':' || p.part AND v.state IN ('intent', 'unknown', 'held'))
ORDER BY 1, 2;

-- name: insert_shipment
-- A shipment once.
INSERT INTO shipment (shipment_id, order_id, part, root, document, items, at)
VALUES (%(shipment_id)s, %(order_id)s, %(part)s, %(root)s, %(document)s::jsonb, %(items)s::jsonb, %(at)s)
ON CONFLICT (shipment_id) DO NOTHING;

-- name: shipment
-- One shipment.
SELECT * FROM shipment WHERE shipment_id = %(shipment_id)s;

-- name: pieces_of
-- What a part's shipments have been so far, oldest first.
SELECT shipment_id, root, document, items, told FROM shipment WHERE order_id = %(order_id)s AND part = %(part)s
ORDER BY at, shipment_id;

-- name: recipes_of_part
-- Units of each component in one unit of a line, as counted when the order was taken.
SELECT line_id, sku, max(per_line)::bigint AS units FROM demand WHERE order_id = %(order_id)s GROUP BY line_id, sku
ORDER BY line_id, sku;

-- name: change_lines
-- The storefront's lines are others now: more is ordered, less is cancelled; nothing that was is forgotten.
INSERT INTO order_line AS l (order_id, line_id, sku, channel, mode, ordered)
SELECT %(order_id)s, line_id, sku, channel, mode, units FROM unnest(%(line_id)s::text[], %(sku)s::text[],
    %(channel)s::text[], %(mode)s::text[], %(units)s::bigint[]) AS t (line_id, sku, channel, mode, units)
ON CONFLICT (order_id, line_id) DO UPDATE SET ordered = greatest(l.ordered, excluded.ordered),
    cancelled = greatest(l.cancelled, l.ordered - excluded.ordered);

-- name: shipped_just_so
-- Those of these shipments that are recorded with this very content, of parts that have left as a whole and that nobody
-- has found to contradict themselves.
SELECT s.shipment_id FROM shipment s
JOIN unnest(%(shipment_id)s::text[], %(document)s::text[]) AS t (shipment_id, document) USING (shipment_id)
JOIN order_part p USING (order_id, part)
WHERE p.target = %(target)s AND p.state = 'shipped' AND s.root = s.shipment_id AND s.document = t.document::jsonb
    AND NOT EXISTS (SELECT FROM cases c WHERE c.kind = 'fact_conflict' AND c.subject = 'order:' || s.order_id
        AND c.state <> 'resolved');

-- name: update_shipment
-- The same shipment with later parcels or tracking.
UPDATE shipment SET document = %(document)s::jsonb, told = false
WHERE shipment_id = %(shipment_id)s AND document <> %(document)s::jsonb;

-- name: shipments_of
-- Shipments of an order.
SELECT shipment_id, part, document, items, told, at FROM shipment WHERE order_id = %(order_id)s ORDER BY at, shipment_id;

-- name: shipment_told
-- The storefront knows this shipment.
UPDATE shipment SET told = true WHERE shipment_id = %(shipment_id)s;

-- name: add_events
-- Steps in the stories of orders.
INSERT INTO order_event (order_id, at, seq, what, detail)
SELECT order_id, at, nextval('causal_seq'), what, detail::jsonb
FROM unnest(%(order_id)s::text[], %(at)s::timestamptz[], %(what)s::text[], %(detail)s::text[])
    AS t (order_id, at, what, detail);

-- name: last_told
-- The newest step of this name of a part in its order's story.
SELECT detail FROM order_event WHERE order_id = %(order_id)s AND what = %(what)s AND (detail ->> 'part')::int = %(part)s
ORDER BY id DESC LIMIT 1;

-- name: events_of
-- An order's story.
SELECT at, seq, what, detail FROM order_event WHERE order_id = %(order_id)s ORDER BY id;

-- name: find_orders
-- Orders by id or number.
SELECT * FROM orders WHERE order_id = %(key)s OR number = %(key)s ORDER BY placed_at DESC LIMIT 5;

-- name: stage_counts
-- How many orders are where, and since when the oldest is.
SELECT stage, count(*) AS n, min(stage_since) AS oldest FROM orders GROUP BY stage ORDER BY stage;

-- name: newest_orders
-- The newest orders.
SELECT order_id, number, stage, stage_since, placed_at, total, currency, digits, hold_cause FROM orders
WHERE (%(stage)s::text IS NULL OR stage = %(stage)s) ORDER BY placed_at DESC, order_id LIMIT %(limit)s;

-- name: held_orders
-- Orders that are held, oldest first.
SELECT * FROM orders WHERE stage = 'held' ORDER BY placed_at, order_id LIMIT %(limit)s;

-- name: waiting_too_long
-- Orders that wait or are held past their age.
SELECT order_id, number, stage, stage_since, hold_cause FROM orders
WHERE stage IN ('waiting', 'held', 'exporting', 'cancelling') AND stage_since < %(before)s ORDER BY stage_since LIMIT 200;

-- name: read_parts
-- Parts of an order.
SELECT * FROM order_part WHERE order_id = %(order_id)s ORDER BY part;

-- name: move_part
-- A part is served from another location.
UPDATE order_part SET location = %(location)s WHERE order_id = %(order_id)s AND part = %(part)s;

-- name: note_stray
-- A draft that should not be there.
INSERT INTO stray (sale_id, order_id, part, since) VALUES (%(sale_id)s, %(order_id)s, %(part)s, %(at)s)
ON CONFLICT (sale_id) DO NOTHING;

-- name: old_strays
-- Strays that stayed, minutes after they were first seen.
SELECT sale_id, order_id, part FROM stray WHERE NOT owed AND since <= %(before)s ORDER BY since, sale_id LIMIT 20 FOR UPDATE SKIP LOCKED;

-- name: stray_owed
-- Its voiding is owed.
UPDATE stray SET owed = true WHERE sale_id = %(sale_id)s;

-- name: others_to_tell
-- Other shipments of an order that the storefront does not know yet: until then it is not complete.
SELECT count(*) FROM shipment
WHERE order_id = %(order_id)s AND shipment_id <> %(shipment_id)s AND NOT told AND items <> '[]'::jsonb;

-- name: units_to_ship
-- Units that live parts of an order have not shipped yet.
SELECT coalesce(sum(greatest(0, l.units - l.shipped)), 0)::bigint FROM part_line l
JOIN order_part p USING (order_id, part) WHERE l.order_id = %(order_id)s AND p.state NOT IN ('voided', 'dropped');

-- name: list_orders
-- A page of orders of some stages (or all), newest first, beginning after (placed_at, order_id).
SELECT order_id, number, stage, stage_since, placed_at, total, currency, digits, hold_cause FROM orders
WHERE (%(stages)s::text[] IS NULL OR stage = ANY (%(stages)s::text[]))
    AND (placed_at, order_id) < (%(after_at)s::timestamptz, %(after_id)s::text)
ORDER BY placed_at DESC, order_id DESC LIMIT %(limit)s::int;

-- name: list_longest
-- A page of orders of one stage, those first that are in it longest, beginning after (stage_since, order_id).
SELECT order_id, number, stage, stage_since, placed_at, total, currency, digits, hold_cause FROM orders
WHERE stage = %(stage)s AND (stage_since, order_id) > (%(after_at)s::timestamptz, %(after_id)s::text)
ORDER BY stage_since, order_id LIMIT %(limit)s::int;

-- name: list_split
-- A page of orders that became more than one sale, newest plan first, beginning after (at, order_id).
SELECT o.order_id, o.number, o.stage, o.stage_since, o.placed_at, o.total, o.currency, o.digits, o.hold_cause, p.at
FROM order_part p JOIN orders o USING (order_id)
WHERE p.part = 2 AND (p.at, p.order_id) < (%(after_at)s::timestamptz, %(after_id)s::text)
ORDER BY p.at DESC, p.order_id DESC LIMIT %(limit)s::int;

-- name: search_orders
-- Orders by their id, the beginning of their number, or the number of a sale; of some stages, or all.
SELECT order_id, number, stage, stage_since, placed_at, total, currency, digits, hold_cause FROM orders
WHERE order_id IN (
    SELECT %(text)s::text
    UNION ALL (SELECT order_id FROM orders WHERE number ~>=~ %(text)s::text AND number ~<~ %(beyond)s::text
        ORDER BY number USING ~<~ LIMIT 500)
    UNION ALL SELECT order_id FROM order_part WHERE sale_number <> '' AND sale_number = %(text)s::text
) AND (%(stages)s::text[] IS NULL OR stage = ANY (%(stages)s::text[]))
    AND (NOT %(split)s OR EXISTS (SELECT FROM order_part p WHERE p.order_id = orders.order_id AND p.part = 2))
    AND (placed_at, order_id) < (%(after_at)s::timestamptz, %(after_id)s::text)
ORDER BY placed_at DESC, order_id DESC LIMIT %(limit)s::int;

-- name: parts_of_orders
-- How many sales these orders became or will become, and where from.
SELECT order_id, count(*)::int AS parts, array_agg(location ORDER BY part) AS locations FROM order_part
WHERE order_id = ANY (%(ids)s::text[]) GROUP BY order_id;

-- name: list_strays
-- A page of drafts at the back office that are not the recorded sale of their part, oldest first; of a text, or all.
SELECT s.sale_id, s.order_id, s.part, s.since, s.owed, o.number FROM stray s LEFT JOIN orders o USING (order_id)
WHERE (s.since, s.sale_id) > (%(after_at)s::timestamptz, %(after_id)s::text)
    AND (%(text)s = '' OR %(text)s IN (s.sale_id, s.order_id, o.number))
ORDER BY s.since, s.sale_id LIMIT %(limit)s::int;

-- name: count_stages
-- How many orders are in each of these stages, counted no further than a bound, and since when the oldest is.
SELECT stage, (SELECT count(*) FROM (SELECT FROM orders o WHERE o.stage = s.stage LIMIT %(bound)s::int) AS few)::int AS n,
    (SELECT min(stage_since) FROM orders o WHERE o.stage = s.stage) AS oldest
FROM unnest(%(stages)s::text[]) AS s (stage);

-- name: count_strays
-- How many strays there are whose voiding is not owed yet.
SELECT count(*)::int FROM (SELECT FROM stray WHERE NOT owed LIMIT 1000) AS few;

-- name: any_order
-- Whether the book has an order at all.
SELECT EXISTS (SELECT FROM orders);

-- name: lock_returns
-- What the returns of an order said at the last reading, locked.
SELECT return_id, document, seq FROM goods_return WHERE order_id = %(order_id)s ORDER BY return_id FOR UPDATE;

-- name: put_return
-- A return as it is known by now.
INSERT INTO goods_return (return_id, order_id, part, number, document, seq, at)
VALUES (%(return_id)s, %(order_id)s, %(part)s, %(number)s, %(document)s::jsonb, %(seq)s, %(at)s)
ON CONFLICT (return_id) DO UPDATE SET document = excluded.document, seq = excluded.seq, number = excluded.number;

-- name: add_pieces
-- Pieces of a return.
INSERT INTO return_piece (piece_id, return_id, order_id, line_id, sku, units, location, fate, reason, item_id, at)
SELECT piece_id, %(return_id)s, %(order_id)s, line_id, sku, units, location, fate, reason, item_id, %(at)s
FROM unnest(%(piece_id)s::text[], %(line_id)s::text[], %(sku)s::text[], %(units)s::bigint[], %(location)s::text[],
    %(fate)s::text[], %(reason)s::text[], %(item_id)s::text[])
    AS t (piece_id, line_id, sku, units, location, fate, reason, item_id);

-- name: pieces_back
-- Pieces of an order's returns, oldest first, locked.
SELECT * FROM return_piece WHERE order_id = %(order_id)s ORDER BY at, piece_id FOR UPDATE;

-- name: read_pieces
-- Pieces of an order's returns, oldest first.
SELECT p.piece_id, p.return_id, r.number, p.line_id, p.sku, p.units, p.location, p.fate, p.payment, p.reason, p.item_id,
    p.told, p.at
FROM return_piece p JOIN goods_return r USING (return_id) WHERE p.order_id = %(order_id)s ORDER BY p.at, p.piece_id;

-- name: move_piece
-- A piece is somewhere else, or its fate is known.
UPDATE return_piece SET location = %(location)s, fate = %(fate)s WHERE piece_id = %(piece_id)s;

-- name: shrink_piece
-- Units of a piece become one of their own.
UPDATE return_piece SET units = units - %(units)s WHERE piece_id = %(piece_id)s;

-- name: pay_pieces
-- Whether the money of some pieces went back.
UPDATE return_piece SET payment = %(payment)s WHERE piece_id = ANY (%(piece_id)s::text[]) AND payment = '';

-- name: pieces_told
-- The storefront has these states.
UPDATE return_piece p SET told = t.told FROM unnest(%(piece_id)s::text[], %(told)s::text[]) AS t (piece_id, told)
WHERE p.piece_id = t.piece_id;

-- name: return_lines
-- Units that came back, by line.
UPDATE order_line l SET returned = l.returned + t.units
FROM unnest(%(line_id)s::text[], %(units)s::bigint[]) AS t (line_id, units)
WHERE l.order_id = %(order_id)s AND l.line_id = t.line_id;

-- name: returned_of_part
-- What may come back of a part: units that left with it, less those that are back.
SELECT l.line_id, l.sku, l.shipped, coalesce((SELECT sum(p.units) FROM return_piece p JOIN goods_return r USING (return_id)
    WHERE p.order_id = l.order_id AND r.part = l.part AND p.line_id = l.line_id), 0)::bigint AS returned
FROM part_line l WHERE l.order_id = %(order_id)s AND l.part = %(part)s ORDER BY l.line_id;

-- name: notes_of
-- What the storefront says of returns that we did not write, oldest first.
SELECT item_id, line_id, units, state, payment, reason, arrived, at FROM return_note WHERE order_id = %(order_id)s
ORDER BY at, item_id;

-- name: put_notes
-- Notes as they are now; answers those that are new.
INSERT INTO return_note AS n (order_id, item_id, line_id, units, state, payment, reason, untold, at)
SELECT %(order_id)s, item_id, line_id, units, state, payment, reason, untold, %(at)s
FROM unnest(%(item_id)s::text[], %(line_id)s::text[], %(units)s::bigint[], %(state)s::text[], %(payment)s::text[],
    %(reason)s::text[], %(untold)s::bigint[]) AS t (item_id, line_id, units, state, payment, reason, untold)
ON CONFLICT (order_id, item_id) DO UPDATE SET state = excluded.state, payment = excluded.payment
RETURNING item_id, line_id, units, state, reason, (xmax = 0) AS new;

-- name: note_arrived
-- Units of a note are back at the back office.
UPDATE return_note SET arrived = arrived + %(units)s WHERE order_id = %(order_id)s AND item_id = %(item_id)s;

-- name: find_piece
-- A piece of an order.
SELECT * FROM return_piece WHERE piece_id = %(piece_id)s FOR UPDATE;

-- name: ask_lines
-- Somebody wants so many units of lines cancelled, all told; never fewer than before.
UPDATE order_line l SET asked = greatest(l.asked, t.asked)
FROM unnest(%(line_id)s::text[], %(asked)s::bigint[]) AS t (line_id, asked)
WHERE l.order_id = %(order_id)s AND l.line_id = t.line_id;

-- name: cancel_units
-- Units of lines are surely cancelled: nobody ships them any more.
UPDATE order_line l SET cancelled = least(l.ordered, l.cancelled + t.units), asked = greatest(l.asked, l.cancelled + t.units)
FROM unnest(%(line_id)s::text[], %(units)s::bigint[]) AS t (line_id, units)
WHERE l.order_id = %(order_id)s AND l.line_id = t.line_id;

-- name: shrink_part_lines
-- A part carries fewer units of lines; a line with none left is no line of it.
WITH t AS (SELECT * FROM unnest(%(line_id)s::text[], %(units)s::bigint[]) AS t (line_id, units)),
gone AS (DELETE FROM part_line p USING t WHERE p.order_id = %(order_id)s AND p.part = %(part)s AND p.line_id = t.line_id
    AND p.units <= t.units)
UPDATE part_line p SET units = p.units - t.units FROM t
WHERE p.order_id = %(order_id)s AND p.part = %(part)s AND p.line_id = t.line_id AND p.units > t.units;

-- name: lines_that_differ
-- Lines that break the rule of conservation: what a case must explain. Empty is right.
SELECT order_id, line_id, sku, ordered, shipped, cancelled, returned,
    greatest(0, shipped + cancelled - ordered) AS over_shipped, greatest(0, returned - shipped) AS over_returned
FROM order_line WHERE shipped + cancelled > ordered OR returned > shipped ORDER BY order_id, line_id;

-- name: redraft
-- What a part's sale shall say, without another attempt at it.
UPDATE order_part SET draft = %(draft)s::jsonb WHERE order_id = %(order_id)s AND part = %(part)s;

-- name: count_lines
-- Lines of an order whose numbers commercetools is the master of are followed from now on.
INSERT INTO counted_line (order_id, line_id, sku, channel)
SELECT order_id, line_id, sku, channel FROM order_line
WHERE order_id = %(order_id)s AND line_id = ANY (%(line_id)s::text[])
ON CONFLICT (order_id, line_id) DO NOTHING;

-- name: cancel_follows
-- We are about to cancel a whole order at the storefront: what that puts back is expected before it happens.
UPDATE counted_line SET cancelling = true WHERE order_id = %(order_id)s;

-- name: lose_units
-- Units of followed lines that the warehouse could not find: cancelled, and on no shelf.
UPDATE counted_line c SET lost = c.lost + t.units
FROM unnest(%(line_id)s::text[], %(units)s::bigint[]) AS t (line_id, units)
WHERE c.order_id = %(order_id)s AND c.line_id = t.line_id;

-- name: balance_lines
-- Balances of followed lines that moved, and by how much. Units are out while they are ordered and not cancelled (or
-- cancelled because they are lost), while a sale that is not over carries them, and when they left; they are back when
-- they were returned fit to be sold. What commercetools did itself: it took what was ordered unless the line's mode is
-- None, and it put back what was cancelled with the order, or labelled BackInStock, where it is known to do so.
WITH held AS (
    SELECT l.order_id, l.line_id, sum(l.units)::bigint AS units FROM part_line l JOIN order_part p USING (order_id, part)
    WHERE l.order_id = ANY (%(order_ids)s::text[]) AND p.state NOT IN ('voided', 'dropped') GROUP BY 1, 2
), returned AS (
    SELECT order_id, line_id, coalesce(sum(units) FILTER (WHERE fate = 'available'), 0)::bigint AS units,
        coalesce(sum(units) FILTER (WHERE fate = 'available' OR told LIKE 'BackInStock%%'), 0)::bigint AS labelled
    FROM return_piece WHERE order_id = ANY (%(order_ids)s::text[]) AND line_id IS NOT NULL GROUP BY 1, 2
), balance AS (
    SELECT c.order_id, c.line_id, CASE WHEN l.mode = 'None' THEN 0 ELSE l.ordered
            - CASE WHEN %(on_cancel)s AND (o.state = 'Cancelled' OR c.cancelling) THEN l.ordered ELSE 0 END
            - CASE WHEN %(on_return)s THEN coalesce(r.labelled, 0) ELSE 0 END END
        - greatest(least(l.ordered, l.ordered - l.cancelled + c.lost), coalesce(h.units, 0), l.shipped)
        + coalesce(r.units, 0) AS units
    FROM counted_line c JOIN order_line l USING (order_id, line_id) JOIN orders o USING (order_id)
    LEFT JOIN held h USING (order_id, line_id) LEFT JOIN returned r USING (order_id, line_id)
    WHERE c.order_id = ANY (%(order_ids)s::text[]) ORDER BY c.order_id, c.line_id FOR UPDATE OF c
), moved AS (
    SELECT b.order_id, b.line_id, b.units, b.units - c.adjusted AS change FROM balance b
    JOIN counted_line c USING (order_id, line_id) WHERE b.units <> c.adjusted
)
UPDATE counted_line c SET adjusted = m.units FROM moved m WHERE (c.order_id, c.line_id) = (m.order_id, m.line_id)
RETURNING c.order_id, c.line_id, c.sku, c.channel, m.change AS units;

-- name: notes_to_announce
-- Returns at the storefront that a warehouse may have to be told of, oldest first, and whether all of their line that is
-- to leave has left.
SELECT n.item_id, n.line_id, n.untold AS units, n.reason, l.sku, l.shipped + l.cancelled >= l.ordered AS complete
FROM return_note n JOIN order_line l USING (order_id, line_id)
WHERE n.order_id = %(order_id)s AND n.untold > 0 AND n.arrived = 0 AND n.state IN ('Advised', 'Returned')
ORDER BY n.at, n.item_id;

-- name: still_out
-- By part at these back offices, units of a line that left with it and are neither back nor announced.
SELECT l.part, p.ref, p.target, greatest(0, l.shipped
    - coalesce((SELECT sum(x.units) FROM return_piece x JOIN goods_return r USING (return_id)
        WHERE x.order_id = l.order_id AND r.part = l.part AND x.line_id = l.line_id), 0)
    - coalesce((SELECT sum(a.units - a.arrived) FROM announcement a
        WHERE a.order_id = l.order_id AND a.part = l.part AND a.line_id = l.line_id), 0))::bigint AS units
FROM part_line l JOIN order_part p USING (order_id, part)
WHERE l.order_id = %(order_id)s AND l.line_id = %(line_id)s AND p.target = ANY (%(targets)s::text[]) ORDER BY l.part;

-- name: announce
-- A return to be announced, once.
INSERT INTO announcement (ref, order_id, part, item_id, line_id, units, at)
VALUES (%(ref)s, %(order_id)s, %(part)s, %(item_id)s, %(line_id)s, %(units)s, %(at)s)
ON CONFLICT (ref) DO NOTHING;

-- name: note_told
-- Nothing of a note is left to be announced.
UPDATE return_note SET untold = 0 WHERE order_id = %(order_id)s AND item_id = %(item_id)s;

-- name: announcement
-- One announcement.
SELECT * FROM announcement WHERE ref = %(ref)s;

-- name: announced_parts
-- References of the parts that these announcements are of.
SELECT a.ref, p.ref AS part_ref FROM announcement a JOIN order_part p USING (order_id, part)
WHERE a.ref = ANY (%(refs)s::text[]);

-- name: announcement_told
-- The warehouse knows it.
UPDATE announcement SET told = true WHERE ref = %(ref)s;

-- name: announcement_arrived
-- Units of it came back.
UPDATE announcement SET arrived = arrived + %(units)s WHERE ref = %(ref)s;

-- name: announcements_of
-- What was announced of an order's returns.
SELECT ref, part, item_id, line_id, units, arrived, told, at FROM announcement WHERE order_id = %(order_id)s ORDER BY at, ref;
