-- Who may sign in. `key` is the name as names are compared: two spellings of one name are one person.
CREATE TABLE person (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    key         text NOT NULL UNIQUE,
    role        text NOT NULL CHECK (role IN ('viewer', 'operator', 'approver', 'admin')),
    password    text,
    created_at  timestamptz NOT NULL,
    disabled_at timestamptz
);

-- Who is signed in. Only a hash of what the browser holds is kept: a copy of the database opens nothing.
CREATE TABLE session (
    hash     bytea PRIMARY KEY,
    person   bigint NOT NULL REFERENCES person ON DELETE CASCADE,
    began_at timestamptz NOT NULL,
    seen_at  timestamptz NOT NULL
);
CREATE INDEX session_person ON session (person);

-- Links by which somebody sets a password, once. Without a person it makes the first admin.
CREATE TABLE one_time_link (
    hash       bytea PRIMARY KEY,
    person     bigint REFERENCES person ON DELETE CASCADE,
    made_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX one_time_link_person ON one_time_link (person);

-- What programs show instead of a password.
CREATE TABLE api_token (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash       bytea NOT NULL UNIQUE,
    person     bigint NOT NULL REFERENCES person ON DELETE CASCADE,
    label      text NOT NULL,
    scope      text NOT NULL CHECK (scope IN ('read', 'operate', 'approve', 'admin')),
    made_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_token_person ON api_token (person);

-- How often a name or an address was tried in the window that began at `since`; keys are keyed hashes.
CREATE TABLE sign_in_count (
    key   text PRIMARY KEY,
    since timestamptz NOT NULL,
    tries integer NOT NULL
);
