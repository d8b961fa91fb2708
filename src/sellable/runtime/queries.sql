-- name: next_seq
-- The next number of the causal clock.
SELECT next_seq();

-- name: put_arrivals
-- Stores arrivals in the given order and rings for the new ones; known identities are left as they are.
WITH stored AS (
    INSERT INTO inbox
        (source, message_id, kind, lane, priority, body, sealed_with, meta, received_at, received_seq, due_at)
    SELECT source, message_id, kind, lane, priority, body, %(sealed_with)s, meta::jsonb, %(now)s::timestamptz, next_seq(),
        %(now)s::timestamptz
    FROM (
        SELECT * FROM unnest(
            %(sources)s::text[], %(message_ids)s::text[], %(kinds)s::text[], %(lanes)s::text[],
            %(priorities)s::smallint[], %(bodies)s::bytea[], %(metas)s::text[]
        ) WITH ORDINALITY AS arrival (source, message_id, kind, lane, priority, body, meta, place)
        ORDER BY place
    ) AS arrivals
    ON CONFLICT (source, message_id) DO NOTHING
    RETURNING source, message_id
)
SELECT source, message_id, (SELECT pg_notify(%(channel)s, %(told)s)) AS rung FROM stored;

-- name: find_arrival
-- One arrival by id.
SELECT * FROM inbox WHERE id = %(id)s;

-- name: lock_inbox_lanes
-- Lanes of the most urgent (or, by age, of the oldest) due rows of a worker's kinds that no other process works on, locked
-- until the end of the transaction.
-- OFFSET 0 keeps the planner from asking for the locks before the rows are in order: it would lock all lanes.
SELECT lane FROM (
    SELECT lane, min(rank) AS rank, min(id) AS first FROM (
        SELECT id, lane, CASE WHEN %(by_age)s THEN 0::smallint ELSE priority END AS rank FROM inbox
        WHERE state = 'new' AND due_at <= %(now)s AND (kind = ANY(%(kinds)s::text[])) = %(only)s
        ORDER BY 3, id LIMIT 10 * %(limit)s
    ) AS ahead
    GROUP BY lane ORDER BY rank, first OFFSET 0
) AS lanes
WHERE CASE WHEN lane = '' THEN true ELSE pg_try_advisory_xact_lock(hashtextextended('inbox ' || lane, 0)) END
LIMIT %(limit)s;

-- name: claim_arrivals
-- The oldest due rows of locked lanes, without those behind a row that waits for its next attempt.
SELECT * FROM inbox AS i
WHERE state = 'new' AND lane = ANY(%(lanes)s::text[]) AND due_at <= %(now)s AND (kind = ANY(%(kinds)s::text[])) = %(only)s
    AND NOT EXISTS (
        SELECT FROM inbox AS e
        WHERE e.lane = i.lane AND e.lane <> '' AND e.state = 'new' AND e.id < i.id AND e.due_at > %(now)s
    )
ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: arrivals_done
-- Marks arrivals as handled.
UPDATE inbox SET state = 'done', settled_at = %(now)s WHERE id = ANY(%(ids)s::bigint[]);

-- name: postpone_arrival
-- Notes a failed attempt and when to try again.
UPDATE inbox SET attempts = attempts + %(counted)s, cause = %(cause)s, due_at = %(due_at)s WHERE id = %(id)s;

-- name: quarantine_arrival
-- Parks an arrival behind its case.
UPDATE inbox SET state = 'quarantined', attempts = attempts + 1, cause = %(cause)s, case_ref = %(case_ref)s,
    settled_at = %(now)s
WHERE id = %(id)s;

-- name: requeue_arrival
-- Lets a quarantined arrival be handled again.
UPDATE inbox SET state = 'new', attempts = 0, settled_at = NULL, due_at = app_now()
WHERE id = %(id)s AND state = 'quarantined';

-- name: sealed_before
-- The next rows in order whose bodies are stored under one of these keys, locked.
SELECT id, source, message_id, sealed_with, body FROM inbox
WHERE id > %(after)s AND sealed_with = ANY(%(key_ids)s::text[]) ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: put_bodies
-- Puts newly sealed bodies in place of the old ones.
UPDATE inbox AS i SET body = t.body, sealed_with = %(sealed_with)s
FROM unnest(%(ids)s::bigint[], %(bodies)s::bytea[]) AS t (id, body) WHERE i.id = t.id;

-- name: prune_inbox
-- Forgets arrivals handled before a moment.
DELETE FROM inbox WHERE state = 'done' AND settled_at < %(before)s;

-- name: lock_operation_lanes
-- Makes owners of one lane wait for each other, so that its created_seq is also the order of its commits.
SELECT pg_advisory_xact_lock(hashtextextended('operation ' || lane, 0))
FROM (SELECT DISTINCT lane FROM unnest(%(lanes)s::text[]) AS lane ORDER BY lane) AS lanes;

-- name: put_operations
-- Commits what is owed, in the given order; a known id is left as it is.
INSERT INTO operation
    (id, system, kind, lane, budget, priority, payload, correlation, due_at, created_at, created_seq, snapshot_seq)
SELECT id, system, kind, lane, budget, priority, payload::jsonb, correlation, coalesce(due_at, %(now)s::timestamptz),
    %(now)s::timestamptz, next_seq(), snapshot_seq
FROM (
    SELECT * FROM unnest(
        %(ids)s::text[], %(systems)s::text[], %(kinds)s::text[], %(lanes)s::text[], %(budgets)s::text[],
        %(priorities)s::smallint[], %(payloads)s::text[], %(correlations)s::text[], %(due_ats)s::timestamptz[],
        %(snapshot_seqs)s::bigint[]
    ) WITH ORDINALITY
        AS intent (id, system, kind, lane, budget, priority, payload, correlation, due_at, snapshot_seq, place)
    ORDER BY place
) AS intents
ON CONFLICT (id) DO NOTHING;

-- name: claim_operations
-- Leases the most urgent due operations that are first of their lane; each counts as sent from here on.
WITH picked AS (
    SELECT o.id FROM unnest(%(budgets)s::text[]) AS wanted (budget) CROSS JOIN LATERAL (
        SELECT * FROM operation AS a
        WHERE a.system = %(system)s AND a.budget = wanted.budget AND a.state IN ('intent', 'unknown')
            AND a.due_at <= %(now)s AND (a.lease_until IS NULL OR a.lease_until <= app_now())
            AND NOT EXISTS (
                SELECT FROM operation AS e
                WHERE e.lane = a.lane AND e.state IN ('intent', 'unknown', 'held') AND e.created_seq < a.created_seq
            )
        ORDER BY (a.state = 'intent' AND a.sends = a.outcome_sends), a.priority, a.due_at, a.created_seq
        LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ) AS o
    ORDER BY (o.state = 'intent' AND o.sends = o.outcome_sends), o.priority, o.due_at, o.created_seq
    LIMIT %(limit)s
)
UPDATE operation AS o
SET owner = %(owner)s, epoch = o.epoch + 1, sends = o.sends + 1,
    lease_until = app_now() + make_interval(secs => %(lease_seconds)s)
FROM picked WHERE o.id = picked.id
RETURNING o.*;

-- name: claim_named_operations
-- Leases these operations where they are first of their lane; each counts as sent from here on.
UPDATE operation AS o
SET owner = %(owner)s, epoch = o.epoch + 1, sends = o.sends + 1,
    lease_until = app_now() + make_interval(secs => %(lease_seconds)s)
WHERE o.id = ANY(%(ids)s::text[]) AND o.state IN ('intent', 'unknown') AND o.due_at <= %(now)s AND o.owner IS NULL
    AND NOT EXISTS (
        SELECT FROM operation AS e
        WHERE e.lane = o.lane AND e.state IN ('intent', 'unknown', 'held') AND e.created_seq < o.created_seq
    )
RETURNING o.*;

-- name: claim_alike
-- Leases the most urgent due operations of one kind of which no copy is open and that are first of their lane; each counts
-- as sent from here on.
WITH picked AS (
    SELECT a.id FROM operation AS a
    WHERE a.system = %(system)s AND a.budget = %(budget)s AND a.state = 'intent' AND a.kind = %(kind)s AND a.sends = a.outcome_sends
        AND a.due_at <= %(now)s AND (a.lease_until IS NULL OR a.lease_until <= app_now())
        AND NOT EXISTS (
            SELECT FROM operation AS e
            WHERE e.lane = a.lane AND e.state IN ('intent', 'unknown', 'held') AND e.created_seq < a.created_seq
        )
    ORDER BY a.priority, a.due_at, a.created_seq
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE operation AS o
SET owner = %(owner)s, epoch = o.epoch + 1, sends = o.sends + 1,
    lease_until = app_now() + make_interval(secs => %(lease_seconds)s)
FROM picked WHERE o.id = picked.id
RETURNING o.*;

-- name: operations_ahead
-- Priority of the most urgent operation that may be claimed now, and when the next comes due or its lease ends.
SELECT (
    SELECT a.priority FROM operation AS a
    WHERE a.system = %(system)s AND a.budget = %(budget)s AND a.state IN ('intent', 'unknown')
        AND a.due_at <= %(now)s AND (a.lease_until IS NULL OR a.lease_until <= app_now())
        AND NOT EXISTS (
            SELECT FROM operation AS e
            WHERE e.lane = a.lane AND e.state IN ('intent', 'unknown', 'held') AND e.created_seq < a.created_seq
        )
    ORDER BY (a.state = 'intent' AND a.sends = a.outcome_sends), a.priority, a.due_at, a.created_seq
    LIMIT 1
) AS priority, (
    SELECT min(greatest(due_at, lease_until)) FROM operation
    WHERE system = %(system)s AND budget = %(budget)s AND state IN ('intent', 'unknown')
        AND greatest(due_at, lease_until) > %(now)s
) AS due_at;

-- name: renew_leases
-- Keeps the leases of operations that are still being carried out.
UPDATE operation AS o SET lease_until = app_now() + make_interval(secs => %(lease_seconds)s)
FROM unnest(%(ids)s::text[], %(epochs)s::int[]) AS mine (id, epoch)
WHERE o.id = mine.id AND o.epoch = mine.epoch AND o.owner = %(owner)s;

-- name: drop_leases
-- Gives up the leases of an owner that has just started and so carries out nothing.
UPDATE operation SET owner = NULL, lease_until = NULL WHERE owner = %(owner)s AND state IN ('intent', 'unknown');

-- name: settle_operation
-- Writes an outcome under its epoch. Only a claim that has no outcome yet can be settled, so once only. Answers what is
-- first in its lane then.
WITH settled AS (
    UPDATE operation SET
        state = %(state)s,
        owner = NULL,
        lease_until = NULL,
        sends = sends - %(unsent)s::int,
        outcome_sends = CASE WHEN %(unsent)s::int > 0 THEN outcome_sends ELSE sends END,
        attempts = attempts + %(attempt)s::int,
        due_at = %(due_at)s,
        settled_at = CASE WHEN %(final)s::bool THEN %(now)s::timestamptz END,
        settled_seq = CASE WHEN %(final)s::bool THEN next_seq() END,
        result = %(result)s::jsonb,
        cause = %(cause)s
    WHERE id = %(id)s AND state IN ('intent', 'unknown') AND epoch = %(epoch)s AND owner IS NOT NULL
    RETURNING id, lane
)
SELECT s.id, n.system AS first_system, n.budget AS first_budget
FROM settled AS s LEFT JOIN LATERAL (
    SELECT system, budget FROM operation AS o
    WHERE o.lane = s.lane AND o.state IN ('intent', 'unknown') AND NOT (%(final)s::bool AND o.id = s.id)
    ORDER BY created_seq LIMIT 1
) AS n ON true;

-- name: settle_done
-- Writes that claims were applied, each under its epoch; answers those that count, and what is first in their lanes then.
WITH settled AS (
    UPDATE operation AS o SET state = 'done', owner = NULL, lease_until = NULL, outcome_sends = o.sends,
        settled_at = %(now)s, settled_seq = next_seq(), result = t.result::jsonb, cause = NULL
    FROM unnest(%(ids)s::text[], %(epochs)s::int[], %(results)s::text[]) AS t (id, epoch, result)
    WHERE o.id = t.id AND o.epoch = t.epoch AND o.state IN ('intent', 'unknown') AND o.owner IS NOT NULL
    RETURNING o.id, o.lane
)
SELECT s.id, n.system AS first_system, n.budget AS first_budget
FROM settled AS s LEFT JOIN LATERAL (
    SELECT system, budget FROM operation AS o
    WHERE o.lane = s.lane AND o.state IN ('intent', 'unknown') AND o.id <> s.id ORDER BY created_seq LIMIT 1
) AS n ON true;

-- name: hold_operation
-- Stops an open operation, and its lane, until somebody decides.
UPDATE operation SET state = 'held', held_from = state, owner = NULL, lease_until = NULL, cause = %(cause)s
WHERE id = %(id)s AND state IN ('intent', 'unknown');

-- name: release_operation
-- Lets a held operation go on where it stopped, with fresh attempts.
UPDATE operation SET state = held_from, held_from = NULL, attempts = 0, due_at = app_now()
WHERE id = %(id)s AND state = 'held';

-- name: supersede_operation
-- Ends an open operation that another one replaces.
UPDATE operation SET state = 'superseded', held_from = NULL, owner = NULL, lease_until = NULL,
    settled_at = app_now(), settled_seq = next_seq()
WHERE id = %(id)s AND state IN ('intent', 'unknown', 'held');

-- name: find_operation
-- One operation by id.
SELECT * FROM operation WHERE id = %(id)s;

-- name: operations_open_in_lane
-- What is not settled in a lane, in its order.
SELECT * FROM operation WHERE lane = %(lane)s AND state IN ('intent', 'unknown', 'held') ORDER BY created_seq;

-- name: operations_of_order
-- All that was ever owed for an order and is not forgotten, in its order.
SELECT * FROM operation WHERE lane = %(lane)s AND lane LIKE 'order:%%' ORDER BY created_seq LIMIT %(limit)s::int;

-- name: stray_operations
-- Open operations of served systems whose budget lane nobody would ever serve.
SELECT * FROM operation AS o
WHERE state IN ('intent', 'unknown') AND system = ANY(%(systems)s::text[]) AND NOT EXISTS (
    SELECT FROM unnest(%(systems)s::text[], %(budgets)s::text[]) AS served (system, budget)
    WHERE served.system = o.system AND served.budget = o.budget
)
ORDER BY created_seq LIMIT 100;

-- name: prune_operations
-- Forgets operations settled before a moment.
DELETE FROM operation WHERE settled_at < %(before)s;

-- name: lock_budget
-- What a credential may spend, locked, and the database's time: one clock for all that share it.
SELECT s.filled_at, s.cooldown_until, s.shrink, app_now() AS now FROM budget_state AS s
WHERE credential = %(credential)s FOR UPDATE;

-- name: open_budget
-- Begins the account of a credential.
INSERT INTO budget_state (credential, filled_at, shrink) VALUES (%(credential)s, app_now(), 1)
ON CONFLICT (credential) DO NOTHING;

-- name: budget_lanes
-- Tokens and use of each lane of a credential; asked after the lock, for only then they are the present ones.
SELECT lane, tokens, slot, used, used_before FROM budget WHERE credential = %(credential)s;

-- name: fill_budget
-- Writes back tokens and use of all lanes of a credential, when it was filled and how far it is shrunk; a cooldown is
-- over.
WITH filled AS (
    UPDATE budget_state SET filled_at = %(filled_at)s, shrink = %(shrink)s, cooldown_until = NULL
    WHERE credential = %(credential)s
)
INSERT INTO budget (credential, lane, tokens, slot, used, used_before)
SELECT %(credential)s, * FROM unnest(
    %(lanes)s::text[], %(tokens)s::float8[], %(slots)s::bigint[], %(used)s::bigint[], %(used_before)s::bigint[]
)
ON CONFLICT (credential, lane) DO UPDATE
SET tokens = excluded.tokens, slot = excluded.slot, used = excluded.used, used_before = excluded.used_before;

-- name: cool_budget
-- Stops a credential for some seconds and halves its rate, once for each cooldown and not below a floor.
UPDATE budget_state SET
    shrink = CASE WHEN cooldown_until > app_now() THEN shrink ELSE greatest(shrink / 2, %(floor)s) END,
    cooldown_until = greatest(cooldown_until, app_now() + make_interval(secs => %(seconds)s))
WHERE credential = %(credential)s;

-- name: close_budget
-- Stops a credential for some seconds; its rate stays.
UPDATE budget_state SET cooldown_until = greatest(cooldown_until, app_now() + make_interval(secs => %(seconds)s))
WHERE credential = %(credential)s;

-- name: empty_budget
-- Takes all tokens of a credential.
UPDATE budget SET tokens = 0 WHERE credential = %(credential)s;

-- name: budget_overview
-- State of the accounts of some credentials, for people.
SELECT s.credential, s.cooldown_until, s.shrink, b.lane, b.tokens, b.slot, b.used, b.used_before, app_now() AS now
FROM budget_state AS s JOIN budget AS b USING (credential)
WHERE s.credential = ANY(%(credentials)s::text[]) ORDER BY s.credential, b.lane;

-- name: put_wanted
-- Wishes for things to be read, given in key order: a new number, the more urgent priority, due at once.
INSERT INTO wanted (system, kind, key, priority, seq, due_at, since)
SELECT system, kind, key, priority, next_seq(), at, at
FROM unnest(%(system)s::text[], %(kind)s::text[], %(key)s::text[], %(priority)s::smallint[], %(at)s::timestamptz[])
    AS t (system, kind, key, priority, at)
ON CONFLICT (system, kind, key) DO UPDATE
SET seq = excluded.seq, priority = least(wanted.priority, excluded.priority),
    due_at = least(wanted.due_at, excluded.due_at);

-- name: take_wanted
-- Leases the most urgent due wishes.
WITH picked AS (
    SELECT key FROM wanted
    WHERE system = %(system)s AND kind = %(kind)s AND due_at <= %(now)s
        AND (lease_until IS NULL OR lease_until <= app_now())
    ORDER BY priority, due_at, seq LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE wanted AS w SET owner = %(owner)s, lease_until = app_now() + make_interval(secs => %(lease_seconds)s)
FROM picked WHERE w.system = %(system)s AND w.kind = %(kind)s AND w.key = picked.key
RETURNING w.system, w.kind, w.key, w.priority, w.seq, w.since, w.attempts, w.owner;

-- name: drop_wanted
-- Ends wishes that were fulfilled and not repeated meanwhile.
DELETE FROM wanted AS w USING unnest(%(keys)s::text[], %(seqs)s::bigint[]) AS got (key, seq)
WHERE w.system = %(system)s AND w.kind = %(kind)s AND w.key = got.key AND w.seq = got.seq;

-- name: list_wanted
-- Wishes of a kind.
SELECT key FROM wanted WHERE system = %(system)s AND kind = %(kind)s ORDER BY key;

-- name: grant_wanted
-- Ends wishes that a read answered without having been sent for them.
DELETE FROM wanted WHERE (system, kind, key) IN (
    SELECT system, kind, key FROM wanted
    WHERE system = %(system)s AND kind = %(kind)s AND key = ANY (%(keys)s::text[]) AND seq < %(seq)s
    ORDER BY system, kind, key FOR UPDATE);

-- name: free_wanted
-- Lets wishes that were repeated meanwhile be fulfilled again.
UPDATE wanted SET owner = NULL, lease_until = NULL, attempts = 0, cause = NULL
WHERE system = %(system)s AND kind = %(kind)s AND key = ANY(%(keys)s::text[]) AND owner = %(owner)s;

-- name: postpone_wanted
-- Notes that wishes could not be fulfilled now; one that was repeated meanwhile waits as well.
UPDATE wanted SET owner = NULL, lease_until = NULL, attempts = attempts + 1, cause = %(cause)s,
    due_at = app_now() + make_interval(secs => %(after_seconds)s)
WHERE system = %(system)s AND kind = %(kind)s AND key = ANY(%(keys)s::text[]) AND owner = %(owner)s;

-- name: next_wanted
-- The most urgent wish that may be taken now, else the next that will be.
SELECT greatest(due_at, lease_until) AS ready_at, priority FROM wanted
WHERE system = %(system)s AND kind = %(kind)s
ORDER BY greatest(due_at, lease_until, %(now)s), priority LIMIT 1;

-- name: enrol_feeds
-- Makes feeds known; a known one keeps its place.
INSERT INTO feed (name, due_at)
SELECT * FROM unnest(%(names)s::text[], %(due_ats)s::timestamptz[]) AS feed (name, due_at) ORDER BY name
ON CONFLICT (name) DO NOTHING;

-- name: lease_feed
-- Takes a due feed for one turn.
UPDATE feed SET owner = %(owner)s, epoch = epoch + 1, poked = false,
    lease_until = app_now() + make_interval(secs => %(lease_seconds)s)
WHERE name = %(name)s AND due_at <= %(now)s AND (lease_until IS NULL OR lease_until <= app_now())
RETURNING cursor, epoch, failures;

-- name: finish_feed
-- Moves a feed on after a turn, under the turn's epoch.
UPDATE feed SET cursor = %(cursor)s::jsonb, owner = NULL, lease_until = NULL, last_success_at = %(now)s::timestamptz,
    last_error = NULL, failures = 0, due_at = CASE WHEN poked THEN %(now)s::timestamptz ELSE %(due_at)s::timestamptz END
WHERE name = %(name)s AND epoch = %(epoch)s AND owner IS NOT NULL;

-- name: fail_feed
-- Notes a failed turn, under its epoch; the cursor stays.
UPDATE feed SET owner = NULL, lease_until = NULL, last_error = %(cause)s, failures = failures + 1, due_at = %(due_at)s
WHERE name = %(name)s AND epoch = %(epoch)s AND owner IS NOT NULL;

-- name: poke_feed
-- Makes a feed due; one that is running goes again afterwards, one that is failing keeps its backoff.
UPDATE feed SET poked = true, due_at = CASE WHEN failures = 0 THEN app_now() ELSE due_at END WHERE name = %(name)s;

-- name: drop_feed_leases
-- Gives up the leases of an owner that has just started and so runs no turn.
UPDATE feed SET owner = NULL, lease_until = NULL WHERE owner = %(owner)s;

-- name: next_feed_due
-- When a feed may next be taken.
SELECT greatest(due_at, lease_until) AS due FROM feed WHERE name = %(name)s;

-- name: list_feeds
-- Where every feed stands.
SELECT name, cursor, owner, due_at, last_success_at, last_error, failures FROM feed ORDER BY name;

-- name: try_slot
-- Takes a slot for the life of this session unless another session has it.
SELECT pg_try_advisory_lock(%(space)s::int, %(number)s::int);

-- name: slot_holds
-- Whether this session still holds a slot.
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objsubid = 2 AND granted);

-- name: dead_owners
-- Names of slots that have leases and no session holding them.
SELECT DISTINCT owner FROM (
    SELECT owner FROM operation WHERE state IN ('intent', 'unknown') AND owner IS NOT NULL
    UNION ALL SELECT owner FROM wanted WHERE owner IS NOT NULL
    UNION ALL SELECT owner FROM feed WHERE owner IS NOT NULL
) AS leased
WHERE starts_with(owner, %(prefix)s) AND NOT EXISTS (
    SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
    WHERE l.locktype = 'advisory' AND l.classid = %(space)s::int::oid AND l.objsubid = 2 AND l.granted
        AND %(prefix)s || l.objid::text = owner
);

-- name: drop_wanted_leases
-- Gives up the leases of an owner that reads nothing any more.
UPDATE wanted SET owner = NULL, lease_until = NULL WHERE owner = %(owner)s;

-- name: lock_audit_segment
-- One writer at a time for a chain of hashes.
SELECT pg_advisory_xact_lock(hashtextextended('audit ' || %(segment)s::text, 0));

-- name: last_audit
-- The end of a chain.
SELECT id, hash FROM audit WHERE segment = %(segment)s ORDER BY id DESC LIMIT 1;

-- name: next_seqs
-- Numbers of the causal clock, in order.
SELECT next_seq() AS seq FROM generate_series(1, %(count)s);

-- name: put_audit
-- Appends to a chain.
INSERT INTO audit (at, seq, actor, action, subject, correlation, before, after, segment, prev_hash, hash)
SELECT at, seq, actor, action, subject, correlation, before::jsonb, after::jsonb, %(segment)s, prev_hash, hash
FROM unnest(%(at)s::timestamptz[], %(seq)s::bigint[], %(actor)s::text[], %(action)s::text[], %(subject)s::text[],
    %(correlation)s::text[], %(before)s::text[], %(after)s::text[], %(prev_hash)s::text[], %(hash)s::text[])
    WITH ORDINALITY AS t (at, seq, actor, action, subject, correlation, before, after, prev_hash, hash, place)
ORDER BY place;

-- name: audit_page
-- Records after a place, chain by chain.
SELECT * FROM audit WHERE (segment, id) > (%(segment)s, %(id)s) ORDER BY segment, id LIMIT %(limit)s;

-- name: audit_sealed
-- Whether a sealed end of a chain is still there.
SELECT EXISTS (SELECT FROM audit WHERE segment = %(segment)s AND hash = %(hash)s);

-- name: take_audit_due
-- Settled operations whose audit rows are still owed, in the order they settled.
WITH taken AS (
    DELETE FROM audit_due WHERE op_id IN (
        SELECT op_id FROM audit_due ORDER BY op_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )
    RETURNING op_id
)
SELECT o.* FROM operation AS o JOIN taken AS t ON t.op_id = o.id ORDER BY o.settled_seq;

-- name: audit_of
-- Records about one correlation or subject, oldest first.
SELECT at, seq, actor, action, subject, correlation, before, after, segment FROM audit
WHERE correlation = ANY(%(keys)s::text[]) OR subject = ANY(%(keys)s::text[])
ORDER BY seq, id LIMIT %(limit)s;

-- name: audit_newest
-- The newest records.
SELECT at, seq, actor, action, subject, correlation, before, after, segment FROM audit
WHERE segment <> 'seals' ORDER BY id DESC LIMIT %(limit)s;

-- name: put_calls
-- Stores calls that were made.
INSERT INTO call_log (at, correlation, system, operation, path, status, error, seconds, request, answer)
SELECT at, correlation, system, operation, path, status, error, seconds, request::jsonb, answer::jsonb FROM unnest(
    %(at)s::timestamptz[], %(correlation)s::text[], %(system)s::text[], %(operation)s::text[], %(path)s::text[],
    %(status)s::int[], %(error)s::text[], %(seconds)s::float8[], %(request)s::text[], %(answer)s::text[]
) AS call (at, correlation, system, operation, path, status, error, seconds, request, answer);

-- name: calls_of
-- Calls of some correlations, oldest first.
SELECT at, correlation, system, operation, path, status, error, seconds, request, answer FROM call_log
WHERE correlation = ANY(%(keys)s::text[]) ORDER BY id LIMIT %(limit)s;

-- name: prune_calls
-- Forgets calls made before a moment.
DELETE FROM call_log WHERE at < %(before)s;

-- name: slots_held
-- Whether any process serves this database.
SELECT EXISTS (SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database AND d.datname = current_database()
    WHERE l.locktype = 'advisory' AND l.classid = %(space)s::int::oid AND l.objsubid = 2 AND l.granted);

-- name: tables_to_keep
-- Every table with the columns that are written and not computed.
SELECT c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' GROUP BY c.relname ORDER BY c.relname;

-- name: table_references
-- Which table refers to rows of which.
SELECT child.relname AS child, parent.relname AS parent FROM pg_constraint k
JOIN pg_class child ON child.oid = k.conrelid JOIN pg_class parent ON parent.oid = k.confrelid
WHERE k.contype = 'f' AND k.connamespace = current_schema()::regnamespace;

-- name: sequences_at
-- Where the causal clock and the identity columns of these tables stand.
SELECT s.sequencename AS name, coalesce(s.last_value, s.start_value) AS value FROM pg_sequences s
WHERE s.schemaname = current_schema() AND (s.sequencename = 'causal_seq' OR EXISTS (
    SELECT FROM pg_depend d JOIN pg_class c ON c.oid = d.refobjid AND c.relname = ANY (%(tables)s::text[])
    WHERE d.objid = format('%%I.%%I', s.schemaname, s.sequencename)::regclass AND d.deptype IN ('i', 'a')))
ORDER BY s.sequencename;

-- name: migrations_applied
-- What the schema was made by.
SELECT number, name, sha256 FROM schema_migration ORDER BY number;

-- name: doubt_operations
-- Any of these may have been sent by a life we know nothing of: none is a first copy, and its outcome is looked for.
UPDATE operation SET state = CASE state WHEN 'held' THEN state ELSE 'unknown' END,
    held_from = CASE state WHEN 'held' THEN 'unknown' END, sends = sends + 1, epoch = epoch + 1, owner = NULL,
    lease_until = NULL, due_at = least(due_at, %(now)s)
WHERE state IN ('intent', 'unknown', 'held');

-- name: rewind_feeds
-- Every feed goes on from its mark; where a walk stood is forgotten, so the next one begins at its first page.
UPDATE feed SET cursor = (SELECT jsonb_object_agg(key, value) FROM jsonb_each(cursor) WHERE key IN ('mark', 'at', 'transfers')),
    owner = NULL, lease_until = NULL, epoch = epoch + 1, due_at = %(now)s, failures = 0, last_error = NULL;

-- name: drop_all_wanted_leases
-- Nobody is reading any of it.
UPDATE wanted SET owner = NULL, lease_until = NULL, due_at = least(due_at, %(now)s);

-- name: drop_old_readings
-- What was read before a restore and not taken in is read again instead: it shows numbers of another time.
UPDATE inbox SET state = 'done', settled_at = %(now)s, cause = 'restored: read anew'
WHERE state = 'new' AND kind = ANY (%(kinds)s::text[]);

-- name: said_values
-- What is said in the console.
SELECT key, value, actor, at, why FROM said ORDER BY key;

-- name: lock_said
-- One change at a time: who looks before changing must not be overtaken.
LOCK TABLE said IN SHARE ROW EXCLUSIVE MODE;

-- name: said_now
-- What is said under one key.
SELECT value FROM said WHERE key = %(key)s::text[];

-- name: put_said
-- Says it.
INSERT INTO said (key, value, actor, at, why) VALUES (%(key)s::text[], %(value)s::jsonb, %(actor)s, %(at)s, %(why)s)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, actor = excluded.actor, at = excluded.at, why = excluded.why;

-- name: drop_said
-- From now on the settings file says it again.
DELETE FROM said WHERE key = %(key)s::text[];

-- name: note_said
-- A change of what is said.
INSERT INTO said_change (at, actor, key, before, after, why, undoes)
VALUES (%(at)s, %(actor)s, %(key)s::text[], %(before)s::jsonb, %(after)s::jsonb, %(why)s, %(undoes)s);

-- name: said_changes
-- The newest changes, or one; only the newest of its key can be undone, and only once.
SELECT c.*, NOT EXISTS (SELECT FROM said_change n WHERE n.key = c.key AND n.id > c.id) AS newest
FROM said_change c WHERE %(id)s::bigint IS NULL OR c.id = %(id)s::bigint ORDER BY c.id DESC LIMIT %(limit)s::int;
