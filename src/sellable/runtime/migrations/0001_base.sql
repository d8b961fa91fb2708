-- The one reading of the clock in SQL. A session may carry another clock than the machine's:
-- sellable.now stops time at a moment; clock_speed, clock_origin and clock_start (unix seconds) let it run faster.
-- STABLE on purpose, so that "due_at <= app_now()" can use an index.
CREATE FUNCTION app_now() RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
DECLARE
    stopped text := nullif(current_setting('sellable.now', true), '');
    speed float8 := nullif(current_setting('sellable.clock_speed', true), '');
BEGIN
    IF stopped IS NOT NULL THEN
        RETURN stopped::timestamptz;
    END IF;
    IF speed IS NULL THEN
        RETURN clock_timestamp();
    END IF;
    RETURN to_timestamp(
        current_setting('sellable.clock_start')::float8
        + (extract(epoch FROM clock_timestamp())::float8 - current_setting('sellable.clock_origin')::float8) * speed
    );
END
$$;

-- The causal clock: "before" means a smaller number. CACHE 1, because a session that hoards numbers breaks the order.
CREATE SEQUENCE causal_seq AS bigint CACHE 1;

CREATE FUNCTION next_seq() RETURNS bigint LANGUAGE sql VOLATILE AS $$ SELECT nextval('causal_seq') $$;
