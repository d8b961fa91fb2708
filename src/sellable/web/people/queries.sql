-- name: session_person
-- Who is signed in with this, unless it is too old, unused for too long, or theirs no more.
SELECT p.name, p.role, s.seen_at FROM session s JOIN person p ON p.id = s.person
WHERE s.hash = %(hash)s AND s.began_at > %(began_after)s AND s.seen_at > %(seen_after)s AND p.disabled_at IS NULL;

-- name: see_session
-- A session was used.
UPDATE session SET seen_at = greatest(seen_at, %(now)s) WHERE hash = %(hash)s;

-- name: put_session
-- Somebody signs in.
INSERT INTO session (hash, person, began_at, seen_at) VALUES (%(hash)s, %(person)s, %(now)s, %(now)s);

-- name: end_session
-- Somebody signs out.
DELETE FROM session WHERE hash = %(hash)s;

-- name: end_sessions
-- Everything a person is signed in with ends.
DELETE FROM session WHERE person = %(person)s;

-- name: token_people
-- Whose tokens these are, while they and their people are good.
SELECT t.hash, t.id, t.label, t.scope, t.used_at, p.name, p.role FROM api_token t JOIN person p ON p.id = t.person
WHERE t.hash = ANY (%(hashes)s::bytea[]) AND t.expires_at > %(now)s AND t.revoked_at IS NULL AND p.disabled_at IS NULL;

-- name: see_token
-- A token was used.
UPDATE api_token SET used_at = greatest(used_at, %(now)s) WHERE id = %(id)s;

-- name: put_token
-- A new token.
INSERT INTO api_token (hash, person, label, scope, made_at, expires_at)
VALUES (%(hash)s, %(person)s, %(label)s, %(scope)s, %(now)s, %(expires_at)s) RETURNING id;

-- name: revoke_token
-- A token opens nothing any more.
UPDATE api_token t SET revoked_at = %(now)s FROM person p
WHERE t.id = %(id)s AND t.revoked_at IS NULL AND p.id = t.person RETURNING t.label, t.scope, p.name;

-- name: tokens
-- Tokens that are not revoked, by person, newest first.
SELECT t.id, t.person, p.name, t.label, t.scope, t.made_at, t.expires_at, t.used_at
FROM api_token t JOIN person p ON p.id = t.person WHERE t.revoked_at IS NULL ORDER BY p.key, t.id DESC;

-- name: people
-- Everybody, with when they were last here.
SELECT p.id, p.name, p.role, p.created_at, p.disabled_at, p.password IS NOT NULL AS has_password,
    (SELECT max(s.seen_at) FROM session s WHERE s.person = p.id) AS seen_at
FROM person p ORDER BY p.key;

-- name: person_by_key
-- One person by name.
SELECT id, name, role, password, disabled_at FROM person WHERE key = %(key)s;

-- name: person_by_id
-- One person.
SELECT id, name, role, password, disabled_at FROM person WHERE id = %(id)s;

-- name: lock_people
-- Whoever changes who may do what waits for whoever does: the last admin is not lost between two of them.
SELECT pg_advisory_xact_lock(hashtext('people'));

-- name: anybody
-- Whether there is anybody at all.
SELECT EXISTS (SELECT FROM person);

-- name: other_admins
-- Admins who can sign in, without this one.
SELECT count(*) AS n FROM person
WHERE role = 'admin' AND disabled_at IS NULL AND password IS NOT NULL AND id <> %(id)s;

-- name: put_person
-- A new person without a password; none when the name is taken.
INSERT INTO person (name, key, role, created_at) VALUES (%(name)s, %(key)s, %(role)s, %(now)s)
ON CONFLICT (key) DO NOTHING RETURNING id;

-- name: set_role
-- What a person may do.
UPDATE person SET role = %(role)s WHERE id = %(id)s;

-- name: set_disabled
-- Whether a person may sign in (at: not any more).
UPDATE person SET disabled_at = %(at)s WHERE id = %(id)s;

-- name: set_password
-- A person's new password, hashed.
UPDATE person SET password = %(password)s WHERE id = %(id)s;

-- name: put_link
-- A one-time link; without a person it makes the first admin.
INSERT INTO one_time_link (hash, person, made_at, expires_at)
VALUES (%(hash)s, %(person)s, %(now)s, %(expires_at)s);

-- name: link
-- A link that can still be used, and for whom.
SELECT l.person, p.name FROM one_time_link l LEFT JOIN person p ON p.id = l.person
WHERE l.hash = %(hash)s AND l.expires_at > %(now)s AND p.disabled_at IS NULL
  AND (l.person IS NOT NULL OR NOT EXISTS (SELECT FROM person));

-- name: end_links
-- Links of a person (or those for a first admin) are used up.
DELETE FROM one_time_link WHERE person IS NOT DISTINCT FROM %(person)s;

-- name: count_try
-- One more try for each key, from 1 again when its window is over; how many are in the window now, and since when.
INSERT INTO sign_in_count AS c (key, since, tries)
SELECT key, %(now)s, 1 FROM unnest(%(keys)s::text[]) AS t (key) ORDER BY key
ON CONFLICT (key) DO UPDATE SET
    since = CASE WHEN c.since <= %(since_after)s THEN %(now)s ELSE c.since END,
    tries = CASE WHEN c.since <= %(since_after)s THEN 1 ELSE least(c.tries, 1000000) + 1 END
RETURNING key, since, tries;

-- name: forget_tries
-- A name's tries are forgotten, an address is given this one back: who signs in is no guesser.
UPDATE sign_in_count SET tries = CASE WHEN key = %(name)s THEN 0 ELSE greatest(tries - 1, 0) END
WHERE key IN (%(name)s, %(address)s);

-- name: prune_sessions
-- Sessions that are over.
DELETE FROM session WHERE began_at <= %(began_after)s OR seen_at <= %(seen_after)s;

-- name: prune_links
-- Links that have expired.
DELETE FROM one_time_link WHERE expires_at <= %(now)s;

-- name: prune_tokens
-- Tokens that ended long ago.
DELETE FROM api_token WHERE coalesce(revoked_at, expires_at) < %(before)s;

-- name: prune_counts
-- Tries of windows that are over.
DELETE FROM sign_in_count WHERE since <= %(since_after)s;
