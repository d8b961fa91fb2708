-- What a checker reads of the product's tables. Each statement answers the rows that break an invariant.

-- name: balances_off
-- I1: balances that are not the sum of their movements.
SELECT sku, location, state, sum(quantity)::bigint AS off FROM (
    SELECT sku, to_location AS location, to_state AS state, quantity FROM movement
    UNION ALL SELECT sku, from_location, from_state, -quantity FROM movement
    UNION ALL SELECT sku, location, state, -quantity FROM balance
) AS sides GROUP BY sku, location, state HAVING sum(quantity) <> 0 ORDER BY sku, location, state;

-- name: skus_off
-- I1: SKUs whose accounts do not sum to 0.
SELECT sku, sum(quantity)::bigint AS off FROM balance GROUP BY sku HAVING sum(quantity) <> 0 ORDER BY sku;

-- name: lines_off
-- I6: lines with more cancelled and shipped than ordered, or more back than left, without the case that says so.
SELECT l.order_id, l.line_id, l.ordered, l.shipped, l.cancelled, l.returned FROM order_line AS l
WHERE (l.shipped + l.cancelled > l.ordered AND NOT EXISTS (
    SELECT FROM cases AS c WHERE c.kind IN ('over_shipped', 'cancel_too_late') AND c.subject = 'order:' || l.order_id
)) OR (l.returned > l.shipped AND NOT EXISTS (
    SELECT FROM cases AS c WHERE c.kind = 'over_returned' AND c.subject = 'order:' || l.order_id
))
ORDER BY l.order_id, l.line_id;

-- name: shadows_off
-- I8: entries whose E is not the sum of its facts.
SELECT e.sku, e.channel, e.e + coalesce(p.quantity, 0) AS kept, coalesce(f.quantity, 0) AS facts FROM entry AS e
LEFT JOIN (SELECT sku, channel, sum(quantity)::bigint AS quantity FROM entry_pending GROUP BY 1, 2) AS p
    USING (sku, channel)
LEFT JOIN (SELECT sku, channel, sum(quantity)::bigint AS quantity FROM entry_fact GROUP BY 1, 2) AS f
    USING (sku, channel)
WHERE e.e + coalesce(p.quantity, 0) <> coalesce(f.quantity, 0) ORDER BY e.sku, e.channel;

-- name: doubled_operations
-- I9: keys with more than one open stock write.
SELECT lane, count(*) AS n FROM operation
WHERE kind = 'stock.write' AND state IN ('intent', 'unknown', 'held') GROUP BY lane HAVING count(*) > 1 ORDER BY lane;

-- name: bundles_off
-- I13: bundles whose number exceeds what a component allows, on channels that do not cap; slack is what is held back.
SELECT k.sku, k.channel, k.t, c.sku AS component, c.t AS component_t, r.units FROM desired AS k
JOIN recipe AS r ON r.sku = k.sku JOIN desired AS c ON c.sku = r.component AND c.channel = k.channel
JOIN unnest(%(channels)s::text[], %(slacks)s::bigint[]) AS s (channel, slack) ON s.channel = k.channel
WHERE k.t > 0 AND k.t * r.units > greatest(c.t, 0) + s.slack ORDER BY k.sku, k.channel, c.sku;

-- name: bases
-- I17: how new each base is.
SELECT sku, location, part, a0 FROM observed ORDER BY sku, location, part;

-- name: unaudited
-- I20: settled effects that no row of the audit tells of, though they had time.
SELECT o.id, o.kind FROM operation AS o
WHERE o.system <> 'self' AND o.settled_at < %(before)s AND o.state <> 'superseded' AND NOT EXISTS (
    SELECT FROM audit AS a WHERE a.subject = 'operation:' || o.id OR a.correlation = o.id OR a.correlation = o.correlation
) ORDER BY o.id;

-- name: canaries
-- I19: rows of what is kept for people that hold a secret or a shopper's name.
SELECT 'audit' AS place, id::text AS row FROM audit AS a WHERE a::text ~ %(pattern)s
UNION ALL SELECT 'call_log', id::text FROM call_log AS c WHERE c::text ~ %(pattern)s
UNION ALL SELECT 'cases', ref FROM cases AS c WHERE c::text ~ %(pattern)s
UNION ALL SELECT 'explained', id::text FROM explained AS e WHERE e::text ~ %(pattern)s;

-- name: unfinished
-- What must have ended once everything has come to rest: operations, arrivals, wishes, differences.
SELECT 'operation ' || kind || ' ' || state AS what, count(*) AS n FROM operation
WHERE state IN ('intent', 'unknown', 'held') GROUP BY kind, state
UNION ALL SELECT 'inbox ' || kind || ' ' || state, count(*) FROM inbox WHERE state <> 'done' GROUP BY kind, state
UNION ALL SELECT 'difference', count(*) FROM desired WHERE d <> 0 HAVING count(*) > 0
ORDER BY 1;

-- name: not_published
-- At rest: entries whose T is not E.
SELECT e.sku, e.channel, d.t, e.e FROM entry_now AS e JOIN desired AS d USING (sku, channel)
WHERE d.t <> e.e ORDER BY e.sku, e.channel;

-- name: waiting_orders
-- I5: orders the book says wait, with what they wait for.
SELECT o.order_id, o.stage, o.hold_cause, EXISTS (
    SELECT FROM cases AS c WHERE c.subject = 'order:' || o.order_id AND c.state <> 'resolved'
) AS owned FROM orders AS o WHERE o.stage IN ('waiting', 'held', 'exporting') ORDER BY o.order_id;

-- name: parked_cases
-- Open cases, for an operator who tries everything again.
SELECT ref, kind, subject FROM cases WHERE state <> 'resolved' ORDER BY id;

-- name: case_kinds
-- Kinds of case that were ever opened, with one subject of each.
SELECT kind, min(subject) AS subject FROM cases GROUP BY kind ORDER BY kind;

-- name: pieces_open
-- Returned goods that somebody still has to look at.
SELECT piece_id, order_id, sku FROM return_piece WHERE fate IN ('inspection', 'quarantine') ORDER BY piece_id;

-- name: book_lines
-- I6: what the book says of the lines of orders that live, by order and SKU.
SELECT l.order_id, l.sku, sum(l.ordered)::bigint AS ordered, sum(l.shipped)::bigint AS shipped,
    sum(l.cancelled)::bigint AS cancelled, sum(l.returned)::bigint AS returned
FROM order_line AS l JOIN orders AS o USING (order_id) WHERE o.state <> 'Cancelled'
GROUP BY l.order_id, l.sku ORDER BY l.order_id, l.sku;
