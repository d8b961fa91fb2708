-- In which mode each channel is, since when, and whether its first pass in that mode may write.
CREATE TABLE ladder (
    channel      text PRIMARY KEY,
    mode         text        NOT NULL CHECK (mode IN ('shadow', 'lowers', 'full')),
    since        timestamptz NOT NULL,
    gate         text        NOT NULL CHECK (gate IN ('checking', 'stopped', 'open')),
    found        jsonb,                      -- what the first pass would have changed
    shadow_from  timestamptz,                -- the newest time as a shadow
    shadow_until timestamptz
);
