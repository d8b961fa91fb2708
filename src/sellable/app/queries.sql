-- name: work
-- Differences that wait, and since when the oldest lower does.
SELECT count(*) FILTER (WHERE d < 0 AND op IS NULL) AS lowers, count(*) FILTER (WHERE d > 0 AND op IS NULL) AS raises,
    count(*) FILTER (WHERE op IS NOT NULL) AS writing, min(since) FILTER (WHERE d < 0) AS oldest_lower FROM desired;

-- name: keys
-- Entries of the storefront we keep, and those whose raise waits.
SELECT count(*) AS n, count(*) FILTER (WHERE parked IS NOT NULL) AS parked FROM entry WHERE NOT gone;

-- name: inbox_counts
-- What arrived and is not done.
SELECT state, count(*) AS n FROM inbox WHERE state <> 'done' GROUP BY state;

-- name: operation_counts
-- What we owe, by kind.
SELECT system, kind, state, count(*) AS n, min(created_at) AS oldest FROM operation
WHERE settled_at IS NULL GROUP BY system, kind, state ORDER BY system, kind, state;

-- name: case_counts
-- Open cases by kind.
SELECT kind, count(*) AS n, sum(count)::bigint AS total FROM cases WHERE state <> 'resolved' GROUP BY kind ORDER BY kind;

-- name: writes_frozen
-- Whether a person froze all writes of stock.
SELECT value FROM switch WHERE name = 'writes_frozen';

-- name: ready
-- Whether the database answers.
SELECT 1;

-- name: newest_sweep
-- When a master's numbers were last read completely.
SELECT max(finished_at) FROM sweep WHERE master = %(master)s AND scope = '' AND state IN ('proving', 'applied');

-- name: cases_of_order
-- Cases about one order.
SELECT ref, kind, state, owner, count, last_at FROM cases WHERE subject = %(subject)s ORDER BY last_at;


-- name: set_switch
-- Switches something for all processes.
INSERT INTO switch (name, value, actor, at) VALUES (%(name)s, %(value)s, %(actor)s, %(now)s)
ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, actor = EXCLUDED.actor, at = EXCLUDED.at;

-- name: remember
-- Keeps a value; answers nothing when it was the same before.
INSERT INTO remembered (name, value, at) VALUES (%(name)s, %(value)s, %(at)s)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at WHERE remembered.value <> excluded.value
RETURNING value;

-- name: entry_skus
-- Every SKU the storefront has an entry of.
SELECT DISTINCT sku FROM entry WHERE NOT gone;
