-- The desk: cases that people own, what happened to them, what is parked behind them, and who was told.

CREATE TABLE cases (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ref           text   GENERATED ALWAYS AS ('C-' || lpad(id::text, greatest(6, length(id::text)), '0')) STORED UNIQUE,
    kind          text   NOT NULL CHECK (kind <> ''),
    subject       text   NOT NULL CHECK (subject <> ''),  -- what it is about: sku:ABC, order:123, vendor:cin7_core
    owner         text   NOT NULL CHECK (owner <> ''),    -- no case without somebody
    state         text   NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'resolved')),
    severity      smallint NOT NULL CHECK (severity BETWEEN 1 AND 4),
    count         int    NOT NULL DEFAULT 1 CHECK (count >= 1),
    first_at      timestamptz NOT NULL,
    last_at       timestamptz NOT NULL CHECK (last_at >= first_at),
    title         text   NOT NULL,
    expected      jsonb,
    actual        jsonb,
    evidence      jsonb  NOT NULL CHECK (jsonb_typeof(evidence) = 'array'),  -- references such as inbox:12, newest last
    next_step     text   NOT NULL,
    resolution    text,
    resolved_at   timestamptz,
    resolved_by   text,
    alerted_at    timestamptz,                -- when everybody had been told of alerted_count
    alerted_count int    NOT NULL DEFAULT 0,
    CHECK ((state = 'resolved') = (resolved_at IS NOT NULL)),
    CHECK ((resolved_at IS NULL) = (resolved_by IS NULL) AND (resolved_at IS NULL) = (resolution IS NULL))
);
-- A thousand equal troubles are one case.
CREATE UNIQUE INDEX cases_live ON cases (kind, subject) WHERE state <> 'resolved';
CREATE INDEX cases_rank ON cases (severity, first_at, id) WHERE state <> 'resolved';
CREATE INDEX cases_subject ON cases (subject, id);

-- What was done about a case.
CREATE TABLE case_event (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    case_id bigint NOT NULL REFERENCES cases (id),
    at      timestamptz NOT NULL,
    actor   text   NOT NULL CHECK (actor <> ''),
    what    text   NOT NULL CHECK (what IN ('opened', 'acknowledged', 'assigned', 'replayed', 'resolved', 'told')),
    detail  text   NOT NULL
);
CREATE INDEX case_event_case ON case_event (case_id, id);

-- Everything a case was opened or counted for, which its evidence shows only the newest of: operation:op_1, order:123.
-- Arrivals are left out, because quarantined inbox rows carry their case themselves.
CREATE TABLE case_link (
    case_id bigint NOT NULL REFERENCES cases (id),
    thing   text   NOT NULL,
    PRIMARY KEY (case_id, thing)
);
CREATE INDEX inbox_case ON inbox (case_ref) WHERE state = 'quarantined';

-- What each way of telling has told of a case. due_at is the next try and, while one is under way, the end of its lease.
CREATE TABLE case_alert (
    case_id    bigint NOT NULL REFERENCES cases (id),
    transport  text   NOT NULL,
    telling    int    NOT NULL,               -- count that the latest try tells
    told_count int    NOT NULL DEFAULT 0,
    told_at    timestamptz,
    attempts   int    NOT NULL,
    due_at     timestamptz NOT NULL,
    cause      text,
    PRIMARY KEY (case_id, transport)
);

-- A case is told anew when its count reaches another power of ten: 1, 10, 100 ...
CREATE FUNCTION alert_step(count int) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN count = 0 THEN 0 ELSE length(count::text) END
$$;
