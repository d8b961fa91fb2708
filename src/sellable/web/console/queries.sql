-- name: pulse
-- Changes whenever something was committed that a page may show; costs nothing.
SELECT (SELECT last_value FROM causal_seq) AS causal,
    coalesce(pg_sequence_last_value('case_event_id_seq'), 0) + coalesce(pg_sequence_last_value('audit_id_seq'), 0)
        + coalesce(pg_sequence_last_value('explained_id_seq'), 0) + coalesce(pg_sequence_last_value('call_log_id_seq'), 0)
        AS others;
