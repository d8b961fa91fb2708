-- name: count_case
-- One more of a trouble that has a live case: newest numbers, newest evidence last, at most %(bound)s of it.
UPDATE cases SET count = count + 1, last_at = greatest(last_at, %(now)s::timestamptz),
    expected = coalesce(%(expected)s::jsonb, expected), actual = coalesce(%(actual)s::jsonb, actual),
    evidence = (SELECT coalesce(jsonb_agg(item ORDER BY place), '[]') FROM (
        SELECT item, max(place) AS place
        FROM jsonb_array_elements(evidence || %(evidence)s::jsonb) WITH ORDINALITY AS e (item, place)
        GROUP BY item ORDER BY 2 DESC LIMIT %(bound)s::int) AS newest)
WHERE kind = %(kind)s AND subject = %(subject)s AND state <> 'resolved'
RETURNING ref, severity, alert_step(count) > alert_step(count - 1) AS tell;

-- name: insert_case
-- A new case; answers nothing when another transaction opened it first.
INSERT INTO cases (kind, subject, owner, severity, first_at, last_at, title, expected, actual, evidence, next_step)
VALUES (%(kind)s, %(subject)s, %(owner)s, %(severity)s, %(now)s, %(now)s, %(title)s, %(expected)s::jsonb,
    %(actual)s::jsonb, %(evidence)s::jsonb, %(next_step)s)
ON CONFLICT (kind, subject) WHERE state <> 'resolved' DO NOTHING
RETURNING ref;

-- name: find_case
-- One case.
SELECT * FROM cases WHERE ref = %(ref)s;

-- name: lock_case
-- One case, locked until commit.
SELECT * FROM cases WHERE ref = %(ref)s FOR UPDATE;

-- name: live_cases
-- The live cases of a subject that are of one of these kinds, locked until commit.
SELECT * FROM cases WHERE kind = ANY (%(kinds)s::text[]) AND subject = %(subject)s AND state <> 'resolved'
ORDER BY id FOR UPDATE;

-- name: list_cases
-- Cases that pass the filters, worst first, then oldest first.
SELECT * FROM cases
WHERE state = ANY (%(states)s::text[])
  AND (%(kinds)s::text[] IS NULL OR kind = ANY (%(kinds)s::text[]))
  AND (%(owner)s::text IS NULL OR owner = %(owner)s)
  AND (%(subject)s::text IS NULL OR subject = %(subject)s)
  AND severity <= %(severity)s::int
ORDER BY severity, first_at, id
LIMIT %(limit)s::int OFFSET %(offset)s::int;

-- name: count_live
-- How many live cases there are of each kind.
SELECT kind, count(*)::int AS cases FROM cases WHERE state <> 'resolved' GROUP BY kind ORDER BY min(severity), kind;

-- name: set_case_state
-- Open or acknowledged.
UPDATE cases SET state = %(state)s WHERE id = %(id)s;

-- name: set_case_owner
-- Who owns it now.
UPDATE cases SET owner = %(owner)s WHERE id = %(id)s;

-- name: resolve_case
-- The end of a case.
UPDATE cases SET state = 'resolved', resolution = %(note)s, resolved_at = %(now)s, resolved_by = %(actor)s
WHERE id = %(id)s;

-- name: add_event
-- What was done about a case.
INSERT INTO case_event (case_id, at, actor, what, detail)
SELECT id, %(now)s, %(actor)s, %(what)s, %(detail)s FROM cases WHERE ref = %(ref)s;

-- name: events_of
-- What was done about a case, in order.
SELECT e.at, e.actor, e.what, e.detail FROM case_event e JOIN cases c ON c.id = e.case_id
WHERE c.ref = %(ref)s ORDER BY e.id;

-- name: link_things
-- Notes what a case stands for, however much that is.
INSERT INTO case_link (case_id, thing)
SELECT DISTINCT c.id, thing FROM cases c, unnest(%(things)s::text[]) AS t (thing) WHERE c.ref = %(ref)s
ON CONFLICT (case_id, thing) DO NOTHING;

-- name: things_of
-- What a case stands for, in a fixed order.
SELECT thing FROM case_link WHERE case_id = %(id)s ORDER BY thing;

-- name: prune_cases
-- Cases resolved before a moment, with their history, unless something is parked behind them for good.
WITH old AS (
    SELECT c.id FROM cases c WHERE c.state = 'resolved' AND c.resolved_at < %(before)s
        AND NOT EXISTS (SELECT FROM inbox i WHERE i.case_ref = c.ref AND i.state = 'quarantined')
        AND NOT EXISTS (SELECT FROM case_link l JOIN operation o ON 'operation:' || o.id = l.thing
            WHERE l.case_id = c.id AND o.state = 'held')
    ORDER BY c.id LIMIT 1000 FOR UPDATE SKIP LOCKED),
events AS (DELETE FROM case_event USING old WHERE case_id = old.id),
links AS (DELETE FROM case_link USING old WHERE case_id = old.id),
told AS (DELETE FROM case_alert USING old WHERE case_id = old.id)
DELETE FROM cases USING old WHERE cases.id = old.id;

-- name: parked_arrivals
-- Inbox rows that are still quarantined behind a case.
SELECT id FROM inbox WHERE case_ref = %(ref)s AND state = 'quarantined' ORDER BY id;

-- name: parked_operations
-- Operations that are still held behind a case.
SELECT o.id FROM case_link l JOIN operation o ON 'operation:' || o.id = l.thing
WHERE l.case_id = %(id)s AND o.state = 'held' ORDER BY o.created_seq;

-- name: claim_alert
-- The most urgent thing a transport has not told yet, leased; two processes never get the same.
WITH next AS (
    SELECT c.id, c.count
    FROM cases c LEFT JOIN case_alert a ON a.case_id = c.id AND a.transport = %(transport)s
    WHERE c.state <> 'resolved' AND alert_step(c.count) > alert_step(coalesce(a.told_count, 0))
      AND (a.due_at IS NULL OR a.due_at <= %(now)s::timestamptz)
      AND (c.severity = 1 OR a.told_count > 0 OR c.first_at <= %(gathered_before)s::timestamptz)
    ORDER BY c.severity, coalesce(a.attempts, 0), c.first_at, c.id LIMIT 1
)
INSERT INTO case_alert (case_id, transport, telling, attempts, due_at)
SELECT id, %(transport)s, count, 1, %(lease_until)s FROM next
ON CONFLICT (case_id, transport) DO UPDATE
    SET telling = excluded.telling, attempts = case_alert.attempts + 1, due_at = excluded.due_at
    WHERE case_alert.due_at <= %(now)s::timestamptz
RETURNING case_id, telling, attempts;

-- name: case_by_id
-- One case by its number.
SELECT * FROM cases WHERE id = %(id)s;

-- name: alert_told
-- A transport has told what it claimed.
UPDATE case_alert SET told_count = greatest(told_count, %(telling)s::int), told_at = %(now)s, attempts = 0, due_at = %(now)s,
    cause = NULL
WHERE case_id = %(case_id)s AND transport = %(transport)s;

-- name: alert_failed
-- A transport could not tell; it tries again later. A newer try's claim is left alone.
UPDATE case_alert SET due_at = %(due_at)s, cause = %(cause)s
WHERE case_id = %(case_id)s AND transport = %(transport)s AND attempts = %(attempts)s::int;

-- name: note_alerted
-- What all transports have told of a case by now.
UPDATE cases SET alerted_at = %(now)s, alerted_count = told.least
FROM (SELECT min(coalesce(a.told_count, 0)) AS least
    FROM unnest(%(transports)s::text[]) AS t (name)
    LEFT JOIN case_alert a ON a.case_id = %(case_id)s AND a.transport = t.name) AS told
WHERE id = %(case_id)s AND told.least > alerted_count;

-- name: resolved_cases
-- Cases that are resolved, newest first.
SELECT * FROM cases WHERE state = 'resolved' AND (%(kind)s::text IS NULL OR kind = %(kind)s)
    AND (%(owner)s::text IS NULL OR owner = %(owner)s)
ORDER BY resolved_at DESC, id DESC LIMIT %(limit)s::int OFFSET %(offset)s::int;

-- name: last_resolved
-- When a case was last resolved.
SELECT max(resolved_at) FROM cases WHERE state = 'resolved';

-- name: live_owners
-- Who owns live cases, and how many.
SELECT owner, count(*)::int AS cases FROM cases WHERE state <> 'resolved' GROUP BY owner ORDER BY owner;

-- name: parked_counts
-- How much is parked behind each of these cases.
SELECT c.ref, (SELECT count(*) FROM inbox i WHERE i.case_ref = c.ref AND i.state = 'quarantined')::int
    + (SELECT count(*) FROM case_link l JOIN operation o ON 'operation:' || o.id = l.thing
        WHERE l.case_id = c.id AND o.state = 'held')::int AS n
FROM cases c WHERE c.ref = ANY (%(refs)s::text[]);
