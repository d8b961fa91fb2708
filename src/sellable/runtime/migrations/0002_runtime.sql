-- The durable machine: what arrived, what we owe, what should be fetched, where feeds stand, what may be spent, who did what.

-- Everything that arrives, before anybody thinks about it.
CREATE TABLE inbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source       text   NOT NULL CHECK (source <> ''),
    message_id   text   NOT NULL CHECK (message_id <> ''),
    kind         text   NOT NULL,
    lane         text   NOT NULL,             -- rows of a lane are handled in order; '' promises no order
    priority     smallint NOT NULL,           -- of what waits, the smallest goes first
    body         bytea  NOT NULL,
    meta         jsonb  NOT NULL,
    received_at  timestamptz NOT NULL,
    received_seq bigint NOT NULL,
    due_at       timestamptz NOT NULL,
    state        text   NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'done', 'quarantined')),
    attempts     int    NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    cause        text,
    settled_at   timestamptz,
    case_ref     text,
    UNIQUE (source, message_id),
    CHECK ((state = 'new') = (settled_at IS NULL)),
    CHECK (state <> 'quarantined' OR cause IS NOT NULL)
);
CREATE INDEX inbox_new ON inbox (priority, id) WHERE state = 'new';
CREATE INDEX inbox_lane ON inbox (lane, id) WHERE state = 'new';
CREATE INDEX inbox_done ON inbox (settled_at) WHERE state = 'done';
CREATE INDEX inbox_quarantined ON inbox (id) WHERE state = 'quarantined';

-- What we owe other systems. sends counts copies before they leave, outcome_sends those whose end was written down:
-- when they differ nobody knows what became of a copy.
CREATE TABLE operation (
    id            text     PRIMARY KEY,
    system        text     NOT NULL,
    kind          text     NOT NULL,
    lane          text     NOT NULL CHECK (lane <> ''),
    budget        text     NOT NULL,          -- lane of the budget; '' where none is needed
    priority      smallint NOT NULL,
    payload       jsonb    NOT NULL,
    correlation   text,
    state         text     NOT NULL DEFAULT 'intent'
                  CHECK (state IN ('intent', 'unknown', 'held', 'done', 'rejected', 'superseded')),
    held_from     text     CHECK (held_from IN ('intent', 'unknown')),
    sends         int      NOT NULL DEFAULT 0,
    outcome_sends int      NOT NULL DEFAULT 0,
    attempts      int      NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    epoch         int      NOT NULL DEFAULT 0,
    owner         text,
    lease_until   timestamptz,
    due_at        timestamptz NOT NULL,
    created_at    timestamptz NOT NULL,
    created_seq   bigint   NOT NULL UNIQUE,
    snapshot_seq  bigint,
    settled_seq   bigint,
    settled_at    timestamptz,
    result        jsonb,
    cause         text,
    CHECK (outcome_sends BETWEEN 0 AND sends),
    CHECK ((state IN ('done', 'rejected', 'superseded')) = (settled_at IS NOT NULL)),
    CHECK ((settled_at IS NULL) = (settled_seq IS NULL)),
    CHECK ((state = 'held') = (held_from IS NOT NULL)),
    CHECK ((owner IS NULL) = (lease_until IS NULL)),
    CHECK (owner IS NULL OR state IN ('intent', 'unknown'))
);
-- The order of work, as claims ask for it: copies of unknown fate first.
CREATE INDEX operation_work ON operation
    (system, budget, (state = 'intent' AND sends = outcome_sends), priority, due_at, created_seq)
    WHERE state IN ('intent', 'unknown');
CREATE INDEX operation_lane ON operation (lane, created_seq) WHERE state IN ('intent', 'unknown', 'held');
CREATE INDEX operation_held ON operation (created_seq) WHERE state = 'held';
CREATE INDEX operation_settled ON operation (settled_at) WHERE settled_at IS NOT NULL;

CREATE FUNCTION operation_stays_settled() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'operation % is settled: % cannot become %', OLD.id, OLD.state, NEW.state;
END $$;
CREATE TRIGGER operation_stays_settled BEFORE UPDATE ON operation FOR EACH ROW
    WHEN (OLD.settled_at IS NOT NULL AND (OLD.state, OLD.settled_at, OLD.settled_seq, OLD.result)
          IS DISTINCT FROM (NEW.state, NEW.settled_at, NEW.settled_seq, NEW.result))
    EXECUTE FUNCTION operation_stays_settled();

-- Names of things that should be read again: the name, never the change.
CREATE TABLE wanted (
    system      text     NOT NULL,
    kind        text     NOT NULL,
    key         text     NOT NULL,
    priority    smallint NOT NULL,
    seq         bigint   NOT NULL,            -- of the newest wish; a fetch begun before it does not answer it
    due_at      timestamptz NOT NULL,
    since       timestamptz NOT NULL,
    attempts    int      NOT NULL DEFAULT 0,
    cause       text,
    owner       text,
    lease_until timestamptz,
    PRIMARY KEY (system, kind, key),
    CHECK ((owner IS NULL) = (lease_until IS NULL))
);
CREATE INDEX wanted_work ON wanted (system, kind, priority, due_at, seq);

-- Where each periodic read stands.
CREATE TABLE feed (
    name            text PRIMARY KEY,
    cursor          jsonb,
    owner           text,
    epoch           int  NOT NULL DEFAULT 0,
    lease_until     timestamptz,
    due_at          timestamptz NOT NULL,
    poked           boolean NOT NULL DEFAULT false, -- asked for while a turn was running: go again at once
    last_success_at timestamptz,
    last_error      text,
    failures        int  NOT NULL DEFAULT 0,
    CHECK ((owner IS NULL) = (lease_until IS NULL))
);

-- What may still be spent, in calls. Lane '' is the common pool that takes what overflows the lanes.
CREATE TABLE budget_state (
    credential     text PRIMARY KEY,
    filled_at      timestamptz NOT NULL,
    cooldown_until timestamptz,
    shrink         double precision NOT NULL CHECK (shrink > 0 AND shrink <= 1)
);
CREATE TABLE budget (
    credential text NOT NULL REFERENCES budget_state (credential) ON DELETE CASCADE,
    lane       text NOT NULL,
    tokens     double precision NOT NULL CHECK (tokens >= 0),
    slot       bigint NOT NULL,               -- number of the window that `used` counts
    used       bigint NOT NULL,
    used_before bigint NOT NULL,              -- calls of the window before it
    PRIMARY KEY (credential, lane)
);

-- Who did what, in chains of hashes: one chain for each run of a process.
CREATE TABLE audit (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    seq         bigint NOT NULL,
    actor       text   NOT NULL,
    action      text   NOT NULL,
    subject     text   NOT NULL,
    correlation text,
    before      jsonb,
    after       jsonb,
    segment     text   NOT NULL,
    prev_hash   text   NOT NULL,
    hash        text   NOT NULL,
    UNIQUE (segment, prev_hash)               -- a chain cannot fork
);
CREATE INDEX audit_segment ON audit (segment, id);
CREATE INDEX audit_subject ON audit (subject, id);
CREATE INDEX audit_correlation ON audit (correlation, id) WHERE correlation IS NOT NULL;

CREATE FUNCTION audit_refuses_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit is append-only';
END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_refuses_change();
