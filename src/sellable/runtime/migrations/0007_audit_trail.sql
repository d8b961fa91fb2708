-- What an operation did outside must reach the audit. Noted in the transaction that settles it, chained soon after:
-- writers of a chain wait for each other, and outcomes must not.
CREATE TABLE audit_due (
    op_id text PRIMARY KEY REFERENCES operation (id) ON DELETE CASCADE
);
CREATE FUNCTION operation_is_audited() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_due (op_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER operation_is_audited AFTER UPDATE ON operation FOR EACH ROW
    WHEN (OLD.settled_at IS NULL AND NEW.settled_at IS NOT NULL AND NEW.system <> 'self')
    EXECUTE FUNCTION operation_is_audited();

-- Calls that may have had an effect, and those that failed; bodies redacted as in the audit.
CREATE TABLE call_log (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL,
    correlation text,
    system      text   NOT NULL,
    operation   text   NOT NULL,
    path        text   NOT NULL,
    status      int    NOT NULL,              -- 0 is no answer; `error` says why
    error       text,
    seconds     double precision NOT NULL,
    request     jsonb,
    answer      jsonb
);
CREATE INDEX call_log_correlation ON call_log (correlation, id) WHERE correlation IS NOT NULL;
CREATE INDEX call_log_at ON call_log (at);
